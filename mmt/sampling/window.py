"""What the network sees of pieces in writing, event by event: all of them while they fit, and then their last events."""

from __future__ import annotations

import torch
from torch import Tensor

from mmt.model.cache import Cache
from mmt.model.network import Network


class SlidingWindow:
    """The last events of each piece of a batch, as many as the network's context; places are counted from the window's start.

    While the pieces fit, a cache makes each event cost one step. Once they do not, every event changes what all others
    in the window see and where they stand, so the whole window is read anew for each, as in the original code.
    """

    def __init__(self, network: Network, batch: int, *, max_events: int) -> None:
        like = next(network.parameters())
        self.network, self.context = network, network.config.context
        self.codes = torch.zeros(batch, 0, len(network.config.sizes), dtype=torch.long, device=like.device)
        self.cache: Cache | None = Cache(network.config, batch, capacity=min(max_events, self.context), like=like)

    def read(self, latest: Tensor) -> Tensor:
        """Take in the newest events (batch, new, 6); returns the hidden state after the last, (batch, dim)."""
        self.codes = torch.cat([self.codes, latest], dim=1)
        if self.codes.shape[1] > self.context:
            self.codes, self.cache = self.codes[:, -self.context :], None
        seen = self.codes if self.cache is None else latest
        return self.network.hidden(seen, cache=self.cache)[:, -1]

    def keep(self, rows: Tensor) -> None:
        """Keep only these pieces of the batch (indices), in this order."""
        self.codes = self.codes[rows]
        if self.cache is not None:
            self.cache.keep(rows)
