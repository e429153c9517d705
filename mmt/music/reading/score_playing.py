"""Playing a part of a score: its notes in playing order, with grace notes placed and tied notes joined.

Times are ticks from the start of the piece.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from mmt.music.reading.repeats import AFTER_JUMP, Section
from mmt.music.reading.score_instruments import Instrument
from mmt.music.reading.score_parts import Grace, Lyric, Note, ScorePart

if TYPE_CHECKING:
    import muspy

GRACES_PER_BEAT = 8  # a grace note lasts an eighth of a beat
_LONGEST_TIE_GAP = 4  # beats
_MOST_TIE_ENDS = 32  # of one pitch that wait for their next note
_DRUM_TRACK = -1
_TINY = 1e-6


Written = TypeVar("Written", Note, Lyric)


class Span(NamedTuple):
    """A section as it is played."""

    number: int
    """Index of the section in the score."""
    section: Section
    turn: int
    """The pass, or `AFTER_JUMP`."""
    start: int
    end: int
    is_left: bool
    """Whether the section after it in the score is not the next to be played."""


def play_spans(sections: Sequence[Section], order: Sequence[tuple[int, int]], resolution: int) -> list[Span]:
    """Place the sections of a playing order in time."""
    spans, start = [], 0
    for (index, turn), (following, _) in pairwise([*order, (-1, 0)]):
        section = sections[index]
        end = start + round(section.end * resolution) - round(section.begin * resolution)
        spans.append(Span(index, section, turn, start, end, following != index + 1))
        start = end
    return spans


def play_part(
    part: ScorePart, sections: Sequence[Section], spans: Sequence[Span], resolution: int
) -> list[muspy.Track]:
    """Return the sounding part, a track per program."""
    import muspy

    lyrics: dict[Instrument, list[muspy.Lyric]] = defaultdict(list)
    written = _divided(part.lyrics, sections)
    for span in spans:
        for lyric in written[span.number]:
            time = span.start + round((lyric.position - span.section.begin) * resolution)
            lyrics[lyric.instrument].append(muspy.Lyric(time, lyric.text))
    placed = _placed(_divided(part.notes, sections), spans, resolution)
    notes: dict[tuple[Instrument, bool], list[muspy.Note]] = {}
    for time, end, note in _tied(placed, _LONGEST_TIE_GAP * resolution):
        sounding = muspy.Note(time, note.pitch, end - time, note.velocity)
        notes.setdefault((note.instrument, note.is_drum), []).append(sounding)
    # Some notation software has an instrument for every playing instruction: those of one MIDI program are one track.
    tracks: dict[int, muspy.Track] = {}
    for (instrument, is_drum), group in notes.items():
        program = _DRUM_TRACK if is_drum else instrument.program_for(sung=bool(lyrics[instrument]))
        name = (part.instruments.first if is_drum else instrument).label(of_part=is_drum)
        track = tracks.setdefault(program, muspy.Track(max(program, 0), is_drum, name))
        track.notes += group
        track.lyrics += lyrics[instrument]
    if len(tracks) == 1:
        next(iter(tracks.values())).name = part.instruments.first.label(of_part=True)
    for track in tracks.values():
        track.notes.sort(key=attrgetter("time", "pitch", "duration", "velocity"))
        track.lyrics.sort(key=attrgetter("time"))
    return list(tracks.values())


def _divided(measures: Sequence[list[Written]], sections: Sequence[Section]) -> list[list[Written]]:
    """Divide the contents of measures by sections."""
    begins: list[list[float]] = [[] for _ in measures]
    divided: list[list[Written]] = []
    for section in sections:
        if section.measure < len(measures):
            begins[section.measure].append(section.begin)
        divided.append(measures[section.measure] if section.measure < len(measures) and section.is_whole else [])
    first = 0
    for measure, places in zip(measures, begins, strict=True):
        if len(places) > 1:
            for one in measure:
                divided[first + bisect_right(places, one.position + _TINY) - 1].append(one)
        first += len(places)
    return divided


def _placed(notes: Sequence[Sequence[Note]], spans: Sequence[Span], resolution: int) -> Iterator[tuple[int, int, Note]]:
    """Onset, end and note for every note that is played, in the order of the file.

    Grace notes sound before their main note, after the note before it in their voice; where there is no time, at its expense.
    """
    onsets: dict[str, int] = {}  # of the last note of each voice
    delays: dict[str, tuple[int, int]] = {}  # time of a main note, and end of the grace notes before it
    for span in spans:
        begin = span.start - round(span.section.begin * resolution)
        last = span.end if span.is_left else None
        for note in notes[span.number]:
            if note.passes and not _is_in(note.passes, span.turn):
                continue
            time = begin + round(note.position * resolution)
            if note.grace:
                start, step = _place_graces(note.grace, time, onsets.get(note.voice, 0), resolution)
                delays[note.voice] = (time, start + note.grace.of * step)
                yield start + note.grace.order * step, start + (note.grace.order + 1) * step, note
                continue
            onsets[note.voice] = time
            end = begin + round((note.position + note.duration) * resolution)
            if last is not None:
                end = min(end, last)
            main, delayed = delays.get(note.voice, (-1, 0))
            if main == time:
                time = max(time, delayed)
            yield time, max(end, time + 1), note


def _is_in(passes: frozenset[int], turn: int) -> bool:
    return turn in passes or (turn == AFTER_JUMP and max(passes) > 1)


def _place_graces(grace: Grace, time: int, before: int, resolution: int) -> tuple[int, int]:
    """The start of the first of several grace notes and the step between them, in ticks.

    `time` is that of the main note, `before` that of the note before it.
    """
    longest = max(resolution // GRACES_PER_BEAT, 1)
    step = min(longest, (time - before) // (grace.of + 1))
    if step > 0:
        return time - grace.of * step, step
    return time, max(min(longest, round(grace.main * resolution) // (grace.of + 1)), 1)


def _tied(placed: Iterable[tuple[int, int, Note]], gap: int) -> list[tuple[int, int, Note]]:
    """Join tied notes; a tie may span a gap, as in arpeggios whose notes are held to the end, but no note of its pitch."""
    joined: list[list[Any]] = []
    waiting: dict[tuple[int, bool, int], _OpenTies] = defaultdict(_OpenTies)
    # A note that ends a tie comes before one that is struck at the same time.
    for time, end, note in sorted(placed, key=lambda one: (one[0], not one[2].tied_from)):
        ties = waiting[id(note.instrument), note.is_drum, note.pitch]
        row = ties.take(time, note.voice, gap) if note.tied_from else None
        if row is None:
            ties.drop(time)
            row = [time, end, note]
            joined.append(row)
        else:
            row[1] = max(row[1], end)
        if note.tied_to:
            ties.add(row, note.voice)
    return [(time, end, note) for time, end, note in joined]


class _OpenTies:
    """Notes of one pitch that are tied to one to come, by their ends and voices."""

    def __init__(self) -> None:
        self._ends: dict[int, dict[str, deque[list[Any]]]] = {}

    def add(self, row: list[Any], voice: str) -> None:
        if len(self._ends) >= _MOST_TIE_ENDS:
            del self._ends[min(self._ends)]
        self._ends.setdefault(row[1], {}).setdefault(voice, deque()).append(row)

    def drop(self, time: int) -> None:
        """Forget the notes that have ended: one of their pitch is struck."""
        for end in [end for end in self._ends if end <= time]:
            del self._ends[end]

    def take(self, time: int, voice: str, gap: int) -> list[Any] | None:
        """The note that ends nearest to a time, of the same voice if there is one."""
        if not self._ends:
            return None
        end = time if time in self._ends else min(self._ends, key=lambda end: abs(end - time))
        voices = self._ends[end]
        key = voice if voice in voices else next(iter(voices))
        if abs(end - time) > gap or voices[key][0][0] >= time:
            return None
        row = voices[key].popleft()
        if not voices[key]:
            del voices[key]
        if not voices:
            del self._ends[end]
        return row
