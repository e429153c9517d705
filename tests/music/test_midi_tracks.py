"""Every track is repaired or refused, so that symusic gets valid events only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmt.music.reading.midi_tracks import END_OF_TRACK, TEMPO, CheckedTrack, check_track

DELTAS = ["00", "60", "8140", "818000"]
EVENTS = [
    *("903c40", "803c40", "3c40", "3c00", "b00740", "c005", "05", "d040", "e00040", "ff510307a120", "ff0301a0", "ff0100"),
    *("ff580404021808", "f07f017f", "f7017f", "f1", "f8", "ff2f00", "903c", "90bc40", "ff03ff"),
]  # fmt: skip
TRACKS = st.lists(
    st.tuples(st.sampled_from(DELTAS), st.sampled_from(EVENTS)).map(lambda event: bytes.fromhex("".join(event))),
    max_size=12,
).map(b"".join)


@given(st.one_of(TRACKS, st.binary(max_size=40), st.tuples(TRACKS, st.binary(max_size=20)).map(b"".join)))
def test_a_checked_track_passes_the_check_unchanged(track: bytes) -> None:
    try:
        checked = check_track(track)
    except ValueError:
        return
    assert checked.events.endswith(END_OF_TRACK)
    assert check_track(checked.events) == checked


@pytest.mark.parametrize(
    ("track", "message"),
    [
        ("003c40", "an event without a status byte at byte 0"),
        ("0090bc40", "a data byte above 127 at byte 3"),
        ("00903cc0", "a data byte above 127 at byte 3"),
        ("00903c", "the last event is cut off"),
        ("00ff5103", "the last event is cut off"),
        ("00f4", "an undefined status byte, 0xf4, at byte 1"),
    ],
)
def test_invalid_events_are_refused(track: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_track(bytes.fromhex(track))


@pytest.mark.parametrize(
    ("track", "repaired"),
    [
        pytest.param("00903c40 60803c40 00ff2f00", "00903c40 60803c40 00ff2f00", id="valid"),
        pytest.param("00903c40 60803c40", "00903c40 60803c40 00ff2f00", id="no end of track"),
        pytest.param("00903c40 60ff2f00 903c40", "00903c40 60803c00 00ff2f00", id="bytes after the end, no note-off"),
        pytest.param("00903c40 00f0017f 603c00", "00903c40 00f0017f 60903c00 00ff2f00", id="no status after a system message"),
    ],
)  # fmt: skip
def test_incomplete_tracks_are_repaired(track: str, repaired: str) -> None:
    assert check_track(bytes.fromhex(track)) == CheckedTrack(bytes.fromhex(repaired), 1, ())


def test_marks_are_at_their_ticks() -> None:
    track = bytes.fromhex("8140 903c40 60 ff510307a120 00 803c40 00 ff2f00")
    assert check_track(track).marks == ((0xC0 + 0x60, TEMPO, bytes.fromhex("07a120")),)
