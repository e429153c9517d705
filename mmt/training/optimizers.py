"""Which optimizer changes which of a network's weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mmt.training.recipe import Optimizer


def optimizer_of(network: nn.Module, chosen: Optimizer, *, fused: bool = False) -> torch.optim.Optimizer:
    """A recipe's optimizer over the weights that learn; weight decay is for matrices only: no norms, biases, embeddings.

    Raises
    ------
    ValueError
        If it is muon, and this version of torch has none.
    """
    learned = [(name, weights) for name, weights in network.named_parameters() if weights.requires_grad]
    matrices = [
        (name, weights) for name, weights in learned if weights.ndim > 1 and not name.startswith(("embed", "pos"))
    ]
    decayed = {id(weights) for _, weights in matrices}
    others = {"params": [weights for _, weights in learned if id(weights) not in decayed], "weight_decay": 0.0}
    options: dict[str, Any] = {"lr": chosen.learning_rate, "betas": chosen.betas, "fused": fused}
    if chosen.name != "muon":
        kind = torch.optim.AdamW if chosen.name == "adamw" else torch.optim.Adam
        return kind([{"params": [w for _, w in matrices], "weight_decay": chosen.weight_decay}, others], **options)
    if not hasattr(torch.optim, "Muon"):
        raise ValueError(f"optimizer muon needs torch 2.9 or newer, and this is {torch.__version__}; take adamw")
    inner = [weights for name, weights in matrices if name.startswith("blocks")]
    outer = [weights for name, weights in matrices if not name.startswith("blocks")]
    return Together(
        torch.optim.AdamW([{"params": outer, "weight_decay": chosen.weight_decay}, others], **options),
        torch.optim.Muon(
            inner, lr=chosen.learning_rate, weight_decay=chosen.weight_decay, adjust_lr_fn="match_rms_adamw"
        ),
    )


class Together(torch.optim.Optimizer):
    """Several optimizers, each with weights of its own, as one: one schedule, one state to save."""

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
        """Each works on its part of the groups and on the state of them all; a state that is read replaces both."""
        groups = iter(self.param_groups)
        for one in self.optimizers:
            one.state = self.state
            one.param_groups = [next(groups) for _ in one.param_groups]
