"""Compose pieces in sections, some of which return.

The first section is generated with a given length, so that it ends. The section of each other letter is written once and copied
to where its letter stands again: between the sections before and after it, or, if the one after it does not exist yet, as a
continuation of the one before it. No other section is read: a model that reads a section twice writes it a third time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import numpy.typing as npt

from mmt.representation.arguments import described
from mmt.representation.codes import BEAT, DURATION, POSITION, Events, Representation, as_events, last_beat
from mmt.representation.prompt import Prompt
from mmt.sampling.editing.parts import EditOptions, assemble, settings_of, split
from mmt.sampling.editing.rewriting import rewrite
from mmt.sampling.model import Model, check_model
from mmt.sampling.streams import Stream

# So that the last four beats, in which the first section ends, are not all of it.
_SHORTEST_SECTION = 5
# Times that a section is drawn, as long as it has no notes.
_ATTEMPTS = 10
_NO_NOTES = np.zeros((0, 6), np.int64)


def compose(
    model: Model,
    prompt: npt.ArrayLike | None = None,
    form: str = "ABA",
    section: int = 16,
    *,
    use_all: bool = False,
    **options: Unpack[EditOptions],
) -> list[Events]:
    """Generate pieces in sections; sections of the same letter have the same notes, apart from long notes at their ends.

    Parameters
    ----------
    model : Model
        Its representation must have given notes and lengths.
    prompt : array_like of int, (n, 6), optional
        Instruments, and possibly the first notes of the first section; see `mmt.prompt`. Default: start-of-song alone.
    form : str
        A letter for each section: "ABA", "AABA", "ABACA". Case does not count.
    section : int
        The number of beats of a section: from 5 to the beats of the model's representation (256 for the shipped model). The
        first section ends in the last four of them.
    use_all : bool
        Whether each declared instrument plays in the first section, see `Model.generate`.
    **options
        n, seed, temperature, top_k, top_p, min_p, scale, allow, exclude, ranges, progress: as for `Model.generate`.

    Returns
    -------
    list of ndarray of int64, (n_i, 6)
        Whole pieces. A piece ends if its last section is the first one again (ABA) or a new one (AB); a copy of a middle section
        (ABB) may just stop. Notes that sound beyond their section are shortened where another section follows.

    Raises
    ------
    ValueError
        If the model has no given notes or lengths, the form or the prompt is unusable, or the section is too short or too long.

    Examples
    --------
    >>> import mmt
    >>> trio = mmt.prompt.instruments("violin", "viola", "cello")
    >>> [piece] = compose(mmt.load_model(), trio, "ABA", section=8, seed=1)
    >>> bool(16 < piece[:, BEAT].max() <= 24)
    True
    """
    check_model(model)
    check_form(form, section, model.representation)
    length = 0 if prompt is None else max(last_beat(as_events(prompt)), getattr(prompt, "first_beat", 0))
    if length > section:
        raise ValueError(
            f"the prompt has {length} beats; give at most the {section} beats of a section, or a longer section"
        )
    streams, *_ = settings_of(model, options)
    if options.get("seed") is None:
        options["seed"] = streams[0][0]
    first = model.generate(prompt, length=section, use_all=use_all, **options)
    each = zip(first, streams, strict=True)
    return [_complete(model, piece, form.upper(), section, stream, options) for piece, stream in each]


def check_form(form: str, section: int, representation: Representation) -> None:
    """Raise a `ValueError` if a model with this representation cannot write sections of this length in this form."""
    if not (representation.given and representation.length):
        raise ValueError(
            "a form needs a model with given notes and lengths (given=True, length=True), such as the one that mmt ships"
        )
    if not isinstance(form, str) or not (form.isascii() and form.isalpha()):
        raise ValueError(
            f"form is {described(form)}; give letters from A to Z alone, one for each section, such as 'ABA'"
        )
    if isinstance(section, bool) or not isinstance(section, int | np.integer) or section < _SHORTEST_SECTION:
        raise ValueError(
            f"section is {described(section)}; it must be a whole number of at least {_SHORTEST_SECTION} beats"
        )
    if section > representation.beats:
        raise ValueError(
            f"section is {section} beats, but the model reads at most {representation.beats} at once; "
            "give shorter sections, or more of them"
        )


def _complete(model: Model, first: Events, form: str, section: int, stream: Stream, options: EditOptions) -> Events:
    """The whole piece of a first section."""
    header, notes = split(model, first)
    parts = {form[0]: notes}
    for place, letter in enumerate(form):
        if letter in parts:
            continue
        before, rest = parts[form[place - 1]], len(form) - place - 1
        after = parts.get(form[place + 1]) if rest else None
        for attempt in range(_ATTEMPTS):
            seed = int(np.random.SeedSequence([*stream, place, attempt]).generate_state(1)[0])
            own: EditOptions = {**options, "n": 1, "seed": seed}
            parts[letter] = _write(model, header, before, after, rest, section, own)
            if len(parts[letter]):
                break
    sections = _placed([parts[letter] for letter in form], section, model.representation)
    return assemble(header, sections, model.representation)


def _write(
    model: Model, header: Events, before: Events, after: Events | None, rest: int, section: int, options: EditOptions
) -> Events:
    """The notes of a section, with beats from 1, after one section and, if it exists, before another; `rest` sections follow."""
    around = [before, _NO_NOTES, _NO_NOTES if after is None else after]
    known = assemble(header, _placed(around, section, model.representation), model.representation)
    begin, end = section, 2 * section
    if after is not None:
        [piece] = rewrite(model, known, (begin, end), **options)
    else:
        prompt, least = Prompt(known[:-1], first_beat=begin), end if rest else 0
        [piece] = model.generate(prompt, length=end + rest * section, min_beats=least, max_beats=end, **options)
    _, notes = split(model, piece)
    notes = notes[(notes[:, BEAT] > begin) & (notes[:, BEAT] <= end)]
    notes[:, BEAT] -= begin
    return notes


def _placed(sections: Sequence[Events], section: int, representation: Representation) -> list[Events]:
    """The notes of sections one after the other; only those of the last one sound beyond their section."""
    placed = []
    for place, notes in enumerate(sections):
        moved = notes.copy()
        if place < len(sections) - 1:
            onset = (moved[:, BEAT] - 1) * representation.resolution + moved[:, POSITION] - 1
            room = np.searchsorted(representation.durations, section * representation.resolution - onset, side="right")
            moved[:, DURATION] = np.minimum(moved[:, DURATION], room)
        moved[:, BEAT] += place * section
        placed.append(moved)
    return placed
