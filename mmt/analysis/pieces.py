"""Check the pieces of an analysis (arrays or a corpus), and cut those that exceed a network's context into windows.

Windows are those of validation (see `mmt.corpus.windows`): consecutive, each with the instruments it needs and its first
beat counted as beat 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from os import PathLike

import numpy as np
import numpy.typing as npt

from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Limits, cover
from mmt.representation.arguments import described
from mmt.representation.codes import BEAT, FIELDS, NOTE, TYPE, Events, is_note
from mmt.representation.decode import check_codes, notes_of_events
from mmt.representation.encode import moments
from mmt.sampling.model import Model, check_model

# One piece, several, or a corpus.
Pieces = npt.ArrayLike | Iterable[npt.ArrayLike] | Corpus


def field_numbers(field: str | None) -> list[int]:
    """The index of the field with this name, or all six indices for None; raises a `ValueError` for any other name."""
    if field is not None and field not in FIELDS:
        raise ValueError(f"there is no field {field!r}; choose one of {', '.join(FIELDS)}, or leave it out for all")
    return [number for number, name in enumerate(FIELDS) if field in (None, name)]


def pieces_to_study(model: Model, pieces: Pieces) -> tuple[int, Iterator[Events]]:
    """The number of pieces, and an iterator over them. All are checked before the first is returned.

    Pieces of fewer than two notes have no pair: those of a corpus are skipped. Any other piece, or a corpus, that the model
    cannot read raises a `ValueError`; a piece is named by its index.
    """
    check_model(model)
    if isinstance(pieces, Corpus):
        check_same_representation(model, pieces)
        kept = [index for index, piece in enumerate(pieces.pieces) if piece.length >= 2]
        if not kept:
            raise ValueError(f"{pieces.folder} has no piece of two notes or more; give a corpus with longer pieces")
        return len(kept), (pieces[index] for index in kept)
    checked = check_each(pieces, lambda piece: _checked(model, piece))
    return len(checked), iter(checked)


def named_pieces(
    model: Model, pieces: Pieces, check: Callable[[npt.ArrayLike], Events]
) -> tuple[list[str], list[Events] | Corpus]:
    """The names of some pieces, and the pieces; a corpus must have the model's representation, others pass `check`."""
    if isinstance(pieces, Corpus):
        check_same_representation(model, pieces)
        return [piece.name for piece in pieces.pieces], pieces
    checked = check_each(pieces, check)
    return [f"piece {index}" for index in range(len(checked))], checked


def check_each(
    pieces: npt.ArrayLike | Iterable[npt.ArrayLike], check: Callable[[npt.ArrayLike], Events]
) -> list[Events]:
    """Check one piece or several by a function that returns the events of a piece.

    A `ValueError` of `check` gets the index of the piece added. A path, or no piece at all, is a `ValueError`.
    """
    if isinstance(pieces, str | PathLike):
        raise ValueError(f"pieces is {pieces!r}, a path; give event arrays, or mmt.Corpus(folder, split='test')")
    if not isinstance(pieces, Iterable) and not hasattr(pieces, "tracks"):
        raise ValueError(f"pieces is {described(pieces)}; give event arrays, or mmt.Corpus(folder, split='test')")
    is_rows = isinstance(pieces, list | tuple) and len(pieces) > 0 and np.ndim(pieces[0]) == 1
    if is_rows or getattr(pieces, "ndim", 0) == 2 or hasattr(pieces, "tracks"):
        pieces = [pieces]  # type: ignore[list-item]
    checked = []
    for index, piece in enumerate(pieces):  # type: ignore[arg-type]
        try:
            checked.append(check(piece))
        except ValueError as error:
            raise ValueError(f"piece {index}: {error}") from error
    if not checked:
        raise ValueError("no pieces were given; give at least one")
    return checked


def check_same_representation(model: Model, corpus: Corpus) -> None:
    """Raise a `ValueError` if the codes of a corpus and of the model differ in meaning; the number of beats may differ."""
    check_model(model)
    if not isinstance(corpus, Corpus):
        raise ValueError(
            f"corpus is {described(corpus)}; give mmt.Corpus(folder, split='valid') (the loss of arrays: mmt.likelihood.events)"
        )
    ours, theirs = model.representation.to_dict(), corpus.representation.to_dict()
    for name in ("resolution", "durations", "instruments"):
        if ours[name] != theirs[name]:
            raise ValueError(
                f"the {name} of {corpus.folder} {'is' if name == 'resolution' else 'are'} not the model's; "
                "prepare a corpus with the model's representation (mmt-prepare --checkpoint)"
            )
    # A model with drums can read a corpus without them.
    if corpus.representation.drums and not model.representation.drums:
        raise ValueError(f"{corpus.folder} has drums, and the model does not; prepare a corpus without drums")


def windows_of(model: Model, events: Events) -> Iterator[Events]:
    """The piece itself where it fits the network's context, else consecutive windows of it."""
    if _fits(model, events):
        yield events
    else:
        yield from cover(notes_of_events(events, model.representation), _limits(model), model.representation)


def _limits(model: Model) -> Limits:
    config = model.network.config
    return Limits(config.context, config.sizes[BEAT] - 1)


def _fits(model: Model, events: Events) -> bool:
    limits = _limits(model)
    return len(events) <= limits.events and events[:, BEAT].max() <= limits.beats


def _checked(model: Model, piece: npt.ArrayLike) -> Events:
    events = check_codes(piece, model.representation)
    written, notes = (events[:, TYPE] == NOTE).sum(), events[is_note(events)]
    if written < 2:
        raise ValueError(f"it has {written} notes; give at least two")
    types = np.where(is_note(events), NOTE, events[:, TYPE])
    beats = moments(notes, model.representation) // model.representation.resolution
    if (np.diff(types) < 0).any() or (np.diff(beats) < 0).any():
        raise ValueError("types or beats decrease; sort the events")
    if len(notes) > written and not _fits(model, events):
        raise ValueError("it has given notes and exceeds the model's context; cut it")
    return events
