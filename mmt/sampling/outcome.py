"""How a piece was written: from which random stream, why it ended, and what each instrument plays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mmt.representation.codes import INSTRUMENT, INSTRUMENT_EVENT, TYPE, Events, Representation, is_note, last_beat
from mmt.sampling.grammar import Bounds
from mmt.sampling.streams import Stream, name_of

Ending = Literal["end-of-song", "told length", "event limit", "beat limit", "context full"]


@dataclass(frozen=True)
class Outcome:
    """How one piece was written."""

    seed: int
    number: int
    """The piece draws from the random stream (seed, number)."""
    ending: Ending
    """Why it ended: end-of-song was drawn; `length`, `max_events` or `max_beats` was reached; or the network's context is full,
    where no limit was given."""
    notes: dict[str, int]
    """The number of notes of each declared instrument, the prompt's included."""

    def __str__(self) -> str:
        return f"{name_of((self.seed, self.number))}; {_SAID[self.ending]}"


_SAID: dict[Ending, str] = {
    "end-of-song": "ends by itself",
    "told length": "ends at the told length",
    "event limit": "cut at the limit of events",
    "beat limit": "cut at the limit of beats",
    "context full": "cut where the model's context is full; give a length for an ending, or more events to let it go on",
}


def outcomes_of(
    pieces: Sequence[Events],
    streams: Sequence[Stream],
    bounds: Bounds,
    representation: Representation,
    *,
    limited: bool,
) -> list[Outcome]:
    """The outcome of each piece; `limited` says whether a limit of events was given."""
    return [
        Outcome(seed, number, _ending_of(piece, bounds, limited=limited), notes_of(piece, representation))
        for piece, (seed, number) in zip(pieces, streams, strict=True)
    ]


def _ending_of(piece: Events, bounds: Bounds, *, limited: bool) -> Ending:
    if len(piece) >= bounds.max_events:
        return "event limit" if limited else "context full"
    # An end in the last beat that is allowed may be what the limit left over.
    if last_beat(piece) >= bounds.max_beats:
        return "told length" if bounds.max_beats == bounds.length else "beat limit"
    return "end-of-song"


def notes_of(piece: Events, representation: Representation) -> dict[str, int]:
    """The number of notes of each declared instrument."""
    counts = np.bincount(piece[is_note(piece), INSTRUMENT], minlength=representation.sizes[INSTRUMENT])
    codes = piece[piece[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT].tolist()
    return {representation.names[code - 1]: int(counts[code]) for code in codes}
