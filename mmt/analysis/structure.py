"""Metrics of the structure of a piece: repetition, loops, silences, how much instruments play, the ending, unplayable notes.

Each function takes one piece, or the beginning of one, as events (n, 6), and raises a `ValueError` if the events cannot be
decoded (see `mmt.decode`). `representation` is that of the events, by default the paper's. Beats are quarter notes, pitches
MIDI numbers. Loops repeat note for note; in a silence nothing sounds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmt.analysis.intervals import Floats
from mmt.analysis.note_metrics import onsets
from mmt.representation.codes import BEAT, INSTRUMENT, INSTRUMENT_EVENT, PAPER, START_OF_NOTES, TYPE, Representation
from mmt.representation.decode import check_codes, notes_of_events
from mmt.representation.instrument_ranges import INSTRUMENT_RANGES
from mmt.representation.notes import NoteTable

Ints = npt.NDArray[np.int64]

LAGS = 64
"""Lags of the repetition profile: 1 to 64 beats."""
# A piece is locked if in this number of consecutive beats this share of the notes repeats the notes one period before.
_LOCKED_SHARE, _LOCKED_BEATS, _LOCKED_PERIOD = 0.9, 32, 8
# A passage of this number of notes returns if it was last heard at least this number of beats before.
_PASSAGE_NOTES, _PASSAGE_BEATS = 8, 16


def longest_loop(events: npt.ArrayLike, *, longest_period: int = 8, representation: Representation = PAPER) -> int:
    """Length of the longest loop, in beats: consecutive beats that each repeat the beat one period before, note for note.

    Two beats are equal if they have the same notes in position, pitch, duration and instrument, or no onset at all.

    Parameters
    ----------
    events : array_like of int, (n, 6)
    longest_period : int
        Periods are 1 to `longest_period` whole beats, so that a phrase played twice is not a loop.
    representation : Representation
        Of the events.

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
    repeated, played = _repetitions(notes, longest_period, ("position", "pitch", "duration", "instrument"))
    longest = 0
    for period in range(1, min(longest_period, len(played) - 1) + 1):
        shared = repeated[period - 1, period:]
        equal = (shared == played[period:]) & (shared == played[:-period])
        longest = max(longest, _longest_run(equal, played[period:] > 0, period))
    return longest


def repetition_profile(notes: NoteTable) -> Floats:
    """The share of the notes that repeat after 1, 2, …, `LAGS` beats, (LAGS,): same position, pitch and instrument.

    For lag k: of the notes from the k-th beat on, the share that repeat a note k beats before. Durations may differ. NaN if no
    note is so late.
    """
    repeated, played = _repetitions(notes, LAGS, ("position", "pitch", "instrument"))
    late = played.sum() - np.cumsum(played)[:LAGS]
    late = np.pad(late, (0, LAGS - len(late)))
    return np.asarray(np.divide(repeated.sum(axis=1), late, out=np.full(LAGS, np.nan), where=late > 0))


def is_locked(notes: NoteTable) -> bool:
    """Whether a piece is stuck: 32 consecutive beats in which 90 % of the notes repeat those of one period (1 to 8 beats) before.

    Notes repeat in position, pitch and instrument. Music that has a pattern over which something else happens is not stuck.
    """
    repeated, played = _repetitions(notes, _LOCKED_PERIOD, ("position", "pitch", "instrument"))
    if len(played) < _LOCKED_BEATS:
        return False
    width = np.ones(_LOCKED_BEATS)
    notes_in_span = np.convolve(played, width, "valid")
    # With one note for every two beats or fewer, hardly anything repeats.
    busy = notes_in_span >= _LOCKED_BEATS / 2
    return any(
        ((np.convolve(again, width, "valid") >= _LOCKED_SHARE * notes_in_span) & busy).any() for again in repeated
    )


def returning_share(notes: NoteTable, resolution: int) -> float:
    """The share of the notes that repeat a passage: eight notes in a row that were last heard at least 16 beats before.

    Passages are equal if they have the same pitches and instruments, and the same time between onsets. The first occurrence does
    not count, nor does a pattern that goes on without a pause. NaN for fewer than eight notes.
    """
    if len(notes) < _PASSAGE_NOTES:
        return np.nan
    columns = np.stack([onsets(notes, resolution), notes["pitch"], notes["instrument"]], axis=1)
    columns = columns[np.lexsort(columns.T[::-1])]
    # (passages, 3, notes of a passage)
    passages = np.lib.stride_tricks.sliding_window_view(columns, _PASSAGE_NOTES, axis=0).copy()
    begin = passages[:, 0, 0].copy()
    passages[:, 0] -= begin[:, None]
    kinds = np.unique(passages.reshape(len(passages), -1), axis=0, return_inverse=True)[1].reshape(-1)
    order = np.lexsort((begin, kinds))
    again = np.diff(kinds[order]) == 0
    far_enough = np.diff(begin[order]) >= _PASSAGE_BEATS * resolution
    returns = np.zeros(len(passages))
    returns[order[1:]] = again & far_enough
    return float((np.convolve(returns, np.ones(_PASSAGE_NOTES)) > 0).mean())


def has_long_final_chord(notes: NoteTable, resolution: int) -> bool:
    """Whether the notes that begin last are, on average, longer than the piece's median duration; there is at least one."""
    onset = onsets(notes, resolution)
    return bool(notes["duration"][onset == onset.max()].mean() > np.median(notes["duration"]))


def instrument_evenness(declared: npt.ArrayLike, playing: npt.ArrayLike) -> float:
    """How evenly the notes are shared among the declared instruments: 1 if all have as many, 0 if one plays alone.

    The entropy of the instruments' shares of the notes over its maximum (Pielou 1966). NaN for fewer than two instruments, or no
    note of theirs.

    Examples
    --------
    >>> instrument_evenness([25, 27], [25, 27, 25, 27]), instrument_evenness([25, 27], [25, 25])
    (1.0, 0.0)
    """
    codes = np.unique(np.asarray(declared))
    counts = (np.asarray(playing)[:, None] == codes).sum(axis=0)
    if len(codes) < 2 or not counts.sum():
        return np.nan
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum() / np.log(len(codes))) + 0.0


def longest_silence(events: npt.ArrayLike, *, representation: Representation = PAPER) -> float:
    """Length of the longest silence between the first onset and the last, in beats: time in which no note sounds.

    The result is a multiple of 1 / resolution; 0 if there is no silence or no note.

    Examples
    --------
    A quarter note in beat 0, and the next one in beat 10:

    >>> longest_silence([[3, 1, 1, 61, 12, 1], [3, 11, 1, 61, 12, 1]])
    9.0
    """
    return silence_of_notes(_notes(events, representation), representation.resolution)


def silence_of_notes(notes: NoteTable, resolution: int) -> float:
    """`longest_silence` of a note table."""
    onset = onsets(notes, resolution)
    order = np.argsort(onset)
    end = np.maximum.accumulate((onset + notes["duration"])[order])
    return int((onset[order][1:] - end[:-1]).max(initial=0)) / resolution


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
    counts = np.bincount(playing, minlength=len(representation.names) + 1)
    codes = np.union1d(declared_instruments(array), playing)
    return {representation.names[code - 1]: int(counts[code]) for code in codes}


def declared_instruments(events: Ints) -> Ints:
    """The codes of the instruments that a piece (n, 6) declares, ascending."""
    return np.unique(events[events[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT])


def told_length(events: Ints, representation: Representation) -> int:
    """The length in beats that the start-of-notes of a piece (n, 6) tells; 0 if it tells none."""
    if not representation.length:
        return 0
    return max(int(events[events[:, TYPE] == START_OF_NOTES, BEAT].max(initial=0)) - 1, 0)


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


def _repetitions(notes: NoteTable, lags: int, names: tuple[str, ...]) -> tuple[Ints, Ints]:
    """For each lag and beat the number of notes that repeat one `lag` beats before, (lags, beats); and of all notes, (beats,).

    Notes are equal if they have the same values of the columns `names`; equal notes of one beat count once.
    """
    if not len(notes):
        return np.zeros((lags, 0), np.int64), np.zeros(0, np.int64)
    columns = [notes[name].astype(np.int64) for name in names]
    kinds = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    width = int(kinds.max()) + 1
    keys = np.unique(_beats_without_gaps(notes, lags) * width + kinds)
    played = np.bincount(keys // width)
    repeated = [
        np.bincount(keys[np.isin(keys, keys + lag * width, assume_unique=True)] // width, minlength=len(played))
        for lag in range(1, lags + 1)
    ]
    return np.stack(repeated), played


def _beats_without_gaps(notes: NoteTable, longest_period: int) -> Ints:
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
