"""Layout of a score: the bar, staff and voice of each note, with chords and ties.

Notes that begin and end together are a chord. Overlapping chords are in different voices; chords across a bar line are split and
tied. Times are in divisions, fine enough for every bar line.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby
from typing import TYPE_CHECKING

from mmt.music.writing.notation import MIDDLE_C, likely_key

if TYPE_CHECKING:
    import muspy

_MOST_MEASURES = 50_000


@dataclass(frozen=True)
class Chord:
    """Notes that begin and end together, in divisions, or their section within a bar."""

    onset: int
    end: int
    notes: tuple[muspy.Note, ...]
    tied_from: bool = False
    tied_to: bool = False
    lyric: str | None = None


@dataclass(frozen=True)
class Bars:
    """The bars of a piece: their starts in divisions (and the end), and by bar the signatures, keys and tempos that change."""

    divisions: int
    scale: int
    starts: list[int]
    signatures: dict[int, tuple[int, int]]
    keys: dict[int, muspy.KeySignature]
    tempos: dict[int, list[muspy.Tempo]]
    key: int
    """The number of sharps (flats below 0) by which notes are spelled before the first key signature."""

    def at(self, time: int) -> int:
        """The bar of a time."""
        return min(bisect_right(self.starts, time), len(self.starts) - 1) - 1


@dataclass(frozen=True)
class PartLayout:
    """A part's notes by bars and voices."""

    voices: dict[int, list[int]]
    """The voices of each bar, with the first of each staff in every bar."""
    staff_of: dict[int, int]
    """The staff of each voice, from 0."""
    chords: dict[tuple[int, int], list[Chord]]
    """By (bar, voice), in order of onset."""

    def leads(self, voice: int) -> bool:
        """Whether a voice is the first of its staff."""
        return self.staff_of.get(voice - 1) != self.staff_of[voice]

    def sounding(self, bar: int) -> Iterator[tuple[int, int, int, bool]]:
        """(onset, staff, pitch, is tied to the note before) for the notes of a bar."""
        for voice in self.voices[bar]:
            for chord in self.chords[bar, voice]:
                for note in chord.notes:
                    yield chord.onset, self.staff_of[voice], note.pitch, chord.tied_from


def lay_out(track: muspy.Track, bars: Bars, staves: int) -> PartLayout:
    """Place the notes of a track into bars and voices; two staves split at middle C.

    A `ValueError` refuses a negative time and a pitch outside of 0 to 127.
    """
    chords: dict[tuple[int, int], list[Chord]] = defaultdict(list)
    voices: dict[int, list[int]] = {bar: [] for bar in range(len(bars.starts) - 1)}
    staff_of: dict[int, int] = {}
    for staff, of_staff in enumerate(_chords_of_staves(track, bars.scale, staves)):
        with_voices = _voices(of_staff)
        first = max(staff_of, default=-1) + 1
        staff_of |= dict.fromkeys(range(first, first + 1 + max((voice for _, voice in with_voices), default=0)), staff)
        for chord, voice in with_voices:
            for bar, section in _split_at_bars(chord, bars):
                chords[bar, first + voice].append(section)
        for bar, of_bar in voices.items():
            of_bar += [
                voice for voice, on in staff_of.items() if on == staff and (voice == first or chords[bar, voice])
            ]
    return PartLayout(voices, staff_of, chords)


def bars_of(music: muspy.Music) -> Bars:
    """The bars of a piece; a new time signature ends the bar before it."""
    if not music.resolution or music.resolution < 1:
        raise ValueError(f"the music has resolution {music.resolution}; it must be at least 1 step per beat")
    signatures = {0: (4, 4)} | {s.time: (s.numerator, s.denominator) for s in music.time_signatures if s.time >= 0}
    lengths = []
    for above, below in signatures.values():
        if above < 1 or below < 1 or below & (below - 1) or below > 64:
            raise ValueError(f"a time signature of {above}/{below} cannot be written in a score")
        lengths.append(Fraction(4 * above * music.resolution, below))
    scale = max(length.denominator for length in lengths)
    changes = sorted(signatures)
    last = max((note.time + max(note.duration, 1) for track in music.tracks for note in track.notes), default=1)
    starts = [0]
    for change, following in zip(changes, [*changes[1:], None], strict=True):
        above, below = signatures[change]
        length = 4 * above * music.resolution * scale // below
        until = scale * (last if following is None else min(following, last))
        if (until - starts[-1]) / length > _MOST_MEASURES:
            raise ValueError(f"the music is {last / music.resolution:,.0f} beats long, too long for a score")
        while starts[-1] < until:
            starts.append(starts[-1] + length if following is None else min(starts[-1] + length, until))
    key = likely_key(note.pitch for track in music.tracks if not track.is_drum for note in track.notes)
    bars = Bars(music.resolution * scale, scale, starts, {}, {}, defaultdict(list), key)
    bars.signatures.update({bars.at(time * scale): value for time, value in signatures.items() if time < last})
    bars.keys.update({bars.at(key.time * scale): key for key in music.key_signatures if 0 <= key.time < last})
    for tempo in music.tempos:
        if 0 <= tempo.time < last and tempo.qpm > 0:
            bars.tempos[bars.at(tempo.time * scale)].append(tempo)
    return bars


def _chords_of_staves(track: muspy.Track, scale: int, count: int) -> list[list[Chord]]:
    chords = _chords(track, scale)
    if count == 1:
        return [chords]
    staves: list[list[Chord]] = [[], []]
    for chord in chords:
        upper = tuple(note for note in chord.notes if note.pitch >= MIDDLE_C)
        lower = tuple(note for note in chord.notes if note.pitch < MIDDLE_C)
        for staff, notes in zip(staves, (upper, lower), strict=True):
            if notes:
                staff.append(replace(chord, notes=notes, lyric=None if staff is staves[1] and upper else chord.lyric))
    return staves


def _chords(track: muspy.Track, scale: int) -> list[Chord]:
    """The chords of a track, in order of onset, the longest first."""
    for note in track.notes:
        if note.time < 0 or not 0 <= note.pitch < 128:
            raise ValueError(
                f"a note at time {note.time} has pitch {note.pitch}; times are 0 or more, pitches 0 to 127"
            )
    lyrics = {lyric.time: lyric.lyric for lyric in track.lyrics}
    ordered = sorted(track.notes, key=lambda note: (note.time, -max(note.duration, 1), note.pitch))
    chords = []
    for (time, duration), notes in groupby(ordered, key=lambda note: (note.time, max(note.duration, 1))):
        onset, end = int(time) * scale, int(time + duration) * scale
        chords.append(Chord(onset, end, tuple(notes), lyric=lyrics.pop(time, None)))
    return chords


def _voices(chords: list[Chord]) -> list[tuple[Chord, int]]:
    """Each chord with the first voice that is free at its onset."""
    ends: list[int] = []
    found = []
    for chord in chords:
        voice = next((place for place, end in enumerate(ends) if end <= chord.onset), len(ends))
        ends[voice:] = [chord.end, *ends[voice + 1 :]]
        found.append((chord, voice))
    return found


def _split_at_bars(chord: Chord, bars: Bars) -> Iterator[tuple[int, Chord]]:
    """The sections of a chord, (bar, section), tied over the bar lines."""
    for bar in range(bars.at(chord.onset), len(bars.starts) - 1):
        start, end = bars.starts[bar], bars.starts[bar + 1]
        if start >= chord.end:
            return
        before, after = chord.onset < start, chord.end > end
        lyric = None if before else chord.lyric
        yield bar, Chord(max(chord.onset, start), min(chord.end, end), chord.notes, before, after, lyric)
