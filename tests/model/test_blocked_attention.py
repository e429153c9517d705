"""Attention by blocks equals plain attention, and drops the share of weights that it should."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor

from mmt.model.blocked_attention import attend_in_blocks
from mmt.model.config import NetworkConfig
from mmt.model.network import Network


def tensors(length: int, seed: int = 0) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, length, 8, generator=random, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize("length", [1, 127, 128, 129, 300])
def test_without_dropout_outputs_and_gradients_equal_those_of_fused_attention(length: int) -> None:
    ours, theirs = tensors(length), tensors(length)
    found = attend_in_blocks(*ours, 0.0)
    expected = F.scaled_dot_product_attention(*theirs, is_causal=True)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    found.square().sum().backward()
    expected.square().sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)


def test_bfloat16_is_as_accurate_as_fused_attention() -> None:
    exact = tensors(300)
    F.scaled_dot_product_attention(*exact, is_causal=True).square().sum().backward()

    def errors(attend: Callable[..., Tensor]) -> list[float]:
        narrow = [tensor.detach().bfloat16().requires_grad_() for tensor in tensors(300)]
        attend(*narrow).float().square().sum().backward()
        return [
            float((one.grad - other.grad).norm() / other.grad.norm())  # type: ignore[operator,union-attr]
            for one, other in zip(narrow, exact, strict=True)
        ]

    ours, theirs = errors(attend_in_blocks), errors(partial(F.scaled_dot_product_attention, is_causal=True))
    assert all(one < 1.5 * other for one, other in zip(ours, theirs, strict=True))


def test_weights_are_dropped_and_the_others_scaled_up() -> None:
    length = 200
    queries, keys, _ = tensors(length)
    # The value of each key is a unit vector, so that the outputs are the weights.
    values = torch.eye(length).expand(2, 3, length, length)
    whole = attend_in_blocks(queries, keys, values, 0.0)
    torch.manual_seed(0)
    found = attend_in_blocks(queries, keys, values, 0.25)
    counted = torch.ones(length, length).tril().bool().expand_as(found)
    kept = found != 0
    assert not kept[~counted].any()
    assert float(kept[counted].float().mean()) == pytest.approx(0.75, abs=0.01)
    torch.testing.assert_close(found[kept], whole[kept] / 0.75)


def test_the_backward_pass_drops_the_same_weights() -> None:
    queries, keys, values = tensors(200)
    torch.manual_seed(0)
    weights = attend_in_blocks(queries, keys, torch.eye(200).expand(2, 3, 200, 200), 0.5)
    torch.manual_seed(0)
    attend_in_blocks(queries, keys, values, 0.5).sum().backward()
    # The gradient of a sum with respect to a value is the sum of its weights.
    torch.testing.assert_close(values.grad, weights.sum(dim=2)[..., None].expand_as(values), rtol=1e-4, atol=1e-5)


def test_the_network_uses_blocked_attention_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def watched(*arguments: object) -> Tensor:
        taken.append(arguments[3])
        return attend_in_blocks(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("mmt.model.network.attend_in_blocks", watched)
    codes = torch.zeros(1, 9, 6, dtype=torch.long)
    for dropout, training, calls in ((0.1, True, 2), (0.1, False, 0), (0.0, True, 2)):
        taken.clear()
        Network(NetworkConfig(dim=16, layers=2, heads=2, head_dim=8, dropout=dropout)).train(training)(codes)
        assert taken == [dropout] * calls
