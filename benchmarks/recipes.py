"""Trials of the training recipe: one change at a time, on a smaller network, at equal numbers of windows.

    python benchmarks/recipes.py run plain options --corpus data/open-drums --steps 2400 --seeds 0 1 -o benchmarks/recipes
    python benchmarks/recipes.py table benchmarks/recipes -o benchmarks/recipes.md

A trial is the recipe `full` with some entries changed, trained by `mmt.train`. The loss is per note, in nats, without grammar
masks, over all plain windows of the validation split: no given notes, no told length, no substitution, no transposition. So it
tells what an augmentation costs the plain task. Each run is a file of the folder; a run that is there is not run again.
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
from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Limits, TrainingBatches, ValidationBatches
from mmt.representation.codes import FIELDS
from mmt.training.loss import Losses, losses
from mmt.training.recipe import Recipe, load_recipe

# A network that sees ten million events in half an hour on one core.
SMALL = [
    *("network.dim=128", "network.heads=2", "network.layers=4", "network.context=512", "optimizer.average=null"),
    *("data.batch_size=8", "trainer.accumulate=1", "trainer.samples=false", "trainer.precision=auto"),
    *("data.validation_windows=192", "optimizer.warmup_steps=100"),
]
# The second Polish collection holds half of the pieces, most of them songs and hymns.
WEIGHTS = 'data.weights={"polish2/*": 0.4}'
# All that the recipe adds to plain windows is off.
PLAIN = [
    *("data.augmentation.given_share=0.0", "data.augmentation.length_share=0.0"),
    *("data.augmentation.substitution_share=0.0", "data.weights={}"),
]
TRIALS: dict[str, list[str]] = {
    "plain": PLAIN,
    "given notes in a third": [*PLAIN, "data.augmentation.given_share=0.33"],
    "given notes in two thirds": [*PLAIN, "data.augmentation.given_share=0.66"],
    "lengths told in half": [*PLAIN, "data.augmentation.length_share=0.5"],
    "source weights": [*PLAIN[:-1], WEIGHTS],
    "substitution in a third": [*PLAIN, "data.augmentation.substitution_share=0.33"],
    "given notes, lengths": [
        *PLAIN, "data.augmentation.given_share=0.33", "data.augmentation.length_share=0.5",
    ],
    "the recipe": [WEIGHTS],
    "dropout 0.1": [WEIGHTS, "network.dropout=0.1"],
    "every note alike": [*PLAIN, "data.augmentation.length_exponent=1.0"],
}  # fmt: skip


PAGE = """# Trials of the recipe

Made by `benchmarks/recipes.py`, which describes each trial. `the recipe` has the shares of `configs/full.yaml`, and a
weight of 0.4 for `polish2/`; `plain` has neither. The network is small (128 wide, 4 layers, context 512), so these losses
can be compared only with each other.

"""


def train(overrides: list[str], corpus: Path, steps: int, seed: int) -> dict[str, Any]:
    """Train one trial; returns its losses, the number of events that it has seen, and its processor seconds."""
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
    """How many events the windows of a training hold."""
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


def table(folder: Path) -> str:
    """The page: a row for each trial, with the loss of each seed."""
    runs: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for file in sorted(folder.glob("*.json")):
        name, steps, _, _ = file.name.rsplit(".", 3)
        runs.setdefault((int(steps), name), []).append(json.loads(file.read_text()))
    parts = []
    for steps in sorted({steps for steps, _ in runs}, reverse=True):
        plain = np.mean([run["loss"] for run in runs[steps, "plain"]])
        rows = [["trial", "loss of each seed", "to plain", *FIELDS[1:], "events", "CPU s"], ["---"] * 9]
        for name in TRIALS:
            if found := runs.get((steps, name)):
                rows.append(
                    [
                        name,
                        ", ".join(f"{run['loss']:.3f}" for run in found),
                        f"{100 * (np.mean([run['loss'] for run in found]) / plain - 1):+.1f} %",
                        *(f"{found[0]['fields'][field]:.3f}" for field in FIELDS[1:]),
                        f"{found[0]['events'] / 1e6:.1f} M",
                        f"{found[0]['cpu_seconds']:,}",
                    ]
                )
        lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        parts.append(f"{steps:,} steps of {runs[steps, 'plain'][0]['notes']:,} validation notes:\n\n{lines}\n")
    return PAGE + "\n".join(parts)


def main() -> None:
    """Run trials, or make the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    run, page = kinds.add_parser("run"), kinds.add_parser("table")
    run.add_argument("trials", nargs="+", choices=TRIALS)
    run.add_argument("--steps", type=int, default=2_400)
    run.add_argument("--seeds", nargs="+", type=int, default=[0])
    run.add_argument("--corpus", type=Path, required=True)
    page.add_argument("folder", type=Path)
    for one in (run, page):
        one.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    if chosen.kind == "table":
        chosen.output.write_text(table(chosen.folder), encoding="utf-8")
        return
    chosen.output.mkdir(parents=True, exist_ok=True)
    for seed in chosen.seeds:
        for name in chosen.trials:
            file = chosen.output / f"{name}.{chosen.steps}.{seed}.json"
            if not file.exists():
                found = train(TRIALS[name], chosen.corpus, chosen.steps, seed)
                file.write_text(json.dumps(found, indent=1))
                print(name, seed, found["loss"], flush=True)


if __name__ == "__main__":
    main()
