"""Sampling filters: temperature, top-k, top-p and min-p, each a number for all fields or a number per field.

Logits are (batch, size); codes that are filtered out get minus infinity. The likeliest code always stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mmt.model.compiled import compiled
from mmt.representation.codes import FIELDS

Numbers = npt.NDArray[np.float32]
PerField = float | Mapping[str, float | None] | None

FILTERS = ("temperature", "top_k", "top_p", "min_p")
_NEVER = np.float32(-np.inf)


@dataclass(frozen=True)
class Filters:
    """The filters of each field, tuples of six; None where a field has none."""

    temperature: tuple[float, ...] = (1.0,) * 6
    top_k: tuple[int | None, ...] = (None,) * 6
    top_p: tuple[float | None, ...] = (None,) * 6
    min_p: tuple[float | None, ...] = (None,) * 6

    @classmethod
    def of(
        cls, temperature: PerField = None, top_k: PerField = None, top_p: PerField = None, min_p: PerField = None
    ) -> Filters:
        """Parse and check the arguments of a user, each a number for all fields or a mapping from field names to numbers.

        >>> Filters.of(temperature={"pitch": 0.9}).temperature
        (1.0, 1.0, 1.0, 0.9, 1.0, 1.0)
        """
        temperatures = _by_field("temperature", temperature, "above 0", lambda t: 0 < t < math.inf)
        counts = _by_field("top_k", top_k, "a whole number of at least 1", lambda k: 1 <= k < math.inf and k == int(k))
        return cls(
            temperature=tuple(1.0 if t is None else t for t in temperatures),
            top_k=tuple(None if k is None else int(k) for k in counts),
            top_p=_by_field("top_p", top_p, "above 0 and at most 1", lambda p: 0 < p <= 1),
            min_p=_by_field("min_p", min_p, "at least 0 and at most 1", lambda p: 0 <= p <= 1),
        )

    def __str__(self) -> str:
        """The filters in force: "top_p 0.9, min_p 0.01 (beat 0.05)"."""
        told = []
        for name in FILTERS:
            numbers = ["off" if value is None else f"{value:g}" for value in getattr(self, name)]
            usual = max(numbers, key=numbers.count)
            others = [f"{field} {n}" for field, n in zip(FIELDS, numbers, strict=True) if n != usual]
            if others or usual != ("1" if name == "temperature" else "off"):
                told.append(f"{name} {usual}" + (f" ({', '.join(others)})" if others else ""))
        return ", ".join(told) or "no filters"

    def temper(self, logits: Tensor, field: int, warmth: Numbers | None = None) -> Numbers:
        """The logits of a field (batch, size), divided by its temperature and `warmth` (batch, 1), finite and on the host."""
        return _tempered(logits, self.temperature[field], warmth)

    def temper_all(self, logits: Tensor, ends: npt.NDArray[np.int64], warmth: Numbers | None) -> Numbers:
        """The same for the concatenated logits of all fields; `ends` (7,) are the offsets of the fields."""
        if len(set(self.temperature)) == 1:
            return self.temper(logits, 0, warmth)
        return _tempered(logits, np.repeat(np.array(self.temperature, np.float32), np.diff(ends)), warmth)

    def apply(self, logits: Numbers, field: int) -> Numbers:
        """Filter the tempered logits (batch, size) of a field by top-k, top-p and min-p, in this order."""
        if (k := self.top_k[field]) is not None:
            logits = keep_top_k(logits, k)
        if (p := self.top_p[field]) is not None and p < 1:
            logits = keep_top_p(logits, p)
        if (share := self.min_p[field]) is not None and share > 0:
            logits = keep_min_p(logits, share)
        return logits


def paper_top_k(sizes: Sequence[int]) -> dict[str, float]:
    """The top-k of the original code for each field: 10 % of its codes, rounded up."""
    return {name: math.ceil(0.1 * size) for name, size in zip(FIELDS, sizes, strict=True)}


def keep_top_k(logits: Numbers, k: int) -> Numbers:
    """Keep the `k` likeliest codes of each row; of equal codes, the lower ones."""
    kept = logits.copy()
    np.put_along_axis(kept, _by_likelihood(logits)[..., k:], _NEVER, axis=-1)
    return kept


def keep_top_p(logits: Numbers, p: float) -> Numbers:
    """Keep the smallest set of likeliest codes whose probabilities sum to at least `p` (nucleus sampling)."""
    order = _by_likelihood(logits)
    likelihoods = np.exp(np.take_along_axis(logits - logits.max(axis=-1, keepdims=True), order, axis=-1))
    probabilities = likelihoods / likelihoods.sum(axis=-1, keepdims=True)
    before = probabilities.cumsum(axis=-1) - probabilities
    out = np.empty_like(before, bool)
    # The sum before the likeliest code is 0, so it always stays.
    np.put_along_axis(out, order, before >= p, axis=-1)
    return np.where(out, _NEVER, logits)


def keep_min_p(logits: Numbers, share: float) -> Numbers:
    """Keep the codes that are at least `share` (above 0) times as likely as the likeliest."""
    least = logits.max(axis=-1, keepdims=True) + np.float32(math.log(share))
    return np.where(logits < least, _NEVER, logits)


def draw(logits: Numbers, uniform: Numbers) -> npt.NDArray[np.int64]:
    """Draw one code per row, (batch,), by inverse transform: the same row and number give the same code in any batch.

    `uniform` (batch,) are random numbers in [0, 1). A code with minus infinity is never drawn.
    """
    # One memory layout for all batches; each other layout would be compiled for.
    drawn: npt.NDArray[np.int64] = _draw(np.ascontiguousarray(logits), np.ascontiguousarray(uniform))
    return drawn


@compiled()
def _draw(logits, uniform):  # type: ignore[no-untyped-def]
    count, codes = logits.shape
    drawn = np.zeros(count, np.int64)
    cumulative = np.empty(codes)
    for row in range(count):
        most, total = logits[row].max(), 0.0
        for code in range(codes):
            total += np.exp(np.float64(logits[row, code]) - most)
            cumulative[code] = total
        for code in range(codes):
            drawn[row] += cumulative[code] <= uniform[row] * total
    return drawn


def _tempered(logits: Tensor, temperature: float | Numbers, warmth: Numbers | None) -> Numbers:
    numbers: Numbers = logits.float().cpu().numpy()
    if not np.isfinite(numbers.sum()):
        numbers = np.nan_to_num(numbers)
    if not (isinstance(temperature, float) and temperature == 1):  # the usual one; spares a pass over all logits
        numbers = numbers / np.float32(temperature)
    return numbers if warmth is None else numbers / warmth


def _by_likelihood(logits: Numbers) -> npt.NDArray[np.int64]:
    return np.argsort(-logits, axis=-1, kind="stable")


def _by_field(name: str, given: PerField, expected: str, holds: Callable[[float], bool]) -> tuple[float | None, ...]:
    """The number of each field, (6,), checked."""
    values: Mapping[str, float | None] = given if isinstance(given, Mapping) else dict.fromkeys(FIELDS, given)
    if unknown := sorted(set(values) - set(FIELDS)):
        raise ValueError(f"{name}: unknown field {unknown[0]!r}; the fields are {', '.join(FIELDS)}")
    for value in values.values():
        if value is not None and not isinstance(value, Real):
            raise ValueError(f"{name} is {value!r}; give a number, or numbers by field, {{'pitch': …}}")
        if value is not None and not holds(value):
            raise ValueError(f"{name} is {value}; it must be {expected}")
    return tuple(None if (value := values.get(field)) is None else float(value) for field in FIELDS)
