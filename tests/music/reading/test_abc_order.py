"""The order in which ABC tunes are played: repeats, endings, jumps, parts."""

from __future__ import annotations

from pathlib import Path

import pytest
from abc_tunes import HEAD, read

LETTERS = {60: "C", 62: "D", 64: "E", 65: "F", 67: "G", 69: "A", 71: "B"}


def order(folder: Path, body: str) -> str:
    """The letters of the notes of the first voice in playing order."""
    return "".join(LETTERS[note.pitch] for note in read(folder, HEAD + body).tracks[0].notes)


@pytest.mark.parametrize(
    ("body", "letters"),
    [
        ("C:|D|", "CCD"),
        ("|:C::D:|E|", "CCDDE"),
        ("|:C:|:D:||E|", "CCDDE"),
        ("|::C::|D|", "CCCD"),
        ("|:::C:::|D|", "CCCCD"),
        ("C::|D|", "CCCD"),
        ("|:C|D[|]:|E|", "CDCDE"),  # an invisible bar line
        ("C2|D2:|E|", "CDCDE"),
        ("|:C D:|E F|", "CDCDEF"),  # in the middle of a measure
        # Without |: a repeat goes back to the last double bar or end of a repeat (4.8).
        ("C||D:|E|", "CDDE"),
        ("C|]D:|E|", "CDDE"),
        ("|:C||D:|E|", "CDCDE"),
        ("|:C:|D:|E|", "CCDDE"),
        ("|:C|1D:|2E||F:|G|", "CDCEFFG"),
        ("|:C|1D:|2E:|F:|G|", "CDCEFFG"),
        ("C||D|1E:|2F||G|", "CDEDFG"),
    ],
)
def test_repeats(tmp_path: Path, body: str, letters: str) -> None:
    assert order(tmp_path, f"K:C\n{body}\n") == letters


@pytest.mark.parametrize(
    ("body", "letters"),
    [
        ("|:C|1D:|2E|]", "CDCE"),
        ("|:C|[1D:|[2E|]F", "CDCEF"),
        ("|:C|[1,3D:|[2E:|[4F|]G", "CDCECDCFG"),
        ("|:C|[1-3D:|[4E|]", "CDCDCDCE"),
        ("|:C|1D|E:|2F|G|]", "CDECFG"),
        ("|:C|1D:|E|F|]", "CDCEF"),  # a single ending is the first
        ("|:C|1D|2E|]", "CDCE"),  # without a repeat sign
    ],
)
def test_endings(tmp_path: Path, body: str, letters: str) -> None:
    assert order(tmp_path, f"K:C\n{body}\n") == letters


@pytest.mark.parametrize(
    ("body", "letters"),
    [
        ("C|!fine!D|E!D.C.!|", "CDECD"),  # a sign at the beginning of a measure holds for all of it
        ("C|D!fine!|E!D.C.!|", "CDECD"),
        ("C|D!fine!|!D.C.!E|", "CDECD"),
        ("C|D!fine!|E!D.C.alfine!|", "CDECD"),
        ("C|D!fine!|E!dacapo!|", "CDECD"),
        ('C|D"^Fine"|E"^D.C. al Fine"|', "CDECD"),
        ("C!dacoda!|D!fine!|E!D.C.alfine!|!coda!F|", "CDECD"),
        ("|:C:|D!fine!|E!D.C.!|]", "CCDECD"),  # repeats are not taken after a jump
        ("|:C|1D:|2E||F!D.C.!|]", "CDCEFCEF"),  # the last ending is
        ("|:C:|:D!D.C.!:|", "CCDDCD"),
        ("C|!segno!D|E!D.S.!|", "CDEDE"),
        ("C|SD|E!D.S.!|F", "CDEDEF"),
        ("C|D S E!fine!|F!D.S.alfine!|", "CDEFE"),  # in the middle of a measure
        ("C|D!dacoda!|E!D.C.alcoda!|!coda!F|", "CDECDF"),
        ("C|SD|E!dacoda!|F!D.S.!|!coda!G|", "CDEFDEG"),
        ("C|SD|E O|F!D.S.!|O G|", "CDEFDEG"),  # the first of two codas is where the jump starts
        ("C|SD|O E|F!D.S.!|O G|", "CDEFDG"),
        ('C|"^Segno"D|E"_To Coda"|F"^D.S. al Coda"|"^Coda"G|', "CDEFDEG"),
        # From the beginning to the segno, and on after the jump.
        ("C|SD|E!D.C.alsegno!|]", "CDEC"),
        ("C|SD|E!D.C. al Segno!|]OF", "CDECF"),
        ('C|SD|E"^D.C. al 𝄋 e poi la Coda"|"^Coda"F|', "CDECF"),
        ("C|D!fine!|E!D.C.alsegno!|", "CDECD"),  # there is no segno
        ("U:S=!trill!\nSC|D!D.S.!|", "CDCD"),
    ],
)
def test_jumps(tmp_path: Path, body: str, letters: str) -> None:
    assert order(tmp_path, f"K:C\n{body}\n") == letters


@pytest.mark.parametrize(
    ("parts", "body", "letters"),
    [
        ("ABA", "P:A\nC|\nP:B\nD|\n", "CDC"),
        ("A2.(BA)2", "P:A\nC|\nP:B\nD|\n", "CCDCDC"),
        ("AB", "E|\nP:A\nC|\nP:B\nD|\n", "ECD"),  # before the parts
        ("ABA", "P:A\n|:C:|\nP:B\nD:|\n", "CCDDCC"),
        ("BA", "[P:A]C|[P:B]D|", "DC"),
        ("ABA", "V:1\nP:A\nC|\nP:B\nD|\nV:2\nP:A\nE|\nP:B\nF|\n", "CDC"),
        ("XY", "P:A\nC|\nP:B\nD|\n", "CD"),  # of none of these parts
    ],
)
def test_parts(tmp_path: Path, parts: str, body: str, letters: str) -> None:
    assert order(tmp_path, f"P:{parts}\nK:C\n{body}") == letters


def test_signs_of_one_voice_hold_for_all(tmp_path: Path) -> None:
    music = read(tmp_path, HEAD + "K:C\nV:1\n|:C4|D4!fine!:|E4!D.C.!|\nV:2\n|:E4|F4:|G4|\n")
    assert [[note.pitch for note in track.notes] for track in music.tracks] == [
        [60, 62, 60, 62, 64, 60, 62],
        [64, 65, 64, 65, 67, 64, 65],
    ]


def test_a_jump_restores_tempo_key_and_meter(tmp_path: Path) -> None:
    music = read(tmp_path, HEAD + "Q:1/4=120\nK:C\nF4|[K:D][M:2/4][Q:1/4=60]F2!D.C.!|\n")
    assert [note.pitch for note in music.tracks[0].notes] == [65, 66, 65, 66]
    marks = [(mark.time / music.resolution, mark.qpm) for mark in music.tempos]
    assert marks == [(0, 120), (4, 60), (6, 120), (10, 60)]
    assert [mark.fifths for mark in music.key_signatures] == [0, 2, 0, 2]
    assert [mark.numerator for mark in music.time_signatures] == [4, 2, 4, 2]


@pytest.mark.parametrize(
    ("body", "pitches"),
    [
        ("|:C D E F-|1 F D E C:|2 F G A B|]", [60, 62, 64, 65, 62, 64, 60, 60, 62, 64, 65, 67, 69, 71]),
        ("|:C3 ^F-|1 F4:|2 F2 F2|F4|]", [60, 66, 60, 66, 65, 65]),  # with its accidental
        ("|:[CE]4-|1 [CE]4:|2 [CE]2 D2|]", [60, 64, 60, 64, 62]),
    ],
)
def test_a_tie_holds_into_each_ending(tmp_path: Path, body: str, pitches: list[int]) -> None:
    assert [note.pitch for note in read(tmp_path, f"{HEAD}K:C\n{body}\n").tracks[0].notes] == pitches
