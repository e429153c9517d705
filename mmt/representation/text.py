"""Print events as text, as in the authors' talk: one line for each event, with its codes and their meaning."""

from __future__ import annotations

import numpy.typing as npt

from mmt.representation.codes import GIVEN_NOTE, INSTRUMENT_EVENT, NOTE, PAPER, START_OF_NOTES, TYPES, Representation
from mmt.representation.decode import check_codes
from mmt.representation.origin import check_origin

_PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def to_text(events: npt.ArrayLike, *, representation: Representation = PAPER) -> str:
    """Convert events to text: beat and position as codes, pitch by name (C4 is MIDI 60), duration in time steps.

    Raises
    ------
    ValueError
        If a note has code 0 or a code out of range; the message has the row.

    Examples
    --------
    >>> print(to_text([[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 36], [2, 0, 0, 0, 0, 0], [3, 1, 1, 41, 12, 36]]))
    (0, 0, 0, 0, 0, 0) Start of song
    (1, 0, 0, 0, 0, 36) Instrument: trombone
    (2, 0, 0, 0, 0, 0) Start of notes
    (3, 1, 1, 41, 12, 36) Note: beat=1, position=1, pitch=E2, duration=12, instrument=trombone
    """
    representation = check_origin(events, representation)
    rows = check_codes(events, representation).tolist()
    return "\n".join(f"{tuple(row)} {_meaning(row, representation)}" for row in rows)


def pitch_name(pitch: int) -> str:
    """The name of a MIDI pitch (0 … 127): 60 is C4, 61 is C#4.

    >>> pitch_name(60), pitch_name(40)
    ('C4', 'E2')
    """
    return f"{_PITCH_CLASSES[pitch % 12]}{pitch // 12 - 1}"


def _meaning(row: list[int], representation: Representation) -> str:
    kind, beat, position, pitch, duration, instrument = row
    name = TYPES[kind].replace("-", " ").capitalize()
    if kind in (NOTE, GIVEN_NOTE):
        return (
            f"{name}: beat={beat}, position={position}, pitch={pitch_name(pitch - 1)}, "
            f"duration={representation.durations[duration - 1]}, instrument={representation.names[instrument - 1]}"
        )
    if kind == INSTRUMENT_EVENT:
        return f"{name}: {representation.names[instrument - 1]}"
    return f"{name}: {beat - 1} beats" if kind == START_OF_NOTES and beat else name
