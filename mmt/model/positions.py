"""Position encodings: a table that is added to the residual stream, or rotary angles (Su et al. 2021). `POSITIONS` lists them.

Rotated vectors are (batch, head, length, head_dim). The rotary dimensions come first; dimension i is paired with i + half of
them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from mmt.representation.codes import BEAT, POSITION

if TYPE_CHECKING:
    from mmt.model.config import NetworkConfig

# Cosine and sine of the angles at each place, each (length, rotary dims), or (batch, 1, length, rotary dims).
Rotation = tuple[Tensor, Tensor]
Frequencies = tuple[Tensor, Tensor]
"""Angles in radians, (pairs,) each: of pairs that rotate per event, and of pairs that rotate per beat."""

_ROTARY_BASE = 10_000.0
# Pairs that rotate by time: the shortest period in beats, and the octaves up to the longest. With enough pairs, the period
# doubles from one pair to the next, like bars and phrases.
_SHORTEST_PERIOD, _OCTAVES = 0.25, 12


def _rotary(config: NetworkConfig, device: torch.device) -> Frequencies:
    return _by_place(config.rotary_dims or config.head_dim, device), _none(device)


def _time(config: NetworkConfig, device: torch.device) -> Frequencies:
    dims = (config.rotary_dims or config.head_dim) // 2
    half = torch.arange(0, dims, 2, device=device, dtype=torch.float32)
    octaves = half / 2 * max(1.0, _OCTAVES / max(dims // 2 - 1, 1))
    return _by_place(dims, device), (2 * math.pi / _SHORTEST_PERIOD) * 2.0**-octaves


def _by_place(dims: int, device: torch.device) -> Tensor:
    half = torch.arange(0, dims, 2, device=device, dtype=torch.float32)
    return _ROTARY_BASE ** (-half / dims)


def _none(device: torch.device) -> Tensor:
    return torch.empty(0, device=device, dtype=torch.float32)


class Positions(NamedTuple):
    """A position encoding; all parts are optional."""

    table: Callable[[NetworkConfig], nn.Module] | None = None
    """Makes a module that maps places, int64 (length,) or (batch, length), to (…, dim), which times dim ** -0.5 is added to the
    embeddings."""
    frequencies: Callable[[NetworkConfig, torch.device], Frequencies] | None = None
    """Returns the angles by which pairs of dimensions of queries and keys rotate."""
    multiple: int = 2
    """With frequencies: the number of rotary dimensions must be a multiple of this."""


POSITIONS: dict[str, Positions] = {
    "absolute": Positions(table=lambda config: nn.Embedding(config.context, config.dim)),
    "rotary": Positions(frequencies=_rotary),
    "time": Positions(frequencies=_time, multiple=4),
    "none": Positions(),
}
"""The values of `NetworkConfig.positions`. Add an entry to add an encoding, see `docs/extend.md`."""


def rotation_of(places: Tensor, codes: Tensor, config: NetworkConfig, dtype: torch.dtype) -> Rotation | None:
    """The rotation of events (batch, length, 6) at places (length,) or (batch, length); None without rotary positions."""
    by_place, by_beat = frequencies_of(config, places.device)
    if not len(by_place) + len(by_beat):
        return None
    angles = places[..., None].float() * by_place
    if len(by_beat):
        by_time = _onsets(codes, config)[..., None] * by_beat
        angles = torch.cat([angles.expand(*by_time.shape[:-1], -1), by_time], dim=-1)
    angles = torch.cat([angles, angles], dim=-1)
    if angles.dim() == 3:
        angles = angles[:, None]  # for each head
    return angles.cos().to(dtype), angles.sin().to(dtype)


def frequencies_of(config: NetworkConfig, device: torch.device) -> Frequencies:
    """The frequencies of a network's rotary positions; empty without them."""
    frequencies = POSITIONS[config.positions].frequencies
    return (_none(device), _none(device)) if frequencies is None else frequencies(config, device)


def _onsets(codes: Tensor, config: NetworkConfig) -> Tensor:
    """Onsets of events (batch, length, 6) in beats of the window, (batch, length).

    For start-of-notes, its number of beats; 0 for other events that are not notes.
    """
    resolution = config.sizes[POSITION] - 1
    return (codes[..., BEAT] - 1).clamp(min=0) + (codes[..., POSITION] - 1).clamp(min=0).float() / resolution


def rotate(vectors: Tensor, rotation: Rotation) -> Tensor:
    """Rotate the rotary dimensions of vectors, which keep their type; the other dimensions are unchanged."""
    cosine, sine = rotation
    # Cast before the arithmetic, so that gradients are added in that precision too.
    rotary, rest = vectors[..., : cosine.shape[-1]].to(cosine.dtype), vectors[..., cosine.shape[-1] :]
    first, second = rotary.chunk(2, dim=-1)
    rotated = (rotary * cosine + torch.cat([-second, first], dim=-1) * sine).to(vectors.dtype)
    return torch.cat([rotated, rest], dim=-1) if rest.shape[-1] else rotated
