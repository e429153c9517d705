"""Keys and values of the events that a network has seen, so that each new event costs one step (decoding)."""

from __future__ import annotations

import torch
from torch import Tensor

from mmt.model.config import NetworkConfig


class Cache:
    """The keys and values of every layer, for a batch of pieces of one length.

    `keys` and `values` are (layer, batch, head, capacity, head_dim); the first `length` of the capacity are filled.
    """

    def __init__(
        self, config: NetworkConfig, batch: int, *, capacity: int | None = None, like: Tensor | None = None
    ) -> None:
        """Room for `batch` pieces of up to `capacity` events (default: the context), of the type and device of `like`."""
        shape = (config.layers, batch, config.heads, capacity or config.context, config.head_dim)
        dtype, device = (like.dtype, like.device) if like is not None else (None, None)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.length = 0

    @property
    def capacity(self) -> int:
        """How many events there is room for."""
        return self.keys.shape[3]

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add (batch, head, new, head_dim) keys and values to a layer; returns all of its keys and values up to now.

        The length stays: `advance` moves it on when every layer has its part.
        """
        end = self.length + keys.shape[2]
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def advance(self, events: int) -> None:
        """Count `events` more events as seen."""
        self.length += events

    def keep(self, rows: Tensor) -> None:
        """Keep only these pieces of the batch (indices), in this order."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]
