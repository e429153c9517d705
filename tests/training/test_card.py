"""A checkpoint lists the composers and sources of its training data, and the excluded ones."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mmt
from mmt.cli import train as command
from mmt.corpus.pieces import write_pieces
from mmt.corpus.storage import Corpus
from mmt.model.provenance import software
from mmt.training.card import describe
from mmt.training.train import train
from runs import quiet_lightning, tiny

pytestmark = quiet_lightning
ONE = ["trainer.max_steps=1", "trainer.validate_every=1"]


@pytest.fixture(scope="module")
def named(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The canons, with composers, sources and licences."""

    folder = tmp_path_factory.mktemp("named") / "canons"
    shutil.copytree(corpus, folder)
    pieces = Corpus(corpus).pieces
    written = [
        replace(
            piece, composer=("Byrd", "Tallis", "")[place % 3], source="a library", licence=("CC0-1.0", "")[place % 2]
        )
        for place, piece in enumerate(pieces)
    ]
    write_pieces(folder / "pieces.csv", written)
    return folder


def counts(folder: Path, name: str, **arguments: object) -> dict[str, int]:
    found: dict[str, int] = {}
    for piece in Corpus(folder, split="train", **arguments).pieces:  # type: ignore[arg-type]
        found[getattr(piece, name)] = found.get(getattr(piece, name), 0) + 1
    return found


def test_the_card_lists_composers_sources_and_licences(named: Path, tmp_path: Path) -> None:
    best = train(tiny(*ONE), named, tmp_path / "run")
    data, card = mmt.load_model(best).training["data"], (best / "MODEL_CARD.md").read_text()
    for name in ("composer", "source", "licence"):
        assert data[f"{name}s"] == counts(named, name)
        assert all(f"- {value or 'not stated'}: {count} piece" in card for value, count in counts(named, name).items())
    assert f"{data['pieces']} pieces, {data['notes']} notes in the training split" in card
    assert data["excluded"] == []
    assert "Left out" not in card


def test_a_checkpoint_holds_the_versions_that_it_was_made_with(named: Path, tmp_path: Path) -> None:
    best = train(tiny(*ONE, "seed=7"), named, tmp_path / "run")
    config = json.loads((best / "config.json").read_text())
    assert config["software"] == software()
    assert config["software"]["mmt"] == mmt.__version__
    training = config["training"]
    assert training["seed"] == 7
    assert training["data"]["sha256"] == Corpus(named, split="train").sha256
    assert training["data"]["validation_sha256"] == Corpus(named, split="valid").sha256
    # A model that is saved again has the current version.
    mmt.new_model("tiny").save(tmp_path / "new")
    assert json.loads((tmp_path / "new" / "config.json").read_text())["software"] == software()


def test_a_training_does_not_resume_with_other_notes(named: Path, tmp_path: Path) -> None:
    train(tiny(*ONE), named, tmp_path / "run")
    shutil.copytree(named, tmp_path / "other")
    notes = np.load(named / "notes.npy")
    notes["pitch"] += 1
    np.save(tmp_path / "other" / "notes.npy", notes)
    with pytest.raises(ValueError, match="has learned from other notes than this corpus has"):
        train(tiny("trainer.max_steps=2"), tmp_path / "other", tmp_path / "run", resume=True)


def test_the_card_names_the_windows_of_its_loss(named: Path, tmp_path: Path) -> None:
    whole = train(tiny(*ONE), named, tmp_path / "whole")
    part = train(tiny(*ONE, "data.validation_windows=2"), named, tmp_path / "part")
    count = mmt.load_model(whole).training["validated_on"]["windows"]
    assert mmt.load_model(whole).training["validated_on"] == {"windows": count, "all_windows": count}
    assert mmt.load_model(part).training["validated_on"] == {"windows": 2, "all_windows": count}
    for folder, words in ((whole, f"all {count} windows"), (part, f"2 of the {count} windows, spread evenly,")):
        assert f"Loss on {words} of the validation split: " in (folder / "MODEL_CARD.md").read_text()


def test_excluded_composers_are_in_no_split_and_listed_in_the_card(named: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert command.main(["tiny", *ONE, "--corpus", str(named), "-o", str(run), "--exclude", "byrd", "--quiet"]) == 0
    data, card = mmt.load_model(run / "best").training["data"], (run / "best" / "MODEL_CARD.md").read_text()
    assert data["composers"] == counts(named, "composer", exclude=["byrd"])
    assert "Byrd" not in data["composers"]
    assert data["excluded"] == ["byrd"]
    assert "Left out on purpose: byrd." in card
    config = json.loads((run / "best" / "config.json").read_text())
    assert config["training"]["recipe"]["data"]["exclude"] == ["byrd"]


def test_a_card_includes_the_data_of_the_initial_model(named: Path, corpus: Path, tmp_path: Path) -> None:
    first = train(tiny(*ONE), named, tmp_path / "first")
    second = train(tiny(*ONE), corpus, tmp_path / "second", start_from=first)
    third = train(tiny(*ONE), corpus, tmp_path / "third", start_from=second)
    card = (third / "MODEL_CARD.md").read_text()
    assert card.count("It began with the weights of best.") == 2
    assert "- Tallis:" in card
    # The licence of the canons themselves is unknown.
    assert "No licence is stated" in card


def test_the_card_lists_the_largest_sources_and_sums_the_rest(corpus: Path, tmp_path: Path) -> None:
    piece = Corpus(corpus, split="train").pieces[0]
    shutil.copytree(corpus, tmp_path / "corpus")
    numbers = [*range(1500), 7]
    write_pieces(tmp_path / "corpus" / "pieces.csv", [replace(piece, source=f"site {number}") for number in numbers])
    sources = describe(Corpus(tmp_path / "corpus"))["sources"]
    assert next(iter(sources.items())) == ("site 7", 2)
    assert sum(sources.values()) == 1501
    assert len(sources) == 1001


@pytest.mark.parametrize(("pattern", "said"), [("Josquin", "'Josquin' excludes nothing"), ("*", "no piece left")])
def test_a_pattern_that_matches_nothing_or_everything_is_refused(
    named: Path, tmp_path: Path, pattern: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said.replace("*", r"\*")):
        train(tiny(*ONE, f"data.exclude=['{pattern}']"), named, tmp_path / "run")
    assert not (tmp_path / "run").exists()
