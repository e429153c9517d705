"""Loops, silences, instruments and ranges: constructed pieces, plain definitions, real music and errors."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import pieces

import mmt
from mmt.analysis.structure import longest_loop, longest_silence, notes_by_instrument, returning_share, share_in_range
from mmt.representation.codes import BEAT, DURATION, GIVEN_NOTE, INSTRUMENT, NOTE, PAPER, PITCH, POSITION, TYPE, Events
from mmt.representation.encode import events_of_notes
from mmt.representation.instrument_ranges import INSTRUMENT_RANGES
from mmt.representation.notes import NOTE_DTYPE

TINY = Path(__file__).resolve().parents[2] / "data" / "tiny"
MEASURES = (longest_loop, longest_silence, notes_by_instrument, share_in_range)
VIOLIN, CELLO, LEAD = (PAPER.find_instrument(name) for name in ("violin", "cello", "lead"))


def piece(*notes: tuple[int, int, int, int, int]) -> Events:
    """Events of notes (beat, position, pitch, duration in steps, instrument code)."""
    return events_of_notes(np.array(list(notes), NOTE_DTYPE))


def repeated(period: int, times: int, first_beat: int = 0) -> list[tuple[int, int, int, int, int]]:
    """A scale of `period` quarter notes, played `times` times."""
    return [(first_beat + beat, 0, 60 + beat % period, 12, 1) for beat in range(period * times)]


def notes_of(events: Events) -> Events:
    return events[events[:, TYPE] == NOTE]


def plain_loop(events: Events, longest_period: int) -> int:
    """The definition of a loop, compared beat by beat."""
    found: dict[int, set[tuple[int, ...]]] = {}
    for note in notes_of(events).tolist():
        found.setdefault(note[BEAT], set()).add(tuple(note[POSITION:]))
    beats = [found.get(beat, set()) for beat in range(min(found), max(found) + 1)]
    longest = 0
    for period in range(1, longest_period + 1):
        for first in range(period, len(beats)):
            for stop in range(first + period, len(beats) + 1):
                run = range(first, stop)
                if any(beats[i] != beats[i - period] for i in run):
                    break
                if any(beats[i] for i in run):
                    longest = max(longest, stop - first)
    return longest


@pytest.mark.parametrize("period", [1, 2, 3, 8])
def test_loop_length_is_the_repeated_beats(period: int) -> None:
    for times in (1, 2, 5):
        assert longest_loop(piece(*repeated(period, times))) == period * (times - 1)


def test_longer_periods_are_not_loops() -> None:
    events = piece(*repeated(9, 3))
    assert longest_loop(events) == 0
    assert longest_loop(events, longest_period=9) == 18


def test_loop_may_begin_and_end_anywhere() -> None:
    before, after = [(0, 0, 90, 12, 1), (1, 0, 91, 12, 1)], [(12, 0, 92, 12, 1)]
    assert longest_loop(piece(*before, *repeated(2, 5, 2), *after)) == 8


@pytest.mark.parametrize("field", [POSITION, PITCH, DURATION, INSTRUMENT])
def test_one_different_note_breaks_a_loop(field: int) -> None:
    events = piece(*repeated(1, 20))
    (place,) = np.flatnonzero(events[:, BEAT] == 1 + 12)
    events[place, field] += 1
    # 11 beats repeat beat 0. After beat 12 seven beats are equal, and six of them repeat.
    assert longest_loop(events) == 11


def test_added_or_missing_note_breaks_a_loop() -> None:
    notes = repeated(1, 20)
    assert longest_loop(piece(*notes, (12, 6, 60, 12, 1))) == 11
    assert longest_loop(piece(*notes[:12], *notes[13:])) == 11


def test_rests_are_part_of_a_loop_but_not_a_loop() -> None:
    with_rests = [(beat, 0, 60, 12, 1) for beat in range(0, 24, 4)]
    assert longest_loop(piece(*with_rests)) == 17  # Beats 4 to 20, the last onset.
    assert longest_loop(piece((0, 0, 60, 12, 1), (40, 0, 62, 12, 1))) == 0
    assert longest_loop(piece((0, 0, 60, 12, 1), (40, 0, 60, 12, 1))) == 0
    assert longest_loop(piece((0, 0, 60, 384, 1), (31, 0, 62, 12, 1))) == 0


@given(pieces(beats=8), st.integers(1, 6))
def test_loops_match_the_plain_definition(events: Events, longest_period: int) -> None:
    assert longest_loop(events, longest_period=longest_period) == plain_loop(events, longest_period)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.integers(1, 6))
def test_loops_of_few_different_beats_match_the_plain_definition(beats: list[int], longest_period: int) -> None:
    """0 is a beat without an onset."""
    notes = [(beat, 0, 60 + kind, 12, 1) for beat, kind in enumerate([1, *beats]) if kind]
    events = piece(*notes)
    assert longest_loop(events, longest_period=longest_period) == plain_loop(events, longest_period)


@given(pieces())
def test_order_and_duplicates_change_nothing(events: Events) -> None:
    notes = notes_of(events)
    mixed = np.concatenate([notes[::-1], notes[:3]])
    assert longest_loop(mixed) == longest_loop(events)
    assert longest_silence(mixed) == longest_silence(events)


def test_duplicate_note_breaks_no_loop() -> None:
    notes = notes_of(piece(*repeated(2, 10)))
    assert longest_loop(np.concatenate([notes, notes[9:10]])) == 18


def test_loops_and_silences_do_not_depend_on_key_or_start() -> None:
    events = mmt.encode(mmt.read(TINY / "franz_fuer_einen.mid"))
    moved = notes_of(events) + np.array([0, 7, 0, 2, 0, 0])
    assert longest_loop(moved) == longest_loop(events)
    assert longest_silence(moved) == longest_silence(events)


def test_real_music_has_neither_loops_nor_silences() -> None:
    files = sorted([*TINY.glob("*.mid"), *TINY.glob("*.mxl")])
    assert len(files) > 3
    for file in files:
        events = mmt.encode(mmt.read(file))
        assert longest_loop(events) < 16, file
        assert longest_silence(events) < 8, file


def test_memory_does_not_grow_with_a_silence() -> None:
    far = piece(*repeated(2, 3), (2**31 - 2, 0, 60, 12, 1))
    assert longest_loop(far) == 4
    assert longest_silence(far) == 2**31 - 2 - 6


def test_silence_ends_where_any_instrument_sounds() -> None:
    assert longest_silence(piece((0, 0, 60, 12, 1), (11, 0, 60, 12, 1))) == 10
    # A long note sounds through the gap, also if a later note ends before it.
    assert longest_silence(piece((0, 0, 40, 120, 2), (0, 0, 60, 12, 1), (11, 0, 60, 12, 1))) == 1
    assert longest_silence(piece((0, 0, 40, 120, 2), (1, 0, 60, 12, 1), (11, 0, 60, 12, 1))) == 1
    assert longest_silence(piece((0, 6, 60, 3, 1), (1, 0, 60, 12, 1))) == 0.25


def test_rests_before_the_first_note_are_not_a_silence() -> None:
    assert longest_silence(piece((40, 0, 60, 12, 1), (41, 0, 60, 12, 1))) == 0


@given(pieces())
def test_notes_by_instrument_counts_every_note(events: Events) -> None:
    played = Counter(PAPER.names[code - 1] for code in notes_of(events)[:, INSTRUMENT].tolist())
    assert notes_by_instrument(events) == played
    assert list(notes_by_instrument(events)) == sorted(played, key=PAPER.names.index)


def test_declared_instruments_that_do_not_play_have_zero_notes() -> None:
    prompt = mmt.prompt.instruments("violin", "cello")
    assert notes_by_instrument(prompt) == {"violin": 0, "cello": 0}
    assert notes_by_instrument(np.concatenate([prompt, notes_of(piece((0, 0, 60, 12, LEAD)))])) == {
        "violin": 0, "cello": 0, "lead": 1,
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(INSTRUMENT_RANGES))
def test_ranges_include_their_lowest_and_highest_pitch(name: str) -> None:
    low, high = INSTRUMENT_RANGES[name]
    code = PAPER.find_instrument(name)
    assert share_in_range(piece((0, 0, low, 12, code), (1, 0, high, 12, code))) == 1
    outside = [pitch for pitch in (low - 1, high + 1) if 0 <= pitch < 128]
    assert share_in_range(piece(*((0, 0, pitch, 12, code) for pitch in outside))) == 0


def test_instruments_without_a_range_are_left_out() -> None:
    assert share_in_range(piece((0, 0, 10, 12, LEAD), (0, 0, 60, 12, VIOLIN), (0, 0, 10, 12, CELLO))) == 0.5
    assert np.isnan(share_in_range(piece((0, 0, 10, 12, LEAD))))


def test_piece_without_notes_has_no_loop_silence_or_share() -> None:
    prompt = mmt.prompt.instruments("violin")
    assert (longest_loop(prompt), longest_silence(prompt)) == (0, 0)
    assert np.isnan(share_in_range(prompt))


def test_lengths_follow_the_representation() -> None:
    slides = mmt.Representation.slides()
    events = piece((0, 0, 60, 12, 1), (10, 0, 60, 12, 1))
    # Duration code 12 is 12 of 12 steps in the paper's representation, 42 of 24 in that of the talk.
    assert longest_silence(events) == 9
    assert longest_silence(events, representation=slides) == 10 - slides.durations[11] / 24


def test_given_notes_and_drums_count_as_notes_and_drums_have_no_range() -> None:
    every = mmt.Representation(drums=True, given=True, length=True)
    notes = [(beat, 0, pitch, 12, code) for beat in range(20) for pitch, code in ((10, every.drums_code), (60, VIOLIN))]
    written = events_of_notes(np.array(notes, NOTE_DTYPE), every)
    given_drums = written.copy()
    given_drums[(written[:, TYPE] == NOTE) & (written[:, INSTRUMENT] == every.drums_code), TYPE] = GIVEN_NOTE
    for events in (written, given_drums):
        assert longest_loop(events, representation=every) == 19
        assert longest_silence(events, representation=every) == 0
        assert notes_by_instrument(events, representation=every) == {"violin": 20, "drums": 20}
        assert share_in_range(events, representation=every) == 1


def theme(first_beat: int, transposed: int = 0) -> list[tuple[int, int, int, int, int]]:
    """Eight notes in eight beats."""
    return [
        (first_beat + beat, 0, 60 + pitch + transposed, 12, 1) for beat, pitch in enumerate((0, 4, 7, 5, 2, 11, 9, 0))
    ]


def filler(first_beat: int, beats: int) -> list[tuple[int, int, int, int, int]]:
    """A rising line in which nothing repeats."""
    return [(beat, 0, 20 + beat, 12, 1) for beat in range(first_beat, first_beat + beats)]


def returning(*notes: tuple[int, int, int, int, int]) -> float:
    return returning_share(np.array(list(notes), NOTE_DTYPE), PAPER.resolution)


def test_a_theme_returns_after_sixteen_beats_at_least() -> None:
    assert returning(*theme(0), *filler(8, 8), *theme(16)) == 8 / 24
    assert returning(*theme(0), *filler(8, 7), *theme(15)) == 0
    assert returning(*theme(0), *filler(8, 8), *theme(16, transposed=2)) == 0
    assert returning(*theme(0), *filler(8, 8), *theme(16)[:7]) == 0


def test_immediate_repetition_does_not_count_as_a_return() -> None:
    assert returning(*(note for first in range(0, 64, 8) for note in theme(first))) == 0


def test_a_theme_that_returns_twice_counts_twice() -> None:
    notes = [*theme(0), *filler(8, 16), *theme(24), *filler(32, 16), *theme(48)]
    assert returning(*notes) == 16 / 56
    assert returning(*notes[::-1]) == 16 / 56


def test_fewer_than_eight_notes_have_no_share_that_returns() -> None:
    assert np.isnan(returning(*theme(0)[:7]))
    assert returning(*theme(0)) == 0


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.__name__)
def test_events_that_cannot_be_decoded_raise(measure: object) -> None:
    assert callable(measure)
    with pytest.raises(ValueError, match="row 0: a note with pitch code 0"):
        measure([[NOTE, 1, 1, 0, 12, 1]])
    with pytest.raises(ValueError, match="shape"):
        measure([1, 2, 3])


def test_period_below_one_beat_raises() -> None:
    with pytest.raises(ValueError, match="longest_period is 0; it must be at least 1 beat"):
        longest_loop(piece((0, 0, 60, 12, 1)), longest_period=0)


def test_structure_metrics_are_public() -> None:
    for measure in MEASURES:
        assert getattr(mmt.metrics, measure.__name__) is measure
