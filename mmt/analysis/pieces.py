"""Pieces to be studied: arrays or a corpus, checked, and cut into windows where they are longer than a network sees.

A piece that fits is studied whole. A longer one is cut as for validation (see `mmt.corpus.windows`): windows one behind the
other, each with the instruments that it needs, its first beat counted as beat 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike

import numpy as np
import numpy.typing as npt

from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Limits, cover
from mmt.representation.codes import BEAT, FIELDS, NOTE, TYPE, Events, as_events, is_note
from mmt.representation.decode import check_codes, notes_of_events
from mmt.representation.encode import moments
from mmt.sampling.model import Model

# One piece, several, or a corpus.
Pieces = npt.ArrayLike | Iterable[npt.ArrayLike] | Corpus


def field_numbers(field: str | None) -> list[int]:
    """The number of a field, by its name; of all six for None.

    Raises
    ------
    ValueError
        If there is no such field.
    """
    if field is not None and field not in FIELDS:
        raise ValueError(f"there is no field {field!r}; choose one of {', '.join(FIELDS)}, or leave it out for all")
    return [number for number, name in enumerate(FIELDS) if field in (None, name)]


def pieces_to_study(model: Model, pieces: Pieces) -> tuple[int, Iterator[Events]]:
    """How many pieces there are, and they themselves, one after the other; all checked before the first comes.

    Pieces of fewer than two notes have no pair: in a corpus they are left out, given by hand they are refused.

    Raises
    ------
    ValueError
        If a piece, or the corpus, cannot be studied with this model; a piece is named by its place.
    """
    if isinstance(pieces, Corpus):
        check_same_representation(model, pieces)
        kept = [place for place, piece in enumerate(pieces.pieces) if piece.length >= 2]
        if not kept:
            raise ValueError(f"{pieces.folder} has no piece of two notes or more; there is no pair to study")
        return len(kept), (pieces[place] for place in kept)
    if isinstance(pieces, str | PathLike):
        raise ValueError(
            f"pieces are needed, and this is {pieces!r}; for a corpus give mmt.Corpus(folder, split='test')"
        )
    if hasattr(pieces, "tracks") or getattr(pieces, "ndim", 0) == 2 or _is_rows(pieces):
        pieces = [pieces]  # type: ignore[list-item]
    checked = [_checked(model, piece, place) for place, piece in enumerate(pieces)]  # type: ignore[arg-type]
    if not checked:
        raise ValueError("no pieces were given; give at least one")
    return len(checked), iter(checked)


def _is_rows(pieces: Pieces) -> bool:
    """Whether a list is the rows of one piece."""
    return isinstance(pieces, list | tuple) and len(pieces) > 0 and np.ndim(pieces[0]) == 1


def check_same_representation(model: Model, corpus: Corpus) -> None:
    """Raise a `ValueError` if the codes of a corpus do not mean what they mean to the model."""
    ours, theirs = model.representation.to_dict(), corpus.representation.to_dict()
    for name in ("resolution", "durations", "instruments"):
        if ours[name] != theirs[name]:
            raise ValueError(
                f"the {name} of {corpus.folder} {'is' if name == 'resolution' else 'are'} not the model's; "
                "prepare a corpus with the model's representation"
            )
    # A corpus without drums is music that a model with drums knows.
    if corpus.representation.drums and not model.representation.drums:
        raise ValueError(f"{corpus.folder} has drums, which the model does not know; prepare a corpus without drums")


def windows_of(model: Model, events: Events) -> Iterator[Events]:
    """A piece as the network can see it: itself, or windows that cover it."""
    if _fits(model, events):
        yield events
    else:
        yield from cover(notes_of_events(events, model.representation), _limits(model), model.representation)


def _limits(model: Model) -> Limits:
    config = model.network.config
    return Limits(config.context, config.sizes[BEAT] - 1)


def _fits(model: Model, events: Events) -> bool:
    """Whether the network sees the whole piece at once."""
    limits = _limits(model)
    return len(events) <= limits.events and events[:, BEAT].max() <= limits.beats


def events_to_read(model: Model, events: npt.ArrayLike) -> Events:
    """The events as an array of codes that the model's network knows, (n, 6) with n from 1 to its context."""
    codes, config = as_events(events), model.network.config
    if not len(codes):
        raise ValueError(f"there are no events; give an (n, {len(FIELDS)}) array of one or more")
    if len(codes) > config.context:
        raise ValueError(
            f"the piece has {len(codes)} events, more than the model's context of {config.context}; cut it"
        )
    outside = (codes < 0) | (codes >= np.array(config.sizes))
    if outside.any():
        row, field = np.argwhere(outside)[0].tolist()
        raise ValueError(
            f"row {row}: {FIELDS[field]} is {codes[row, field]}; the model knows 0 to {config.sizes[field] - 1}"
        )
    return codes.astype(np.int64)


def _checked(model: Model, piece: npt.ArrayLike, place: int) -> Events:
    try:
        events = check_codes(piece, model.representation)
        written, notes = (events[:, TYPE] == NOTE).sum(), events[is_note(events)]
        if written < 2:
            raise ValueError(f"{written} notes; it takes two to make a pair")
        types = np.where(is_note(events), NOTE, events[:, TYPE])
        beats = moments(notes, model.representation) // model.representation.resolution
        if (np.diff(types) < 0).any() or (np.diff(beats) < 0).any():
            raise ValueError("types or beats fall; events must be in the order of a piece")
        if len(notes) > written and not _fits(model, events):
            raise ValueError("it has given notes, and more events or beats than the model sees at once; cut it")
    except ValueError as error:
        raise ValueError(f"piece {place}: {error}") from error
    return events
