"""Sums over the pairs of a piece: each query with each strictly earlier key, by code pair or by code difference.

A joint sum is (size, size, head): [query's code, key's code]. A sum by difference is (K, head), with difference = key's code -
query's code. In every field but the type only pairs of two written notes count, and code 0 ("none") is left out: index 0
is code 1. The heads are the last axis, so that they are neighbours in memory and the processor adds several at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mmt.model.compiled import compiled
from mmt.representation.codes import BEAT, GIVEN_NOTE, NOTE, TYPE, Events

Sums = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def sum_pairs(
    sizes: npt.ArrayLike, weights: npt.NDArray[Any], places: Indices, rows: Indices, columns: Indices, ends: Indices
) -> list[Sums]:
    """Several sums of the same pairs, (sizes[i], head): row rows[i, q] + columns[i, k] of sum i adds up query q and other key k.

    The keys of q are those below ends[q], and the weight of a pair is weights[places[q], places[k]]. Several sums in one call are
    faster than a call for each: the weights of a query then stay in the processor's cache.
    """
    stops = np.cumsum(sizes)
    sums = np.zeros((stops[-1], weights.shape[2]))
    _add_pairs(sums, weights, places, rows + (stops - sizes)[:, None], columns, ends)
    return np.split(sums, stops[:-1])


@compiled()
def _add_pairs(sums: Any, weights: Any, places: Any, rows: Any, columns: Any, ends: Any) -> None:
    heads = np.uint64(sums.shape[1])
    for query in range(len(places)):
        given = weights[places[query]]
        for number in range(len(rows)):
            row = rows[number, query]
            for key in range(ends[query]):
                if key != query:
                    # Unsigned, so that Numba does not look for negative indices, which would prevent vector instructions.
                    into, place = np.uint64(row + columns[number, key]), np.uint64(places[key])
                    for head in range(heads):
                        sums[into, head] += given[place, head]


class Pairs:
    """The pairs of one piece; sums the weights that heads give to them, in float64, for each of some fields.

    Examples
    --------
    >>> events = np.array([[0, 0, 0, 0, 0, 0], [3, 1, 1, 61, 12, 25], [3, 1, 1, 65, 12, 25]])
    >>> pairs = Pairs(events, sizes=(5, 257, 13, 129, 33, 65), fields=[3])
    >>> (joint,) = pairs.sums(np.full((3, 3, 1), 0.5))
    >>> joint.shape, joint[65 - 1, 61 - 1, 0].item()
    ((128, 128, 1), 0.5)
    """

    def __init__(self, events: Events, sizes: Sequence[int], fields: Iterable[int]) -> None:
        self._length, self._fields = len(events), list(fields)
        counted = {field: (events[:, TYPE] == NOTE) & (events[:, field] > 0) for field in self._fields if field != TYPE}
        counted |= {TYPE: np.ones(len(events), bool)} if TYPE in self._fields else {}
        alike: dict[bytes, list[int]] = {}
        for field, mask in counted.items():
            alike.setdefault(mask.tobytes(), []).append(field)
        # Fields that count the same events, their sizes, the indices of these events, and the codes, (field, event).
        self._groups: list[tuple[list[int], list[int], Indices, Indices]] = []
        for group in alike.values():
            places, first = np.flatnonzero(counted[group[0]]), np.array(group) != TYPE
            codes = np.ascontiguousarray((events[places][:, group] - first).T)
            self._groups.append((group, [sizes[field] - int(field != TYPE) for field in group], places, codes))

    def sums(self, weights: npt.NDArray[np.floating[Any]]) -> list[Sums]:
        """Joint sums (size, size, head) of weights (query, key, head), for each field."""
        found = {}
        for group, sizes, places, codes in self._groups:
            size = np.array(sizes)
            joints = sum_pairs(size**2, weights, places, codes * size[:, None], codes, np.arange(len(places)))
            for field, width, joint in zip(group, sizes, joints, strict=True):
                found[field] = joint.reshape(width, width, -1)
        return [found[field] for field in self._fields]

    def baselines(self) -> tuple[list[Sums], list[Sums]]:
        """For each field, (size, size): the number of pairs, and the sums of a head that attends evenly to all that a query sees.

        An event sees itself and the earlier ones.
        """
        shape = self._length, self._length
        even = np.broadcast_to(1 / np.arange(1, self._length + 1)[:, None], shape)
        found = self.sums(np.stack([np.ones(shape), even], axis=-1))
        return [joint[..., 0] for joint in found], [joint[..., 1] for joint in found]


def by_difference(joint: Sums, field: int) -> Sums:
    """Sum joint sums (size, size, …) over the pairs of equal difference: (K, …), in the order of `differences`."""
    size = len(joint)
    steps = differences(field, size + int(field != TYPE))
    lowest, highest = int(steps[0]), int(steps[-1])
    sums = np.zeros((len(steps), *joint.shape[2:]))
    for query in range(size):
        keys = np.s_[max(0, query + lowest) : min(size, query + highest + 1)]
        sums[keys.start - query - lowest : keys.stop - query - lowest] += joint[query, keys]
    return sums


def differences(field: int, size: int) -> npt.NDArray[np.int64]:
    """The possible differences of key and query in a field of `size` codes, ascending, (K,)."""
    highest = size - 1 if field == TYPE else size - 2
    # An earlier key never has a later beat, nor, without given notes, a greater type.
    ascending = field == BEAT or (field == TYPE and size <= GIVEN_NOTE)
    return np.arange(-highest, 1 if ascending else highest + 1)
