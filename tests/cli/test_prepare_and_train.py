"""mmt-prepare and mmt-train: from a folder of music to a model that generates."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import mmt
from mmt.cli import generate, prepare, train

TINY = Path(__file__).resolve().parents[2] / "data" / "tiny"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mine")
    music = folder / "music"
    shutil.copytree(TINY, music)
    (music / "broken.mid").write_text("no music")  # skipped
    out = folder / "corpus"
    assert (
        prepare.main([str(music), "-o", str(out), "--valid", "0.3", "--test", "0.0", "--jobs", "1", "--seed", "3"]) == 0
    )
    return out


def test_a_folder_of_music_becomes_a_model_that_generates(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    common = ["tiny", "--corpus", str(corpus), "-o", str(run), "--quiet"]
    assert train.main([*common[:1], "trainer.max_steps=4", "trainer.validate_every=2", *common[1:]]) == 0
    assert mmt.load_model(run / "best").training["steps"] in (2, 4)
    assert generate.main(["--checkpoint", str(run / "best"), "-o", str(tmp_path / "a.mid"), "--quiet"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing", "--corpus", "CORPUS", "-o", "new"], "no recipe is named 'nothing'"),
        (["tiny", "--corpus", "nowhere", "-o", "new"], "mmt-prepare"),
        (["tiny", "trainer.max_step=4", "--corpus", "CORPUS", "-o", "new"], "trainer.max_step"),
        (["tiny", "trainer.max_steps=0", "--corpus", "CORPUS", "-o", "new"], "at least 1"),
        (["tiny", "--corpus", "CORPUS", "-o", "."], "exists"),
        (["tiny", "--corpus", "CORPUS", "-o", ".", "--overwrite"], "not a training run"),
        (["tiny", "--corpus", "CORPUS", "-o", "new", "--resume"], "no training to resume"),
    ],
)
def test_errors_of_a_training_are_one_line(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").touch()  # an empty folder would be accepted
    assert train.main([str(corpus) if part == "CORPUS" else part for part in arguments]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
