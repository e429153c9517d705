"""Reading MIDI files: into a `muspy.Music`, or directly into `RawNotes` to prepare thousands of files.

The bytes are parsed into arrays of events (`midi_tracks`), strikes and releases are paired (`midi_notes`), and every note gets
the program of its channel (`midi_channels`). Notes, tempos, time and key signatures equal those of `muspy.read_midi`, which is
many times slower, except for:

- programs of a channel that another track sets, drums and melodies by banks and system exclusive messages, lost and doubled
  releases, all notes off, coarse tuning, packets of system exclusive messages: muspy ignores them;
- program changes while a note sounds: muspy takes the program at the note's end, mmt the one at its onset, as synthesizers do;
- impossible signatures and tempos (a key of 9 sharps, 0/4, a tempo of 0): muspy refuses the file, mmt leaves them out;
- tracks without a note: muspy makes one of controllers alone, mmt none;
- texts: muspy decodes Latin-1 (for mmt see `midi_texts`), and names an untitled piece "None".

mmt also reads files that muspy refuses: several tracks in a type-2 file (played together), times in film frames, unknown chunks
between tracks, a RIFF wrapper, a header with too many tracks, a status byte missing after a system exclusive message. If the
header has too few tracks, all are read.
"""

from __future__ import annotations

import gc
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mmt.music.reading.midi_notes import MidiNotes, notes
from mmt.music.reading.midi_texts import decode_text, karaoke, lyrics, track_names
from mmt.music.reading.midi_tracks import (
    COPYRIGHT,
    KEY_SIGNATURE,
    LARGEST_FILE,
    TEMPO,
    TIME_SIGNATURE,
    Integers,
    Mark,
    MidiEvents,
    parse,
    runs,
)
from mmt.representation.notes import RawNotes

if TYPE_CHECKING:
    import muspy

# Pitch class of C major's root plus 7 per sharp; the relative minor is 9 above (3 below).
_FIFTH, _RELATIVE_MINOR = 7, 9
_DEFAULT_TEMPO = 500_000
# Frames a second that a header may state, and what they are.
_FRAMES = {24: 24.0, 25: 25.0, 29: 30_000 / 1001, 30: 30.0}


def read_midi_notes(source: str | os.PathLike[str] | bytes) -> RawNotes:
    """Read the notes of a MIDI file, or of its bytes, as arrays: those of `raw_notes(read_midi(source))` in another order.

    Errors are those of `read_midi`.

    >>> middle_c = bytes.fromhex("4d546864 00000006 0000 0001 0060 4d54726b 0000000c 00903c40 60803c00 00ff2f00")
    >>> notes = read_midi_notes(middle_c)
    >>> notes.resolution, notes.onset, notes.duration, notes.pitch
    (96, array([0]), array([96]), array([60]))
    """
    resolution, found, marks = _parse(source)
    return RawNotes(
        resolution,
        found.onset,
        found.end - found.onset,
        found.pitch,
        found.program,
        found.is_drum,
        found.velocity,
        _parts(found),
        marks={
            "tempo marks": len(_tempos(marks)),
            "time signatures": len(_time_signatures(marks)),
            "key signatures": len(_key_signatures(marks)),
            "lyrics": len(lyrics(marks)),
        },
    )


def read_midi(path: str | os.PathLike[str]) -> muspy.Music:
    """Read a standard MIDI file of any type, also in a RIFF wrapper.

    Each program of each channel of each MIDI track becomes a track, in order of appearance, with the MIDI track's name. The
    name of the first MIDI track is also the title. Notes are sorted by time, pitch, duration and velocity.

    If this is not a complete and valid MIDI file, a `ValueError` names the file and what is wrong.
    """
    import muspy

    resolution, found, marks = _parse(path)
    names, titles = track_names(marks), karaoke(marks)[0]
    with _without_garbage_collection():
        return muspy.Music(
            metadata=muspy.Metadata(
                title=titles[0] if titles else names.get(0),
                creators=titles[1:2],
                copyright=" ".join(decode_text(mark.content) for mark in marks if mark.kind == COPYRIGHT) or None,
                source_format="midi",
            ),
            resolution=resolution,
            tempos=[muspy.Tempo(time, 60e6 / microseconds) for time, microseconds in _tempos(marks)],
            key_signatures=[muspy.KeySignature(*values) for values in _key_signatures(marks)],
            time_signatures=[muspy.TimeSignature(*values) for values in _time_signatures(marks)],
            lyrics=[muspy.Lyric(mark.tick, decode_text(mark.content)) for mark in lyrics(marks)],
            tracks=_tracks(found, names),
        )


def _parse(source: str | os.PathLike[str] | bytes) -> tuple[int, MidiNotes, tuple[Mark, ...]]:
    """The resolution, notes and marks of a file; all errors are one `ValueError` line that names it."""
    if isinstance(source, bytes):
        data, name = source, "MIDI data"
    else:
        name = str(source)
        with open(source, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    try:
        events = parse(data)
        return _in_beats(events, notes(events))
    except ValueError as error:
        raise ValueError(f"cannot read {name}: {error}") from None


def _in_beats(events: MidiEvents, found: MidiNotes) -> tuple[int, MidiNotes, tuple[Mark, ...]]:
    """The resolution, notes and marks; film time, in which some files count, becomes ticks of a beat by the tempos."""
    if events.division == 0:
        raise ValueError("its header says 0 ticks per beat; export it again with at least 1 tick per beat")
    if events.division < 0x8000:
        return events.division, found, events.marks
    frames, ticks = 256 - (events.division >> 8), events.division & 0xFF
    if frames not in _FRAMES or not ticks:
        raise ValueError(f"its header says {frames} frames of {ticks} ticks a second; a MIDI file has 24, 25, 29 or 30")
    tempos = [(0, _DEFAULT_TEMPO), *_tempos(events.marks)]
    start, microseconds = np.array(tempos, np.float64).T
    beats_per_tick = 1e6 / microseconds / (_FRAMES[frames] * ticks)
    beat = np.concatenate([[0], np.cumsum(np.diff(start) * beats_per_tick[:-1])])

    def convert(tick: Integers) -> Integers:
        at = np.searchsorted(start, tick, side="right") - 1
        beats: npt.NDArray[np.float64] = beat[at] + (tick - start[at]) * beats_per_tick[at]
        return np.rint(beats * resolution).astype(np.int64)

    resolution = frames * ticks
    moments = convert(np.array([mark.tick for mark in events.marks], np.int64)).tolist()
    marks = tuple(mark._replace(tick=moment) for mark, moment in zip(events.marks, moments, strict=True))
    return resolution, replace(found, onset=convert(found.onset), end=convert(found.end)), marks


def _tracks(found: MidiNotes, names: dict[int, str]) -> list[muspy.Track]:
    """A track for each program of each channel of each MIDI track, in order of appearance."""
    import muspy

    part = _parts(found)
    heads = np.unique(part, return_index=True)[1]
    columns = (found.onset, found.pitch, found.end - found.onset, found.velocity)
    order = _order((part, *columns))
    made = list(map(muspy.Note, *(column[order].tolist() for column in columns)))
    ends = np.cumsum(np.bincount(part)).tolist()
    return [
        muspy.Track(program, is_drum, names.get(track), made[begin:end])
        for program, is_drum, track, begin, end in zip(
            *(column[heads].tolist() for column in (found.program, found.is_drum, found.track)),
            *([0, *ends][: len(ends)], ends),
            strict=True,
        )
    ]


def _parts(found: MidiNotes) -> Integers:
    """The number of each note's part (track, channel, drums and program), in order of appearance."""
    code = np.zeros(len(found.onset), np.int64)
    for column, size in ((found.track, 2**20), (found.channel, 2**32), (found.is_drum, 2), (found.program, 128)):
        code = code * size + column
    starts, lengths = runs(code)
    numbers: dict[int, int] = {}
    of_runs = [numbers.setdefault(of_run, len(numbers)) for of_run in code[starts].tolist()]
    return np.repeat(np.array(of_runs, np.int64), lengths)


def _order(columns: Sequence[Integers]) -> Integers:
    """The indices that sort by the first column, then by the second, and so on."""
    widths = [int(column.max(initial=0)).bit_length() for column in columns]
    if sum(widths) > 63:
        order: Integers = np.lexsort(columns[::-1])
        return order
    key = np.zeros(len(columns[0]), np.int64)
    for column, width in zip(columns, widths, strict=True):
        key = key << width | column
    return np.argsort(key, kind="stable")


def _of_kind(marks: tuple[Mark, ...], kind: int) -> list[tuple[int, bytes]]:
    """The marks of a kind in all tracks, (tick, content), sorted by tick and then in the file's order."""
    return sorted(((mark.tick, mark.content) for mark in marks if mark.kind == kind), key=itemgetter(0))


def _tempos(marks: tuple[Mark, ...]) -> list[tuple[int, int]]:
    """(tick, microseconds per beat)"""
    tempos = _of_kind(marks, TEMPO)
    return [(tick, int.from_bytes(mark, "big")) for tick, mark in tempos if len(mark) == 3 and any(mark)]


def _time_signatures(marks: tuple[Mark, ...]) -> list[tuple[int, int, int]]:
    """(tick, numerator, denominator)"""
    signatures = _of_kind(marks, TIME_SIGNATURE)
    return [(tick, mark[0], 1 << mark[1]) for tick, mark in signatures if len(mark) >= 2 and mark[0] and mark[1] < 8]


def _key_signatures(marks: tuple[Mark, ...]) -> list[tuple[int, int, str, int]]:
    """(tick, pitch class of the root, mode, sharps)"""
    keys = [(tick, *struct.unpack("bb", mark[:2])) for tick, mark in _of_kind(marks, KEY_SIGNATURE) if len(mark) >= 2]
    return [
        (tick, (sharps * _FIFTH + _RELATIVE_MINOR * minor) % 12, "minor" if minor else "major", sharps)
        for tick, sharps, minor in keys
        if -7 <= sharps <= 7 and minor in (0, 1)
    ]


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Pause the garbage collector, which takes two thirds of the time of building thousands of objects."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
