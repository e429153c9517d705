"""Layout of a score: the bar, staff and voice of each note, with chords and ties.

Notes that begin and end together are a chord. Overlapping chords are in different voices; chords across a bar line are split and
tied. Times are in divisions, fine enough for every bar line and note value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from math import lcm
from typing import TYPE_CHECKING, NamedTuple

from mmt.music.writing.bars import Bars
from mmt.music.writing.notation import MIDDLE_C
from mmt.music.writing.note_values import can_be_shown, nearest_grid

if TYPE_CHECKING:
    import muspy

_MOST_VOICES = 4  # of a staff, as in notation software


class Tone(NamedTuple):
    """A note of a chord, or its section, with its ties."""

    note: muspy.Note
    tied_from: bool = False
    tied_to: bool = False


@dataclass(frozen=True)
class Chord:
    """Notes that begin and end together, in divisions, or sections of them."""

    onset: int
    end: int
    tones: tuple[Tone, ...]
    lyric: str | None = None

    def section(self, start: int, end: int) -> Chord:
        """What sounds from `start` to `end`, tied to the rest."""
        before, after = self.onset < start, self.end > end
        tones = tuple(Tone(t.note, t.tied_from or before, t.tied_to or after) for t in self.tones)
        return Chord(max(self.onset, start), min(self.end, end), tones, None if before else self.lyric)


class PlacedVoice(NamedTuple):
    """A voice in a bar: its number and its staff, from 0, whether it is the first of its staff, and its chords by onset."""

    number: int
    staff: int
    leads: bool
    chords: list[Chord]


class Placed(NamedTuple):
    """A note with its onset and end in divisions."""

    onset: int
    end: int
    note: muspy.Note


def place_notes(tracks: Sequence[muspy.Track], bars: Bars) -> tuple[list[list[Placed]], Bars, int]:
    """The notes of each track at times that a score can show, bars with divisions for them, and how many notes were moved.

    Notes that move by a division of `bars` are not counted: other software has rounded them. A `ValueError` refuses a negative
    time and a pitch outside of 0 to 127.
    """
    placed = [[_placed(note, bars.scale) for note in track.notes] for track in tracks]
    if can_be_shown([1], bars.divisions):
        return placed, bars, 0
    grids = [_grids(notes, bars) for notes in placed]
    divisions = lcm(bars.divisions, *(8 * grid for of_track in grids for grid in of_track.values()))
    factor = divisions // bars.divisions
    starts = [start * factor for start in bars.starts]
    finer = replace(bars, divisions=divisions, scale=bars.scale * factor, starts=starts)
    moved = 0
    for notes, of_track in zip(placed, grids, strict=True):
        for index, (onset, end, note) in enumerate(notes):
            start, stop = (_moved(time, bars, of_track, factor) for time in (onset, end))
            if stop <= start:
                parts = of_track.get(_start_of_beat(start // factor, bars), 1)
                while parts < 8:
                    parts *= 2
                stop = start + divisions // parts
            moved += max(abs(start - onset * factor), abs(stop - end * factor)) > factor
            notes[index] = Placed(start, stop, note)
    return placed, finer, moved


def _placed(note: muspy.Note, scale: int) -> Placed:
    if note.time < 0 or not 0 <= note.pitch < 128:
        raise ValueError(f"a note at time {note.time} has pitch {note.pitch}; times are 0 or more, pitches 0 to 127")
    return Placed(int(note.time) * scale, int(note.time + max(note.duration, 1)) * scale, note)


def _start_of_beat(time: int, bars: Bars) -> int:
    """The start of the beat of a time; beats are counted from the start of the bar."""
    return time - (time - bars.starts[bars.at(time)]) % bars.divisions


def _grids(notes: list[Placed], bars: Bars) -> dict[int, int]:
    """For each beat with times that cannot be shown, by its start: the number of parts into which it is divided."""
    offsets: dict[int, set[int]] = defaultdict(set)
    for time in {time for note in notes for time in note[:2]}:
        start = _start_of_beat(time, bars)
        offsets[start].add(time - start)
    return {
        start: nearest_grid(of_beat, bars.divisions)
        for start, of_beat in offsets.items()
        if not can_be_shown(of_beat, bars.divisions)
    }


def _moved(time: int, bars: Bars, grids: dict[int, int], factor: int) -> int:
    """A time, moved to the grid of its beat, in divisions that are smaller by a factor."""
    start = _start_of_beat(time, bars)
    if start not in grids:
        return time * factor
    parts = grids[start]
    place = round((time - start) * parts / bars.divisions)
    return start * factor + place * (bars.divisions * factor // parts)


def lyrics_by_note(music: muspy.Music, tracks: Sequence[muspy.Track]) -> tuple[list[dict[int, str]], int]:
    """The lyrics of each track by the times of its notes, and how many lyrics are at no note.

    Lyrics that belong to no track, as those of MIDI files, go to the track that has the most notes at their times.
    """
    onsets = [set() if track.is_drum else {note.time for note in track.notes} for track in tracks]
    found = [{lyric.time: lyric.lyric for lyric in track.lyrics} for track in tracks]
    if music.lyrics and tracks:
        # MIDI files have blank lyrics for line breaks, often at the time of a syllable.
        common = {lyric.time: text for lyric in music.lyrics if (text := lyric.lyric.strip())}
        best = max(range(len(tracks)), key=lambda index: len(onsets[index] & common.keys()))
        found[best] = common | found[best]
    at_notes = [
        {time: text for time, text in of_track.items() if time in times}
        for of_track, times in zip(found, onsets, strict=True)
    ]
    return at_notes, sum(map(len, found)) - sum(map(len, at_notes))


def lay_out(lyrics: dict[int, str], notes: list[Placed], bars: Bars, staves: int) -> list[list[PlacedVoice]]:
    """The voices of each bar of a track, with the first voice of each staff in every bar; two staves split at middle C.

    `lyrics` are by the times of notes.
    """
    layout: list[list[PlacedVoice]] = [[] for _ in bars.starts[1:]]
    number = 0
    for staff, of_staff in enumerate(_chords_of_staves(_chords(lyrics, notes), staves)):
        for rank, chords in enumerate(_voices(of_staff)):
            sections: list[list[Chord]] = [[] for _ in layout]
            for chord in chords:
                for bar in range(bars.at(chord.onset), bars.at(chord.end - 1) + 1):
                    sections[bar].append(chord.section(bars.starts[bar], bars.starts[bar + 1]))
            for of_bar, within in zip(layout, sections, strict=True):
                if rank == 0 or within:
                    of_bar.append(PlacedVoice(number, staff, rank == 0, within))
            number += 1
    return layout


def written_notes(voices: list[PlacedVoice]) -> Iterator[tuple[int, int, int, bool]]:
    """(onset, staff, pitch, is tied to the note before) for the notes of a bar."""
    for voice in voices:
        for chord in voice.chords:
            for tone in chord.tones:
                yield chord.onset, voice.staff, tone.note.pitch, tone.tied_from


def _chords_of_staves(chords: list[Chord], count: int) -> list[list[Chord]]:
    if count == 1:
        return [chords]
    staves: list[list[Chord]] = [[], []]
    for chord in chords:
        lyric = chord.lyric
        for staff, is_lower in zip(staves, (False, True), strict=True):
            tones = tuple(tone for tone in chord.tones if (tone.note.pitch < MIDDLE_C) == is_lower)
            if tones:
                staff.append(replace(chord, tones=tones, lyric=lyric))
                lyric = None  # only once
    return staves


def _chords(lyrics: dict[int, str], notes: list[Placed]) -> list[Chord]:
    """The chords of a track, in order of onset, the longest first."""
    lyrics = dict(lyrics)
    ordered = sorted(notes, key=lambda placed: (placed.onset, -placed.end, placed.note.pitch))
    chords = []
    for (onset, end), together in groupby(ordered, key=lambda placed: placed[:2]):
        sounding = [placed.note for placed in together]
        lyric = lyrics.pop(sounding[0].time, None)
        chords.append(Chord(onset, end, tuple(map(Tone, sounding)), lyric))
    return chords


def _voices(chords: list[Chord]) -> list[list[Chord]]:
    """Each chord in the first voice that is free at its onset; the last voice has all that are left, cut and tied."""
    voices: list[list[Chord]] = [[]]
    for chord in chords:
        free = [voice for voice in voices if not voice or voice[-1].end <= chord.onset]
        if not free and len(voices) < _MOST_VOICES:
            voices.append([])
        voice = free[0] if free else voices[-1]
        voice.append(chord)
    if len(voices) == _MOST_VOICES:
        voices[-1] = _without_overlaps(voices[-1])
    return voices


def _without_overlaps(chords: list[Chord]) -> list[Chord]:
    """Overlapping chords, in order of onset, as chords that follow each other, with ties for notes that continue."""
    found = []
    sounding: list[Chord] = []
    waiting = chords[::-1]
    for start, end in pairwise(sorted({time for chord in chords for time in (chord.onset, chord.end)})):
        sounding = [chord for chord in sounding if chord.end > start]
        while waiting and waiting[-1].onset == start:
            sounding.append(waiting.pop())
        sections = [chord.section(start, end) for chord in sounding]
        if sections:
            lyric = next((section.lyric for section in sections if section.lyric), None)
            found.append(Chord(start, end, tuple(tone for section in sections for tone in section.tones), lyric))
    return found
