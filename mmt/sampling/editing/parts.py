"""What the editing functions share: their options, the parts of a piece (header, notes, end), and checks.

The header is everything before the notes: start-of-song, the instruments, start-of-notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mmt.representation.arguments import described
from mmt.representation.codes import END_OF_SONG, INSTRUMENT, INSTRUMENT_EVENT, NOTE, TYPE, Events, Representation
from mmt.representation.encode import canonical
from mmt.representation.origin import remember
from mmt.representation.prompt import Prompt, instruments, plain
from mmt.sampling.controls import Controls
from mmt.sampling.filters import Filters
from mmt.sampling.model import Model, check_model
from mmt.sampling.options import ControlOptions, FilterOptions, GenerationOptions
from mmt.sampling.streams import Stream, streams_of

Names = str | int | Sequence[str | int]

# Far more than music has. The limit stops a network that repeats itself for ever.
MAX_NOTES_PER_BEAT = 1024


class SeedAndFilters(FilterOptions, total=False):
    """The options of all editing functions, as for `Model.generate`."""

    n: int
    seed: int | None
    progress: bool


class EditOptions(SeedAndFilters, ControlOptions, total=False):
    """The options of the editing functions that write new pitches, as for `Model.generate`; controls apply to new notes."""


def settings_of(
    model: Model, options: EditOptions | SeedAndFilters, known: type[EditOptions | SeedAndFilters] = EditOptions
) -> tuple[list[Stream], Filters, Controls, bool]:
    """The streams, filters, controls and `progress` of the options of an editing function, which takes those of `known`."""
    given: dict[str, Any] = dict(options)
    if unknown := sorted(given.keys() - known.__annotations__):
        raise TypeError(f"unknown option {unknown[0]!r}; the options are {', '.join(known.__annotations__)}")
    streams = streams_of(given.pop("n", 1), given.pop("seed", None))
    progress = bool(given.pop("progress", False))
    sampling = GenerationOptions(**given)
    return streams, sampling.filters(model.sampling), sampling.controls(model.representation), progress


END = np.array([[END_OF_SONG, 0, 0, 0, 0, 0]])


def split(model: Model, piece: npt.ArrayLike) -> tuple[Events, Events]:
    """The header of a piece, without its length code, and its notes (notes, 6), given notes included.

    A `ValueError` says what is wrong with the model or the piece, or that there are no notes.
    """
    check_model(model)
    checked = plain(piece, model.representation)
    header, notes = checked[checked[:, TYPE] < NOTE], checked[checked[:, TYPE] == NOTE]
    if not len(notes):
        raise ValueError("the piece has no notes")
    return header, notes


def header_for(codes: Iterable[int], representation: Representation) -> Prompt:
    """A header that declares the instruments of these codes."""
    return instruments([representation.names[code - 1] for code in codes], representation=representation)


def codes_for(names: Names, representation: Representation) -> list[int]:
    """The codes of instruments, ascending; names and errors as for `mmt.prompt.instruments`."""
    return codes_of(instruments(names, representation=representation))


def codes_of(header: Events) -> list[int]:
    """The codes of the instruments that a header declares."""
    return [int(code) for code in header[header[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT]]


def assemble(header: Events, notes: Sequence[Events], representation: Representation) -> Events:
    """A whole piece: the header, all notes (n, 6) in canonical order, and end-of-song."""
    piece = np.concatenate([np.asarray(header), canonical(np.concatenate(notes), representation), END])
    return remember(piece, representation)


def check_plays(notes: Events, code: int, representation: Representation) -> None:
    """Raise a `ValueError` if an instrument has none of the notes (n, 6)."""
    if not (notes[:, INSTRUMENT] == code).any():
        raise ValueError(f"{representation.names[code - 1]} does not play in the piece")


def check_header_fits(header: Events, context: int) -> None:
    """Raise a `ValueError` if the context has no room for the header and two more events."""
    if len(header) + 2 > context:
        raise ValueError(
            f"{len(codes_of(header))} instruments are too many for the model's context of {context} events; name fewer"
        )


def check_span(beats: tuple[int, int] | None, length: int) -> tuple[int, int]:
    """The first beat and the beat after the last, checked for a piece of `length` beats."""
    if beats is None:
        return 0, length
    are_two = isinstance(beats, Sequence | np.ndarray) and len(beats) == 2
    if not are_two or not all(isinstance(beat, int | np.integer) for beat in beats):
        raise ValueError(
            f"beats is {described(beats)}; give two whole numbers, the first beat and the beat after the last"
        )
    first, stop = int(beats[0]), int(beats[1])
    if not 0 <= first < stop <= length:
        raise ValueError(f"beats are {first} to {stop}; give 0 <= first < last <= {length}, the beats of the piece")
    return first, stop
