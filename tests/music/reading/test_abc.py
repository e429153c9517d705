"""Reading ABC: onsets, pitches and programs are those of the tune."""

from __future__ import annotations

import json
from pathlib import Path

import muspy
import pytest
from abc_tunes import HEAD, played, read

import mmt
from mmt.music.reading import abc
from mmt.representation.notes import LeftOutWarning


def notes(music: muspy.Music, track: int = 0) -> list[tuple[float, int, float]]:
    """(beat, pitch, beats)"""
    return [
        (note.time / music.resolution, note.pitch, note.duration / music.resolution)
        for note in music.tracks[track].notes
    ]


@pytest.mark.parametrize(
    ("body", "pitches"),
    [
        ("K:G\n_B B c ^c | B c =f f | F F' ^F, F |\n", [70, 70, 72, 73, 71, 72, 77, 77, 66, 78, 54, 66]),
        ("K:C\nc, C' c,, C''|\n", [60, 72, 48, 84]),  # octave marks that contradict the case of the letter
        ("K:C clef=treble-8\nCDEF|\n", [48, 50, 52, 53]),
        ("K:C\n|:C D:|E F|\n", [60, 62, 60, 62, 64, 65]),
        ("K:C\n|:C D|1 E2:|2 F2|]\n", [60, 62, 64, 60, 62, 65]),
        ("P:AAB\nK:C\nP:A\nC D|\nP:B\nE|\n", [60, 62, 60, 62, 64]),
        ('K:C\n"Am"C "^loud"D "F,"E F|\n', [60, 62, 64, 65]),  # chord symbols are not played
        ("K:C\n~C TD !trill!E .F|!mordent!C uD vE HF|\n", [60, 62, 64, 65, 60, 62, 64, 65]),  # ornaments are not played
    ],
)
def test_accidentals_keys_and_octaves_give_the_pitch(tmp_path: Path, body: str, pitches: list[int]) -> None:
    assert [pitch for _, pitch, _ in notes(read(tmp_path, HEAD + body))] == pitches


def test_times_are_exact(tmp_path: Path) -> None:
    music = read(tmp_path, HEAD + "Q:1/4=90\nK:C\n(3CDE F>G|[CEGc]2 z A-|A4|{B}c4|\n")
    third = pytest.approx(2 / 3)
    assert notes(music) == [
        (0, 60, third),
        (third, 62, third),
        (pytest.approx(4 / 3), 64, third),
        (2, 65, 1.5),
        (3.5, 67, 0.5),
        *[(4, pitch, 2) for pitch in (60, 64, 67, 72)],
        (7, 69, 5),
        (12, 71, 0.25),  # a grace note shortens its main note
        (12.25, 72, 3.75),
    ]
    assert [(mark.time, mark.qpm) for mark in music.tempos] == [(0, pytest.approx(90, rel=1e-5))]
    assert [(mark.time, mark.numerator) for mark in music.time_signatures] == [(0, 4)]
    assert (music.metadata.title, music.metadata.source_format) == ("Title", "abc")


@pytest.mark.parametrize(
    ("chord", "beats"),
    [("[C2E2]3", 6), ("[CE]3", 3), ("[C/E/]3", 1.5), ("[C,//E//]/", 0.125), ("[C3/2E3/2]2/3", 1), ("[C2E2]", 2)],
)
def test_the_length_of_a_chord_multiplies_those_of_its_notes(tmp_path: Path, chord: str, beats: float) -> None:
    *both, after = notes(read(tmp_path, HEAD + f"K:C\n{chord} c|\n"))
    assert [(beat, length) for beat, _, length in both] == [(0, beats)] * 2
    assert after == (beats, 72, 1)


def test_an_ending_is_not_a_chord(tmp_path: Path) -> None:
    music = read(tmp_path, HEAD + "K:C\n|:C4|[1 D2 [CE]2:|[2 F3 z/ [CE]/|]\n")
    assert [(pitch, beats) for _, pitch, beats in notes(music)] == [
        (60, 4), (62, 2), (60, 2), (64, 2), (60, 4), (65, 3), (60, 0.5), (64, 0.5),
    ]  # fmt: skip


def test_hornpipes_have_no_swing(tmp_path: Path) -> None:
    for name in ("hornpipe", "reel"):
        music = read(tmp_path, f"X:1\nR:{name}\nM:4/4\nL:1/8\nK:C\nCDE>F|\n")
        assert notes(music) == [(0, 60, 0.5), (0.5, 62, 0.5), (1, 64, 0.75), (1.75, 65, 0.25)]


def test_changes_of_tempo_key_and_meter_are_in_time(tmp_path: Path) -> None:
    music = read(tmp_path, HEAD + "Q:1/4=120\nK:C\nCDEF|[Q:1/4=60]GABc|[M:3/4]CDE|\nK:D\nCDE|\n")
    beats = [
        [mark.time / music.resolution for mark in marks]
        for marks in (music.tempos, music.time_signatures, music.key_signatures)
    ]
    assert beats == [[0, 4], [0, 8], [0, 11]]
    assert [pitch for beat, pitch, _ in notes(music) if beat >= 11] == [61, 62, 64]


def test_bar_lines_stand_where_they_are_played(tmp_path: Path) -> None:
    music = read(tmp_path, HEAD + "K:C\nG|C D E F|G3|]\n")
    assert [line.time / music.resolution for line in music.barlines] == [0, 1, 5, 8]
    music = read(tmp_path, HEAD + "K:C\n|:C4|1D2:|2E4|]\n")
    assert [line.time / music.resolution for line in music.barlines] == [0, 4, 6, 10, 14]


def test_fields_before_the_first_tune_apply_to_all(tmp_path: Path) -> None:
    book = "%abc-2.1\nMy tunes: a book.\nM:3/4\nL:1/4\n%%MIDI program 73\n\nX:1\nK:C\nCDE|\n\nX:2\nK:G\nGAB|\n"
    first, second = abc.tunes(book.encode())
    for tune, pitches in ((first, [60, 62, 64]), (second, [67, 69, 71])):
        music = read(tmp_path, tune.decode())
        assert notes(music) == [(beat, pitch, 1) for beat, pitch in enumerate(pitches)]
        assert (music.time_signatures[0].numerator, music.tracks[0].program) == (3, 73)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_are_read(tmp_path: Path, encoding: str, line_end: str) -> None:
    text = f"{HEAD}C:Müller\nK:C\nCDEF|\n\nX:2\nT:two\nK:C\nc|\n".replace("\n", line_end)
    (tmp_path / "tune.abc").write_bytes(text.encode(encoding))
    assert len(abc.tunes(text.encode(encoding))) == 2
    with pytest.warns(LeftOutWarning, match=r"tune\.abc has 2 tunes, of which the first is read"):
        music = mmt.read(tmp_path / "tune.abc")
    assert (music.metadata.title, music.metadata.creators) == ("Title", ["Müller"])
    assert [pitch for _, pitch, _ in notes(music)] == [60, 62, 64, 65]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('V:1 name=Violin\nV:2 nm="Cello I"\nK:C\n[V:1]C4|\n[V:2]E,4|\n', [("Violin", 40), ("Cello I", 42)]),
        ("K:C\nV:a name=Flute\nC4|\nV:b\nE,4|\nV:a\nC4|\n", [("Flute", 73), (None, 0)]),
        ("V:S name=Soprano\nV:A name=Alto\nK:C\n[V:S]C4|\n[V:A]E,4|\n", [("Soprano", 52), ("Alto", 52)]),
        ("K:C\n%%MIDI program 71\nC4|\n", [(None, 71)]),
        (
            "V:1 name=Flute\nV:2 name=Cello\nK:C\nV:1\n%%MIDI program 40\nC4|\nV:2\nE,4|\n",
            [("Flute", 40), ("Cello", 42)],
        ),
        ("I:MIDI program 73\nV:1 name=Violin\nK:C\nC4|\n", [("Violin", 73)]),
        ("V:1 name=Violin\nK:C\nC4 & E4|\n", [("Violin", 40), ("Violin", 40)]),
        ("V:1 name=Oboe\nK:C\n%%MIDI program 56\nC4|\n", [("Oboe", 56)]),  # a program overrides a name
        ("K:C\nC4|\n", [(None, 0)]),
    ],
)
def test_each_voice_has_its_instrument(tmp_path: Path, body: str, expected: list[tuple[str | None, int]]) -> None:
    music = read(tmp_path, HEAD + body)
    assert [(track.name, track.program) for track in music.tracks] == expected
    assert notes(music)[0] == (0, 60, 4)
    assert len(expected) == 1 or notes(music, 1)[0] == (0, 52 if "E," in body else 64, 4)


def test_a_percussion_clef_is_drums(tmp_path: Path) -> None:
    music = read(tmp_path, HEAD + "V:1 name=Flute\nV:2 name=Drums clef=perc\nK:C\n[V:1]C4|\n[V:2]E,4|\n")
    assert [(track.name, track.is_drum) for track in music.tracks] == [("Flute", False), ("Drums", True)]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("K:C\nCDEF|[CE|GABc|\n", r"line 6: '\[' has no meaning"),
        ("K:C\nCDEF|k2 k|\n", r"line 6: 'k2' has no meaning \(and 1 more\)"),
        ("K:C\nCDEF|\n\nGABc|\n", "line 7: a tune ends at an empty line, but there is music after it"),
    ],
)
def test_unreadable_text_raises_a_warning(tmp_path: Path, body: str, said: str) -> None:
    with pytest.warns(abc.UnreadWarning, match=f"something may be missing: {said}"):
        read(tmp_path, HEAD + body)
    outcome = mmt.prepare(tmp_path / "tune.abc", tmp_path / "corpus")
    assert "1 ABC tune with passages that cannot be read" in str(outcome)


def test_free_text_after_a_tune_is_not_read(tmp_path: Path) -> None:
    assert played(tmp_path, "K:C\n\nC D|\n\nA tune; be good.\n") == "0:60 1:62"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("[C2E4]z2|D4|", "0:60*2 0:64*4 4:62*4"),  # the first length advances time, each note has its own (4.17)
        ("[CE2G4]2 D|", "0:60*2 0:64*4 0:67*8 2:62"),
        ("[C/E]D|", "0:60*0.5 0:64 0.5:62"),
        ("[C3E]>D|", "0:60*4.5 0:64*1.5 4.5:62*0.5"),
        ('["G"C!f!E]2|', "0:60*2 0:64*2"),
        ("+CEG+2 C2|", "0:60*2 0:64*2 0:67*2 2:60*2"),  # ABC 1.6
        ("+C2E2G2+ +^CE+|+ff+C +trill+D|", "0:60*2 0:64*2 0:67*2 2:61 2:64 3:60 4:62"),
    ],
)
def test_notes_of_a_chord_have_their_own_lengths(tmp_path: Path, body: str, expected: str) -> None:
    assert played(tmp_path, f"K:C\n{body}\n") == expected


@pytest.mark.parametrize(
    "voice",
    [
        'V:1 clef=treble-8 name="Violin"',
        "V:1 clef=treble-8 middle=B",
        'V:1 name="Violin" snm="V." treble-8 stafflines=5',
        'V:1 clef="treble-8" nm="Violin"',
        "V:1 clef=treble octave=-1 transpose=0",
        "V:1 clef=treble-15 octave=1",
        "V:1 transpose=-12 clef=bass middle=d",
    ],
)
def test_a_clef_with_an_octave_sounds_wherever_it_stands(tmp_path: Path, voice: str) -> None:
    assert played(tmp_path, f"{voice}\nK:C\nCDEF|\n") == "0:48 1:50 2:52 3:53"
    assert played(tmp_path, f"K:C\n[{voice}]CDEF|\n") == "0:48 1:50 2:52 3:53"


def test_an_overlay_has_the_instrument_of_its_voice(tmp_path: Path) -> None:
    body = 'K:C\nV:1 name="Violin"\nV:2 name="Cello"\nV:1\nc d e f & g4 & a4|c4|\nV:2\nC4|G,4|\n'
    tracks = read(tmp_path, HEAD + body).tracks
    assert [(track.name, track.program) for track in tracks] == [("Violin", 40)] * 3 + [("Cello", 42)]
    assert [[note.pitch for note in track.notes] for track in tracks] == [[72, 74, 76, 77, 72], [79], [81], [60, 55]]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("c4|d2 & f4|e4|", "0:72*4 4:74*2 4:77*4 6:76*4"),  # a short measure: only the voice itself advances time
        ("g2 f2|e3 e|\n&& (d4|c3) c|\nF4|", "0:74*4 0:79*2 2:77*2 4:72*3 4:76*3 7:72 7:76 8:65*4"),  # two measures
        ("C4|D4|\n& E4|\nF4|", "0:60*4 4:62*4 4:64*4 8:65*4"),  # at a beginning, the measure before
        ("^c2 & c4|c2|", "0:72*4 0:73*2 2:72*2"),  # accidentals are those of a layer
    ],
)
def test_an_overlay_goes_back_by_measures(tmp_path: Path, body: str, expected: str) -> None:
    assert played(tmp_path, f"K:C\n{body}\n") == expected


@pytest.mark.parametrize(
    ("names", "programs"),
    [
        (("Soprano", "Alto"), [52, 52]),
        (("Tenor", "Bass"), [0, 0]),  # they may be staves of an instrument
        (("Tenor", "Violin"), [0, 40]),
        (("Violin", "Bass"), [40, 43]),
    ],
)
def test_register_names_are_voices_beside_high_voices_or_with_words(
    tmp_path: Path, names: tuple[str, str], programs: list[int]
) -> None:
    body = 'V:1 name="{}"\nV:2 name="{}"\nK:C\n[V:1]C4|\n[V:2]C4|\n'.format(*names)
    assert [track.program for track in read(tmp_path, HEAD + body).tracks] == programs
    if names == ("Tenor", "Bass"):
        assert [track.program for track in read(tmp_path, HEAD + body + "w:la\n").tracks] == [52, 52]


def test_dynamics_are_velocities_and_drum_maps_are_read(tmp_path: Path) -> None:
    music = read(tmp_path, HEAD + "K:C\nC!p!D|!ff!E F|\n")
    assert [note.velocity for note in music.tracks[0].notes] == [64, 49, 112, 112]
    music = read(tmp_path, HEAD + "K:C\n%%MIDI channel 10\n%%MIDI drummap C 36\nC D|\n")
    assert (music.tracks[0].is_drum, [note.pitch for note in music.tracks[0].notes]) == (True, [36, 62])


@pytest.mark.parametrize(
    ("reach", "pitches"), [("pitch", [73, 61, 61]), ("octave", [73, 60, 61]), ("not", [73, 60, 61])]
)
def test_accidentals_apply_as_far_as_propagate_accidentals_says(tmp_path: Path, reach: str, pitches: list[int]) -> None:
    music = read(tmp_path, HEAD + f"K:C\nI:propagate-accidentals {reach}\n^c C ^C|C|\n")
    assert [note.pitch for note in music.tracks[0].notes] == [*pitches, 60]


def test_collected_tunes_have_their_expected_notes(shared: Path) -> None:
    folder = shared / "cases" / "music"
    expected = json.loads((folder / "expected.json").read_text())
    cases = {name: rows for name, rows in expected.items() if name.endswith(".abc")}
    assert cases
    for name, rows in cases.items():
        music = mmt.read(folder / name)
        found = [
            (
                round(note.time / music.resolution, 2),
                round(note.duration / music.resolution, 2),
                note.pitch,
                track.program,
            )
            for track in music.tracks
            for note in track.notes
        ]
        assert sorted(found) == sorted(map(tuple, rows)), name


def test_the_composer_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, "X:1\nT:été\nC:Anna\nC: Ben\nK:C\nC|\n").metadata.creators == ["Anna", "Ben"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello\n", r"tune\.abc: .*a tune begins with X:"),
        ("X:1\nT:no key\n", "has a K: for its key"),
        ("X:1\nK:C\nz4|\n", "it has no note"),
        ("X:1\nK:C\n[[[\n", r"it has no note; line 3: '\[' has no meaning"),
        ("X:1\nK:C\nc'''''''''''|\n", "notes outside of MIDI's range"),
    ],
)
def test_files_without_a_tune_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_an_accidental_of_a_grace_note_holds_in_its_measure_only(tmp_path: Path) -> None:
    assert played(tmp_path, "K:C\n{^f}|f") == "0:78*0.25 0.25:77*0.75"
