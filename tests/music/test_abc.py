"""Reading ABC: onsets, pitches and programs are those of the tune."""

from __future__ import annotations

import subprocess
from pathlib import Path

import muspy
import pytest

import mmt
from mmt.music.reading import abc
from mmt.representation.notes import LeftOutWarning

HEAD = "X:1\nT:Title\nM:4/4\nL:1/4\n"


def read(folder: Path, text: str) -> muspy.Music:
    (folder / "tune.abc").write_text(text, encoding="utf-8")
    return mmt.read(folder / "tune.abc")


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
        ("K:C\nc, C' c,, C''|\n", [60, 72, 48, 84]),  # marks that contradict the letter's case
        ("K:C clef=treble-8\nCDEF|\n", [48, 50, 52, 53]),
        ("K:C\n|:C D:|E F|\n", [60, 62, 60, 62, 64, 65]),
        ("K:C\n|:C D|1 E2:|2 F2|]\n", [60, 62, 64, 60, 62, 65]),
        ("P:AAB\nK:C\nP:A\nC D|\nP:B\nE|\n", [60, 62, 60, 62, 64]),
        ('K:C\n"Am"C "^loud"D "F,"E F|\n', [60, 62, 64, 65]),  # no accompaniment of chord symbols
        ("K:C\n~C TD !trill!E .F|!mordent!C uD vE HF|\n", [60, 62, 64, 65, 60, 62, 64, 65]),  # no ornaments are played
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


def test_errors_of_abc2midi_are_a_warning(tmp_path: Path) -> None:
    text = HEAD + "K:C\nCDEF|[CE|GABc|\n"
    with pytest.warns(abc.UnreadWarning, match="something may be missing, abc2midi says: "):
        read(tmp_path, text)
    outcome = mmt.prepare(tmp_path / "tune.abc", tmp_path / "corpus")
    assert "1 ABC tunes of which abc2midi complains" in str(outcome)


def test_the_composer_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, "X:1\nT:été\nC:Anna\nC: Ben\nK:C\nC|\n").metadata.creators == ["Anna", "Ben"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello\n", r"tune\.abc: .*a tune begins with X:"),
        ("X:1\nT:no key\n", "has a K: for its key"),
        ("X:1\nK:C\nz4|\n", "it has no note"),
        ("X:1\nK:C\n[[[\n", "nest chords"),
        ("X:1\n%%MIDI drumon\nK:C\nC|\n", "drumon must occur after"),
        ("X:1\nK:C\nc'''''''''''|\n", "notes outside of MIDI's range"),
    ],
)
def test_files_without_a_tune_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_crashes_and_timeouts_of_abc2midi_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import symusic  # noqa: F401 (which sets it when it is first imported)

    monkeypatch.setenv("SYMUSIC_ABC2MIDI", "false")
    with pytest.raises(ValueError, match=r"abc2midi stopped \(status 1\)"):
        read(tmp_path, HEAD + "K:C\nC|\n")

    def never_ends(command: list[str], timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(abc.subprocess, "run", never_ends)
    with pytest.raises(ValueError, match="does not end within 30 seconds"):
        read(tmp_path, HEAD + "K:C\nC|\n")
