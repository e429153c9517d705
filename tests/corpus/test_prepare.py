"""Preparation: folders, files and archives, some of them broken, become a corpus that appears only when complete."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import mmt
import mmt.corpus.assembly as assembly
import mmt.corpus.prepare as preparation
from mmt.corpus.storage import Corpus
from mmt.music.reading.midi import read_midi_notes
from mmt.representation.notes import note_table, raw_notes

prepare = preparation.prepare


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """A folder with subfolders: music, a broken file, a file with only drums, and a text."""
    folder = tmp_path_factory.mktemp("music") / "mine"
    shutil.copytree(tiny, folder / "sub")
    (folder / "broken.mid").write_bytes(b"MThd no music")
    (folder / "empty.mid").write_bytes(b"")
    drums = mmt.decode(mmt.encode(mmt.read(next(tiny.glob("*.mid"))), beats=8))
    for track in drums.tracks:
        track.is_drum = True
    mmt.write(folder / "drums.mid", drums)
    (folder / "readme.txt").write_text("no music either")
    return folder


def test_contents_of_a_prepared_corpus(music: Path, tmp_path: Path) -> None:
    outcome = prepare([music], tmp_path / "corpus")
    names = ["corpus.json", "notes.npy", "pieces.csv", "provenance.json", "report.json"]
    assert sorted(path.name for path in (tmp_path / "corpus").iterdir()) == names
    provenance = json.loads((tmp_path / "corpus" / "provenance.json").read_text())
    assert provenance["software"]["mmt"] == mmt.__version__
    assert (provenance["seed"], provenance["command"]) == (0, None)
    corpus = Corpus(tmp_path / "corpus")
    assert outcome.kept == len(corpus) == 4
    assert sorted(outcome.skipped) == ["broken.mid", "drums.mid", "empty.mid"]
    assert outcome.skipped["drums.mid"] == "fewer than 1 usable notes"
    assert outcome.notes.kept + outcome.notes.dropped.total() == outcome.notes.notes
    report = json.loads((tmp_path / "corpus" / "report.json").read_text())
    assert report["files"] == {"kept": 4, "skipped": outcome.skipped, "reasons": outcome.reasons}
    assert outcome.reasons.total() == 3
    assert sum(report["pieces"].values()) == 4
    assert report["notes"]["kept"] == sum(piece.length for piece in corpus.pieces) == outcome.notes.kept
    assert str(outcome).splitlines()[0].startswith("4 of 7 files kept; ")


def test_a_single_source_can_be_given_without_a_list(music: Path, tmp_path: Path) -> None:
    for name, sources in (("path", music), ("str", str(music)), ("list", [music])):
        prepare(sources, tmp_path / name)
    assert content(tmp_path / "path") == content(tmp_path / "str") == content(tmp_path / "list")


def test_pieces_of_a_corpus_equal_read_then_encode(corpus: Corpus, tiny: Path) -> None:
    for place, piece in enumerate(corpus.pieces):
        music = mmt.read(tiny / piece.name)
        events = mmt.encode(music)
        np.testing.assert_array_equal(corpus[place], events)
        np.testing.assert_array_equal(corpus.notes(place), note_table(raw_notes(music))[0])
        assert piece.beats == events[-2, 1]
        assert piece.instruments.split() == [track.name for track in mmt.decode(events).tracks]
        assert piece.source == piece.name
    assert [len(events) for events in corpus] == [len(corpus[place]) for place in range(len(corpus))]


def test_reading_midi_directly_equals_reading_with_muspy(shared: Path) -> None:
    files = sorted((shared / "data" / "examples" / "mid").glob("*.mid"))
    for file in files:
        short, report = note_table(read_midi_notes(file))
        long, other = note_table(raw_notes(mmt.read(file)))
        np.testing.assert_array_equal(short, long, err_msg=file.name)
        assert report == other, file.name


@pytest.mark.slow
def test_reading_midi_directly_equals_reading_with_muspy_for_all_files(train_zip: Path, tmp_path: Path) -> None:
    file = tmp_path / "piece.mid"
    with zipfile.ZipFile(train_zip) as archive:
        for name in archive.namelist():
            if name.endswith(".mid"):
                file.write_bytes(archive.read(name))
                short, long = note_table(read_midi_notes(file))[0], note_table(raw_notes(mmt.read(file)))[0]
                np.testing.assert_array_equal(short, long, err_msg=name)


def test_folder_files_and_archive_give_the_same_corpus(tiny: Path, tmp_path: Path) -> None:
    files = sorted(tiny.iterdir())
    with zipfile.ZipFile(tmp_path / "tiny.zip", "w") as archive:
        for file in reversed(files):
            archive.write(file, file.name)
    music = [file for file in files if file.suffix in (".mid", ".mxl")]
    for name, sources in {"folder": [tiny], "zip": [tmp_path / "tiny.zip"], "files": music}.items():
        prepare(sources, tmp_path / name)
    one, two, three = (content(tmp_path / name) for name in ("folder", "zip", "files"))
    assert one["notes.npy"] == two["notes.npy"] == three["notes.npy"]
    assert one["pieces.csv"] == three["pieces.csv"]
    columns = [
        [{**row, "source": ""} for row in csv.DictReader(both["pieces.csv"].decode().splitlines())]
        for both in (one, two)
    ]
    assert columns[0] == columns[1]


def test_a_manifest_gives_work_source_and_licence(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "music"
    shutil.copytree(tiny, folder)
    names = sorted(path.name for path in folder.iterdir() if path.suffix in (".mid", ".mxl"))
    lines = ["path,licence,work,source", *(f"{name},CC0-1.0,one work,here" for name in names[:3])]
    (folder / "manifest.csv").write_text("\n".join(lines))
    prepare([folder], tmp_path / "corpus", shares={"valid": 0.5, "test": 0.0})
    pieces = Corpus(tmp_path / "corpus").pieces
    assert [piece.licence for piece in pieces] == ["CC0-1.0"] * 3 + [""]
    assert [piece.source for piece in pieces] == ["here"] * 3 + [names[3]]
    assert len({piece.split for piece in pieces[:3]}) == 1
    assert {piece.split for piece in pieces} == {"train", "valid"}


def test_a_manifest_without_paths_is_refused(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "music")
    (tmp_path / "music" / "manifest.csv").write_text("name,licence\na,b\n")
    with pytest.raises(ValueError, match="no column 'path'; its columns are name, licence"):
        prepare([tmp_path / "music"], tmp_path / "corpus")


def test_transposed_copies_stay_together(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "music"
    shutil.copytree(tiny, folder)
    for file in sorted(tiny.glob("*.mid")):
        music = mmt.read(file)
        for track in music.tracks:
            for note in track.notes:
                note.pitch += 3
        mmt.write(folder / f"up-{file.name}", music)
    prepare([folder], tmp_path / "corpus", shares={"valid": 0.4, "test": 0.3})
    split = {piece.name: piece.split for piece in Corpus(tmp_path / "corpus").pieces}
    for file in tiny.glob("*.mid"):
        assert split[file.name] == split[f"up-{file.name}"]
    assert set(split.values()) == {"train", "valid", "test"}


def test_files_of_the_same_name_in_two_folders_are_two_pieces(tiny: Path, tmp_path: Path) -> None:
    for place, name in enumerate(("one", "two")):
        (tmp_path / name).mkdir()
        shutil.copy(sorted(tiny.glob("*.mid"))[place], tmp_path / name / "1.mid")
        (tmp_path / name / "2.mid").write_text("broken")
    outcome = prepare([tmp_path / "one", tmp_path / "two", tmp_path / "one"], tmp_path / "corpus")
    assert outcome.kept == 2
    assert sorted(outcome.skipped) == [f"{tmp_path}/one/2.mid", f"{tmp_path}/two/2.mid"]
    pieces = Corpus(tmp_path / "corpus").pieces
    assert [piece.name for piece in pieces] == [f"{tmp_path}/one/1.mid", f"{tmp_path}/two/1.mid"]
    # Two works, although both files are called "1": one of them is in the validation split.
    assert {piece.split for piece in pieces} == {"train", "valid"}


@pytest.mark.skipif(sys.platform != "linux", reason="only there may a file's name be any bytes")
def test_a_file_name_with_invalid_utf8_is_escaped(tiny: Path, tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    shutil.copy(next(tiny.glob("*.mid")), os.fsencode(music) + b"/caf\xe9.mid")
    (music / os.fsdecode(b"\xff.mid")).write_text("broken")
    outcome = prepare([music], tmp_path / "corpus")
    assert [piece.name for piece in Corpus(tmp_path / "corpus").pieces] == [r"caf\udce9.mid"]
    assert list(outcome.skipped) == [r"\udcff.mid"]


def test_splits_can_be_given_as_lists_of_names(tiny: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in tiny.iterdir() if path.suffix in (".mid", ".mxl"))
    prepare([tiny], tmp_path / "rest", splits={"valid": names[:1], "test": names[1:2]})
    assert [piece.split for piece in Corpus(tmp_path / "rest").pieces] == ["valid", "test", "train", "train"]
    outcome = prepare([tiny], tmp_path / "listed", splits={"valid": names[:1], "train": names[1:2]})
    assert [piece.split for piece in Corpus(tmp_path / "listed").pieces] == ["valid", "train"]
    assert outcome.skipped == dict.fromkeys(names[2:], "in no split")


def test_the_work_pattern_keeps_versions_together(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    for place, file in enumerate(sorted(tiny.glob("*.mid"))):
        shutil.copy(file, tmp_path / "music" / f"tune_{place}.mid")
    prepare([tmp_path / "music"], tmp_path / "corpus", work_pattern=r"(.*)_\d")
    assert {piece.split for piece in Corpus(tmp_path / "corpus").pieces} == {"train"}


def test_the_work_pattern_applies_to_the_given_column(tiny: Path, tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    files = [shutil.copy(file, music) for file in sorted(tiny.glob("*.mid"))]
    rows = [f"{Path(file).name},scores/Winterreise/{place}.mxl" for place, file in enumerate(files)]
    (music / "manifest.csv").write_text("\n".join(["path,source_path", *rows]))
    prepare([music], tmp_path / "corpus", work_column="source_path", work_pattern="scores/(.+)/")
    assert {piece.split for piece in Corpus(tmp_path / "corpus").pieces} == {"train"}
    with pytest.raises(ValueError, match=r"has no column 'cycle'; its columns are path, source_path"):
        prepare([music], tmp_path / "wrong", work_column="cycle")


def test_a_table_of_works_keeps_files_in_one_split(tiny: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in tiny.iterdir() if path.suffix in (".mid", ".mxl"))
    prepare([tiny], tmp_path / "corpus", works=dict.fromkeys(names, "one"))
    assert {piece.split for piece in Corpus(tmp_path / "corpus").pieces} == {"train"}


def test_listed_names_fix_the_split_of_their_work_and_the_rest_is_drawn(tiny: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in tiny.iterdir() if path.suffix in (".mid", ".mxl"))
    joined = dict.fromkeys(names[:2], "one")
    outcome = prepare(
        [tiny],
        tmp_path / "corpus",
        works=joined,
        splits={"test": names[:1]},
        draw_rest=True,
        shares={"valid": 0, "test": 0},
    )
    assert outcome.kept == len(names)
    assert [piece.split for piece in Corpus(tmp_path / "corpus").pieces] == ["test", "test", "train", "train"]
    both = {"test": names[:1], "valid": names[1:2]}
    with pytest.raises(ValueError, match=f"'{names[0]}' is listed in 'test' and '{names[1]}' in 'valid'"):
        prepare([tiny], tmp_path / "torn", works=joined, splits=both, draw_rest=True)


def test_min_notes_skips_short_pieces(tiny: Path, tmp_path: Path, corpus: Corpus) -> None:
    longest = max(piece.length for piece in corpus.pieces)
    outcome = prepare([tiny], tmp_path / "corpus", min_notes=longest)
    assert outcome.kept == 1
    assert set(outcome.skipped.values()) == {f"fewer than {longest} usable notes"}


def test_a_corpus_keeps_its_representation(tiny: Path, tmp_path: Path) -> None:
    slides = mmt.Representation.slides()
    prepare([tiny], tmp_path / "corpus", representation=slides)
    corpus = Corpus(tmp_path / "corpus")
    assert corpus.representation == slides
    np.testing.assert_array_equal(corpus[0], mmt.encode(mmt.read(tiny / corpus.pieces[0].name), representation=slides))


def test_an_output_appears_only_when_complete(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: Corpus
) -> None:
    shutil.copytree(corpus.folder, tmp_path / "corpus")
    before = content(tmp_path / "corpus")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(assembly, "write_pieces", fail)
    for output in ("corpus", "new"):
        with pytest.raises(OSError, match="disk full"):
            prepare([tiny], tmp_path / output, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".corpus-parts", ".new-parts", "corpus"]
    assert content(tmp_path / "corpus") == before


def test_only_a_corpus_is_overwritten_and_only_on_request(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    prepare([tiny], folder, seed=1)
    with pytest.raises(FileExistsError, match="exists; give another folder, or overwrite it"):
        prepare([tiny], folder)
    prepare([tiny], folder, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(
        FileExistsError, match=r"mine is not a corpus \(it has no corpus.json\), so it is not overwritten"
    ):
        prepare([tiny], tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "letter.txt").exists()


def test_an_empty_folder_is_written_to_as_one_that_does_not_exist(tiny: Path, tmp_path: Path) -> None:
    for name in ("corpus", "model"):
        (tmp_path / name).mkdir()
    prepare([tiny], tmp_path / "corpus")
    assert len(mmt.Corpus(tmp_path / "corpus"))
    mmt.new_model("tiny").save(tmp_path / "model")
    assert mmt.load_model(tmp_path / "model").network
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="file exists"):
        prepare([tiny], tmp_path / "file")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"work_pattern": "(("}, "is not a regular expression"),
        ({"work_pattern": "a.*"}, "has no group"),
        ({"shares": {"valid": 0.1}}, "give 'valid' and 'test'"),
        ({"splits": {"valid": ["nothing"]}}, "is not among the 4 files"),
        ({"draw_rest": True}, "draw_rest is set, but no split has a list of names"),
        ({"works": {"nothing.mid": "a"}}, r"works names none of the 4 files, but 'nothing\.mid'"),
        ({"min_beats": 0}, "min_beats is 0; it must be at least 1"),
        ({"max_beats": 3, "min_beats": 4}, "max_beats is 3; give at least 4"),
        ({"max_drums": 1.5}, "max_drums is 1.5; give a share"),
        ({"duplicates": "drop"}, "duplicates is 'drop'; choose one of keep, files, notes"),
        ({"exclude": ["nobody"]}, r"'nobody' excludes nothing: no name, .* in the 4 files matches it"),
        ({"time_limit": 0}, "time_limit is 0; give seconds"),
        ({"jobs": 0}, "jobs is 0"),
        ({"backend": "mpi"}, "backend 'mpi' is unknown; choose one of threading, loky, dask"),
        ({"scheduler": "tcp://here"}, "scheduler tcp://here needs backend 'dask', and the backend is None"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_read(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, object], said: str
) -> None:
    def fail(*_: object) -> None:
        pytest.fail("a file was read")

    monkeypatch.setattr(preparation, "call_each", fail)
    with pytest.raises(ValueError, match=said):
        prepare([tiny], tmp_path / "corpus", **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_without_usable_files_the_error_gives_the_first_reason(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(b"")
    with pytest.raises(ValueError, match=r"none of 1 files is usable; the first, a.mid: .+"):
        prepare([tmp_path / "a.mid"], tmp_path / "corpus")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError, match="is neither music that can be read"):
        prepare([tmp_path / "a.txt"], tmp_path / "corpus")
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        prepare([tmp_path / "nowhere"], tmp_path / "corpus")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="no music in"):
        prepare([tmp_path / "folder"], tmp_path / "corpus")


def test_broken_members_of_an_archive_are_counted(music: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in sorted(music.rglob("*.*")):
            archive.write(file, file.relative_to(music))
    assert prepare([tmp_path / "all.zip"], tmp_path / "corpus").skipped == prepare([music], tmp_path / "other").skipped


def test_odd_and_broken_files_never_stop_a_preparation(shared: Path, tmp_path: Path) -> None:
    outcome = prepare([shared / "data" / "nasty"], tmp_path / "corpus", overwrite=True)
    assert outcome.kept > 10
    assert all(reason and "\n" not in reason for reason in outcome.skipped.values())
    shuffled = sorted(shared.joinpath("data", "nasty").rglob("*.mid"))
    random.Random(0).shuffle(shuffled)
    assert outcome.kept + len(outcome.skipped) >= len(shuffled)


def test_a_missing_source_leaves_no_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none does not exist"):
        prepare([tmp_path / "none"], tmp_path / "runs" / "none" / "corpus")
    assert not list(tmp_path.iterdir())
