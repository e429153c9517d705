"""Weights as the compiled steps of `mmt.model.kernels` read them: copies of a network's, laid in blocks, and norms and tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, cast

import numpy as np
from torch import Tensor, nn

from mmt.model.tiles import LANES, TOGETHER, Array

# The least range of a row of weights: one of zeros has none.
_LEAST = np.float32(1e-30)


class Map(NamedTuple):
    """A linear map: outputs are scale * (weight @ input) + bias."""

    weight: Array
    """(block, input, 16), float32 or int8; outputs that there are not are zeros."""
    scale: Array
    """(output,)"""
    bias: Array
    """(output,)"""

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None = None, *, narrow: bool = False) -> Map:
        """The map of a weight (output, input), with `narrow` rounded to int8, each output by a range of its own."""
        plain, outputs = weight.detach().numpy(), len(weight)
        scale = np.ones(outputs, np.float32)
        if narrow:
            scale = np.maximum(np.abs(plain).max(axis=1), _LEAST) / np.float32(127)
        return cls(
            _lay(plain, scale, narrow=narrow),
            scale,
            np.zeros(outputs, np.float32) if bias is None else bias.detach().numpy(),
        )


class Norm(NamedTuple):
    """A layer norm, or none: then it has no weights, and what it is given stays as it is."""

    weight: Array
    bias: Array
    eps: np.float32

    @classmethod
    def of(cls, norm: nn.Module) -> Norm:
        """Of a LayerNorm; anything else is none."""
        if not isinstance(norm, nn.LayerNorm):
            return cls(np.empty(0, np.float32), np.empty(0, np.float32), np.float32(0))
        shape = tuple(norm.normalized_shape)
        weight = np.ones(shape, np.float32) if norm.weight is None else norm.weight.detach().numpy()
        bias = np.zeros(shape, np.float32) if norm.bias is None else norm.bias.detach().numpy()
        return cls(weight, bias, np.float32(norm.eps))


class BlockWeights(NamedTuple):
    """All of a block, see `mmt.model.network.Block`."""

    attention_norm: Norm
    queries_keys_values: Map
    query_norm: Norm
    key_norm: Norm
    out: Map
    feed_forward_norm: Norm
    expand: Map
    contract: Map


class Embedding(NamedTuple):
    """What makes events rows, and says how far the vectors of each are turned."""

    table: Array
    """(code, dim): those of the six fields, one behind the other."""
    ends: Array
    """(7,): where each field's begin, and the last one's end."""
    places: Array
    """(place, dim); nothing where places have no rows of their own."""
    by_place: Array
    by_beat: Array
    """Radians, see `mmt.model.rotation.turns_of`."""
    resolution: int

    @classmethod
    def of(
        cls, fields: Iterable[nn.Module], places: nn.Embedding | None, turns: tuple[Tensor, Tensor], resolution: int
    ) -> Embedding:
        """Of a network's tables."""
        tables = [cast(Tensor, field.weight).detach().numpy() for field in fields]
        dim = tables[0].shape[1]
        ends = np.cumsum([0, *(len(table) for table in tables)])
        placed = np.zeros((0, dim), np.float32) if places is None else places.weight.detach().numpy() * dim**-0.5
        return cls(
            np.concatenate(tables), ends, placed.astype(np.float32), turns[0].numpy(), turns[1].numpy(), resolution
        )


class ChainWeights(NamedTuple):
    """What chained heads make of the fields that are known."""

    table: Array
    """(code, dim): what each adds to the state."""
    weight: Array
    """(block, input, 16): what the GELU of that is mapped by, for one field behind the other."""
    groups: Array
    """(7,): where each field's begin, in groups of blocks, and the last one's end."""

    @classmethod
    def of(cls, tables: Iterable[nn.Module], maps: Iterable[Tensor]) -> ChainWeights:
        """Of embeddings, and of the weights (output, input) of all fields but the first, which reads nothing."""
        laid = [Map.of(weight).weight for weight in maps]
        return cls(
            np.concatenate([cast(Tensor, table.weight).detach().numpy() for table in tables]),
            np.concatenate(laid),
            np.cumsum([0, 0, *(len(blocks) // TOGETHER for blocks in laid)]),
        )


def _lay(weight: Array, scale: Array, *, narrow: bool = False) -> Array:
    """A weight (output, input) in blocks of 16 outputs, (block, input, 16), of which there are whole groups.

    Each output is divided by its scale, and with `narrow` rounded to int8.
    """
    groups = -(-len(weight) // (LANES * TOGETHER))
    laid = np.zeros((groups * TOGETHER, weight.shape[1], LANES), np.int8 if narrow else np.float32)
    for block, first in zip(laid, range(0, len(weight), LANES), strict=False):
        # A block at a time, which stays in the core's own memory.
        few = weight[first : first + LANES] / scale[first : first + LANES, None]
        block[:, : len(few)] = (np.rint(few, out=few) if narrow else few).T
    return laid
