"""Compare two models, or a model and real pieces, in every metric: intervals, significance tests, correction for many tests.

Two models are compared piece by piece, since piece i of both has the same prompt: the differences are averaged over the pieces of
one prompt first, as they are not independent, and tested by Student's t. A model and real pieces are compared by Welch's t. With
many metrics and modes some differences are large by chance: a difference stands if its p-value passes the procedure of Benjamini
and Hochberg (1995) over all metrics and modes of the comparison, so that at most 5 % of those that stand are expected to be none.

A t-test needs values that vary. Where none vary (two sets that are each constant, or pairs that all differ by the same amount),
the p-value is that of an exact test, and there is no interval:

- independent sets of n and m pieces: the permutation test. One of the C(n + m, n) ways to deal the pieces into two sets separates
  the two values, or two ways if n = m, so p is 1 / C(n + m, n), or 2 / C(2n, n). At 3 and 3 pieces it is 0.1, at 4 and 4 0.029.
- n pairs: the sign-flip test. Two of the 2^n signs give a difference this large, so p is 2^(1 - n): 0.0625 at 5, 0.031 at 6.

A metric that has the same value in all pieces of both sets, and one that fewer than three pieces or prompts have, is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmt.analysis.intervals import ENOUGH, LEVEL, Floats
from mmt.analysis.metrics import METRICS, Scores
from mmt.analysis.plotting import new_figure, png_of, style_panel

_STANDS, _OTHER = "#c1452b", "#8a8a94"
# The smallest number of values that is tested.
_FEWEST = 3
# Variation below this share of the largest value is rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Effect:
    """The difference in one metric and mode."""

    mode: str
    metric: str
    difference: float
    """The mean of the first set minus that of the second, in the metric's unit."""
    low: float | None
    high: float | None
    """The 95 % interval of the difference, for this metric alone; None if no value varies."""
    effect: float
    """The difference in standard deviations of the pieces: of the second set, or of both sets with equal weight if the pieces are
    paired or the second set is constant (2 or -2 if both are)."""
    effect_low: float | None
    effect_high: float | None
    p: float
    """Of the t-test, or of an exact test if no value varies."""
    corrected: float
    """The p-value after correction; a difference stands if it is at most 0.05."""
    count: int
    """Number of values: prompts, or pieces of the smaller set."""

    @property
    def stands(self) -> bool:
        """Whether the difference stands after correction."""
        return self.corrected <= 1 - LEVEL

    def __str__(self) -> str:
        scale, unit = (100, " %") if METRICS[self.metric].percent else (1, "")
        name = METRICS[self.metric].label or self.metric.replace("_", " ")
        interval = "(no value varies)"
        if self.low is not None and self.high is not None:
            interval = f"[{scale * self.low:+.2f}, {scale * self.high:+.2f}]"
        change = f"{scale * self.difference:+.2f}{unit} {interval}"
        return f"{self.mode}: {name} {change}, corrected p = {self.corrected:.2g}"


@dataclass(frozen=True)
class Differences:
    """The differences of two sets of pieces, over all modes and metrics."""

    first: str
    second: str
    effects: tuple[Effect, ...]
    length: str

    def __str__(self) -> str:
        standing = sorted((one for one in self.effects if one.stands), key=lambda one: -abs(one.effect))
        head = (
            f"{self.first} minus {self.second}, {self.length}: {len(standing)} of {len(self.effects)} differences stand "
            "after correction (Benjamini-Hochberg, 5 %)"
        )
        if any(one.count < ENOUGH for one in self.effects):
            head += f"; tests of fewer than {ENOUGH} pieces or prompts are rough"
        return "\n".join([head, *(f"- {one}" for one in standing)])

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        effects = [vars(one) | {"stands": one.stands} for one in self.effects]
        return {"first": self.first, "second": self.second, "length": self.length, "effects": effects}


def compare_scores(
    first: Mapping[str, Scores],
    second: Mapping[str, Scores],
    *,
    names: tuple[str, str] = ("first", "second"),
    prompts: Mapping[str, Sequence[int]] | None = None,
) -> Differences:
    """Compare two sets of pieces in every metric and mode.

    Parameters
    ----------
    first, second : mapping from modes to Scores
        The modes that both have are compared.
    names : pair of str
        What to call the sets.
    prompts : mapping from modes to sequences of int, optional
        The number of the prompt of each piece, the same for both sets: they are paired. Default: the sets are independent.

    Examples
    --------
    >>> import mmt
    >>> sets = [mmt.new_model("tiny", seed=seed).generate(n=8, seed=1, max_events=256) for seed in (0, 1)]
    >>> scores = [{"unconditional": mmt.metrics.evaluate(pieces)} for pieces in sets]
    >>> found = compare_scores(*scores, prompts={"unconditional": range(8)})
    >>> {effect.count for effect in found.effects if effect.metric == "polyphony"}
    {8}
    """
    from scipy.stats import false_discovery_control

    rows: list[dict[str, Any]] = []
    for mode in (mode for mode in first if mode in second):
        groups = None if prompts is None else np.asarray(prompts[mode])
        for name, metric in METRICS.items():
            if metric.label or metric.distribution:
                most = 1.0 if metric.percent else metric.highest
                row = _difference(first[mode].values[name], second[mode].values[name], groups, most)
                if row is not None:
                    rows.append({"mode": mode, "metric": name, **row})
    corrected = false_discovery_control([row["p"] for row in rows]) if rows else []
    effects = (Effect(**row, corrected=float(p)) for row, p in zip(rows, corrected, strict=True))
    length = next(iter(first.values())).length if first else ""
    return Differences(*names, tuple(effects), length)


def _difference(
    ours: Floats, theirs: Floats, groups: npt.NDArray[Any] | None, most: float
) -> dict[str, float | None] | None:
    """Difference, interval, effect and p-value of a metric; None if too few pieces have a value, or all values are the same.

    The difference of values from 0 to `most` is from -most to most, and its interval is cut there.
    """
    from scipy.stats import t

    values = np.concatenate([ours, theirs])
    rounding = _ROUNDING * float(np.nanmax(np.abs(values), initial=0.0))
    tested = _welch(ours, theirs, rounding) if groups is None else _paired(ours - theirs, groups, rounding)
    if tested is None:
        return None
    difference, error, freedom, exact, count = tested
    if not error and abs(difference) <= rounding:
        return None
    known = theirs[~np.isnan(theirs)] if groups is None else values[~np.isnan(values)]
    scale = float(known.std())
    if np.ptp(known) <= rounding:
        # The variance of both sets with equal weight, where the second has none.
        scale = math.sqrt(float(np.nanvar(ours)) / 2 + difference**2 / 4)
    half = float(t.ppf((1 + LEVEL) / 2, freedom)) * error
    ends = (max(difference - half, -most), min(difference + half, most)) if error else (None, None)
    low, high = (None if end is None else end / scale for end in ends)
    return {
        "difference": difference, "low": ends[0], "high": ends[1], "effect": difference / scale, "effect_low": low,
        "effect_high": high, "p": float(2 * t.sf(abs(difference) / error, freedom)) if error else exact, "count": count,
    }  # fmt: skip


def _welch(ours: Floats, theirs: Floats, rounding: float) -> tuple[float, float, float, float, int] | None:
    """Of independent sets: the difference, its standard error, degrees of freedom, exact p-value without an error, and count."""
    samples = [values[~np.isnan(values)] for values in (ours, theirs)]
    sizes = [len(values) for values in samples]
    if min(sizes) < _FEWEST:
        return None
    difference = float(samples[0].mean() - samples[1].mean())
    parts = [float(values.var(ddof=1)) / len(values) if np.ptp(values) > rounding else 0.0 for values in samples]
    exact = (1 + (sizes[0] == sizes[1])) / math.comb(sum(sizes), sizes[0])
    if not any(parts):
        return difference, 0.0, 1.0, exact, min(sizes)
    freedom = sum(parts) ** 2 / sum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
    return difference, sum(parts) ** 0.5, freedom, exact, min(sizes)


def _paired(
    between: Floats, groups: npt.NDArray[Any], rounding: float
) -> tuple[float, float, float, float, int] | None:
    """The same of pairs, from their differences and the number of each one's prompt."""
    known = ~np.isnan(between)
    _, place = np.unique(groups[known], return_inverse=True)
    means = np.bincount(place, between[known]) / np.bincount(place) if known.any() else np.zeros(0)
    count = len(means)
    if count < _FEWEST:
        return None
    error = float(means.std(ddof=1)) / count**0.5 if np.ptp(means) > rounding else 0.0
    return float(means.mean()), error, count - 1.0, 2.0 ** (1 - count), count


def picture(found: Differences) -> bytes:
    """Plot the effect and its interval for every metric, a panel for each mode; returns the bytes of a PNG file."""
    modes = list(dict.fromkeys(one.mode for one in found.effects))
    metrics = [name for name in METRICS if any(one.metric == name for one in found.effects)]
    figure = new_figure(2.0 + 2.6 * max(len(modes), 1), 1.4 + 0.24 * len(metrics))
    panels = figure.subplots(1, max(len(modes), 1), sharey=True, squeeze=False)[0]
    for axes, mode in zip(panels, modes, strict=False):
        axes.axvline(0, color="#44444e", linewidth=0.8)
        for one in (one for one in found.effects if one.mode == mode):
            ends = (one.effect if end is None else end for end in (one.effect_low, one.effect_high))
            axes.plot(
                [one.effect, *ends], [metrics.index(one.metric)] * 3,
                color=_STANDS if one.stands else _OTHER, marker="o", markevery=[0], markersize=5,
                markerfacecolor=None if one.stands else "white",
            )  # fmt: skip
        axes.set_xlabel("standard deviations", fontsize=8)
        style_panel(axes, mode)
    panels[0].set_yticks(range(len(metrics)), [METRICS[name].label or name.replace("_", " ") for name in metrics])
    panels[0].invert_yaxis()
    figure.suptitle(
        f"{found.first} minus {found.second}, {found.length}\nfilled: stands after correction; lines: 95 % intervals",
        fontsize=10.5,
    )
    return png_of(figure)
