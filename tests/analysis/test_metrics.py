"""Metrics: equality with muspy, musical laws, undefined values, limits, intervals and errors."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import muspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmt
from mmt.analysis.metrics import METRICS, evaluate
from mmt.representation.codes import BEAT, PITCH, POSITION
from mmt.representation.encode import events_of_notes
from mmt.representation.notes import NOTE_DTYPE

TINY = Path(__file__).resolve().parents[2] / "data" / "tiny"
OURS = {
    "pitch_class_entropy": muspy.pitch_class_entropy,
    "scale_consistency": muspy.scale_consistency,
    "groove_consistency": lambda music: muspy.groove_consistency(music, 4 * music.resolution),
    "polyphony": muspy.polyphony,
}


ALL = mmt.Representation(drums=True, given=True, length=True)


def piece(*notes: tuple[int, int, int, int, int], end: bool = True) -> np.ndarray:
    """Events of notes (beat, position, pitch, duration in steps, instrument code)."""
    return events_of_notes(np.array(list(notes), NOTE_DTYPE), ALL, end=end)


def assert_equals_muspy(events: np.ndarray) -> None:
    music, scores = mmt.decode(events), evaluate([events])
    for name, theirs in OURS.items():
        assert scores.values[name][0] == pytest.approx(theirs(music), abs=1e-9, nan_ok=True), name
    assert scores.values["seconds"][0] == pytest.approx(music.get_real_end_time(), abs=1e-9)


@pytest.mark.parametrize("file", sorted([*TINY.glob("*.mid"), *TINY.glob("*.mxl")]), ids=lambda file: file.stem)
def test_tiny_pieces_match_muspy(file: Path) -> None:
    events = mmt.encode(mmt.read(file))
    assert_equals_muspy(events)
    assert_equals_muspy(mmt.encode(mmt.read(file), beats=7))


def test_real_pieces_match_muspy(shared: Path) -> None:
    files = sorted((shared / "reference" / "encodings").glob("*.npy"))
    assert len(files) > 20
    for file in files:
        assert_equals_muspy(np.load(file))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9),
            st.integers(0, 11),
            st.integers(50, 66),
            st.sampled_from([1, 6, 12, 48]),
            st.integers(1, 3),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_any_notes_match_muspy(notes: list[tuple[int, int, int, int, int]]) -> None:
    assert_equals_muspy(piece(*notes))


def test_corrected_groove_has_no_empty_measure_after_a_final_bar_line() -> None:
    """Two equal measures of one whole note each."""
    scores = evaluate([piece((0, 0, 60, 48, 1), (4, 0, 60, 48, 1))])
    assert scores.values["groove_consistency_corrected"][0] == 1
    assert scores.values["groove_consistency"][0] == pytest.approx(1 - (1 / 48) / 2)
    # If the last note is a step longer, there is an empty third measure, and both count it.
    scores = evaluate([piece((0, 0, 60, 48, 1), (4, 1, 60, 48, 1))])
    assert scores.values["groove_consistency_corrected"][0] == scores.values["groove_consistency"][0] < 1


def test_undefined_values_are_counted_and_enter_no_mean() -> None:
    """A piece of one measure has no groove; a piece without notes has no metrics."""
    short, long = piece((0, 0, 60, 12, 1)), piece((0, 0, 60, 12, 1), (4, 0, 62, 12, 1))
    empty = events_of_notes(np.empty(0, NOTE_DTYPE))
    scores = evaluate([short, long, empty])
    groove, entropy = scores["groove_consistency"], scores["pitch_class_entropy"]
    assert (groove.defined, groove.undefined, groove.mean) == (1, 2, 1.0)
    assert (entropy.defined, entropy.undefined, entropy.mean) == (2, 1, 0.5)
    assert (groove.low, groove.high) == (None, None)
    assert evaluate([empty])["notes"].mean is None
    assert "undefined" in str(evaluate([empty]))
    assert "(1 of 3)" in str(scores)


def test_transposition_changes_no_metric() -> None:
    events = mmt.encode(mmt.read(TINY / "mayer_quartet_in_g_minor.mid"))
    higher = events.copy()
    higher[higher[:, POSITION] > 0, PITCH] += 3
    for name, value in evaluate([events]).values.items():
        np.testing.assert_allclose(value, evaluate([higher]).values[name], atol=1e-12)


def test_metrics_of_the_first_beats_ignore_later_notes() -> None:
    """Metrics of the first beats equal those that muspy gives for the cut music, with long notes truncated."""
    events = mmt.encode(mmt.read(TINY / "mayer_quartet_in_g_minor.mid"))
    music = mmt.decode(events)
    for track in music.tracks:
        track.notes = [note for note in track.notes if note.time < 16 * 12]
        for note in track.notes:
            note.duration = min(note.duration, 16 * 12 - note.time)
    scores = evaluate([events], beats=16)
    for name, theirs in OURS.items():
        assert scores.values[name][0] == pytest.approx(theirs(music), abs=1e-9)
    assert scores.values["beats"][0] == 16
    assert scores.values["seconds"][0] <= 16 * 0.6
    assert scores.values["valid"][0] == 1
    assert (scores.length, evaluate([events]).length) == ("the first 16 beats", "whole pieces")


def test_instruments_used_and_ends_by_itself() -> None:
    played = piece((0, 0, 60, 12, 25), (1, 0, 60, 12, 27))
    asked = np.concatenate([played[:2], [[1, 0, 0, 0, 0, 26]], played[2:]])
    open_ended = piece((0, 0, 60, 12, 25), end=False)
    scores = evaluate([played, asked, open_ended])
    np.testing.assert_allclose(scores.values["instruments_used"], [1, 2 / 3, 1])
    np.testing.assert_array_equal(scores.values["instruments"], [2, 2, 1])
    np.testing.assert_array_equal(scores.values["ends_by_itself"], [1, 1, 0])
    np.testing.assert_array_equal(scores.values["valid"], [1, 1, 0])
    np.testing.assert_array_equal(evaluate([played], max_events=len(played)).values["ends_by_itself"], [0])
    np.testing.assert_array_equal(evaluate([played], max_events=len(played) + 1).values["ends_by_itself"], [1])
    np.testing.assert_array_equal(evaluate([played], max_beats=2).values["ends_by_itself"], [0])
    np.testing.assert_array_equal(evaluate([played], max_beats=3).values["ends_by_itself"], [1])


def test_invalid_pieces_are_counted_and_measured_where_readable() -> None:
    good = piece((0, 0, 60, 12, 25), (1, 0, 62, 12, 25))
    reversed_notes = good[[0, 1, 2, 4, 3, 5]]
    out_of_range = good + np.array([0, 0, 0, 100, 0, 0])
    scores = evaluate([good, reversed_notes, out_of_range])
    np.testing.assert_array_equal(scores.values["valid"], [1, 0, 0])
    np.testing.assert_array_equal(scores.values["notes"], [2, 2, np.nan])
    assert scores["valid"].mean == pytest.approx(1 / 3)
    assert scores["valid"].low is not None
    assert scores["valid"].low > 0


def test_metrics_match_muspy_at_another_resolution() -> None:
    slides = mmt.Representation.slides()
    music = mmt.read(TINY / "franz_fuer_einen.mid")
    events = mmt.encode(music, representation=slides)
    scores, decoded = evaluate([events], representation=slides), mmt.decode(events, representation=slides)
    for name, theirs in OURS.items():
        assert scores.values[name][0] == pytest.approx(theirs(decoded), abs=1e-9)


def test_scores_serialise_to_json_and_csv() -> None:
    scores = evaluate([piece((0, 0, 60, 12, 25)), piece((0, 0, 60, 12, 25), (4, 0, 62, 12, 25))])
    found = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert found["pieces"] == 2
    assert found["measures"]["groove_consistency"]["undefined"] == 1
    rows = list(csv.DictReader(io.StringIO(scores.to_csv())))
    assert list(rows[0]) == ["piece", *METRICS]
    assert rows[0]["groove_consistency"] == ""
    assert float(rows[1]["pitch_class_entropy"]) == 1.0
    with pytest.raises(KeyError, match="there is no metric 'groove'"):
        scores["groove"]
    assert "groove_consistency" in scores
    assert "groove" not in scores


@pytest.mark.parametrize(
    ("pieces", "arguments", "message"),
    [
        ([], {}, "no pieces"),
        ([np.zeros((3, 5), int)], {}, r"piece 0: events must have the shape \(n, 6\), not \(3, 5\)"),
        ([np.zeros((3, 6), int), np.zeros((3, 6))], {}, "piece 1: events must be integers, not float64"),
        ([np.zeros((3, 6), int)], {"beats": 0}, "beats is 0"),
        ([muspy.Music()], {}, r"piece 0: .*muspy\.Music; give mmt\.encode\(music\)"),
    ],
)
def test_invalid_pieces_and_arguments_raise(pieces: list[np.ndarray], arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(pieces, **arguments)


DRUM_NOTES = [(beat, 3, key, 2, ALL.drums_code) for beat in range(12) for key in (36, 42)]
TONES = [(beat, 0, 60 + 5 * beat % 12, 14, 25) for beat in range(12)]
OF_PITCH = ("pitch_class_entropy", "scale_consistency", "polyphony")


def test_metrics_of_pitch_ignore_drums_and_others_count_them() -> None:
    alone, both = (evaluate([piece(*notes)], representation=ALL).values for notes in (TONES, TONES + DRUM_NOTES))
    for name in OF_PITCH:
        assert both[name][0] == alone[name][0] > 0, name
    assert both["notes"][0] == alone["notes"][0] + len(DRUM_NOTES)
    assert both["instruments"][0] == both["valid"][0] * 2 == 2
    # The first measure differs from the next by its drums.
    uneven = evaluate([piece(*TONES, *DRUM_NOTES[:8])], representation=ALL)
    assert uneven.values["groove_consistency"][0] < alone["groove_consistency"][0]


def test_metrics_of_pitch_are_undefined_for_drums_alone() -> None:
    values = evaluate([piece(*DRUM_NOTES)], representation=ALL).values
    # One instrument has no evenness, and the piece has no length code.
    undefined = {*OF_PITCH, "instrument_evenness", "ends_at_told_length"}
    assert {name for name in METRICS if np.isnan(values[name][0])} == undefined


def test_drums_are_invalid_without_their_representation() -> None:
    values = evaluate([piece(*TONES, *DRUM_NOTES)]).values
    assert (values["valid"][0], np.isnan(values["notes"][0])) == (0, True)


def test_given_note_counts_as_a_note_and_length_does_not() -> None:
    table = np.array(TONES, NOTE_DTYPE)
    written, given_too = (events_of_notes(table, ALL, given=given) for given in (None, np.arange(len(table)) % 3 == 1))
    given_too[2, BEAT] = ALL.length_code(64)
    ours, theirs = (evaluate([events], max_beats=64, representation=ALL).values for events in (given_too, written))
    for name in METRICS.keys() - {"ends_at_told_length"}:
        np.testing.assert_array_equal(ours[name], theirs[name], name)
    assert ours["ends_by_itself"][0] == 1
