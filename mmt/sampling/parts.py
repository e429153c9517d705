"""A piece taken apart, and checked, before a part of it is written anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mmt.representation.codes import INSTRUMENT, INSTRUMENT_EVENT, NOTE, TYPE, Events, Representation
from mmt.representation.prompt import Prompt, instruments, plain

Names = str | int | Sequence[str | int]

# More than anybody writes into a beat: only a network that has lost its way is stopped by it.
MOST_IN_A_BEAT = 1024


def notes_of(piece: npt.ArrayLike, representation: Representation) -> Events:
    checked = plain(piece, representation)
    notes: Events = checked[checked[:, TYPE] == NOTE]
    if not len(notes):
        raise ValueError("the piece has no notes")
    return notes


def frame_of(piece: npt.ArrayLike, representation: Representation) -> Events:
    checked = plain(piece, representation)
    opening: Events = checked[checked[:, TYPE] < NOTE]
    return opening


def frame_for(names: Names, representation: Representation) -> Prompt:
    return instruments(names, representation=representation)


def codes_of(opening: Events) -> list[int]:
    return [int(code) for code in opening[opening[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT]]


def check_plays(own: npt.NDArray[np.bool_], code: int, representation: Representation) -> None:
    if not own.any():
        raise ValueError(f"{representation.names[code - 1]} does not play in the piece")


def check_room(opening: Events, context: int) -> None:
    if len(opening) + 2 > context:
        raise ValueError(
            f"{len(codes_of(opening))} instruments are too many for the model's context of {context} events; name fewer"
        )


def check_candidates(candidates: int) -> None:
    if not isinstance(candidates, int | np.integer) or candidates < 1:
        raise ValueError(f"candidates is {candidates}; it must be at least 1")
