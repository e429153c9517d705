"""Which codes may be drawn, by their probability: temperature, top-k, top-p, min-p, each a number or one per field.

Logits are (batch, size); what is filtered out becomes minus infinity. The likeliest code always stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from mmt.representation.codes import FIELDS

PerField = float | Mapping[str, float] | None


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
        """Parse what a user gives: a number for all fields, or a mapping from field names to numbers.

        Raises
        ------
        ValueError
            If a field is unknown or a number out of range.

        Examples
        --------
        >>> Filters.of(temperature={"pitch": 0.9}).temperature
        (1.0, 1.0, 1.0, 0.9, 1.0, 1.0)
        """
        return cls(
            temperature=tuple(1.0 if t is None else t for t in _six("temperature", temperature, "above 0", _positive)),
            top_k=tuple(
                None if k is None else int(k) for k in _six("top_k", top_k, "a whole number of at least 1", _whole)
            ),
            top_p=_six("top_p", top_p, "above 0 and at most 1", lambda p: 0 < p <= 1),
            min_p=_six("min_p", min_p, "at least 0 and at most 1", lambda p: 0 <= p <= 1),
        )

    def temper(self, logits: Sequence[Tensor]) -> list[Tensor]:
        """The logits (batch, size) of all six fields, each divided by its temperature."""
        return [field.float() / temperature for field, temperature in zip(logits, self.temperature, strict=True)]

    def apply(self, logits: Tensor, field: int) -> Tensor:
        """Filter the tempered logits (batch, size) of a field by top-k, top-p and min-p, in this order."""
        if (k := self.top_k[field]) is not None:
            logits = keep_top_k(logits, k)
        if (p := self.top_p[field]) is not None and p < 1:
            logits = keep_top_p(logits, p)
        if (share := self.min_p[field]) is not None and share > 0:
            logits = keep_min_p(logits, share)
        return logits


def authors_top_k(sizes: Sequence[int]) -> dict[str, float]:
    """The authors' sampling: the likeliest 10 % of the codes of each field, rounded up."""
    return {name: math.ceil(0.1 * size) for name, size in zip(FIELDS, sizes, strict=True)}


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the `k` likeliest codes of each row; the lower code in a tie."""
    order = logits.argsort(dim=-1, descending=True, stable=True)
    return logits.scatter(-1, order[..., k:], -torch.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the smallest set of likeliest codes whose probabilities sum to at least `p` (nucleus sampling)."""
    order = logits.argsort(dim=-1, descending=True, stable=True)
    probabilities = logits.gather(-1, order).softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    # The first code has nothing before it and so always stays.
    return logits.masked_fill(torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before >= p), -torch.inf)


def keep_min_p(logits: Tensor, share: float) -> Tensor:
    """Keep the codes that are at least `share` (above 0) times as likely as the likeliest."""
    return logits.masked_fill(logits < logits.amax(dim=-1, keepdim=True) + math.log(share), -torch.inf)


def draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """One code a row (batch,), drawn by inverse transform: the same row and number give the same code in any batch.

    `uniform` (batch,) are numbers from [0, 1). A code with minus infinity is never drawn.
    """
    # Apple's GPUs have no double precision.
    precision = torch.float32 if logits.device.type == "mps" else torch.float64
    cumulative = logits.softmax(dim=-1, dtype=precision).cumsum(dim=-1)
    goal = uniform[:, None].to(precision) * cumulative[:, -1:]
    return (cumulative <= goal).sum(dim=-1)


def _six(name: str, given: PerField, expected: str, valid: object) -> tuple[float | None, ...]:
    assert callable(valid)
    values: Mapping[str, float | None]
    if isinstance(given, Mapping):
        if unknown := sorted(set(given) - set(FIELDS)):
            raise ValueError(f"{name}: unknown field {unknown[0]!r}; the fields are {', '.join(FIELDS)}")
        values = given
    else:
        values = dict.fromkeys(FIELDS, given)
    for value in values.values():
        if value is not None and not (isinstance(value, Real) and valid(value)):
            raise ValueError(f"{name} is {value}; it must be {expected}")
    return tuple(None if (value := values.get(field)) is None else float(value) for field in FIELDS)


def _positive(value: float) -> bool:
    return 0 < value < math.inf


def _whole(value: float) -> bool:
    return 1 <= value < math.inf and value == int(value)
