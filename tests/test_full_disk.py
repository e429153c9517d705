"""A full disk: every writer fails with one line that names the file, leaves the earlier files, and leaves no partial one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from limited import full_disk
from small_corpora import TINY, model_of, write_tiny_corpus

import mmt
import mmt.cli.attention
import mmt.cli.evaluate
import mmt.cli.generate
import mmt.cli.prepare
import mmt.cli.train
from mmt.analysis import likelihood
from mmt.analysis.inside.autoencoder import SparseAutoencoder
from mmt.corpus.storage import Corpus


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus and a model."""
    folder = tmp_path_factory.mktemp("made")
    write_tiny_corpus(folder / "corpus")
    model_of(mmt.Representation()).save(folder / "model")
    return folder


def generate(made: Path, output: str, *more: str) -> int:
    few = ("--max-events", "40", "--max-beats", "8", "--seed", "1", "--overwrite")
    return mmt.cli.generate.main(["--checkpoint", str(made / "model"), *few, "-o", output, *more])


def on_corpus(command: Callable[[list[str]], int], made: Path, *more: str) -> int:
    which = ("--checkpoint", str(made / "model"), "--corpus", str(made / "corpus"), "--split", "valid", "-n", "2")
    return command([*which, "--overwrite", *more])


def train(made: Path, output: str) -> int:
    steps = ("trainer.max_steps=2", "trainer.validate_every=1", "trainer.save_every=1")
    return mmt.cli.train.main(["tiny", "--corpus", str(made / "corpus"), "-o", output, "--overwrite", *steps])


def prepare(output: str) -> int:
    files = sorted(map(str, TINY.glob("*.m[ix]*")))
    return mmt.cli.prepare.main([*files, "-o", output, "--jobs", "1", "--overwrite"])


# What each writes to a folder. Commands return their status, and functions raise an error.
WRITERS: dict[str, Callable[[Path, Path], object]] = {
    "beside": lambda made, to: generate(made, f"{to}/a.mid", "--text", "--png", "--wav", "--html"),
    "score": lambda made, to: generate(made, f"{to}/a.musicxml"),
    "json": lambda made, to: generate(made, f"{to}/a.json"),
    "folder": lambda made, to: generate(made, f"{to}/a/", "-n", "2"),
    "prepare": lambda made, to: prepare(f"{to}/a"),
    "train": lambda made, to: train(made, f"{to}/a"),
    "evaluate": lambda made, to: on_corpus(mmt.cli.evaluate.main, made, "-o", f"{to}/a", "--mode", "unconditional"),
    "listening": lambda made, to: on_corpus(mmt.cli.evaluate.main, made, "--listening", f"{to}/a"),
    "attention": lambda made, to: on_corpus(mmt.cli.attention.main, made, "-o", f"{to}/a"),
    "model": lambda made, to: mmt.load_model(made / "model").save(to / "a"),
    "ledger": lambda made, to: likelihood.measure(
        mmt.load_model(made / "model"), Corpus(made / "corpus"), ledger=to / "a"
    ),
    "autoencoder": lambda made, to: SparseAutoencoder(8, 16, 4).save(to / "a"),
}
# Files that depend on the time or on their place.
CHANGING = ("provenance.json", "evaluation.json", "report.md", "details.md", "table.csv")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_writer_names_the_file_and_leaves_what_was_there(
    made: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "whole").mkdir()
    WRITERS[kind](made, tmp_path / "whole")
    whole = content(tmp_path / "whole")
    for size in (0, max(map(len, whole.values())) * 9 // 10):
        folder = tmp_path / f"{size}"
        folder.mkdir()
        # Neither a ledger nor an autoencoder is replaced, and an evaluation continues from its ledgers.
        replaced = (
            []
            if size == 0 or kind in ("ledger", "autoencoder")
            else [one for one in whole if "work" not in Path(one).parts]
        )
        for name in replaced:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"old")
        capsys.readouterr()
        with full_disk(size):
            said = outcome(partial(WRITERS[kind], made, folder), capsys)
        found = content(folder)
        if kind == "prepare":  # the next call continues
            assert f"the disk of {folder}/a is full" in said
            found = {name: data for name, data in found.items() if not name.startswith(".a-parts/")}
        else:
            assert f"cannot write {folder}/a" in said
        assert "\n" not in said
        assert "(writing" not in said
        assert not [name for name in found if "/." in f"/{name}"]
        for name, data in found.items():
            if kind == "ledger" or name.endswith(".jsonl"):
                assert data.endswith(b"\n"), name  # whole lines, with times
            elif kind == "train" and name.endswith("config.json"):
                mmt.load_model((folder / name).parent)
            elif kind != "train" and not Path(name).name.startswith(CHANGING):
                assert data in (b"old" if name in replaced else whole[name], whole[name]), name
        if kind != "train":  # which removes the earlier run first
            assert set(replaced) <= set(found)


def outcome(write: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> str:
    """The line that says what is wrong."""
    try:
        assert write() == 1
    except OSError as error:
        return str(error)
    # What a command says before: what it measures, and that few pieces are few.
    return "\n".join(line for line in capsys.readouterr().err.splitlines() if "few: " not in line)
