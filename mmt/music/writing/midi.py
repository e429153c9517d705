"""Writing MIDI files: `muspy.Music` to a type-1 file that pretty_midi, mido, symusic and muspy read alike.

The first track holds the title, tempos, signatures and lyrics; each instrument has a track of its own, or several
where it doubles itself (see `mmt.music.writing.channels`, also for more than 15 instruments). Drums are on channel 10. Texts
are UTF-8. What MIDI cannot hold is refused rather than changed: a tempo below 3.58 quarter notes per minute, a time
signature over 3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmt.music.reading import midi_tracks
from mmt.music.writing.channels import DRUM_CHANNEL, Part, assign, deal, program_changes
from mmt.representation.notes import DEFAULT_VELOCITY

if TYPE_CHECKING:
    import muspy

_SLOWEST = 0xFFFFFF  # microseconds per beat

# At one tick: releases first, so that a repeated note sounds; the program before the notes that it is for.
_RELEASE, _PROGRAM, _STRIKE = range(3)

Event = tuple[int, int, bytes]
"""(tick, order among the events of one tick, message)"""


def write_midi(path: Path, music: muspy.Music) -> None:
    """Write music as a standard MIDI file (type 1).

    Parameters
    ----------
    path
        Where to; an existing file is overwritten.
    music
        Notes of no length are given one tick, since many readers drop them.

    Raises
    ------
    ValueError
        If MIDI cannot hold the music; the message says what and where.
    """
    path.write_bytes(midi_bytes(music))


def midi_bytes(music: muspy.Music) -> bytes:
    """The bytes of a standard MIDI file of this music.

    Examples
    --------
    >>> import muspy
    >>> music = muspy.Music(resolution=12, tracks=[muspy.Track(program=40, notes=[muspy.Note(0, 60, 12)])])
    >>> midi_bytes(music)[:4], len(midi_bytes(music))
    (b'MThd', 49)
    """
    if not 1 <= (music.resolution or 0) < 1 << 15:
        raise ValueError(f"the music has resolution {music.resolution}; MIDI holds 1 to 32,767 ticks per beat")
    parts = [part for track in music.tracks for part in deal(_part(track))]
    channels = assign(parts)
    tracks = [_track_chunk(_conductor(music))]
    for part, channel, changes in zip(parts, channels, program_changes(parts, channels), strict=True):
        tracks.append(_track_chunk(_instrument(part, channel, changes.tolist())))
    if len(tracks) >= 1 << 16:
        raise ValueError(f"the music has {len(tracks):,} parts; a MIDI file holds at most 65,534")
    return struct.pack(">4sIHHH", b"MThd", 6, 1, len(tracks), music.resolution) + b"".join(tracks)


def _part(track: muspy.Track) -> Part:
    """A track's notes as arrays, checked."""
    whose = f"track {track.name!r}" if track.name else f"the track of program {track.program}"
    if not 0 <= track.program < 128:
        raise ValueError(f"{whose} has program {track.program}; programs are 0 to 127")
    rows = [
        (
            note.time,
            note.time + max(note.duration, 1),
            note.pitch,
            DEFAULT_VELOCITY if note.velocity is None else note.velocity,
        )
        for note in track.notes
    ]
    onset, end, pitch, velocity = np.array(sorted(rows), np.float64).reshape(-1, 4).round().astype(np.int64).T
    if len(rows) and (onset.min() < 0 or end.max() >= 1 << 31):
        raise ValueError(f"{whose} has a note at time {onset.min()} … {end.max()}; MIDI times are 0 to 2^31 - 1")
    if len(rows) and (pitch.min() < 0 or pitch.max() > 127):
        raise ValueError(f"{whose} has a note of pitch {pitch[(pitch < 0) | (pitch > 127)][0]}; pitches are 0 to 127")
    # A velocity of 0 would be a release.
    return Part(track.name, track.program, track.is_drum, onset, end, pitch, velocity.clip(1, 127))


def _conductor(music: muspy.Music) -> list[Event]:
    events = list(_name(music.metadata.title))
    if music.metadata.copyright:
        events.append((0, 0, _meta(midi_tracks.COPYRIGHT, music.metadata.copyright.encode())))
    for tempo in music.tempos:
        microseconds = round(60e6 / tempo.qpm) if tempo.qpm > 0 else 0
        if not 1 <= microseconds <= _SLOWEST:
            raise ValueError(
                f"a tempo of {tempo.qpm} quarter notes per minute at time {tempo.time} does not fit in MIDI"
            )
        events.append((tempo.time, 0, _meta(midi_tracks.TEMPO, microseconds.to_bytes(3, "big"))))
    for signature in music.time_signatures:
        above, below = signature.numerator, signature.denominator
        if not 1 <= above < 256 or below < 1 or below & (below - 1):
            raise ValueError(f"a time signature of {above}/{below} at time {signature.time} does not fit in MIDI")
        # 24 MIDI clocks a click, 8 thirty-seconds a quarter note: the usual.
        events.append(
            (signature.time, 0, _meta(midi_tracks.TIME_SIGNATURE, bytes((above, below.bit_length() - 1, 24, 8))))
        )
    for key in music.key_signatures:
        if (count := sharps(key)) is not None:
            events.append(
                (key.time, 0, _meta(midi_tracks.KEY_SIGNATURE, struct.pack("bb", count, key.mode == "minor")))
            )
    for lyric in [*music.lyrics, *(lyric for track in music.tracks for lyric in track.lyrics)]:
        events.append((lyric.time, 0, _meta(midi_tracks.LYRIC, lyric.lyric.encode())))
    return events


def sharps(key: muspy.KeySignature) -> int | None:
    """Sharps (flats below 0) of a `muspy.KeySignature`; None where it says too little, or more than seven."""
    if key.fifths is not None:
        return int(key.fifths) if -7 <= key.fifths <= 7 else None
    if key.root is None or key.mode not in ("major", "minor"):
        return None
    major = key.root + 3 if key.mode == "minor" else key.root
    return int((major * 7 + 5) % 12) - 5  # -5 (five flats) … 6


def _instrument(part: Part, channel: int, changes: list[int]) -> list[Event]:
    channel = DRUM_CHANNEL if part.is_drum else channel
    events = list(_name(part.name))
    events += [(tick, _PROGRAM, bytes((0xC0 | channel, part.program))) for tick in changes]
    strike, release = 0x90 | channel, 0x80 | channel
    columns = (part.onset, part.end, part.pitch, part.velocity)
    for onset, end, pitch, velocity in zip(*(column.tolist() for column in columns), strict=True):
        events.append((onset, _STRIKE, bytes((strike, pitch, velocity))))
        events.append((end, _RELEASE, bytes((release, pitch, 0))))
    return events


def _name(name: str | None) -> Iterator[Event]:
    if name:
        yield 0, 0, _meta(midi_tracks.TRACK_NAME, name.encode())


def _meta(kind: int, content: bytes) -> bytes:
    return bytes((0xFF, kind)) + _quantity(len(content)) + content


def _track_chunk(events: Iterable[Event]) -> bytes:
    body = bytearray()
    last = 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        if tick < 0:
            raise ValueError(f"a mark or lyric is at time {tick}; times are 0 or more")
        body += _quantity(tick - last) + message
        last = tick
    body += b"\x00" + midi_tracks.END_OF_TRACK
    return struct.pack(">4sI", b"MTrk", len(body)) + body


def _quantity(value: int) -> bytes:
    """A number in groups of 7 bits, all but the last marked."""
    if value >= 1 << 28:
        raise ValueError(f"a rest or note of {value:,} ticks does not fit in MIDI (at most 2^28 - 1)")
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(0x80 | value & 0x7F)
    return bytes(reversed(groups))
