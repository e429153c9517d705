"""Time within the measures of scores."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from scores import attributes, beats, note, part, read, rows, time, words

from mmt.music.reading.score_time import Timeline, time_signature

TWO_PARTS = '<score-part id="P1"/><score-part id="P2"/>'
SIX_EIGHT = "<beats>6</beats><beat-type>8</beat-type>"
WHOLE_REST = '<note><rest measure="yes"/><duration>{}</duration><type>whole</type></note>'


def onsets(folder: Path, *measures: str, others: tuple[str, ...] = ()) -> list[float]:
    """The onsets in beats of the notes of a part in 4/4, with two divisions a beat."""
    first, *following = measures
    parts = [part(attributes(2, time("4")) + first, *following)]
    if others:
        parts.append(part(attributes(2, time("4")) + others[0], *others[1:], number="P2"))
    return [onset for onset, _, _ in beats(read(folder, *parts, part_list=TWO_PARTS))]


EMPTY = (
    "",
    words("tacet"),
    "<forward><duration>0</duration></forward>",
    '<note><rest measure="yes"/></note>',
    "<note><rest/></note>",
)


@pytest.mark.parametrize("empty", EMPTY)
def test_an_empty_measure_has_the_length_of_its_time_signature(tmp_path: Path, empty: str) -> None:
    assert onsets(tmp_path, note("C", 8), empty, note("D", 8)) == [0, 8]
    assert onsets(tmp_path, empty, note("D", 8)) == [4]
    assert onsets(tmp_path, note("C", 8), empty, note("D", 8), others=("", empty, note("E", 8))) == [0, 8, 8]


def test_a_measure_that_is_empty_in_one_part_is_whole(tmp_path: Path) -> None:
    assert onsets(tmp_path, note("C", 8), note("D", 6), note("E", 8), others=(note("F", 8), "", note("G", 8))) == [
        0,
        0,
        4,
        8,
        8,
    ]


def test_a_pickup_is_short_for_all_parts(tmp_path: Path) -> None:
    assert onsets(tmp_path, note("C", 2), note("D", 8), others=("", note("G", 8))) == [0, 1, 1]


def test_an_empty_implicit_measure_has_no_length(tmp_path: Path) -> None:
    body = (
        f'<measure number="1">{attributes(2, time("4"))}{note("C", 8)}</measure><measure number="X1" implicit="yes"/>'
    )
    music = read(tmp_path, f'<part id="P1">{body}<measure number="2">{note("D", 8)}</measure></part>')
    assert [n.time for n in music.tracks[0].notes] == [0, 8]


@pytest.mark.parametrize(
    "rest",
    [
        WHOLE_REST,
        "<note><rest/><duration>{}</duration><type>whole</type></note>",
        "<note><rest/><duration>{}</duration></note>",
    ],
)
@pytest.mark.parametrize("duration", [8, 12])
def test_a_whole_rest_fills_its_measure(tmp_path: Path, rest: str, duration: int) -> None:
    three = attributes(2, time("3"))
    music = read(tmp_path, part(three + rest.format(duration), note("C", 6)))
    assert beats(music) == [(3, 3, 60)]
    with_voice = rest.format(duration) + f"<backup><duration>{duration}</duration></backup>" + note("C", 6)
    assert beats(read(tmp_path, part(three + with_voice, note("D", 6)))) == [(0, 3, 60), (3, 3, 62)]


def test_a_whole_rest_may_be_shorter_than_the_signature(tmp_path: Path) -> None:
    assert onsets(tmp_path, WHOLE_REST.format(2), note("C", 8)) == [1]


def test_a_measure_of_notes_may_be_longer_than_its_signature(tmp_path: Path) -> None:
    assert onsets(tmp_path, note("C", 10), note("D", 8)) == [0, 5]
    assert onsets(tmp_path, "<note><rest/><duration>16</duration></note>" + note("C", 2), note("D", 8)) == [8, 9]


def test_measures_keep_a_time_signature_until_the_next_one(tmp_path: Path) -> None:
    """Full-measure rests of several signatures, as Sibelius writes them."""
    five, three = (f"<attributes>{time(above, below)}</attributes>" for above, below in (("5", 4), ("3", 8)))
    assert onsets(tmp_path, five + WHOLE_REST.format(10), three + WHOLE_REST.format(3), "", note("C", 3)) == [8]


def test_rounded_tuplets_stay_in_time(tmp_path: Path) -> None:
    """Seven notes of 69 divisions are 483 where a beat has 480."""
    seventh = note(
        "C",
        69,
        "<type>16th</type><time-modification><actual-notes>7</actual-notes><normal-notes>4</normal-notes></time-modification>",
    )
    for back in ("", "<backup><duration>3</duration></backup>"):
        measure = (7 * seventh + back) * 2 + note("D", 960)
        music = read(tmp_path, part(attributes(480, time("4")) + measure, *[measure] * 39))
        found = [n.time / music.resolution for n in music.tracks[0].notes]
        assert found == pytest.approx(
            [4 * k + at for k in range(40) for at in [*(j / 7 for j in range(14)), 2]], abs=1e-4
        )


def test_rounded_tuplets_of_coarse_divisions_are_exact(tmp_path: Path) -> None:
    third = note(
        "C",
        3,
        "<type>eighth</type><time-modification><actual-notes>3</actual-notes><normal-notes>2</normal-notes></time-modification>",
    )
    music = read(tmp_path, part(attributes(8, time("1")) + 3 * third, note("D", 8)))
    assert rows(music.tracks[0]) == [(0, 60, 8), (8, 60, 8), (16, 60, 8), (24, 62, 24)]


def test_an_inexact_backup_goes_to_the_nearest_note(tmp_path: Path) -> None:
    third = note(
        "C",
        3,
        "<type>eighth</type><time-modification><actual-notes>3</actual-notes><normal-notes>2</normal-notes></time-modification>",
    )
    measure = 3 * third + note("D", 24) + "<backup><duration>24</duration></backup>" + note("E", 24)
    assert beats(read(tmp_path, part(attributes(8, time("4")) + measure)))[-2:] == [(1, 3, 62), (1, 3, 64)]


def test_a_measure_with_rounded_durations_has_its_signature(tmp_path: Path) -> None:
    measure = 3 * note("C", 33) + 3 * note("D", 100)
    music = read(tmp_path, part(attributes(100, time("4")) + measure, measure, note("E", 400)))
    assert beats(music)[-1] == (8, 4, 64)


def test_multi_measure_rests_that_are_left_out_are_added(tmp_path: Path) -> None:
    rest = (
        "<attributes><measure-style><multiple-rest>3</multiple-rest></measure-style></attributes>"
        + WHOLE_REST.format(8)
    )
    body = f'<measure number="1">{attributes(2, time("4"))}{rest}</measure><measure number="4">{note("C", 8)}</measure>'
    assert beats(read(tmp_path, f'<part id="P1">{body}</part>')) == [(12, 4, 60)]
    body = body.replace('number="4"', 'number="2"')
    assert beats(read(tmp_path, f'<part id="P1">{body}</part>')) == [(4, 4, 60)]


def typed(step: str, duration: str, kind: str) -> str:
    return f"<note><pitch><step>{step}</step><octave>4</octave></pitch>{duration}<type>{kind}</type></note>"


def test_divisions_may_be_stated_late_or_not_at_all(tmp_path: Path) -> None:
    quarters = [typed(step, "<duration>8</duration>", "quarter") for step in "CDEF"]
    expected = [(0, 1, 60), (1, 1, 62), (2, 1, 64), (3, 1, 65)]
    assert beats(read(tmp_path, part(quarters[0] + attributes(8) + "".join(quarters[1:])))) == expected
    assert beats(read(tmp_path, part("".join(quarters)))) == expected
    plain = "".join(note(step, 8) for step in "CDEF")
    assert beats(read(tmp_path, part(plain, attributes(8)))) == expected
    other = part(attributes(8) + note("G", 32), number="P2")
    assert beats(read(tmp_path, part(plain), other, part_list=TWO_PARTS))[0] == expected[0]


def test_a_note_without_duration_has_that_of_its_type(tmp_path: Path) -> None:
    measure = typed("C", "", "half") + typed("D", "", "eighth") + typed("E", "", "eighth")
    assert beats(read(tmp_path, part(attributes() + measure))) == [(0, 2, 60), (2, 0.5, 62), (2.5, 0.5, 64)]


def test_space_after_the_last_note_does_not_lengthen_a_measure(tmp_path: Path) -> None:
    measure = (
        note("C", 8)
        + "<backup><duration>1</duration></backup>"
        + words("dim.")
        + "<forward><duration>2</duration></forward>"
    )
    assert onsets(tmp_path, measure, note("D", 8)) == [0, 4]


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("<beats>3</beats><beat-type>8</beat-type><beats>2</beats><beat-type>8</beat-type>", (5, 8)),
        ("<beats>3</beats><beat-type>8</beat-type><beats>2</beats><beat-type>4</beat-type>", (7, 8)),
        ("<beats>3+2</beats><beat-type>8</beat-type>", (5, 8)),
        (f"<beats>4</beats><beat-type>4</beat-type><interchangeable>{SIX_EIGHT}</interchangeable>", (4, 4)),
        ("<senza-misura/>", (0, 1)),
        ("<beats>four</beats><beat-type>4</beat-type>", (0, 1)),
    ],
)  # fmt: skip
def test_composite_time_signatures_are_summed(inside: str, expected: tuple[int, int]) -> None:
    assert time_signature(fromstring(f"<time>{inside}</time>")) == expected


def test_a_timeline_gives_the_last_value_before_a_place() -> None:
    timeline = Timeline("a")
    for place, value in (((3, 0.0), "d"), ((1, 1.0), "b"), ((1, 1.0), "c")):
        timeline.set(place, value)
    assert [timeline.at(place) for place in ((0, 0.0), (1, 0.5), (1, 1.0), (2, 9.0), (3, 0.0))] == [
        "a",
        "a",
        "c",
        "c",
        "d",
    ]
