"""Time of an optimizer step: our Muon, PyTorch's Muon and AdamW, compared with the rest of a training step.

OMP_NUM_THREADS=2 python benchmarks/muon.py -o benchmarks/muon.md
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from common import bf16_units, fastest, write_page

from mmt.analysis.report import table
from mmt.model.heads import next_written
from mmt.model.network import Network
from mmt.training.loss import losses
from mmt.training.optimizers import Muon, optimizer_of
from mmt.training.recipe import load_recipe

ROUNDS = 3
OURS, THEIRS = "Muon, mmt's", "Muon, PyTorch's"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).with_suffix(".md"))
    chosen = parser.parse_args()
    found = measure(torch.device(chosen.device))
    is_cuda = chosen.device == "cuda"
    where = torch.cuda.get_device_name() if is_cuda else f"{torch.get_num_threads()} threads ({bf16_units()})"
    rows = [[name, f"{s:.3f}", f"{s / found['losses and gradients']:.2f}"] for name, s in found.items()]
    write_page(
        chosen.output,
        "# A step of the optimizer",
        "Made by `benchmarks/muon.py`: the default recipe's network and step (8 windows of 1,024 events, float32), "
        f"{where}, torch {torch.__version__}; the best of {ROUNDS} interleaved rounds.\n"
        "The rows of Muon are for the matrices of the layers only.",
        table([["part", "seconds", "share of losses and gradients"], *rows]),
        f"PyTorch's Muon takes **{found[THEIRS] / found[OURS]:.1f}** times as long as mmt's.",
    )


def measure(device: torch.device) -> dict[str, float]:
    """Seconds of each part of a training step, the least of several rounds in turns."""
    recipe = load_recipe("default")
    torch.manual_seed(0)
    network = Network(recipe.network).to(device).train()
    inner = [weights for name, weights in network.named_parameters() if name.startswith("blocks") and weights.ndim > 1]
    codes = torch.stack(
        [torch.randint(size, (recipe.data.batch_size, recipe.network.context)) for size in recipe.network.sizes], dim=-1
    )
    codes, lengths = codes.to(device), torch.full((len(codes),), codes.shape[1], device=device)

    def learn() -> None:
        for _ in range(recipe.trainer.accumulate):
            losses(network(codes[:, :-1], targets=next_written(codes)), codes, lengths).per_note.backward()  # type: ignore[no-untyped-call]

    forms: dict[str, Callable[[], object]] = {
        "losses and gradients": learn,
        "AdamW": optimizer_of(network, replace(recipe.optimizer, name="adamw")).step,
        OURS: Muon(inner, lr=0.0, weight_decay=0.0).step,
        THEIRS: torch.optim.Muon(inner, lr=0.0, weight_decay=0.0, adjust_lr_fn="match_rms_adamw").step,
    }
    if device.type == "cuda":
        forms = {name: _synchronised(form) for name, form in forms.items()}
    fastest(forms, 1)
    return fastest(forms, ROUNDS)


def _synchronised(form: Callable[[], object]) -> Callable[[], object]:
    return lambda: (form(), torch.cuda.synchronize())


if __name__ == "__main__":
    main()
