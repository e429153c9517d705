"""Training with the windows and the loss of the original code, on a folder that it prepared."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)

import mmt
from mmt.corpus.original_windows import OriginalValidationBatches
from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Limits
from mmt.representation.codes import PAPER
from mmt.representation.notes import note_table, raw_notes
from mmt.training.recipe import load_recipe
from mmt.training.train import train


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pieces for training and two for validation, in the format of the original code."""
    (tmp_path / "theirs" / "notes").mkdir(parents=True)
    programs = np.array([instrument.program for instrument in PAPER.instruments])
    for number, path in enumerate(sorted(Path("data/tiny").glob("*.mid"))):
        table = note_table(raw_notes(mmt.read(path)))[0]
        columns = [table[name] for name in ("beat", "position", "pitch", "duration")]
        rows = np.stack([*columns, programs[table["instrument"] - 1]], axis=1)
        np.save(tmp_path / "theirs" / "notes" / f"{number}.npy", rows)
    for split, names in (("train", "0\n1\n"), ("valid", "2\n1\n0\n")):
        (tmp_path / "theirs" / f"{split}-names.txt").write_text(names)
    return tmp_path / "theirs"


def test_the_validation_loss_equals_that_of_the_original_code(folder: Path, tmp_path: Path) -> None:
    recipe = load_recipe(
        "tiny", ["compat=authors", "trainer.max_steps=3", "trainer.validate_every=3", "data.batch_size=2"]
    )
    best = train(recipe, folder, tmp_path / "run")
    (log,) = (tmp_path / "run" / "log").rglob("metrics.csv")
    logged = [float(row["valid/loss"]) for row in csv.DictReader(log.read_text().splitlines()) if row["valid/loss"]]
    network = mmt.load_model(best).network
    batches = OriginalValidationBatches(
        Corpus(folder, split="valid"), Limits(recipe.network.context, recipe.representation.beats), batch_size=2
    )
    losses = []
    for index in range(2):
        codes, lengths = batches[index].codes, batches[index].lengths
        mask = torch.arange(codes.shape[1])[None] < lengths[:, None]
        with torch.no_grad():
            logits = network(codes[:, :-1], mask[:, :-1])
        losses.append(sum(float(F.cross_entropy(field.mT, codes[:, 1:, place])) for place, field in enumerate(logits)))
    assert logged[-1] == pytest.approx(np.mean(losses), abs=1e-4)


def test_compat_must_be_named_and_excludes_other_augmentation() -> None:
    assert load_recipe("paper").compat is None
    assert load_recipe("paper", ["compat=authors"]).compat == "authors"
    with pytest.raises(ValueError, match="compat is 'author'; it must be authors, or null"):
        load_recipe("paper", ["compat=author"])
    for entry in ("data.augmentation.start_share=0.5", "data.validation_windows=10", "data.weights={'*': 2}"):
        with pytest.raises(ValueError, match="supports no augmentation but pitch_shift, no weights and no"):
            load_recipe("paper", ["compat=authors", entry])
