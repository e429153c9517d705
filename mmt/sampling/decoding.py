"""The decoding loop: read a prompt once, then draw one event after the other, for a batch of pieces.

Each piece draws from its own random stream, always six numbers per event, so that the other pieces of the batch do not change
its draws.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from mmt.model.compiled import compiling
from mmt.model.cpu.modules import PackedHeads
from mmt.model.cpu.packing import pack
from mmt.model.heads import ChainHeads, IndependentHeads
from mmt.model.network import Network
from mmt.representation.codes import BEAT, END_OF_SONG, FIELDS, TYPE, Events, is_note
from mmt.sampling.filters import Filters, Numbers, draw
from mmt.sampling.given import GivenNotes
from mmt.sampling.grammar import Bounds, StrictGrammar
from mmt.sampling.loops import LoopGuard
from mmt.sampling.paper_grammar import PaperGrammar
from mmt.sampling.streams import Stream, generator_of
from mmt.sampling.window import AnchoredWindow, SlidingWindow

Grammar = StrictGrammar | PaperGrammar
GRAMMARS: dict[str, type[Grammar]] = {"strict": StrictGrammar, "paper": PaperGrammar}
Window = AnchoredWindow | SlidingWindow
WINDOWS: dict[str, type[Window]] = {"anchor": AnchoredWindow, "slide": SlidingWindow}

# The maximum batch size, which bounds the memory.
_BATCH = 64

Heads = IndependentHeads | ChainHeads | PackedHeads


def write_pieces(
    network: Network,
    prompts: Sequence[Events],
    streams: Sequence[Stream],
    *,
    progress: bool = False,
    **settings: Any,
) -> list[Events]:
    """The whole pieces of `decode_events`, whose keyword arguments are `settings`."""
    pieces: list[list[Events]] = [[one] for one in prompts]
    max_events = settings["bounds"].max_events
    # The number of events is unknown if only the beats are limited.
    most = None if max_events > 2**24 else sum(max_events - len(one) for one in prompts)
    with (
        tqdm(total=most, unit=" events", desc="Writing", disable=not progress, delay=1) as bar,
        compiling(notice=progress),
    ):
        for first in range(0, len(streams), _BATCH):
            batch = slice(first, first + _BATCH)
            for rows, events in decode_events(network, prompts[batch], streams[batch], **settings):
                for row, event in zip(rows, events, strict=True):
                    pieces[first + row].append(event[None])
                bar.update(len(rows))
        # Complete the bar if pieces ended early.
        bar.update((most or bar.n) - bar.n)
    return [np.concatenate(piece) for piece in pieces]


@torch.inference_mode()
def decode_events(
    network: Network,
    prompts: Sequence[Events],
    streams: Sequence[Stream],
    *,
    filters: Filters,
    bounds: Bounds,
    grammar: str,
    context: str = "anchor",
    loop_guard: float = 0.0,
    given: Events | None = None,
    held: Collection[int] = (),
) -> Iterator[tuple[list[int], Events]]:
    """Continue the prompt of each piece, by its own random stream, until every piece has ended.

    Yields the indices of the pieces that are still being written, and the next event of each, (pieces, 6).

    Prompts (n_i, 6) may exceed the network's context. An array that occurs several times is read once. Prompts with given notes,
    or with context="slide", are all the same. `given` (n, 6) are given notes after the prompt, in canonical order, and `held` are
    the codes of instruments that play only given notes (strict grammar only): see `mmt.sampling.given`.
    """
    network, count = pack(network), len(streams)
    rules: Grammar = GRAMMARS[grammar](prompts, network.config.sizes, bounds)
    window: Window = WINDOWS[context](network, count, bounds)
    fixed = GivenNotes(prompts[0], given, held, count, network.config.sizes, bounds)
    loops = LoopGuard(prompts, loop_guard) if loop_guard else None
    rows, random = list(range(count)), [generator_of(stream) for stream in streams]
    latest: Events | Sequence[Events] = prompts
    for _ in range(bounds.max_events - min(map(len, prompts))):
        hidden, moved = window.read(latest)
        if moved is not None:
            rules.drop_beats(moved)
        warmth = loops.factors() if loops else None
        draw_anew = partial(draw_event, network.heads, hidden, rules, filters, warmth=warmth)
        event = _next_events(draw_anew, rules, fixed, [random[row] for row in rows], window.dropped)
        in_piece = event.copy()
        in_piece[:, BEAT] += np.where(is_note(event), window.dropped, 0)
        if loops is not None:
            loops.follow(in_piece)
        yield rows, in_piece
        rules.advance(event)
        if not (going := event[:, TYPE] != END_OF_SONG).any():
            return
        if not going.all():
            kept = _close_gaps(going.tolist())
            rows, event = [rows[place] for place in kept], event[kept]
            for followed in (rules, window, fixed, *([] if loops is None else [loops])):
                followed.keep(kept)
        latest = event[:, None]


def _next_events(
    draw_anew: Callable[[Numbers], Events],
    rules: Grammar,
    fixed: GivenNotes,
    generators: Sequence[np.random.Generator],
    dropped: Events,
) -> Events:
    """The next event of each piece, (batch, 6): drawn, or its next given note; discarded notes are drawn again."""
    event = fixed.insert(draw_anew(_uniform(generators)), dropped)
    # Only the strict grammar discards notes; the paper's allows duplicates.
    while isinstance(rules, StrictGrammar) and (again := fixed.discarded(event, dropped)).any():
        for row in np.flatnonzero(again):
            rules.pass_by(row, event[row, BEAT:])
        drawn = draw_anew(_uniform(generators, again))
        event = np.where(again[:, None], fixed.insert(drawn, dropped, only=again), event)
    return event


def _uniform(generators: Sequence[np.random.Generator], wanted: npt.NDArray[np.bool_] | None = None) -> Numbers:
    """Random numbers in [0, 1) for the six fields of each piece, (batch, 6); pieces not `wanted` get 0 and draw nothing."""
    numbers = np.zeros((len(generators), len(FIELDS)), np.float32)
    for row, generator in enumerate(generators):
        if wanted is None or wanted[row]:
            generator.random(dtype=np.float32, out=numbers[row])
    return numbers


def _close_gaps(going: list[bool]) -> list[int]:
    """Indices of the pieces that continue; the last ones fill the places of those that have ended, so that few rows move."""
    staying = sum(going)
    movers = (place for place in range(staying, len(going)) if going[place])
    return [place if going[place] else next(movers) for place in range(staying)]


def draw_event(
    heads: Heads, hidden: Tensor, rules: Grammar, filters: Filters, uniform: Numbers, warmth: Numbers | None = None
) -> Events:
    """Draw the next event of each piece, (batch, 6), field by field, after the hidden states (batch, dim).

    The grammar's masks and weights apply after temperature and before the other filters. `uniform` (batch, 6) are random numbers
    in [0, 1); `warmth` (batch, 1) are the factors of the loop guard.
    """
    event = np.zeros((len(uniform), len(FIELDS)), np.int64)
    after_floor: Numbers | None = None
    if isinstance(rules, StrictGrammar):
        floor, ends = rules.floor_notes(), rules.ends
        after_floor = filters.temper_all(_all_logits(heads, hidden, floor), ends, warmth)
        rules.look_ahead(after_floor)
    for field in range(len(FIELDS)):
        if after_floor is None:
            logits = filters.temper(_logits(heads, hidden, field, event), field, warmth)
        else:
            # The lookahead already has the logits where the head reads the same earlier fields.
            logits = after_floor[:, ends[field] : ends[field + 1]]
            same = (event[:, :field] == floor[:, :field]).all(axis=1)
            if heads.reads_earlier_fields and not same.all():
                others = filters.temper(_logits(heads, hidden, field, event), field, warmth)
                logits = np.where(same[:, None], logits, others)
        event[:, field] = draw(filters.apply(rules.allow(logits, field, event), field), uniform[:, field])
    return event


def _all_logits(heads: Heads, hidden: Tensor, events: Events) -> Tensor:
    """The concatenated logits of all fields, each given the earlier fields of the events (batch, 6)."""
    codes = torch.from_numpy(events).to(hidden.device)
    if isinstance(heads, PackedHeads):
        return heads.joined(hidden, codes)
    return torch.cat(heads(hidden, codes), dim=-1)


def _logits(heads: Heads, hidden: Tensor, field: int, events: Events) -> Tensor:
    """The logits of a field, (batch, size), given the earlier fields of the events (batch, 6)."""
    return heads.field(field, hidden, torch.from_numpy(events).to(hidden.device))
