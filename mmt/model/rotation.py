"""Rotary positions: pairs of a vector's dimensions are turned by angles that depend on an event's place (Su et al. 2021).

Vectors are (batch, head, length, head_dim); dimension i is paired with i + half of the turning dimensions, which come first.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from mmt.model.config import NetworkConfig
from mmt.representation.codes import BEAT, POSITION

_ROTARY_BASE = 10_000.0
# Dimensions that turn by time: the shortest period, in beats, and how many octaves the others reach above it. Where there are
# enough pairs, the period doubles from one to the next, as bars and phrases do.
_SHORTEST_PERIOD, _OCTAVES = 0.25, 12
# Cosine and sine of each place's angles, each (length, turning dimensions), or (batch, 1, length, turning dimensions).
Rotation = tuple[Tensor, Tensor]


def rotation_of(places: Tensor, codes: Tensor, config: NetworkConfig, dtype: torch.dtype) -> Rotation | None:
    """The rotation of events at places (length,) or (batch, length); none where a network has no rotary positions."""
    if config.positions not in ("rotary", "time"):
        return None
    by_place, by_beat = turns_of(config, places.device)
    angles = places[..., None].float() * by_place
    if config.positions == "time":
        by_time = _onsets(codes, config)[..., None] * by_beat
        angles = torch.cat([angles.expand_as(by_time), by_time], dim=-1)
    angles = torch.cat([angles, angles], dim=-1)
    if angles.dim() == 3:
        angles = angles[:, None]  # for each head
    return angles.cos().to(dtype), angles.sin().to(dtype)


def turns_of(config: NetworkConfig, device: torch.device) -> tuple[Tensor, Tensor]:
    """How far pairs of dimensions turn, in radians: the first from one event to the next, the others with every beat."""
    if config.positions not in ("rotary", "time"):
        return _no_turns(device), _no_turns(device)
    turning = config.rotary_dims or config.head_dim
    if config.positions == "time":
        turning //= 2
    half = torch.arange(0, turning, 2, device=device, dtype=torch.float32)
    by_place = _ROTARY_BASE ** (-half / turning)
    if config.positions == "rotary":
        return by_place, _no_turns(device)
    octaves = half / 2 * max(1.0, _OCTAVES / max(turning // 2 - 1, 1))
    return by_place, (2 * math.pi / _SHORTEST_PERIOD) * 2.0**-octaves


def _no_turns(device: torch.device) -> Tensor:
    return torch.empty(0, device=device, dtype=torch.float32)


def _onsets(codes: Tensor, config: NetworkConfig) -> Tensor:
    """Onsets of events (batch, length, 6) in beats of the window, (batch, length). Of start-of-notes, the number of beats that
    it tells; 0 of what else is no note."""
    resolution = config.sizes[POSITION] - 1
    return (codes[..., BEAT] - 1).clamp(min=0) + (codes[..., POSITION] - 1).clamp(min=0).float() / resolution


def rotate(vectors: Tensor, rotation: Rotation) -> Tensor:
    """The vectors, turned; dimensions beyond the turning ones stay."""
    cosine, sine = rotation
    turning, still = vectors[..., : cosine.shape[-1]], vectors[..., cosine.shape[-1] :]
    first, second = turning.chunk(2, dim=-1)
    turned = turning * cosine + torch.cat([-second, first], dim=-1) * sine
    return torch.cat([turned, still], dim=-1) if still.shape[-1] else turned


def rotate_to_train(vectors: Tensor, rotation: Rotation) -> Tensor:
    """What `rotate` computes, bit for bit, where all dimensions turn; in fewer passes, and the result as precise as `vectors`."""
    cosine, sine = (part[..., : part.shape[-1] // 2] for part in rotation)
    return _Turned.apply(vectors, cosine, sine)  # type: ignore[no-any-return, no-untyped-call]


class _Turned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        return _turn(vectors, cosine, sine)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        cosine, sine = ctx.saved_tensors
        return _turn(gradient, cosine, -sine), None, None


def _turn(vectors: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = vectors.to(cosine.dtype).chunk(2, dim=-1)
    turned = torch.empty(vectors.shape, dtype=vectors.dtype, device=vectors.device)
    one, other = turned.chunk(2, dim=-1)
    one.copy_((first * cosine).sub_(second * sine))
    other.copy_((second * cosine).add_(first * sine))
    return turned
