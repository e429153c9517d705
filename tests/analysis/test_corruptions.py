"""Each measure follows the ordered corruption of real music that it is meant to detect (rank correlation of at least 0.9)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import spearmanr
from small_corpora import tiny_tables

import mmt
from mmt.analysis.distance import kernel_distance
from mmt.analysis.metrics import evaluate, told_length
from mmt.representation.codes import BEAT, START_OF_NOTES, TYPE, Events
from mmt.representation.encode import events_of_notes
from mmt.representation.notes import NoteTable

# With length codes, so that the ending of a piece can be compared with its length code.
TOLD = mmt.Representation(length=True)
LEVELS = np.linspace(0, 1, 7)
PIECES = list(tiny_tables(TOLD).values())
Corruption = Callable[[NoteTable, float, np.random.Generator], NoteTable]


def encoded(notes: NoteTable) -> Events:
    events = events_of_notes(np.sort(notes), TOLD)
    events[events[:, TYPE] == START_OF_NOTES, BEAT] = TOLD.length_code(int(notes["beat"].max()) + 1)
    return events


def remove_a_part(notes: NoteTable, level: float, random: np.random.Generator) -> NoteTable:
    """Remove this share of the instruments, and at most all but one."""
    parts = np.unique(notes["instrument"])
    gone = parts[1:][: round(level * (len(parts) - 1))]
    return notes[~np.isin(notes["instrument"], gone)]


def thin_a_part(notes: NoteTable, level: float, random: np.random.Generator) -> NoteTable:
    """Remove this share of the notes of the instrument with the fewest."""
    parts, counts = np.unique(notes["instrument"], return_counts=True)
    own = np.flatnonzero(notes["instrument"] == parts[counts.argmin()])
    return np.delete(notes, random.permutation(own)[: int(level * (len(own) - 1))])


def silence(notes: NoteTable, level: float, random: np.random.Generator) -> NoteTable:
    """Delete all notes from beat 8 on, for at most 32 beats."""
    return notes[(notes["beat"] < 8) | (notes["beat"] >= 8 + 32 * level)]


def change_pitches(notes: NoteTable, level: float, random: np.random.Generator) -> NoteTable:
    """Move this share of the notes to another pitch near their own."""
    changed = notes.copy()
    drawn = random.random(len(notes)) < level
    changed["pitch"][drawn] += random.integers(1, 12, drawn.sum()).astype(changed["pitch"].dtype)
    return changed


def shift_in_time(notes: NoteTable, level: float, random: np.random.Generator) -> NoteTable:
    """Move this share of the notes to any position of their beat, and give them any duration."""
    changed = notes.copy()
    drawn = random.random(len(notes)) < level
    changed["position"][drawn] = random.integers(0, 12, drawn.sum())
    changed["duration"][drawn] = random.integers(1, 96, drawn.sum())
    return np.unique(changed)


def lock(notes: NoteTable, level: float, random: np.random.Generator) -> NoteTable:
    """Repeat the last four beats from some beat on; higher levels do so in more pieces and for longer."""
    last = int(notes["beat"].max())
    begin = max(int(last * (1 - level)) + random.integers(-4, 5), 8)
    phrase = notes[(notes["beat"] >= begin - 4) & (notes["beat"] < begin)]
    if not level:
        return notes
    loops = []
    for times in range(1, (last - begin) // 4 + 1):
        again = phrase.copy()
        again["beat"] += 4 * times
        loops.append(again)
    return np.concatenate([notes[notes["beat"] < begin], *loops])


def take_up_the_beginning(notes: NoteTable, level: float, random: np.random.Generator) -> NoteTable:
    """Replace up to 32 beats from beat 32 on by the first ones of the piece."""
    beats = round(32 * level)
    kept = notes[(notes["beat"] < 32) | (notes["beat"] >= 32 + beats)]
    again = notes[notes["beat"] < beats].copy()
    again["beat"] += 32
    return np.concatenate([kept, again])


def shorten_the_end(notes: NoteTable, level: float, random: np.random.Generator) -> NoteTable:
    """Cut the duration of the last notes, to a step at the highest level."""
    changed = notes.copy()
    onset = changed["beat"].astype(int) * 12 + changed["position"]
    ends = onset == onset.max()
    changed["duration"][ends] = np.maximum(1, changed["duration"][ends] * (1 - level) * random.uniform(0.2, 1.0))
    return changed


def stop_early(notes: NoteTable, level: float, random: np.random.Generator) -> NoteTable:
    """Cut up to 12 beats at the end."""
    return notes[notes["beat"] <= notes["beat"].max() - round(level * random.uniform(0, 12))]


CASES: dict[str, tuple[Corruption, int]] = {
    "instruments_used": (remove_a_part, -1),
    "instrument_evenness": (thin_a_part, -1),
    "longest_silence": (silence, 1),
    "repetition": (change_pitches, -1),
    "returning": (take_up_the_beginning, 1),
    "locked": (lock, 1),
    "long_final_chord": (shorten_the_end, -1),
    "ends_at_told_length": (stop_early, -1),
}


def corrupted(corruption: Corruption, level: float, seed: int) -> list[Events]:
    """Each piece four times, with the header of the whole piece: its instruments and its length."""
    random, made = np.random.default_rng(seed), []
    for notes in PIECES:
        header = encoded(notes)
        header = header[header[:, TYPE] <= START_OF_NOTES]
        for _ in range(4):
            events = encoded(corruption(notes, level, random))
            made.append(np.concatenate([header, events[events[:, TYPE] > START_OF_NOTES]]))
    return made


@pytest.mark.parametrize("name", CASES)
def test_measures_follow_the_corruption_that_they_detect(name: str) -> None:
    corruption, sign = CASES[name]
    means = [evaluate(corrupted(corruption, level, seed=0), representation=TOLD)[name].mean for level in LEVELS]
    assert spearmanr(LEVELS, sign * np.array(means)).statistic >= 0.9, means
    assert sign * (means[-1] - means[0]) > 0.25 * max(means)


@pytest.mark.parametrize("corruption", [change_pitches, shift_in_time, remove_a_part])
def test_kernel_distance_follows_corruptions_and_is_zero_between_real_pieces(corruption: Corruption) -> None:
    """Excerpts of 16 beats of the pieces: those with even numbers are corrupted, the others are real."""
    excerpts = []
    for notes in PIECES:
        for first in range(0, int(notes["beat"].max()) - 16, 8):
            excerpt = notes[(notes["beat"] >= first) & (notes["beat"] < first + 16)].copy()
            excerpt["beat"] -= first
            excerpts.append(excerpt)
    real = evaluate([encoded(notes) for notes in excerpts[1::2]], representation=TOLD)
    random, found = np.random.default_rng(0), []
    for level in LEVELS:
        pieces = [encoded(corruption(notes, level, random)) for notes in excerpts[::2]]
        found.append(kernel_distance(evaluate(pieces, representation=TOLD), real))
    assert found[0].value < found[0].floor
    assert found[-1].low > found[-1].floor > 0
    assert spearmanr(LEVELS, [one.value for one in found]).statistic >= 0.9, found


def test_kernel_distance_of_equal_distributions_averages_to_zero() -> None:
    """It is unbiased, and its interval has the true value, 0, in most draws."""
    random, found = np.random.default_rng(1), []
    scores = evaluate([encoded(PIECES[0])] * 2, representation=TOLD)
    for seed in range(40):
        sets = []
        for count in (20, 30):
            values = {name: random.normal(size=count) for name in scores.values}
            sets.append(type(scores)(values, "whole pieces", np.zeros((count, 64))))
        found.append(kernel_distance(*sets, seed=seed))
    values = np.array([one.value for one in found])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
    assert np.mean([one.low <= 0 <= one.high for one in found]) >= 0.9


def test_encoded_pieces_hold_their_real_length() -> None:
    for notes in PIECES:
        assert told_length(encoded(notes), TOLD) == notes["beat"].max() + 1
    events = encoded(PIECES[0])
    events[events[:, TYPE] == START_OF_NOTES, BEAT] = 0
    assert np.isnan(evaluate([events], representation=TOLD).values["ends_at_told_length"][0])
