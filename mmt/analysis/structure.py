"""Metrics of typical failures of generated pieces: loops, silences, instruments that hardly play, unplayable notes.

Each function takes one piece, or the beginning of one, as events (n, 6), and raises a `ValueError` if the events cannot be
decoded (see `mmt.decode`). `representation` is that of the events, by default the paper's. Beats are quarter notes, pitches
MIDI numbers. Loops repeat note for note; in a silence nothing sounds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmt.representation.codes import INSTRUMENT, INSTRUMENT_EVENT, PAPER, TYPE, Events, Representation
from mmt.representation.decode import check_codes, notes_of_events
from mmt.representation.instrument_ranges import INSTRUMENT_RANGES
from mmt.representation.notes import NoteTable


def longest_loop(events: npt.ArrayLike, *, longest_period: int = 8, representation: Representation = PAPER) -> int:
    """Length of the longest loop, in beats: consecutive beats that each repeat the beat one period before, note for note.

    Two beats are equal if they have the same notes in position, pitch, duration and instrument, or no onset at all.

    Parameters
    ----------
    events : array_like of int, (n, 6)
    longest_period : int
        Periods are 1 to `longest_period` whole beats, so that a phrase played twice is not a loop.

    Returns
    -------
    int
        Number of repeating beats, without the first period, which they repeat. A loop has at least one period and at least
        one onset; 0 if there is none.

    Examples
    --------
    Two beats, C and D, five times: the last eight beats repeat the two before.

    >>> longest_loop([[3, 1 + beat, 1, 61 + 2 * (beat % 2), 12, 1] for beat in range(10)])
    8
    """
    if longest_period < 1:
        raise ValueError(f"longest_period is {longest_period}; it must be at least 1 beat")
    notes = _notes(events, representation)
    if not len(notes):
        return 0
    # A number for each different note: beat * width + kind.
    kinds = _kinds(notes)
    width = int(kinds.max()) + 1
    keys = np.unique(_beats_without_gaps(notes, longest_period) * width + kinds)
    onsets = np.bincount(keys // width)
    longest = 0
    for period in range(1, min(longest_period, len(onsets) - 1) + 1):
        repeated = keys[np.isin(keys, keys + period * width, assume_unique=True)]
        shared = np.bincount(repeated // width, minlength=len(onsets))[period:]
        equal = (shared == onsets[period:]) & (shared == onsets[:-period])
        longest = max(longest, _longest_run(equal, onsets[period:] > 0, period))
    return longest


def longest_silence(events: npt.ArrayLike, *, representation: Representation = PAPER) -> float:
    """Length of the longest silence between the first onset and the last, in beats: time in which no note sounds.

    The result is a multiple of 1 / resolution; 0 if there is no silence or no note.

    Examples
    --------
    A quarter note in beat 0, and the next one in beat 10:

    >>> longest_silence([[3, 1, 1, 61, 12, 1], [3, 11, 1, 61, 12, 1]])
    9.0
    """
    notes = _notes(events, representation)
    onset = notes["beat"].astype(np.int64) * representation.resolution + notes["position"]
    order = np.argsort(onset)
    end = np.maximum.accumulate((onset + notes["duration"])[order])
    return int((onset[order][1:] - end[:-1]).max(initial=0)) / representation.resolution


def notes_by_instrument(events: npt.ArrayLike, *, representation: Representation = PAPER) -> dict[str, int]:
    """Number of notes of each instrument that is declared or plays, by name in code order; 0 if it does not play.

    Examples
    --------
    >>> import mmt
    >>> notes_by_instrument([*mmt.prompt.instruments("violin", "cello"), [3, 1, 1, 61, 12, 27]])
    {'violin': 0, 'cello': 1}
    """
    array = check_codes(events, representation)
    playing = notes_of_events(array, representation)["instrument"]
    declared = array[array[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT]
    counts = np.bincount(playing, minlength=len(representation.names) + 1)
    return {representation.names[code - 1]: int(counts[code]) for code in np.union1d(declared, playing)}


def share_in_range(events: npt.ArrayLike, *, representation: Representation = PAPER) -> float:
    """Share of the notes in the range of their real instrument (`mmt.representation.instrument_ranges`), 0 to 1.

    Notes of instruments without a known range are left out; NaN if there are no others.

    Examples
    --------
    The lowest note of a violin is G3, MIDI pitch 55:

    >>> share_in_range([[3, 1, 1, 1 + 54, 12, 25], [3, 2, 1, 1 + 55, 12, 25]])
    0.5
    """
    notes = _notes(events, representation)
    unknown = (1, 0)
    ranges = np.array([unknown, *(INSTRUMENT_RANGES.get(name, unknown) for name in representation.names)])
    low, high = ranges[notes["instrument"]].T
    inside = (low <= notes["pitch"]) & (notes["pitch"] <= high)
    known = low <= high
    return float(inside[known].mean()) if known.any() else np.nan


def _notes(events: npt.ArrayLike, representation: Representation) -> NoteTable:
    return notes_of_events(check_codes(events, representation), representation)


def _kinds(notes: NoteTable) -> Events:
    """A number for everything but the beat of each note, (n,)."""
    columns = [notes[name].astype(np.int64) for name in ("position", "pitch", "duration", "instrument")]
    return np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _beats_without_gaps(notes: NoteTable, longest_period: int) -> Events:
    """Beats of the notes from 0, (n,), with long gaps cut to `longest_period + 1` beats.

    Such a gap still ends a loop, and memory does not grow with it.
    """
    beats, place = np.unique(notes["beat"].astype(np.int64), return_inverse=True)
    steps = np.minimum(np.diff(beats, prepend=beats[0]), longest_period + 1)
    return np.cumsum(steps)[place.reshape(-1)]


def _longest_run(equal: npt.NDArray[np.bool_], with_onset: npt.NDArray[np.bool_], shortest: int) -> int:
    """Length of the longest run of equal beats that has at least `shortest` beats and one with an onset; else 0."""
    edges = np.flatnonzero(np.diff(equal, prepend=False, append=False))
    begin, end = edges[::2], edges[1::2]
    counted = np.concatenate([[0], np.cumsum(with_onset)])
    lengths = (end - begin)[(counted[end] > counted[begin]) & (end - begin >= shortest)]
    return int(lengths.max(initial=0))
