"""Music to events: the talk's example, encodings of the original code, rounding, order, duplicates, the report."""

from __future__ import annotations

import json
import random
from pathlib import Path

import muspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import pieces, raw_rows

import mmt
from mmt.representation.codes import (
    BEAT,
    DURATION,
    INSTRUMENT,
    NOTE,
    PAPER,
    PITCH,
    POSITION,
    TYPE,
    Events,
    Representation,
)
from mmt.representation.encode import canonical
from mmt.representation.grammar import check_piece

Row = tuple[int, int, int, int, bool]


def music_of(rows: list[Row], resolution: int = 480, velocity: int = 64) -> muspy.Music:
    """Music with one track for each note, in the order of the notes."""
    tracks = [
        muspy.Track(program, is_drum, notes=[muspy.Note(time=t, pitch=pitch, duration=d, velocity=velocity)])
        for t, d, pitch, program, is_drum in rows
    ]
    return muspy.Music(resolution=resolution, tracks=tracks)


def plain_encode(rows: list[Row], resolution: int, representation: Representation = PAPER) -> list[tuple[int, ...]]:
    """The notes of a piece by a plain loop over the definition. Python rounds half to even."""
    found = set()
    for time, length, pitch, program, is_drum in rows:
        code = next((c for c, i in enumerate(representation.instruments, 1) if program in i.programs), 0)
        if is_drum or not code:
            continue
        onset = round(time * representation.resolution / resolution)
        steps = max(round((time + length) * representation.resolution / resolution) - onset, 1)
        duration = min(range(len(representation.durations)), key=lambda i: abs(representation.durations[i] - steps))
        beat, position = divmod(onset, representation.resolution)
        found.add((NOTE, beat + 1, position + 1, pitch + 1, duration + 1, code))
    return sorted(found)


def test_the_example_of_the_talk_has_the_same_events_and_lines(reference: Path) -> None:
    example = json.loads((reference / "slide_example.json").read_text())
    slides = Representation.slides()
    music = mmt.decode(example["events"], representation=slides)
    assert mmt.encode(music, representation=slides).tolist() == example["events"]
    assert mmt.to_text(example["events"], representation=slides).splitlines() == example["text"]


def test_encodings_equal_those_of_the_original_code(reference: Path, shared: Path) -> None:
    """The files were made by the original code with three corrections, which are all intended differences:

    The original code keeps a duration of 0, and then has no code for it (ours: 1 step, since a note sounds); it
    sorts notes by MIDI program (ours: by instrument code, the order in the paper); and it keeps a note twice
    if two programs become one instrument (ours: once).

    One file changes the program of a channel in one track while another track plays in the channel. muspy, with
    which the original code reads, keeps a program for each track; ours belongs to the channel, as a synthesizer
    plays it. So this file has the same notes for other instruments.
    """
    files = sorted((reference / "encodings").glob("*.npy"))
    assert len(files) == 26
    for file in files:
        events = mmt.encode(mmt.read(shared / "data" / "examples" / "mid" / f"{file.stem}.mid"))
        expected = np.load(file)
        if file.stem == "freedoom__d_e4m4_1a638338":
            events, expected = (
                np.unique(rows[rows[:, TYPE] == NOTE, :INSTRUMENT], axis=0) for rows in (events, expected)
            )
        np.testing.assert_array_equal(events, expected, err_msg=file.stem)


@given(st.sampled_from([1, 24, 220, 480]).flatmap(lambda r: st.tuples(st.just(r), raw_rows(r))))
def test_encoding_equals_a_plain_loop_over_the_definition(case: tuple[int, list[Row]]) -> None:
    resolution, rows = case
    events, report = mmt.encode(music_of(rows, resolution), report=True)
    assert [tuple(row) for row in events[events[:, TYPE] == NOTE].tolist()] == plain_encode(rows, resolution)
    assert report.notes == len(rows)
    assert report.kept + report.dropped.total() == report.notes
    assert report.dropped["drum notes"] == sum(row[4] for row in rows)
    if report.kept:
        check_piece(events)
    else:
        assert events[:, TYPE].tolist() == [0, 2, 4]


@given(pieces())
def test_decode_then_encode_is_a_fixed_point(piece: Events) -> None:
    np.testing.assert_array_equal(mmt.encode(mmt.decode(piece)), piece)


@given(pieces(Representation.slides()))
def test_decode_then_encode_is_a_fixed_point_in_the_talks_preset(piece: Events) -> None:
    slides = Representation.slides()
    np.testing.assert_array_equal(mmt.encode(mmt.decode(piece, representation=slides), representation=slides), piece)


@given(raw_rows(480), st.randoms(use_true_random=False))
def test_the_order_of_tracks_does_not_matter(rows: list[Row], shuffler: random.Random) -> None:
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    np.testing.assert_array_equal(mmt.encode(music_of(shuffled)), mmt.encode(music_of(rows)))


def test_merging_programs_leaves_no_duplicates() -> None:
    # Programs 0 and 1 are both the piano.
    events, report = mmt.encode(music_of([(0, 480, 60, 0, False), (0, 480, 60, 1, False)]), report=True)
    assert (events[:, TYPE] == NOTE).sum() == 1
    assert report.dropped == {"doubled notes": 1}
    assert report.changed["programs merged"] == 1


def test_durations_that_round_to_the_same_leave_no_duplicates() -> None:
    # 384 steps are the longest known duration; 40 and 50 beats both become it.
    events, report = mmt.encode(music_of([(0, 40 * 12, 60, 0, False), (0, 50 * 12, 60, 0, False)], 12), report=True)
    assert (events[:, TYPE] == NOTE).sum() == 1
    assert report.dropped == {"doubled notes": 1}
    assert report.changed["durations rounded to a known one"] == 2


@pytest.mark.parametrize(
    ("onset", "length", "step", "steps"),
    [
        (1, 4, 0, 2),  # half a step: to the even 0; its end at 2 1/2: to the even 2
        (3, 4, 2, 2),  # one and a half: to the even 2; the end at 3 1/2: to 4
        (0, 1, 0, 1),  # the end rounds to the onset: a duration is at least 1
        (0, 0, 0, 1),
        (5, 1, 2, 1),  # 2 1/2 goes down to 2 and its end is 3
    ],
)
def test_onset_and_end_are_each_rounded_half_to_even(onset: int, length: int, step: int, steps: int) -> None:
    note = mmt.encode(music_of([(onset, length, 60, 0, False)], resolution=24))[3]
    assert note[POSITION] == step + 1
    assert PAPER.durations[note[DURATION] - 1] == steps


def test_beats_cuts_by_onset_and_the_report_counts_what_is_cut() -> None:
    rows = [(beat * 480, 960, 60 + beat, 40 + (beat > 1), False) for beat in range(4)]
    events, report = mmt.encode(music_of(rows), beats=2, report=True)
    notes = events[events[:, TYPE] == NOTE]
    assert notes[:, BEAT].tolist() == [1, 2]
    # Only instruments that sound are listed.
    assert events[events[:, TYPE] == 1, INSTRUMENT].tolist() == [PAPER.find_instrument("violin")]
    assert report.dropped == {"notes past beat 2": 2}
    assert (report.notes, report.kept) == (4, 2)


@pytest.mark.parametrize("beats", [0, -1])
def test_fewer_than_one_beat_is_refused(beats: int) -> None:
    with pytest.raises(ValueError, match=f"beats is {beats}"):
        mmt.encode(music_of([]), beats=beats)


def test_without_a_limit_every_note_is_kept() -> None:
    events, report = mmt.encode(music_of([(5000 * 480, 480, 60, 0, False)]), report=True)
    assert events[-2, BEAT] == 5001
    assert report.kept == 1


def test_the_report_counts_all_that_is_left_out() -> None:
    rows = [(0, 480, 60, 0, False), (0, 480, 36, 0, True), (0, 480, 60, 120, False), (7, 480, 62, 0, False)]
    music = music_of(rows, velocity=90)
    music.tempos = [muspy.Tempo(0, 120), muspy.Tempo(480, 90)]
    _, report = mmt.encode(music, report=True)
    assert (report.notes, report.kept) == (4, 2)
    assert report.dropped == {"drum notes": 1, "notes of programs without an instrument": 1}
    assert report.changed == {"onsets moved to the grid": 1, "velocities": 2, "tracks joined": 1, "tempo marks": 2}
    assert str(report).startswith("2 of 4 notes kept; left out: 1 drum note, 1 note of programs")


DURATIONS = ("durations moved to the grid", "durations shorter than a step", "durations rounded to a known one")


@given(st.sampled_from([1, 24, 100, 480]).flatmap(lambda r: st.tuples(st.just(r), raw_rows(r))), st.booleans())
def test_each_changed_duration_is_counted_once(case: tuple[int, list[Row]], slides: bool) -> None:
    resolution, rows = case
    representation = Representation.slides() if slides else PAPER
    _, report = mmt.encode(music_of(rows, resolution), report=True, representation=representation)
    changed = 0
    for row in rows:
        for note in plain_encode([row], resolution, representation):
            changed += representation.durations[note[DURATION] - 1] * resolution != row[1] * representation.resolution
    assert sum(report.changed[reason] for reason in DURATIONS) == changed


@pytest.mark.parametrize(
    ("onset", "length", "reason"),
    [
        (0, 24, None),  # a beat
        (0, 25, DURATIONS[0]),
        (1, 24, None),  # only the onset moves
        (3, 4, None),  # 1 1/2 to 2 steps: the onset moves up and the end too
        (1, 6, DURATIONS[0]),  # onset at 1/2, end at 3 1/2: 0 and 4
        (0, 1, DURATIONS[1]),
        (0, 0, DURATIONS[1]),
        (0, 26, DURATIONS[2]),  # 13 steps
        (0, 27, DURATIONS[2]),  # 13 1/2 steps
    ],
)
def test_a_changed_duration_has_one_reason(onset: int, length: int, reason: str | None) -> None:
    _, report = mmt.encode(music_of([(onset, length, 60, 0, False)], resolution=24), report=True)
    assert {name: report.changed[name] for name in DURATIONS if report.changed[name]} == ({reason: 1} if reason else {})


def test_the_report_counts_tempos_signatures_texts_and_chords() -> None:
    music = music_of([(0, 480, 60, 40, False), (480, 480, 62, 40, False), (0, 480, 60, 41, False)])
    music.tempos = [muspy.Tempo(0, 100.0), muspy.Tempo(960, 90.0)]
    music.time_signatures = [muspy.TimeSignature(0, 3, 4)]
    music.key_signatures = [muspy.KeySignature(0, 7, "major"), muspy.KeySignature(960, 2, "major")]
    music.lyrics, music.tracks[0].lyrics = [muspy.Lyric(0, "la")], [muspy.Lyric(0, "la"), muspy.Lyric(480, "la")]
    music.annotations, music.tracks[1].annotations = [muspy.Annotation(0, "A")], [muspy.Annotation(0, "cresc.")]
    music.tracks[0].chords = [muspy.Chord(0, [60, 64, 67], 480)]
    _, report = mmt.encode(music, report=True)
    assert report.changed == {
        "tracks joined": 1, "tempo marks": 2, "time signatures": 1, "key signatures": 2, "lyrics": 3, "annotations": 2,
        "chords": 1,
    }  # fmt: skip
    assert str(report) == (
        "3 of 3 notes kept; simplified: 1 track joined; not kept: 2 tempo marks, 1 time signature, 2 key signatures, "
        "3 lyrics, 2 annotations, 1 chord"
    )


def test_simplifications_are_counted_for_kept_notes_only() -> None:
    rows = [(0, 480, 60, 1, False), (7 + 480, 480, 60, 1, False)]
    _, report = mmt.encode(music_of(rows, velocity=90), beats=1, report=True)
    assert report.changed == {"programs merged": 1, "velocities": 1}  # only one track is left, so none are joined


def test_impossible_notes_are_left_out_and_counted() -> None:
    music = music_of([(-480, 480, 60, 0, False), (0, 480, 60, 0, False), (0, 480, 128, 0, False)])
    events, report = mmt.encode(music, report=True)
    assert report.dropped == {"notes before the first beat": 1, "notes out of range": 1}
    assert report.kept == 1
    assert check_piece(events)[3].tolist() == [NOTE, 1, 1, 61, 12, 1]


def test_reports_can_be_added() -> None:
    one = mmt.encode(music_of([(0, 480, 60, 0, True)]), report=True)[1]
    other = mmt.encode(music_of([(0, 480, 60, 0, False)] * 2), report=True)[1]
    total = one + other
    assert (total.notes, total.kept) == (3, 1)
    assert total.dropped == {"drum notes": 1, "doubled notes": 1}


def test_music_without_a_resolution_is_refused() -> None:
    with pytest.raises(ValueError, match="resolution of the music is 0"):
        mmt.encode(muspy.Music(resolution=0))


@given(pieces(end=False), st.randoms(use_true_random=False))
def test_canonical_sorts_by_all_fields_and_removes_duplicates(piece: Events, shuffler: random.Random) -> None:
    notes = piece[piece[:, TYPE] == NOTE]
    rows = notes.tolist() * 2
    shuffler.shuffle(rows)
    expected = sorted(set(map(tuple, rows)))
    assert [tuple(row) for row in canonical(np.array(rows, np.int64)).tolist()] == expected


def test_encode_does_not_change_the_music() -> None:
    music = music_of([(7, 480, 60, 1, False)])
    before = music.to_ordered_dict()
    mmt.encode(music, beats=1)
    assert music.to_ordered_dict() == before


def test_pitch_is_one_more_than_midi() -> None:
    assert mmt.encode(music_of([(0, 480, 127, 0, False), (0, 480, 0, 0, False)]))[3:5, PITCH].tolist() == [1, 128]
