"""Music notation: spelling of pitches, accidentals, and the staves and clefs of a part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import muspy

# Letters on the line of fifths from C = 0; F is -1, and seven steps further is the same letter with a sharp.
_LETTERS = "CGDAEBF"
Spelling = tuple[tuple[str, int], ...]
"""For each pitch class the letter, and 1, 0 or -1 for a sharp, none or a flat."""
_SHARPENED = "FCGDAEB"  # the order of sharps in a key signature; that of flats is the reverse


def spelled(fifths: int) -> Spelling:
    """The spelling of the pitch classes in a key by its number of sharps (flats below 0).

    It runs from three fifths below the tonic of the major key to eight above, which includes the raised notes of the minor key.
    There are no double sharps or flats.

    >>> [spelled(-2)[pitch % 12] for pitch in (66, 70, 63)]  # G minor: its leading tone is F sharp
    [('F', 1), ('B', -1), ('E', -1)]
    """
    low = min(max(fifths - 3, -8), 1)
    places = {7 * place % 12: place for place in range(low, low + 12)}
    return tuple((_LETTERS[place % 7], (place + 1) // 7) for _, place in sorted(places.items()))


def likely_key(pitches: Iterable[int]) -> int:
    """The number of sharps (flats below 0) of the key whose scale has the most pitches; in a tie, the fewest signs.

    >>> likely_key([62, 64, 65, 67, 69, 70, 72])
    -1
    """
    counts = Counter(pitch % 12 for pitch in pitches)
    return max(
        range(-6, 7), key=lambda key: (sum(counts[7 * place % 12] for place in range(key - 1, key + 6)), -abs(key))
    )


def octave(pitch: int, alter: int) -> int:
    """The octave of the written letter (C4 is MIDI 60)."""
    return (pitch - alter) // 12 - 1


def accidentals(
    notes: Iterable[tuple[int, int, int, bool]], spelling: Spelling, fifths: int
) -> frozenset[tuple[int, int, int]]:
    """The notes of a bar that need an accidental, as (onset, staff, pitch), in a key of `fifths` sharps (flats below 0).

    An accidental holds for its line and octave to the end of the bar. `notes` has for each note of the bar its onset, staff and
    pitch, and whether it is tied from the bar before, which needs no sign.

    >>> sorted(accidentals([(0, 0, 66, False), (1, 0, 66, False), (2, 0, 65, False), (3, 0, 70, False)], spelled(-2), -2))
    [(0, 0, 66), (2, 0, 65)]
    """
    of_key = dict.fromkeys(_SHARPENED[:fifths] if fifths >= 0 else _SHARPENED[fifths:], 1 if fifths >= 0 else -1)
    standing: dict[tuple[int, str, int], int] = {}
    needed = set()
    for onset, staff, pitch, is_tied in sorted(notes):
        step, alter = spelling[pitch % 12]
        line = (staff, step, octave(pitch, alter))
        if not is_tied and standing.get(line, of_key.get(step, 0)) != alter:
            needed.add((onset, staff, pitch))
            standing[line] = alter
    return frozenset(needed)


MIDDLE_C = 60
"""On two staves, lower pitches are on the lower staff."""


class Clef(NamedTuple):
    """A clef's sign, its line (None for drums), and the octaves by which it sounds higher."""

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
    # Up to three ledger lines are easier to read than a second staff.
    if track.program in _ON_TWO_STAVES and min(pitches) < MIDDLE_C - 6 and max(pitches) > MIDDLE_C + 6:
        return TREBLE, BASS
    if track.program == _VIOLA and middle < 72:
        return (ALTO,)
    if middle >= 57:
        return (TREBLE if middle < 90 else TREBLE._replace(octave=1),)
    if track.program in _SOUNDING_BELOW:
        return (BASS._replace(octave=-1),)
    return (TREBLE._replace(octave=-1) if track.program in _GUITARS_AND_VOICES and middle >= 48 else BASS,)
