"""Writing around a held part: beat by beat, several candidates, of which one is drawn by how well the held notes fit in.

The network's next event is drawn. Comes it behind the next held note in order, the held note is next. Is it a note of a held
instrument, then it is none: the next is drawn behind it. So the others keep the rates that the network has for them,
whatever it thinks of when the held instruments should play (the thinning of point processes, in discrete places).

That alone would write a bass that knows nothing of the melody above it. Therefore each beat is written several times, and a
candidate is drawn by its weight: the network's likelihood of the held notes' pitches, durations and instruments
at their moments (importance resampling).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mmt.model.cpu.packing import pack
from mmt.model.network import Network
from mmt.representation.codes import BEAT, DURATION, END_OF_SONG, FIELDS, INSTRUMENT, PITCH, TYPE, Events
from mmt.sampling.decoding import draw_event
from mmt.sampling.filters import Filters
from mmt.sampling.grammar import Bounds, StrictGrammar
from mmt.sampling.held import Codes, Random, log_likelihood
from mmt.sampling.parts import check_room
from mmt.sampling.streams import Stream
from mmt.sampling.window import AnchoredWindow


@dataclass
class Candidate:
    """One way in which a beat may go on."""

    events: list[Codes] = field(default_factory=list)
    held: int = 0
    """How many of the beat's held notes are among them."""
    weight: float = 0.0


@torch.inference_mode()
def write_around(
    network: Network,
    opening: Events,
    held: Events,
    stream: Stream,
    *,
    candidates: int,
    filters: Filters,
    bounds: Bounds,
    progress: bool = False,
) -> Events:
    """A piece with all held notes (n, 6), and others of the instruments that the opening declares besides theirs."""
    check_room(opening, network.config.context)
    network, random = pack(network), Random(stream)
    piece = np.asarray(opening)
    beats = range(1, bounds.max_beats + 1)
    for beat in tqdm(beats, unit=" beats", desc="Writing", disable=not progress, delay=1):
        within = replace(bounds, first_beat=beat - 1)
        block = [tuple(note) for note in held[held[:, BEAT] == beat].tolist()]
        written = _write_beat(
            network, piece, block, set(held[:, INSTRUMENT].tolist()), candidates, filters, within, random
        )
        weights = np.exp(np.array([one.weight for one in written]) - max(one.weight for one in written))
        chosen = written[int(np.searchsorted(np.cumsum(weights) / weights.sum(), random.numbers(1, 1).item()))]
        if chosen.events:
            piece = np.concatenate([piece, np.array(chosen.events, np.int64)])
    return np.concatenate([piece, [[END_OF_SONG, 0, 0, 0, 0, 0]]])


def _write_beat(
    network: Network,
    piece: Events,
    held: list[Codes],
    silent: set[int],
    count: int,
    filters: Filters,
    bounds: Bounds,
    random: Random,
) -> list[Candidate]:
    """Candidates for the beat behind `bounds.first_beat`; `silent` are the instruments that play nothing but held notes."""
    beat = bounds.first_beat + 1
    window = AnchoredWindow(network, count, bounds)
    rules = StrictGrammar(piece, count, network.config.sizes, bounds)
    done = [Candidate() for _ in range(count)]
    going = list(done)
    latest = np.tile(piece, (count, 1, 1))
    while going:
        hidden, moved = window.read(latest)
        if moved is not None:
            rules.drop_beats(moved)
        dropped = window.dropped.tolist()
        nexts = [held[one.held] if one.held < len(held) else None for one in going]
        drawn = _draw_others(network, hidden, rules, filters, random, nexts, silent, dropped)
        stays: list[int] = []
        for place, (one, event) in enumerate(zip(going, drawn, strict=True)):
            if event is None or event[BEAT] > beat:
                continue
            if event == nexts[place]:
                one.held += 1
                one.weight += _fit(network, hidden[place : place + 1], event, dropped[place])
            one.events.append(event)
            stays.append(place)
        if not stays:
            break
        going = [going[place] for place in stays]
        rules.keep(stays)
        window.keep(stays)
        seen = [_in_window(one.events[-1], dropped[place]) for one, place in zip(going, stays, strict=True)]
        latest = np.array(seen)[:, None]
        rules.advance(latest[:, 0])
    return done


def _draw_others(
    network: Network,
    hidden: Tensor,
    rules: StrictGrammar,
    filters: Filters,
    random: Random,
    held: list[Codes | None],
    silent: set[int],
    dropped: list[int],
) -> list[Codes | None]:
    """What each piece goes on with: a new note, or the next held one; None: it has come to its end."""
    chosen: list[Codes | None] = list(held)
    pending = set(range(len(held)))
    while pending:
        uniform = random.numbers(len(held), len(FIELDS))
        drawn = draw_event(network.heads, hidden, rules, filters, uniform)
        for place in sorted(pending):
            row = drawn[place].tolist()
            event, following = (row[TYPE], row[BEAT] + dropped[place], *row[BEAT + 1 :]), held[place]
            if row[TYPE] == END_OF_SONG or (following is not None and event >= following):
                pending.remove(place)
            elif event[INSTRUMENT] not in silent:
                chosen[place] = event
                pending.remove(place)
            else:
                # Nothing was played, but time has passed: the next is drawn behind this.
                rules.pass_by(place, drawn[place, BEAT:])
    return chosen


def _fit(network: Network, hidden: Tensor, event: Codes, dropped: int) -> float:
    """How likely a held note is at its moment, in nats."""
    row = torch.tensor([_in_window(event, dropped)], device=hidden.device)
    row[:, BEAT].clamp_(max=network.config.sizes[BEAT] - 1)
    return sum(float(log_likelihood(network.heads, hidden, row, one)) for one in (PITCH, DURATION, INSTRUMENT))


def _in_window(event: Codes, dropped: int) -> list[int]:
    return [event[TYPE], event[BEAT] - dropped, *event[BEAT + 1 :]]
