"""What a MIDI file is made of: its header, its track chunks, and the texts in a track.

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

TEXT, COPYRIGHT, TRACK_NAME, LYRIC = 1, 2, 3, 5
_END_OF_TRACK = b"\xff\x2f\x00"


@dataclass(frozen=True)
class Chunks:
    """The parts of a MIDI file: ticks per beat, and the events of each track as bytes."""

    resolution: int
    tracks: tuple[bytes, ...]

    def track_file(self, track: bytes) -> bytes:
        """A whole MIDI file of one track, with this file's resolution."""
        header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, self.resolution)
        return header + struct.pack(">4sI", b"MTrk", len(track)) + track


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


def close_notes(track: bytes, rounds: int) -> bytes:
    """The track with each pitch of the channels that may sound in it released `rounds` times just before its end.

    A release of a note that does not sound is void, so only the hanging notes change.
    """
    closing = bytearray()
    # Under a running status: delta time 0, pitch, velocity.
    releases = b"".join(bytes((0, pitch, 0)) for pitch in sorted(set(track)) if pitch < 128)
    for channel in range(16):
        # A byte that looks like a note-on of this channel may be something else: then its releases are void, too.
        if 0x90 | channel in track:
            closing += bytes((0, 0x80 | channel)) + releases[1:] + releases * (rounds - 1)
    if track.endswith(_END_OF_TRACK):
        # The end's own delta time goes to the first release: the notes last until the end of the track.
        return track[: -len(_END_OF_TRACK)] + closing[1:] + b"\x00" + _END_OF_TRACK if closing else track
    return track + closing + b"\x00" + _END_OF_TRACK


def texts(track: bytes) -> Iterator[tuple[int, int, str]]:
    """The texts in a track: (tick, kind, text), kind as in `TRACK_NAME`.

    A track that is not well formed ends where that shows.
    """
    position, tick, running = 0, 0, 0
    try:
        while True:
            delta, position = _quantity(track, position)
            tick += delta
            status = track[position]
            if status & 0x80:
                position += 1
            else:
                status = running
            if status < 0xF0:
                running = status
                position += 1 if 0xC0 <= status < 0xE0 else 2
                continue
            kind = 0
            if status == 0xFF:
                kind = track[position]
                position += 1
            length, position = _quantity(track, position)
            if 0 < kind < 16 and position + length <= len(track):
                yield tick, kind, decode_text(track[position : position + length])
            position += length
    except IndexError:
        return


def decode_text(text: bytes) -> str:
    """UTF-8 where that is possible, otherwise Latin-1, in which every byte is a character."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _quantity(track: bytes, position: int) -> tuple[int, int]:
    value = 0
    while True:
        byte = track[position]
        position += 1
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, position
