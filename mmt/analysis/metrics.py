"""Objective metrics of pieces (paper, section 4.3, and more): one number per piece and metric, from the events.

`METRICS` lists and defines them. Pitch-class entropy, scale and groove consistency and polyphony follow muspy's definitions.
Drums have no pitch: entropy, scale consistency and polyphony ignore them, all others count them. A given note counts as a note. A
measure has four beats, as in the paper: events have no time signature. Undefined values are NaN: groove for fewer than two
measures, metrics of pitch without a pitched note, returning notes for fewer than eight, evenness for fewer than two declared
instruments, the ending at a told length where none is told, and all but `ends_by_itself` and `valid` without a readable note.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mmt.analysis import structure
from mmt.analysis.intervals import ENOUGH, Floats, Mean, mean_of, share_of
from mmt.analysis.note_metrics import cut_notes, note_metrics
from mmt.analysis.structure import LAGS as LAGS
from mmt.analysis.structure import longest_loop as longest_loop
from mmt.analysis.structure import longest_silence as longest_silence
from mmt.analysis.structure import notes_by_instrument as notes_by_instrument
from mmt.analysis.structure import share_in_range as share_in_range
from mmt.analysis.structure import told_length as told_length
from mmt.corpus.storage import Corpus
from mmt.representation.arguments import whole
from mmt.representation.codes import BEAT, END_OF_SONG, PAPER, TYPE, Representation, as_events, check_several, is_note
from mmt.representation.decode import check_codes, notes_of_events
from mmt.representation.grammar import is_valid
from mmt.representation.origin import check_origin


@dataclass(frozen=True)
class Metric:
    """How a metric is shown."""

    label: str = ""
    """Column of the table of `mmt-evaluate`; empty: not in the table."""
    percent: bool = False
    """A share from 0 to 1, shown in percent."""
    binary: bool = False
    """0 or 1 for each piece."""
    distribution: bool = False
    """Whether `mmt.distributions` compares it."""
    highest: float = math.inf
    """The largest possible value; the smallest is 0."""

    @property
    def column(self) -> str:
        """The label with its unit."""
        return f"{self.label}, %" if self.percent else self.label


METRICS = {
    # Entropy of the notes' pitch classes, in bits, 0 to 3.58.
    "pitch_class_entropy": Metric("pitch-class entropy", distribution=True, highest=math.log2(12)),
    # Greatest share of the notes that lie in one scale.
    "scale_consistency": Metric("scale consistency", percent=True, distribution=True),
    # 1 - the mean share of a measure's steps where only one of two neighbouring measures has an onset. As in muspy, which
    # counts an additional empty measure when a piece ends on a bar line.
    "groove_consistency": Metric("groove consistency", percent=True),
    # The same without that measure.
    "groove_consistency_corrected": Metric("groove, corrected", percent=True, distribution=True),
    "notes_per_beat": Metric("notes a beat", distribution=True),
    # Mean number of different pitches that sound, over the steps where any sounds.
    "polyphony": Metric("polyphony", distribution=True),
    "notes": Metric(),
    # 1 + the beat of the last onset.
    "beats": Metric(),
    # Until the last note ends, at tempo 100.
    "seconds": Metric("mean sample, s"),
    # Number of instruments that play.
    "instruments": Metric(distribution=True),
    # Share of the declared instruments that play.
    "instruments_used": Metric("instruments used", percent=True),
    # How evenly the notes are shared among the declared instruments, see `structure.instrument_evenness`.
    "instrument_evenness": Metric("evenness of instruments", percent=True),
    # Time in which nothing sounds, in beats, see `structure.longest_silence`.
    "longest_silence": Metric("longest silence, beats"),
    # Mean of the repetition profile over lags of 1 to 64 beats, see `structure.repetition_profile`.
    "repetition": Metric("repeated notes", percent=True),
    # Share of the notes in passages that return after at least 16 beats, see `structure.returning_share`.
    "returning": Metric("returning notes", percent=True),
    # 1 if the piece is stuck in a loop of at most 8 beats, see `structure.is_locked`.
    "locked": Metric("locked", percent=True, binary=True),
    # 1 if the notes that begin last are longer than the piece's median duration.
    "long_final_chord": Metric("long final chord", percent=True, binary=True),
    # 1 if the last onset is within four beats of the last beat of the length that the piece's start-of-notes tells.
    "ends_at_told_length": Metric("ends at told length", percent=True, binary=True),
    # 1 if the piece has an end-of-song that no length limit forced, else 0.
    "ends_by_itself": Metric("ends by itself", percent=True, binary=True),
    # 1 if it is a whole piece under the strict grammar, else 0.
    "valid": Metric("valid", percent=True, binary=True),
}
# A piece ends at its told length if it is no more beats away.
_NEAR = 4


@dataclass(frozen=True)
class Scores:
    """The result of `evaluate`: the values of each metric; `scores[name]` is its mean with a 95 % confidence interval."""

    values: Mapping[str, Floats]
    """By metric, (pieces,); NaN where undefined."""
    length: str
    """What was measured: "whole pieces", or "the first N beats"."""
    repetition: Floats
    """The repetition profile of each piece, (pieces, 64), see `structure.repetition_profile`."""

    def __getitem__(self, name: str) -> Mean:
        if name not in self.values:
            raise KeyError(f"there is no metric {name!r}; choose one of {', '.join(self.values)}")
        metric, values = METRICS[name], self.values[name]
        if metric.binary:
            return share_of(values)
        return mean_of(values, 0.0, 1.0 if metric.percent else metric.highest)

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def __str__(self) -> str:
        rough = f" (rough: of fewer than {ENOUGH} pieces)" if len(self) < ENOUGH else ""
        lines = [f"{len(self):,} pieces, {self.length}; means and 95 % intervals{rough}"]
        for name in self.values:
            unit = ", %" if METRICS[name].percent else ""
            lines.append(f"{name.replace('_', ' ') + unit:<33} {self.text(name)}")
        return "\n".join(lines)

    def text(self, name: str) -> str:
        """A mean with its interval, as text; shares in percent."""
        return self[name].text(100.0 if METRICS[name].percent else 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Means, intervals and numbers of undefined values, for JSON; shares from 0 to 1."""
        return {
            "pieces": len(self),
            "length": self.length,
            "measures": {name: self[name].to_dict() for name in self.values},
            "repetition_profile": [mean_of(column, 0.0, 1.0).to_dict() for column in self.repetition.T],
        }

    def rows(self) -> list[list[str]]:
        """A header, and a row of numbers per piece; empty strings for undefined values."""
        pieces = enumerate(zip(*self.values.values(), strict=True))
        numbers = [[str(i), *("" if np.isnan(value) else repr(float(value)) for value in row)] for i, row in pieces]
        return [["piece", *self.values], *numbers]

    def to_csv(self) -> str:
        """One row per piece, one column per metric; empty cells for undefined values."""
        return to_csv(self.rows())


def evaluate(
    pieces: Iterable[npt.ArrayLike],
    *,
    beats: int | None = None,
    max_events: int | None = None,
    max_beats: int | None = None,
    representation: Representation | None = None,
    progress: bool = False,
) -> Scores:
    """Compute the metrics of pieces, with means and 95 % confidence intervals.

    Parameters
    ----------
    pieces : iterable of array_like of int, (n_i, 6)
        From `generate`, or a `Corpus`.
    beats : int, optional
        Measure only the first `beats` beats (64 in the paper's listening test) and truncate notes there. Default: whole
        pieces. `ends_by_itself`, `valid`, `long_final_chord` and `ends_at_told_length` are always of the whole piece.
    max_events, max_beats : int, optional
        The limits under which the pieces were generated: a piece that reached one did not end by itself. Default: every
        end-of-song counts.
    representation : Representation, optional
        Default: the corpus's own, else the paper's.
    progress : bool
        Whether to show a progress bar.

    Raises
    ------
    ValueError
        If there are no pieces, or one is not an (n, 6) array of integers. A note out of range is not an error: the piece is
        not valid, and its other metrics are undefined.

    Examples
    --------
    >>> import mmt
    >>> scores = evaluate(mmt.new_model("tiny", seed=0).generate(n=3, seed=1, max_events=64), max_events=64)
    >>> scores["valid"].mean, scores["notes"].defined
    (1.0, 3)
    """
    if beats is not None and whole("beats", beats) < 1:
        raise ValueError(f"beats is {beats}; it must be at least 1, or None for whole pieces")
    check_several(pieces)
    if representation is None:
        first = next(iter(pieces), None)
        representation = pieces.representation if isinstance(pieces, Corpus) else check_origin(first, PAPER)
    found = [
        _piece_metrics(_events(piece, number, representation), representation, beats, max_events, max_beats)
        for number, piece in enumerate(tqdm(pieces, unit=" pieces", desc="Measuring", disable=not progress, delay=1))
    ]
    if not found:
        raise ValueError("there are no pieces to measure; give at least one")
    values = {name: np.array([piece.get(name, np.nan) for piece in found], np.float64) for name in METRICS}
    profiles = np.stack([piece.get("profile", np.full(LAGS, np.nan)) for piece in found])
    return Scores(values, "whole pieces" if beats is None else f"the first {beats} beats", profiles)


def to_csv(rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells as the text of a CSV file."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def _events(piece: npt.ArrayLike, number: int, representation: Representation) -> npt.NDArray[np.integer[Any]]:
    try:
        check_origin(piece, representation)
        return as_events(piece)
    except ValueError as error:
        raise ValueError(f"piece {number}: {error}") from error


def _piece_metrics(
    events: npt.NDArray[np.integer[Any]],
    representation: Representation,
    beats: int | None,
    max_events: int | None,
    max_beats: int | None,
) -> dict[str, Any]:
    """The metrics that are defined for a piece, and its repetition profile."""
    valid = is_valid(events, representation=representation)
    ended = bool(len(events) and events[-1, TYPE] == END_OF_SONG)
    ended &= max_events is None or len(events) < max_events
    # An end-of-song in the last allowed beat may have been forced by the limit.
    ended &= max_beats is None or int(events[is_note(events), BEAT].max(initial=0)) < max_beats
    found: dict[str, Any] = {"ends_by_itself": ended, "valid": valid}
    try:
        events = check_codes(events, representation)
    except ValueError:
        return found
    notes = notes_of_events(events, representation)
    if len(notes):
        found["long_final_chord"] = structure.has_long_final_chord(notes, representation.resolution)
        if told := structure.told_length(events, representation):
            found["ends_at_told_length"] = abs(int(notes["beat"].max()) + 1 - told) <= _NEAR
    if beats is not None:
        notes = cut_notes(notes, beats, representation.resolution)
    if not len(notes):
        return found
    declared = structure.declared_instruments(events)
    if len(declared):
        found["instruments_used"] = float(np.isin(declared, notes["instrument"]).mean())
        found["instrument_evenness"] = structure.instrument_evenness(declared, notes["instrument"])
    profile = structure.repetition_profile(notes)
    known = profile[~np.isnan(profile)]
    return found | note_metrics(notes, representation) | {
        "profile": profile,
        "repetition": float(known.mean()) if len(known) else np.nan,
        "returning": structure.returning_share(notes, representation.resolution),
        "locked": structure.is_locked(notes),
        "longest_silence": structure.silence_of_notes(notes, representation.resolution),
    }  # fmt: skip
