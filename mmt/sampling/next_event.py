"""The distribution of the next event after some events: marginals of its fields, conditions, and draws.

A marginal is a field's distribution given only the past. Independent heads give it directly. Joint heads give each
field's distribution under the condition of the earlier fields of the same event, so a marginal is a mean over those. The mean
is taken over prefixes at evenly spaced quantiles of their joint distribution: it is exact as long as there are at most `points`
prefixes with a probability, else its error is about 1 / `points`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmt.model.config import NetworkConfig
from mmt.model.heads import ChainHeads, IndependentHeads
from mmt.model.network import Network
from mmt.representation.arguments import whole
from mmt.representation.codes import FIELDS, Events, Representation, as_events
from mmt.representation.origin import check_origin

Probabilities = npt.NDArray[np.float64]
# Enough prefixes for exact types, beats and positions with the paper's sizes.
_POINTS = 4096
_LEAST = 1e-12


def readable_events(config: NetworkConfig, events: npt.ArrayLike, representation: Representation) -> Events:
    """Check that a network can read the events in one window; returns them as an int64 array, (n, 6)."""
    check_origin(events, representation)
    codes = as_events(events)
    if not len(codes):
        raise ValueError(f"there are no events; give an (n, {len(FIELDS)}) array of one or more")
    if len(codes) > config.context:
        raise ValueError(
            f"the piece has {len(codes)} events, more than the model's context of {config.context}; cut it"
        )
    outside = (codes < 0) | (codes >= np.array(config.sizes))
    if outside.any():
        row, field = np.argwhere(outside)[0].tolist()
        raise ValueError(
            f"row {row}: {FIELDS[field]} is {codes[row, field]}; the model has codes 0 to {config.sizes[field] - 1}"
        )
    return codes.astype(np.int64)


class NextEvent:
    """The network's distribution of the next event, before any grammar mask or filter.

    `next_event["pitch"]` or `next_event[3]` is the marginal distribution of a field given the past, a float64 array (size,); in
    the order of the codes, `len` is 6. Marginals sum to 1, and have an error of at most about 0.0005 (see `marginals`).
    """

    def __init__(self, network: Network, hidden: Tensor, known: Sequence[int] = ()) -> None:
        self._network, self._hidden, self._known = network, hidden, tuple(known)
        with torch.inference_mode():
            found = marginals(network.heads, hidden, known=self._known, points=_POINTS)
        self._marginals: list[Probabilities] = [shares.cpu().numpy() for shares in found]

    def __getitem__(self, field: str | int) -> Probabilities:
        """The marginal distribution of a field, (size,), by its name or number."""
        if isinstance(field, str) and field not in FIELDS:
            raise KeyError(f"there is no field {field!r}; the fields are {', '.join(FIELDS)}")
        return self._marginals[FIELDS.index(field) if isinstance(field, str) else field]

    def __len__(self) -> int:
        return len(FIELDS)

    def __iter__(self) -> Iterator[Probabilities]:
        return iter(self._marginals)

    def __repr__(self) -> str:
        likeliest = ", ".join(f"{name} {int(shares.argmax())}" for name, shares in zip(FIELDS, self, strict=True))
        return f"<NextEvent, likeliest codes: {likeliest}>"

    def given(self, *codes: int) -> NextEvent:
        """The distribution under the condition that the first fields have these codes: type, then beat, and so on.

        Raises
        ------
        ValueError
            If there are more codes than fields, or a code is out of range.
        """
        if len(codes) > len(FIELDS):
            raise ValueError(f"{len(codes)} codes were given; an event has {len(FIELDS)} fields")
        for name, code, size in zip(FIELDS, codes, self._network.config.sizes, strict=False):
            if not 0 <= whole(name, code) < size:
                raise ValueError(f"{name} is {code}; the model has codes 0 to {size - 1}")
        return NextEvent(self._network, self._hidden, codes)

    @torch.inference_mode()
    def draw(self, n: int = 1, *, seed: int | None = None) -> Events:
        """Draw events from the joint distribution, field by field, without grammar mask or filter: (n, 6)."""
        n = whole("n", n, least=0)
        random: Any = np.random.default_rng(seed)
        events = np.zeros((n, len(FIELDS)), np.int64)
        for field in range(len(FIELDS)):
            if field < len(self._known):
                events[:, field] = self._known[field]
                continue
            codes = torch.from_numpy(events).to(self._hidden.device)
            logits = self._network.heads.field(field, self._hidden.expand(n, -1), codes)
            totals = logits.double().softmax(-1).cumsum(-1).cpu().numpy()
            uniform = random.random(n) * totals[:, -1]
            events[:, field] = (totals <= uniform[:, None]).sum(1)
        return events


def marginals(
    heads: IndependentHeads | ChainHeads, hidden: Tensor, *, known: Sequence[int] = (), points: int = 1024
) -> list[Tensor]:
    """The probabilities of the six fields of the next event, (size,) each, after the hidden state (dim,).

    `known` are codes of the first fields, as a condition; `points` is the largest number of prefixes in the mean.
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
