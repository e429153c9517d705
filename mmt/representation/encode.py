"""Encode a `muspy.Music` or a note table as events, an (n, 6) array of codes (paper, section 3.1).

A piece is: start-of-song, its sounding instruments in ascending order, start-of-notes, its notes in ascending (beat,
position, pitch, duration, instrument) order without duplicates, end-of-song.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

import numpy as np
import numpy.typing as npt

from mmt.representation.arguments import described, whole
from mmt.representation.codes import (
    BEAT,
    DURATION,
    END_OF_SONG,
    GIVEN_NOTE,
    INSTRUMENT,
    INSTRUMENT_EVENT,
    NOTE,
    PAPER,
    PITCH,
    POSITION,
    START_OF_NOTES,
    START_OF_SONG,
    TYPE,
    Events,
    IntArray,
    Representation,
)
from mmt.representation.notes import NoteTable, Report, note_table, raw_notes
from mmt.representation.origin import check_representation, remember

if TYPE_CHECKING:
    import muspy


@overload
def encode(
    music: muspy.Music, *, beats: int | None = ..., representation: Representation = ..., report: Literal[False] = ...
) -> Events: ...
@overload
def encode(
    music: muspy.Music, *, beats: int | None = ..., representation: Representation = ..., report: Literal[True]
) -> tuple[Events, Report]: ...
def encode(
    music: muspy.Music, *, beats: int | None = None, representation: Representation = PAPER, report: bool = False
) -> Events | tuple[Events, Report]:
    """Turn music into events.

    Parameters
    ----------
    music : muspy.Music
        Any resolution. Notes of programs without an instrument are left out, and drums unless the representation has them;
        `report` counts them.
    beats : int, optional
        Keep only notes with an onset in the first `beats` beats (at least 1). Default: all notes.
    representation : Representation
        Default: the paper's.
    report : bool
        Also return a `Report` of what was left out or simplified.

    Returns
    -------
    events : ndarray of int64, (n, 6)
        A whole piece, from start-of-song to end-of-song. Without usable notes: only these three frame events.
    report : Report
        Only if `report` is true.

    Raises
    ------
    ValueError
        If `beats` is less than 1, or `music` is not a `muspy.Music`.

    Examples
    --------
    >>> import muspy
    >>> note = muspy.Note(time=0, pitch=60, duration=24)
    >>> encode(muspy.Music(resolution=24, tracks=[muspy.Track(program=40, notes=[note])])).tolist()
    [[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 25], [2, 0, 0, 0, 0, 0], [3, 1, 1, 61, 12, 25], [4, 0, 0, 0, 0, 0]]
    """
    if beats is not None and (beats := whole("beats", beats)) < 1:
        raise ValueError(f"beats is {beats}; keep at least 1 beat, or leave it out to keep all")
    if not hasattr(music, "tracks"):
        raise ValueError(f"got {described(music)}, expected a muspy.Music; mmt.read(path) reads one from a file")
    check_representation(representation)
    table, account = note_table(raw_notes(music), representation, beats=beats, known_durations=True)
    events = events_of_notes(table, representation)
    remember(events, representation)
    return (events, account) if report else events


def events_of_notes(
    table: NoteTable,
    representation: Representation = PAPER,
    *,
    end: bool = True,
    given: npt.NDArray[np.bool_] | None = None,
) -> Events:
    """The events of a note table: a piece, or with `end` false a piece without end-of-song (a truncated window).

    `given` (n,) says whether each note is a given note.

    >>> from mmt.representation.notes import NOTE_DTYPE
    >>> events_of_notes(np.array([(0, 0, 60, 12, 25)], NOTE_DTYPE), end=False).tolist()
    [[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 25], [2, 0, 0, 0, 0, 0], [3, 1, 1, 61, 12, 25]]
    """
    notes = np.empty((len(table), 6), np.int64)
    notes[:, TYPE] = NOTE if given is None else np.where(given, GIVEN_NOTE, NOTE)
    for field, name in ((BEAT, "beat"), (POSITION, "position"), (PITCH, "pitch")):
        notes[:, field] = table[name]
    notes[:, BEAT : PITCH + 1] += 1
    notes[:, DURATION] = representation.duration_codes(table["duration"])
    notes[:, INSTRUMENT] = table["instrument"]
    return frame(canonical(notes, representation), end=end)


def frame(notes: Events, *, end: bool) -> Events:
    """Add the start, instrument and end events of a piece to its notes (n, 6)."""
    closing = np.zeros((int(end), 6), np.int64)
    closing[:, TYPE] = END_OF_SONG
    return np.concatenate([header(np.unique(notes[:, INSTRUMENT])), notes, closing])


def header(instruments: Events) -> Events:
    """Start-of-song, the events of instrument codes (k,), and start-of-notes: (k + 2, 6)."""
    events = np.zeros((len(instruments) + 2, 6), np.int64)
    events[:, TYPE] = INSTRUMENT_EVENT
    events[1:-1, INSTRUMENT] = instruments
    events[[0, -1], TYPE] = START_OF_SONG, START_OF_NOTES
    return events


def canonical(notes: Events, representation: Representation = PAPER) -> Events:
    """Sort notes (n, 6) in canonical order and remove duplicates.

    Written notes ascend by (beat, position, pitch, duration, instrument) codes, and so do given notes. A given note comes before
    the first written note whose onset is no more than `representation.reach` beats earlier. A note that is both written and given
    becomes given.
    """
    # Sorting one integer per note is ten times faster than sorting five columns.
    keys = note_keys(notes, representation)
    given = notes[:, TYPE] == GIVEN_NOTE
    if not given.any():
        first: IntArray = np.unique(keys, return_index=True)[1]
        return notes[first]
    order = np.lexsort((~given, keys))
    notes, keys = notes[order], keys[order]
    new = np.diff(keys, prepend=-1) != 0
    notes, keys = notes[new], keys[new]
    place: IntArray = np.lexsort((keys, notes[:, TYPE] != GIVEN_NOTE, moments(notes, representation)))
    return notes[place]


def note_keys(notes: Events, representation: Representation) -> IntArray:
    """Integers (n,) that sort notes (n, 6) by their (beat, position, pitch, duration, instrument) codes."""
    shape = (int(notes[:, BEAT].max(initial=0)) + 1, *representation.sizes[POSITION:])
    keys: IntArray = np.ravel_multi_index(tuple(notes[:, BEAT:].T), shape)
    return keys


def moments(notes: IntArray, representation: Representation) -> IntArray:
    """The times by which notes (…, 6) are ordered, in steps: the onset, or `reach` beats before it for given notes."""
    beats = notes[..., BEAT] - (notes[..., TYPE] == GIVEN_NOTE) * representation.reach
    times: IntArray = beats * representation.resolution + notes[..., POSITION]
    return times
