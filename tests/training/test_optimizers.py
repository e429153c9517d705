"""Which weights an optimizer changes, and how."""

from __future__ import annotations

import pytest
import torch

from mmt.model.network import Network
from mmt.training.optimizers import optimizer_of
from mmt.training.recipe import OptimizerName
from runs import tiny


def stepped(name: OptimizerName, *, rate: float = 0.01) -> tuple[Network, Network]:
    """A network before and after a step along gradients that are all alike."""
    torch.manual_seed(0)
    recipe = tiny(f"optimizer.name={name}", f"optimizer.learning_rate={rate}", "optimizer.weight_decay=0.0")
    before, after = Network(recipe.network), Network(recipe.network)
    after.load_state_dict(before.state_dict())
    for weights in after.parameters():
        weights.grad = torch.randn_like(weights)
    optimizer_of(after, recipe.optimizer).step()
    return before, after


@pytest.mark.parametrize("name", ["adam", "adamw", "muon"])
def test_decay_falls_on_matrices_only(name: str) -> None:
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


def test_muon_turns_the_blocks_matrices_by_as_much_as_adamw_would() -> None:
    """Nearly all directions of a matrix move about alike, by 0.2 times the rate in the mean; all else moves as with AdamW."""
    (before, turned), (_, plain) = stepped("muon"), stepped("adamw")
    for (name, old), new, usual in zip(before.named_parameters(), turned.parameters(), plain.parameters(), strict=True):
        if not (name.startswith("blocks") and old.ndim == 2):
            assert torch.equal(new, usual), name
            continue
        move = (new - old).detach()
        singular = torch.linalg.svdvals(move)
        assert singular.quantile(0.1) > 0.5 * singular.max(), name
        assert move.square().mean().sqrt() == pytest.approx(0.2 * 0.01, rel=0.25), name


def test_muon_without_torchs_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon")
    recipe = tiny("optimizer.name=muon")
    with pytest.raises(ValueError, match=r"optimizer muon needs torch 2\.9 or newer, and this is .*; take adamw"):
        optimizer_of(Network(recipe.network), recipe.optimizer)
