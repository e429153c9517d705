"""Notes of scores: pitch, transposition, marks."""

from __future__ import annotations

from pathlib import Path

import pytest
from scores import attributes, beats, note, part, read, words

BACK = "<backup><duration>{}</duration></backup>"


def transpose(chromatic: int, more: str = "", staff: str = "") -> str:
    return f"<transpose{staff}><diatonic>0</diatonic><chromatic>{chromatic}</chromatic>{more}</transpose>"


def pitches(folder: Path, *measures: str) -> list[int]:
    return [pitch for _, _, pitch in beats(read(folder, part(*measures)))]


def test_a_note_without_a_staff_is_on_the_first(tmp_path: Path) -> None:
    both = transpose(-2, staff=' number="1"') + transpose(-12, staff=' number="2"')
    notes = note("D", 2) + note("E", 2, "<staff>1</staff>") + note("F", 2, "<staff>2</staff>")
    assert pitches(tmp_path, attributes(more=both) + notes) == [60, 62, 53]
    assert pitches(tmp_path, attributes(more=transpose(-2)) + notes) == [60, 62, 63]


def test_a_transposition_of_all_staves_replaces_that_of_one(tmp_path: Path) -> None:
    later = f"<attributes>{transpose(-3)}</attributes>"
    assert pitches(
        tmp_path, attributes(more=transpose(-2, staff=' number="1"')) + note("D", 2) + later + note("D", 2)
    ) == [60, 59]


def test_transposition_changes_in_time(tmp_path: Path) -> None:
    first = attributes(more=transpose(-2)) + note("D", 2) + f"<attributes>{transpose(-3)}</attributes>" + note("D", 2)
    second = BACK.format(4) + note("D", 2, octave=3) + note("D", 2, octave=3)
    assert beats(read(tmp_path, part(first + second))) == [(0, 1, 48), (0, 1, 60), (1, 1, 47), (1, 1, 59)]
    late = (
        note("D", 2)
        + note("D", 2)
        + BACK.format(2)
        + f"<attributes>{transpose(-3)}</attributes>"
        + "<forward><duration>2</duration></forward>"
    )
    assert pitches(tmp_path, attributes(more=transpose(-2)) + late) == [60, 59]


def test_a_doubled_part_sounds_in_two_octaves(tmp_path: Path) -> None:
    assert pitches(tmp_path, attributes(more=transpose(0, "<double/>")) + note("C", 2)) == [48, 60]
    assert pitches(tmp_path, attributes(more=transpose(0, '<double above="yes"/>')) + note("C", 2)) == [60, 72]


def test_octave_lines_and_clefs_do_not_change_the_pitch(tmp_path: Path) -> None:
    """MusicXML has sounding octaves; `octave-change` of the transposition changes them."""
    clef = "<clef><sign>G</sign><line>2</line><clef-octave-change>-1</clef-octave-change></clef>"
    shift = '<direction><direction-type><octave-shift type="down" size="8"/></direction-type></direction>'
    assert pitches(tmp_path, attributes(more=clef) + shift + note("C", 2)) == [60]
    assert pitches(
        tmp_path, attributes(more=clef + transpose(0, "<octave-change>-1</octave-change>")) + note("C", 2)
    ) == [48]


@pytest.mark.parametrize(
    ("text", "qpm"),
    [
        ("72", 72),
        ("ca. 72", 72),
        ("c. 72.5", 72.5),
        ("72,5", 72.5),
        ("60-66", 63),
        ("60 to 66", 63),
        ("72 ca.", 72),
        ("fast", None),
        ("", None),
    ],
)
def test_tempos_in_words_are_read(tmp_path: Path, text: str, qpm: float | None) -> None:
    metronome = f"<metronome><beat-unit>quarter</beat-unit><per-minute>{text}</per-minute></metronome>"
    direction = f"<direction><direction-type>{metronome}</direction-type></direction>"
    music = read(tmp_path, part(attributes() + direction + note("C", 2)))
    assert [tempo.qpm for tempo in music.tempos] == ([] if qpm is None else [qpm])


def test_dynamics_apply_from_their_time_to_all_voices(tmp_path: Path) -> None:
    loud = '<direction><sound dynamics="100"/></direction>'
    measure = attributes() + note("C", 2) + loud + note("D", 2) + BACK.format(4) + note("E", 2) + note("F", 2)
    music = read(tmp_path, part(measure + words("dolce")))
    assert {n.pitch: n.velocity for n in music.tracks[0].notes} == {60: 64, 62: 90, 64: 64, 65: 90}
