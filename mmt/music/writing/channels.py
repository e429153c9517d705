"""Which MIDI channel plays what: 16 channels, and music that may have more instruments than that.

A channel has one program at a time, and cannot tell two notes of one pitch apart: the first release ends both. So the
notes of an instrument are dealt into parts in which no two notes of a pitch overlap (lines that double each other at
different lengths are common), and each part becomes a MIDI track of its own. Readers pair notes within a track, so
what is written so is read back whole, whatever the channels.

A synthesizer goes by channels alone. While there are at most 15 melodic parts, each has a channel for itself. Beyond
that the parts that meet least share one, and a program change stands before every note that follows another
program's. What cannot be had then: of two notes of one pitch in one channel, the first release ends both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ticks = npt.NDArray[np.int64]

DRUM_CHANNEL = 9
MELODIC_CHANNELS = tuple(channel for channel in range(16) if channel != DRUM_CHANNEL)

# Doubles beyond this are dealt into the last part; more would be a broken file.
_MOST_PARTS = 32


@dataclass(frozen=True)
class Part:
    """Notes of one instrument, arrays (n,) in ascending order of onset."""

    name: str | None
    program: int
    is_drum: bool
    onset: Ticks
    end: Ticks
    pitch: Ticks
    velocity: Ticks
    doubles: bool = False
    """Whether this holds only notes that overlap those of an earlier part of the same instrument."""

    def __len__(self) -> int:
        return len(self.onset)


def deal(part: Part) -> list[Part]:
    """The notes of an instrument in as few parts as it takes that no two notes of one pitch overlap in a part."""
    ends_by_pitch: dict[int, list[int]] = defaultdict(list)
    number = np.zeros(len(part), np.int64)
    # Of notes that begin together the longest is dealt first, so that the first part has the whole line.
    order = np.lexsort([-part.end, part.onset])
    notes = zip(part.onset[order].tolist(), part.end[order].tolist(), part.pitch[order].tolist(), strict=True)
    for place, (onset, end, pitch) in enumerate(notes):
        ends = ends_by_pitch[pitch]
        free = next((i for i, last in enumerate(ends) if last <= onset), len(ends))
        if free < len(ends):
            ends[free] = end
        elif free < _MOST_PARTS:
            ends.append(end)
        number[place] = min(free, _MOST_PARTS - 1)
    return [_select(part, order[number == k], doubles=k > 0) for k in range(number.max(initial=-1) + 1)]


def assign(parts: Sequence[Part]) -> list[int]:
    """A channel for each part: its own while they last, otherwise the one where it meets the fewest other notes."""
    channels = {number: _Channel(_span(parts)) for number in MELODIC_CHANNELS}
    assigned = [DRUM_CHANNEL] * len(parts)
    melodic = [index for index, part in enumerate(parts) if not part.is_drum]
    if len(melodic) > len(MELODIC_CHANNELS):
        # Each instrument's line before any doubles, and what plays much before what plays little.
        melodic.sort(key=lambda index: (parts[index].doubles, -len(parts[index])))
    for index in melodic:
        assigned[index] = min(channels, key=lambda number: channels[number].cost(parts[index]))
        channels[assigned[index]].add(parts[index])
    return assigned


def program_changes(parts: Sequence[Part], channels: Sequence[int]) -> list[Ticks]:
    """For each part the ticks at which to state its program: 0, and before notes that follow another program's."""
    changes: list[Ticks] = [np.zeros(1, np.int64) for _ in parts]
    for channel in set(channels):
        sharing = [index for index, used in enumerate(channels) if used == channel]
        if len({parts[index].program for index in sharing}) == 1:
            continue
        # Each part states its program at 0, then come its notes; players take simultaneous events track by track.
        tick = np.concatenate([np.append(0, parts[index].onset) for index in sharing])
        index = np.concatenate([np.full(len(parts[index]) + 1, index) for index in sharing])
        order = np.lexsort([index, tick])
        tick, index = tick[order], index[order]
        program = np.array([part.program for part in parts])[index]
        stale = np.append(True, program[1:] != program[:-1])
        for part in sharing:
            changes[part] = np.unique(np.append(0, tick[stale & (index == part)]))
    return changes


class _Channel:
    """What a channel holds so far: its programs, and the sorted beginnings and ends of its notes."""

    def __init__(self, span: int) -> None:
        self.span = span
        self.parts = 0
        self.programs: set[int] = set()
        empty = np.empty(0, np.int64)
        self.onsets, self.ends, self.pitch_onsets, self.pitch_ends = empty, empty, empty, empty

    def add(self, part: Part) -> None:
        offset = part.pitch * self.span
        self.parts += 1
        self.programs.add(part.program)
        self.onsets = np.sort(np.append(self.onsets, part.onset))
        self.ends = np.sort(np.append(self.ends, part.end))
        self.pitch_onsets = np.sort(np.append(self.pitch_onsets, part.onset + offset))
        self.pitch_ends = np.sort(np.append(self.pitch_ends, part.end + offset))

    def cost(self, part: Part) -> tuple[int, int, int]:
        """How badly a part fits: notes of the same pitch that meet, notes of another program that meet, parts."""
        offset = part.pitch * self.span
        same_pitch = _meetings(part.onset + offset, part.end + offset, self.pitch_onsets, self.pitch_ends)
        foreign = 0 if self.programs <= {part.program} else _meetings(part.onset, part.end, self.onsets, self.ends)
        return same_pitch, foreign, self.parts


def _meetings(onset: Ticks, end: Ticks, sorted_onsets: Ticks, sorted_ends: Ticks) -> int:
    """How many pairs of notes overlap or touch: a release at the tick of another note's beginning may come after it."""
    begun = np.searchsorted(sorted_onsets, end, side="right")
    over = np.searchsorted(sorted_ends, onset, side="left")
    return int((begun - over).sum())


def _span(parts: Sequence[Part]) -> int:
    """More ticks than the music has: notes shifted by pitch * span never meet those of another pitch."""
    return 2 + max((int(part.end.max(initial=0)) for part in parts), default=0)


def _select(part: Part, index: Ticks, doubles: bool) -> Part:
    columns = (part.onset[index], part.end[index], part.pitch[index], part.velocity[index])
    return Part(part.name, part.program, part.is_drum, *columns, doubles=doubles)
