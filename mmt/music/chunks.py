"""What a MIDI file is made of: its header, its track chunks, and the marks in a track.

Standard MIDI Files 1.0: a header chunk "MThd" (format, number of tracks, ticks per beat), then chunks; each "MTrk" is a
track, a row of events, and before each event stand the ticks since the last (a variable-length quantity of 7-bit
groups). Nothing here builds notes; that is symusic's work.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

# How far into a file the header may begin: a RIFF wrapper (.rmi) and MacBinary put some bytes before it.
_LONGEST_PREAMBLE = 4096

Mark = tuple[int, int, bytes]
"""A meta event: (tick, kind, content)"""
COPYRIGHT, TRACK_NAME, LYRIC, TEMPO, TIME_SIGNATURE, KEY_SIGNATURE = 0x02, 0x03, 0x05, 0x51, 0x58, 0x59
END_OF_TRACK = b"\xff\x2f\x00"
_END = 0x2F


MARKS = frozenset((COPYRIGHT, TRACK_NAME, LYRIC, TEMPO, TIME_SIGNATURE, KEY_SIGNATURE))
# System messages have no place in a file, but some have strayed into one. The rest is undefined.
_SYSTEM_LENGTHS = {0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0, 0xF8: 0, 0xFA: 0, 0xFB: 0, 0xFC: 0, 0xFE: 0}


@dataclass(frozen=True)
class Chunks:
    """The parts of a MIDI file: ticks per beat, and the events of each track as bytes."""

    resolution: int
    tracks: tuple[bytes, ...]


@dataclass(frozen=True)
class Scan:
    """A track that was looked through: its events in sound form, how many notes it strikes, and its marks."""

    events: bytes
    notes: int
    marks: tuple[Mark, ...]

    def file(self, resolution: int) -> bytes:
        """A whole MIDI file of this track alone."""
        header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, resolution)
        return header + struct.pack(">4sI", b"MTrk", len(self.events)) + self.events


def split(data: bytes) -> Chunks:
    """Take a MIDI file apart.

    The header may be wrapped (RIFF) or longer than usual, alien chunks may stand between the tracks, and the number of
    tracks that the header promises is not believed: whatever tracks are there are read.

    Raises
    ------
    ValueError
        If this is no MIDI file, it is cut short, or it counts time in film frames instead of beats.
    """
    if not data:
        raise ValueError("the file is empty")
    start = data.find(b"MThd", 0, _LONGEST_PREAMBLE)
    if start < 0:
        raise ValueError("this is not a MIDI file (it has no MThd header)")
    if len(data) < start + 14:
        raise ValueError(f"the file is cut short: {len(data)} bytes do not hold a MIDI header")
    length, _, _, division = struct.unpack_from(">IHHH", data, start + 4)
    if division & 0x8000:
        raise ValueError("its times are SMPTE film frames, which have no beats; export it with ticks per quarter note")
    if division == 0:
        raise ValueError("its header says 0 ticks per beat, so its times mean nothing")
    return Chunks(division, tuple(_tracks(data, start + 8 + length)))


def _tracks(data: bytes, position: int) -> Iterator[bytes]:
    count = 0
    while position + 8 <= len(data):
        tag, length = struct.unpack_from(">4sI", data, position)
        position += 8
        if tag == b"MTrk":
            count += 1
            if length > len(data) - position:
                missing = length - (len(data) - position)
                raise ValueError(f"the file is cut short: the end of track {count} is missing ({missing:,} bytes)")
            yield data[position : position + length]
        position += length


def scan(track: bytes) -> Scan:
    """Go through the events of a track, and put right what a reader may stumble over.

    Notes that are never released are released at the end; a status byte that is left out after a system exclusive
    message is put in; what follows the end-of-track event is cut off, and where that event is missing it is added.

    Raises
    ------
    ValueError
        If an event is cut off, has an undefined status byte or none, or a data byte above 127. (symusic writes outside
        its own memory where a pitch is above 127.)
    """
    # One long loop: this sees every byte of a corpus, and a call for each event would double its time.
    notes, tick, running, after_system = 0, 0, 0, False
    sounding = [0] * (16 * 128)
    marks: list[Mark] = []
    missing: list[tuple[int, int]] = []  # (position, status byte)
    position, size, end = 0, len(track), None
    try:
        while position < size:
            delta = track[position]
            position += 1
            if delta & 0x80:
                delta, position = quantity(track, position - 1)
            tick += delta
            status = track[position]
            if status & 0x80:
                position += 1
            else:
                status = running
                if after_system:
                    missing.append((position, status))
            if 0x80 <= status < 0xF0:
                running, after_system = status, False
                first = second = track[position]
                position += 1
                if not 0xC0 <= status < 0xE0:
                    second = track[position]
                    position += 1
                if (first | second) & 0x80:
                    raise ValueError(f"a data byte above 127 at byte {position - 1:,}")
                if status < 0xA0:
                    key = (status & 15) << 7 | first
                    if status >= 0x90 and second:
                        notes += 1
                        sounding[key] += 1
                    elif sounding[key]:
                        sounding[key] -= 1
            elif status == 0xFF and track[position] == _END:
                end = position - 1
                break
            else:
                position, mark = _other_event(track, position, status)
                if mark:
                    marks.append((tick, *mark))
                after_system = after_system or status != 0xFF
    except IndexError:
        position = size + 1
    if position > size:
        raise ValueError("the last event is cut off")
    events = _with_status_bytes(track, missing)
    events = events + b"\x00" if end is None else events[: end + len(missing)]
    return Scan(events + _releases(sounding) + END_OF_TRACK, notes, tuple(marks))


def _other_event(track: bytes, position: int, status: int) -> tuple[int, tuple[int, bytes] | None]:
    """The position behind a meta event or system message whose status byte was just read, and the mark that it sets."""
    if status in _SYSTEM_LENGTHS:
        return position + _SYSTEM_LENGTHS[status], None
    if status not in (0xF0, 0xF7, 0xFF):
        what = f"an undefined status byte, 0x{status:02x}," if status else "an event without a status byte"
        raise ValueError(f"{what} at byte {position - 1:,}")
    kind = 0
    if status == 0xFF:
        kind = track[position]
        position += 1
    length, position = quantity(track, position)
    return position + length, (kind, track[position : position + length]) if kind in MARKS else None


def _with_status_bytes(track: bytes, missing: list[tuple[int, int]]) -> bytes:
    pieces, last = [], 0
    for position, status in missing:
        pieces += [track[last:position], bytes((status,))]
        last = position
    return b"".join([*pieces, track[last:]])


def _releases(sounding: list[int]) -> bytes:
    """Note-offs for every note that still sounds; the track's last delta time goes to the first of them."""
    if not any(sounding):
        return b""
    keys = (key for key, count in enumerate(sounding) for _ in range(count))
    return b"".join(bytes((0x80 | key >> 7, key & 127, 0, 0)) for key in keys)


def decode_text(text: bytes) -> str:
    """UTF-8 where that is possible, otherwise Latin-1, in which every byte is a character."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def quantity(track: bytes, position: int) -> tuple[int, int]:
    """A variable-length quantity, and the position behind it."""
    value = 0
    while True:
        byte = track[position]
        position += 1
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, position
