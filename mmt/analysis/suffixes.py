"""Longest matches of rows of numbers in a long row: a sorted array of its suffixes, in NumPy throughout.

Tokens are int64 (n,). Places are indices into them. Suffixes are compared token by token; two that share `DEPTH` tokens may
stand in either order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]

# Longer repeats are found all the same; only which of several is named is left open.
DEPTH = 4096

# Odd, so that it has an inverse modulo 2**64.
_BASE = np.uint64(0x9E3779B97F4A7C15)
_INVERSE = np.uint64(pow(int(_BASE), -1, 2**64))


def sort_suffixes(tokens: Tokens) -> Places:
    """The places of all suffixes in ascending order, by prefix doubling (Manber and Myers, 1993).

    Only suffixes that still share a prefix with another are sorted again in each round.

    >>> sort_suffixes(np.array([2, 1, 2, 1, 3])).tolist()
    [1, 3, 0, 2, 4]
    """
    count = len(tokens)
    keys, length = _packed(tokens)
    order = np.argsort(keys, kind="stable")
    heads = np.ones(count, bool)
    heads[1:] = np.diff(keys[order]) != 0
    del keys
    rank = np.empty(count, np.int64)
    rank[order] = np.maximum.accumulate(np.where(heads, np.arange(count), 0))
    # Where in the order suffixes stand that are not alone in their group.
    open_places = np.flatnonzero(~heads | ~np.append(heads[1:], True))
    while len(open_places) and length < DEPTH:
        suffixes = order[open_places]
        behind = suffixes + length
        keys = rank[suffixes] * (count + 1) + np.where(behind < count, rank[np.minimum(behind, count - 1)] + 1, 0)
        resorted = np.argsort(keys, kind="stable")
        suffixes, keys = suffixes[resorted], keys[resorted]
        order[open_places] = suffixes
        heads = np.ones(len(keys), bool)
        heads[1:] = np.diff(keys) != 0
        rank[suffixes] = open_places[np.maximum.accumulate(np.where(heads, np.arange(len(keys)), 0))]
        open_places = open_places[~heads | ~np.append(heads[1:], True)]
        length *= 2
    return order.astype(np.int32)


class Matcher:
    """Finds, for every place of other rows, the longest row of tokens that it shares with an indexed one."""

    def __init__(self, tokens: Tokens, order: Places) -> None:
        self._tokens, self._order = tokens, order
        self._hashes, self._unshift = _prefix_hashes(tokens)

    def longest(self, tokens: Tokens, lengths: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Places]:
        """The longest match of each place, and where in the indexed row one begins.

        Parameters
        ----------
        tokens : ndarray, (n,)
        lengths : ndarray, (n,)
            How many tokens from each place on may be matched.

        Returns
        -------
        matched : ndarray of int64, (n,)
        places : ndarray of int32, (n,)
        """
        hashes, unshift = _prefix_hashes(tokens)
        places = np.arange(len(tokens))

        def shared(candidates: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
            """How many tokens each place shares with its candidate, by bisection over equal hashes."""
            low = np.zeros(len(places), np.int64)
            high = np.minimum(lengths, len(self._tokens) - candidates)
            while (open_rows := np.flatnonzero(low < high)).size:
                here, there = places[open_rows], candidates[open_rows]
                middle = (low[open_rows] + high[open_rows] + 1) // 2
                equal = (hashes[here + middle] - hashes[here]) * unshift[here] == (
                    self._hashes[there + middle] - self._hashes[there]
                ) * self._unshift[there]
                low[open_rows] = np.where(equal, middle, low[open_rows])
                high[open_rows] = np.where(equal, high[open_rows], middle - 1)
            return low

        rows = len(self._order)
        low, high = np.zeros(len(places), np.int64), np.full(len(places), rows)
        best = np.zeros(len(places), np.int64)
        found = np.zeros(len(places), np.int32)
        # The longest match is with a neighbour of where the place would stand; both are met on the way there.
        for _ in range(rows.bit_length()):
            going = low < high
            middle = np.minimum((low + high) // 2, rows - 1)
            candidates = self._order[middle].astype(np.int64)
            match = shared(candidates)
            better = going & (match > best)
            best[better], found[better] = match[better], candidates[better]
            here = np.minimum(places + match, len(tokens) - 1)
            there = np.minimum(candidates + match, len(self._tokens) - 1)
            ended = candidates + match >= len(self._tokens)
            smaller = (match < lengths) & (ended | (self._tokens[there] < tokens[here]))
            low = np.where(going & smaller, middle + 1, low)
            high = np.where(going & ~smaller, middle, high)
        return best, found


def _packed(tokens: Tokens) -> tuple[Tokens, int]:
    """As many tokens from each place on as one integer holds, in an order that is theirs; and how many these are."""
    known, codes = np.unique(tokens, return_inverse=True)
    bits = max(len(known).bit_length(), 1)
    packed = max(62 // bits, 1)
    keys = np.zeros(len(tokens), np.int64)
    for place in range(packed):
        keys <<= bits
        # 0 behind the end, so that a suffix stands before those that go on.
        keys[: len(tokens) - place] |= codes[place:] + 1 if place < len(tokens) else 0
    return keys, packed


def _prefix_hashes(tokens: Tokens) -> tuple[Hashes, Hashes]:
    """Hashes of the first 0 … n tokens, (n + 1,), and the powers that make those of rows within comparable, (n,)."""
    mixed = tokens.astype(np.uint64)
    # Neighbouring numbers become unlike ones (the finaliser of splitmix64; Steele, Lea and Flood, 2014).
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    powers = np.full(len(tokens), _BASE)
    powers[:1] = 1
    hashes = np.zeros(len(tokens) + 1, np.uint64)
    np.cumsum(mixed * np.multiply.accumulate(powers), out=hashes[1:])
    powers[1:] = _INVERSE
    return hashes, np.multiply.accumulate(powers)
