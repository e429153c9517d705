"""mmt-prepare: its flags reach `prepare`, and errors are one line."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from mmt.cli import prepare, train
from mmt.corpus.storage import Corpus
from mmt.representation.codes import Representation

TINY = Path(__file__).resolve().parents[2] / "data" / "tiny"


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Three MIDI files, one of them twice."""
    folder = tmp_path / "music"
    folder.mkdir()
    for file in TINY.glob("*.mid"):
        shutil.copy(file, folder)
    shutil.copy(next(TINY.glob("*.mid")), folder / "zz.mid")
    return folder


def test_filters_and_lists_of_names_reach_prepare(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(file.name for file in music.iterdir())
    (tmp_path / "valid.txt").write_text(f"{names[1]}\n\n")
    (tmp_path / "test.txt").write_text(f"{names[2]}\r\n")
    out = tmp_path / "corpus"
    flags = ["--duplicates", "files", "--exclude", names[0], "--exclude", "nothing*", "--min-beats", "2"]
    lists = ["--valid-names", str(tmp_path / "valid.txt"), "--test-names", str(tmp_path / "test.txt")]
    assert prepare.main([str(music), "-o", str(out), *flags, *lists]) == 1
    assert "'nothing*' excludes nothing" in capsys.readouterr().err
    del flags[4:6]
    assert prepare.main([str(music), "-o", str(out), *flags, *lists, "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "skipped 1: excluded" in printed
    assert str(out / "report.json") in printed
    kept = {piece.name: piece.split for piece in Corpus(out).pieces}
    assert kept[names[1]] == "valid"
    assert kept[names[2]] == "test"
    assert names[0] not in kept


def test_works_and_lists_fix_splits_and_the_rest_is_drawn(music: Path, tmp_path: Path) -> None:
    names = sorted(file.name for file in music.iterdir())
    places = ["scores/alone/1.mxl", "scores/cycle/1.mxl", "scores/cycle/2.mxl", "scores/other/1.mxl"]
    rows = [f"{name},{place}" for name, place in zip(names, places, strict=True)]
    (music / "manifest.csv").write_text("\n".join(["path,place", *rows]))
    (tmp_path / "works.csv").write_text(f"name,work\n{names[0]},one\n{names[1]},one\n{names[3]},one\n")
    (tmp_path / "valid.txt").write_text(names[0])
    flags = ["--work-column", "place", "--work-pattern", "scores/(.+)/", "--works", str(tmp_path / "works.csv")]
    lists = ["--valid-names", str(tmp_path / "valid.txt"), "--draw-rest", "--valid", "0", "--test", "0"]
    assert prepare.main([str(music), "-o", str(tmp_path / "out"), *flags, *lists, "--jobs", "1", "--quiet"]) == 0
    assert {piece.split for piece in Corpus(tmp_path / "out").pieces} == {"valid"}


def test_a_corpus_has_the_representation_of_the_recipe(music: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "drums.yaml"
    recipe.write_text("representation:\n  preset: slides\n  drums: true\n")
    assert prepare.main([str(music), "-o", str(tmp_path / "a"), "--recipe", str(recipe), "--jobs", "1", "--quiet"]) == 0
    assert Corpus(tmp_path / "a").representation == replace(Representation.slides(), drums=True)
    assert prepare.main([str(music), "-o", str(tmp_path / "b"), "--recipe", "tiny", "--jobs", "1", "--quiet"]) == 0
    assert Corpus(tmp_path / "b").representation.beats == 64


def test_mmt_prepare_follows_the_advice_of_mmt_train(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries, short = ["representation.drums=true", "representation.resolution=24"], ["trainer.max_steps=1"]
    asked = ["tiny", *entries, *short, "-o", str(tmp_path / "run"), "--corpus"]
    assert prepare.main([str(music), "-o", str(tmp_path / "plain"), "--valid", "0.4", "--jobs", "1", "--quiet"]) == 0
    assert train.main([*asked, str(tmp_path / "plain")]) == 1
    assert "(mmt-prepare --recipe or --checkpoint, with the same representation.… entries)" in capsys.readouterr().err
    flags = ["--valid", "0.4", "--jobs", "1", "--quiet"]
    assert prepare.main([str(music), "--recipe", "tiny", *entries, "-o", str(tmp_path / "right"), *flags]) == 0
    assert train.main([*asked, str(tmp_path / "right"), "--quiet"]) == 0
    # The representation can also be that of a checkpoint.
    best = ["--checkpoint", str(tmp_path / "run" / "best")]
    assert prepare.main([str(music), *best, "-o", str(tmp_path / "more"), *flags]) == 0
    assert Corpus(tmp_path / "more").representation == Corpus(tmp_path / "right").representation
    for wrong in (["trainer.max_steps=1"], [*best, entries[0]], [*best, "--recipe", "tiny"]):
        with suppress(SystemExit):
            assert prepare.main([str(music), "-o", str(tmp_path / "wrong"), *wrong]) == 2
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--max-drums", "2"], "max_drums is 2.0"),
        (["--time-limit", "0"], "time_limit is 0"),
        (["--backend", "dask"], "give the address of its scheduler"),
        (["--scheduler", "here"], "needs backend 'dask'"),
        (["--valid-names", "nowhere.txt"], "nowhere.txt"),
        (["--works", "nowhere.csv"], "there is no table of works nowhere.csv"),
        (["--draw-rest"], "draw_rest is set"),
        (["--recipe", "nothing"], "no recipe is named 'nothing'"),
        (["--min-notes", "1000000"], "none of 4 files is usable; the first, "),
        (["nowhere"], "nowhere does not exist"),
        (["-o", "MUSIC"], "music exists"),
    ],
)
def test_errors_of_a_command_are_one_line(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    given = [str(music) if flag == "MUSIC" else flag for flag in flags]
    assert prepare.main([str(music), "-o", str(tmp_path / "corpus"), *given]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["music"]
