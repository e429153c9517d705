"""mmt-generate --originality: what it tells, and what it needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_corpora import tiny_tables, write_corpus

import mmt
from mmt.cli import generate


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    splits = ["train", "train", "valid", "valid"]
    tables = zip(tiny_tables().items(), splits, strict=True)
    made = {name: (split, notes) for (name, notes), split in tables}
    return write_corpus(tmp_path_factory.mktemp("tiny") / "corpus", made)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    mmt.new_model("tiny", seed=0).save(folder)
    return folder


def test_a_copy_is_told_and_a_prompt_is_not(
    corpus: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an untrained model adds to a training piece is no copy, though what was given is."""
    mmt.write(tmp_path / "song.mid", mmt.decode(mmt.Corpus(corpus, split="train")[0]))
    given = ["--continue", str(tmp_path / "song.mid"), "--beats", "4", "--checkpoint", str(model), "--seed", "1"]
    assert generate.main([*given, "-o", str(tmp_path / "new.mid"), "--originality", "--corpus", str(corpus)]) == 0
    told = capsys.readouterr().out
    assert "piece 1, longest: " in told
    assert "0 of 1 stand out" in told
    assert (tmp_path / "new.mid").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--originality"], 2, "needs --corpus"),
        (["--corpus", "somewhere"], 2, "goes with --originality"),
        (["--originality", "--corpus", "nowhere"], 1, "no prepared corpus"),
    ],
)
def test_what_it_needs_is_said_before_anything_is_written(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, said: str
) -> None:
    given = ["--checkpoint", str(model), "-o", str(tmp_path / "new.mid")]
    assert generate.main([*given, *arguments]) == status
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new.mid").exists()
