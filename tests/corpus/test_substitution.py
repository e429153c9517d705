"""Substituted instruments can play their parts, and nothing else in a window changes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import ALL, Tables, all_rows, melody, note_tables, training

from mmt.corpus.augmentation import NOTHING_GIVEN, Augmentation, Region
from mmt.corpus.substitution import Substitution
from mmt.corpus.windows import Limits, cut_augmented_window, cut_window
from mmt.representation.codes import INSTRUMENT, INSTRUMENT_EVENT, PITCH, TYPE, is_note
from mmt.representation.grammar import check_piece
from mmt.representation.instrument_ranges import INSTRUMENT_RANGES
from mmt.representation.notes import NOTE_DTYPE, NoteTable

SUBSTITUTION = Substitution(ALL)


def plays(code: int, pitches: list[int]) -> bool:
    lowest, highest = INSTRUMENT_RANGES.get(ALL.names[code - 1], (0, 127))
    return lowest <= min(pitches) and max(pitches) <= highest


@given(note_tables(ALL), st.integers(0, 2**32))
def test_substitutes_are_free_instruments_that_can_play_the_part(table: NoteTable, seed: int) -> None:
    substitutes = SUBSTITUTION.draw(np.random.default_rng(seed), table)
    playing = sorted(set(table["instrument"].tolist()))
    assert substitutes[ALL.drums_code] == ALL.drums_code
    assert all(substitutes[code] == code for code in range(256) if code not in playing)
    assert len({int(substitutes[code]) for code in playing}) == len(playing)
    pitches = {code: table["pitch"][table["instrument"] == code].tolist() for code in playing}
    changed = [code for code in playing if substitutes[code] != code]
    for code in changed:
        assert substitutes[code] not in (*playing, ALL.drums_code)
        assert 1 <= substitutes[code] <= 64
        assert plays(int(substitutes[code]), pitches[code])
    # At least one, if there is a part other than drums: synthesizers can play any part.
    assert changed or playing == [ALL.drums_code]


@given(note_tables(ALL), st.data(), st.integers(-5, 5), st.booleans())
def test_only_the_instruments_of_a_window_change(
    table: NoteTable, data: st.DataObject, shift: int, whole: bool
) -> None:
    start, limits = data.draw(st.integers(0, len(table) - 1)), Limits(data.draw(st.integers(12, 70)), 63)
    beat = int(table["beat"][start])
    region = NOTHING_GIVEN if whole else Region(beat + 5, beat + 20, np.arange(256) % 2 == 1)
    plain = cut_augmented_window(table, start, limits, ALL, shift, region=region)
    table_of_codes = SUBSTITUTION.draw(np.random.default_rng(0), table)
    events = cut_augmented_window(table, start, limits, ALL, shift, region=region, substitutes=lambda _: table_of_codes)
    check_piece(events, complete=False, representation=ALL)
    kept, former = events[is_note(events)], plain[is_note(plain)]
    np.testing.assert_array_equal(kept[:, :INSTRUMENT], former[:, :INSTRUMENT])
    if len(np.unique(former[:, :INSTRUMENT], axis=0)) == len(former):
        np.testing.assert_array_equal(kept[:, INSTRUMENT], table_of_codes[former[:, INSTRUMENT]])


@given(note_tables(ALL), st.data(), st.integers(-5, 5))
def test_without_given_notes_an_augmented_window_is_a_plain_one(
    table: NoteTable, data: st.DataObject, shift: int
) -> None:
    start, limits = data.draw(st.integers(0, len(table) - 1)), Limits(data.draw(st.integers(12, 300)), 63)
    plain = cut_window(table, start, limits, ALL, shift)[0]
    events = cut_augmented_window(table, start, limits, ALL, shift)
    # A plain window counts instruments differently: a few notes, or the end, may fit into only one of the two.
    shared, spare = min(len(plain), len(events)), len(np.unique(table["instrument"]))
    assert abs(len(plain) - len(events)) <= spare
    first, second = (part[is_note(part)][: shared - spare - 3] for part in (plain, events))
    count = min(len(first), len(second))
    np.testing.assert_array_equal(first[:count], second[:count])
    if len(plain) + spare < limits.events:
        np.testing.assert_array_equal(plain, events)


def test_every_instrument_is_drawn_and_similar_ones_more_often() -> None:
    table = melody(20, ALL.find_instrument("violin"), pitch=72)
    random = np.random.default_rng(0)
    drawn = Counter(ALL.names[SUBSTITUTION.draw(random, table)[25] - 1] for _ in range(5000))
    low, high = melody(20, ALL.find_instrument("cello"), pitch=40), melody(20, ALL.find_instrument("flute"), pitch=90)
    for part in (low, high):
        drawn.update(ALL.names[SUBSTITUTION.draw(random, part)[part["instrument"][0]] - 1] for _ in range(2000))
    assert set(drawn) >= set(ALL.names) - {"drums"}
    violin = Counter(ALL.names[SUBSTITUTION.draw(random, table)[25] - 1] for _ in range(5000))
    # 12 for its General MIDI group, 4 for its class, 1 for others; divided by the number of pitches in its range.
    weights = {"viola": 12 / 46, "strings": 4 / 82, "oboe": 1 / 36, "piano": 1 / 88}
    shares = {name: violin[name] / sum(violin[name] for name in weights) for name in weights}
    assert shares == pytest.approx({name: weight / sum(weights.values()) for name, weight in weights.items()}, abs=0.04)


def test_parts_with_chords_go_to_instruments_that_play_chords() -> None:
    table = np.zeros(60, NOTE_DTYPE)
    table["beat"], table["pitch"] = np.repeat(np.arange(20), 3), np.tile([60, 64, 67], 20)
    table["duration"], table["instrument"] = 12, 1
    random = np.random.default_rng(0)
    drawn = {ALL.names[SUBSTITUTION.draw(random, table)[1] - 1] for _ in range(2000)}
    assert drawn >= {"organ", "harp", "accordion", "voices", "strings"}
    assert not drawn & {"violin", "cello", "oboe", "clarinet", "trumpet", "bag-pipe", "alto-saxophone"}


def test_about_half_of_the_instruments_of_a_share_of_windows_are_substituted() -> None:
    codes = [25, 26, 27, 41, 46]
    table = np.unique(np.concatenate([melody(100, code, 60 + place) for place, code in enumerate(codes)]))
    corpus = Tables(table, representation=ALL)
    batches = training(corpus, augmentation=Augmentation((0, 0), substitution_share=0.5), steps=300)
    rows = [events[events[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT] for events in all_rows(batches)]
    changed = np.array([(~np.isin(instruments, codes)).sum() for instruments in rows])
    assert (changed > 0).mean() == pytest.approx(0.5, abs=0.06)
    assert changed[changed > 0].mean() == pytest.approx(2.5, abs=0.4)


def test_transposed_parts_stay_in_the_range_of_their_substitutes() -> None:
    corpus = Tables(melody(60, 25, 84), representation=ALL)
    augmentation = Augmentation((-12, 12), substitution_share=1.0, given_share=0.3)
    batches = training(corpus, augmentation=augmentation, steps=100)
    for events in all_rows(batches):
        notes = events[is_note(events)]
        for code in np.unique(notes[:, INSTRUMENT]):
            assert code != 25
            assert plays(int(code), (notes[notes[:, INSTRUMENT] == code, PITCH] - 1).tolist())
