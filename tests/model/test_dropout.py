"""Our dropout follows the definition of PyTorch's: the given share is dropped, and the rest is scaled up."""

from __future__ import annotations

import pytest
import torch

from mmt.model.config import NetworkConfig
from mmt.model.dropout import Dropout, drop
from mmt.model.network import FeedForward


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_given_share_is_dropped_and_the_rest_scaled_up(share: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    found = drop(torch.full((301, 1003), 2.0, dtype=dtype), share)
    assert found.dtype == dtype
    assert float((found == 0).float().mean()) == pytest.approx(share, abs=0.005)
    assert float(found[found != 0].unique()) == pytest.approx(2 / (1 - share), rel=0.005)


def test_neighbouring_elements_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (drop(torch.ones(100_000), 0.5) != 0).float() - 0.5
    for distance in (1, 2, 3, 4, 8):
        # Four elements share a random number.
        assert abs(float((kept[distance:] * kept[:-distance]).mean())) < 0.003


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (2, 0, 3)])
def test_any_shape_is_kept(shape: tuple[int, ...]) -> None:
    assert drop(torch.ones(shape), 0.999999999).shape == shape


def test_dropout_depends_on_the_generator_and_acts_only_in_training() -> None:
    inputs, dropout = torch.ones(1000), Dropout(0.3)
    found = []
    for _ in range(2):
        torch.manual_seed(5)
        found.append(dropout(inputs))
    assert torch.equal(*found)
    assert not torch.equal(found[0], dropout(inputs))
    assert dropout.eval()(inputs) is inputs


def test_the_backward_pass_of_the_feed_forward_layer_drops_the_same_elements() -> None:
    layer = FeedForward(NetworkConfig(dim=16, heads=2, head_dim=8, dropout=0.5)).train()
    inputs = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    torch.manual_seed(1)
    layer(inputs).sum().backward()
    gradient, inputs.grad = inputs.grad, None
    torch.manual_seed(1)
    layer._contracted(layer.expand(inputs)).sum().backward()
    torch.testing.assert_close(inputs.grad, gradient)
