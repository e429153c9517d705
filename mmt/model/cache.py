"""The key/value cache: keys and values of earlier events, so that decoding an event takes one step."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor

from mmt.model.config import NetworkConfig


class Cache:
    """The keys and values of every layer, for a batch of pieces.

    `keys` and `values` are (layer, batch, head, capacity, head_dim). Of row i, the first `lengths[i]` events are filled. Rows may
    differ in length; attention takes neighbours of equal length together, which is faster.
    """

    def __init__(
        self,
        config: NetworkConfig,
        batch: int,
        *,
        capacity: int | None = None,
        like: Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Allocate a cache for `batch` pieces of up to `capacity` events (default: the context).

        It has the device and type of `like`. With another `dtype`, keys and values are converted when they are read.
        """
        self.capacity = capacity or config.context
        """The largest number of events of a piece."""
        shape = (config.layers, batch, config.heads, self.capacity, config.head_dim)
        like = torch.empty(0, dtype=torch.float32, device="cpu") if like is None else like
        dtype = like.dtype if dtype is None else dtype
        self.keys, self.values = _room(shape, dtype, like.device), _room(shape, dtype, like.device)
        self.lengths = [0] * batch

    @property
    def length(self) -> int:
        """The number of events of the longest row."""
        return max(self.lengths)

    def places(self, new: int) -> Tensor:
        """The indices of the next `new` events, (new,), or (batch, new) if rows differ in length."""
        lengths = torch.tensor(self.lengths, device=self.keys.device)
        if min(self.lengths) == self.length:
            lengths = lengths[0]
        return lengths[..., None] + torch.arange(new, device=self.keys.device)

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Add keys and values (batch, head, new, head_dim) to a layer, and return causal attention of the queries, same shape.

        `lengths` does not change; call `advance` after the last layer.
        """
        if self.lengths.count(self.lengths[0]) == len(self.lengths):
            return self._attend(layer, slice(None), self.lengths[0], queries, keys, values)
        attended = [
            self._attend(layer, rows, self.lengths[rows.start], queries[rows], keys[rows], values[rows])
            for rows in self._equal_lengths()
        ]
        return torch.cat(attended)

    def _attend(self, layer: int, rows: slice, seen: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        new = queries.shape[2]
        end = seen + new
        all_keys, all_values = self.keys[layer, rows], self.values[layer, rows]
        all_keys.narrow(2, seen, new).copy_(keys)
        all_values.narrow(2, seen, new).copy_(values)
        if seen:
            keys, values = (of[:, :, :end].to(queries.dtype) for of in (all_keys, all_values))
        return F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=_visible_with_past(new, end, queries.device) if new > 1 and seen else None,
            is_causal=new > 1 and not seen,
        )

    def advance(self, events: int) -> None:
        """Add `events` to the length of each row."""
        self.lengths = [length + events for length in self.lengths]

    def row(self, row: int, *, filled: bool = False) -> Cache:
        """A cache of one piece that shares the memory of row `row`, empty or filled as the row is."""
        alone = copy.copy(self)
        alone.keys, alone.values = self.keys[:, row : row + 1], self.values[:, row : row + 1]
        alone.lengths = [self.lengths[row] if filled else 0]
        return alone

    def copy(self, row: int, to: int) -> None:
        """Copy row `row` to row `to`."""
        filled = slice(self.lengths[row])
        self.keys[:, to, :, filled] = self.keys[:, row, :, filled]
        self.values[:, to, :, filled] = self.values[:, row, :, filled]
        self.lengths[to] = self.lengths[row]

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows, in this order.

        Fast if rows only move to the places of removed rows; then the others are not copied.
        """
        if any(row < place for place, row in enumerate(rows)):
            self.keys, self.values = self.keys[:, rows], self.values[:, rows]
            self.lengths = [self.lengths[row] for row in rows]
            return
        for place, row in enumerate(rows):
            if place != row:
                self.copy(row, place)
        self.keys, self.values = self.keys[:, : len(rows)], self.values[:, : len(rows)]
        self.lengths = self.lengths[: len(rows)]

    def _equal_lengths(self) -> Iterator[slice]:
        """Slices of neighbouring rows of equal length."""
        first = 0
        for _, rows in groupby(self.lengths):
            last = first + len(list(rows))
            yield slice(first, last)
            first = last


def _room(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # NumPy asks for huge pages, which are read a fifth faster.
    return torch.from_numpy(np.zeros(math.prod(shape) * dtype.itemsize, np.uint8)).view(dtype).view(shape)


def _visible_with_past(new: int, total: int, device: torch.device) -> Tensor:
    """The keys that each of `new` queries after a cached past may see, (query, key): its own event and earlier ones."""
    return torch.ones(new, total, dtype=torch.bool, device=device).tril(total - new)
