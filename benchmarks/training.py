"""What a training step costs: the paper's model as mmt trains it against the plain form, and what the loader costs beside it.

    OMP_NUM_THREADS=2 python benchmarks/training.py --corpus data/open -o benchmarks/training.md
    OMP_NUM_THREADS=1 python benchmarks/training.py --corpus data/open --recipe default --pairs 20

Plain: float32, attention as explicit matrices, PyTorch's dropout, windows in the order in which they were drawn, padded to the
longest of their batch. Ours: what `trainer.precision=auto` takes here, attention fused or by blocks, windows of like length
together. Both take the same windows, with the paper's dropout, and each runs in a process of its own. With a CUDA device:
tokens per second, and the share of the card's bf16 limit.

With `--pairs` a training's first steps are taken in turns by networks that begin alike and see the same windows: as mmt trained
before it had attention by blocks of matrix products, rotation in fewer passes and bfloat16 in Muon, and as it trains now.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor

import mmt
from mmt.corpus.windows import Batch, Limits, TrainingBatches, ValidationBatches, collate
from mmt.model.heads import next_written
from mmt.model.network import Attention, FeedForward, Network
from mmt.representation.codes import NOTE
from mmt.training import optimizers
from mmt.training.loss import Losses, losses
from mmt.training.recipe import Recipe, load_recipe
from mmt.training.train import fast_precision

STEPS = 4
# Dense bf16 FLOP per second of some cards, from their makers' data sheets.
LIMITS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "RTX 4090": 165e12}


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--recipe", default="paper")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument(
        "--form", choices=FORMS, help="only this form, its figures as JSON (how the script calls itself)"
    )
    parser.add_argument(
        "--pairs", type=int, metavar="STEPS", help="compare this many steps of a training, before and now"
    )
    parser.add_argument("-o", "--output", type=Path)
    chosen = parser.parse_args()
    if chosen.pairs:
        print(pairs(load_recipe(chosen.recipe), chosen.corpus, chosen.pairs))
        return
    if chosen.form:
        print(json.dumps(measure(chosen.form, load_recipe(chosen.recipe), chosen.corpus)))
        return
    forms = [form for form in FORMS if form != "cuda" or torch.cuda.is_available()]
    # In turns, so that whatever else the machine does falls on all alike.
    found = [{form: _in_own_process(form, chosen) for form in forms} for _ in range(chosen.repeat)]
    text = report(found, load_recipe(chosen.recipe), chosen.corpus)
    print(text)
    if chosen.output:
        chosen.output.write_text(text, encoding="utf-8")


def _in_own_process(form: str, chosen: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--corpus", chosen.corpus, "--recipe", chosen.recipe, "--form", form]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(answer.strip().splitlines()[-1])
    print(form, result, file=sys.stderr, flush=True)
    return result


def measure(form: str, recipe: Recipe, corpus: Path) -> dict[str, float]:
    """Seconds and processor seconds of a step, peak memory in MB, and the share of padding."""
    batches = FORMS[form][0](recipe, corpus)
    device = torch.device("cuda" if form == "cuda" else "cpu")
    before = peak(device)
    step = FORMS[form][1](recipe, device)
    torch.manual_seed(0)
    step(Batch(batches[0].codes[:2, :130], batches[0].lengths[:2].clamp(max=130)).to(device))
    rounds = 20 if form == "cuda" else 1
    started = time.perf_counter(), time.process_time()
    for _ in range(rounds):
        for batch in batches:
            step(batch.to(device))
    if form == "cuda":
        torch.cuda.synchronize()
    wall, processor = time.perf_counter() - started[0], time.process_time() - started[1]
    events, places = (sum(map(int, (b.lengths.sum() for b in batches))), sum(b.codes[..., 0].numel() for b in batches))
    count = rounds * len(batches)
    return {
        "seconds": wall / count,
        "processor": processor / count,
        "memory": peak(device) - before,
        "padding": 1 - events / places,
        "tokens": rounds * events / wall,
    }


def ours(recipe: Recipe, device: torch.device) -> Callable[[Batch], None]:
    """A step as `TrainingModule` takes it."""
    network, optimizer = _network(recipe, device)
    half = fast_precision("cpu" if device.type == "cpu" else "gpu") == "bf16-mixed"

    def step(batch: Batch) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            found = losses(network(batch.codes[:, :-1], targets=next_written(batch.codes)), batch.codes, batch.lengths)
        _learn(network, optimizer, found.per_note)

    return step


def plain(recipe: Recipe, device: torch.device) -> Callable[[Batch], None]:
    """A step in the plain form."""
    Attention.forward = plain_attention  # type: ignore[method-assign]
    FeedForward.forward = plain_feed_forward  # type: ignore[method-assign]
    network, optimizer = _network(recipe, device)

    def step(batch: Batch) -> None:
        found = losses(network(batch.codes[:, :-1], targets=next_written(batch.codes)), batch.codes, batch.lengths)
        _learn(network, optimizer, found.per_note)

    return step


def plain_attention(self: Attention, inputs: Tensor, *, rotation: Any, visible: Any, cache: Any, layer: int) -> Tensor:
    """Attention as it stands in the books."""
    queries, keys, values = self.project(inputs, rotation)
    scores = queries @ keys.transpose(-1, -2) * self.head_dim**-0.5
    later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    weights = F.dropout(scores.masked_fill(later, -torch.inf).softmax(dim=-1), self.dropout, self.training)
    return self.out((weights @ values).transpose(1, 2).reshape(*inputs.shape[:2], -1))  # type: ignore[no-any-return]


def plain_feed_forward(self: FeedForward, inputs: Tensor) -> Tensor:
    """The feed-forward layer, of which all is kept."""
    return self.contract(self.dropout(F.gelu(self.expand(inputs))))  # type: ignore[no-any-return]


def _network(recipe: Recipe, device: torch.device) -> tuple[Network, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = Network(recipe.network).to(device).train()
    return network, torch.optim.Adam(network.parameters(), lr=1e-5, fused=True)


def _learn(network: Network, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()


def pooled(recipe: Recipe, corpus: Path) -> list[Batch]:
    """Batches as mmt draws them: windows of like length together."""
    batches = _drawn(recipe, corpus, STEPS)
    return [batches[step] for step in range(STEPS)]


def unsorted(recipe: Recipe, corpus: Path) -> list[Batch]:
    """The same windows, dealt out by chance."""
    windows = [
        codes[:length].numpy()
        for batch in pooled(recipe, corpus)
        for codes, length in zip(batch.codes, batch.lengths.tolist(), strict=True)
    ]
    order = np.random.default_rng(0).permutation(len(windows)).reshape(STEPS, -1)
    return [collate([windows[place] for place in places]) for places in order]


def _drawn(recipe: Recipe, corpus: Path, pool: int, parts: int = 1) -> TrainingBatches:
    return TrainingBatches(
        mmt.Corpus(corpus, split="train"),
        Limits(recipe.network.context + 1, recipe.representation.beats),
        batch_size=recipe.data.batch_size,
        steps=1000,
        augmentation=recipe.data.augmentation,
        pool=pool,
        parts=parts,
    )


FORMS: dict[
    str, tuple[Callable[[Recipe, Path], list[Batch]], Callable[[Recipe, torch.device], Callable[[Batch], None]]]
] = {
    "plain": (unsorted, plain),
    "ours": (pooled, ours),
    "cuda": (pooled, ours),
}


# How a training on a CPU is compared: its name, whether it takes bfloat16, and whether it is mmt's present form.
PAIRS = {"before, float32": (False, False), "before, bf16-mixed": (True, False), "now, bf16-mixed": (True, True)}


class Learner:
    """A network in training, its optimizer, and the seconds, processor seconds and losses of its steps so far."""

    def __init__(self, recipe: Recipe, half: bool, present: bool) -> None:
        self.recipe, self.half, self.present = recipe, half, present
        torch.manual_seed(recipe.seed)
        self.network = Network(recipe.network).train()
        self.optimizer = optimizers.optimizer_of(self.network, recipe.optimizer, fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, recipe.optimizer.share)
        self.seconds: list[float] = []
        self.processor: list[float] = []
        self.nats: list[float] = []

    def step(self, batches: list[Batch]) -> None:
        """A step of several batches."""
        with self._form():
            self._step(batches)

    def _step(self, batches: list[Batch]) -> None:
        notes = sum(int((batch.codes[:, 1:, 0] == NOTE).sum()) for batch in batches)
        started, total = (time.perf_counter(), time.process_time()), 0.0
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
                nats = self.losses(batch).nats.sum() / notes
            nats.backward()
            total += float(nats.detach())
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.optimizer.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.seconds.append(time.perf_counter() - started[0])
        self.processor.append(time.process_time() - started[1])
        self.nats.append(total)
        self.schedule.step()

    def losses(self, batch: Batch) -> Losses:
        """The summed losses of a batch."""
        return losses(self.network(batch.codes[:, :-1], targets=batch.codes[:, 1:]), batch.codes, batch.lengths)

    def validated(self, batches: ValidationBatches) -> float:
        """The loss per note of a validation in float32."""
        self.network.eval()
        with torch.no_grad():
            found = [self.losses(batches[place]) for place in range(len(batches))]
        return float(sum(found[1:], found[0]).per_note)

    def _form(self) -> ExitStack:
        """What mmt does on CPUs alone was not there before, nor bfloat16 in Muon."""
        form = ExitStack()
        for name in (
            () if self.present else ("model.network.is_on_plain_cpu", "training.optimizers.multiplies_bfloat16")
        ):
            form.enter_context(patch(f"mmt.{name}", lambda _: False))
        return form


def pairs(recipe: Recipe, corpus: Path, steps: int) -> str:
    """The section of the page: events a second of each form, and their losses side by side."""
    parts, limits = recipe.trainer.accumulate, Limits(recipe.network.context + 1, recipe.representation.beats)
    drawn = _drawn(recipe, corpus, 32, parts)
    checks = ValidationBatches(mmt.Corpus(corpus, split="valid"), limits, batch_size=4, windows=16)
    learners = {name: Learner(recipe, *form) for name, form in PAIRS.items()}
    events = 0
    for step in range(1 + steps):
        batches = [drawn[step * parts + part] for part in range(parts)]
        for learner in learners.values():
            learner.step(batches)
        # The first step is slower: it makes room for all that is held.
        events += sum(int(batch.lengths.sum()) for batch in batches) if step else 0
        print(
            step, {n: (round(x.processor[-1], 2), round(x.nats[-1], 4)) for n, x in learners.items()}, file=sys.stderr
        )
    marks = [step for step in (1, steps // 4, steps // 2, 3 * steps // 4, steps) if step]
    lines = [
        f"{steps} steps of {recipe.data.batch_size * parts} windows, {events:,} events, interleaved, "
        f"{torch.get_num_threads()} thread of a processor with {_units()}, torch {torch.__version__}:",
        "",
        "| form | events per second | per processor second | "
        + " | ".join(f"loss {mark}" for mark in marks)
        + " | validation |",
        "|---|---|---|" + "---|" * (len(marks) + 1),
    ]
    for name, found in learners.items():
        speeds = [events / sum(seconds[1:]) for seconds in (found.seconds, found.processor)]
        cells = [f"{speed:,.0f}" for speed in speeds] + [f"{found.nats[mark]:.3f}" for mark in marks]
        lines.append(f"| {name} | {' | '.join(cells)} | {found.validated(checks):.4f} |")
    *former, now = learners.values()
    ratios = [
        f"{name.partition(', ')[2]} {sum(one.seconds[1:]) / sum(now.seconds[1:]):.2f}, by processor seconds "
        f"{sum(one.processor[1:]) / sum(now.processor[1:]):.2f}"
        for name, one in zip(learners, former, strict=False)
    ]
    return "\n".join([*lines, "", f"Before over now: {'; '.join(ratios)}."])


def _units() -> str:
    found: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return next((name for name in ("amx_bf16", "avx512_bf16") if found.get(name)), "no units for bf16")


def peak(device: torch.device) -> float:
    """The most memory that the process has held so far, in MB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def loader(recipe: Recipe, corpus: Path, batches: int = 96) -> tuple[float, float]:
    """Seconds for a batch of the loader, and the share of its places that are padding, over whole pools."""
    drawn = _drawn(recipe, corpus, 32)
    started = time.perf_counter()
    taken = [drawn[step] for step in range(batches)]
    wall = time.perf_counter() - started
    events = sum(int(batch.lengths.sum()) for batch in taken)
    return wall / batches, 1 - events / sum(batch.codes[..., 0].numel() for batch in taken)


def report(found: list[dict[str, dict[str, float]]], recipe: Recipe, corpus: Path) -> str:
    """The page: every round, and the ratios of each."""
    cutting, padding = loader(recipe, corpus)
    lines = [
        "# A training step",
        "",
        f"The paper's model and recipe ({recipe.data.batch_size} windows of at most {recipe.network.context:,} events, dropout "
        f"{recipe.network.dropout}), {STEPS} steps per form and round, {torch.get_num_threads()} threads, "
        f"{os.cpu_count()} cores, torch {torch.__version__}, ours in {fast_precision('cpu')}. "
        "Memory: peak, without what the process used before it made the network.",
        "",
        "| round | form | seconds per step | processor seconds per step | memory, MB | padding |",
        "|---|---|---|---|---|---|",
    ]
    for number, forms in enumerate(found, start=1):
        lines += [
            f"| {number} | {name} | {f['seconds']:.2f} | {f['processor']:.2f} | {f['memory']:,.0f} | {f['padding']:.1%} |"
            for name, f in forms.items()
        ]
    lines += [
        "",
        "Plain over ours: " + "; ".join(_ratios(number, forms) for number, forms in enumerate(found, start=1)) + ".",
    ]
    step = min(forms["ours"]["seconds"] for forms in found)
    lines += [
        "",
        f"The loader cuts a batch in {1000 * cutting:.1f} ms, {cutting / step:.1%} of a step; {padding:.1%} of it is "
        "padding (pools of 32 steps).",
    ]
    if "cuda" in found[0]:
        lines += ["", _on_the_card(max(forms["cuda"]["tokens"] for forms in found), recipe)]
    return "\n".join(lines) + "\n"


def _ratios(number: int, forms: dict[str, dict[str, float]]) -> str:
    one, other = forms["plain"], forms["ours"]
    parts = (f"{what} {one[what] / other[what]:.1f}" for what in ("seconds", "processor", "memory"))
    return f"round {number}: {', '.join(parts)}"


def _on_the_card(tokens: float, recipe: Recipe) -> str:
    """Tokens a second, and what share of the card's limit the multiplications of forward and backward pass are."""
    config, name = recipe.network, torch.cuda.get_device_name()
    weights = sum(
        p.numel() for n, p in Network(config).named_parameters() if p.ndim > 1 and not n.startswith(("embed", "pos"))
    )
    # Six operations a weight; twelve a head dimension and key, half of which lie in the future.
    each = 6 * weights + 6 * config.layers * config.heads * config.head_dim * config.context
    limit = next((limit for card, limit in LIMITS.items() if card in name), None)
    share = f"{tokens * each / limit:.1%} of its bf16 limit" if limit else "its bf16 limit is not in the script's list"
    return f"{name}: {tokens:,.0f} events a second; {tokens * each / 1e12:.1f} TFLOP a second, {share}."


if __name__ == "__main__":
    main()
