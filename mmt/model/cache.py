"""The key/value cache: keys and values of earlier events, so that decoding an event takes one step."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor

from mmt.model.config import NetworkConfig

# Attention reads keys in whole blocks of this many events; the memory is aligned to this many bytes.
_BLOCK, _ALIGNMENT = 16, 64


class Cache:
    """The keys and values of every layer, for a batch of pieces.

    `keys` and `values` are (layer, batch, head, room, head_dim), where the room is the capacity rounded up to whole blocks. Of
    row i, the first `lengths[i]` events are filled. Rows may differ in length; attention takes neighbours of equal length
    together, which is faster.
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
        shape = (config.layers, batch, config.heads, _whole_blocks(self.capacity), config.head_dim)
        like = torch.empty(0, dtype=torch.float32, device="cpu") if like is None else like
        self.keys, self.values = (_room(shape, dtype or like.dtype, like.device) for _ in range(2))
        self.lengths = [0] * batch
        self.first_beats = [0] * batch
        """The beat of the piece at which the codes of each row begin to count."""
        self._codes = torch.zeros(batch, self.capacity, len(config.sizes), dtype=torch.int64, device=like.device)

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
        groups = self._equal_lengths()
        attended = [self._attend(layer, rows, queries[rows], keys[rows], values[rows]) for rows in groups]
        return attended[0] if len(attended) == 1 else torch.cat(attended)

    def _attend(self, layer: int, rows: slice, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        all_keys, all_values = self._store(layer, rows, keys, values)
        new, seen = queries.shape[2], self.lengths[rows.start]
        end = seen + new
        if new == 1 and queries.device.type == "cpu":
            return _attend_to_whole_blocks(queries, all_keys, all_values, end)
        if seen:
            keys, values = (of[:, :, :end].to(queries.dtype) for of in (all_keys, all_values))
        mask = _visible_with_past(new, end, queries.device) if new > 1 and seen else None
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, is_causal=new > 1 and not seen)

    def _store(self, layer: int, rows: slice, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write the next keys and values of rows of equal length; returns all keys and values of these rows, (…, room, …)."""
        all_keys, all_values = self.keys[layer, rows], self.values[layer, rows]
        for whole, new in ((all_keys, keys), (all_values, values)):
            whole.narrow(2, self.lengths[rows.start], new.shape[2]).copy_(new)
        return all_keys, all_values

    def attend_by(
        self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, weigh: Callable[[Tensor, int], Tensor]
    ) -> Tensor:
        """As `attend`, with weights that are computed from all scores by `weigh`.

        `weigh` takes scores (batch, head, new, room), minus infinity at hidden keys, and the number of keys of the longest row,
        and returns weights of the same shape.
        """
        new, most = queries.shape[2], self.length + queries.shape[2]
        # Whole blocks, so that a row is bit-identical in any batch, see `_attend_to_whole_blocks`.
        scores = queries.new_full((*queries.shape[:3], _whole_blocks(most)), -torch.inf)
        groups = []
        for rows in self._equal_lengths():
            all_keys, all_values = self._store(layer, rows, keys[rows], values[rows])
            end = self.lengths[rows.start] + new
            blocks = slice(_whole_blocks(end))
            found = _by_head(queries[rows] * queries.shape[3] ** -0.5, all_keys[:, :, blocks].transpose(2, 3))
            visible = _visible_with_past(new, end, queries.device)
            scores[rows, :, :, :end] = found[..., :end].masked_fill(~visible, -torch.inf)
            groups.append((rows, blocks, all_values))
        weights = weigh(scores, most)
        return torch.cat([_by_head(weights[rows, :, :, blocks], of[:, :, blocks]) for rows, blocks, of in groups])

    def remember(self, codes: Tensor) -> Tensor:
        """Keep the codes (batch, new, 6) of events that are about to be read; returns those of all events, (batch, keys, 6)."""
        new = codes.shape[1]
        for rows in self._equal_lengths():
            seen = self.lengths[rows.start]
            self._codes[rows, seen : seen + new] = codes[rows]
        return self._codes[:, : self.length + new]

    def advance(self, events: int) -> None:
        """Add `events` to the length of each row."""
        self.lengths = [length + events for length in self.lengths]

    def row(self, row: int) -> Cache:
        """An empty cache of one piece that shares the memory of row `row`."""
        alone = copy.copy(self)
        alone.keys, alone.values = self.keys[:, row : row + 1], self.values[:, row : row + 1]
        alone.lengths, alone.first_beats = [0], [self.first_beats[row]]
        alone._codes = self._codes[row : row + 1]
        return alone

    def copy(self, row: int, to: int) -> None:
        """Copy row `row` to row `to`."""
        filled = slice(self.lengths[row])
        self.keys[:, to, :, filled] = self.keys[:, row, :, filled]
        self.values[:, to, :, filled] = self.values[:, row, :, filled]
        self._codes[to, filled] = self._codes[row, filled]
        self.lengths[to], self.first_beats[to] = self.lengths[row], self.first_beats[row]

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows, in this order. Rows may only move to the places of removed rows; the others are not copied."""
        for place, row in enumerate(rows):
            assert row >= place, rows
            if place != row:
                self.copy(row, place)
        self.keys, self.values = self.keys[:, : len(rows)], self.values[:, : len(rows)]
        self._codes, self.lengths = self._codes[: len(rows)], self.lengths[: len(rows)]
        self.first_beats = self.first_beats[: len(rows)]

    def _equal_lengths(self) -> Iterator[slice]:
        """Slices of neighbouring rows of equal length."""
        first = 0
        for _, rows in groupby(self.lengths):
            last = first + len(list(rows))
            yield slice(first, last)
            first = last


def _attend_to_whole_blocks(queries: Tensor, keys: Tensor, values: Tensor, seen: int) -> Tensor:
    """Attention of one query (batch, head, 1, head_dim) a row to the first `seen` keys and values (batch, head, room, head_dim).

    Keys are read in whole blocks, with weight 0 for those after `seen`. All rows then have the same alignment and order of
    summation, so a row is bit-identical in any batch.
    """
    blocks = slice(_whole_blocks(seen))
    scores = _by_head(queries * queries.shape[3] ** -0.5, keys[:, :, blocks].transpose(2, 3))
    if seen % _BLOCK:
        scores[..., seen:] = -torch.inf
    return _by_head(scores.softmax(dim=-1), values[:, :, blocks])


def _whole_blocks(events: int) -> int:
    """The number of events in blocks, rounded up to whole blocks."""
    return -(-events // _BLOCK) * _BLOCK


def _by_head(left: Tensor, right: Tensor) -> Tensor:
    """The product of matrices (batch, head, …, …), in the type of `left`."""
    found = torch.bmm(left.flatten(0, 1), right.flatten(0, 1).to(left.dtype))
    return found.view(*left.shape[:2], *found.shape[1:])


def _room(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # NumPy asks for huge pages, which are read a fifth faster, but does not align the memory.
    size = math.prod(shape) * dtype.itemsize
    bytes_ = np.zeros(size + _ALIGNMENT, np.uint8)
    first = -bytes_.ctypes.data % _ALIGNMENT
    return torch.from_numpy(bytes_[first : first + size]).view(dtype).view(shape)


def _visible_with_past(new: int, total: int, device: torch.device) -> Tensor:
    """The keys that each of `new` queries after a cached past may see, (query, key): its own event and earlier ones."""
    return torch.ones(new, total, dtype=torch.bool, device=device).tril(total - new)
