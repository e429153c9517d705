"""Constrained decoding: write pieces of which some fields of each event are fixed in advance.

A writer writes one piece, one event at a time: fixed fields are given, and free fields are drawn. Its events count their beats
from the start of the piece; the network reads events whose beats count from the start of its window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor
from tqdm import tqdm

from mmt.model.cpu.packing import pack
from mmt.representation.codes import BEAT, TYPE, Events
from mmt.representation.origin import remember
from mmt.sampling.decoding import Heads
from mmt.sampling.editing.parts import END, check_header_fits
from mmt.sampling.grammar import Bounds
from mmt.sampling.model import Model
from mmt.sampling.streams import Stream, generator_of
from mmt.sampling.window import AnchoredWindow

# The fields of an event, or the last of them.
Codes = tuple[int, ...]


Writer = Callable[[Heads, Tensor, int, np.random.Generator], Codes | None]
"""Returns the next event, None at the end of the piece, given the network's heads, its hidden state (1, dim) after the last
event, the number of beats before its window, and the piece's random numbers."""


@torch.inference_mode()
def write_constrained(
    model: Model,
    header: Events,
    writers: Sequence[Writer],
    streams: Sequence[Stream],
    *,
    notes: int,
    beats: int,
    progress: bool = False,
) -> list[Events]:
    """Write whole pieces, one per writer and stream, each with `notes` notes in `beats` beats after the header (n, 6)."""
    check_header_fits(header, model.network.config.context)
    network, random = pack(model.network), [generator_of(stream) for stream in streams]
    window = AnchoredWindow(network, len(writers), Bounds(len(header) + notes + 1, beats))
    pieces: list[list[Codes]] = [[] for _ in writers]
    rows = list(range(len(writers)))
    latest: Events | Sequence[Events] = [np.asarray(header)] * len(writers)
    with tqdm(total=notes * len(writers), unit=" events", desc="Writing", disable=not progress, delay=1) as bar:
        while rows:
            hidden, _ = window.read(latest)
            going, events = [], []
            for place, (row, dropped) in enumerate(zip(rows, window.dropped.tolist(), strict=True)):
                event = writers[row](network.heads, hidden[place : place + 1], dropped, random[row])
                if event is not None:
                    pieces[row].append(event)
                    going.append(place)
                    events.append(in_window(event, dropped))
            if not going:
                break
            if len(going) < len(rows):
                rows = [rows[place] for place in going]
                window.keep(going)
            latest = np.array(events)[:, None]
            bar.update(len(events))
    whole = (np.concatenate([np.asarray(header), np.array(piece, np.int64).reshape(-1, 6), END]) for piece in pieces)
    return [remember(piece, model.representation) for piece in whole]


def in_window(event: Codes, dropped: int) -> Codes:
    """An event of a piece, with its beat counted from the network's window, which starts `dropped` beats later."""
    return (event[TYPE], event[BEAT] - dropped, *event[BEAT + 1 :])


def rows_in_window(events: Sequence[Codes], dropped: int, heads: Heads, hidden: Tensor) -> Tensor:
    """Events of a piece as rows of the network's window, (rows, 6)."""
    rows = torch.tensor([in_window(event, dropped) for event in events], device=hidden.device)
    # After a long silence the beat can be past the network's last one, until the window moves.
    beats = heads.field(BEAT, hidden, rows[:1]).shape[-1]
    rows[:, BEAT].clamp_(max=beats - 1)
    return rows


def log_likelihood(heads: Heads, hidden: Tensor, events: Tensor, field: int) -> Tensor:
    """Log-likelihood in nats, (rows,), of a field of each event (rows, 6), given its earlier fields and `hidden` (1, dim)."""
    logits = heads.field(field, hidden.expand(len(events), -1), events).float()
    # Code 0 is not valid in a field of a note.
    logits = logits[:, 1:] if field else logits
    return -F.cross_entropy(logits, events[:, field] - int(field > 0), reduction="none")
