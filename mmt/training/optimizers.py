"""Optimizers, and the groups of weights that each of them updates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from mmt.training.recipe import Optimizer


def optimizer_of(network: nn.Module, chosen: Optimizer, *, fused: bool = False) -> torch.optim.Optimizer:
    """The optimizer of a recipe for the trainable weights.

    Weight decay applies to matrices, including the embeddings of earlier fields in the heads, but not to norms, biases, input
    embeddings and positions.
    """
    learned = {name: weights for name, weights in network.named_parameters() if weights.requires_grad}
    matrices = {name: w for name, w in learned.items() if w.ndim > 1 and not name.startswith(("embed", "pos"))}
    others = {"params": [weights for name, weights in learned.items() if name not in matrices], "weight_decay": 0.0}
    options: dict[str, Any] = {"lr": chosen.learning_rate, "betas": chosen.betas, "fused": fused}
    if chosen.name != "muon":
        kind = torch.optim.AdamW if chosen.name == "adamw" else torch.optim.Adam
        return kind([{"params": [*matrices.values()], "weight_decay": chosen.weight_decay}, others], **options)
    inner = [weights for name, weights in matrices.items() if name.startswith("blocks")]
    outer = [weights for name, weights in matrices.items() if not name.startswith("blocks")]
    rest = torch.optim.AdamW([{"params": outer, "weight_decay": chosen.weight_decay}, others], **options)
    if not inner:
        return rest
    return Together(rest, Muon(inner, lr=chosen.learning_rate, weight_decay=chosen.weight_decay))


class Muon(torch.optim.Optimizer):
    """Muon: orthogonalized momentum, scaled to the size of AdamW's steps (Jordan et al. 2024; Liu et al. 2025); matrices only.

    Steps and state are those of `torch.optim.Muon(…, adjust_lr_fn="match_rms_adamw")`, which handles one matrix at a time,
    in bfloat16 on any processor. On a processor without bfloat16 units, that takes twice as long as the rest of a training
    step (`benchmarks/muon.md`).
    """

    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
            for weights in group["params"]:
                if weights.grad is not None:
                    alike.setdefault(weights.shape, []).append((weights, weights.grad))
            for (rows, columns), found in alike.items():
                matrices, slopes = map(list, zip(*found, strict=True))
                means = [self._mean(weights) for weights in matrices]
                torch._foreach_lerp_(means, slopes, 1 - group["momentum"])
                moves = orthogonal(torch.stack(torch._foreach_lerp(slopes, means, group["momentum"]))).to(
                    slopes[0].dtype
                )
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(matrices, moves.unbind(), alpha=-0.2 * group["lr"] * max(rows, columns) ** 0.5)

    def _mean(self, weights: Tensor) -> Tensor:
        state = self.state[weights]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weights)
        mean: Tensor = state["momentum_buffer"]
        return mean


def orthogonal(matrices: Tensor) -> Tensor:
    """Orthogonalize matrices (n, rows, columns) by five Newton-Schulz steps: all singular values become about 1."""
    wide = matrices.mT if matrices.shape[-2] > matrices.shape[-1] else matrices
    if wide.dtype == torch.float32 and multiplies_bfloat16(wide.device.type):
        wide = wide.bfloat16()
    wide = wide / wide.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        gram = wide @ wide.mT
        wide = torch.baddbmm(wide, torch.baddbmm(gram, gram, gram, beta=-4.775, alpha=2.0315), wide, beta=3.4445)
    return wide.mT if matrices.shape[-2] > matrices.shape[-1] else wide


def multiplies_bfloat16(device: str) -> bool:
    """Whether a type of device multiplies bfloat16 in hardware, and thus faster than float32."""
    if device == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    # Older versions of torch lack this function: assume no units there.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return device == "cpu" and any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))


class Together(torch.optim.Optimizer):
    """Several optimizers with separate weights, combined into one optimizer with one schedule and one state."""

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        self.optimizers = optimizers
        super().__init__([group for one in optimizers for group in one.param_groups], {})
        self._share()

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for one in self.optimizers:
            one.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Give each optimizer its parameter groups and the shared state; loading a state dict replaces both."""
        groups = iter(self.param_groups)
        for one in self.optimizers:
            one.state = self.state
            one.param_groups = [next(groups) for _ in one.param_groups]
