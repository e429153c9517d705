"""Repeats and jumps as scores write them: the order in which their notes sound."""

from __future__ import annotations

from pathlib import Path

import pytest
from scores import BACKWARD, FORWARD, attributes, barline, note, part, read, sign, time, words


def played(folder: Path, *measures: str) -> str:
    """The notes that sound in order, of measures in 4/4 with two divisions a beat."""
    first, *others = measures
    music = read(folder, part(attributes(2, time("4")) + first, *others))
    notes = sorted((n.time, n.pitch) for track in music.tracks for n in track.notes)
    return "".join({60: "C", 62: "D", 64: "E", 65: "F", 67: "G", 69: "A"}[pitch] for _, pitch in notes)


C, D, E, F, G, A = (note(step, 8) for step in "CDEFGA")


@pytest.mark.parametrize(
    "text", ["D.C. al Fine", "D.C.", "DC al fine", "Da Capo al Fine", "da capo", "Menuetto D.C.", "D. C."]
)
def test_da_capo_in_words(tmp_path: Path, text: str) -> None:
    assert played(tmp_path, C, D + words("Fine"), E, F + words(text)) == "CDEF" + "CD"


@pytest.mark.parametrize(
    "text", ["D.S. al Coda", "Dal Segno al Coda", "D.S. al 𝄌", "dal 𝄋 al coda", "Da Segno al Coda"]
)
@pytest.mark.parametrize("to_coda", ["To Coda", "al Coda", "to 𝄌", "Till Coda", "ToCoda", "Da Coda"])
def test_dal_segno_and_coda_in_words_and_signs(tmp_path: Path, text: str, to_coda: str) -> None:
    measures = (C, sign("segno") + D, E + words(to_coda), F + words(text), sign("coda") + G)
    assert played(tmp_path, *measures) == "CDEF" + "DE" + "G"


@pytest.mark.parametrize("text", ["D.C. al Segno", "Da capo al segno", "D.C. al 𝄋", "D.C. al segno e poi la coda"])
def test_da_capo_al_segno_ends_at_the_segno(tmp_path: Path, text: str) -> None:
    assert played(tmp_path, C, sign("segno") + D, E + words(text)) == "CDE" + "C"
    assert played(tmp_path, C, sign("segno") + D, E + words(text), sign("coda") + F) == "CDE" + "C" + "F"


def test_dal_segno_does_not_end_at_its_own_segno(tmp_path: Path) -> None:
    assert played(tmp_path, C, sign("segno") + D, E + words("D.S.")) == "CDE" + "DE"
    assert played(tmp_path, C, sign("segno") + D, E + words("D.S. al segno")) == "CDE" + "DE"


def test_words_act_at_the_next_barline(tmp_path: Path) -> None:
    """They are printed below the last note before it."""
    halves = note("D", 4) + words("Fine") + note("E", 4)
    assert played(tmp_path, C, halves, F, words("D.C. al Fine") + G) == "CDEFG" + "CDE"
    for style, after_jump in (("light-heavy", "CD"), ("light-light", "CD"), ("dashed", "CDE")):
        inside = words("Fine") + note("D", 4) + barline(f"<bar-style>{style}</bar-style>", "middle") + note("E", 4)
        assert played(tmp_path, C, inside, F + words("D.C. al Fine")) == "CDEF" + after_jump


def test_a_printed_coda_before_the_jump_is_to_coda(tmp_path: Path) -> None:
    assert played(tmp_path, C, D + sign("coda"), E + words("D.C. al Coda"), sign("coda") + F) == "CDE" + "CD" + "F"
    assert played(tmp_path, C, sign("coda") + D, E, F) == "CDEF"


def test_signs_of_barlines(tmp_path: Path) -> None:
    segno = barline("<segno/>", "left")
    assert played(tmp_path, C, segno + D, E + words("D.S.") + G) == "CDEG" + "DEG"


def test_ordinary_text_is_not_a_jump(tmp_path: Path) -> None:
    prose = words(
        "The second time one may play the trio once more and then the menuet da capo without its repeats, as usual"
    )
    assert played(tmp_path, C, D + prose) == "CD"
    assert played(tmp_path, C, D + words("Fine"), E + words("Edited by D. Smith")) == "CDE"


def test_sounds_and_their_words_are_one_jump(tmp_path: Path) -> None:
    fine, da_capo = '<sound fine="yes"/>', '<sound dacapo="yes"/>'
    assert played(tmp_path, C + words("Fine", fine), D + words("D.C. al Fine", da_capo)) == "CDC"
    assert played(tmp_path, C + '<sound fine="no"/>', D + '<sound dacapo="no"/>', E) == "CDE"


def test_names_of_segnos_and_codas(tmp_path: Path) -> None:
    measures = (
        '<sound segno="one"/>' + C + '<sound tocoda="x"/>',
        '<sound segno="two"/>' + D,
        E + '<sound dalsegno="one"/>',
        '<sound coda="y"/>' + F,
        '<sound coda="x"/>' + G,
    )
    assert played(tmp_path, *measures) == "CDE" + "CG"


def test_an_implied_repeat_begins_at_forward_repeat(tmp_path: Path) -> None:
    assert played(tmp_path, C, '<sound forward-repeat="yes"/>' + D, E + BACKWARD, F) == "CDEDEF"


def test_repeats_and_fine_act_inside_a_measure(tmp_path: Path) -> None:
    forward, backward = (barline(f'<repeat direction="{kind}"/>', "middle") for kind in ("forward", "backward"))
    first, second = note("C", 2) + forward + note("D", 6), note("E", 6) + backward + note("F", 2)
    assert played(tmp_path, first, second, G) == "CDE" + "DE" + "FG"
    fine = note("D", 4) + '<sound fine="yes"/>' + note("E", 4)
    assert played(tmp_path, C, fine, F + '<sound dacapo="yes"/>') == "CDEF" + "CD"
    segno = note("D", 4) + '<sound segno="s"/>' + note("E", 4)
    assert played(tmp_path, C, segno, F + '<sound dalsegno="s"/>', G) == "CDEF" + "EFG"


def test_a_sound_at_the_beginning_of_a_measure_ends_it(tmp_path: Path) -> None:
    assert played(tmp_path, '<sound fine="yes"/>' + C, '<sound dacapo="yes"/>' + D) == "CDC"


def test_a_segno_after_the_last_note_is_in_the_next_measure(tmp_path: Path) -> None:
    assert played(tmp_path, C + sign("segno"), D + words("D.S."), E) == "CDDE"


def test_a_left_barline_ends_the_passage_before_it(tmp_path: Path) -> None:
    end = barline('<repeat direction="backward"/>', "left")
    begin = barline('<repeat direction="forward"/>', "right")
    assert played(tmp_path, C + begin, D, end + E) == "CDDE"


def test_notes_of_one_pass_sound_only_in_that_pass(tmp_path: Path) -> None:
    first, second = (f'<note time-only="{k}">{n[6:]}' for k, n in ((1, note("D", 4)), (2, note("E", 4))))
    both = first + "<backup><duration>4</duration></backup>" + second + note("F", 4)
    assert played(tmp_path, FORWARD + C, both + BACKWARD, G) == "CDF" + "CEF" + "G"


def test_a_measure_0_within_a_movement_begins_no_new_movement(tmp_path: Path) -> None:
    measures = (
        (1, C, ""),
        (2, note("D", 6), ""),
        (0, note("E", 2), ' implicit="yes"'),
        (3, F + BACKWARD, ""),
        (4, G, ""),
    )
    body = "".join(f'<measure number="{k}"{more}>{inside}</measure>' for k, inside, more in measures)
    music = read(tmp_path, f'<part id="P1">{body.replace(">", ">" + attributes(2, time("4")), 1)}</part>')
    assert [n.pitch for n in music.tracks[0].notes] == [60, 62, 64, 65] * 2 + [67]


def test_a_movement_begins_with_its_pickup(tmp_path: Path) -> None:
    numbers = ((1, C), (2, D), (0, E), (1, F + words("D.C.")))
    body = "".join(
        f'<measure number="{k}"{" implicit=" + chr(34) + "yes" + chr(34) if k == 0 else ""}>{inside}</measure>'
        for k, inside in numbers
    )
    music = read(tmp_path, f'<part id="P1">{body.replace(">", ">" + attributes(2, time("4")), 1)}</part>')
    assert [n.pitch for n in music.tracks[0].notes] == [60, 62, 64, 65, 64, 65]


def test_a_note_held_over_a_repeat_inside_a_measure_ends_there(tmp_path: Path) -> None:
    backward = barline('<repeat direction="backward"/>', "middle")
    inside = note("C", 4) + backward + note("D", 4) + "<backup><duration>8</duration></backup>" + note("G", 8)
    music = read(tmp_path, part(attributes(2, time("4")) + inside))
    assert [(n.time, n.duration) for n in music.tracks[0].notes if n.pitch == 67] == [(0, 4), (4, 8)]


def test_parts_may_have_different_numbers_of_measures(tmp_path: Path) -> None:
    both = '<score-part id="P1"/><score-part id="P2"/>'
    first = part(attributes(2, time("4")) + C)
    second = part(attributes(2, time("4")) + D, E + BACKWARD, F, number="P2")
    assert [n.time for n in read(tmp_path, first, second, part_list=both).tracks[1].notes] == [0, 8, 16, 24, 32]


def test_a_jump_that_is_written_twice_is_taken_once(tmp_path: Path) -> None:
    jumps = words("D.S. al Coda") + '<sound dalsegno="segno"/>'
    measures = (C, sign("segno", '<sound segno="segno"/>') + D + words("To Coda"), E + jumps, words("Coda") + F)
    assert played(tmp_path, *measures) == "CDE" + "D" + "F"


def test_a_barline_without_a_sign_changes_nothing(tmp_path: Path) -> None:
    inside = note("C", 4) + barline("<bar-style>dashed</bar-style>", "middle") + note("D", 4)
    assert played(tmp_path, inside + BACKWARD, E) == "CDCDE"
