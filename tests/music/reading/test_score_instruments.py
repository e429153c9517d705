"""The instruments of scores: part list, changes of sound, drums."""

from __future__ import annotations

from pathlib import Path

import muspy
import pytest
from scores import attributes, note, part, read, score_part

MIDI = "<midi-channel>{}</midi-channel><midi-program>{}</midi-program>"
DISPLAY = "<display-step>E</display-step><display-octave>4</display-octave>"
UNPITCHED = f"<note><unpitched>{DISPLAY}</unpitched><duration>2</duration></note>"


def sounding(music: muspy.Music) -> list[tuple[float, int, int | str]]:
    """Onset in beats, pitch and program of all notes."""
    tracks = [("D" if track.is_drum else track.program, track) for track in music.tracks]
    return sorted((n.time / music.resolution, n.pitch, program) for program, track in tracks for n in track.notes)


def change(inside: str, name: str = "P1-I1") -> str:
    return f'<sound><midi-instrument id="{name}">{inside}</midi-instrument></sound>'


def test_a_sound_changes_the_program_from_its_place_on(tmp_path: Path) -> None:
    piccolo, flute = change("<midi-program>73</midi-program>"), change("<midi-program>74</midi-program>")
    measure = attributes() + note("C", 2) + piccolo + note("D", 2) + flute + note("E", 2)
    music = read(tmp_path, part(measure, note("F", 2)), part_list=score_part("Flute", midi=MIDI.format(1, 74)))
    assert sounding(music) == [(0, 60, 73), (1, 62, 72), (2, 64, 73), (3, 65, 73)]


def test_a_change_to_the_piano_takes_effect(tmp_path: Path) -> None:
    measure = (
        attributes()
        + note("C", 2)
        + f"<direction>{change('<midi-program>1</midi-program>')}</direction>"
        + note("D", 2)
    )
    music = read(tmp_path, part(measure), part_list=score_part("Flute", midi=MIDI.format(1, 74)))
    assert sounding(music) == [(0, 60, 73), (1, 62, 0)]


def test_an_instrument_change_names_a_standard_sound(tmp_path: Path) -> None:
    sound = "<instrument-sound>wind.reed.english-horn</instrument-sound>"
    to_english_horn = f'<sound><instrument-change id="P1-I1">{sound}</instrument-change></sound>'
    measure = attributes() + note("C", 2) + to_english_horn + note("D", 2)
    music = read(tmp_path, part(measure), part_list=score_part("Oboe", midi=MIDI.format(1, 69)))
    assert sounding(music) == [(0, 60, 68), (1, 62, 69)]


def test_a_change_applies_from_its_time_to_all_voices_of_its_instrument(tmp_path: Path) -> None:
    pizzicato = "<backup><duration>4</duration></backup><forward><duration>2</duration></forward>" + change(
        "<midi-program>46</midi-program>"
    )
    measure = attributes() + note("C", 2) + note("D", 2) + pizzicato + note("E", 2)
    music = read(tmp_path, part(measure), part_list=score_part("Violin", midi=MIDI.format(1, 41)))
    assert sounding(music) == [(0, 60, 40), (1, 62, 45), (1, 64, 45)]


def test_a_repeat_goes_back_to_the_instrument_of_its_place(tmp_path: Path) -> None:
    backward = '<barline><repeat direction="backward"/></barline>'
    measure = attributes() + note("C", 2) + change("<midi-program>46</midi-program>") + note("D", 2) + backward
    music = read(tmp_path, part(measure), part_list=score_part("Violin", midi=MIDI.format(1, 41)))
    assert [program for _, _, program in sounding(music)] == [40, 45, 40, 45]


@pytest.mark.parametrize(
    ("name", "sound", "program", "expected"),
    [
        ("Violin", "", 41, 40),
        ("Viola", "strings.viola", 42, 41),
        ("Timpani", "", 48, 47),
        ("Pauken", "", 1, 47),
        ("Drumset", "", 1, "D"),
        ("Percussion", "", 1, "D"),
        ("Bass Drum", "", 1, "D"),
        ("", "", 1, "D"),
        ("", "drum.snare-drum", 1, "D"),
    ],
)
def test_channel_10_means_drums_unless_the_part_is_of_a_pitched_instrument(
    tmp_path: Path, name: str, sound: str, program: int, expected: int | str
) -> None:
    music = read(
        tmp_path, part(attributes() + note("C", 2)), part_list=score_part(name, "", sound, MIDI.format(10, program))
    )
    assert sounding(music) == [(0, 60, expected)]


def test_a_drum_key_means_drums(tmp_path: Path) -> None:
    midi = MIDI.format(10, 1) + "<midi-unpitched>39</midi-unpitched>"
    music = read(tmp_path, part(attributes() + UNPITCHED), part_list=score_part("Timpani", midi=midi))
    assert sounding(music) == [(0, 38, "D")]


def test_unpitched_notes_are_drums_on_any_channel(tmp_path: Path) -> None:
    music = read(tmp_path, part(attributes() + UNPITCHED), part_list=score_part("Triangle", midi=MIDI.format(3, 1)))
    assert sounding(music) == [(0, 64, "D")]


@pytest.mark.parametrize(
    ("name", "instrument", "program", "expected"),
    [
        ("Violin", "Grand Piano", 1, 40),
        ("Cello", "Piano", 1, 42),
        ("Trumpet 1", "Instrument 5", 1, 56),
        ("Piano", "Grand Piano", 1, 0),
        ("Celesta", "Piano", 1, 8),
        ("Right Hand", "Piano", 1, 0),
        ("Chords", "", 1, 0),
        ("Violin", "Violin", 57, 56),
        ("Soprano Cornet", "", 57, 56),
        ("Soprano Xylophone", "", 14, 13),
        ("Choir Organ", "", 20, 19),
        ("Canto Organ", "", 20, 19),
        ("Soprano", "", 75, 74),
        ("Bass", "", 58, 57),
    ],
)
def test_a_program_precedes_names_unless_it_is_a_piano_for_another_instrument(
    tmp_path: Path, name: str, instrument: str, program: int, expected: int
) -> None:
    music = read(
        tmp_path, part(attributes() + note("C", 2)), part_list=score_part(name, instrument, "", MIDI.format(1, program))
    )
    assert sounding(music) == [(0, 60, expected)]
