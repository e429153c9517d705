"""Events to music: values, beginnings of pieces, the argument `like`, and errors that name the row."""

from __future__ import annotations

from pathlib import Path

import muspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import pieces

import mmt
from mmt.representation.codes import (
    BEAT,
    DURATION,
    INSTRUMENT,
    INSTRUMENT_EVENT,
    NOTE,
    PAPER,
    PITCH,
    POSITION,
    TYPE,
    Events,
)
from mmt.representation.decode import check_codes

PIECE = [
    [0, 0, 0, 0, 0, 0],
    [1, 0, 0, 0, 0, 25],
    [1, 0, 0, 0, 0, 27],
    [2, 0, 0, 0, 0, 0],
    [3, 1, 1, 61, 12, 25],
    [3, 3, 7, 49, 13, 27],
    [4, 0, 0, 0, 0, 0],
]


def changed(row: int, field: int, value: int) -> Events:
    events = np.array(PIECE)
    events[row, field] = value
    return events


def test_every_value_of_an_event_is_in_the_music() -> None:
    music = mmt.decode(PIECE)
    assert music.resolution == 12
    assert [(track.program, track.name, track.is_drum) for track in music.tracks] == [
        (40, "violin", False),
        (42, "cello", False),
    ]
    note = music.tracks[1].notes[0]
    assert (note.time, note.pitch, note.duration, note.velocity) == (2 * 12 + 6, 48, 15, 64)
    assert [(tempo.time, tempo.qpm) for tempo in music.tempos] == [(0, 100.0)]


@given(pieces(), st.data())
def test_any_beginning_of_a_piece_is_decoded(piece: Events, data: st.DataObject) -> None:
    beginning = piece[: data.draw(st.integers(0, len(piece)))]
    music = mmt.decode(beginning)
    notes = beginning[beginning[:, TYPE] == NOTE]
    assert sum(len(track.notes) for track in music.tracks) == len(notes)
    assert len(music.tracks) == len(np.unique(notes[:, INSTRUMENT]))


def test_notes_are_sorted_by_time_and_pitch() -> None:
    rows = [[3, 2, 1, 61, 12, 25], [3, 1, 1, 65, 12, 25], [3, 1, 1, 61, 12, 25]]
    notes = mmt.decode(rows).tracks[0].notes
    assert [(note.time, note.pitch) for note in notes] == [(0, 60), (0, 64), (12, 60)]


def test_like_gives_tempo_signatures_and_title() -> None:
    like = muspy.Music(
        metadata=muspy.Metadata(title="Trio"),
        resolution=24,
        tempos=[muspy.Tempo(0, 72.0), muspy.Tempo(48, 90.0)],
        time_signatures=[muspy.TimeSignature(24, 3, 4)],
        key_signatures=[muspy.KeySignature(0, 2, "minor", -1, "D")],
    )
    music = mmt.decode(PIECE, like=like)
    assert music.metadata.title == "Trio"
    assert [(tempo.time, tempo.qpm) for tempo in music.tempos] == [(0, 72.0), (24, 90.0)]
    assert [(t.time, t.numerator, t.denominator) for t in music.time_signatures] == [(12, 3, 4)]
    assert [(k.time, k.root, k.mode, k.fifths, k.root_str) for k in music.key_signatures] == [(0, 2, "minor", -1, "D")]
    # An explicit tempo precedes that of `like`, and `like` is not changed.
    assert [tempo.qpm for tempo in mmt.decode(PIECE, like=like, tempo=60).tempos] == [60.0]
    assert [tempo.time for tempo in like.tempos] == [0, 48]


def test_like_without_a_tempo_gives_the_default_tempo() -> None:
    assert [tempo.qpm for tempo in mmt.decode(PIECE, like=muspy.Music()).tempos] == [100.0]


def test_tempo_and_velocity_are_used() -> None:
    music = mmt.decode(PIECE, tempo=81.5, velocity=100)
    assert music.tempos[0].qpm == 81.5
    assert {note.velocity for track in music.tracks for note in track.notes} == {100}


@pytest.mark.parametrize(
    ("events", "said"),
    [
        *[(changed(5, field, 0), r"row 5: a note with \w+ code 0; codes are 1 to") for field in range(BEAT, 6)],
        *[
            (
                changed(5, field, PAPER.sizes[field]),
                rf"row 5: a note with \w+ code {PAPER.sizes[field]}; codes are 1 to",
            )
            for field in (POSITION, PITCH, DURATION, INSTRUMENT)
        ],
        (changed(4, PITCH, -3), "row 4: a note with pitch code -3"),
        (changed(4, BEAT, 2**31), "row 4: a note with beat code 2147483648"),
        (changed(2, INSTRUMENT, 0), "row 2: an instrument event with instrument code 0; codes are 1 to 64"),
        (changed(2, INSTRUMENT, 65), "row 2: an instrument event with instrument code 65"),
        (changed(3, TYPE, 5), "row 3: type 5 is unknown; types are 0 to 4"),
        (changed(3, TYPE, -1), "row 3: type -1 is unknown"),
        (np.zeros((3, 5), int), r"shape \(n, 6\), not \(3, 5\)"),
        (np.zeros(6, int), r"shape \(n, 6\), not \(6,\)"),
        (np.zeros((3, 6)), "must be integers, not float64"),
    ],
)
def test_errors_name_the_row(events: Events, said: str) -> None:
    for function in (mmt.decode, mmt.to_text, check_codes):
        with pytest.raises(ValueError, match=said):
            function(events)


def test_events_and_music_are_not_interchangeable(tmp_path: Path) -> None:
    piece = np.array(
        [[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 25], [2, 0, 0, 0, 0, 0], [3, 1, 1, 61, 12, 25], [4, 0, 0, 0, 0, 0]]
    )
    for function in (mmt.to_text, mmt.decode, mmt.prompt.beats, check_codes):
        with pytest.raises(ValueError, match=r"events were expected, not a muspy\.Music; give mmt\.encode\(music\)"):
            function(mmt.decode(piece))
    with pytest.raises(
        ValueError, match=r"got a NumPy array \(5, 6\), expected a muspy\.Music; mmt\.decode makes one from events"
    ):
        mmt.write(tmp_path / "a.mid", piece)
    with pytest.raises(ValueError, match=r"got 'a.mid', expected a muspy\.Music; mmt\.read\(path\) reads one"):
        mmt.encode("a.mid")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"tempo": 0}, "tempo is 0"),
        ({"tempo": float("nan")}, "tempo is nan"),
        ({"velocity": 0}, "velocity is 0"),
        ({"velocity": 128}, "velocity is 128"),
    ],
)
def test_invalid_tempo_and_velocity_are_refused(arguments: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        mmt.decode(PIECE, **arguments)


def test_beats_beyond_the_last_of_the_network_are_decoded() -> None:
    assert mmt.decode(changed(5, BEAT, 5000)).tracks[1].notes[0].time == 4999 * 12 + 6


def test_check_codes_returns_a_copy() -> None:
    events = np.array(PIECE)
    check_codes(events)[0, TYPE] = INSTRUMENT_EVENT
    assert events[0, TYPE] == 0
