"""The decoding loop: a prompt is read once, then one event after the other is drawn, a batch of pieces at a time.

Each piece draws from its own random stream, six numbers an event whether it needs them or not, so that neither its
neighbours nor its place in a batch change what is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmt.model.cpu.modules import PackedChain, PackedHeads
from mmt.model.cpu.packing import pack
from mmt.model.heads import ChainHeads, IndependentHeads
from mmt.model.network import Network
from mmt.representation.codes import BEAT, END_OF_SONG, FIELDS, TYPE, Events, is_note
from mmt.sampling.filters import Filters, Numbers, draw
from mmt.sampling.given import GivenNotes
from mmt.sampling.grammar import Bounds, Grammar, StrictGrammar
from mmt.sampling.paper_grammar import PaperGrammar
from mmt.sampling.streams import Stream, generator_of
from mmt.sampling.window import AnchoredWindow, SlidingWindow, Window

GRAMMARS: dict[str, type[StrictGrammar] | type[PaperGrammar]] = {"strict": StrictGrammar, "paper": PaperGrammar}
WINDOWS: dict[str, type[AnchoredWindow] | type[SlidingWindow]] = {"anchor": AnchoredWindow, "slide": SlidingWindow}

Heads = IndependentHeads | ChainHeads | PackedHeads | PackedChain


@torch.inference_mode()
def decode_events(
    network: Network,
    prompt: Events,
    streams: Sequence[Stream],
    *,
    filters: Filters,
    bounds: Bounds,
    grammar: str,
    context: str = "anchor",
    given: Events | None = None,
    held: Collection[int] = (),
) -> Iterator[tuple[list[int], Events]]:
    """Go on from a prompt until every piece has ended.

    Parameters
    ----------
    prompt : ndarray, (n, 6)
        It may be longer than the network's context, and have more beats.
    streams : sequence of (seed, number)
        One a piece.
    context : "anchor" or "slide"
        What the network sees of a piece that does not fit into its context, see `mmt.sampling.window`.
    given : ndarray, (n, 6), optional
        Given notes that stand after the prompt, in canonical order: see `mmt.sampling.given`.
    held : collection of int, optional
        Codes of the instruments that play nothing but given notes. With the strict grammar only.

    Yields
    ------
    rows : list of int
        The pieces that are still being written, by their place in `streams`.
    events : ndarray, (len(rows), 6)
        What each of them goes on with.
    """
    network = pack(network)
    random = [generator_of(stream) for stream in streams]
    rules: Grammar = GRAMMARS[grammar](prompt, len(streams), network.config.sizes, bounds)
    window: Window = WINDOWS[context](network, len(streams), bounds)
    fixed = GivenNotes(prompt, given, held, len(streams), network.config.sizes, bounds)
    dropped = np.zeros(len(streams), np.int64)
    latest = np.tile(np.array(prompt), (len(streams), 1, 1))
    rows = list(range(len(streams)))
    for _ in range(bounds.max_events - len(prompt)):
        hidden, moved = window.read(latest)
        if moved is not None:
            rules.drop_beats(moved)
            dropped = dropped + moved
        generators = [random[row] for row in rows]
        drawn = draw_event(network.heads, hidden, rules, filters, _uniform(generators))
        event = fixed.insert(drawn, dropped)
        # The paper's grammar allows doubles.
        while isinstance(rules, StrictGrammar) and (again := fixed.discarded(event, dropped)).any():
            # The note is left out, and the piece goes on after it.
            for row in np.flatnonzero(again):
                rules.pass_by(row, event[row, BEAT:])
            drawn = draw_event(network.heads, hidden, rules, filters, _uniform(generators, again))
            event = np.where(again[:, None], fixed.insert(drawn, dropped, only=again), event)
        yield rows, _in_piece(event, dropped)
        rules.advance(event)
        going = event[:, TYPE] != END_OF_SONG
        if not going.all():
            kept = _close_gaps(going.tolist())
            if not kept:
                return
            rows = [rows[place] for place in kept]
            rules.keep(kept)
            window.keep(kept)
            fixed.keep(kept)
            event, dropped = event[kept], dropped[kept]
        latest = event[:, None]


def _uniform(generators: Sequence[np.random.Generator], wanted: npt.NDArray[np.bool_] | None = None) -> Numbers:
    """Numbers of [0, 1) for the six fields of each piece, (batch, 6); 0 for pieces that are not wanted, whose streams stay."""
    numbers = np.zeros((len(generators), len(FIELDS)), np.float32)
    for row, generator in enumerate(generators):
        if wanted is None or wanted[row]:
            generator.random(dtype=np.float32, out=numbers[row])
    return numbers


def _in_piece(event: Events, dropped: Events) -> Events:
    """Events (batch, 6) of windows as events of their pieces."""
    counted = event.copy()
    counted[:, BEAT] += np.where(is_note(event), dropped, 0)
    return counted


def _close_gaps(going: list[bool]) -> list[int]:
    """Which pieces stay, in an order in which the last ones fill the places of those that have ended."""
    staying = sum(going)
    movers = (place for place in range(staying, len(going)) if going[place])
    return [place if going[place] else next(movers) for place in range(staying)]


def draw_event(heads: Heads, hidden: Tensor, rules: Grammar, filters: Filters, uniform: Numbers) -> Events:
    """Draw the fields of the next event, (batch, 6), from hidden states (batch, dim) and numbers (batch, 6) of [0, 1).

    Masks and weights of the grammar come first, then temperature's filters.
    """
    event = np.zeros((len(uniform), len(FIELDS)), np.int64)
    floor, expected, ends = event, np.empty((0, 0), np.float32), rules.ends

    def ask(known: Events) -> Numbers:
        nonlocal floor, expected
        codes = torch.from_numpy(known).to(hidden.device)
        if isinstance(heads, PackedHeads | PackedChain):
            logits = heads.joined(hidden, codes)
        else:
            logits = torch.cat(heads(hidden, codes), dim=-1)
        floor, expected = known, filters.temper_all(logits, ends)
        return expected

    def logits_of(field: int) -> Numbers:
        # What was expected holds where nothing that the head reads has come out otherwise.
        before, holds = expected[:, ends[field] : ends[field + 1]], None
        if len(expected):
            if not heads.reads_earlier_fields:
                return before
            holds = (event[:, :field] == floor[:, :field]).all(axis=1)
            if holds.all():
                return before
        drawn = filters.temper(heads.field(field, hidden, torch.from_numpy(event).to(hidden.device)), field)
        return drawn if holds is None else np.where(holds[:, None], before, drawn)

    rules.look_ahead(ask)
    for field in range(len(FIELDS)):
        allowed = rules.allow(logits_of(field), field, event)
        event[:, field] = draw(filters.apply(allowed, field), uniform[:, field])
    return event
