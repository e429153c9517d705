"""The code tables: sizes, durations, instruments and their names, compared with the original code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmt.representation.codes import FIELDS, TYPES, Representation
from mmt.representation.instruments import GENERAL_MIDI_NAMES, Instrument

PAPER = Representation()
PRESETS = {"paper": PAPER, "slides": Representation.slides()}


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_equal_those_of_the_original_code(facts: dict[str, Any], preset: str) -> None:
    ours, theirs = PRESETS[preset], facts["presets"][preset]
    assert ours.resolution == theirs["resolution"]
    assert list(ours.durations) == theirs["durations"]
    assert ours.beats == theirs["max_beat"] + 1
    assert list(ours.sizes) == theirs["n_codes"]


def test_fields_types_and_instruments_equal_those_of_the_original_code(facts: dict[str, Any]) -> None:
    assert list(FIELDS) == facts["fields"]
    assert list(TYPES[: PAPER.sizes[0]]) == facts["types"]
    assert list(PAPER.names) == facts["instruments"]
    assert [instrument.program for instrument in PAPER.instruments] == facts["instrument_to_program"]
    codes = PAPER.instrument_codes(np.arange(128)).tolist()
    assert [PAPER.names[code - 1] if code else None for code in codes] == facts["program_to_instrument"]
    assert sum(code > 0 for code in codes) == 104


def test_sizes_of_the_presets() -> None:
    assert PAPER.sizes == (5, 1026, 13, 129, 33, 65)
    assert Representation.slides().sizes == (5, 1026, 25, 129, 25, 65)


@given(st.sampled_from(list(PRESETS.values())), st.integers(1, 2000))
def test_a_duration_becomes_the_nearest_known_one_or_the_smaller_of_two(
    representation: Representation, steps: int
) -> None:
    # min() returns the first minimum, and known durations ascend.
    nearest = min(representation.durations, key=lambda known: abs(known - steps))
    code = int(representation.duration_codes(np.array([steps]))[0])
    assert representation.durations[code - 1] == nearest


def test_every_name_finds_its_instrument() -> None:
    for code, instrument in enumerate(PAPER.instruments, start=1):
        assert PAPER.find_instrument(instrument.name) == code
        assert PAPER.find_instrument(instrument.name.upper().replace("-", " ")) == code
        assert PAPER.program(code) == instrument.program
        for program in instrument.programs:
            assert PAPER.find_instrument(program) == code
            assert PAPER.find_instrument(str(program)) == code
            # If a General MIDI name is also one of our names, ours takes precedence: both mean the same instrument.
            assert PAPER.find_instrument(GENERAL_MIDI_NAMES[program]) == code


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("violn", r"unknown instrument 'violn'; did you mean violin"),
        ("saxophone", "did you mean alto-saxophone or tenor-saxophone"),
        ("", r"unknown instrument ''"),
        ("xyzzy", r"unknown instrument 'xyzzy'; `mmt-generate"),
        (128, r"MIDI program 128 is out of range"),
        (-1, r"MIDI program -1 is out of range"),
        ("120", r"MIDI program 120 \(Guitar Fret Noise\) has no instrument"),
        (True, r"unknown instrument 'True'"),
    ],
)
def test_the_error_for_an_unknown_instrument_offers_similar_names(name: str | int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PAPER.find_instrument(name)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"resolution": 0}, "resolution is 0"),
        ({"beats": 0}, "beats is 0"),
        ({"durations": ()}, "durations must be ascending"),
        ({"durations": (2, 1)}, "durations must be ascending"),
        ({"durations": (0, 1)}, "durations must be ascending"),
        ({"durations": (1, 1)}, "durations must be ascending"),
        ({"instruments": ()}, "instruments must have different names"),
        (
            {"instruments": (Instrument("a", 1, (1,)), Instrument("a", 2, (2,)))},
            "instruments must have different names",
        ),
        ({"instruments": (Instrument("a", 1, (1,)), Instrument("b", 1, (1,)))}, "may belong to one instrument only"),
    ],
)
def test_invalid_representations_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Representation(**change)


def test_the_programs_of_an_instrument_include_its_own_program() -> None:
    with pytest.raises(ValueError, match="must be one of its programs"):
        Instrument("a", 1, (2,))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_representation_round_trips_through_its_dictionary(preset: str) -> None:
    representation = PRESETS[preset]
    assert Representation.from_dict(representation.to_dict()) == representation


def test_an_unknown_entry_of_a_dictionary_is_named() -> None:
    with pytest.raises(ValueError, match="unknown entry 'beat' in the representation"):
        Representation.from_dict({"beat": 3})
