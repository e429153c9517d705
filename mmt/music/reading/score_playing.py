"""Playing a part of a score: its notes in playing order, with grace notes placed and tied notes joined.

Times are ticks from the start of the piece.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from mmt.music.reading.repeats import AFTER_JUMP, Section, Span
from mmt.music.reading.score_instruments import Instrument
from mmt.music.reading.score_parts import Grace, Lyric, Note, ScorePart

if TYPE_CHECKING:
    import muspy

GRACES_PER_BEAT = 8  # a grace note lasts an eighth of a beat
_LONGEST_TIE_GAP = 4  # beats
_MOST_TIES = 32  # ends and voices of one pitch that wait for their next note
_DRUM_TRACK = -1
_TINY = 1e-6


Written = TypeVar("Written", Note, Lyric)


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
    starts = [(section.measure, section.begin) for section in sections]
    divided: list[list[Written]] = [[] for _ in sections]
    for index, measure in enumerate(measures):
        first = bisect_left(starts, (index, 0.0))
        if sections[first].is_whole:
            divided[first] = measure
            continue
        for one in measure:
            divided[bisect_right(starts, (index, one.position + _TINY)) - 1].append(one)
    return divided


def _placed(notes: Sequence[Sequence[Note]], spans: Sequence[Span], resolution: int) -> Iterator[tuple[int, int, Note]]:
    """Onset, end and note for every note that is played, in the order of the file.

    Grace notes sound before their main note, after the note before it in their voice; where there is no time, at its expense.
    """
    onsets: dict[str, int] = {}  # of the last note of each voice
    delays: dict[str, tuple[int, int]] = {}  # time of a main note, and end of the grace notes before it
    for span in spans:
        begin = span.start - round(span.section.begin * resolution)
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
            if span.is_left:
                end = min(end, span.end)
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
    waiting: dict[tuple[int, bool, int], _Ties] = defaultdict(dict)  # by instrument and pitch
    # A note that ends a tie comes before one that is struck at the same time.
    for time, end, note in sorted(placed, key=lambda one: (one[0], not one[2].tied_from)):
        ties = waiting[id(note.instrument), note.is_drum, note.pitch]
        row = _take(ties, time, note.voice, gap) if note.tied_from else None
        if row is None:
            for tie in [tie for tie in ties if tie[0] <= time]:
                del ties[tie]  # a new strike ends the ties of its pitch
            row = [time, end, note]
            joined.append(row)
        else:
            row[1] = max(row[1], end)
        if note.tied_to:
            ties.setdefault((row[1], note.voice), deque()).append(row)
            if len(ties) > _MOST_TIES:
                del ties[min(ties)]
    return [(time, end, note) for time, end, note in joined]


_Ties = dict[tuple[int, str], deque[list[Any]]]
"""Notes [time, end, note] that are tied to one to come, by their ends and voices."""


def _take(ties: _Ties, time: int, voice: str, gap: int) -> list[Any] | None:
    """The note that ends nearest to a time, of the same voice if there is one; it no longer waits."""
    nearest = min(ties, key=lambda tie: (abs(tie[0] - time), tie[1] != voice), default=None)
    if nearest is None or abs(nearest[0] - time) > gap or ties[nearest][0][0] >= time:
        return None
    row = ties[nearest].popleft()
    if not ties[nearest]:
        del ties[nearest]
    return row
