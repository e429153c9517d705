"""Reading ABC files of one or several tunes (ABC standard 2.1).

Repeats, endings, jumps and parts are played out. Each voice is a track. Ornaments, chord symbols and accompaniment are silent.
A grace note takes a quarter of the unit length from its main note. (Other readers were tried: abc2midi crashes or never
ends on some tunes, music21's has no jumps, overlays or clefs with an octave, abc2xml takes minutes for some small files.)
"""

from __future__ import annotations

import math
import re
import warnings
from bisect import bisect_left, bisect_right
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from mmt.music.reading.abc_fields import BEAT
from mmt.music.reading.abc_order import played_sections
from mmt.music.reading.abc_tune import Tune
from mmt.music.reading.abc_voice import Note, Voice
from mmt.music.reading.midi_texts import decode_text
from mmt.music.reading.part_names import CHOIR, choir_parts, program_of
from mmt.music.reading.repeats import Span, as_played
from mmt.representation.notes import LeftOutWarning

if TYPE_CHECKING:
    import muspy

_LARGEST = 32 << 20  # bytes of a file
_MOST_TUNES = 200_000  # of a file
_LARGEST_HEAD = 1 << 16  # bytes before the first tune that are searched for fields
_LARGEST_HEADS = 64 << 20  # bytes, of all tunes together
_MOST_NOTES = 200_000  # as played
_MOST_MEASURES = 200_000  # as played
_HIGHEST_RESOLUTION = 10080  # ticks per beat
_MODES = {"major": 0, "minor": 9}

_TUNE = re.compile(rb"X(?:(?<=\AX)|(?<=[\r\n]X)):")
_LINE = re.compile(rb"[^\r\n]*(?:\r\n?|\n)?")
# Fields before the first tune that apply to all tunes.
_FOR_ALL = re.compile(rb"(?:\A|(?<=[\r\n]))(?:[ABCDFGHILMmNORrSUZ]:|%%)[^\r\n]*")
_HIGH_VOICE = re.compile(r"soprano?|alt[ou]s?|contralto|mezzo", re.IGNORECASE)
_LOW_VOICE = re.compile(r"t[eé]nor|bar[iy]ton|bass", re.IGNORECASE)


class UnreadWarning(LeftOutWarning):
    """A part of a tune could not be read."""


def tunes(content: bytes) -> list[bytes]:
    """Split a file into its tunes, each with the fields before the first tune that apply to all.

    The list is empty if there are more than 200,000 tunes.

    >>> tunes(b"My tunes\\nM:3/4\\nX:1\\nK:C\\nCEG|\\nX:2\\nK:D\\nDFA|\\n")
    [b'X:1\\nM:3/4\\nK:C\\nCEG|\\n', b'X:2\\nM:3/4\\nK:D\\nDFA|\\n']
    """
    content = content.removeprefix(BOM_UTF8)
    begins = [found.start() for found in islice(_TUNE.finditer(content), _MOST_TUNES + 1)]
    if not begins or len(begins) > _MOST_TUNES:
        return []
    for_all = b"".join(line + b"\n" for line in _FOR_ALL.findall(content[: min(begins[0], _LARGEST_HEAD)]))
    if len(for_all) * len(begins) > _LARGEST_HEADS:
        for_all = b""  # no tune book has so much
    found = []
    for begin, end in pairwise([*begins, len(content)]):
        music = _LINE.match(content, begin, end).end()  # type: ignore[union-attr]
        found.append(content[begin:music] + for_all + content[music:end])
    return found


def read_abc(path: Path) -> muspy.Music:
    """Read the first tune of an ABC file: one track per voice that plays, on the instrument of its program or its name.

    An overlay (`&`) is a track of its own. Further tunes are a `LeftOutWarning`; what has no meaning in the tune is skipped
    with an `UnreadWarning`.

    If there is no tune with a note, or it is larger than tunes are, a `ValueError` names the file and says why.
    """
    try:
        return _first_tune(path)
    except ValueError as error:
        raise ValueError(f"cannot read {path}: this is not ABC ({error})") from error


def _first_tune(path: Path) -> muspy.Music:
    with path.open("rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"it holds more than {_LARGEST >> 20} MB; split it into several files")
    found = tunes(content)
    if not found and _TUNE.search(content):
        raise ValueError(f"it has more than {_MOST_TUNES:,} tunes; split it into several files")
    tune = Tune(decode_text(found[0]) if found else "")
    music = _music(tune)
    if len(found) > 1:
        message = f"{path} has {len(found):,} tunes, of which the first is read; mmt-prepare reads all"
        warnings.warn(LeftOutWarning(message), stacklevel=3)
    if tune.unread:
        more = f" (and {tune.unread_places - 1:,} more)" if tune.unread_places > 1 else ""
        warnings.warn(UnreadWarning(f"{path}: something may be missing: {tune.unread}{more}"), stacklevel=3)
    return music


def _music(tune: Tune) -> muspy.Music:
    import muspy

    voices = [voice for voice in tune.voices.values() if voice.notes]
    if not voices:
        raise ValueError(f"it has no note{tune.unread and '; '}{tune.unread}")
    spans = played_sections(list(tune.voices.values()), tune.parts)
    tracks = [
        track
        for voice, program in zip(voices, _programs(voices), strict=True)
        for track in _tracks(voice, program, spans)
    ]
    if not tracks:
        raise ValueError("it has no note that is played")

    # Tempos may be in any voice; signatures are those of the first voice, since transposing voices have others.
    tempos, keys, meters = (
        list(
            as_played(
                {(0, mark.time): mark.value for voice in among for mark in voice.marks if mark.kind == kind}, spans
            )
        )
        for kind, among in (("tempo", [*tune.voices.values()]), ("key", voices[:1]), ("meter", voices[:1]))
    )
    played = [note for track in tracks for note in track.notes]
    bars = _bar_lines(voices[0], spans, max(note.end for note in played))
    times = [*bars, *(time for marks in (tempos, keys, meters) for time, _ in marks)]
    step = math.gcd(BEAT, *times, *(note.time for note in played), *(note.duration for note in played))
    resolution = min(BEAT // step, _HIGHEST_RESOLUTION)

    def ticks(time: int) -> int:
        return round(time * resolution / BEAT)

    for note in played:
        end = ticks(note.end)
        note.time = ticks(note.time)
        note.duration = max(end - note.time, 1)

    return muspy.Music(
        metadata=muspy.Metadata(title=tune.title, creators=tune.composers, source_format="abc"),
        resolution=resolution,
        tempos=[muspy.Tempo(ticks(time), qpm) for time, qpm in tempos],
        key_signatures=[
            muspy.KeySignature(ticks(time), None if mode is None else (7 * fifths + _MODES[mode]) % 12, mode, fifths)
            for time, (fifths, mode, _) in keys
        ],
        time_signatures=[muspy.TimeSignature(ticks(time), *meter) for time, meter in meters],
        barlines=[muspy.Barline(ticks(time)) for time in bars],
        tracks=tracks,
    )


def _bar_lines(voice: Voice, spans: Sequence[Span], end: int) -> list[int]:
    """The times of the bar lines as they are played."""
    lines: set[int] = set()
    for span in spans:
        begin = round(span.section.begin)
        first, last = bisect_left(voice.measures, begin), bisect_right(voice.measures, span.section.end)
        lines.update(time - begin + span.start for time in voice.measures[first:last])
        if len(lines) > _MOST_MEASURES:
            raise ValueError(f"it plays more than {_MOST_MEASURES:,} measures")
    return sorted(time for time in lines if time <= end)


def _programs(voices: Sequence[Voice]) -> list[int]:
    """The program of each voice by its name, where `%%MIDI program` does not set one."""
    names = [voice.name or "" for voice in voices]
    # "Tenor" and "Bass" may be staves of an instrument: they are sung if there are words, or with higher voices.
    is_sung = any(voice.is_sung for voice in voices) or any(_HIGH_VOICE.match(name) for name in names)
    found = []
    for name, is_register in zip(names, choir_parts(names), strict=True):
        program = CHOIR if is_register else program_of("", "", name, None, sung=False)
        is_staff = program == CHOIR and not is_sung and _LOW_VOICE.match(name)
        found.append(0 if is_staff else program)
    return found


def _tracks(voice: Voice, program: int, spans: Sequence[Span]) -> Iterator[muspy.Track]:
    """A track for each layer and program of a voice; times are in ticks of `abc_fields`."""
    import muspy

    layers: dict[int, list[Note]] = {}
    for note in voice.notes:
        layers.setdefault(note.layer, []).append(note)
    for notes in layers.values():
        notes.sort(key=attrgetter("time"))
        tracks: dict[int, list[muspy.Note]] = {}
        for sounding, used in _sounding(notes, spans):
            tracks.setdefault(program if used is None else used, []).append(sounding)
        for number, played in tracks.items():
            yield muspy.Track(0 if voice.is_drum else number, voice.is_drum, voice.name, played)


def _sounding(notes: Sequence[Note], spans: Sequence[Span]) -> list[tuple[muspy.Note, int | None]]:
    """The notes of a layer as they sound, with their programs; tied notes are one, where they follow each other as played."""
    import muspy

    times = [note.time for note in notes]
    found: list[tuple[muspy.Note, int | None]] = []
    tied: dict[int, muspy.Note] = {}  # the note that is tied to the next, by pitch
    count = 0
    for span in spans:
        begin = round(span.section.begin)
        first, last = bisect_left(times, begin), bisect_left(times, span.section.end)
        count += last - first
        if count > _MOST_NOTES:
            raise ValueError(f"it plays more than {_MOST_NOTES:,} notes")
        for note in notes[first:last]:
            time = note.time - begin + span.start
            played = tied.pop(note.pitch, None)
            if played is not None and played.end == time:
                played.duration += note.duration
            else:
                played = muspy.Note(time, note.pitch, note.duration, note.velocity)
                found.append((played, note.program))
            if note.is_tied:
                tied[note.pitch] = played
    return found
