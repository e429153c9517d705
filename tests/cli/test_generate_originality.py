"""mmt-generate --originality: its output and its errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_corpora import write_tiny_corpus

import mmt
from mmt.cli import generate


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_corpus(tmp_path_factory.mktemp("tiny") / "corpus")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    mmt.new_model("tiny", seed=0).save(folder)
    return folder


def test_notes_of_the_prompt_are_not_reported_as_copied(
    corpus: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The continuation of a training piece by an untrained model does not stand out, although the prompt is a copy."""
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
        (["--originality", "--corpus", "nowhere"], 1, "not a prepared corpus"),
    ],
)
def test_missing_or_wrong_flags_fail_before_writing(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, said: str
) -> None:
    given = ["--checkpoint", str(model), "-o", str(tmp_path / "new.mid")]
    assert generate.main([*given, *arguments]) == status
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new.mid").exists()
