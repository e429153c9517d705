"""Compose pieces in sections, some of which return.

The first section is generated with a told length, so that it ends. The section of each other letter is written once, between the
sections that exist already, and copied to where its letter stands again. A section with nothing after it is a continuation.
"""

from __future__ import annotations

from typing import Unpack

import numpy as np
import numpy.typing as npt

from mmt.representation.codes import BEAT, DURATION, POSITION, Events, Representation, as_events
from mmt.representation.prompt import Prompt
from mmt.sampling.editing.parts import EditOptions, assemble, header_of, notes_of, settings_of
from mmt.sampling.editing.rewriting import rewrite
from mmt.sampling.model import Model
from mmt.sampling.streams import Stream

# So that the last four beats, in which the first section ends, are not all of it.
_SHORTEST_SECTION = 5


def compose(
    model: Model,
    prompt: npt.ArrayLike | None = None,
    form: str = "ABA",
    section: int = 16,
    *,
    use_all: bool = False,
    **options: Unpack[EditOptions],
) -> list[Events]:
    """Generate pieces in sections; sections of the same letter have the same notes.

    Parameters
    ----------
    model : Model
        Its representation must have given notes and lengths.
    prompt : array_like of int, (n, 6), optional
        Instruments, and possibly the first notes of the first section; see `mmt.prompt`. Default: start-of-song alone.
    form : str
        A letter for each section: "ABA", "AABA", "ABACA".
    section : int
        The number of beats of a section, at least 5. The first section ends in the last four of them.
    use_all : bool
        Whether each declared instrument plays in the first section, see `Model.generate`.
    **options
        n, seed, temperature, top_k, top_p, min_p, scale, allow, exclude, ranges, progress: as for `Model.generate`.

    Returns
    -------
    list of ndarray of int64, (n_i, 6)
        Whole pieces. Notes that sound beyond their section are shortened where another section follows.

    Raises
    ------
    ValueError
        If the model has no given notes or lengths, or the form, the section or the prompt is unusable.

    Examples
    --------
    >>> import mmt
    >>> trio = mmt.prompt.instruments("violin", "viola", "cello")
    >>> [piece] = compose(mmt.load_model(), trio, "ABA", section=8, seed=1)  # doctest: +SKIP
    """
    representation = model.representation
    if not (representation.given and representation.length):
        raise ValueError(
            "a form needs a model with given notes and lengths (given=True, length=True), such as the one that mmt ships"
        )
    if not isinstance(form, str) or not (form.isascii() and form.isalpha()):
        raise ValueError(f"form is {form!r}; give a letter for each section, such as 'ABA'")
    if not isinstance(section, int | np.integer) or section < _SHORTEST_SECTION:
        raise ValueError(f"section is {section}; it must be a whole number of at least {_SHORTEST_SECTION} beats")
    if prompt is not None and (length := int(as_events(prompt)[:, BEAT].max(initial=0))) > section:
        raise ValueError(
            f"the prompt has {length} beats; give at most the {section} beats of a section, or a longer section"
        )
    streams = settings_of(model, options).streams
    if options.get("seed") is None:
        options["seed"] = streams[0][0]
    first = model.generate(prompt, length=section, use_all=use_all, **options)
    each = zip(first, streams, strict=True)
    return [_complete(model, piece, form, section, stream, options) for piece, stream in each]


def _complete(model: Model, first: Events, form: str, section: int, stream: Stream, options: EditOptions) -> Events:
    """The whole piece of a first section."""
    header, parts = header_of(first, model.representation), {form[0]: notes_of(first, model.representation)}
    for place, letter in enumerate(form):
        if letter in parts:
            continue
        known = assemble(header, _placed(parts, form, section, model.representation), model.representation)
        seed = int(np.random.SeedSequence([*stream, place]).generate_state(1)[0])
        own: EditOptions = {**options, "n": 1, "seed": seed}
        begin, end = place * section, (place + 1) * section
        if any(later in parts for later in form[place + 1 :]):
            [written] = rewrite(model, known, (begin, end), **own)
        else:
            prompt = Prompt(known[:-1], first_beat=begin)
            least = end if place < len(form) - 1 else 0
            [written] = model.generate(prompt, length=len(form) * section, min_beats=least, max_beats=end, **own)
        notes = notes_of(written, model.representation)
        parts[letter] = notes[(notes[:, BEAT] > begin) & (notes[:, BEAT] <= end)]
        parts[letter][:, BEAT] -= begin
    return assemble(header, _placed(parts, form, section, model.representation), model.representation)


def _placed(parts: dict[str, Events], form: str, section: int, representation: Representation) -> list[Events]:
    """The notes of the sections that exist, each where its letter stands; only those of the last one sound beyond the section."""
    placed = []
    for place, letter in enumerate(form):
        if letter not in parts:
            continue
        notes = parts[letter].copy()
        if place < len(form) - 1:
            onset = (notes[:, BEAT] - 1) * representation.resolution + notes[:, POSITION] - 1
            room = np.searchsorted(representation.durations, section * representation.resolution - onset, side="right")
            notes[:, DURATION] = np.minimum(notes[:, DURATION], room)
        notes[:, BEAT] += place * section
        placed.append(notes)
    return placed
