"""Staves and clefs of a part in a score, as players of its instrument know them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import muspy

MIDDLE_C = 60
"""On two staves, what lies below it stands on the lower one."""


class Clef(NamedTuple):
    """A clef's sign, the line on which it stands (none for drums), and by how many octaves it sounds higher."""

    sign: str
    line: int | None = None
    octave: int = 0


TREBLE, ALTO, BASS, DRUMS = Clef("G", 2), Clef("C", 3), Clef("F", 4), Clef("percussion")

_VIOLA = 41
# MIDI programs: keyboards and the harp; contrabass and bass guitars; guitars and voices.
_ON_TWO_STAVES = {*range(9), *range(16, 22), 46}
_SOUNDING_BELOW = {*range(32, 40), 43}
_GUITARS_AND_VOICES = {*range(24, 32), *range(52, 55)}


def clefs(track: muspy.Track) -> tuple[Clef, ...]:
    """The clef of each staff of a part, the upper one first.

    >>> import muspy
    >>> piano, viola = (muspy.Track(program, notes=[muspy.Note(0, 45, 1), muspy.Note(0, 67, 1)]) for program in (0, 41))
    >>> [clef.sign for clef in clefs(piano)], [clef.sign for clef in clefs(viola)]
    (['G', 'F'], ['C'])
    """
    if track.is_drum:
        return (DRUMS,)
    pitches = [note.pitch for note in track.notes] or [MIDDLE_C]
    middle = sum(pitches) / len(pitches)
    # Three ledger lines are easier to read than a second staff.
    if track.program in _ON_TWO_STAVES and min(pitches) < MIDDLE_C - 6 and max(pitches) > MIDDLE_C + 6:
        return TREBLE, BASS
    if track.program == _VIOLA and middle < 72:
        return (ALTO,)
    if middle >= 57:
        return (TREBLE if middle < 90 else TREBLE._replace(octave=1),)
    if track.program in _SOUNDING_BELOW:
        return (BASS._replace(octave=-1),)
    return (TREBLE._replace(octave=-1) if track.program in _GUITARS_AND_VOICES and middle >= 48 else BASS,)
