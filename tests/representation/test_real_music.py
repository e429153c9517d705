"""Laws on the 2,611 MIDI files: a sample, and all of them marked slow."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

import mmt
from mmt.music.reading.midi import read_midi_notes
from mmt.representation.codes import Representation
from mmt.representation.decode import notes_of_events
from mmt.representation.encode import events_of_notes
from mmt.representation.grammar import check_piece
from mmt.representation.notes import note_table, raw_notes


def check_laws(content: bytes, representation: Representation) -> None:
    table, report = note_table(read_midi_notes(content), representation)
    assert report.kept + report.dropped.total() == report.notes
    if not len(table):
        return
    events = check_piece(events_of_notes(table, representation), representation=representation)
    music = mmt.decode(events, representation=representation)
    np.testing.assert_array_equal(mmt.encode(music, representation=representation), events)
    # The same without muspy; note table and events convert to each other without loss.
    again = notes_of_events(events, representation)
    np.testing.assert_array_equal(events_of_notes(again, representation), events)
    np.testing.assert_array_equal(note_table(raw_notes(music), representation)[0], again)


def check_files(archive: Path, count: int | None) -> None:
    with zipfile.ZipFile(archive) as files:
        names = sorted(name for name in files.namelist() if name.endswith(".mid"))
        assert len(names) == 2611
        if count is not None:
            small = [name for name in names if files.getinfo(name).file_size < 20_000]
            names = random.Random(0).sample(small, count)
        for place, name in enumerate(names):
            try:
                check_laws(files.read(name), Representation.slides() if place % 3 == 0 else Representation())
            except Exception as error:
                error.add_note(name)
                raise


def test_decode_then_encode_is_a_fixed_point_for_real_music(train_zip: Path) -> None:
    check_files(train_zip, 150)


@pytest.mark.slow
def test_decode_then_encode_is_a_fixed_point_for_every_file(train_zip: Path) -> None:
    check_files(train_zip, None)
