"""Rewrite some parts of a piece in some beats, by a model that was trained with given notes; all other notes stay.

The earlier beats are the prompt. All held notes from the first new beat on are given notes, which the model reads `reach` beats
before they sound.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from mmt.representation.codes import BEAT, GIVEN_NOTE, INSTRUMENT, NOTE, START_OF_NOTES, TYPE, Events, Representation
from mmt.representation.encode import canonical, moments
from mmt.representation.prompt import Prompt
from mmt.sampling.controls import Controls
from mmt.sampling.decoding import write_pieces
from mmt.sampling.editing.parts import (
    MAX_NOTES_PER_BEAT,
    EditOptions,
    Names,
    assemble,
    check_span,
    codes_for,
    codes_of,
    header_for,
    settings_of,
    split,
)
from mmt.sampling.model import Model, check_model
from mmt.sampling.options import GenerationOptions


def rewrite(
    model: Model,
    piece: npt.ArrayLike,
    beats: tuple[int, int] | None = None,
    instruments: Names | None = None,
    **options: Unpack[EditOptions],
) -> list[Events]:
    """Rewrite some parts of a piece in some beats; all other notes stay.

    The new notes are drawn from the model's distribution under the condition that they lie in these parts and beats.

    Parameters
    ----------
    model : Model
        Its representation must have given notes.
    piece : array_like of int, (n, 6)
    beats : (int, int), optional
        The first beat to write and the beat after the last (the first beat of the piece is 0). Default: the whole piece.
    instruments : str, int or sequence of them, optional
        The parts to write. An instrument that the piece does not have is added to it. Default: all instruments of the piece.
    **options
        See `mmt.sampling.editing.parts.EditOptions`.

    Raises
    ------
    ValueError
        If the model has no given notes, `beats` are no beats of the piece, or an instrument is unknown.

    Examples
    --------
    >>> import mmt
    >>> head = [[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 25], [2, 0, 0, 0, 0, 0]]
    >>> piece = [*head, *([3, beat, 1, 60 + beat, 12, 25] for beat in range(1, 9)), [4, 0, 0, 0, 0, 0]]
    >>> anew = rewrite(mmt.load_model(), piece, beats=(2, 4), seed=0)[0]
    >>> anew[:5].tolist() == piece[:5], anew[-5:].tolist() == piece[-5:]
    (True, True)
    """
    check_model(model)
    representation = model.representation
    _check_given(representation)
    header, notes = split(model, piece)
    first, stop = check_span(beats, length := int(notes[-1, BEAT]))
    parts = codes_of(header) if instruments is None else codes_for(instruments, representation)
    is_new = np.isin(notes[:, INSTRUMENT], parts) & (notes[:, BEAT] > first) & (notes[:, BEAT] <= stop)
    codes = np.union1d(codes_of(header), parts).tolist()
    header = header_for(codes, representation)
    prompt, given = _split(header, held := notes[~is_new], first, stop, representation)
    if representation.length:
        prompt[prompt[:, TYPE] == START_OF_NOTES, BEAT] = representation.length_code(length)

    streams, filters, controls, progress = settings_of(model, options)
    controls.check_instruments(parts, representation, no_others=True)
    most = len(prompt) + len(given) + MAX_NOTES_PER_BEAT * (stop - first) + 1
    settings = _limits(model, prompt, stop, most, length, controls)
    settings |= {"filters": filters, "given": given, "held": set(codes) - set(parts)}
    prompts = [np.asarray(prompt)] * len(streams)
    written = write_pieces(model.network, prompts, streams, progress=progress, **settings)
    new = (one[len(prompt) :] for one in written)
    return [assemble(header, [held, one[one[:, TYPE] == NOTE]], representation) for one in new]


def _check_given(representation: Representation) -> None:
    if not representation.given:
        raise ValueError(
            "the model's representation has no given notes (given=True); use a model that was trained with them, or fill, "
            "accompany and reorchestrate"
        )


def _limits(
    model: Model, prompt: Prompt, max_beats: int, max_events: int, length: int, controls: Controls
) -> dict[str, Any]:
    """The keyword arguments of `write_pieces` for a piece of `length` beats, of which the first `max_beats` are written."""
    representation = model.representation
    options = GenerationOptions(max_beats=max_beats, max_events=max_events)
    _, settings = options.resolve(prompt, model.network.config, representation, model.sampling)
    # The code of start-of-notes is too small for the length of a long piece, so pass the length itself.
    told = length if representation.length else 0
    bounds = replace(settings["bounds"], controls=controls, reach=representation.reach, length=told)
    return settings | {"bounds": bounds}


def _split(
    header: Events, held: Events, first: int, stop: int, representation: Representation
) -> tuple[Prompt, Events]:
    """The prompt (the earlier beats and the notes that are given at once) and the given notes that are inserted later."""
    given = held[held[:, BEAT] > first].copy()
    given[:, TYPE] = GIVEN_NOTE
    start = (first + 1) * representation.resolution + 1
    times = moments(given, representation)
    # Later given notes come after all that is written.
    due = times < (stop + 1) * representation.resolution + 1
    at_once = times <= start
    before = canonical(np.concatenate([held[held[:, BEAT] <= first], given[at_once]]), representation)
    return Prompt(np.concatenate([header, before]), first_beat=first), given[due & ~at_once]
