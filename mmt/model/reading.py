"""The events that a network is reading, for edits that depend on them: `Context`."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mmt.model.cache import Cache
from mmt.representation.codes import BEAT, GIVEN_NOTE, NOTE, TYPE


@dataclass(frozen=True)
class Context:
    """What a network reads in one forward pass; with a cache, the new events only, and all keys.

    Beats count from the start of the piece in `generate`, also after the window has moved; else from the start of the codes.
    """

    codes: Tensor
    """The events, int64 (batch, length, 6)."""
    places: Tensor
    """The index of each event in the network's window, int64 (batch, length)."""
    beats: Tensor
    """The beat of each note, from 0; -1 for events that are not notes. int64 (batch, length)."""
    keys: Tensor
    """All events that can be attended to, int64 (batch, keys, 6); without a cache, the same as `codes`."""
    key_beats: Tensor
    """As `beats`, for `keys`, (batch, keys)."""
    memory: dict[Any, Any]
    """Empty at the start of each forward pass; an edit may keep a tensor here for another edit at a later place."""

    @property
    def shape(self) -> tuple[int, int]:
        """(batch, length)"""
        return self.codes.shape[0], self.codes.shape[1]

    def at_keys(self, keys: int) -> Context:
        """The first `keys` keys as if they were the events."""
        places = torch.arange(keys, device=self.codes.device).expand(len(self.codes), -1)
        codes, beats = self.keys[:, :keys], self.key_beats[:, :keys]
        return Context(codes, places, beats, codes, beats, self.memory)

    def row(self, row: int) -> Context:
        """Only one row of the batch; rows do not share memory."""
        rows, memory = slice(row, row + 1), self.memory.setdefault(("row", row), {})
        return Context(
            self.codes[rows], self.places[rows], self.beats[rows], self.keys[rows], self.key_beats[rows], memory
        )

    def last(self) -> Context:
        """Only the last event of each row."""
        return replace(self, codes=self.codes[:, -1:], places=self.places[:, -1:], beats=self.beats[:, -1:])


class Reading(threading.local):
    """What an edited network reads, in each thread: the context of the latest forward pass, which is made when an edit asks."""

    def __init__(self) -> None:
        self._make: Callable[[], Context | None] = lambda: None

    def __deepcopy__(self, memo: Any) -> Reading:
        # The hooks of a copied network are those of the original, which read this object.
        return self

    @property
    def context(self) -> Context | None:
        """The context, None before the first forward pass."""
        return self._make()

    def begin(self, codes: Tensor, places: Tensor, cache: Cache | None) -> None:
        """Note what is read: codes (batch, length, 6) at places (length,) or (batch, length)."""
        first_beats = [0] if cache is None else list(cache.first_beats)
        keys = codes if cache is None else cache.remember(codes)
        memory: dict[Any, Any] = {}

        @functools.cache
        def make() -> Context:
            first = torch.tensor(first_beats, device=codes.device)
            beats, key_beats = (_beats(of, first) for of in (codes, keys))
            return Context(codes, places.expand(codes.shape[:2]), beats, keys, key_beats, memory)

        self._make = make

    @contextmanager
    def only(self, row: int) -> Iterator[None]:
        """Within a `with` block, restrict the context to one row."""
        make, whole = self._make, self.context
        assert whole is not None
        own = whole.row(row)
        self._make = lambda: own
        try:
            yield
        finally:
            self._make = make


def _beats(codes: Tensor, first: Tensor) -> Tensor:
    is_note = (codes[..., TYPE] == NOTE) | (codes[..., TYPE] == GIVEN_NOTE)
    return torch.where(is_note, codes[..., BEAT] - 1 + first[:, None], -1)
