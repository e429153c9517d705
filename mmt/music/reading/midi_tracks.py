"""Parsing the bytes of a MIDI file into arrays of events.

A Standard MIDI File 1.0 is a header chunk "MThd" (type, number of tracks, ticks per beat) and track chunks "MTrk". A track is
a sequence of events, each after a delta time in ticks (a variable-length quantity: groups of 7 bits, the high bit set in all
but the last). An event is a channel event (status 0x80 to 0xEF and one or two data bytes; the status byte is omitted if it is
that of the channel event before), a meta event, a system exclusive message, or a packet of one (status 0xF7).

For every byte of the file, NumPy computes how long the two events are that would begin there. A short loop follows them from
the beginning of each track, and looks at the other events (meta events, system exclusive messages, programs) one by one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.integer[Any]]

COPYRIGHT, TRACK_NAME, LYRIC, TEMPO, TIME_SIGNATURE, KEY_SIGNATURE = 0x02, 0x03, 0x05, 0x51, 0x58, 0x59
TEXT, DEVICE, PORT, SYSTEM_EXCLUSIVE = 0x01, 0x09, 0x21, 0xF0
END_OF_TRACK = b"\xff\x2f\x00"

LARGEST_FILE = 4 * 2**20
"""Bytes; a symphony has a tenth of it. Parsing takes up to a hundred times as much memory."""
MOST_TRACKS = 65_535  # as many as a header can state
LARGEST_TICK = 2**31 - 1
# The header may start this far into a file: a RIFF wrapper (.rmi) or MacBinary puts some bytes before it.
_LONGEST_PREAMBLE = 4096
_LONGEST_DELTA = 8  # bytes; the standard allows 4

_MARKS = {TEXT, COPYRIGHT, TRACK_NAME, LYRIC, DEVICE, PORT, TEMPO, TIME_SIGNATURE, KEY_SIGNATURE}
_META, _PACKET, _END = 0xFF, 0xF7, 0x2F
_NO_STATUS = np.uint8(0xFF)
# Data bytes of system messages, which are not allowed in a file, but some files have them. The other status bytes are undefined.
_SYSTEM_LENGTHS = {0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0, 0xF8: 0, 0xFA: 0, 0xFB: 0, 0xFC: 0, 0xFE: 0}

# Bytes of a frequent event with a delta time of one byte, by the byte after it; 0 for other events. Below 0x80 the status byte
# is omitted.
_SIZES = bytes([3] * 0x80 + [4] * 0x40 + [0] * 0x20 + [4] * 0x10 + [0] * 0x10)
_SHORTEST, _LONGEST = 3, 5
# What `_walk` writes at the first of two frequent events, and at any other event.
_STEP, _SINGLE = 1, 2
# After each track. At each of these bytes a meta event begins, so that no step leads past it.
_PADDING = b"\x00\xff" * 8


class Mark(NamedTuple):
    """A meta event, or a complete system exclusive message without its status byte.

    `index` is that of its event in `MidiEvents`.
    """

    tick: int
    track: int
    index: int  # type: ignore[assignment]  # a tuple has a method of this name, which nobody calls
    kind: int
    content: bytes


@dataclass(frozen=True)
class MidiEvents:
    """The events of a MIDI file: arrays (n,), in the file's order, track by track."""

    type: int
    """0: one track; 1: tracks that play together on the same channels; 2: tracks that are independent."""
    division: int
    """Ticks per beat, or, from 0x8000 on, frames a second and ticks of a frame."""
    ends: Integers
    """(tracks,) The tick at which each track ends."""
    tick: Integers
    track: Integers
    status: Integers
    """Of channel events 0x80 to 0xEF, with the channel in the low four bits; of others 0xF0 to 0xFF."""
    first: Integers
    """First data byte, 0 to 127; 0 for events that are not channel events."""
    second: Integers
    """Second data byte, 0 to 127; 0 for events without one."""
    marks: tuple[Mark, ...]
    """In the file's order."""


def parse(data: bytes) -> MidiEvents:
    """Parse a MIDI file.

    Accepts a RIFF wrapper, a long header, unknown chunks between the tracks, a wrong number of tracks in the header, tracks
    without an end, and a status byte that is missing after a system exclusive message.

    A `ValueError` refuses what is no MIDI file, is cut short or too large, or has an event that is cut off, an event without a
    status byte or with an undefined one, or a data byte above 127.
    """
    kind, division, body = _header(data)
    chunks = list(_track_chunks(data, body))
    joined = _PADDING.join([*chunks, b""])
    starts = np.cumsum([0, *(len(chunk) + len(_PADDING) for chunk in chunks)])
    steps = _steps(joined)
    hops, seen, found = _two_steps(steps), bytearray(len(joined)), []
    for track, (start, chunk) in enumerate(zip(starts.tolist(), chunks, strict=False)):
        try:
            found += _walk(joined, hops, seen, start, start + len(chunk), track)
        except ValueError as error:
            raise ValueError(f"track {track + 1} is damaged: {error}") from None

    codes = np.frombuffer(joined, np.uint8)
    position = _positions(seen, steps)
    firsts = np.searchsorted(position, starts)
    track_of = np.repeat(np.arange(len(chunks)), np.diff(firsts))
    tick, after_delta = _ticks(codes, position, firsts, track_of)
    event = _channel_events(codes, after_delta, firsts, starts)
    indices = np.searchsorted(position, [mark.index for mark in found]).tolist()
    ticks = tick[indices].tolist()
    marks = tuple(Mark(t, m.track, i, m.kind, m.content) for m, t, i in zip(found, ticks, indices, strict=True))
    return MidiEvents(kind, division, tick[firsts[1:] - 1], tick, track_of, *event, marks)


def _header(data: bytes) -> tuple[int, int, int]:
    """The type, the division, and where the chunks after the header begin."""
    if not data:
        raise ValueError("the file is empty")
    if len(data) > LARGEST_FILE:
        raise ValueError(f"the file is larger than {LARGEST_FILE:,} bytes, the most that mmt reads; split it")
    start = data.find(b"MThd", 0, _LONGEST_PREAMBLE)
    if start < 0:
        raise ValueError("this is not a MIDI file (it has no MThd header)")
    if len(data) < start + 14:
        raise ValueError(f"the file is cut short: {len(data)} bytes do not hold a MIDI header")
    length, kind, _, division = struct.unpack_from(">IHHH", data, start + 4)
    return kind, division, start + 8 + length


def _track_chunks(data: bytes, position: int) -> Iterator[bytes]:
    count = 0
    while position + 8 <= len(data):
        tag, length = struct.unpack_from(">4sI", data, position)
        position += 8
        if tag == b"MTrk":
            count += 1
            if count > MOST_TRACKS:
                raise ValueError(f"it has more than {MOST_TRACKS:,} tracks, the most that a MIDI file can have")
            if length > len(data) - position:
                missing = length - (len(data) - position)
                raise ValueError(f"the file is cut short: the end of track {count} is missing ({missing:,} bytes)")
            yield data[position : position + length]
        position += length


def _steps(joined: bytes) -> npt.NDArray[np.uint8]:
    """For each byte, the length of the event with its delta time that begins there, if it is a frequent one; else 0."""
    is_short = (np.frombuffer(joined, np.uint8) < 0x80).view(np.uint8)
    sizes = np.frombuffer(joined.translate(_SIZES), np.uint8)
    first, second = is_short[:-2], is_short[1:-1]
    # A delta time of two bytes takes one more. The file ends with padding, in which no event begins.
    steps = np.zeros_like(sizes)
    steps[:-2] = first * sizes[1:-1] + (first ^ 1) * second * (sizes[2:] + (sizes[2:] > 0))
    return steps


def _two_steps(steps: npt.NDArray[np.uint8]) -> bytes:
    """For each byte, the length of two frequent events, of one if the second is not frequent, or 0."""
    hops = steps.copy()
    before = steps[:-_LONGEST]
    for step in range(_SHORTEST, _LONGEST + 1):
        # No step is made from the padding after the last track.
        hops[:-_LONGEST] += (before == step).view(np.uint8) * steps[step : len(before) + step]
    return hops.tobytes()


def _walk(joined: bytes, hops: bytes, seen: bytearray, position: int, end: int, track: int) -> list[Mark]:
    """Write into `seen` where the events of a track begin, or every second one; return its marks, with positions for `index`."""
    marks: list[Mark] = []
    message = bytearray()  # the packets of a system exclusive message that has not ended
    start, one_data_byte = position, False  # whether the running status has one data byte
    while True:
        if not one_data_byte:
            # This loop is short, since every event of a corpus passes here.
            while step := hops[position]:
                seen[position] = _STEP
                position += step
        if position > end:
            raise ValueError("the last event is cut off")
        seen[position] = _SINGLE
        if position == end:
            return marks
        _, at = _quantity(joined, position)
        status = joined[at]
        if status < 0xF0:
            size = 2 + (status >= 0x80) - (one_data_byte if status < 0x80 else 0xC0 <= status < 0xE0)
            one_data_byte = 0xC0 <= status < 0xE0 or (one_data_byte and status < 0x80)
            position = at + size
            continue
        if at < end and status == _META and joined[at + 1] == _END:
            return marks
        kind, content, after = _special_event(joined, at, start) if at < end else (0, b"", end + 1)
        if after > end:
            raise ValueError("the last event is cut off")
        if status in (SYSTEM_EXCLUSIVE, _PACKET):
            if status == SYSTEM_EXCLUSIVE:
                message.clear()
            message += content
            if message.endswith(b"\xf7"):
                kind, content = SYSTEM_EXCLUSIVE, bytes(message.removeprefix(b"\xf0"))
                message.clear()
        if kind:
            marks.append(Mark(0, track, position, kind, content))
        position = after


def _special_event(joined: bytes, position: int, start: int) -> tuple[int, bytes, int]:
    """The kind of a mark or 0, the content and the end of a meta event or system message with the status byte at `position`."""
    status = joined[position]
    if status in _SYSTEM_LENGTHS:
        return 0, b"", position + 1 + _SYSTEM_LENGTHS[status]
    if status not in (SYSTEM_EXCLUSIVE, _PACKET, _META):
        raise ValueError(f"an undefined status byte, 0x{status:02x}, at byte {position - start:,}")
    kind = 0
    if status == _META:
        position += 1
        kind = joined[position] if joined[position] in _MARKS else 0
    length, position = _quantity(joined, position + 1)
    return kind, joined[position : position + length], position + length


def _quantity(joined: bytes, position: int) -> tuple[int, int]:
    """A variable-length quantity, and the position after it."""
    value = 0
    for place in range(position, position + _LONGEST_DELTA):
        byte = joined[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + 1
    raise ValueError(f"a number of more than {_LONGEST_DELTA} bytes, where a MIDI file has at most 4")


def _positions(seen: bytearray, steps: npt.NDArray[np.uint8]) -> Integers:
    """The positions of all events: those that `_walk` wrote, and those that it stepped over."""
    begins = np.frombuffer(seen, np.uint8)
    stepped = np.flatnonzero(begins == _STEP)
    begins[stepped + steps[stepped]] = _SINGLE
    return np.flatnonzero(begins > 0)


def _ticks(codes: Integers, position: Integers, firsts: Integers, track: Integers) -> tuple[Integers, Integers]:
    """The tick of each event, and the position after its delta time; `firsts`: the index of the first event of each track."""
    byte = codes[position]
    at, delta, rest = position + 1, (byte & 0x7F).astype(np.int64), np.flatnonzero(byte >= 0x80)
    while len(rest):
        byte = codes[at[rest]]
        delta[rest] = delta[rest] << 7 | byte & 0x7F
        at[rest] += 1
        rest = rest[byte >= 0x80]
    tick = np.cumsum(delta)
    tick -= np.append(0, tick)[firsts][track]
    if max(delta.max(initial=0), tick.max(initial=0)) > LARGEST_TICK:
        raise ValueError("it is longer than 2^31 ticks")
    return tick, at


def _channel_events(
    codes: Integers, at: Integers, firsts: Integers, starts: Integers
) -> tuple[Integers, Integers, Integers]:
    """Status, first and second data byte of all events; `at`: the position of the status byte, or of the first data byte."""

    def refuse(index: int, byte: int, reason: str) -> None:
        track = int(np.searchsorted(firsts, index, side="right")) - 1
        raise ValueError(f"track {track + 1} is damaged: {reason} at byte {byte - starts[track]:,}")

    own = codes[at]
    is_channel, has_status = own < 0xF0, own >= 0x80
    sources, running = np.flatnonzero(is_channel & has_status), np.flatnonzero(~has_status)
    first_source, first_running = (
        np.append(events, len(at))[np.searchsorted(events, firsts[:-1])] for events in (sources, running)
    )
    without = first_running[(first_running < firsts[1:]) & (first_running < first_source)]
    if len(without):
        refuse(without[0], at[without[0]], "an event without a status byte")
    # An event without a status byte has that of the last channel event.
    counts = np.diff(np.concatenate([[0], sources, [len(at)]]))
    status = np.where(is_channel, np.repeat(np.append(_NO_STATUS, own[sources]), counts), own)
    first_at = at + has_status
    first = codes[first_at] * is_channel
    second = codes[first_at + 1] * ((status < 0xC0) | (status >= 0xE0) & is_channel)
    bad = np.flatnonzero((first | second) >= 0x80)
    if len(bad):
        refuse(bad[0], first_at[bad[0]] + (first[bad[0]] < 0x80), "a data byte above 127")
    return status, first, second


def runs(values: Integers) -> tuple[Integers, Integers]:
    """The start and the length of each run of equal values."""
    is_edge = np.ones(len(values) + 1, bool)
    is_edge[1:-1] = values[1:] != values[:-1]
    edges = np.flatnonzero(is_edge)
    return edges[:-1], edges[1:] - edges[:-1]
