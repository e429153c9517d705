"""Reading and writing by suffix."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import muspy
import numpy as np
import pytest

import mmt.music
from mmt.representation.notes import LeftOutWarning

ABC = "X:1\nT:one\nM:4/4\nL:1/4\nK:G\nGABc|d4|\n\nX:2\nT:two\nM:4/4\nL:1/4\nK:C\nCDEF|\n"


@pytest.fixture
def music() -> muspy.Music:
    notes = [muspy.Note(12 * beat, 60 + beat, 12, 70) for beat in range(9)]
    return muspy.Music(
        resolution=12, tempos=[muspy.Tempo(0, 90.0)], tracks=[muspy.Track(40, name="Geige", notes=notes)]
    )


@pytest.mark.parametrize("suffix", [".mid", ".MIDI", ".musicxml", ".xml", ".mxl", ".json", ".yaml", ".yml"])
def test_round_trip_keeps_every_note(tmp_path: Path, music: muspy.Music, suffix: str) -> None:
    path = tmp_path / f"piece{suffix}"
    mmt.music.write(path, music)
    copy = mmt.music.read(str(path))
    assert copy.resolution == (480 if suffix.lower().startswith(".mid") else 12)
    copy.adjust_resolution(12)
    assert [(track.name, track.program, track.notes) for track in copy.tracks] == [("Geige", 40, music.tracks[0].notes)]
    assert [tempo.qpm for tempo in copy.tempos] == [pytest.approx(90)]
    assert copy.metadata.source_filename == path.name
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".wav", ".png"])
def test_sound_and_pictures_are_written(tmp_path: Path, music: muspy.Music, suffix: str) -> None:
    mmt.music.write(tmp_path / f"piece{suffix}", music)
    assert (tmp_path / f"piece{suffix}").read_bytes()[:4] in (b"RIFF", b"\x89PNG")


def test_numpy_numbers_are_written(tmp_path: Path) -> None:
    note = muspy.Note(np.int64(0), np.int64(60), np.int32(12), np.uint8(64))
    music = muspy.Music(resolution=np.int64(12), tracks=[muspy.Track(np.int64(40), np.bool_(False), notes=[note])])
    for suffix in (".json", ".yaml", ".mid", ".musicxml"):
        mmt.music.write(tmp_path / f"piece{suffix}", music)
        copy = mmt.music.read(tmp_path / f"piece{suffix}")
        copy.adjust_resolution(12)
        assert copy.tracks[0].notes == [muspy.Note(0, 60, 12, 64)]


def test_the_first_tune_of_an_abc_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "tunes.abc").write_text(ABC)
    with pytest.warns(LeftOutWarning, match="has 2 tunes, of which the first is read"):
        music = mmt.music.read(tmp_path / "tunes.abc")
    assert [note.pitch for note in music.tracks[0].notes] == [67, 69, 71, 72, 74]


def test_unknown_suffixes_list_the_known_ones(tmp_path: Path, music: muspy.Music) -> None:
    with pytest.raises(ValueError, match=r"'.mp3', where mmt can read .*\.kar.*\.mxl.*\.abc.*\.yaml"):
        mmt.music.read(tmp_path / "song.mp3")
    with pytest.raises(ValueError, match=r"a name without a suffix, where mmt can write .*\.wav"):
        mmt.music.write(tmp_path / "song", music)


def test_missing_files_and_folders_are_refused(tmp_path: Path, music: muspy.Music) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.mid: there is no such file"):
        mmt.music.read(tmp_path / "gone.mid")
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        mmt.music.read(tmp_path)
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        mmt.music.write(tmp_path, music)
    with pytest.raises(ValueError, match="the path comes first"):
        mmt.music.write(music, "piece.mid")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="create it first"):
        mmt.music.write(tmp_path / "no" / "folder.mid", music)


@pytest.mark.parametrize("suffix", [".mid", ".musicxml", ".mxl", ".abc", ".json", ".yaml"])
@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff" * 99, b"PK\x03\x04 no archive", b"plain words\n", b"[1, 2]", b"<html><body/></html>", b"{\t"],
)
def test_wrong_content_is_an_error_that_names_the_file(
    tmp_path: Path, suffix: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot read") as caught:
        mmt.music.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("change", [{"tracks": 5}, {"resolution": "x"}, {"tracks": [{"notes": [{"time": "soon"}]}]}])
def test_broken_muspy_files_are_refused(tmp_path: Path, music: muspy.Music, change: dict[str, object]) -> None:
    path = tmp_path / "piece.json"
    mmt.music.write(path, music)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match="this is not muspy JSON"):
        mmt.music.read(path)


def test_an_existing_file_is_kept_without_overwrite(tmp_path: Path, music: muspy.Music) -> None:
    path = tmp_path / "piece.mid"
    path.write_bytes(b"old")
    with pytest.raises(FileExistsError, match=r"piece\.mid: the file exists"):
        mmt.music.write(path, music, overwrite=False)
    assert path.read_bytes() == b"old"
    mmt.music.write(path, music)
    assert path.read_bytes()[:4] == b"MThd"


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, music: muspy.Music, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "piece.mid"
    path.write_bytes(b"old")

    def stops_halfway(path: Path, music: muspy.Music) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("the lights went out")

    monkeypatch.setattr("mmt.music.writing.midi.write_midi", stops_halfway)
    with pytest.raises(RuntimeError):
        mmt.music.write(path, music)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_in_writing_names_the_file(tmp_path: Path, music: muspy.Music) -> None:
    music.tracks[0].program = 128
    with pytest.raises(ValueError, match=r"cannot write .*piece\.mid: track 'Geige' has program 128"):
        mmt.music.write(tmp_path / "piece.mid", music)


def test_importing_music_loads_no_heavy_library() -> None:
    code = """
import sys, mmt.music
assert not {"muspy", "symusic", "music21", "matplotlib", "yaml"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_chords_of_a_muspy_file_are_read_as_notes(tmp_path: Path) -> None:
    track = muspy.Track(40, notes=[muspy.Note(12, 72, 6, 50)])
    plain = muspy.Music(resolution=12, tracks=[track]).to_ordered_dict()
    plain["tracks"][0]["chords"] = [{"time": 0, "pitches": [60, 64], "duration": 12, "velocity": 64}]
    (tmp_path / "chords.json").write_text(json.dumps(plain))
    (read,) = mmt.music.read(tmp_path / "chords.json").tracks
    assert read.notes == [muspy.Note(0, 60, 12, 64), muspy.Note(0, 64, 12, 64), muspy.Note(12, 72, 6, 50)]
