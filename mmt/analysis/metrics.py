"""How pieces are measured (paper, section 4.3, and more): one number a piece and measure, from the event array itself.

    pitch_class_entropy      bits; of the notes' pitch classes, 0 to 3.58
    scale_consistency        largest share of a piece's notes that lie in one scale
    groove_consistency       1 - mean share of a measure's steps where an onset is in one of two neighbouring measures only;
                             as muspy has it, which counts an empty measure more when a piece ends on a bar line
    groove_consistency_corrected   the same without that measure
    notes_per_beat           notes over beats
    polyphony                mean number of different pitches that sound, where one sounds
    notes, beats, seconds    how long: beats is 1 + the last onset's beat; seconds until the last note ends, at tempo 100
    instruments              how many play
    instruments_used         share of the declared instruments that play
    ends_by_itself           1 if the piece has an end that no limit of length forced, else 0
    valid                    1 if it is a whole piece under the strict grammar, else 0

Pitch-class entropy, scale and groove consistency and polyphony follow muspy's definitions. Drums have no pitch: entropy, scale
consistency and polyphony leave them out, all others count them. A given note counts as a note. A measure has four beats, as in
the paper: events know no time signature. What a piece has no value for is NaN: groove with fewer than two measures, the measures
of pitch without a pitched note, and all but the last two for a piece without a readable note.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mmt.analysis.intervals import Floats, Mean, mean_of, share_of
from mmt.analysis.structure import longest_loop as longest_loop
from mmt.analysis.structure import longest_silence as longest_silence
from mmt.analysis.structure import notes_by_instrument as notes_by_instrument
from mmt.analysis.structure import share_in_range as share_in_range
from mmt.corpus.storage import Corpus
from mmt.representation.codes import (
    BEAT,
    END_OF_SONG,
    INSTRUMENT,
    INSTRUMENT_EVENT,
    PAPER,
    PITCHES,
    TYPE,
    Representation,
    as_events,
    is_note,
)
from mmt.representation.decode import DEFAULT_TEMPO, check_codes, notes_of_events
from mmt.representation.grammar import is_valid
from mmt.representation.notes import NoteTable

METRICS = (
    "pitch_class_entropy", "scale_consistency", "groove_consistency", "groove_consistency_corrected", "notes_per_beat",
    "polyphony", "notes", "beats", "seconds", "instruments", "instruments_used", "ends_by_itself", "valid",
)  # fmt: skip
# Shown in percent.
SHARES = (
    "scale_consistency", "groove_consistency", "groove_consistency_corrected", "instruments_used", "ends_by_itself", "valid",
)  # fmt: skip
# 0 or 1 for each piece.
_BINARY = ("ends_by_itself", "valid")
_BEATS_PER_MEASURE = 4
_MAJOR = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1])
# The twelve major scales, (12, 12). The natural minor ones have the same notes.
_SCALES = np.stack([np.roll(_MAJOR, root) for root in range(12)])


@dataclass(frozen=True)
class Scores:
    """What `evaluate` found."""

    values: Mapping[str, Floats]
    """A number for each piece, (pieces,), of each of `METRICS`; NaN where it is undefined."""
    length: str
    """Over what length: "whole pieces", or "the first … beats"."""

    def __getitem__(self, name: str) -> Mean:
        if name not in self.values:
            raise KeyError(f"no measure is named {name!r}; there are {', '.join(self.values)}")
        return (share_of if name in _BINARY else mean_of)(self.values[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values[METRICS[0]])

    def __str__(self) -> str:
        lines = [f"{len(self):,} pieces, {self.length}; means and 95 % intervals"]
        for name in self.values:
            scale, unit = (100.0, ", %") if name in SHARES else (1.0, "")
            lines.append(f"{name.replace('_', ' ') + unit:<33} {self[name].text(scale)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Means, intervals and how many values are undefined, for JSON; shares from 0 to 1."""
        return {
            "pieces": len(self),
            "length": self.length,
            "measures": {name: self[name].to_dict() for name in self.values},
        }

    def to_csv(self) -> str:
        """One row a piece, one column a measure; an empty cell where it is undefined."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["piece", *self.values])
        for piece, row in enumerate(zip(*self.values.values(), strict=True)):
            writer.writerow([piece, *("" if np.isnan(value) else repr(float(value)) for value in row)])
        return file.getvalue()


def evaluate(
    pieces: Iterable[npt.ArrayLike],
    *,
    beats: int | None = None,
    max_events: int | None = None,
    max_beats: int | None = None,
    representation: Representation | None = None,
    progress: bool = False,
) -> Scores:
    """Measure pieces, one by one and in the mean.

    Parameters
    ----------
    pieces : iterable of array_like of int, (n_i, 6)
        What `generate` gives, or a `Corpus`.
    beats : int, optional
        Measure the first `beats` beats alone (64 in the paper's listening test); what sounds longer is cut off there. Default:
        whole pieces. Whether a piece ends and is valid is always asked of the whole.
    max_events, max_beats : int, optional
        The limits under which the pieces were written: a piece that reached one did not end by itself. Without them, every
        end counts.
    representation : Representation, optional
        Default: the corpus's own, else the paper's.
    progress : bool
        Whether to show a bar.

    Raises
    ------
    ValueError
        If there are no pieces, or one is no (n, 6) array of integers. A note out of range is not an error: the piece is not
        valid, and its measures are undefined.

    Examples
    --------
    >>> import mmt
    >>> scores = evaluate(mmt.new_model("tiny", seed=0).generate(n=3, seed=1, max_events=64), max_events=64)
    >>> scores["valid"].mean, scores["notes"].defined
    (1.0, 3)
    """
    if beats is not None and beats < 1:
        raise ValueError(f"beats is {beats}; measure at least 1 beat, or leave it out to measure whole pieces")
    if representation is None:
        representation = pieces.representation if isinstance(pieces, Corpus) else PAPER
    rows = [
        _measure(_events(piece, number), representation, beats, max_events, max_beats)
        for number, piece in enumerate(tqdm(pieces, unit=" pieces", desc="Measuring", disable=not progress, delay=1))
    ]
    if not rows:
        raise ValueError("there are no pieces to measure; give at least one")
    values = {name: np.array([row.get(name, np.nan) for row in rows], np.float64) for name in METRICS}
    return Scores(values, "whole pieces" if beats is None else f"the first {beats} beats")


def cut_notes(notes: NoteTable, beats: int, resolution: int) -> NoteTable:
    """The notes that begin in the first `beats` beats; what sounds longer is cut off there."""
    kept = notes[notes["beat"] < beats].copy()
    kept["duration"] = np.minimum(kept["duration"], beats * resolution - onsets(kept, resolution))
    return kept


def onsets(notes: NoteTable, resolution: int) -> npt.NDArray[np.int64]:
    """Onset of each note in steps, (n,)."""
    steps: npt.NDArray[np.int64] = notes["beat"].astype(np.int64) * resolution + notes["position"]
    return steps


def pitched(notes: NoteTable, representation: Representation) -> NoteTable:
    """The notes that have a pitch: all but those of the drums.

    >>> from mmt.representation.notes import NOTE_DTYPE
    >>> notes = np.array([(0, 0, 36, 12, 65), (0, 0, 60, 12, 25)], NOTE_DTYPE)
    >>> pitched(notes, Representation(drums=True))["pitch"].tolist()
    [60]
    """
    kept: NoteTable = notes[notes["instrument"] != representation.drums_code]
    return kept


def _events(piece: npt.ArrayLike, number: int) -> npt.NDArray[np.integer[Any]]:
    try:
        return as_events(piece)
    except ValueError as error:
        raise ValueError(f"piece {number}: {error}") from error


def _measure(
    events: npt.NDArray[np.integer[Any]],
    representation: Representation,
    beats: int | None,
    max_events: int | None,
    max_beats: int | None,
) -> dict[str, float]:
    """The measures that are defined for a piece."""
    valid = is_valid(events, representation=representation)
    ended = bool(len(events) and events[-1, TYPE] == END_OF_SONG)
    ended &= max_events is None or len(events) < max_events
    # In the last beat that is allowed, an end may be what the limit left over.
    ended &= max_beats is None or int(events[is_note(events), BEAT].max(initial=0)) < max_beats
    found: dict[str, float] = {"ends_by_itself": ended, "valid": valid}
    try:
        events = check_codes(events, representation)
    except ValueError:
        return found
    notes = notes_of_events(events, representation)
    if beats is not None:
        notes = cut_notes(notes, beats, representation.resolution)
    if not len(notes):
        return found
    declared = np.unique(events[events[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT])
    if len(declared):
        found["instruments_used"] = float(np.isin(declared, notes["instrument"]).mean())
    return found | measures_of_notes(notes, representation)


def measures_of_notes(notes: NoteTable, representation: Representation) -> dict[str, float]:
    """The measures that need nothing but the notes (at least one) of a piece."""
    resolution = representation.resolution
    onset = onsets(notes, resolution)
    length, last_beat = int((onset + notes["duration"]).max()), int(notes["beat"].max())
    measure = _BEATS_PER_MEASURE * resolution
    return _measures_of_pitch(pitched(notes, representation), resolution) | {
        "groove_consistency": _groove_consistency(onset, measure, length // measure + 1),
        "groove_consistency_corrected": _groove_consistency(onset, measure, -(-length // measure)),
        "notes_per_beat": len(notes) / (last_beat + 1),
        "notes": len(notes),
        "beats": last_beat + 1,
        "seconds": length / resolution * 60 / DEFAULT_TEMPO,
        "instruments": len(np.unique(notes["instrument"])),
    }


def _measures_of_pitch(notes: NoteTable, resolution: int) -> dict[str, float]:
    """The measures of pitched notes; NaN where there are none."""
    if not len(notes):
        return dict.fromkeys(("pitch_class_entropy", "scale_consistency", "polyphony"), np.nan)
    onset = onsets(notes, resolution)
    classes = np.bincount(notes["pitch"] % 12, minlength=12)
    shares = classes[classes > 0] / len(notes)
    return {
        # Plus 0: a single pitch class has an entropy of 0, not of -0.
        "pitch_class_entropy": float(-(shares * np.log2(shares)).sum()) + 0.0,
        "scale_consistency": float((_SCALES @ classes).max() / len(notes)),
        "polyphony": _polyphony(onset, onset + notes["duration"], notes["pitch"]),
    }


def _groove_consistency(onset: npt.NDArray[np.int64], measure: int, measures: int) -> float:
    """Groove consistency over so many measures of `measure` steps."""
    if measures < 2:
        return np.nan
    steps = np.unique(onset)
    place = steps // measure
    # An onset differs from the measure before and from the one behind, unless there is none, or it has an onset there too.
    different = 2 * len(steps) - (place == 0).sum() - (place == measures - 1).sum()
    different -= 2 * np.isin(steps + measure, steps, assume_unique=True).sum()
    return float(1 - different / (measure * (measures - 1)))


def _polyphony(onset: npt.NDArray[np.int64], end: npt.NDArray[np.int64], pitch: npt.NDArray[np.integer[Any]]) -> float:
    """Steps that each pitch sounds over steps where one does; a pitch that two notes hold sounds once."""
    # Pitches one behind the other on one line of time, so that they cannot overlap.
    apart = pitch.astype(np.int64) * (int(end.max()) + 1)
    assert int(end.max()) < 2**62 // PITCHES
    return _covered(onset + apart, end + apart) / _covered(onset, end)


def _covered(begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> int:
    """How many steps lie in at least one of the intervals."""
    order = np.argsort(begin)
    begin, end = begin[order], np.maximum.accumulate(end[order])
    begin[1:] = np.maximum(begin[1:], end[:-1])
    return int(np.maximum(end - begin, 0).sum())
