"""Assignment of MIDI tracks and channels, also for more than 16 instruments.

In a track, the first note-off of a pitch ends all notes of that pitch. An instrument with overlapping notes of one pitch is
therefore split into several MIDI tracks; readers pair notes within a track, so a written file is read back exactly.

A synthesizer distinguishes channels only. Up to 15 melodic tracks have a channel each. Beyond that, the tracks that overlap least
share one, with a program change before each note that follows another program's. Overlapping notes of one pitch in a shared
channel then end together.
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

_MOST_TRACKS = 32  # per instrument; further overlapping notes go to the last, since only broken files have more


@dataclass(frozen=True)
class MidiTrack:
    """Notes of one instrument, arrays (n,) in ascending order of onset."""

    name: str | None
    program: int
    is_drum: bool
    onset: Ticks
    end: Ticks
    pitch: Ticks
    velocity: Ticks
    is_overlap: bool = False
    """Whether these are the notes that overlap those of an earlier track of the same instrument."""

    def __len__(self) -> int:
        return len(self.onset)


def split_overlaps(track: MidiTrack) -> list[MidiTrack]:
    """Split a track into the fewest tracks in which no two notes of one pitch overlap."""
    ends_by_pitch: dict[int, list[int]] = defaultdict(list)
    number = np.zeros(len(track), np.int64)
    # Of simultaneous notes the longest comes first, so that the first track has the whole line.
    order = np.lexsort([-track.end, track.onset])
    notes = zip(track.onset[order].tolist(), track.end[order].tolist(), track.pitch[order].tolist(), strict=True)
    for place, (onset, end, pitch) in enumerate(notes):
        ends = ends_by_pitch[pitch]
        free = next((i for i, last in enumerate(ends) if last <= onset), len(ends))
        if free < len(ends):
            ends[free] = end
        elif free < _MOST_TRACKS:
            ends.append(end)
        number[place] = min(free, _MOST_TRACKS - 1)
    return [_select(track, order[number == k], is_overlap=k > 0) for k in range(number.max(initial=-1) + 1)]


def assign_channels(tracks: Sequence[MidiTrack]) -> list[int]:
    """The channel of each track: its own while there are any, then the one with the fewest overlapping notes."""
    # More ticks than the music has, so that notes shifted by pitch * span overlap those of their pitch only.
    span = 2 + max((int(track.end.max(initial=0)) for track in tracks), default=0)
    channels = {number: _Channel(span) for number in MELODIC_CHANNELS}
    assigned = [DRUM_CHANNEL] * len(tracks)
    melodic = [index for index, track in enumerate(tracks) if not track.is_drum]
    if len(melodic) > len(MELODIC_CHANNELS):
        melodic.sort(key=lambda index: (tracks[index].is_overlap, -len(tracks[index])))
    for index in melodic:
        assigned[index] = min(channels, key=lambda number: channels[number].cost(tracks[index]))
        channels[assigned[index]].add(tracks[index])
    return assigned


def program_changes(tracks: Sequence[MidiTrack], channels: Sequence[int]) -> list[Ticks]:
    """For each track the ticks of its program changes: 0, and those of notes that follow another program's."""
    changes: list[Ticks] = [np.zeros(1, np.int64) for _ in tracks]
    for channel in set(channels):
        sharing = [index for index, used in enumerate(channels) if used == channel]
        if len({tracks[index].program for index in sharing}) == 1:
            continue
        # Each track has a program change at 0 and then its notes; players take simultaneous events track by track.
        tick = np.concatenate([np.append(0, tracks[index].onset) for index in sharing])
        index = np.concatenate([np.full(len(tracks[index]) + 1, index) for index in sharing])
        order = np.lexsort([index, tick])
        tick, index = tick[order], index[order]
        program = np.array([track.program for track in tracks])[index]
        changed = np.append(True, program[1:] != program[:-1])
        for track in sharing:
            changes[track] = np.unique(np.append(0, tick[changed & (index == track)]))
    return changes


class _Channel:
    """The tracks that share a channel: their programs, and the sorted onsets and ends of their notes."""

    def __init__(self, span: int) -> None:
        self.span = span
        self.tracks = 0
        self.programs: set[int] = set()
        empty = np.empty(0, np.int64)
        self.onsets, self.ends, self.pitch_onsets, self.pitch_ends = empty, empty, empty, empty

    def add(self, track: MidiTrack) -> None:
        offset = track.pitch * self.span
        self.tracks += 1
        self.programs.add(track.program)
        self.onsets = np.sort(np.append(self.onsets, track.onset))
        self.ends = np.sort(np.append(self.ends, track.end))
        self.pitch_onsets = np.sort(np.append(self.pitch_onsets, track.onset + offset))
        self.pitch_ends = np.sort(np.append(self.pitch_ends, track.end + offset))

    def cost(self, track: MidiTrack) -> tuple[int, int, int]:
        """The cost of a further track: overlaps of one pitch, overlaps with other programs, number of tracks."""
        offset = track.pitch * self.span
        same_pitch = _overlaps(track.onset + offset, track.end + offset, self.pitch_onsets, self.pitch_ends)
        foreign = 0 if self.programs <= {track.program} else _overlaps(track.onset, track.end, self.onsets, self.ends)
        return same_pitch, foreign, self.tracks


def _overlaps(onset: Ticks, end: Ticks, sorted_onsets: Ticks, sorted_ends: Ticks) -> int:
    """The number of pairs of notes that overlap or touch: a note-off may come after a note-on of the same tick."""
    begun = np.searchsorted(sorted_onsets, end, side="right")
    over = np.searchsorted(sorted_ends, onset, side="left")
    return int((begun - over).sum())


def _select(track: MidiTrack, index: Ticks, is_overlap: bool) -> MidiTrack:
    columns = (track.onset[index], track.end[index], track.pitch[index], track.velocity[index])
    return MidiTrack(track.name, track.program, track.is_drum, *columns, is_overlap=is_overlap)
