"""Events as text, one line per event; the example of the talk is in test_encode."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from strategies import pieces

import mmt
from mmt.representation.codes import Events
from mmt.representation.text import pitch_name


@given(pieces())
def test_each_line_holds_the_codes_of_its_event(piece: Events) -> None:
    lines = mmt.to_text(piece).splitlines()
    assert len(lines) == len(piece)
    assert [[int(code) for code in re.findall(r"\d+", line.split(")")[0])] for line in lines] == piece.tolist()
    assert (lines[0].split(") ")[1], lines[-1].split(") ")[1]) == ("Start of song", "End of song")


@pytest.mark.parametrize(("pitch", "name"), [(60, "C4"), (0, "C-1"), (127, "G9"), (70, "A#4"), (21, "A0")])
def test_pitches_have_their_names(pitch: int, name: str) -> None:
    assert pitch_name(pitch) == name


def test_no_events_give_no_lines() -> None:
    assert mmt.to_text(mmt.prompt.start()[:0]) == ""
