"""Time and memory of a training step as mmt trains and in a plain form, and the time of the data loader.

    OMP_NUM_THREADS=2 python benchmarks/training.py --corpus data/open -o benchmarks/training.md

Plain: float32, attention as explicit matrices, windows in the order in which they were drawn, padded to the longest of their
batch. Ours: the precision of `trainer.precision=auto`, fused or blocked attention, windows of similar length
together. Fused: ours without the special code for CPUs, thus with PyTorch's fused attention. All have the same windows and the
paper's dropout, and each runs in its own process. With a CUDA device: tokens per second, and the share of the card's bf16 limit.
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
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from common import write_page
from torch import Tensor

import mmt
from mmt.analysis.report import table
from mmt.corpus.windows import Batch, Limits, TrainingBatches, collate
from mmt.model import attention
from mmt.model.attention import Attention
from mmt.model.heads import next_written
from mmt.model.network import FeedForward, Network
from mmt.training.loss import losses
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
    parser.add_argument("--form", choices=FORMS, help="print only this form, as JSON (the script calls itself with it)")
    parser.add_argument("-o", "--output", type=Path, help="default: print the page only; training.md has more sections")
    chosen = parser.parse_args()
    if chosen.form:
        print(json.dumps(measure(chosen.form, load_recipe(chosen.recipe), chosen.corpus)))
        return
    forms = [form for form in FORMS if form != "cuda" or torch.cuda.is_available()]
    # In turns, so that other load slows all forms.
    found = [{form: _in_own_process(form, chosen) for form in forms} for _ in range(chosen.repeat)]
    write_page(chosen.output, *report(found, load_recipe(chosen.recipe), chosen.corpus))


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
    return _step(recipe, device, fast_precision("cpu" if device.type == "cpu" else "gpu") == "bf16-mixed")


def fused(recipe: Recipe, device: torch.device) -> Callable[[Batch], None]:
    """The same step without the special code for CPUs."""
    attention.is_on_plain_cpu = lambda _: False
    return ours(recipe, device)


def plain(recipe: Recipe, device: torch.device) -> Callable[[Batch], None]:
    """A step in the plain form, in float32."""
    Attention.forward = plain_attention  # type: ignore[method-assign]
    FeedForward.forward = plain_feed_forward  # type: ignore[method-assign]
    return _step(recipe, device, half=False)


def plain_attention(self: Attention, inputs: Tensor, *, rotation: Any, visible: Any, cache: Any, layer: int) -> Tensor:
    """Attention with explicit matrices."""
    queries, keys, values = self.project(inputs, rotation)
    scores = queries @ keys.transpose(-1, -2) * self.head_dim**-0.5
    later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    weights = F.dropout(scores.masked_fill(later, -torch.inf).softmax(dim=-1), self.dropout, self.training)
    return self.out((weights @ values).transpose(1, 2).reshape(*inputs.shape[:2], -1))  # type: ignore[no-any-return]


def plain_feed_forward(self: FeedForward, inputs: Tensor) -> Tensor:
    """The feed-forward layer without recomputation."""
    return self.contract(self.dropout(F.gelu(self.expand(inputs))))  # type: ignore[no-any-return]


def _step(recipe: Recipe, device: torch.device, half: bool) -> Callable[[Batch], None]:
    """A function that trains a new network on a batch; with `half`, its products are computed in bfloat16."""
    torch.manual_seed(0)
    network = Network(recipe.network).to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5, fused=True)

    def step(batch: Batch) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            found = losses(network(batch.codes[:, :-1], targets=next_written(batch.codes)), batch.codes, batch.lengths)
        optimizer.zero_grad()
        found.per_note.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return step


def pooled(recipe: Recipe, corpus: Path) -> list[Batch]:
    """Batches as mmt draws them: windows of similar length together."""
    batches = _drawn(recipe, corpus, STEPS)
    return [batches[step] for step in range(STEPS)]


def unsorted(recipe: Recipe, corpus: Path) -> list[Batch]:
    """The same windows in random order."""
    windows = [
        codes[:length].numpy()
        for batch in pooled(recipe, corpus)
        for codes, length in zip(batch.codes, batch.lengths.tolist(), strict=True)
    ]
    order = np.random.default_rng(0).permutation(len(windows)).reshape(STEPS, -1)
    return [collate([windows[place] for place in places]) for places in order]


def _drawn(recipe: Recipe, corpus: Path, pool: int) -> TrainingBatches:
    return TrainingBatches(
        mmt.Corpus(corpus, split="train"),
        Limits(recipe.network.context + 1, recipe.representation.beats),
        batch_size=recipe.data.batch_size,
        steps=1000,
        augmentation=recipe.data.augmentation,
        pool=pool,
    )


Draw = Callable[[Recipe, Path], list[Batch]]
MakeStep = Callable[[Recipe, torch.device], Callable[[Batch], None]]
FORMS: dict[str, tuple[Draw, MakeStep]] = {
    "plain": (unsorted, plain), "fused": (pooled, fused), "ours": (pooled, ours), "cuda": (pooled, ours),
}  # fmt: skip


def peak(device: torch.device) -> float:
    """The peak memory of the process so far, in MB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def loader(recipe: Recipe, corpus: Path, batches: int = 96) -> tuple[float, float]:
    """Seconds per batch of the loader, and the share of padding, over whole pools."""
    drawn = _drawn(recipe, corpus, 32)
    started = time.perf_counter()
    taken = [drawn[step] for step in range(batches)]
    wall = time.perf_counter() - started
    events = sum(int(batch.lengths.sum()) for batch in taken)
    return wall / batches, 1 - events / sum(batch.codes[..., 0].numel() for batch in taken)


def report(found: list[dict[str, dict[str, float]]], recipe: Recipe, corpus: Path) -> list[str]:
    """The page: all rounds and their ratios."""
    cutting, padding = loader(recipe, corpus)
    rows = [["round", "form", "seconds per step", "processor seconds per step", "memory, MB", "padding"]]
    for number, forms in enumerate(found, start=1):
        for name, f in forms.items():
            times = [f"{f['seconds']:.2f}", f"{f['processor']:.2f}"]
            rows.append([f"{number}", name, *times, f"{f['memory']:,.0f}", f"{f['padding']:.1%}"])
    step = min(forms["ours"]["seconds"] for forms in found)
    return [
        "# A training step",
        f"The paper's model and recipe ({recipe.data.batch_size} windows of at most {recipe.network.context:,} events, dropout "
        f"{recipe.network.dropout}), {STEPS} steps per form and round, {torch.get_num_threads()} threads, "
        f"{os.cpu_count()} cores, torch {torch.__version__}, ours in {fast_precision('cpu')}. "
        "Memory: peak, without what the process used before it made the network.",
        table(rows),
        f"Plain over ours: {_ratios('plain', found)}.\nFused over ours: {_ratios('fused', found)}.",
        f"The loader cuts a batch in {1000 * cutting:.1f} ms, {cutting / step:.1%} of a step; {padding:.1%} of it is "
        "padding (pools of 32 steps).",
        *([_on_the_card(max(forms["cuda"]["tokens"] for forms in found), recipe)] if "cuda" in found[0] else []),
    ]


def _ratios(form: str, found: list[dict[str, dict[str, float]]]) -> str:
    """What a form takes, divided by what ours takes, for each round."""
    kinds = ("seconds", "processor", "memory")
    rounds = (", ".join(f"{kind} {forms[form][kind] / forms['ours'][kind]:.1f}" for kind in kinds) for forms in found)
    return "; ".join(rounds)


def _on_the_card(tokens: float, recipe: Recipe) -> str:
    """Tokens per second, and the share of the card's limit that the matrix products of both passes reach."""
    config, name = recipe.network, torch.cuda.get_device_name()
    weights = sum(
        p.numel() for n, p in Network(config).named_parameters() if p.ndim > 1 and not n.startswith(("embed", "pos"))
    )
    # Six operations per weight; twelve per head dimension and key, half of them masked.
    each = 6 * weights + 6 * config.layers * config.heads * config.head_dim * config.context
    limit = next((limit for card, limit in LIMITS.items() if card in name), None)
    share = f"{tokens * each / limit:.1%} of its bf16 limit" if limit else "its bf16 limit is not in the script's list"
    return f"{name}: {tokens:,.0f} events a second; {tokens * each / 1e12:.1f} TFLOP a second, {share}."


if __name__ == "__main__":
    main()
