"""Marginal distributions of the fields of the next event: each field given only the past, for any kind of heads.

Independent heads give them directly. Joint heads give each field's distribution under the condition of the earlier fields of the
same event, so a marginal is a mean over the earlier fields. The mean is taken over prefixes at evenly spaced quantiles of their
joint distribution: it is exact as long as there are at most `points` prefixes with a probability, else its error is about
1 / `points`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmt.model.heads import ChainHeads, IndependentHeads

_LEAST = 1e-12


def marginals(
    heads: IndependentHeads | ChainHeads, hidden: Tensor, *, known: Sequence[int] = (), points: int = 1024
) -> list[Tensor]:
    """The probabilities of the six fields of the next event.

    Parameters
    ----------
    heads : module of `mmt.model.heads`
    hidden : Tensor, (dim,)
        The residual stream after the last norm.
    known : sequence of int
        Codes of the first fields, as a condition.
    points : int
        The largest number of prefixes in the mean.

    Returns
    -------
    list of six Tensor, (size,)
        Each sums to 1.
    """
    prefixes = torch.zeros(1, 6, dtype=torch.long, device=hidden.device)
    weights = torch.ones(1, dtype=torch.float64, device=hidden.device)
    found = []
    for field in range(6):
        logits = heads.field(field, hidden.expand(len(prefixes), -1), prefixes)
        shares = logits.double().softmax(-1)
        if field < len(known):
            shares = torch.zeros_like(shares)
            shares[:, known[field]] = 1
        found.append(weights @ shares)
        prefixes, weights = _extended(prefixes, field, weights[:, None] * shares, points)
    return found


def _extended(prefixes: Tensor, field: int, joint: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """The prefixes with one field more, at most `points` of them, and their weights; `joint` is (prefix, code)."""
    flat = joint.flatten()
    places = torch.nonzero(flat > _LEAST).squeeze(-1)
    weights = flat[places]
    if len(places) > points:
        quantiles = (torch.arange(points, dtype=flat.dtype, device=flat.device) + 0.5) / points
        total = weights.cumsum(0)
        chosen = torch.searchsorted(total, quantiles * total[-1]).clamp(max=len(places) - 1)
        kept, counts = torch.unique_consecutive(chosen, return_counts=True)
        places, weights = places[kept], counts.to(flat.dtype)
    longer = prefixes[places // joint.shape[1]].clone()
    longer[:, field] = places % joint.shape[1]
    return longer, weights / weights.sum()
