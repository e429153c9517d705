"""Sums over the pairs of a piece: each query with each strictly earlier key, by the codes that they join.

A joint sum is (..., size, size): [query's code, key's code]. By difference it is (..., differences), difference = key's
code less query's. In every field but the type only pairs of two written notes count, and code 0 ("none") has no place: index 0
is code 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mmt.representation.codes import BEAT, GIVEN_NOTE, NOTE, TYPE, Events

Sums = npt.NDArray[np.float64]


class Pairs:
    """The pairs of one piece; what each head, or no head at all, gives them is added up in float64.

    Examples
    --------
    >>> events = np.array([[0, 0, 0, 0, 0, 0], [3, 1, 1, 61, 12, 25], [3, 1, 1, 65, 12, 25]])
    >>> pairs = Pairs(events, sizes=(5, 257, 13, 129, 33, 65), fields=[3])
    >>> (joint,) = pairs.sums(np.full((1, 3, 3), 0.5))
    >>> joint.shape, joint[0, 65 - 1, 61 - 1].item()
    ((1, 128, 128), 0.5)
    """

    def __init__(self, events: Events, sizes: Sequence[int], fields: Iterable[int]) -> None:
        self._earlier = np.tri(len(events), k=-1, dtype=bool)
        self._query, key = np.nonzero(self._earlier)
        self._bins = []
        for field in fields:
            codes, size = codes_that_count(events, field), sizes[field]
            self._bins.append((codes[self._query] * size + codes[key], size, int(field != TYPE)))

    def sums(self, weights: npt.NDArray[np.floating[Any]]) -> list[Sums]:
        """Joint sums (head, size, size) of weights (head, query, key), for each field."""
        heads = [head[self._earlier].astype(np.float64) for head in weights]
        return [np.stack([_joint(bins, head, size, first) for head in heads]) for bins, size, first in self._bins]

    def counts(self) -> list[Sums]:
        """Joint sums (size, size) of the pairs themselves."""
        return [_joint(bins, None, size, first) for bins, size, first in self._bins]

    def even_sums(self) -> list[Sums]:
        """Joint sums (size, size) of a head that attends evenly to all that a query can see, itself included."""
        even = 1 / (self._query + 1)
        return [_joint(bins, even, size, first) for bins, size, first in self._bins]


def codes_that_count(events: Events, field: int) -> npt.NDArray[np.int64]:
    """The codes of a field, (n,): the type of every event; in other fields 0 for whatever is no written note."""
    return events[:, field] if field == TYPE else np.where(events[:, TYPE] == NOTE, events[:, field], 0)


def _joint(bins: npt.NDArray[np.int64], weights: Sums | None, size: int, first: int) -> Sums:
    sums = np.bincount(bins, weights, minlength=size * size).reshape(size, size)
    return sums[first:, first:].astype(np.float64)


def by_difference(joint: Sums, field: int) -> Sums:
    """Joint sums (..., size, size) as sums (..., K) over the pairs of equal difference, in the order of `differences`."""
    size = joint.shape[-1]
    # Rows from the last to the first, each a place further to the right than the one above: differences stand in columns.
    wide = np.zeros((*joint.shape[:-1], 2 * size))
    wide[..., :size] = joint[..., ::-1, :]
    sheared = wide.reshape(*joint.shape[:-2], -1)[..., : size * (2 * size - 1)]
    sums: Sums = sheared.reshape(*joint.shape[:-2], size, 2 * size - 1).sum(axis=-2)
    return sums[..., :size] if _never_falls(field, size) else sums


def differences(field: int, size: int) -> npt.NDArray[np.int64]:
    """The differences of key and query that there may be in a field of `size` codes, ascending, (K,)."""
    highest = size - 1 if field == TYPE else size - 2
    return np.arange(-highest, 1 if _never_falls(field, size) else highest + 1)


def _never_falls(field: int, size: int) -> bool:
    """Whether no earlier key has a greater code: so it is with beats, and with types where none is a given note."""
    return field == BEAT or (field == TYPE and size <= GIVEN_NOTE)
