"""Reading MIDI files: into a `muspy.Music`, or straight into `RawNotes` where thousands of files are prepared.

Each track is checked and repaired (`midi_tracks`), and then read by symusic. Notes, programs, drums, tempos, time and key
signatures equal those of `muspy.read_midi`, which is several times slower, except for:

- program changes while a note sounds: muspy takes the program at the note's end, mmt the one at its onset, as synthesizers do
  (also for notes without a note-off, which last to the end of their track in both);
- impossible signatures and tempos (a key of 9 sharps, 0/4, a tempo of 0): muspy refuses the file, mmt leaves them out;
- tracks without a note: muspy makes one of controllers alone, mmt none;
- texts: muspy decodes Latin-1, mmt UTF-8 where it is valid; the title of an untitled piece is None instead of "None".

mmt also reads files that muspy refuses: several tracks in a type-2 file (played together), unknown chunks between tracks, a
RIFF wrapper, a header with too many tracks, a status byte missing after a system exclusive message. If the header has too few
tracks, all are read.
"""

from __future__ import annotations

import gc
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mmt.music.reading import midi_tracks
from mmt.representation.notes import RawNotes

if TYPE_CHECKING:
    import muspy

Arrays = dict[str, npt.NDArray[np.integer[Any]]]

# The columns of symusic's notes, in the order of muspy's.
_NOTE_FIELDS = ("time", "pitch", "duration", "velocity")
_NONE = np.empty(0, np.int64)
# Pitch class of C major's root plus 7 per sharp; the relative minor is 9 above (3 below).
_FIFTH, _RELATIVE_MINOR = 7, 9


@dataclass(frozen=True)
class _Part:
    """The notes of a program and channel of a MIDI track: arrays by the names in `_NOTE_FIELDS`."""

    track: int
    program: int
    is_drum: bool
    notes: Arrays


@dataclass(frozen=True)
class _Parsed:
    """A MIDI file: its parts with notes, in the file's order, and the marks of each track."""

    resolution: int
    parts: tuple[_Part, ...]
    marks: tuple[tuple[midi_tracks.Mark, ...], ...]

    def all_marks(self, kind: int) -> list[tuple[int, bytes]]:
        """The marks of a kind in all tracks, (tick, content), sorted by tick and then in the file's order."""
        return sorted(((tick, c) for marks in self.marks for tick, k, c in marks if k == kind), key=itemgetter(0))


def read_midi_notes(source: str | os.PathLike[str] | bytes) -> RawNotes:
    """Read the notes of a MIDI file as arrays, without muspy.

    Parameters
    ----------
    source
        A path, or the bytes of a MIDI file.

    Returns
    -------
    RawNotes
        The notes of all tracks, in ticks; those of `raw_notes(read_midi(source))` in another order.

    Raises
    ------
    ValueError
        If this is no complete and valid MIDI file; the message names the file and what is wrong.
    OSError
        If the file cannot be opened.

    Examples
    --------
    >>> from mmt.music.reading.midi import read_midi_notes
    >>> middle_c = bytes.fromhex("4d546864 00000006 0000 0001 0060 4d54726b 0000000c 00903c40 60803c00 00ff2f00")
    >>> notes = read_midi_notes(middle_c)
    >>> notes.resolution, notes.onset, notes.duration, notes.pitch
    (96, array([0]), array([96]), array([60]))
    """
    parsed = _parse(source)
    onset, pitch, duration, velocity = (
        np.concatenate([_NONE, *(part.notes[name] for part in parsed.parts)]) for name in _NOTE_FIELDS
    )
    counts = [len(part.notes["time"]) for part in parsed.parts]
    return RawNotes(
        parsed.resolution,
        onset,
        duration,
        pitch,
        np.repeat(np.array([part.program for part in parsed.parts], np.int64), counts),
        np.repeat(np.array([part.is_drum for part in parsed.parts], bool), counts),
        velocity,
        np.repeat(np.arange(len(counts)), counts),
        marks={
            "tempo marks": len(_tempos(parsed)),
            "time signatures": len(_time_signatures(parsed)),
            "key signatures": len(_key_signatures(parsed)),
            "lyrics": len(parsed.all_marks(midi_tracks.LYRIC)),
        },
    )


def read_midi(path: str | os.PathLike[str]) -> muspy.Music:
    """Read a MIDI file.

    Each program of each channel of each MIDI track becomes a track, in order of appearance, with the MIDI track's name. The
    name of the first MIDI track is also the title.

    Parameters
    ----------
    path
        A standard MIDI file of any type, also in a RIFF wrapper.

    Returns
    -------
    muspy.Music
        With the file's resolution. Notes are sorted by time, pitch, duration and velocity.

    Raises
    ------
    ValueError
        If this is no complete and valid MIDI file; the message names the file and what is wrong.
    OSError
        If the file cannot be opened.

    Examples
    --------
    >>> music = read_midi("quartet.mid")  # doctest: +SKIP
    >>> [track.program for track in music.tracks]  # doctest: +SKIP
    [40, 40, 41, 42]
    """
    import muspy

    parsed = _parse(path)
    names = [_name(marks) for marks in parsed.marks]
    copyrights = [midi_tracks.decode_text(text) for _, text in parsed.all_marks(midi_tracks.COPYRIGHT)]
    lyrics = [(tick, midi_tracks.decode_text(text)) for tick, text in parsed.all_marks(midi_tracks.LYRIC)]
    with _without_garbage_collection():
        return muspy.Music(
            metadata=muspy.Metadata(
                title=names[0] if names else None,
                copyright=" ".join(copyrights) or None,
                source_filename=Path(path).name,
                source_format="midi",
            ),
            resolution=parsed.resolution,
            tempos=[muspy.Tempo(time, 60e6 / microseconds) for time, microseconds in _tempos(parsed)],
            key_signatures=[muspy.KeySignature(*values) for values in _key_signatures(parsed)],
            time_signatures=[muspy.TimeSignature(*values) for values in _time_signatures(parsed)],
            lyrics=[muspy.Lyric(tick, text) for tick, text in lyrics],
            tracks=[
                muspy.Track(part.program, part.is_drum, names[part.track], _muspy_notes(part.notes))
                for part in parsed.parts
            ],
        )


def _parse(source: str | os.PathLike[str] | bytes) -> _Parsed:
    """Read the tracks of a file; all errors are one `ValueError` line that names it."""
    data, name = (source, "MIDI data") if isinstance(source, bytes) else (Path(source).read_bytes(), str(source))
    parts: list[_Part] = []
    marks = []
    try:
        file = midi_tracks.split_tracks(data)
        for index, track in enumerate(file.tracks):
            try:
                checked = midi_tracks.check_track(track)
                found, count = _notes(checked, file.resolution, index)
                if count != checked.notes:
                    raise ValueError(f"only {count:,} of its {checked.notes:,} notes could be read")
            except (ValueError, RuntimeError) as error:
                # symusic's messages have a prefix, and internals after the first exclamation mark.
                reason = str(error).removeprefix("MiniMidi: ").split("!")[0]
                raise ValueError(f"track {index + 1} is damaged: {reason}") from None
            parts += found
            marks.append(checked.marks)
    except ValueError as error:
        raise ValueError(f"cannot read {name}: {error}") from None
    return _Parsed(file.resolution, tuple(parts), tuple(marks))


def _notes(checked: midi_tracks.CheckedTrack, resolution: int, track: int) -> tuple[list[_Part], int]:
    """The parts of a track, and their number of notes."""
    import symusic

    score = symusic.Score.from_midi(checked.file(resolution), sanitize_data=True)
    parts = [_Part(track, part.program, part.is_drum, part.notes.numpy()) for part in score.tracks if part.notes]
    if score.start() < 0 or any(part.notes["duration"].min() < 0 for part in parts):
        raise ValueError("it is longer than 2^31 ticks")
    return parts, score.note_num()


def _tempos(parsed: _Parsed) -> list[tuple[int, int]]:
    """(tick, microseconds per beat)"""
    marks = parsed.all_marks(midi_tracks.TEMPO)
    return [(tick, int.from_bytes(mark, "big")) for tick, mark in marks if len(mark) == 3 and any(mark)]


def _time_signatures(parsed: _Parsed) -> list[tuple[int, int, int]]:
    """(tick, numerator, denominator)"""
    marks = parsed.all_marks(midi_tracks.TIME_SIGNATURE)
    return [(tick, mark[0], 1 << mark[1]) for tick, mark in marks if len(mark) >= 2 and mark[0] and mark[1] < 8]


def _key_signatures(parsed: _Parsed) -> list[tuple[int, int, str, int]]:
    """(tick, pitch class of the root, mode, sharps)"""
    marks = parsed.all_marks(midi_tracks.KEY_SIGNATURE)
    keys = [(tick, *struct.unpack("bb", mark[:2])) for tick, mark in marks if len(mark) >= 2]
    return [
        (tick, (sharps * _FIFTH + _RELATIVE_MINOR * minor) % 12, "minor" if minor else "major", sharps)
        for tick, sharps, minor in keys
        if -7 <= sharps <= 7 and minor in (0, 1)
    ]


def _muspy_notes(notes: Arrays) -> list[muspy.Note]:
    import muspy

    order = np.lexsort([notes[name] for name in reversed(_NOTE_FIELDS)])
    time, pitch, duration, velocity = (notes[name][order].tolist() for name in _NOTE_FIELDS)
    return list(map(muspy.Note, time, pitch, duration, velocity))


def _name(marks: tuple[midi_tracks.Mark, ...]) -> str | None:
    """A track's name without control characters."""
    names = (midi_tracks.decode_text(text) for _, kind, text in marks if kind == midi_tracks.TRACK_NAME)
    printable = ("".join(sign if sign.isprintable() else " " for sign in name).strip() for name in names)
    return next(filter(None, printable), None)


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
