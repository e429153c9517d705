"""The quick scan finds in ordinary tracks what the careful one finds, and leaves all others to it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmt.music import chunks
from mmt.music.quick_scan import scan_quickly

DELTA = st.one_of(st.just(b"\x00"), st.just(b"\x60"), st.just(b"\x81\x40"), st.just(b"\x81\x80\x00"))
EVENT = st.sampled_from(
    [
        bytes.fromhex(event)
        for event in [
            "903c40",
            "803c40",
            "3c40",
            "3c00",
            "b00740",
            "c005",
            "05",
            "d040",
            "e00040",
            "ff510307a120",
            "ff0301a0",
            "ff0100",
            "ff580404021808",
            "f07f017f",
            "f7017f",
            "f1",
            "f8",
            "ff2f00",
            "903c",
            "90bc40",
            "ff03ff",
        ]
    ]
)
TRACK = st.lists(st.tuples(DELTA, EVENT).map(b"".join), max_size=12).map(b"".join)


def check_against_the_careful_scan(tracks: list[bytes]) -> int:
    """Compare both; returns how many tracks were scanned quickly."""
    quick = scan_quickly(tracks)
    if quick is None:
        return 0
    for one, other in zip(quick, map(chunks.scan, tracks), strict=True):
        assert (one.notes, one.marks) == (other.notes, other.marks)
        # Only the releases of notes that are never released may be missing.
        end = -len(chunks.END_OF_TRACK)
        assert other.events.startswith(one.events[:end])
        if one.events != other.events:
            assert len(other.events) > len(one.events)
    return len(tracks)


@given(st.lists(TRACK, min_size=1, max_size=3))
def test_of_all_kinds_of_events(tracks: list[bytes]) -> None:
    check_against_the_careful_scan(tracks)


@given(st.binary(max_size=40), TRACK)
def test_of_any_bytes(noise: bytes, track: bytes) -> None:
    check_against_the_careful_scan([track, noise, track + noise])


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param("00c005 0007", id="running program changes"),
        pytest.param("00903c40 00f0017f 003c00", id="a status left out after a system message"),
        pytest.param("003c40", id="no status at all"),
        pytest.param("0090bc40", id="a pitch above 127"),
        pytest.param("00903cc0", id="a velocity above 127"),
        pytest.param("00903c", id="cut off"),
        pytest.param("00f8", id="a system message"),
        pytest.param("8181818100903c40", id="a delta time of five bytes"),
    ],
)
def test_what_is_odd_is_left_to_the_careful_scan(odd: str) -> None:
    assert scan_quickly([bytes.fromhex("00903c40 60803c40 00ff2f00"), bytes.fromhex(odd)]) is None


def test_a_track_ends_where_it_ends() -> None:
    """What is cut off is not completed by the next track's bytes."""
    for cut, rest in (("00ff", "2f00"), ("00ff51", "0307a120"), ("00903c", "40"), ("0090", "3c40"), ("81", "00903c40")):
        assert scan_quickly([bytes.fromhex("00903c40" + cut), bytes.fromhex(rest + "00903c40")]) is None


def test_real_files_are_scanned_quickly(shared: Path) -> None:
    quick = total = 0
    for file in sorted(shared.joinpath("data", "examples", "mid").glob("*.mid")):
        tracks = list(chunks.split(file.read_bytes()).tracks)
        quick += check_against_the_careful_scan(tracks)
        total += len(tracks)
    assert quick > 0.9 * total


def test_odd_files_are_never_scanned_wrongly(shared: Path) -> None:
    for file in sorted(shared.joinpath("data", "nasty").rglob("*.mid")):
        try:
            tracks = list(chunks.split(file.read_bytes()).tracks)
        except (ValueError, struct.error):
            continue
        check_against_the_careful_scan(tracks)
