"""Metrics that depend only on the notes of a piece, a note table; and its onsets, its pitched notes, and its beginning.

Times are in steps, `resolution` of them a beat. A measure has four beats. Undefined metrics are NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mmt.representation.codes import PITCHES, Representation
from mmt.representation.decode import DEFAULT_TEMPO
from mmt.representation.notes import NoteTable

_BEATS_PER_MEASURE = 4
_MAJOR = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1])
# The twelve major scales, (12, 12). The natural minor ones have the same notes.
_SCALES = np.stack([np.roll(_MAJOR, root) for root in range(12)])


def note_metrics(notes: NoteTable, representation: Representation) -> dict[str, float]:
    """The metrics that depend only on the notes of a piece, of which there is at least one."""
    resolution = representation.resolution
    onset = onsets(notes, resolution)
    length, last_beat = int((onset + notes["duration"]).max()), int(notes["beat"].max())
    measure = _BEATS_PER_MEASURE * resolution
    return _pitch_metrics(pitched(notes, representation), resolution) | {
        "groove_consistency": _groove_consistency(onset, measure, length // measure + 1),
        "groove_consistency_corrected": _groove_consistency(onset, measure, -(-length // measure)),
        "notes_per_beat": len(notes) / (last_beat + 1),
        "notes": len(notes),
        "beats": last_beat + 1,
        "seconds": length / resolution * 60 / DEFAULT_TEMPO,
        "instruments": len(np.unique(notes["instrument"])),
    }


def _pitch_metrics(notes: NoteTable, resolution: int) -> dict[str, float]:
    """Pitch class entropy, scale consistency and polyphony; NaN for a table without notes."""
    if not len(notes):
        return dict.fromkeys(("pitch_class_entropy", "scale_consistency", "polyphony"), np.nan)
    onset = onsets(notes, resolution)
    classes = np.bincount(notes["pitch"] % 12, minlength=12)
    shares = classes[classes > 0] / len(notes)
    return {
        # Adding 0 turns the -0.0 of a single pitch class into 0.0.
        "pitch_class_entropy": float(-(shares * np.log2(shares)).sum()) + 0.0,
        "scale_consistency": float((_SCALES @ classes).max() / len(notes)),
        "polyphony": _polyphony(onset, onset + notes["duration"], notes["pitch"]),
    }


def _groove_consistency(onset: npt.NDArray[np.int64], measure: int, measures: int) -> float:
    """Groove consistency over `measures` measures of `measure` steps each."""
    if measures < 2:
        return np.nan
    steps = np.unique(onset)
    place = steps // measure
    # Each onset counts as a difference from the measure before and the measure after, unless that measure does not exist or
    # has an onset at the same step.
    different = 2 * len(steps) - (place == 0).sum() - (place == measures - 1).sum()
    different -= 2 * np.isin(steps + measure, steps, assume_unique=True).sum()
    return float(1 - different / (measure * (measures - 1)))


def _polyphony(onset: npt.NDArray[np.int64], end: npt.NDArray[np.int64], pitch: npt.NDArray[np.integer[Any]]) -> float:
    """Mean number of sounding pitches over the steps where any sounds; a pitch that two notes hold counts once."""
    # Shift each pitch to its own stretch of time, so that notes of different pitches cannot overlap.
    apart = pitch.astype(np.int64) * (int(end.max()) + 1)
    assert int(end.max()) < 2**62 // PITCHES
    return _covered(onset + apart, end + apart) / _covered(onset, end)


def _covered(begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> int:
    """Number of steps that lie in at least one of the intervals."""
    order = np.argsort(begin)
    begin, end = begin[order], np.maximum.accumulate(end[order])
    begin[1:] = np.maximum(begin[1:], end[:-1])
    return int(np.maximum(end - begin, 0).sum())


def cut_notes(notes: NoteTable, beats: int, resolution: int) -> NoteTable:
    """The notes that begin in the first `beats` beats, truncated at their end."""
    kept = notes[notes["beat"] < beats].copy()
    kept["duration"] = np.minimum(kept["duration"], beats * resolution - onsets(kept, resolution))
    return kept


def onsets(notes: NoteTable, resolution: int) -> npt.NDArray[np.int64]:
    """Onset of each note in steps, (n,)."""
    return np.asarray(notes["beat"].astype(np.int64) * resolution + notes["position"])


def pitched(notes: NoteTable, representation: Representation) -> NoteTable:
    """The notes without those of the drums.

    >>> from mmt.representation.notes import NOTE_DTYPE
    >>> notes = np.array([(0, 0, 36, 12, 65), (0, 0, 60, 12, 25)], NOTE_DTYPE)
    >>> pitched(notes, Representation(drums=True))["pitch"].tolist()
    [60]
    """
    return np.asarray(notes[notes["instrument"] != representation.drums_code])
