"""How pitches and lengths are written: spelling, accidentals, note values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

_NATURALS = {0: "C", 2: "D", 4: "E", 5: "F", 7: "G", 9: "A", 11: "B"}
SHARPS = tuple((_NATURALS[p], 0) if p in _NATURALS else (_NATURALS[p - 1], 1) for p in range(12))
FLATS = tuple((_NATURALS[p], 0) if p in _NATURALS else (_NATURALS[p + 1], -1) for p in range(12))
_TYPES = ("breve", "whole", "half", "quarter", "eighth", "16th", "32nd", "64th", "128th")
# Lengths in beats that one note can have: (type, dots, in a triplet), the plainest name for each, longest first.
_SHAPES = {
    Fraction(8, 2**power) * factor: (name, dots, factor == Fraction(2, 3))
    for factor, dots in ((Fraction(7, 4), 2), (Fraction(2, 3), 0), (Fraction(3, 2), 1), (Fraction(1), 0))
    for power, name in enumerate(_TYPES)
}
_LENGTHS = sorted(_SHAPES, reverse=True)
Shape = tuple[str, int, bool]
Spelling = tuple[tuple[str, int], ...]
# The steps that a key signature sharpens, in order; it flattens them from the end.
_SHARPENED = "FCGDAEB"


def accidentals(
    sung: Iterable[tuple[int, int, int, bool]], spelling: Spelling, fifths: int
) -> frozenset[tuple[int, int, int]]:
    """Which notes of a bar need a sign, as (onset, staff, pitch).

    A sign holds for its line and octave to the end of the bar; what the key has needs none.

    Parameters
    ----------
    sung
        For each note of the bar: its onset, its staff, its pitch, and whether it is tied from the bar before, which repeats
        no sign.
    spelling
        `SHARPS` or `FLATS`.
    fifths
        The key: so many sharps, or flats where it is negative.

    Examples
    --------
    >>> sorted(accidentals([(0, 0, 66, False), (1, 0, 66, False), (2, 0, 65, False), (3, 0, 70, False)], FLATS, -2))
    [(0, 0, 66)]
    """
    of_key = dict.fromkeys(_SHARPENED[:fifths] if fifths >= 0 else _SHARPENED[fifths:], 1 if fifths >= 0 else -1)
    standing: dict[tuple[int, str, int], int] = {}
    needed = set()
    for onset, staff, pitch, is_tied in sorted(sung):
        step, alter = spelling[pitch % 12]
        line = (staff, step, pitch // 12 - 1)
        if not is_tied and standing.get(line, of_key.get(step, 0)) != alter:
            needed.add((onset, staff, pitch))
            standing[line] = alter
    return frozenset(needed)


def values(length: int, divisions: int) -> Iterator[tuple[int, Shape | None]]:
    """A length in divisions as note values, the longest first: (length, shape)."""
    left = Fraction(length, divisions)
    while left:
        value = next((v for v in _LENGTHS if v <= left and divisions % v.denominator == 0), left)
        yield int(value * divisions), _SHAPES.get(value)
        left -= value
