"""Prompts for the three ways to generate: from nothing, from instruments, from a beginning (paper, section 3.3).

`start()`, `instruments(...)` and `beats(piece, n)` each return a `Prompt`: an (n, 6) array of events with the first beat at which
notes may be added.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from mmt.representation.arguments import described, whole
from mmt.representation.codes import (
    BEAT,
    END_OF_SONG,
    GIVEN_NOTE,
    INSTRUMENT,  # noqa: F401 (for the examples)
    INSTRUMENT_EVENT,
    NOTE,
    PAPER,
    START_OF_NOTES,
    START_OF_SONG,
    TYPE,
    Events,
    Representation,
    is_note,
)
from mmt.representation.decode import check_codes
from mmt.representation.encode import canonical, header
from mmt.representation.ensembles import find_instruments
from mmt.representation.grammar import check_piece
from mmt.representation.origin import check_origin, remember


class Prompt(np.ndarray[Any, np.dtype[np.int64]]):
    """The first events (n, 6) of a piece; no note is added before beat `first_beat`, counted from 0."""

    first_beat: int

    def __new__(cls, events: Events, first_beat: int = 0) -> Prompt:
        prompt = np.array(events, np.int64).view(cls)
        prompt.first_beat = first_beat
        return prompt

    def __array_finalize__(self, other: Any) -> None:
        # A slice of a prompt, or a result of arithmetic, is not a prompt any more.
        self.first_beat = 0


def start() -> Prompt:
    """Start-of-song alone: generate any piece, for any instruments.

    >>> start().tolist()
    [[0, 0, 0, 0, 0, 0]]
    """
    return Prompt(header(np.zeros(0, np.int64))[:1])


# Drums have the last code, so prompts of other instruments are the same as in the paper's representation.
_WITH_DRUMS = replace(PAPER, drums=True)


def instruments(*names: str | int | Sequence[str | int], representation: Representation = _WITH_DRUMS) -> Prompt:
    """Start-of-song, instruments and start-of-notes: generate for these instruments.

    Parameters
    ----------
    *names : str or int
        At least one; names, General MIDI names, ensembles ("string quartet", see `ENSEMBLES`) or MIDI program numbers, in any
        order. Or a list of them.
    representation : Representation
        Default: the paper's, with drums. A model without drums refuses a prompt with drums; for an ensemble give
        `representation=model.representation`, which leaves them out.

    Raises
    ------
    ValueError
        If a name is unknown (the message offers the nearest) or an instrument is given twice.

    Examples
    --------
    >>> instruments("cello", "violin", "Acoustic Grand Piano")[:, INSTRUMENT].tolist()
    [0, 1, 25, 27, 0]
    >>> instruments("drums", "piano")[:, INSTRUMENT].tolist()
    [0, 1, 65, 0]
    """
    wanted: list[str | int] = []
    for given in names:
        if isinstance(given, PathLike) or not isinstance(given, str | int | np.integer | Iterable):
            raise ValueError(f"{described(given)} is not an instrument; give names or MIDI program numbers")
        wanted.extend([given] if isinstance(given, str | int | np.integer) else given)
    named: dict[int, str | int] = {}
    for name in wanted:
        for code in find_instruments(name, representation):
            if code in named:
                both = f"{named[code]!r} and {name!r}" if named[code] != name else repr(name)
                raise ValueError(f"instrument {representation.names[code - 1]} is named twice ({both}); name each once")
            named[code] = name
    if not named:
        raise ValueError("no instrument was named; name at least one, or use start() to leave the choice to the model")
    return remember(Prompt(header(np.array(sorted(named), np.int64))), representation)


def beats(events: npt.ArrayLike, beats: int | None = None, *, representation: Representation = PAPER) -> Prompt:
    """The beginning of a piece, to continue it: its instruments and every note of its first `beats` beats.

    Parameters
    ----------
    events : array_like of int, (n, 6)
        A piece; its notes are sorted, and duplicates removed.
    beats : int, optional
        At least 1, at most the length of the piece (1 + the beat of its last onset). Default: the whole piece without its end.

    Returns
    -------
    Prompt
        If the first `beats` beats are empty: only the instruments. Nothing is added before beat `beats`. Given notes become
        written notes, and the piece's length is removed, because the continuation may be shorter or longer.

    Raises
    ------
    ValueError
        If the piece breaks a rule, has no notes, or has fewer beats.

    Examples
    --------
    >>> opening = [[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 25], [2, 0, 0, 0, 0, 0]]
    >>> prompt = beats([*opening, [3, 1, 1, 61, 12, 25], [3, 2, 1, 63, 12, 25]], 1)
    >>> len(prompt), prompt.first_beat
    (4, 1)
    """
    representation = check_origin(events, representation)
    piece = plain(events, representation)
    notes = piece[piece[:, TYPE] == NOTE]
    if not len(notes):
        raise ValueError("the piece has no notes to continue; give a piece with notes, or use instruments(...)")
    length = int(notes[-1, BEAT])
    if beats is None:
        return remember(Prompt(piece[piece[:, TYPE] != END_OF_SONG]), representation)
    if (beats := whole("beats", beats)) < 1:
        raise ValueError(f"beats is {beats}; give at least 1, or use instruments(...) to start without notes")
    if beats > length:
        raise ValueError(f"beats is {beats}, but the piece has {length} beats; ask for at most {length}")
    kept = (piece[:, TYPE] < NOTE) | ((piece[:, TYPE] == NOTE) & (piece[:, BEAT] <= beats))
    return remember(Prompt(piece[kept], first_beat=beats), representation)


def tidy(prompt: npt.ArrayLike, representation: Representation = PAPER) -> Prompt:
    """Sort the instruments and notes of a prompt, remove duplicates, and check the result against the grammar.

    >>> tidy([[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 27], [1, 0, 0, 0, 0, 25]])[:, INSTRUMENT].tolist()
    [0, 25, 27]
    """
    # The first check reads the codes as those of the prompt's own representation, the second as those of this one.
    array = check_codes(check_codes(prompt, representation), representation)
    types = array[:, TYPE]
    # Sort within each type. If the types themselves are out of order, nothing is moved.
    if (np.diff(np.where(types == GIVEN_NOTE, NOTE, types)) >= 0).all():
        codes = np.unique(array[types == INSTRUMENT_EVENT], axis=0)
        notes = canonical(array[is_note(array)], representation)
        opening, between, closing = (array[types == kind] for kind in (START_OF_SONG, START_OF_NOTES, END_OF_SONG))
        array = np.concatenate([opening, codes, between, notes, closing])
    checked = check_piece(array, complete=False, representation=representation)
    return Prompt(checked, first_beat=getattr(prompt, "first_beat", 0))


def plain(piece: npt.ArrayLike, representation: Representation = PAPER) -> Events:
    """A piece (n, 6) in canonical order, with given notes as written notes and without length; errors as for `tidy`."""
    events = np.array(tidy(piece, representation))
    events[events[:, TYPE] == GIVEN_NOTE, TYPE] = NOTE
    events[events[:, TYPE] == START_OF_NOTES, BEAT] = 0
    return np.asarray(tidy(events, representation))
