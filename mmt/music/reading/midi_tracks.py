"""Checks and repairs of the bytes of MIDI tracks, which symusic must not read unchecked.

A Standard MIDI File 1.0 is a header chunk "MThd" (format, number of tracks, ticks per beat) and track chunks "MTrk". A track
is a sequence of events, each after a delta time in ticks (a variable-length quantity: groups of 7 bits). symusic builds the
notes; here each event's form is checked, and the meta events that symusic would change are collected.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

# The header may start this far into a file: a RIFF wrapper (.rmi) or MacBinary puts some bytes before it.
_LONGEST_PREAMBLE = 4096

Mark = tuple[int, int, bytes]
"""A meta event: (tick, kind, content)"""
COPYRIGHT, TRACK_NAME, LYRIC, TEMPO, TIME_SIGNATURE, KEY_SIGNATURE = 0x02, 0x03, 0x05, 0x51, 0x58, 0x59
END_OF_TRACK = b"\xff\x2f\x00"

_MARKS = frozenset((COPYRIGHT, TRACK_NAME, LYRIC, TEMPO, TIME_SIGNATURE, KEY_SIGNATURE))
_META, _END = 0xFF, 0x2F
# System messages are not allowed in a file, but some files have them. The other status bytes are undefined.
_SYSTEM_LENGTHS = {0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0, 0xF8: 0, 0xFA: 0, 0xFB: 0, 0xFC: 0, 0xFE: 0}


@dataclass(frozen=True)
class MidiTracks:
    """The ticks per beat of a MIDI file, and the events of each track as bytes."""

    resolution: int
    tracks: tuple[bytes, ...]


@dataclass(frozen=True)
class CheckedTrack:
    """The repaired events of a track, its number of note-on events, and its marks."""

    events: bytes
    notes: int
    marks: tuple[Mark, ...]

    def file(self, resolution: int) -> bytes:
        """A complete MIDI file with this track only."""
        header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, resolution)
        return header + struct.pack(">4sI", b"MTrk", len(self.events)) + self.events


def split_tracks(data: bytes) -> MidiTracks:
    """Split a MIDI file into its tracks.

    Accepts a RIFF wrapper, a long header, unknown chunks between the tracks, and a wrong number of tracks in the header.

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
        raise ValueError("its header says 0 ticks per beat; export it again with at least 1 tick per beat")
    return MidiTracks(division, tuple(_track_chunks(data, start + 8 + length)))


def _track_chunks(data: bytes, position: int) -> Iterator[bytes]:
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


def check_track(track: bytes) -> CheckedTrack:
    """Check every event of a track, and repair what symusic would misread.

    Notes without a note-off end with the track. A status byte that is missing after a system exclusive message is inserted.
    Bytes after the end-of-track event are dropped; where that event is missing, it is added.

    Raises
    ------
    ValueError
        If an event is cut off, has no or an undefined status byte, or a data byte above 127 (for a pitch above 127, symusic
        writes outside its own memory).
    """
    # One long loop: every byte of a corpus passes here, and a call per event would double the time.
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
                delta, position = _quantity(track, position - 1)
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
            elif status == _META and track[position] == _END:
                end = position - 1
                break
            else:
                position, mark = _other_event(track, position, status)
                if mark:
                    marks.append((tick, *mark))
                after_system = after_system or status != _META
    except IndexError:
        position = size + 1
    if position > size:
        raise ValueError("the last event is cut off")
    events = _with_status_bytes(track, missing)
    events = events + b"\x00" if end is None else events[: end + len(missing)]
    return CheckedTrack(events + _note_offs(sounding) + END_OF_TRACK, notes, tuple(marks))


def _other_event(track: bytes, position: int, status: int) -> tuple[int, tuple[int, bytes] | None]:
    """The position after a meta event or system message whose status byte was just read, and its mark if it is one."""
    if status in _SYSTEM_LENGTHS:
        return position + _SYSTEM_LENGTHS[status], None
    if status not in (0xF0, 0xF7, _META):
        what = f"an undefined status byte, 0x{status:02x}," if status else "an event without a status byte"
        raise ValueError(f"{what} at byte {position - 1:,}")
    kind = 0
    if status == _META:
        kind = track[position]
        position += 1
    length, position = _quantity(track, position)
    return position + length, (kind, track[position : position + length]) if kind in _MARKS else None


def _with_status_bytes(track: bytes, missing: list[tuple[int, int]]) -> bytes:
    pieces, last = [], 0
    for position, status in missing:
        pieces += [track[last:position], bytes((status,))]
        last = position
    return b"".join([*pieces, track[last:]])


def _note_offs(sounding: list[int]) -> bytes:
    """Note-off events for every sounding note; the first of them takes the track's last delta time."""
    if not any(sounding):
        return b""
    keys = (key for key, count in enumerate(sounding) for _ in range(count))
    return b"".join(bytes((0x80 | key >> 7, key & 127, 0, 0)) for key in keys)


def decode_text(text: bytes) -> str:
    """Decode as UTF-8 if it is valid, else as Latin-1, in which every byte is a character."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _quantity(track: bytes, position: int) -> tuple[int, int]:
    """A variable-length quantity, and the position after it."""
    value = 0
    while True:
        byte = track[position]
        position += 1
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, position
