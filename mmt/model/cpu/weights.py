"""The weights of a network in the layout that `mmt.model.cpu.kernels` reads.

Linear maps are stored in groups of `LANES` outputs, (group, input, LANES), as float32 or int8, padded with zeros; the rest are
views or copies of tensors. A row of a group is contiguous, so that the kernels compute all its outputs at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

Array = npt.NDArray[Any]

LANES = 64
"""The outputs of a group."""

# The smallest range of a row of weights: a row of zeros must not divide by zero.
_LEAST = np.float32(1e-30)


class LinearWeights(NamedTuple):
    """A linear map: outputs are scale * (weight @ input) + bias."""

    weight: Array
    """(group, input, LANES), float32 or int8"""
    scale: Array
    """(output,)"""
    bias: Array
    """(output,)"""

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None = None, *, int8: bool = False) -> LinearWeights:
        """Convert a weight (output, input); with `int8` it is rounded, with one scale for each output."""
        plain, outputs = weight.detach().numpy(), len(weight)
        scale = np.ones(outputs, np.float32)
        if int8:
            scale = np.maximum(np.abs(plain).max(axis=1), _LEAST) / np.float32(127)
        return cls(
            _in_groups(plain, scale, int8=int8),
            scale,
            np.zeros(outputs, np.float32) if bias is None else bias.detach().numpy(),
        )


class NormWeights(NamedTuple):
    """A layer norm; without weights (length 0) it is the identity."""

    weight: Array
    bias: Array
    eps: np.float32

    @classmethod
    def of(cls, norm: nn.Module) -> NormWeights:
        """Convert an `nn.LayerNorm` or `nn.Identity`."""
        if isinstance(norm, nn.Identity):
            return cls(np.empty(0, np.float32), np.empty(0, np.float32), np.float32(0))
        assert isinstance(norm, nn.LayerNorm)
        shape = tuple(norm.normalized_shape)
        weight = np.ones(shape, np.float32) if norm.weight is None else norm.weight.detach().numpy()
        bias = np.zeros(shape, np.float32) if norm.bias is None else norm.bias.detach().numpy()
        return cls(weight, bias, np.float32(norm.eps))


class BlockWeights(NamedTuple):
    """All weights of a `mmt.model.network.Block`."""

    attention_norm: NormWeights
    queries_keys_values: LinearWeights
    query_norm: NormWeights
    key_norm: NormWeights
    out: LinearWeights
    feed_forward_norm: NormWeights
    expand: LinearWeights
    contract: LinearWeights


class EmbeddingWeights(NamedTuple):
    """The embedding tables of events and of their positions, and the frequencies of rotary positions."""

    table: Array
    """(code, dim): the tables of the six fields, concatenated."""
    ends: Array
    """(7,): offsets of the fields in `table`."""
    places: Array
    """(place, dim): what is added for an event's place; (0, dim) without a table of places."""
    by_place: Array
    by_beat: Array
    """Radians per event and per beat, see `mmt.model.positions.Positions`."""
    resolution: int

    @classmethod
    def of(
        cls,
        fields: Iterable[nn.Module],
        places: nn.Embedding | None,
        frequencies: tuple[Tensor, Tensor],
        resolution: int,
    ) -> EmbeddingWeights:
        """Concatenate the tables of a network."""
        tables = [cast(Tensor, field.weight).detach().numpy() for field in fields]
        dim = tables[0].shape[1]
        ends = np.cumsum([0, *(len(table) for table in tables)])
        placed = np.zeros((0, dim), np.float32) if places is None else places.weight.detach().numpy() * dim**-0.5
        by_place, by_beat = (part.numpy() for part in frequencies)
        return cls(np.concatenate(tables), ends, placed.astype(np.float32), by_place, by_beat, resolution)


class ChainWeights(NamedTuple):
    """The part of chained heads that reads the earlier fields of an event."""

    table: Array
    """(code, dim): the embeddings of the earlier fields, concatenated."""
    weight: Array
    """(group, input, LANES): for each field but the first, the map from the GELU of the state to logits, concatenated."""
    groups: Array
    """(7,): offsets of the fields in `weight`."""

    @classmethod
    def of(cls, tables: Iterable[nn.Module], maps: Iterable[Tensor]) -> ChainWeights:
        """Convert embeddings, and the weights (output, input) of all fields but the first."""
        groups = [LinearWeights.of(weight).weight for weight in maps]
        return cls(
            np.concatenate([cast(Tensor, table.weight).detach().numpy() for table in tables]),
            np.concatenate(groups),
            np.cumsum([0, 0, *map(len, groups)]),
        )


def _in_groups(weight: Array, scale: Array, *, int8: bool) -> Array:
    """Rearrange a weight (output, input) to (group, input, LANES), divided by the scale of each output; with `int8` rounded."""
    groups = np.zeros((-(-len(weight) // LANES), weight.shape[1], LANES), np.int8 if int8 else np.float32)
    for group, first in zip(groups, range(0, len(weight), LANES), strict=True):
        # One group at a time, which fits the core's cache.
        rows = weight[first : first + LANES] / scale[first : first + LANES, None]
        group[:, : len(rows)] = (np.rint(rows, out=rows) if int8 else rows).T
    return groups
