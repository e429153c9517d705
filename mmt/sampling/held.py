"""Writing where a part of each event, or of the piece, is held: the loop, and one writer for each way of holding.

A writer stands for one piece. It is asked for one event after the other, and knows what is held. Events that go to and
from the network have their beats counted from its window's start; a writer keeps count of the beats dropped before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor
from tqdm import tqdm

from mmt.model.cpu.packing import pack
from mmt.model.network import Network
from mmt.representation.codes import (
    BEAT,
    DURATION,
    END_OF_SONG,
    INSTRUMENT,
    NOTE,
    PITCH,
    TYPE,
    Events,
)
from mmt.sampling.decoding import Heads
from mmt.sampling.filters import Filters, Numbers, draw
from mmt.sampling.grammar import Bounds
from mmt.sampling.parts import check_room
from mmt.sampling.streams import Stream
from mmt.sampling.window import AnchoredWindow

Codes = tuple[int, ...]


class Random:
    """Numbers of [0, 1) from a piece's own stream."""

    def __init__(self, stream: Stream) -> None:
        self.generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(stream)))

    def numbers(self, rows: int, each: int) -> Numbers:
        """So many for each row, (rows, each)."""
        return self.generator.random((rows, each), dtype=np.float32)


class Writer:
    """Writes one piece: `next` gives its next event, whose beat is counted from the beginning of the piece; None: no more."""

    def __init__(self, stream: Stream) -> None:
        self.random, self.dropped = Random(stream), 0

    def next(self, heads: Heads, hidden: Tensor) -> Codes | None:
        """The next event, after hidden states (1, dim)."""
        raise NotImplementedError

    def drop_beats(self, dropped: int) -> None:
        """Take note that the network's window now begins so many beats later."""
        self.dropped += dropped


@torch.inference_mode()
def write_held(
    network: Network, opening: Events, writers: Sequence[Writer], bounds: Bounds, *, progress: bool = False
) -> list[Events]:
    """Let each writer go on from the opening to its end; returns whole pieces."""
    check_room(opening, network.config.context)
    most = (bounds.max_events - len(opening) - 1) * len(writers)
    with tqdm(total=most, unit=" events", desc="Writing", disable=not progress, delay=1) as bar:
        return _write(network, opening, writers, bounds, bar)


def _write(
    network: Network, opening: Events, writers: Sequence[Writer], bounds: Bounds, bar: tqdm[Any]
) -> list[Events]:
    network = pack(network)
    window = AnchoredWindow(network, len(writers), bounds)
    pieces: list[list[Codes]] = [[] for _ in writers]
    rows = list(range(len(writers)))
    latest = np.tile(np.array(opening), (len(writers), 1, 1))
    while rows:
        hidden, moved = window.read(latest)
        going, events = [], []
        for place, row in enumerate(rows):
            if moved is not None:
                writers[row].drop_beats(int(moved[place]))
            event = writers[row].next(network.heads, hidden[place : place + 1])
            if event is not None:
                pieces[row].append(event)
                going.append(place)
                events.append([event[TYPE], event[BEAT] - writers[row].dropped, *event[BEAT + 1 :]])
        if len(going) < len(rows):
            rows = [rows[place] for place in going]
            if rows:
                window.keep(going)
        latest = np.array(events)[:, None] if events else latest
        bar.update(len(events))
    end = [(END_OF_SONG, 0, 0, 0, 0, 0)]
    return [np.concatenate([np.asarray(opening), np.array(piece + end, np.int64)]) for piece in pieces]


class Orchestrator(Writer):
    """Keeps the notes, and draws each one's instrument.

    `groups` are (beat, position, pitch, duration) with how many instruments play it; `players` (pitch codes, instrument
    codes) who may. Of a unison the instruments are drawn in ascending order, each leaving enough above it for the rest.
    """

    def __init__(
        self, stream: Stream, groups: Sequence[tuple[Codes, int]], players: npt.NDArray[np.bool_], filters: Filters
    ) -> None:
        super().__init__(stream)
        self.players, self.filters = players, filters
        self.waiting = [(note, left) for note, count in groups for left in reversed(range(count))]
        self.place, self.latest = 0, 0

    def next(self, heads: Heads, hidden: Tensor) -> Codes | None:
        if self.place == len(self.waiting):
            return None
        note, left = self.waiting[self.place]
        if self.place == 0 or self.waiting[self.place - 1][0] != note:
            self.latest = 0
        free = np.flatnonzero(self.players[note[PITCH - BEAT]])
        free = free[free > self.latest]
        may = np.zeros(self.players.shape[1], bool)
        may[free[: len(free) - left]] = True
        event = _rows([(NOTE, *note, 0)], self.dropped, heads, hidden)
        logits = self.filters.temper(heads.field(INSTRUMENT, hidden, event), INSTRUMENT)
        logits = self.filters.apply(np.where(may, logits, np.float32(-np.inf)), INSTRUMENT)
        self.latest = int(draw(logits, self.random.numbers(1, 1)[:, 0])[0])
        self.place += 1
        return (NOTE, *note, self.latest)


@dataclass
class Moment:
    """What sounds from one beat and position on: held notes in order, and the durations of the notes that want pitches."""

    held: list[Codes]
    durations: list[int]


class Harmoniser(Writer):
    """Keeps all parts but one, and of that one the rhythm: draws its pitches.

    What comes next is either the next held note or a note of the part below it in order. All of these are listed and
    weighed by the network: the pitch by its likelihood, and by that of the duration and instrument which are held behind it.
    """

    def __init__(
        self,
        stream: Stream,
        moments: dict[tuple[int, int], Moment],
        instrument: int,
        pitches: npt.NDArray[np.int64],
        filters: Filters,
    ) -> None:
        super().__init__(stream)
        self.moments = [(when, Moment(list(m.held), list(m.durations))) for when, m in sorted(moments.items())]
        self.instrument, self.pitches, self.filters = instrument, pitches, filters
        self.floor: Codes = (0, 0, 0)

    def next(self, heads: Heads, hidden: Tensor) -> Codes | None:
        while self.moments and not (self.moments[0][1].held or self.moments[0][1].durations):
            self.moments.pop(0)
            self.floor = (0, 0, 0)
        if not self.moments:
            return None
        when, moment = self.moments[0]
        candidates = self._candidates(moment)
        chosen = candidates[0] if len(candidates) == 1 else self._draw(when, candidates, heads, hidden)
        if moment.held and chosen == moment.held[0]:
            moment.held.pop(0)
        else:
            moment.durations.remove(chosen[1])
        self.floor = chosen
        return (NOTE, *when, *chosen)

    def _candidates(self, moment: Moment) -> list[Codes]:
        """What may come next, (pitch, duration, instrument) each, so that the part's notes still find their places."""
        ceiling = moment.held[0] if moment.held else (1_000, 0, 0)
        listed: list[Codes] = [
            note
            for duration in sorted(set(moment.durations))
            for pitch in self.pitches.tolist()
            if self.floor < (note := (pitch, duration, self.instrument)) < ceiling
            and self._room_above(note, _without(moment.durations, duration)) >= len(moment.durations) - 1
        ]
        if moment.held and self._room_above(ceiling, moment.durations) >= len(moment.durations):
            listed.append(ceiling)
        return listed

    def _room_above(self, note: Codes, durations: list[int]) -> int:
        """How many pitches the notes of these durations may have above a note."""
        shortest = min(durations, default=0)
        same = (self.pitches == note[0]).any() and (shortest, self.instrument) > note[1:]
        return int((self.pitches > note[0]).sum()) + int(same)

    def _draw(self, when: tuple[int, int], candidates: list[Codes], heads: Heads, hidden: Tensor) -> Codes:
        events = _rows([(NOTE, *when, *note) for note in candidates], self.dropped, heads, hidden)
        # Pitch by its temperature; what is held weighs by its likelihood as it is.
        weights = sum(
            log_likelihood(heads, hidden, events, field) / (self.filters.temperature[field] if field == PITCH else 1.0)
            for field in (PITCH, DURATION, INSTRUMENT)
        )
        assert isinstance(weights, Tensor)
        logits = self.filters.apply(weights[None].cpu().numpy(), PITCH)
        return candidates[int(draw(logits, self.random.numbers(1, 1)[:, 0])[0])]


def log_likelihood(heads: Heads, hidden: Tensor, events: Tensor, field: int) -> Tensor:
    """Of a field of each event (rows, 6), given the earlier fields and the past, hidden states (1, dim): (rows,)."""
    logits = heads.field(field, hidden.expand(len(events), -1), events).float()
    logits = logits[:, 1:] if field else logits
    return -F.cross_entropy(logits, events[:, field] - int(field > 0), reduction="none")


def _rows(events: Sequence[Codes], dropped: int, heads: Heads, hidden: Tensor) -> Tensor:
    """Events of a piece as the network's window has them, (rows, 6)."""
    rows = torch.tensor(events, device=hidden.device)
    # Far behind a silence the beat is beyond what the network knows, until its window moves there.
    beats = heads.field(BEAT, hidden, rows[:1]).shape[-1]
    rows[:, BEAT] = (rows[:, BEAT] - dropped).clamp(max=beats - 1)
    return rows


def _without(items: list[int], item: int) -> list[int]:
    left = list(items)
    left.remove(item)
    return left
