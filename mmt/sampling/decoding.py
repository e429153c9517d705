"""The decoding loop: a prompt is read once, then one event after the other is drawn, a batch of pieces at a time.

Each piece draws from its own random stream, six numbers an event whether it needs them or not, so that neither its
neighbours nor its place in a batch change what is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from mmt.model.heads import ChainHeads, IndependentHeads
from mmt.model.network import Network
from mmt.model.packing import pack
from mmt.representation.codes import BEAT, END_OF_SONG, FIELDS, NOTE, POSITION, TYPE, Events
from mmt.sampling.filters import Filters, draw
from mmt.sampling.grammar import Bounds, Grammar, StrictGrammar
from mmt.sampling.paper_grammar import PaperGrammar
from mmt.sampling.streams import Stream
from mmt.sampling.window import AnchoredWindow, SlidingWindow, Window

GRAMMARS: dict[str, type[StrictGrammar] | type[PaperGrammar]] = {"strict": StrictGrammar, "paper": PaperGrammar}
WINDOWS: dict[str, type[AnchoredWindow] | type[SlidingWindow]] = {"anchor": AnchoredWindow, "slide": SlidingWindow}

Heads = IndependentHeads | ChainHeads


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

    Yields
    ------
    rows : list of int
        The pieces that are still being written, by their place in `streams`.
    events : ndarray, (len(rows), 6)
        What each of them goes on with.
    """
    device, network = next(network.parameters()).device, pack(network)
    random = [np.random.Generator(np.random.Philox(np.random.SeedSequence(stream))) for stream in streams]
    rules: Grammar = GRAMMARS[grammar](prompt, len(streams), network.config.sizes, bounds, device)
    window: Window = WINDOWS[context](network, len(streams), bounds)
    latest = torch.from_numpy(np.array(prompt)).to(device).expand(len(streams), -1, -1)
    rows = list(range(len(streams)))
    for _ in range(bounds.max_events - len(prompt)):
        hidden, moved = window.read(latest)
        if moved is not None:
            rules.drop_beats(moved)
        numbers = np.stack([random[row].random(len(FIELDS), dtype=np.float32) for row in rows])
        event = draw_event(network.heads, hidden, rules, filters, torch.from_numpy(numbers).to(device))
        yield rows, _in_piece(event, window.dropped)
        rules.advance(event)
        going = event[:, TYPE] != END_OF_SONG
        if not going.all():
            kept = _close_gaps(going.tolist())
            if not kept:
                return
            rows = [rows[place] for place in kept]
            places = torch.tensor(kept, device=device)
            rules.keep(places)
            window.keep(places)
            event = event[places]
        latest = event[:, None]


def _in_piece(event: Tensor, dropped: Tensor) -> Events:
    """Events (batch, 6) of windows as events of their pieces."""
    beats = torch.where(event[:, TYPE] == NOTE, dropped, 0)
    counted: Events = (
        torch.cat([event[:, :BEAT], event[:, BEAT, None] + beats[:, None], event[:, POSITION:]], 1).cpu().numpy()
    )
    return counted


def _close_gaps(going: list[bool]) -> list[int]:
    """Which pieces stay, in an order in which the last ones fill the places of those that have ended."""
    staying = sum(going)
    movers = (place for place in range(staying, len(going)) if going[place])
    return [place if going[place] else next(movers) for place in range(staying)]


def draw_event(heads: Heads, hidden: Tensor, rules: Grammar, filters: Filters, uniform: Tensor) -> Tensor:
    """Draw the fields of the next event, (batch, 6), from hidden states (batch, dim) and numbers (batch, 6) of [0, 1).

    Masks and weights of the grammar come first, then temperature's filters.
    """
    event = torch.zeros(len(uniform), len(FIELDS), dtype=torch.long, device=uniform.device)
    foreseen: list[Tensor] = []

    def ask(floor: Tensor) -> list[Tensor]:
        foreseen[:] = filters.temper(heads(hidden, floor))
        return foreseen

    rules.foresee(ask)
    for field in range(len(FIELDS)):
        if foreseen and (field == TYPE or not heads.reads_earlier_fields):
            logits = foreseen[field]
        else:
            logits = heads.field(field, hidden, event).float() / filters.temperature[field]
        event[:, field] = draw(filters.apply(rules.allow(logits, field, event), field), uniform[:, field])
    return event
