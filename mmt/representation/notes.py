"""The note table, one row for each note: files and `muspy.Music` are converted to it, events and corpora are made from it.

`RawNotes` has the notes of a piece as in its file: in ticks, with MIDI programs. `note_table` quantises them to the grid of a
representation. A note table is a structured array of dtype `NOTE_DTYPE`: beat (from 0), position within the
beat (0 … resolution - 1), MIDI pitch, duration in steps (at least 1), instrument code (1 …); in ascending order of
its columns, without duplicates.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mmt.representation.codes import PAPER, PITCHES, IntArray, Representation

if TYPE_CHECKING:
    import muspy

NOTE_DTYPE = np.dtype(
    [("beat", "<i4"), ("position", "<u2"), ("pitch", "u1"), ("duration", "<i4"), ("instrument", "u1")]
)
NoteTable = npt.NDArray[np.void]
Mask = npt.NDArray[np.bool_]
_LARGEST_KEY = 2**63 - 1
# Beats and durations are 32-bit integers.
_LARGEST_STEP = 2**31 - 1

# Kinds of marks that events cannot represent.
MARKS = ("tempo marks", "time signatures", "key signatures", "lyrics", "annotations", "chords")

# decode() gives every note this velocity, so a note that had it loses nothing.
DEFAULT_VELOCITY = 64


class LeftOutWarning(UserWarning):
    """Something that was asked for is missing and was left out."""


@dataclass(frozen=True)
class RawNotes:
    """The notes of a piece as in its file: arrays (n,) in any order.

    Times are in ticks; `resolution` is ticks per beat (a quarter note). `velocity` and `track` are None if unknown.
    """

    resolution: int
    onset: IntArray
    duration: IntArray
    pitch: IntArray
    program: IntArray
    is_drum: Mask
    velocity: IntArray | None = None
    track: IntArray | None = None
    """The number of each note's track."""
    marks: Mapping[str, int] = field(default_factory=dict)
    """The number of marks other than notes, by kind (`MARKS`), for the report."""

    def __len__(self) -> int:
        return len(self.onset)


@dataclass(frozen=True)
class Report:
    """How many notes of a piece, or of several, were kept, left out and changed.

    Of `notes` notes, `kept` are in the events. `dropped` counts the others by reason. `changed` counts changes of notes by
    reason, including doubled notes, and marks, which are not kept (`MARKS`). A note counts for at most one change of its
    duration. Reports can be added; `print(report)` prints one line.
    """

    notes: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Report) -> Report:
        dropped, changed = self.dropped + other.dropped, self.changed + other.changed
        return Report(self.notes + other.notes, self.kept + other.kept, dropped, changed)

    def __str__(self) -> str:
        line = f"{self.kept:,} of {self.notes:,} notes kept"
        marks = {kind: self.changed[kind] for kind in MARKS}
        simplified = {reason: count for reason, count in self.changed.items() if reason not in marks}
        for title, counts in (("left out", self.dropped), ("simplified", simplified), ("not kept", marks)):
            if parts := [f"{count:,} {_named(reason, count)}" for reason, count in counts.items() if count]:
                line += f"; {title}: {', '.join(parts)}"
        return line


def _named(reason: str, count: int) -> str:
    """The reason, with its first plural in the singular for a count of 1: "velocities" becomes "velocity"."""
    return reason if count != 1 else re.sub(r"(ie)?s\b", lambda match: "y" if match[1] else "", reason, count=1)


def raw_notes(music: muspy.Music) -> RawNotes:
    """The notes of a `muspy.Music`, as arrays."""
    if not music.resolution or music.resolution < 1:
        raise ValueError(f"the resolution of the music is {music.resolution}; it must be at least 1 step per beat")
    rows = [
        (note.time, note.duration, note.pitch, note.velocity, track.program, track.is_drum, number)
        for number, track in enumerate(music.tracks)
        for note in track.notes
    ]
    onset, duration, pitch, velocity, program, is_drum, track = np.array(rows, np.int64).reshape(-1, 7).T
    numbers = (
        len(music.tempos),
        len(music.time_signatures),
        len(music.key_signatures),
        sum(len(part.lyrics) for part in (music, *music.tracks)),
        sum(len(part.annotations) for part in (music, *music.tracks)),
        sum(len(part.chords) for part in music.tracks),
    )
    marks = dict(zip(MARKS, numbers, strict=True))
    return RawNotes(music.resolution, onset, duration, pitch, program, is_drum.astype(bool), velocity, track, marks)


def note_table(
    raw: RawNotes, representation: Representation = PAPER, *, beats: int | None = None, known_durations: bool = False
) -> tuple[NoteTable, Report]:
    """Quantise notes to the grid of a representation; returns the note table, and a report of what was left out.

    Onset and end are each rounded to the nearest step, half to even; the duration is their difference, at least 1.
    With `beats`, only notes with an onset in the first `beats` beats are kept. With `known_durations`, durations are then
    rounded to those of the representation, as in events.
    """
    in_range = (raw.pitch >= 0) & (raw.pitch < PITCHES) & (raw.is_drum | ((raw.program >= 0) & (raw.program < 128)))
    pitched = representation.instrument_codes(np.clip(raw.program, 0, 127))
    instrument = np.where(raw.is_drum, representation.drums_code, pitched)
    reasons = {
        "drum notes": raw.is_drum & (not representation.drums),
        "notes out of range": ~in_range,
        "notes of programs without an instrument": instrument == 0,
        "notes before the first beat": raw.onset < 0,
    }
    if beats is not None:
        last = beats * representation.resolution
        reasons[f"notes past beat {beats}"] = _on_grid(raw.onset, raw, representation) >= last
    # A note counts for the first reason to leave it out.
    keep, dropped = np.ones(len(raw), bool), Counter[str]()
    for reason, holds in reasons.items():
        dropped[reason] = int((keep & holds).sum())
        keep &= ~holds

    onset = _on_grid(raw.onset[keep], raw, representation)
    end = _on_grid(raw.onset[keep] + raw.duration[keep], raw, representation)
    beat, position = np.divmod(onset, representation.resolution)
    steps = np.maximum(end - onset, 1)
    durations = np.asarray(representation.durations, np.int64)
    duration = durations[representation.duration_codes(steps) - 1] if known_durations else steps
    table = _sorted_without_doubles((beat, position, raw.pitch[keep], duration, instrument[keep]))
    dropped["doubled notes"] = len(onset) - len(table)
    changes = _changes(raw, keep, instrument, steps, duration, representation) | dict(raw.marks)
    changed = Counter({reason: int(count) for reason, count in changes.items()})
    return table, Report(len(raw), len(table), +dropped, +changed)  # unary plus leaves out counts of 0


def _on_grid(ticks: IntArray, raw: RawNotes, representation: Representation) -> npt.NDArray[np.int64]:
    steps = np.rint(ticks.astype(np.float64) * representation.resolution / raw.resolution)
    if not np.all(np.abs(steps) < _LARGEST_STEP):
        raise ValueError(
            f"a note is more than {_LARGEST_STEP:,} steps long, or after the beginning; music is shorter than that"
        )
    return steps.astype(np.int64)


def _sorted_without_doubles(columns: Sequence[IntArray]) -> NoteTable:
    shape = [int(column.max(initial=0)) + 1 for column in columns]
    packs = math.prod(shape) <= _LARGEST_KEY
    if packs:
        # One integer for each note, which is much faster to sort.
        keys = np.unique(np.ravel_multi_index(tuple(columns), shape))
        columns = np.unravel_index(keys, shape)
    table = np.empty(len(columns[0]), NOTE_DTYPE)
    for name, column in zip(NOTE_DTYPE.names or (), columns, strict=True):
        table[name] = column
    return table if packs else np.unique(table)


def _changes(
    raw: RawNotes, keep: Mask, instrument: IntArray, steps: IntArray, duration: IntArray, representation: Representation
) -> dict[str, Any]:
    """How many kept notes change, by reason, from `steps`, their durations on the grid, and `duration`, those that are kept."""
    # The program of drums is their kit; decode() gives all drums the first.
    played_by = np.array([i.program for i in representation.instruments] + [0] * representation.drums)
    changes = {
        "onsets moved to the grid": (raw.onset[keep] * representation.resolution % raw.resolution != 0).sum(),
        "programs merged": (played_by[instrument[keep] - 1] != raw.program[keep]).sum(),
    }
    if raw.velocity is not None:
        changes["velocities"] = (raw.velocity[keep] != DEFAULT_VELOCITY).sum()
    if raw.track is not None:
        of_instruments = np.unique(np.stack([instrument[keep], raw.track[keep]]), axis=1)[0]
        changes["tracks joined"] = len(of_instruments) - len(np.unique(of_instruments))
    exact = raw.duration[keep] * representation.resolution
    changed = duration * raw.resolution != exact
    short = changed & (exact < raw.resolution)
    rounded = changed & ~short & (duration != steps)
    return changes | {
        "durations moved to the grid": (changed & ~short & ~rounded).sum(),
        "durations shorter than a step": short.sum(),
        "durations rounded to a known one": rounded.sum(),
    }
