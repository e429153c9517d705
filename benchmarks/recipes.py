"""Cost of the augmentations of the recipe `full` on plain validation windows: a small network is trained with and without them.

    python benchmarks/recipes.py --corpus data/open-drums --steps 4000 -o benchmarks/recipes.md

The loss is in nats per note, without grammar masks, over all plain windows of the validation split: no given notes, no told
length, no substitution, no transposition. Each run is a file in the folder `recipes` next to this script; finished runs are not
repeated.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mmt
from mmt.analysis.report import table
from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Limits, TrainingBatches, ValidationBatches
from mmt.representation.codes import FIELDS
from mmt.training.loss import Losses, losses
from mmt.training.recipe import Recipe, load_recipe

# A network that learns from ten million events in half an hour on one core.
SMALL = [
    *("network.dim=128", "network.heads=2", "network.layers=4", "network.context=512", "optimizer.average=null"),
    *("data.batch_size=8", "trainer.accumulate=1", "trainer.samples=false", "trainer.precision=auto"),
    *("data.validation_windows=192", "optimizer.warmup_steps=100", "optimizer.learning_rate=4e-3"),
    *("data.augmentation.start_share=0.2", "data.augmentation.min_beats=0", "data.augmentation.length_exponent=0.5"),
]
# The second Polish collection has half of the pieces, most of them songs and hymns.
WEIGHTS = 'data.weights={"polish2/*": 0.4}'
# Without augmentations and weights.
PLAIN = [
    *("data.augmentation.given_share=0.0", "data.augmentation.length_share=0.0"),
    *("data.augmentation.substitution_share=0.0", "data.weights={}"),
]
# The shares of an earlier `full.yaml`, as the runs were made.
SHARES = [
    *("data.augmentation.given_share=0.33", "data.augmentation.length_share=0.5"),
    "data.augmentation.substitution_share=0.33",
]
TRIALS = {"plain": PLAIN, "the recipe": [*SHARES, WEIGHTS]}
RUNS = Path(__file__).with_suffix("")
PAGE = """# Trials of the recipe

Made by `benchmarks/recipes.py`. `the recipe` has the shares of an earlier `configs/full.yaml` (given notes 0.33, lengths 0.5,
substitution 0.33), and a weight of 0.4 for `polish2/`; `plain` has neither. The network is small (128 wide, 4 layers, context
512), so these losses can be compared only with each other.

{steps:,} steps, {notes:,} validation notes:

{table}
"""


def train(overrides: list[str], corpus: Path, steps: int, seed: int) -> dict[str, Any]:
    """Train a network; return its losses, the number of events of its windows, and its CPU seconds."""
    schedule = [
        f"trainer.max_steps={steps}",
        f"trainer.validate_every={steps // 4}",
        f"optimizer.decay_start={steps // 2}",
        f"optimizer.decay_end={steps}",
        f"seed={seed}",
    ]
    recipe = load_recipe("full", [*SMALL, *schedule, *overrides])
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        mmt.train(recipe, corpus, Path(folder) / "run")
        seconds = time.process_time() - begun
        model = mmt.load_model(Path(folder) / "run" / "last")
        log = next((Path(folder) / "run" / "log").glob("*/metrics.csv")).read_text().splitlines()
    column = log[0].split(",").index("valid/loss")
    found = loss_of(model, Corpus(corpus, split="valid"))
    return {
        "overrides": overrides,
        "events": events_of(recipe, corpus),
        "curve": [float(row.split(",")[column]) for row in log[1:] if row.split(",")[column]],
        "loss": float(found.per_note),
        "fields": dict(zip(FIELDS, found.per_field.tolist(), strict=True)),
        "notes": int(found.notes),
        "cpu_seconds": round(seconds),
    }


@torch.inference_mode()
def loss_of(model: mmt.Model, corpus: Corpus) -> Losses:
    """The losses on all plain windows of a corpus."""
    limits = Limits(model.network.config.context + 1, model.representation.beats)
    batches = ValidationBatches(corpus, limits, batch_size=16, representation=model.representation)
    parts = [
        losses(model.network(batch.codes[:, :-1], targets=batch.codes[:, 1:]), batch.codes, batch.lengths)
        for batch in (batches[index] for index in range(len(batches)))
    ]
    return sum(parts[1:], start=parts[0])


def events_of(recipe: Recipe, corpus: Path) -> int:
    """The number of events in all windows of a training, estimated from 256 batches."""
    batches = TrainingBatches(
        Corpus(corpus, split="train", exclude=recipe.data.exclude),
        Limits(recipe.network.context + 1, recipe.representation.beats),
        batch_size=recipe.data.batch_size,
        steps=recipe.trainer.max_steps,
        augmentation=recipe.data.augmentation,
        weights=recipe.data.weights,
        representation=recipe.representation,
        seed=recipe.seed,
        parts=recipe.trainer.accumulate,
    )
    places = np.linspace(0, len(batches) - 1, min(len(batches), 256)).astype(int)
    return round(np.mean([int(batches[int(place)].lengths.sum()) for place in places]) * len(batches))


def page(runs: dict[str, list[dict[str, Any]]], steps: int) -> str:
    """The page: a row for each trial, with the loss of each seed."""
    plain = np.mean([run["loss"] for run in runs["plain"]])
    rows = [["trial", "loss of each seed", "to plain", *FIELDS[1:], "events", "CPU s"]]
    for name, found in runs.items():
        change = 100 * (np.mean([run["loss"] for run in found]) / plain - 1)
        fields = [f"{found[0]['fields'][field]:.3f}" for field in FIELDS[1:]]
        losses = ", ".join(f"{run['loss']:.3f}" for run in found)
        size = f"{found[0]['events'] / 1e6:.1f} M"
        rows.append([name, losses, f"{change:+.1f} %", *fields, size, f"{found[0]['cpu_seconds']:,}"])
    return PAGE.format(steps=steps, notes=runs["plain"][0]["notes"], table=table(rows))


def main() -> None:
    """Train what is not trained yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in TRIALS}
    for seed in chosen.seeds:
        for name, overrides in TRIALS.items():
            file = RUNS / f"{name}.{chosen.steps}.{seed}.json"
            if not file.exists():
                file.write_text(json.dumps(train(overrides, chosen.corpus, chosen.steps, seed), indent=1))
            runs[name].append(json.loads(file.read_text()))
    chosen.output.write_text(page(runs, chosen.steps), encoding="utf-8")


if __name__ == "__main__":
    main()
