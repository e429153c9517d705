"""Augmentation of training windows (given notes, length, weights) against plain definitions."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import ALL, LIMITS, Tables, all_rows, melody, note_tables, rows_of, training

from mmt.corpus.augmentation import (
    PARTS_IN_SPAN,
    SPAN,
    WHOLE_PARTS,
    Augmentation,
    Region,
    draw_region,
    piece_weights,
)
from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Limits, ValidationBatches, cut_augmented_window
from mmt.representation.codes import (
    BEAT,
    END_OF_SONG,
    GIVEN_NOTE,
    INSTRUMENT,
    NOTE,
    PITCH,
    START_OF_NOTES,
    TYPE,
    is_note,
)
from mmt.representation.grammar import check_piece
from mmt.representation.notes import NoteTable

SHARES = {"given_share": 0.6, "length_share": 0.5, "substitution_share": 0.5}


def regions(table: NoteTable, start: int) -> st.SearchStrategy[Region]:
    """Regions that begin after the first beat of a window, with any parts or none."""

    def region(first: int, beats: int, chosen: int) -> Region:
        mask = np.zeros(256, bool)
        mask[playing] = chosen >> np.arange(len(playing)) & 1
        first += int(table["beat"][start])
        return Region(first, first + beats, mask)

    playing = np.unique(table["instrument"])
    return st.builds(region, st.integers(0, 30), st.sampled_from([1, 9, 10_000]), st.integers(0, 2 ** len(playing) - 1))


Note = tuple[int, ...]


def plain_order(table: NoteTable, first_beat: int, region: Region, shift: int) -> list[Note]:
    """All notes of a piece from a beat on as events, one by one, in canonical order."""
    rows = []
    for beat, position, pitch, duration, instrument in table.tolist():
        if beat < first_beat:
            continue
        outside = beat >= region.first and not region.parts[instrument]
        kind = GIVEN_NOTE if outside or beat >= region.stop else NOTE
        moved = pitch if instrument == ALL.drums_code else pitch + shift
        code = ALL.durations.index(duration) + 1
        rows.append((kind, 1 + beat - first_beat, 1 + position, 1 + moved, code, instrument))
    return sorted(
        rows, key=lambda row: (row[1] - (ALL.reach if row[0] == GIVEN_NOTE else 0), row[2], row[0] == NOTE, row[1:])
    )


@settings(max_examples=300)
@given(
    note_tables(ALL), st.data(), st.builds(Limits, st.integers(12, 70), st.sampled_from([9, 63])), st.integers(-5, 5)
)
def test_a_window_with_a_region_is_consecutive_notes_and_the_next_written_event(
    table: NoteTable, data: st.DataObject, limits: Limits, shift: int
) -> None:
    start = data.draw(st.integers(0, len(table) - 1))
    region = data.draw(regions(table, start))
    before = table.copy()
    events = cut_augmented_window(table, start, limits, ALL, shift, region=region)
    np.testing.assert_array_equal(table, before)
    assert len(events) <= limits.events
    check_piece(events, complete=False, representation=ALL)
    order = plain_order(table, int(table["beat"][start]), region, shift)
    near = [note for note in order if note[BEAT] <= limits.beats]
    opening = int(np.argmax(events[:, TYPE] == START_OF_NOTES)) + 1
    rows = list(map(tuple, events[opening:].tolist()))
    assert set(events[1 : opening - 1, INSTRUMENT].tolist()) == {row[INSTRUMENT] for row in rows} - {0}
    # The notes of the stretch, once each; the last event is the next written one.
    kept, last = rows[:-1], rows[-1]
    if last[TYPE] == GIVEN_NOTE:
        kept = rows
    assert kept == near[: len(kept)]
    written = [note for note in order if note[TYPE] == NOTE and note not in kept]
    if last[TYPE] == NOTE:
        assert last == written[0]
    elif last[TYPE] == END_OF_SONG:
        assert not written
    else:
        assert written
        assert written[0][BEAT] > limits.beats
    # As many notes as fit: at least those before the region's end, or all.
    spare = limits.events - len(events)
    if spare > len(set(table["instrument"].tolist())):
        inside = [row for row in near if row[BEAT] <= region.stop - int(table["beat"][start])]
        assert [row for row in inside if row not in rows] == []


@pytest.mark.parametrize(
    ("plays", "beats", "last"), [([0, 50], 63, NOTE), ([0, 50], 40, GIVEN_NOTE), ([0], 63, END_OF_SONG)]
)
def test_the_last_event_is_the_next_written_one_at_any_distance(plays: list[int], beats: int, last: int) -> None:
    flute = melody(60, pitch=80)[plays]
    table = np.unique(np.concatenate([melody(60, instrument=25), flute]))
    region = Region(0, 10_000, np.arange(256) == 1)
    events = cut_augmented_window(table, 0, Limits(20, beats), ALL, region=region)
    assert events[-1, TYPE] == last
    assert events[-1, BEAT] == {NOTE: 51, END_OF_SONG: 0}.get(last, events[-1, BEAT])
    assert (events[5:-1, TYPE] == GIVEN_NOTE).sum() == len(events) - 7


@given(note_tables(ALL), st.sampled_from([PARTS_IN_SPAN, WHOLE_PARTS, SPAN]), st.integers(0, 80), st.integers(2, 64))
def test_a_region_gives_the_notes_outside_its_parts_and_beats(
    table: NoteTable, kind: int, place: int, beats: int
) -> None:
    region = draw_region(np.random.default_rng(place), table, kind, place, beats)
    mask = region.given(table)
    for note, is_given in zip(table, mask, strict=True):
        beside = note["beat"] >= region.first and not region.parts[note["instrument"]]
        assert is_given == (beside or note["beat"] >= region.stop)
    inside = (table["beat"] >= region.first) & (table["beat"] < region.stop)
    playing = np.unique(table["instrument"])
    assert (~mask[inside]).any()
    assert region.first == table["beat"][0 if kind == WHOLE_PARTS and len(playing) > 1 else place % len(table)]
    if len(playing) > 1:
        assert region.parts[playing].all() == (kind == SPAN)
        assert (region.stop > table["beat"][-1] + 1000) == (kind == WHOLE_PARTS)


def test_windows_with_given_notes_and_lengths_have_their_shares() -> None:
    table = np.unique(np.concatenate([melody(300), melody(300, instrument=25, pitch=70)]))
    corpus = Tables(table, representation=ALL)
    batches = training(corpus, augmentation=Augmentation((0, 0), **SHARES), steps=400)
    rows = all_rows(batches)
    # A few regions reach beyond their windows, which then have no given notes.
    assert 0.4 < np.mean([(events[:, TYPE] == GIVEN_NOTE).any() for events in rows]) < 0.6
    assert np.mean([events[:, BEAT][events[:, TYPE] == START_OF_NOTES] > 0 for events in rows]) == pytest.approx(
        0.5, abs=0.06
    )
    # Most notes of the windows are written.
    assert np.mean([(events[:, TYPE] == NOTE).sum() for events in rows]) > 15


def test_windows_within_a_piece_hold_at_least_its_last_min_beats() -> None:
    """The corpus has one long and one short piece, each with a note a beat."""
    corpus = Tables(melody(200), melody(12, instrument=25), representation=ALL)
    batches = training(corpus, augmentation=Augmentation((0, 0), min_beats=16), steps=200)
    shortest = {1: 200, 25: 200}
    for events in all_rows(batches):
        notes = events[events[:, TYPE] == NOTE]
        shortest[notes[0, INSTRUMENT]] = min(shortest[notes[0, INSTRUMENT]], len(notes))
    assert shortest == {1: 16, 25: 12}


def test_start_of_notes_holds_the_beats_to_the_end_of_the_piece() -> None:
    corpus = Tables(melody(200), representation=ALL)
    batches = training(corpus, augmentation=Augmentation((0, 0), length_share=1.0), steps=100)
    told: Counter[bool] = Counter()
    for events in all_rows(batches):
        beats = int(events[events[:, TYPE] == START_OF_NOTES, BEAT][0])
        if events[-1, TYPE] == END_OF_SONG:
            assert beats == 1 + events[-2, BEAT]
        # The duration of a note of the melody identifies it.
        firsts = np.arange(events[3, 4] - 1, 200, 32)
        assert beats in np.minimum(1 + 200 - firsts, 64)
        told[beats == 64] += 1
    assert told[True] > told[False] > 0


def test_drums_are_not_transposed_and_do_not_limit_the_shift() -> None:
    drums = melody(60, instrument=ALL.drums_code, pitch=127)
    corpus = Tables(np.unique(np.concatenate([melody(60), drums])), representation=ALL)
    batches = training(corpus, augmentation=Augmentation((-5, 6), given_share=0.5), steps=200)
    pitches: dict[bool, set[int]] = {True: set(), False: set()}
    for events in all_rows(batches):
        for note in events[is_note(events)]:
            pitches[bool(note[INSTRUMENT] == ALL.drums_code)].add(int(note[PITCH]) - 1)
    assert pitches == {True: {127}, False: set(range(55, 67))}


def test_augmented_batches_depend_only_on_seed_and_step(corpus: Corpus) -> None:
    batches, fresh = (training(corpus, augmentation=Augmentation(**SHARES), representation=ALL) for _ in range(2))
    in_order = [batches[step] for step in range(9)]
    for step in (5, 0, 7, 7, 3):
        torch.testing.assert_close(fresh[step].codes, in_order[step].codes, rtol=0, atol=0)


def test_validation_has_neither_given_notes_nor_lengths(corpus: Corpus) -> None:
    plain, ours = (
        ValidationBatches(corpus, LIMITS, batch_size=4, representation=representation) for representation in (None, ALL)
    )
    for step in range(len(plain)):
        torch.testing.assert_close(plain[step].codes, ours[step].codes, rtol=0, atol=0)


def test_batches_without_given_notes_have_a_fixed_hash(long_table: NoteTable) -> None:
    corpus = Tables(long_table, melody(90), melody(10, instrument=2))
    batches = training(corpus, augmentation=Augmentation((-5, 6), 0.2, 0.5), batch_size=4, parts=2, steps=8)
    found = hashlib.sha256(b"".join(batches[index].codes.numpy().tobytes() for index in range(len(batches))))
    assert found.hexdigest().startswith("fc409d27f457680b")


def test_weights_multiply_the_frequency_of_pieces() -> None:
    corpus = Tables(melody(100), melody(100), melody(400, instrument=2))
    for place, source in enumerate(("songs", "songs", "operas")):
        object.__setattr__(corpus.pieces[place], "source", source)
    assert piece_weights(corpus, 0.0, {}).tolist() == [1, 1, 1]
    assert piece_weights(corpus, 0.5, {"SONG*": 0.25, "0": 2.0}) == pytest.approx([5, 2.5, 20])
    rarely = training(corpus, weights={"songs": 1e-9})
    assert {events[1, INSTRUMENT] for index in range(20) for events in rows_of(rarely[index])} == {2}
    said = r"'song' weighs nothing: no name, .* in in memory matches it.*; leave it out of data\.weights"
    with pytest.raises(ValueError, match=said):
        training(corpus, weights={"song": 2.0})


@pytest.mark.parametrize("name", ["given", "length"])
def test_shares_need_the_option_of_the_representation(corpus: Corpus, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}_share is 0.5, and the representation has no {name}"):
        training(corpus, augmentation=Augmentation(**{f"{name}_share": 0.5}))
