"""The weights that each optimizer updates, and the size of its updates."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmt.model.network import Network
from mmt.training.optimizers import Muon, optimizer_of
from mmt.training.recipe import OptimizerName
from runs import tiny


def stepped(name: OptimizerName, *, rate: float = 0.01) -> tuple[Network, Network]:
    """A network before and after a step with equal gradients for all weights."""
    torch.manual_seed(0)
    recipe = tiny(f"optimizer.name={name}", f"optimizer.learning_rate={rate}", "optimizer.weight_decay=0.0")
    before, after = Network(recipe.network), Network(recipe.network)
    after.load_state_dict(before.state_dict())
    for weights in after.parameters():
        weights.grad = torch.randn_like(weights)
    optimizer_of(after, recipe.optimizer).step()
    return before, after


@pytest.mark.parametrize("name", ["adam", "adamw", "muon"])
def test_decay_applies_to_matrices_only(name: str) -> None:
    recipe = tiny(f"optimizer.name={name}", "optimizer.weight_decay=0.1")
    network = Network(recipe.network)
    groups = optimizer_of(network, recipe.optimizer).param_groups
    named = {id(weights): name for name, weights in network.named_parameters()}
    places = [named[id(weights)] for group in groups for weights in group["params"]]
    assert sorted(places) == sorted(named.values())
    for group in groups:
        for weights in group["params"]:
            matrix = weights.ndim == 2 and "embeddings" not in named[id(weights)]
            assert group["weight_decay"] == (0.1 if matrix else 0.0)


def test_muon_updates_have_the_size_of_adamw_updates() -> None:
    """Muon moves nearly all directions of a matrix alike, by 0.2 times the rate on average; other weights follow AdamW."""
    (before, turned), (_, plain) = stepped("muon"), stepped("adamw")
    for (name, old), new, usual in zip(before.named_parameters(), turned.parameters(), plain.parameters(), strict=True):
        if not (name.startswith("blocks") and old.ndim == 2):
            assert torch.equal(new, usual), name
            continue
        move = (new - old).detach()
        singular = torch.linalg.svdvals(move)
        assert singular.quantile(0.1) > 0.5 * singular.max(), name
        assert move.square().mean().sqrt() == pytest.approx(0.2 * 0.01, rel=0.25), name


def test_muon_without_trained_blocks_is_adamw() -> None:
    recipe = tiny("optimizer.name=muon")
    network = Network(recipe.network)
    network.blocks.requires_grad_(False)
    assert type(optimizer_of(network, recipe.optimizer)) is torch.optim.AdamW


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon to compare with")
def test_muon_steps_equal_those_of_torch() -> None:
    """Wide, tall and square matrices, two of one shape; torch's Muon works in bfloat16, hence the tolerance."""
    shapes = ((8, 24), (24, 8), (16, 16), (8, 24))
    torch.manual_seed(0)
    begun = [torch.randn(shape) for shape in shapes]
    ours, theirs = ([nn.Parameter(weights.clone()) for weights in begun] for _ in range(2))
    both = (
        Muon(ours, lr=0.01, weight_decay=0.1),
        torch.optim.Muon(theirs, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(3):
        for weights, same in zip(ours, theirs, strict=True):
            weights.grad = torch.randn_like(weights)
            same.grad = weights.grad.clone()
        for one in both:
            one.step()
    for weights, same, old in zip(ours, theirs, begun, strict=True):
        move = (weights - old).norm().item()
        assert (weights - same).norm().item() < 0.02 * move
    for weights, same in zip(ours, theirs, strict=True):
        expected = both[1].state[same]["momentum_buffer"]
        torch.testing.assert_close(both[0].state[weights]["momentum_buffer"], expected)
