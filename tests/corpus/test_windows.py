"""Windows are consecutive notes of pieces, every note can be drawn, and batches depend only on seed and step."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import pieces
from tables import ALL, LIMITS, Tables, all_rows, melody, rows_of, training

from mmt.corpus.augmentation import Augmentation
from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Limits, ValidationBatches, collate, cut_window
from mmt.representation.codes import (
    BEAT,
    END_OF_SONG,
    INSTRUMENT,
    INSTRUMENT_EVENT,
    NOTE,
    PAPER,
    PITCH,
    TYPE,
    Events,
)
from mmt.representation.decode import notes_of_events
from mmt.representation.encode import events_of_notes
from mmt.representation.grammar import check_piece
from mmt.representation.notes import NOTE_DTYPE, NoteTable


@given(
    pieces(beats=30, max_notes=60),
    st.data(),
    st.builds(Limits, st.integers(4, 70), st.integers(1, 31)),
    st.integers(-5, 5),
)
def test_a_window_holds_consecutive_notes_of_its_piece(
    piece: Events, data: st.DataObject, limits: Limits, shift: int
) -> None:
    table = notes_of_events(piece)
    table["pitch"] = table["pitch"].clip(5, 122)
    table = np.unique(table)
    start = data.draw(st.integers(0, len(table) - 1))
    before = table.copy()
    events, stop = cut_window(table, start, limits, PAPER, shift)
    np.testing.assert_array_equal(table, before)
    check_piece(events, complete=False)
    first = int(np.flatnonzero(table["beat"] == table["beat"][start])[0])
    expected = table[first:stop].copy()
    expected["beat"] -= table["beat"][start]
    expected["pitch"] = (expected["pitch"].astype(int) + shift).astype("u1")
    # The notes of that stretch, from beat 0 on, and the instruments that sound in it.
    np.testing.assert_array_equal(events, events_of_notes(expected, end=bool(events[-1, TYPE] == END_OF_SONG)))
    notes = events[events[:, TYPE] == NOTE]
    assert notes[0, BEAT] == 1
    assert set(events[events[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT]) == set(notes[:, INSTRUMENT])
    # Within the limits, as long as they allow, and with an end only at the end of the piece.
    assert len(events) <= limits.events
    assert notes[-1, BEAT] <= limits.beats
    if events[-1, TYPE] == END_OF_SONG:
        assert stop == len(table)
    elif stop < len(table) and table["beat"][stop] - table["beat"][start] < limits.beats:
        one_more = np.unique(table["instrument"][first : stop + 1])
        # Instruments are counted before the last cut, so up to one place per instrument may stay empty.
        assert 2 + len(one_more) + (stop + 1 - first) + len(np.unique(table["instrument"])) > limits.events
    elif stop == len(table):
        assert len(table[first:stop]) + 3 + len(np.unique(table["instrument"][first:stop])) > limits.events


def test_end_of_song_is_where_the_piece_ends() -> None:
    table = melody(10)
    for start in range(10):
        events, stop = cut_window(table, start, Limits(40, 16), PAPER)
        assert stop == 10
        assert events[-1, TYPE] == END_OF_SONG
        assert len(events) == 3 + 10 - start + 1
    # 14 events fit exactly; with 13 there is no room for the end, with 12 none for the last note.
    assert cut_window(table, 0, Limits(14, 16), PAPER)[0][-1, TYPE] == END_OF_SONG
    assert [len(cut_window(table, 0, Limits(size, 16), PAPER)[0]) for size in (13, 12)] == [13, 12]
    assert [cut_window(table, 0, Limits(size, 16), PAPER)[1] for size in (13, 12)] == [10, 9]
    assert cut_window(table, 0, Limits(13, 16), PAPER)[0][-1, TYPE] == NOTE
    assert cut_window(table, 0, Limits(40, 9), PAPER)[0][-1, TYPE] == NOTE


def test_every_note_of_a_piece_can_be_drawn_also_in_the_last_window() -> None:
    corpus = Tables(melody(60), melody(5, instrument=2))
    batches = training(corpus, augmentation=Augmentation((0, 0)), steps=400)
    starts: Counter[int] = Counter()
    ends = alone = 0
    for events in all_rows(batches):
        if events[1, INSTRUMENT] == 1:
            # A note is identified by its duration and the number of notes after it.
            starts[int(events[3, 4])] += 1
            ends += events[-1, TYPE] == END_OF_SONG
            alone += len(events) == 5
    assert len(starts) == 32
    assert ends > 0
    # The last note of the piece begins windows too.
    assert alone > 0


def test_shifts_are_uniform_over_the_range_and_never_clip() -> None:
    batches = training(Tables(melody(20, pitch=60)), augmentation=Augmentation((-5, 6)), steps=2000)
    pitches = Counter(int(events[-2, PITCH]) - 61 for events in all_rows(batches))
    assert sorted(pitches) == list(range(-5, 7))
    # 6,000 draws: 500 of each, within 5 standard deviations.
    assert all(abs(count - 500) < 110 for count in pitches.values())


def test_near_the_limits_of_pitch_shifts_are_nearly_uniform_over_those_that_fit() -> None:
    table = melody(20, pitch=125)
    table["pitch"][3] = 2
    batches = training(Tables(table), augmentation=Augmentation((-5, 6)), steps=1000)
    shifts: Counter[int] = Counter()
    for events in all_rows(batches):
        notes = events[events[:, TYPE] == NOTE]
        shifts[int(notes[:, PITCH].max()) - 126] += 1
        assert notes[:, PITCH].min() >= 1
        assert notes[:, PITCH].max() <= 128
    assert sorted(shifts) == [-2, -1, 0, 1, 2]
    # 12 shifts map to 5 values: some are twice, some three times as likely as one shift, and none is lost.
    assert all(3000 * 2 / 12 * 0.8 < count < 3000 * 3 / 12 * 1.2 for count in shifts.values())


def test_start_share_and_length_exponent_weigh_the_starts_of_windows() -> None:
    corpus = Tables(melody(90), melody(10, instrument=2))

    def count(**augmentation: float) -> tuple[float, float]:
        batches = training(corpus, augmentation=Augmentation((0, 0), **augmentation), steps=300)
        rows = all_rows(batches)
        long = [events for events in rows if events[1, INSTRUMENT] == 1]
        begins = [events for events in long if events[3, 4] == 1 and len(events) > 18]
        return len(long) / len(rows), len(begins) / len(long)

    assert count()[0] == pytest.approx(0.5, abs=0.08)
    assert count(length_exponent=1.0)[0] == pytest.approx(0.9, abs=0.05)
    # Notes 1, 33 and 65 have the duration of the first note, too.
    assert count(start_share=1.0)[1] == 1.0
    assert count(start_share=0.5)[1] == pytest.approx(0.5 + 0.5 * 3 / 90, abs=0.08)


def test_a_batch_depends_only_on_seed_and_step(corpus: Corpus) -> None:
    batches = training(corpus)
    in_order = [batches[step] for step in range(12)]
    fresh = training(corpus)
    for step in (11, 0, 7, 7, 3):
        torch.testing.assert_close(fresh[step].codes, in_order[step].codes, rtol=0, atol=0)
    torch.testing.assert_close(training(corpus, steps=12)[11].codes, in_order[11].codes)
    assert training(corpus, seed=1)[0].codes.shape != in_order[0].codes.shape or not torch.equal(
        training(corpus, seed=1)[0].codes, in_order[0].codes
    )
    state = np.random.get_state()[1].sum(), torch.get_rng_state().sum()  # noqa: NPY002 (that nothing draws from it is the test)
    training(corpus)[0]
    assert (np.random.get_state()[1].sum(), torch.get_rng_state().sum()) == state  # noqa: NPY002


@pytest.mark.parametrize("augmented", [False, True])
def test_the_windows_of_a_step_do_not_depend_on_how_it_is_split(corpus: Corpus, augmented: bool) -> None:
    shares = dict.fromkeys(("given_share", "length_share", "substitution_share"), 0.5)
    options = {"augmentation": Augmentation(**shares), "representation": ALL} if augmented else {}
    whole = training(corpus, batch_size=6, steps=9, **options)
    dealt = training(corpus, batch_size=2, steps=9, parts=3, **options)
    assert (len(whole), len(dealt)) == (9, 27)
    for step in range(9):
        windows = [events for part in range(3) for events in rows_of(dealt[3 * step + part])]
        assert len(windows) == 6
        assert sorted(map(bytes, windows)) == sorted(map(bytes, rows_of(whole[step])))


def test_validation_covers_every_note_and_is_always_the_same(corpus: Corpus, long_table: NoteTable) -> None:
    tables = Tables(long_table, melody(50, instrument=3))
    batches = ValidationBatches(tables, LIMITS, batch_size=4)
    rows = all_rows(batches)
    assert sum(events[-1, TYPE] == END_OF_SONG for events in rows) == 2
    found = Counter(tuple(note[2:]) for events in rows for note in events[events[:, TYPE] == NOTE].tolist())
    wanted = Counter(tuple(note[2:]) for events in tables for note in events[events[:, TYPE] == NOTE].tolist())
    assert all(found[note] >= count for note, count in wanted.items())
    assert all(len(events) <= LIMITS.events for events in rows)
    again = ValidationBatches(tables, LIMITS, batch_size=4)
    for step in range(len(batches)):
        torch.testing.assert_close(again[step].codes, batches[step].codes, rtol=0, atol=0)


def test_validation_has_each_note_once_if_windows_are_cut_between_beats() -> None:
    batches = ValidationBatches(Tables(melody(100), melody(7)), LIMITS, batch_size=4)
    rows = all_rows(batches)
    assert sum(int((events[:, TYPE] == NOTE).sum()) for events in rows) == 107


@pytest.mark.parametrize("chord", [36, 37, 38, 90])
def test_validation_continues_after_a_chord_larger_than_a_window(chord: int) -> None:
    table = np.zeros(chord + 2, NOTE_DTYPE)
    table["duration"], table["instrument"], table["pitch"] = 1, 1, 20
    table["beat"][0], table["beat"][-1] = 0, 2
    table["beat"][1:-1], table["pitch"][1:-1] = 1, 25 + np.arange(chord)
    batches = ValidationBatches(Tables(np.unique(table)), LIMITS, batch_size=4)
    rows = all_rows(batches)
    assert {int(pitch) for events in rows for pitch in events[3:, PITCH] if pitch} == {
        21,
        *range(26, 26 + min(chord, LIMITS.events - 3)),
    }
    assert sum(events[-1, TYPE] == END_OF_SONG for events in rows) == 1


def test_fewer_validation_windows_are_spread_over_the_split() -> None:
    tables = Tables(*(melody(10, instrument=place + 1) for place in range(20)))
    batches = ValidationBatches(tables, LIMITS, batch_size=2, windows=5)
    rows = all_rows(batches)
    assert sorted(int(events[1, INSTRUMENT]) for events in rows) == [1, 6, 11, 15, 20]
    assert len(ValidationBatches(tables, LIMITS, batch_size=2, windows=500)) == 10


@given(st.lists(pieces(max_notes=5), min_size=1, max_size=4))
def test_a_batch_holds_its_windows_padded_with_zeros(windows: list[Events]) -> None:
    batch = collate(windows)
    assert batch.lengths.tolist() == [len(window) for window in windows]
    assert batch.codes.shape == (len(windows), max(map(len, windows)), 6)
    for codes, window in zip(batch.codes.numpy(), windows, strict=True):
        np.testing.assert_array_equal(codes[: len(window)], window)
        assert not codes[len(window) :].any()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"pitch_shift": (1, 6)}, r"pitch_shift is \(1, 6\)"),
        ({"pitch_shift": (-5, -1)}, r"pitch_shift is \(-5, -1\)"),
        ({"pitch_shift": (-128, 0)}, r"pitch_shift is \(-128, 0\)"),
        ({"length_exponent": -0.1}, "length_exponent is -0.1"),
    ],
)
def test_impossible_augmentation_is_refused(arguments: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Augmentation(**arguments)
