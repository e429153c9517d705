"""Reading MIDI: both readers give the notes of muspy, except for the differences that `mmt.music.reading.midi` lists."""

from __future__ import annotations

import contextlib
import csv
import gc
import random
import struct
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import muspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmt.music.reading.midi import read_midi, read_midi_notes
from mmt.representation.notes import RawNotes, raw_notes

END = b"\x00\xff\x2f\x00"


def midi(*tracks: bytes, division: int = 480, header: bytes = b"") -> bytes:
    """A MIDI file of tracks given as event bytes."""
    data = struct.pack(">4sIHHH", b"MThd", 6 + len(header), 1, len(tracks), division) + header
    return data + b"".join(struct.pack(">4sI", b"MTrk", len(track)) + track for track in tracks)


def on(pitch: int, after: int = 0, channel: int = 0, velocity: int = 64) -> bytes:
    return bytes((after, 0x90 | channel, pitch, velocity))


def off(pitch: int, after: int = 0, channel: int = 0) -> bytes:
    return bytes((after, 0x80 | channel, pitch, 0))


def rows(raw: RawNotes) -> list[tuple[int, ...]]:
    columns = (raw.onset, raw.duration, raw.pitch, raw.program, raw.is_drum, raw.velocity)
    return sorted(zip(*(np.asarray(column).tolist() for column in columns), strict=True))


def notes_of(data: bytes) -> list[tuple[int, int, int, int]]:
    """(onset, duration, pitch, program), sorted."""
    return [(row[0], row[1], row[2], row[3]) for row in rows(read_midi_notes(data))]


@pytest.fixture(scope="session")
def train_files(train_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("train")
    with zipfile.ZipFile(train_zip) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".mid"))
        archive.extractall(folder, names)
    return [folder / name for name in names]


# --- the two readers, and muspy ---


def assert_readers_agree(path: Path) -> None:
    music, raw = read_midi(path), read_midi_notes(path)
    assert rows(raw) == rows(raw_notes(music)), path.name
    assert (raw.resolution, dict(raw.marks)["tempo marks"]) == (music.resolution, len(music.tempos))


def test_both_readers_give_the_same_notes(train_files: list[Path]) -> None:
    for path in train_files[::40]:
        assert_readers_agree(path)


@pytest.mark.slow
def test_both_readers_give_the_same_notes_in_every_file(train_files: list[Path]) -> None:
    for path in train_files:
        assert_readers_agree(path)


def differences(path: Path) -> set[str]:
    """The kinds of differences from muspy."""
    theirs, ours = muspy.read_midi(path), read_midi(path)
    found = set()
    if theirs.resolution != ours.resolution or _notes(theirs, False) != _notes(ours, False):
        found.add("notes")
    elif _notes(theirs, True) != _notes(ours, True):
        found.add("programs")
    if _marks(theirs.tempos, "qpm") != _marks(ours.tempos, "qpm"):
        found.add("tempos")
    if _marks(theirs.time_signatures, "numerator", "denominator") != _marks(
        ours.time_signatures, "numerator", "denominator"
    ):
        found.add("time signatures")
    if _marks(theirs.key_signatures, "root", "mode") != _marks(ours.key_signatures, "root", "mode"):
        found.add("key signatures")
    return found


def _notes(music: muspy.Music, programs: bool) -> Counter[Any]:
    return Counter(
        (n.time, n.duration, n.pitch, n.velocity, t.is_drum, programs and t.program)
        for t in music.tracks
        for n in t.notes
    )


def _marks(marks: list[Any], *names: str) -> list[tuple[Any, ...]]:
    values = [(mark.time, *(getattr(mark, name) for name in names)) for mark in marks]
    return sorted(values, key=lambda value: value[0])


def test_notes_equal_those_of_muspy(shared: Path, train_files: list[Path]) -> None:
    examples = sorted((shared / "data" / "examples" / "mid").glob("*.mid"))
    assert len(examples) == 26
    found = {path.name: kinds for path in [*examples, *train_files[::150]] if (kinds := differences(path))}
    assert found == {"freedoom__d_e4m4_1a638338.mid": {"programs"}}


@pytest.mark.slow
def test_notes_equal_those_of_muspy_in_every_file(train_files: list[Path]) -> None:
    assert {path.name: found for path in train_files if (found := differences(path))} == KNOWN_DIFFERENCES


# In three files of Freedoom the program changes while a note sounds: muspy gives it the program at its end. In the others a track
# plays with a program that another track sets.
KNOWN_DIFFERENCES = {
    "d_dm18_59fdb95e.mid": {"programs"},
    "d_e2m9_02376f6d.mid": {"programs"},
    "d_map30_a4b724db.mid": {"programs"},
    "d_e1m1_cb870cb3.mid": {"programs"},
    "d_e1m9_5c3db369.mid": {"programs"},
    "d_e4m1_6e377a7c.mid": {"programs"},
    "d_e4m2_4ad63db9.mid": {"programs"},
    "d_e4m4_1a638338.mid": {"programs"},
    "d_e4m8_b16a932b.mid": {"programs"},
    "d_e4m9_e6c3991b.mid": {"programs"},
    "d_inter_2074044c.mid": {"programs"},
}


def test_a_note_has_the_program_at_its_onset(tmp_path: Path) -> None:
    data = midi(on(60) + b"\x00\xc0\x05" + off(60, 10) + on(62) + off(62, 10) + END)
    assert notes_of(data) == [(0, 10, 60, 0), (10, 10, 62, 5)]


# --- odd and broken files ---


def test_every_damaged_file_is_read_or_refused_in_one_line(shared: Path) -> None:
    folder = shared / "data" / "nasty"
    with (folder / "manifest.csv").open(newline="") as manifest:
        names = [row["path"] for row in csv.DictReader(manifest) if row["path"].endswith(".mid")]
    assert len(names) == 71
    refusals = {}
    for name in names:
        begun = time.perf_counter()
        try:
            assert_readers_agree(folder / name)
        except ValueError as error:
            refusals[name] = str(error)
        assert time.perf_counter() - begun < 2, name
    assert {Path(name).stem for name in refusals} == REFUSED
    assert all(str(folder / name) in line and "\n" not in line for name, line in refusals.items())


REFUSED = {
    "jazzsoft_test-corrupt-file-missing-byte",
    "jazzsoft_test-empty-file",
    "jazzsoft_test-illegal-message-all",
    "jazzsoft_test-illegal-message-f4",
    "jazzsoft_test-not-a-midi-file",
    "muspy_negative-ticks-per-beat",
    "muspy_zero-ticks-per-beat",
    "synth_mtrk_length_huge",
    "synth_sysex_unterminated",
    "synth_truncated_header",
    "synth_truncated_mid_event",
}


@pytest.mark.parametrize(
    ("name", "tracks", "notes"),
    [
        ("jazzsoft_test-2-tracks-type-2", 2, 16),
        ("jazzsoft_test-non-midi-track", 1, 8),
        ("jazzsoft_test-running-status-sysex", 1, 8),
        ("synth_40_tracks_one_channel", 40, 40),
        ("synth_hanging_notes", 1, 23),
        ("synth_header_len_10", 1, 16),
        ("synth_header_says_1_track_has_3", 3, 48),
        ("synth_header_says_5_tracks_has_1", 1, 16),
        ("synth_huge_delta", 1, 2),
        ("synth_key_signature_invalid", 1, 16),
        ("synth_program_change_mid_track", 128, 128),
        ("synth_riff_rmid", 1, 16),
        ("synth_tempo_zero_and_max", 1, 2),
        ("synth_time_signatures_odd", 1, 4),
    ],
)
def test_odd_files_are_read_completely(shared: Path, name: str, tracks: int, notes: int) -> None:
    music = read_midi(shared / "data" / "nasty" / "files" / f"{name}.mid")
    assert (len(music.tracks), sum(len(track) for track in music.tracks)) == (tracks, notes)


def test_impossible_marks_are_left_out(shared: Path) -> None:
    folder = shared / "data" / "nasty" / "files"
    assert read_midi(folder / "synth_key_signature_invalid.mid").key_signatures == []
    assert [tempo.time for tempo in read_midi(folder / "synth_tempo_zero_and_max.mid").tempos] == [480]
    signatures = read_midi(folder / "synth_time_signatures_odd.mid").time_signatures
    assert (0, 4) not in {(signature.numerator, signature.denominator) for signature in signatures}


def test_hanging_notes_last_until_the_end_of_their_track() -> None:
    data = midi(
        on(60) + on(60, 5) + on(64, 5, channel=3) + off(60, 10) + b"\x20\xff\x2f\x00", on(72) + off(72, 100) + END
    )
    assert notes_of(data) == [(0, 5, 60, 0), (0, 100, 72, 0), (5, 15, 60, 0), (10, 42, 64, 0)]


@pytest.mark.parametrize("ending", [b"", END, END + on(50)], ids=["missing", "there", "followed by more"])
def test_a_track_with_any_kind_of_end_is_read(ending: bytes) -> None:
    assert notes_of(midi(on(60) + off(60, 9) + on(61, 1) + ending)) == [(0, 9, 60, 0), (10, 0, 61, 0)]


def test_a_thousand_hanging_notes_of_one_pitch_are_one_at_each_tick() -> None:
    assert len(read_midi_notes(midi(on(60) * 1000 + END))) == 1
    assert len(read_midi_notes(midi(on(60, 1) * 1000 + END))) == 1000


def test_drums_are_the_tenth_channel(tmp_path: Path) -> None:
    raw = read_midi_notes(midi(on(36, channel=9) + off(36, 5, channel=9) + on(60) + off(60, 5) + END))
    assert sorted(zip(raw.pitch.tolist(), raw.is_drum.tolist(), strict=True)) == [(36, True), (60, False)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello, world, this is text", "not a MIDI file"),
        (midi(on(60) + END)[:-3], r"cut short: the end of track 1 is missing \(3 bytes\)"),
        (midi(on(60) + END)[:10], "cut short"),
        (midi(on(60), division=0xE028), "32 frames of 40 ticks"),
        (midi(on(60), division=0), "0 ticks per beat"),
        (midi(on(60) + END, on(60) + b"\x00\x90\xbc\x40" + END), "track 2 is damaged: a data byte above 127"),
        (midi(on(60) + b"\x00\xf4" + END), "undefined status byte, 0xf4"),
        (midi(b"\x00\x3c\x40" + END), "without a status byte"),
        (midi(on(60) + b"\x00\x90\x3c"), "cut off"),
        (midi((b"\xff\xff\xff\x7f\x90\x3c\x40\xff\xff\xff\x7f\x80\x3c\x40") * 9 + END), r"longer than 2\^31 ticks"),
    ],
)
def test_invalid_files_are_refused(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.mid"
    path.write_bytes(data)
    for reader in (read_midi, read_midi_notes):
        with pytest.raises(ValueError, match=message) as caught:
            reader(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_longer_header_and_a_riff_wrapper_are_read(tmp_path: Path) -> None:
    plain = midi(on(60) + off(60, 9) + END)
    longer = midi(on(60) + off(60, 9) + END, header=b"more")
    wrapped = b"RIFF\x00\x00\x00\x00RMIDdata\x00\x00\x00\x00" + plain + b"LIST"
    assert notes_of(plain) == notes_of(longer) == notes_of(wrapped) == [(0, 9, 60, 0)]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 20))
def test_damaged_bytes_are_read_or_refused(seed: int, count: int) -> None:
    generator = random.Random(seed)
    parts = [on(60 + k, channel=k % 16) + off(60 + k, 50, channel=k % 16) for k in range(30)]
    data = bytearray(midi(b"".join(parts[:15]) + END, b"\x00\xc0\x05" + b"".join(parts[15:]) + END))
    for _ in range(count):
        place = generator.randrange(14, len(data))
        data[place : place + generator.randrange(3)] = generator.randbytes(generator.randrange(3))
    with contextlib.suppress(ValueError):
        raw = read_midi_notes(bytes(data))
        assert not len(raw) or (raw.onset.min() >= 0 and raw.duration.min() >= 0 and 0 <= raw.pitch.min() <= 127)


# --- texts, tempos and signatures ---


def _text(kind: int, text: bytes) -> bytes:
    return bytes((0, 0xFF, kind, len(text))) + text


def test_texts_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "texts.mid"
    head = _text(3, "Lied für zwei".encode()) + _text(2, b"1827") + END
    voice = (
        _text(3, b"S\xe4nger\x00\n") + on(60) + _text(5, "Frühling".encode()) + off(60, 9) + _text(5, b"bl\xfcht") + END
    )
    path.write_bytes(midi(head, voice))
    music = read_midi(path)
    assert (music.metadata.title, music.metadata.copyright) == ("Lied für zwei", "1827")
    assert [track.name for track in music.tracks] == ["Sänger"]
    assert [(lyric.time, lyric.lyric) for lyric in music.lyrics] == [(0, "Frühling"), (9, "blüht")]
    assert music.metadata.source_format == "midi"


def test_marks_of_one_tick_keep_their_order(tmp_path: Path) -> None:
    """The last tempo of a tick applies."""
    path = tmp_path / "tempos.mid"
    tempos = [500_000 + 1000 * step for step in (3, 1, 2, 5, 4, 0) * 5]
    track = b"".join(b"\x00\xff\x51\x03" + tempo.to_bytes(3, "big") for tempo in tempos)
    path.write_bytes(midi(track + END))
    assert [round(60e6 / tempo.qpm) for tempo in read_midi(path).tempos] == tempos


def test_an_untitled_piece_has_no_title(tmp_path: Path) -> None:
    path = tmp_path / "untitled.mid"
    path.write_bytes(midi(on(60) + off(60, 9) + END))
    assert read_midi(path).metadata.title is None


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_restored(tmp_path: Path, enabled: bool) -> None:
    path = tmp_path / "one.mid"
    path.write_bytes(midi(on(60) + off(60, 9) + END))
    before = gc.isenabled()
    try:
        gc.enable() if enabled else gc.disable()
        read_midi(path)
        assert gc.isenabled() is enabled
    finally:
        gc.enable() if before else gc.disable()


def test_reading_notes_does_not_import_muspy() -> None:
    code = """
import sys
from mmt.music.reading.midi import read_midi_notes
read_midi_notes(bytes.fromhex("4d546864000000060000000100604d54726b0000000400ff2f00"))
assert not {"muspy", "symusic", "music21", "matplotlib", "numba"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
