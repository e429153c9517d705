"""Note values: times that a score can show, and the split of a voice into notes, rests and tuplets.

A time can be shown if it divides its beat into 2, 4, 8, 16 or 32 parts, or is in a tuplet of 3 to 15 notes with as small values.
Other times, as in a recorded performance, are moved to the nearest one. All times are integers in divisions of a beat.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from math import gcd
from typing import NamedTuple

_SMALLEST = 32  # 128th notes: parts of a beat
_MOST_IN_TUPLET = 15
# Parts of a beat for times that cannot be shown, the simplest first; and those for times that are near none of them.
_GRIDS = (1, 2, 4, 3, 8, 6, 5, 7, 16, 12, 10, 9, 11, 13)
_COARSE, _FINE = (8, 6), (16, 12)
_NEAR, _NEAR_ENOUGH = Fraction(1, 50), Fraction(1, 24)  # beats

_TYPES = ("breve", "whole", "half", "quarter", "eighth", "16th", "32nd", "64th", "128th")
# Lengths in beats of single notes: (type, dots), the simplest for each length.
_VALUES = {
    Fraction(8, 2**power) * factor: (name, dots)
    for factor, dots in ((Fraction(7, 4), 2), (Fraction(3, 2), 1), (Fraction(1), 0))
    for power, name in enumerate(_TYPES)
}
_LENGTHS = sorted(_VALUES, reverse=True)


class Tuplet(NamedTuple):
    """`actual` notes in the time of `normal` notes of a type, from `start` to `end`."""

    start: int
    end: int
    actual: int
    normal: int
    unit: str


class Value(NamedTuple):
    """A single written note or rest: its time, type ("" if no note value has its length), dots and tuplet."""

    start: int
    end: int
    type: str
    dots: int = 0
    tuplet: Tuplet | None = None


def note_values(cuts: Sequence[int], divisions: int) -> list[Value]:
    """Split one bar of a voice into note values, which follow each other.

    None crosses a cut: the start of the bar, each time at which a note or rest of the voice begins or ends, and the end of the
    bar, ascending.

    >>> [(value.type, value.tuplet and value.tuplet.actual) for value in note_values([0, 4, 8, 12, 30], 12)]
    [('eighth', 3), ('eighth', 3), ('eighth', 3), ('quarter', None)]
    """
    tuplets = _tuplets(cuts, divisions)
    edges = sorted({*cuts, *(time for tuplet in tuplets for time in tuplet[:2] if time <= cuts[-1])})
    starts = [tuplet.start for tuplet in tuplets]
    found: list[Value] = []
    for start, end in pairwise(edges):
        before = tuplets[: bisect_right(starts, start)][-1:]
        inside = before[0] if before and start < before[0].end else None
        found += _values(start, end, inside, divisions)
    return found


def _values(start: int, end: int, tuplet: Tuplet | None, divisions: int) -> Iterator[Value]:
    """The values of a note or rest within a tuplet or outside, the longest first."""
    stretch = Fraction(tuplet.actual, tuplet.normal) if tuplet else Fraction(1)
    while start < end:
        left = Fraction(end - start, divisions) * stretch
        fits = (v for v in _LENGTHS if v <= left and (v / stretch * divisions).denominator == 1)
        length = next(fits, None)
        if length is None:
            yield Value(start, end, "", 0, None)
            return
        stop = start + int(length / stretch * divisions)
        yield Value(start, stop, *_VALUES[length], tuplet)
        start = stop


def _tuplets(cuts: Sequence[int], divisions: int) -> list[Tuplet]:
    """The tuplets of a bar, in stretches of 4, 2, 1, 1/2, 1/4 or 1/8 beats from its start."""
    found: list[Tuplet] = []
    start, end = cuts[0], cuts[-1]
    while start < end:
        sizes = (divisions * 4 // part for part in (1, 2, 4, 8, 16, 32) if divisions * 4 % part == 0)
        # A bar that ends within a beat has the beginning of a tuplet there.
        size = next((size for size in sizes if start + size <= end), divisions)
        found += _tuplets_within(start, start + size, cuts, divisions)
        start += size
    return found


def _tuplets_within(start: int, end: int, cuts: Sequence[int], divisions: int) -> list[Tuplet]:
    """The tuplets from `start` to `end`: one that fills it, or those of its halves."""
    inner = cuts[bisect_right(cuts, start) : bisect_right(cuts, end - 1)]
    length = end - start
    odd, even = _odd_and_even(length // gcd(length, *(cut - start for cut in inner)))
    if odd == 1:
        return []
    middle = start + length // 2
    normal = 1 << odd.bit_length() - 1
    size = Fraction(length, divisions)
    if length % 2 == 0 and middle in inner:
        can_be = False
    elif size > 1:
        can_be = odd <= 7 and even == 1
    else:
        can_be = odd <= _MOST_IN_TUPLET and even * normal <= _SMALLEST * size
    if can_be:
        return [Tuplet(start, end, odd, normal, _VALUES[size / normal][0])]
    if length % 2 or size <= Fraction(1, 8):
        return []
    halves = ((start, middle), (middle, end))
    return [tuplet for half in halves for tuplet in _tuplets_within(*half, cuts, divisions)]


def can_be_shown(offsets: Iterable[int], divisions: int) -> bool:
    """Whether all offsets within a beat can be shown together."""
    odd, even = _odd_and_even(divisions // gcd(divisions, *offsets))
    return odd <= _MOST_IN_TUPLET and even << odd.bit_length() - 1 <= _SMALLEST


def nearest_grid(offsets: Iterable[int], divisions: int) -> int:
    """The number of parts of a beat that the offsets in it are moved to.

    It is the smallest simple one that is a division away at most, as if software had rounded; else one that is near; else the
    finest that is needed.

    >>> nearest_grid([69, 137, 206, 274, 343, 411], 480), nearest_grid([13, 232], 480)
    (7, 8)
    """
    beats = {Fraction(offset, divisions) for offset in offsets}

    def error(grid: int) -> Fraction:
        return max(abs(beat - Fraction(round(beat * grid), grid)) for beat in beats)

    for grids, limit in ((_GRIDS, Fraction(1, divisions)), (_GRIDS, _NEAR), (sorted(_COARSE, key=error), _NEAR_ENOUGH)):
        for grid in grids:
            if error(grid) <= limit:
                return grid
    return min(_FINE, key=error)


def _odd_and_even(count: int) -> tuple[int, int]:
    """The odd factor of a number, and the power of two."""
    even = count & -count
    return count // even, even
