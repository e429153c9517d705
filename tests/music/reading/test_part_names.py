"""Programs of parts by the names and sounds in a score."""

from __future__ import annotations

from xml.etree.ElementTree import fromstring

import pytest

from mmt.music.reading.part_names import choir_parts, program_of
from mmt.music.reading.score_instruments import read_instruments


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("Violin I", 40), ("Violine II", 40), ("Violino 1", 40), ("Viola", 41), ("Bratsche", 41), ("Violoncello", 42),
        ("Contrabass", 43), ("Contrabassoon", 70), ("Kontrabass", 43), ("Fagotto", 70), ("Flöte", 73), ("Flauto", 73),
        ("Piccolo", 72), ("Oboe 2", 68), ("Hautbois", 68), ("Corno inglese", 69), ("Klarinette in B", 71), ("Corno", 60),
        ("Horn in F", 60), ("Trompete", 56), ("Tromba", 56), ("Trombone", 57), ("Posaune", 57), ("Tuba", 58), ("Pauken", 47),
        ("Harfe", 46), ("Pianoforte", 0), ("Cembalo", 6), ("Orgel", 19), ("Gitarre", 24), ("Alto Saxophone", 65),
        ("Singstimme", 52), ("Soprano", 52), ("Canto", 52), ("Chor", 52), ("Gesang", 52), ("", 0), ("Staff 3", 0),
    ],
)  # fmt: skip
def test_names_in_many_languages_give_the_program(name: str, program: int) -> None:
    assert program_of("", "", name, None, sung=False) == program
    assert program_of("", name, "", None, sung=False) == program


@pytest.mark.parametrize(
    ("program", "names"),
    [
        (40, "Violín I; Violini II; Violons; Viool; Fiolin; Skrzypce; Housle; Скрипка; ヴァイオリン; 小提琴"),
        (41, "Viole; Altos; Bratschen; Altviool; Altówka; Viola d'amore"),
        (42, "Violonchelo; Violoncelo; Wiolonczela; Виолончель; Viola da gamba; Bass Viol; Violoncello piccolo"),
        (43, "Contrabajo; Contrabbassi; Kontrabässe; Kontrabas; Контрабас; Violone; Bässe"),
        (47, "Timbales; Pauken; Pk.; Tímpanos; Timbali; Литавры"),
        (56, "Trombe; Trąbka; Piccolo Trumpet; Cornet à pistons; Flugelhorn; Soprano Cornet; Trompetas"),
        (57, "Tromboni; Puzon; Contrabass Trombone; Bassposaune; Trombón bajo"),
        (58, "Baritone Horn; Baritone (T.C.); Euphonium; Contrabass Tuba"),
        (60, "Trompa; Corni in Fa; Cors; Hörner; Hoorn; Waldhorn; Alto Horn"),
        (64, "Soprano Sax; Saxophone soprano; Sopransaxophon"),
        (66, "Saxofón tenor; Sax tenor; Saxophone ténor; Tenorsaxophon"),
        (67, "Baritone Saxophone; Saxophone baryton"),
        (68, "Oboé; Obój; Hobo; Bass Oboe"),
        (69, "Cors anglais; Englischhorn; Corno inglese"),
        (70, "Fagot; Fag. 1; Bassons; Contrafagotto"),
        (71, "Clarinete bajo; Klarnet; Contrabass Clarinet; Piccolo Clarinet; Bassetthorn"),
        (72, "Ottavino; Flautín; Petite flûte; Kleine Flöte; Piccolo"),
        (73, "Flûtes; Dwarsfluit; Fløyte; Flet; Флейта; Alto Flute"),
        (74, "Flûte à bec; Flauta doce; Altblockflöte; Flauto dolce; Soprano Recorder"),
        (33, "Bass Guitar; Electric Bass; E-Bass; Bajo eléctrico"),
        (27, "Electric Guitar; Guitare électrique; E-Gitarre"),
        (19, "Choir Organ; Órgano; Orgue"),
        (21, "Fisarmonica; Accordéon; Akkordeon"),
        (13, "Soprano Xylophone; Claquebois"),  # the second name from music21's table
        (0, "Chords; Lead Sheet; Melody; Bass Drum; Snare Drum; Percussion"),
        (52, "Voice; Choir; Coro; Chœur; Canto; Alto; Tenor; Mezzo"),
    ],
)  # fmt: skip
def test_names_of_instruments_and_their_registers(program: int, names: str) -> None:
    wanted = names.split("; ")
    assert {name: program_of("", "", name, None, sung=False) for name in wanted} == dict.fromkeys(wanted, program)


def test_a_program_in_the_score_precedes_the_name() -> None:
    assert program_of("", "", "Soprano Cornet", 56, sung=False) == 56
    assert program_of("", "", "Chords", 0, sung=False) == 0
    assert program_of("", "", "Violin", 73, sung=False) == 73
    assert program_of("", "", "Soprano", 74, sung=False) == 74


def test_the_name_of_another_instrument_precedes_a_piano_program() -> None:
    assert program_of("", "Grand Piano", "Violin", 0, sung=False) == 40
    assert program_of("keyboard.piano", "", "Violin", 0, sung=False) == 0
    assert program_of("", "Piano", "Flute and Piano", 0, sung=False) == 0
    assert program_of("", "Piano", "Bass", 0, sung=False) == 0


def test_sung_parts_are_voices() -> None:
    assert program_of("voice.vocals", "Voice", "Mignon", 73, sung=True) == 52
    assert program_of("voice.vocals", "Voice", "Mignon", 53, sung=True) == 53
    assert program_of("", "", "Tenor", None, sung=True) == 52
    assert program_of("", "", "Tenor Saxophone", 66, sung=False) == 66
    assert program_of("wind.reed.oboe", "Oboe", "Chant Voice", 68, sung=True) == 52
    assert program_of("wind.reed.oboe", "Oboe", "Oboe", 68, sung=False) == 68
    assert program_of("", "", "Otto", None, sung=True) == 52


def test_a_general_midi_name_with_its_program_is_kept() -> None:
    assert program_of("", "Lead 6 (voice)", "", 85, sung=False) == 85


def test_standard_sounds_give_the_program() -> None:
    assert program_of("wind.flutes.flute", "", "", None, sung=False) == 73
    assert program_of("strings.cello", "", "", None, sung=False) == 42


@pytest.mark.parametrize(
    ("names", "sung"),
    [
        ("Soprano Alto Tenor Bass", [True] * 4),
        ("Altus Basso Violino", [True, True, False]),
        ("Soprano 1,Soprano II,Tenor 2", [True] * 3),
        ("Bass Guitar", [False, False]),
        ("Tenor,Tenor Saxophone", [False, False]),
        ("Soprano,Soprano 2", [False, False]),
    ],
)
def test_two_registers_make_a_choir(names: str, sung: list[bool]) -> None:
    assert choir_parts(names.split("," if "," in names else " ")) == sung


def test_parts_of_a_choir_are_sung_unless_the_score_names_an_instrument() -> None:
    parts = "".join(
        f"<score-part id='{name}'><part-name>{name}</part-name>{more}</score-part>"
        for name, more in (
            ("Alto", ""),
            ("Bass", ""),
            ("Tenor", "<midi-instrument id='i'><midi-program>58</midi-program></midi-instrument>"),
            ("Organ", ""),
        )
    )
    found = read_instruments(fromstring(f"<part-list>{parts}</part-list>"))
    programs = [
        program_of(one.sound, one.name, one.part_name, one.program, sung=False)
        for instruments in found.values()
        for one in instruments.values()
    ]
    assert programs == [52, 52, 57, 19]
