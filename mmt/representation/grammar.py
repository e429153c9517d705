"""Check events against the strict grammar, which defines what a piece is (paper, section 3.1, made exact).

A piece has at least one instrument and one note, ascending instruments, one start-of-notes, ascending notes of declared
instruments without duplicates, and an end. Given notes ascend among themselves, in the places where
`mmt.representation.encode.canonical` puts them. `mmt.sampling.grammar` has the same rules as masks for sampling.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmt.representation.codes import (
    BEAT,
    END_OF_SONG,
    GIVEN_NOTE,
    INSTRUMENT,
    INSTRUMENT_EVENT,
    NOTE,
    PAPER,
    START_OF_NOTES,
    START_OF_SONG,
    TYPE,
    TYPES,
    Events,
    Representation,
    as_events,
    is_note,
)
from mmt.representation.decode import check_codes, first
from mmt.representation.encode import moments, note_keys
from mmt.representation.origin import check_origin


def check_piece(events: npt.ArrayLike, *, complete: bool = True, representation: Representation = PAPER) -> Events:
    """Check events against the strict grammar, and return them as an (n, 6) int64 array.

    Parameters
    ----------
    events : array_like of int, (n, 6)
    complete : bool
        If false, the beginning of a piece is valid too, even start-of-song alone.

    Raises
    ------
    ValueError
        If an event breaks a rule; the message has the first row and the rule.

    Examples
    --------
    >>> piece = [[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 25], [2, 0, 0, 0, 0, 0], [3, 1, 1, 61, 12, 25], [4, 0, 0, 0, 0, 0]]
    >>> check_piece(piece).shape
    (5, 6)
    """
    array = check_codes(events, representation)
    if not len(array) or array[0, TYPE] != START_OF_SONG:
        raise ValueError("row 0: a piece begins with start-of-song")
    types = array[:, TYPE]
    if (row := first(~_MAY_FOLLOW[types[:-1], types[1:]])) is not None:
        raise ValueError(f"row {row + 1}: {TYPES[types[row + 1]]} cannot follow {TYPES[types[row]]}")
    _check_unused_fields(array, representation)
    codes = array[types == INSTRUMENT_EVENT, INSTRUMENT]
    if (row := first(codes[1:] <= codes[:-1])) is not None:
        raise ValueError(
            f"row {row + 2}: instruments must ascend without repeats, but {codes[row + 1]} follows {codes[row]}"
        )
    _check_notes(array, representation)
    if complete and types[-1] != END_OF_SONG:
        raise ValueError(f"row {len(array)}: the piece has no end-of-song")
    return array


def is_valid(events: npt.ArrayLike, *, representation: Representation = PAPER) -> bool:
    """Whether events are a complete piece under the strict grammar.

    Raises
    ------
    ValueError
        If `events` is not an array of integers (n, 6), or was made with another representation.

    Examples
    --------
    >>> is_valid([[0, 0, 0, 0, 0, 0], [4, 0, 0, 0, 0, 0]])
    False
    """
    representation = check_origin(events, representation)
    as_events(events)
    try:
        check_piece(events, representation=representation)
    except ValueError:
        return False
    return True


# The types that may follow each type.
_NEXT = {
    START_OF_SONG: {INSTRUMENT_EVENT},
    INSTRUMENT_EVENT: {INSTRUMENT_EVENT, START_OF_NOTES},
    START_OF_NOTES: {NOTE, GIVEN_NOTE},
    NOTE: {NOTE, GIVEN_NOTE, END_OF_SONG},
    GIVEN_NOTE: {NOTE, GIVEN_NOTE, END_OF_SONG},
    END_OF_SONG: set[int](),
}
_MAY_FOLLOW = np.array([[after in _NEXT[before] for after in range(len(TYPES))] for before in range(len(TYPES))])


def _check_unused_fields(array: Events, representation: Representation) -> None:
    unused = ~is_note(array)[:, None] & (array != 0)
    unused[:, TYPE] = False
    unused[array[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT] = False
    if representation.length:
        unused[array[:, TYPE] == START_OF_NOTES, BEAT] = False
    if (row := first(unused.any(axis=1))) is not None:
        raise ValueError(f"row {row}: {TYPES[array[row, TYPE]]} must have code 0 in its unused fields")


def _check_notes(array: Events, representation: Representation) -> None:
    header = int((array[:, TYPE] <= START_OF_NOTES).sum())
    notes = array[is_note(array)]
    if (row := first(~np.isin(notes[:, INSTRUMENT], array[:header, INSTRUMENT]))) is not None:
        raise ValueError(
            f"row {header + row}: a note of instrument code {notes[row, INSTRUMENT]}, which is not declared"
        )
    keys = note_keys(notes, representation)
    given = notes[:, TYPE] == GIVEN_NOTE
    for kind, name in ((~given, "note"), (given, "given note")):
        rows = np.flatnonzero(kind)
        if (place := first(np.diff(keys[rows]) <= 0)) is not None:
            row = header + int(rows[place + 1])
            raise ValueError(f"row {row}: the {name} is not greater than the previous one; notes must ascend")
    if not given.any():
        return
    if (row := first(~given & np.isin(keys, keys[given]))) is not None:
        raise ValueError(f"row {header + row}: the note is also a given note; remove one of the two")
    # At equal times, given notes come first.
    if (row := first(np.diff(2 * moments(notes, representation) + ~given) < 0)) is not None:
        raise ValueError(
            f"row {header + 1 + row}: the note is out of order; a given note belongs {representation.reach} beats before its "
            "onset among the written notes"
        )
