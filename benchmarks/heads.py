"""Loss of different output heads, and of other changes to the network or its training, on small networks.

    python benchmarks/heads.py run independent chain mixed attention --corpus data/open -o benchmarks/heads
    python benchmarks/heads.py run independent mixed --seeds 1 2 --corpus data/open -o benchmarks/heads
    python benchmarks/heads.py table benchmarks/heads -o benchmarks/heads.md

A trial is a network and a way to train it. All trials with the same seed have the same windows in the same order, and networks of
the same size within 1 %. The loss is in nats per note, without grammar masks, over windows of the validation split. Each run is
one file; finished runs are not repeated. The corpus needs splits by work.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor, nn

from mmt.analysis.report import table
from mmt.corpus.augmentation import Augmentation
from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Batch, Limits, TrainingBatches, ValidationBatches
from mmt.model.config import NetworkConfig
from mmt.model.heads import HEADS, IndependentHeads, next_written
from mmt.model.network import Network
from mmt.representation.codes import FIELDS
from mmt.training.loss import Losses, losses
from mmt.training.optimizers import optimizer_of
from mmt.training.recipe import Optimizer

BATCH, CONTEXT, BEATS = 4, 512, 256
SMALL = NetworkConfig(dim=192, layers=4, heads=3, head_dim=64, context=CONTEXT, positions="rotary", dropout=0.0)
RATE = Optimizer("adamw", 2e-3, (0.9, 0.98), 0.05, 1.0, 100, 100, 100, 0.0)  # falls over the second half
MIX = Augmentation(pitch_shift=(-5, 6), start_share=0.2, length_exponent=0.5)


class AttentionHeads(nn.Module):
    """One transformer block over the fields of an event; the input of each field is the state and the previous field."""

    reads_earlier_fields = True

    def __init__(self, dim: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.known = nn.ModuleList(nn.Embedding(size, dim) for size in sizes[:-1])
        self.places = nn.Parameter(torch.randn(len(sizes), dim) * dim**-0.5)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.queries_keys_values = nn.Linear(dim, 3 * 128, bias=False)
        self.out = nn.Linear(128, dim)
        self.expand, self.contract = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)
        self.fields = nn.ModuleList(nn.Linear(dim, size) for size in sizes)

    def forward(self, hidden: Tensor, events: Tensor) -> list[Tensor]:
        known = [torch.zeros_like(hidden)]
        known += [embed(events[..., index]) for index, embed in enumerate(self.known)]
        stream = (torch.stack(known, dim=-2) + hidden[..., None, :] + self.places).flatten(0, -3)
        split = self.queries_keys_values(self.norms[0](stream)).view(len(stream), 6, 3, 4, 32)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        later = torch.ones(6, 6, dtype=torch.bool).triu(1)
        scores = (queries @ keys.transpose(-1, -2) * 32**-0.5).masked_fill(later, -torch.inf)
        stream = stream + self.out((scores.softmax(-1) @ values).transpose(1, 2).flatten(2))
        stream = stream + self.contract(F.gelu(self.expand(self.norms[1](stream))))
        stream = self.norms[2](stream).view(*hidden.shape[:-1], 6, -1)
        return [head(stream[..., index, :]) for index, head in enumerate(self.fields)]


def _without_means(network: Network) -> None:
    """Replace LayerNorm by RMSNorm."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.LayerNorm):
                setattr(module, name, nn.RMSNorm(child.normalized_shape, eps=child.eps))


def _small_normal_weights(network: Network) -> None:
    """Initialise blocks and embeddings from N(0, 0.02); scale the maps into the residual stream down by depth."""
    for name, weights in network.named_parameters():
        if weights.ndim > 1 and name.startswith(("embeddings", "blocks")):
            adds = name.endswith(("attention.out.weight", "contract.weight"))
            nn.init.normal_(weights, std=0.02 * ((2 * network.config.layers) ** -0.5 if adds else 1.0))


PAGE = """# Heads, and what else lowers the loss

Small networks, trained in the same way on `data/open` (see `data/README.md`): 4 windows of at most 512 events per step,
AdamW, a learning rate that is constant and then falls to 0 over the second half, float32, one core. Loss: nats per note
over all {notes:,} notes of the validation split, without masks; by field for the first seed. Made by
`benchmarks/heads.py`, which describes each trial.

{steps:,} steps:

{long}

The loss of the first seed during training (on a quarter of the windows, except for the last column):

{curves}

{few:,} steps:

{short}

Attention over the fields has the lowest loss, but a training step takes 1.6 times as long, and generation would run its
block six times per event. Of the other heads, which cost almost nothing, mixed heads have the lowest loss, by no more
than the difference between seeds; they are the default. (The long runs of chain and attention were made on another
processor; there, mixed heads had the same loss after 625 steps, to the third decimal.)

## What else

One change at a time to mixed heads, {few:,} steps, the first seed. `instrument before pitch` is the order type, beat,
position, instrument, pitch, duration.

{others}

One change at a time to mixed heads with Muon at a learning rate of 4e-3 and half of each head rotated by time,
{later_steps} steps, the first seed.

{later}
"""


@dataclass(frozen=True)
class Trial:
    """One network and one way to train it."""

    heads: Callable[[int, Sequence[int]], nn.Module] = IndependentHeads
    network: NetworkConfig = SMALL
    optimizer: Optimizer = RATE
    mix: Augmentation = MIX
    order: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    """The fields of the codes in the order in which they are predicted."""
    change: Callable[[Network], None] | None = None
    """Applied to the network before training."""
    falls_from: float = 0.5
    """Share of the steps after which the learning rate falls, to 0 at the last step."""


MIXED = Trial(HEADS["mixed"], replace(SMALL, dim=190))
KINDS: dict[str, Trial] = {
    "independent": Trial(network=replace(SMALL, dim=208)),
    "chain": Trial(HEADS["chain"]),
    "mixed": MIXED,
    "attention": Trial(AttentionHeads, replace(SMALL, dim=189)),
}
OTHERS: dict[str, Trial] = {
    "instrument before pitch": replace(MIXED, order=(0, 1, 2, 5, 3, 4)),
    "half of each head rotated by time": replace(MIXED, network=replace(MIXED.network, positions="time")),
    "rate 4e-3": replace(MIXED, optimizer=replace(RATE, learning_rate=4e-3)),
    "muon": replace(MIXED, optimizer=replace(RATE, name="muon")),
    "muon, rate 4e-3": replace(MIXED, optimizer=replace(RATE, name="muon", learning_rate=4e-3)),
}
MUON = replace(RATE, name="muon", learning_rate=4e-3)
LATE = replace(MIXED, network=replace(MIXED.network, positions="time"), optimizer=MUON)
NORMALISED = replace(LATE.network, qk_norm=True)
LATER: dict[str, Trial] = {
    "muon, rate 4e-3, half of each head rotated by time": LATE,
    "rate falls from the start": replace(LATE, falls_from=0.0),
    "no weight decay": replace(LATE, optimizer=replace(MUON, weight_decay=0.0)),
    "dropout 0.1": replace(LATE, network=replace(LATE.network, dropout=0.1)),
    "RMS norms": replace(LATE, change=_without_means),
    "queries and keys normalised": replace(LATE, network=NORMALISED),
    "residual branches initialised to zero": replace(LATE, network=replace(LATE.network, zero_init=True)),
    "queries and keys normalised, branches zero": replace(LATE, network=replace(NORMALISED, zero_init=True)),
    "queries and keys normalised, rate 8e-3": replace(
        LATE, network=NORMALISED, optimizer=replace(MUON, learning_rate=8e-3)
    ),
    "small normal initial weights": replace(LATE, change=_small_normal_weights),
    "same weight for each note": replace(LATE, mix=replace(MIX, length_exponent=1.0)),
}
TRIALS = KINDS | OTHERS | LATER


def train(trial: Trial, folder: Path, steps: int, seed: int) -> dict[str, Any]:
    """Train a network; return its size, validation losses and CPU time."""
    torch.manual_seed(seed)
    sizes = tuple(SMALL.sizes[field] for field in trial.order)
    network = Network(replace(trial.network, sizes=sizes))
    network.heads = trial.heads(trial.network.dim, sizes)
    if trial.change is not None:
        trial.change(network)
    limits = Limits(CONTEXT + 1, BEATS)
    batches = TrainingBatches(
        Corpus(folder, split="train"), limits, batch_size=BATCH, steps=steps, augmentation=trial.mix, seed=seed
    )
    checks = ValidationBatches(Corpus(folder, split="valid"), limits, batch_size=16)
    chosen = replace(
        trial.optimizer, decay_start=max(round(trial.falls_from * steps), RATE.warmup_steps), decay_end=steps
    )
    optimizer = optimizer_of(network, chosen)
    curve, begun = {}, time.process_time()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = chosen.learning_rate * chosen.share(step)
        found = _losses(network.train(), batches[step], trial.order)
        (found.nats.sum() / found.notes).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), chosen.clip)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % (steps // 4) == 0:
            last = validate(network.eval(), checks, trial.order, every=1 if step + 1 == steps else 4)
            curve[step + 1] = float(last.per_note)
            print(f"{step + 1}: {curve[step + 1]:.4f} ({time.process_time() - begun:.0f} s)", flush=True)
    per_field = np.zeros(6)
    per_field[list(trial.order)] = last.per_field.numpy()
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "curve": curve,
        "fields": dict(zip(FIELDS, per_field.round(4).tolist(), strict=True)),
        "notes": int(last.notes),
        "cpu_seconds": round(time.process_time() - begun),
    }


@torch.inference_mode()
def validate(network: Network, checks: ValidationBatches, order: tuple[int, ...], every: int) -> Losses:
    """The losses over every `every`-th batch of the split."""
    found = [_losses(network, checks[index], order) for index in range(0, len(checks), every)]
    return sum(found[1:], start=found[0])


def _losses(network: Network, batch: Batch, order: tuple[int, ...]) -> Losses:
    codes = batch.codes[..., list(order)]
    logits = network(codes[:, :-1], targets=next_written(batch.codes)[..., list(order)])
    # `losses` expects the fields in the order of the codes.
    return losses([logits[order.index(field)] for field in range(6)], batch.codes, batch.lengths)


def report(folder: Path) -> str:
    """The page: heads at equal size in long and short runs, their loss curves, and the other changes."""
    found = {name: _runs(folder, name) for name in TRIALS}
    few, steps = min(steps for steps, _ in found["mixed"]), max(steps for steps, _ in found["mixed"])
    curve = {name: found[name][steps, 0]["curve"] for name in KINDS if (steps, 0) in found[name]}
    late = next(iter(LATER))
    later_steps = min(steps for steps, _ in found[late])
    return PAGE.format(
        steps=steps,
        few=few,
        notes=found["mixed"][few, 0]["notes"],
        long=_kinds(found, steps),
        short=_kinds(found, few),
        curves=table(
            [
                ["heads", *(f"{step} steps" for step in curve["mixed"])],
                *([name, *(f"{loss:.3f}" for loss in losses.values())] for name, losses in curve.items()),
            ]
        ),
        others=_changes(found, "mixed", OTHERS, few),
        later_steps=later_steps,
        later=_changes(found, late, LATER, later_steps),
    )


def _changes(
    found: dict[str, dict[tuple[int, int], dict[str, Any]]], base: str, changes: Iterable[str], steps: int
) -> str:
    """The table of the changes to `base` that were trained for this number of steps."""
    least = _loss(found[base][steps, 0])
    losses = {name: _loss(found[name][steps, 0]) for name in changes if name != base and (steps, 0) in found[name]}
    rows = [(name, f"{loss:.3f}", f"{100 * (loss / least - 1):+.1f} %") for name, loss in losses.items()]
    return table([("change", "loss", "relative to none"), ("none", f"{least:.3f}", ""), *rows])


def _kinds(found: dict[str, dict[tuple[int, int], dict[str, Any]]], steps: int) -> str:
    """The table of all kinds of heads that were trained for this number of steps."""
    seeds = {name: [run for (length, _), run in sorted(found[name].items()) if length == steps] for name in KINDS}
    least = np.mean([_loss(run) for run in seeds["independent"]])
    rows = [
        (
            name,
            f"{runs[0]['parameters']:,}",
            ", ".join(f"{_loss(run):.3f}" for run in runs),
            f"{100 * (np.mean([_loss(run) for run in runs]) / least - 1):+.1f} %",
            *(f"{runs[0]['fields'][field]:.3f}" for field in FIELDS[1:]),
            f"{runs[0]['cpu_seconds']:,}",
        )
        for name, runs in seeds.items()
        if runs
    ]
    return table([("heads", "parameters", "loss of each seed", "relative to independent", *FIELDS[1:], "CPU s"), *rows])


def _runs(folder: Path, name: str) -> dict[tuple[int, int], dict[str, Any]]:
    """The finished runs of a trial, by steps and seed."""
    files = {tuple(file.name.split(".")[-3:-1]): file for file in folder.glob(f"{name}.*.json")}
    return {(int(steps), int(seed)): json.loads(file.read_text()) for (steps, seed), file in files.items()}


def _loss(run: dict[str, Any]) -> float:
    return float(list(run["curve"].values())[-1])


def main() -> None:
    """Run trials, or make the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    run, page = kinds.add_parser("run"), kinds.add_parser("table")
    run.add_argument("trials", nargs="+", choices=TRIALS)
    run.add_argument("--steps", type=int, default=2_000)
    run.add_argument("--seeds", nargs="+", type=int, default=[0])
    run.add_argument("--corpus", type=Path, required=True)
    page.add_argument("folder", type=Path)
    for one in (run, page):
        one.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    if chosen.kind == "table":
        chosen.output.write_text(report(chosen.folder), encoding="utf-8")
        return
    chosen.output.mkdir(parents=True, exist_ok=True)
    for seed in chosen.seeds:
        for name in chosen.trials:
            file = chosen.output / f"{name}.{chosen.steps}.{seed}.json"
            if not file.exists():
                print(name, seed, flush=True)
                file.write_text(json.dumps(train(TRIALS[name], chosen.corpus, chosen.steps, seed), indent=1))


if __name__ == "__main__":
    main()
