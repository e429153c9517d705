"""Keys and values of the events that a network has seen, so that each new event costs one step (decoding)."""

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

# Keys are attended to in whole blocks of so many, and the first lies at a multiple of so many bytes.
_BLOCK, _ALIGNMENT = 16, 64


class Cache:
    """The keys and values of every layer, for a batch of pieces.

    `keys` and `values` are (layer, batch, head, room, head_dim), the room being whole blocks of the capacity; of row i the
    first `lengths[i]` are filled. Rows may differ in length; PyTorch attends the faster the more neighbours are alike.
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
        """Room for `batch` pieces of up to `capacity` events (default: the context), of the device of `like`, and of its type
        unless `dtype` is another: what is attended to is converted.
        """
        self.capacity = capacity or config.context
        """How many events there is room for."""
        room = -(-self.capacity // _BLOCK) * _BLOCK
        shape = (config.layers, batch, config.heads, room, config.head_dim)
        like = torch.empty(0, dtype=torch.float32, device="cpu") if like is None else like
        dtype = like.dtype if dtype is None else dtype
        self.keys, self.values = _room(shape, dtype, like.device), _room(shape, dtype, like.device)
        self.lengths = [0] * batch

    @property
    def length(self) -> int:
        """How many events the longest row has."""
        return max(self.lengths)

    def places(self, new: int) -> Tensor:
        """Where the next `new` events stand, (new,), or (batch, new) where rows differ in length."""
        lengths = torch.tensor(self.lengths, device=self.keys.device)
        if min(self.lengths) == self.length:
            lengths = lengths[0]
        return lengths[..., None] + torch.arange(new, device=self.keys.device)

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Add keys and values (batch, head, new, head_dim) to a layer, and let the queries of the same events see all up to
        their own; returns what they make of the values, of the same shape.

        The lengths stay: `advance` moves them on when every layer has its part.
        """
        if self.lengths.count(self.lengths[0]) == len(self.lengths):
            return self._attend(layer, slice(None), self.lengths[0], queries, keys, values)
        attended = [
            self._attend(layer, rows, self.lengths[rows.start], queries[rows], keys[rows], values[rows])
            for rows in self._alike()
        ]
        return torch.cat(attended)

    def _attend(self, layer: int, rows: slice, seen: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        new = queries.shape[2]
        end = seen + new
        all_keys, all_values = self.keys[layer, rows], self.values[layer, rows]
        all_keys.narrow(2, seen, new).copy_(keys)
        all_values.narrow(2, seen, new).copy_(values)
        if new == 1 and queries.device.type == "cpu":
            return _attend_in_blocks(queries, all_keys, all_values, end)
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
        """Count `events` more events as seen, in each row."""
        self.lengths = [length + events for length in self.lengths]

    def row(self, row: int) -> Cache:
        """A cache of one row that is still empty and lies in the place of row `row` of this one."""
        alone = copy.copy(self)
        alone.keys, alone.values = self.keys[:, row : row + 1], self.values[:, row : row + 1]
        alone.lengths = [0]
        return alone

    def copy(self, row: int, to: int) -> None:
        """Make row `to` what row `row` is."""
        filled = slice(self.lengths[row])
        self.keys[:, to, :, filled] = self.keys[:, row, :, filled]
        self.values[:, to, :, filled] = self.values[:, row, :, filled]
        self.lengths[to] = self.lengths[row]

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these pieces of the batch, in this order.

        Fast where pieces only take the places of those that are given up: then no others are copied.
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

    def _alike(self) -> Iterator[slice]:
        """Neighbouring rows of one length."""
        first = 0
        for _, rows in groupby(self.lengths):
            last = first + len(list(rows))
            yield slice(first, last)
            first = last


def _attend_in_blocks(queries: Tensor, keys: Tensor, values: Tensor, seen: int) -> Tensor:
    """One query (batch, head, 1, head_dim) a row, over the first `seen` of keys and values (batch, head, capacity, head_dim).

    In whole blocks, whose last keys have no weight: so every row lies alike in memory, and is added up alike in any batch.
    """
    batch, heads, _, head_dim = queries.shape
    blocks = slice(-(-seen // _BLOCK) * _BLOCK)
    keys, values = (of.flatten(0, 1)[:, blocks].to(queries.dtype) for of in (keys, values))
    scores = torch.bmm(queries.reshape(batch * heads, 1, head_dim) * head_dim**-0.5, keys.transpose(1, 2))
    if seen % _BLOCK:
        scores.narrow(2, seen, _BLOCK - seen % _BLOCK).fill_(-torch.inf)
    return torch.bmm(scores.softmax(dim=-1), values).view(batch, heads, 1, head_dim)


def _room(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # NumPy asks for huge pages, and what lies in them is read a fifth faster. It does not begin at a block of its own.
    size = math.prod(shape) * dtype.itemsize
    bytes_ = np.zeros(size + _ALIGNMENT, np.uint8)
    first = -bytes_.ctypes.data % _ALIGNMENT
    return torch.from_numpy(bytes_[first : first + size]).view(dtype).view(shape)


def _visible_with_past(new: int, total: int, device: torch.device) -> Tensor:
    """Which keys each of `new` queries behind a cached past may see, (query, key): earlier events and its own."""
    return torch.ones(new, total, dtype=torch.bool, device=device).tril(total - new)
