"""Every event of a track is parsed, or the file is refused."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmt.music.reading.midi_tracks import LARGEST_FILE, SYSTEM_EXCLUSIVE, TEMPO, Mark, MidiEvents, parse

DELTAS = ["00", "60", "8140", "818000"]
EVENTS = [
    *("903c40", "803c40", "3c40", "3c00", "b00740", "c005", "05", "d040", "e00040", "ff510307a120", "ff0301a0", "ff0100"),
    *("ff580404021808", "f07f017f", "f7017f", "f1", "f8", "ff2f00", "903c", "90bc40", "ff03ff"),
]  # fmt: skip
TRACKS = st.lists(
    st.tuples(st.sampled_from(DELTAS), st.sampled_from(EVENTS)).map(lambda event: bytes.fromhex("".join(event))),
    max_size=12,
).map(b"".join)


def parsed(*tracks: bytes) -> MidiEvents:
    data = struct.pack(">4sIHHH", b"MThd", 6, 1, len(tracks), 96)
    return parse(data + b"".join(struct.pack(">4sI", b"MTrk", len(track)) + track for track in tracks))


def rows(events: MidiEvents) -> list[tuple[int, ...]]:
    of_channels = events.status < 0xF0
    columns = (events.tick, events.status, events.first, events.second)
    return list(zip(*(column[of_channels].tolist() for column in columns), strict=True))


@given(st.one_of(TRACKS, st.binary(max_size=40), st.tuples(TRACKS, st.binary(max_size=20)).map(b"".join)))
def test_tracks_do_not_influence_each_other(track: bytes) -> None:
    sound = bytes.fromhex("8140c003 00903c40 60803c40 00ff2f00")
    with suppress(ValueError):
        alone, between = parsed(track), parsed(sound, track, sound)
        assert rows(parsed(sound)) + rows(alone) + rows(parsed(sound)) == rows(between)
        assert between.ends.tolist() == [0xC0 + 0x60, *alone.ends.tolist(), 0xC0 + 0x60]


@pytest.mark.parametrize(
    ("track", "message"),
    [
        ("003c40", "track 1 is damaged: an event without a status byte at byte 1"),
        ("0090bc40", "track 1 is damaged: a data byte above 127 at byte 2"),
        ("00903cc0", "track 1 is damaged: a data byte above 127 at byte 3"),
        ("00903c", "track 1 is damaged: the last event is cut off"),
        ("00ff5103", "track 1 is damaged: the last event is cut off"),
        ("00903c4081", "track 1 is damaged: the last event is cut off"),
        ("00f4", "track 1 is damaged: an undefined status byte, 0xf4, at byte 1"),
        ("80" * 5000 + "00903c40", "track 1 is damaged: a number of more than 8 bytes"),
    ],
)
def test_invalid_events_are_refused(track: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parsed(bytes.fromhex(track))


@pytest.mark.parametrize(
    ("track", "end"),
    [
        pytest.param("00903c40 60803c40 00ff2f00", 0x60, id="valid"),
        pytest.param("00903c40 603c00", 0x60, id="running status, no end of track"),
        pytest.param("00903c40 60803c40 60ff2f00 903c", 0xC0, id="bytes after the end"),
        pytest.param("00903c40 00f0017f 603c00", 0x60, id="no status after a system message"),
        pytest.param("00903c40 00ff0100 603c00", 0x60, id="no status after a meta event"),
        pytest.param("00c005 0005 00903c40 8000803c40 60803c40", 0x60, id="one data byte, a delta time with a leading zero"),
    ],
)  # fmt: skip
def test_incomplete_tracks_are_read(track: str, end: int) -> None:
    events = parsed(bytes.fromhex(track))
    notes = [
        (tick, status & 0xF0 == 0x90 and velocity > 0) for tick, status, _, velocity in rows(events) if status < 0xB0
    ]
    assert notes[0] == (0, True)
    assert notes[-1] == (0x60, False)
    assert events.ends.tolist() == [end]


def test_tempos_have_their_ticks() -> None:
    track = bytes.fromhex("8140 903c40 60 ff510307a120 00 803c40 00 ff2f00")
    assert parsed(track).marks == (Mark(0xC0 + 0x60, 0, 1, TEMPO, bytes.fromhex("07a120")),)


def test_packets_of_a_system_exclusive_message_are_joined() -> None:
    whole = parsed(bytes.fromhex("00f00543127e01f7")).marks
    assert [(mark.kind, mark.content) for mark in whole] == [(SYSTEM_EXCLUSIVE, bytes.fromhex("43127e01f7"))]
    packets = parsed(bytes.fromhex("00f0024312 00f7017e 00f70201f7")).marks
    escaped = parsed(bytes.fromhex("00f706f043127e01f7")).marks
    assert [mark.content for mark in packets] == [mark.content for mark in escaped] == [whole[0].content]


def test_a_file_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="larger than 4,194,304 bytes"):
        parse(b"MThd" + bytes(LARGEST_FILE))
