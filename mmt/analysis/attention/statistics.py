"""Relative and absolute attention statistics: shares of attention by code difference, or by pair of codes (section 4.4).

Both are quotients of sums over pairs (`mmt.analysis.attention.pairs`). `gain` subtracts the paper's baseline, in which every
pair counts the same; `row_gain` subtracts a head that attends evenly to every event it can see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from mmt.analysis.attention.pairs import Sums
from mmt.analysis.intervals import check_level, jackknife_interval, warn_of_few

Which = Literal["gamma", "gain", "row_gain"]


class _Shares:
    """Shares of attention, from sums over pieces whose last axis is the key: its difference to the query, or its code."""

    attention: Sums
    pairs: Sums
    even: Sums

    @property
    def pieces(self) -> int:
        """Number of pieces (or groups of pieces) with a pair of this field; the others have no part in the statistic."""
        return int(self.pairs.any(axis=tuple(range(1, self.pairs.ndim))).sum())

    @property
    def gamma(self) -> Sums:
        """Share of its attention that a head gives to each difference, (layer, head, K), or from code to code."""
        return shares(self.attention.sum(axis=0))

    @property
    def gain(self) -> Sums:
        """Gamma minus the share of pairs, the paper's baseline."""
        return self.gamma - shares(self.pairs.sum(axis=0))

    @property
    def row_gain(self) -> Sums:
        """Gamma minus that of a head that attends evenly to all it can see."""
        return self.gamma - shares(self.even.sum(axis=0))

    def merged(self, *, layers: bool = False) -> Self:
        """The statistic over all heads of a layer; with `layers`, over all layers too. Merged axes keep length 1."""
        merged = self.attention.sum(axis=(1, 2) if layers else 2, keepdims=True)
        return replace(self, attention=merged)  # type: ignore[type-var]  # a dataclass below

    def confidence(self, level: float = 0.95, of: Which = "row_gain") -> tuple[Sums, Sums]:
        """Confidence interval of a statistic over pieces, see `mmt.analysis.intervals.jackknife_interval`.

        Parameters
        ----------
        level : float
            Confidence level, in (0, 1).
        of : "row_gain", "gain" or "gamma"

        Returns
        -------
        low, high : ndarray, (layer, head, K) or (layer, head, C, C)
            NaN in rows of codes that queries have in fewer than two groups of pieces, so everywhere for beat and pitch.

        Raises
        ------
        ValueError
            If an argument is out of range, or there is only one piece.

        Warns
        -----
        FewPiecesWarning
            If there are fewer than 30 pieces.
        """
        ends = self.interval(level, of)
        warn_of_few(self.pieces)
        return ends

    def interval(self, level: float, of: Which) -> tuple[Sums, Sums]:
        """`confidence`, without the warning of few pieces."""
        raise NotImplementedError


@dataclass(frozen=True)
class Relative(_Shares):
    """Mean relative attention of a field and its gain: one number per layer, head and code difference.

    `gamma`, `gain` and `row_gain` are (layer, head, K). Gamma sums to 1 over the differences, the gains to 0. The sums of
    each piece are kept, so that `confidence` can resample pieces.

    Examples
    --------
    >>> one = np.array([[[[3.0, 1.0]]]])
    >>> found = Relative("pitch", np.array([0, 12]), one, np.array([[1.0, 1.0]]), np.array([[0.5, 0.25]]))
    >>> found.gamma.tolist(), found.gain.tolist()
    ([[[0.75, 0.25]]], [[[0.25, -0.25]]])
    """

    field: str
    differences: npt.NDArray[Any]
    """Key's code - query's code, (K,): negative where the key is lower or earlier. Group names after `grouped`."""
    attention: Sums
    """Attention given to each difference, (piece, layer, head, K)."""
    pairs: Sums
    """Number of pairs with this difference, (piece, K)."""
    even: Sums
    """Attention of a head that attends evenly to all it can see, (piece, K)."""

    def interval(self, level: float, of: Which) -> tuple[Sums, Sums]:
        """`confidence`, without the warning of few pieces."""
        _check(level, of)
        if self.pieces < 2:
            raise ValueError("one piece has no interval; give at least two pieces")
        baseline = {"gamma": None, "gain": self.pairs, "row_gain": self.even}[of]
        # Differences without any pair stay at 0. Leaving them out does not change the shares.
        seen = np.flatnonzero(self.pairs.any(axis=0))
        part = np.ix_(np.flatnonzero(self.pairs.any(axis=1)), seen)
        expected = 0.0 if baseline is None else _shares_without_each(baseline[part])
        values, ends = getattr(self, of)[..., seen], np.zeros((2, *self.attention.shape[1:]))
        low = 0.0 if of == "gamma" else -1.0
        # Head by head: all at once would take twice the memory of `attention`.
        for layer, head in np.ndindex(*self.attention.shape[1:3]):
            attention = self.attention[:, layer, head][part]
            left_out, sizes = _shares_without_each(attention) - expected, attention.sum(axis=-1)
            ends[:, layer, head, seen] = jackknife_interval(
                values[layer, head], left_out, sizes, level=level, low=low, high=1.0
            )
        return ends[0], ends[1]

    def grouped(self, groups: Mapping[str, Iterable[int]]) -> Relative:
        """The statistic over named groups of differences; "other" holds those that are in no group.

        Raises
        ------
        ValueError
            If a difference is in two groups, or a group has none of the differences.

        Examples
        --------
        >>> three = np.array([[[[1.0, 3.0, 4.0]]]])
        >>> found = Relative("pitch", np.array([-1, 0, 1]), three, three[:, 0, 0], three[:, 0, 0])
        >>> sides = found.grouped({"below": [-1], "above": [1]})
        >>> sides.differences.tolist(), sides.gamma[0, 0].tolist()
        (['below', 'above', 'other'], [0.125, 0.5, 0.375])
        """
        member = np.stack([np.isin(self.differences, list(wanted)) for wanted in groups.values()])
        for name, row in zip(groups, member, strict=True):
            if not row.any():
                known = f"{self.differences[0]} to {self.differences[-1]}"
                raise ValueError(f"group {name!r} has none of the differences, which are {known}")
        if (double := member.sum(axis=0) > 1).any():
            raise ValueError(f"difference {self.differences[double][0]} is in more than one group")
        matrix = np.concatenate([member, ~member.any(axis=0, keepdims=True)]).T.astype(np.float64)
        sums = (self.attention @ matrix, self.pairs @ matrix, self.even @ matrix)
        return Relative(self.field, np.array([*groups, "other"]), *sums)


@dataclass(frozen=True)
class Absolute(_Shares):
    """Mean attention between the codes of a field: one number per layer, head, query's code and key's code.

    `gamma`, `gain` and `row_gain` are (layer, head, C, C), [query's code, key's code]. Each row of gamma sums to 1: how
    queries with this code distribute their attention. A row is NaN where no query has its code.
    """

    field: str
    codes: npt.NDArray[np.int64]
    """The codes, (C,): all of the field but "none"."""
    attention: Sums
    """Attention from code to code, (group, layer, head, C, C). A group is a piece; 32 groups share more pieces. Beat and pitch,
    which have many codes, have one group."""
    pairs: Sums
    """Number of pairs of the two codes, (group, C, C)."""
    even: Sums
    """Attention of a head that attends evenly to all it can see, (group, C, C)."""

    def interval(self, level: float, of: Which) -> tuple[Sums, Sums]:
        """`confidence`, without the warning of few pieces."""
        _check(level, of)
        ends = np.full((2, *self.attention.shape[1:]), np.nan)
        for query in np.flatnonzero(self.pairs.any(axis=2).sum(axis=0) >= 2):
            # A row is a relative statistic, of keys' codes in place of differences.
            parts = self.attention[:, :, :, query], self.pairs[:, query], self.even[:, query]
            ends[..., query, :] = Relative(self.field, self.codes, *parts).interval(level, of)
        return ends[0], ends[1]


def _check(level: float, of: Which) -> None:
    if of not in get_args(Which):
        raise ValueError(f"of is {of!r}; choose one of {', '.join(get_args(Which))}")
    check_level(level)


def _shares_without_each(sums: Sums) -> Sums:
    """The shares without each piece, (piece, K), of the sums of each piece."""
    return shares(sums.sum(axis=0) - sums)


def shares(sums: Sums) -> Sums:
    """The share of each number in the sum of its row, the last axis; NaN where that is 0."""
    total = sums.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(sums, total, out=np.full_like(sums, np.nan), where=total > 0))
