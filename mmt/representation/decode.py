"""Decode events, an (n, 6) array of codes, to a `muspy.Music` with one track for each instrument.

A piece may be incomplete, so that prompts and unfinished pieces can be played.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mmt.representation.arguments import described, finite, whole
from mmt.representation.codes import (
    BEAT,
    DURATION,
    FIELDS,
    GIVEN_NOTE,
    INSTRUMENT,
    INSTRUMENT_EVENT,
    NO_DRUMS,
    PAPER,
    PITCH,
    POSITION,
    START_OF_NOTES,
    TYPE,
    Events,
    Representation,
    as_events,
    is_note,
)
from mmt.representation.notes import DEFAULT_VELOCITY, NOTE_DTYPE, NoteTable
from mmt.representation.origin import check_origin

if TYPE_CHECKING:
    import muspy

DEFAULT_TEMPO = 100.0

_LAST_BEAT_CODE = int(np.iinfo(NOTE_DTYPE["beat"]).max)


def decode(
    events: npt.ArrayLike,
    *,
    like: muspy.Music | None = None,
    tempo: float | None = None,
    velocity: int = DEFAULT_VELOCITY,
    representation: Representation = PAPER,
) -> muspy.Music:
    """Turn events into music.

    Parameters
    ----------
    events : array_like of int, (n, 6)
        A piece or any beginning of one.
    like : muspy.Music, optional
        Take tempo, time and key signatures, bar lines and title from this piece, for example the one that the events continue.
    tempo : float, optional
        Quarter notes per minute, above 0. Default: that of `like`, else 100, as in the original code.
    velocity : int
        Velocity of every note, 1 … 127.
    representation : Representation
        Default: the paper's. The music has its resolution.

    Returns
    -------
    muspy.Music
        One track for each instrument that plays, in the order of the codes; notes ordered by time and pitch.

    Raises
    ------
    ValueError
        If the array is not (n, 6), or a note has code 0 or a code out of range; the message has the row. If the array, or
        the one that it is a slice of, was made with another representation.

    Examples
    --------
    >>> music = decode([[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 25], [2, 0, 0, 0, 0, 0], [3, 1, 1, 61, 12, 25]])
    >>> music.tracks[0].name, music.tracks[0].notes[0].pitch
    ('violin', 60)
    """
    import muspy

    if tempo is not None and not finite("tempo", tempo) > 0:
        raise ValueError(f"tempo is {tempo}; it must be above 0 quarter notes per minute")
    if not 1 <= whole("velocity", velocity) <= 127:
        raise ValueError(f"velocity is {velocity}; it must be 1 to 127")
    if like is not None and not hasattr(like, "tracks"):
        raise ValueError(f"like is {described(like)}; give a muspy.Music: like=mmt.read(path)")
    representation = check_origin(events, representation)
    table = notes_of_events(check_codes(events, representation), representation)
    codes = np.unique(table["instrument"]).tolist()
    tracks = [_track(code, table[table["instrument"] == code], velocity, representation) for code in codes]
    music = muspy.Music(resolution=representation.resolution, tracks=tracks)
    _set_tempo_and_signatures(music, like, tempo)
    return music


def check_codes(events: npt.ArrayLike, representation: Representation = PAPER) -> Events:
    """Check that types, notes and instruments have codes in range, and return the events as an (n, 6) int64 array.

    Raises a `ValueError` with the row of a code out of range, or if the events are known to be of another representation. Beats
    are limited only by the 32 bits of the note table.
    """
    representation = check_origin(events, representation)
    array = as_events(events).astype(np.int64)
    types = representation.sizes[TYPE]
    if (row := first((array[:, TYPE] < 0) | (array[:, TYPE] >= types))) is not None:
        hint = " (5, a given note, needs a representation with given=True)" if array[row, TYPE] == GIVEN_NOTE else ""
        raise ValueError(f"row {row}: type {array[row, TYPE]} is unknown; types are 0 to {types - 1}{hint}")
    sounding = is_note(array)
    starts, beats = array[:, TYPE] == START_OF_NOTES, array[:, BEAT]
    if (row := first(starts & representation.length & ((beats < 0) | (beats > representation.beats)))) is not None:
        raise ValueError(
            f"row {row}: start-of-notes has beat code {beats[row]}; the length is a code of 0 to {representation.beats}"
        )
    for field in range(BEAT, len(FIELDS)):
        highest = _LAST_BEAT_CODE if field == BEAT else representation.sizes[field] - 1
        uses = sounding | (array[:, TYPE] == INSTRUMENT_EVENT) if field == INSTRUMENT else sounding
        if (row := first(uses & ((array[:, field] < 1) | (array[:, field] > highest)))) is not None:
            code, kind = array[row, field], "a note with" if sounding[row] else "an instrument event with"
            said = f"row {row}: {kind} {FIELDS[field]} code {code}; codes are 1 to {highest}"
            if field in (POSITION, DURATION) and code > 0:
                said += ", unless the events are of another representation (representation=…)"
            if field == INSTRUMENT and code == highest + 1 and not representation.drums:
                said = f"{NO_DRUMS} ({said})"
            raise ValueError(said)
    return array


def notes_of_events(events: Events, representation: Representation = PAPER) -> NoteTable:
    """The note table of events that passed `check_codes`, with given notes; the inverse of `events_of_notes`."""
    notes = events[is_note(events)]
    table = np.empty(len(notes), NOTE_DTYPE)
    for name, field in (("beat", BEAT), ("position", POSITION), ("pitch", PITCH)):
        table[name] = notes[:, field] - 1
    table["duration"] = np.asarray(representation.durations)[notes[:, DURATION] - 1]
    table["instrument"] = notes[:, INSTRUMENT]
    # Given notes are placed before their onset, so the table must be sorted.
    return np.unique(table) if (notes[:, TYPE] == GIVEN_NOTE).any() else table


def _track(code: int, table: NoteTable, velocity: int, representation: Representation) -> muspy.Track:
    import muspy

    onset = table["beat"].astype(np.int64) * representation.resolution + table["position"]
    columns = (onset, table["pitch"], table["duration"])
    order = np.lexsort(columns[::-1])
    # tolist() gives Python integers: NumPy's make muspy's JSON writer fail.
    rows = zip(*(column[order].tolist() for column in columns), strict=True)
    notes = [muspy.Note(time=time, pitch=pitch, duration=duration, velocity=velocity) for time, pitch, duration in rows]
    is_drum = code == representation.drums_code
    return muspy.Track(representation.program(code), is_drum, representation.names[code - 1], notes)


def _set_tempo_and_signatures(music: muspy.Music, like: muspy.Music | None, tempo: float | None) -> None:
    import muspy

    if like is not None:
        music.metadata.title = like.metadata.title
        for kind in ("tempos", "time_signatures", "key_signatures", "barlines"):
            marks = [copy(mark) for mark in getattr(like, kind)]
            for mark in marks:
                mark.time = round(mark.time * music.resolution / like.resolution)
            setattr(music, kind, marks)
        end = max((note.end for track in music.tracks for note in track.notes), default=0)
        music.barlines = [line for line in music.barlines if line.time <= end]
    if tempo is not None or not music.tempos:
        music.tempos = [muspy.Tempo(0, float(tempo or DEFAULT_TEMPO))]


def first(wrong: npt.NDArray[np.bool_]) -> int | None:
    """The index of the first true entry of a mask (n,), or None."""
    return int(wrong.argmax()) if wrong.any() else None
