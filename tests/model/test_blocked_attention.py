"""Attention by blocks equals plain attention."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor

from mmt.model.attention import attend_in_blocks
from mmt.model.config import NetworkConfig
from mmt.model.network import Network


def tensors(length: int, seed: int = 0) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, length, 8, generator=random, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize("length", [1, 127, 128, 129, 300])
def test_outputs_and_gradients_equal_those_of_fused_attention(length: int) -> None:
    ours, theirs = tensors(length), tensors(length)
    found = attend_in_blocks(*ours)
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


def test_the_network_uses_blocked_attention_in_training_without_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def watched(*arguments: Tensor) -> Tensor:
        taken.append(arguments)
        return attend_in_blocks(*arguments)

    monkeypatch.setattr("mmt.model.attention.attend_in_blocks", watched)
    codes = torch.zeros(1, 9, 6, dtype=torch.long)
    for dropout, training, calls in ((0.1, True, 0), (0.0, False, 0), (0.0, True, 2)):
        taken.clear()
        Network(NetworkConfig(dim=16, layers=2, heads=2, head_dim=8, dropout=dropout)).train(training)(codes)
        assert len(taken) == calls
