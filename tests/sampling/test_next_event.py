"""The distribution of the next event: marginals, conditions and draws against a full enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import mmt
from mmt.model.checkpoint import Checkpoint
from mmt.model.config import NetworkConfig
from mmt.model.network import Network
from mmt.representation.codes import FIELDS
from mmt.sampling.model import Model
from mmt.sampling.next_event import marginals

SIZES = (3, 4, 3, 5, 3, 2)


def network_of(output: str) -> Network:
    torch.manual_seed(0)
    network = Network(NetworkConfig(sizes=SIZES, dim=16, layers=1, heads=2, head_dim=8, context=16, output=output))
    for name, weight in network.heads.named_parameters():
        if name.startswith("mix"):
            torch.nn.init.normal_(weight, std=0.5)
    return network.eval()


def joint_of(network: Network, hidden: torch.Tensor) -> np.ndarray:
    """The probability of each event, an array of the shape of the sizes, by the chain rule."""
    combinations = torch.tensor(list(itertools.product(*map(range, SIZES))))
    with torch.inference_mode():
        logits = network.heads(hidden.expand(len(combinations), -1), combinations)
    shares = [part.double().softmax(-1).gather(1, combinations[:, [k]])[:, 0] for k, part in enumerate(logits)]
    return torch.stack(shares).prod(0).reshape(SIZES).numpy()


@pytest.mark.parametrize("output", ["independent", "chain", "mixed"])
@pytest.mark.parametrize(("points", "error"), [(2000, 1e-6), (64, 0.02)])
def test_marginals_are_sums_over_all_events(output: str, points: int, error: float) -> None:
    network, hidden = network_of(output), torch.randn(16)
    joint = joint_of(network, hidden)
    with torch.inference_mode():
        found = marginals(network.heads, hidden, points=points)
    for field, shares in enumerate(found):
        others = tuple(axis for axis in range(6) if axis != field)
        np.testing.assert_allclose(shares.numpy(), joint.sum(axis=others), atol=error)


@pytest.fixture(scope="module")
def model() -> Model:
    network = network_of("mixed")
    # A representation with other sizes; only the network is used here.
    return Model(Checkpoint(network, mmt.Representation(), {}))


def test_conditions_are_quotients_of_the_joint_distribution(model: Model) -> None:
    events = np.zeros((3, 6), int)
    with torch.inference_mode():
        joint = joint_of(model.network, model.network.hidden(torch.from_numpy(events)[None])[0, -1])
    found = model.next_distribution(events).given(2, 1)
    part = joint[2, 1] / joint[2, 1].sum()
    np.testing.assert_allclose(found["pitch"], part.sum(axis=(0, 2, 3)), atol=1e-6)
    assert found["type"].tolist() == [0, 0, 1]
    drawn = found.draw(50, seed=1)
    assert (drawn[:, :2] == [2, 1]).all()


def test_draws_have_the_joint_distribution(model: Model) -> None:
    events = np.zeros((1, 6), int)
    found = model.next_distribution(events)
    drawn = found.draw(20_000, seed=2)
    for field, shares in enumerate(found):
        counts = np.bincount(drawn[:, field], minlength=SIZES[field])
        expected = shares * len(drawn)
        assert ((counts - expected) ** 2 / expected).sum() < 30
    assert (found.draw(5, seed=3) == found.draw(5, seed=3)).all()


def test_marginals_are_indexed_by_name_and_number_and_sum_to_one(model: Model) -> None:
    found = model.next_distribution(np.zeros((1, 6), int))
    assert len(found) == 6
    for number, name in enumerate(FIELDS):
        assert found[name] is found[number]
        assert found[name].sum() == pytest.approx(1)
    with pytest.raises(KeyError, match="no field 'tempo'"):
        found["tempo"]


def test_conditions_out_of_range_are_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="beat is 9; the model has codes 0 to 3"):
        model.next_distribution(np.zeros((1, 6), int)).given(0, 9)
    with pytest.raises(ValueError, match="there are no events"):
        model.next_distribution(np.zeros((0, 6), int))
