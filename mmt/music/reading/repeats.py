"""Unfolding of repeats, endings, da capo and dal segno of a score.

A file may have several movements; a da capo goes to the start of its own. After a jump, repeats are not taken again and the last
endings are played.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_MOST_MEASURES = 20_000  # a longer score is played without its repeats
_MOST_TIMES = 16


@dataclass
class RepeatMarks:
    """The repeat marks of a measure."""

    movement: int = 0
    """Index of the first measure of its movement."""
    repeat_begins: bool = False
    repeat_times: int = 0
    """The number of times that the passage that ends here is played; 0 if none ends."""
    endings: frozenset[int] = field(default_factory=frozenset)
    """The passes in which this measure is played; empty for all."""
    segno: bool = False
    coda: bool = False
    to_coda: bool = False
    fine: bool = False
    da_capo: bool = False
    dal_segno: bool = False


def playing_order(measures: Sequence[RepeatMarks]) -> list[int]:
    """The indices of the measures in playing order.

    Examples
    --------
    >>> playing_order([RepeatMarks(), RepeatMarks(repeat_times=2), RepeatMarks()])
    [0, 1, 0, 1, 2]
    """
    order: list[int] = []
    start, turn, jumped_from = 0, 1, None  # start and pass of the passage, the measure of the last jump
    done: set[int] = set()
    index = 0
    while index < len(measures):
        measure = measures[index]
        if len(order) > _MOST_MEASURES:
            return list(range(len(measures)))
        if index and not measure.endings and measures[index - 1].endings and order and order[-1] < index:
            start, turn = index, 1  # after the last ending
        if (measure.repeat_begins or measure.movement == index) and index != start:
            start, turn = index, 1
        if not _is_played(measures, index, turn, jumped_from is not None):
            index += 1
            continue
        order.append(index)
        if jumped_from is not None and measure.fine:
            index, start, turn, jumped_from = jumped_from + 1, jumped_from + 1, 1, None
        elif jumped_from is not None and measure.to_coda and (coda := _find(measures, index, "coda")) is not None:
            index, start, turn, jumped_from = coda, coda, 1, None
        elif jumped_from is None and _goes_back(measures, start, index, turn):
            index, turn = start, turn + 1
        elif (measure.da_capo or measure.dal_segno) and index not in done:
            done.add(index)
            segno = _find(measures, index, "segno") if measure.dal_segno else None
            index, jumped_from = (measure.movement if segno is None else segno), index
            start, turn = index, 1
        else:
            if measure.repeat_times and jumped_from is None and not measure.endings:
                start, turn = index + 1, 1
            if jumped_from == index:
                jumped_from = None  # back at the jump without a fine
            index += 1
    return order


def _is_played(measures: Sequence[RepeatMarks], index: int, turn: int, after_jump: bool) -> bool:
    endings = measures[index].endings
    if not endings:
        return True
    if after_jump:
        return max(endings) == max(_endings_around(measures, index))
    return turn in endings or (turn > max(_endings_around(measures, index)))


def _goes_back(measures: Sequence[RepeatMarks], start: int, index: int, turn: int) -> bool:
    measure = measures[index]
    if not measure.repeat_times:
        return False
    if measure.endings:
        return turn + 1 in _endings_around(measures, index)
    return turn < min(measure.repeat_times, _MOST_TIMES)


def _endings_around(measures: Sequence[RepeatMarks], index: int) -> set[int]:
    """The numbers of all endings of a measure's passage."""
    first = last = index
    while first and measures[first - 1].endings:
        first -= 1
    while last + 1 < len(measures) and measures[last + 1].endings:
        last += 1
    return set().union(*(measure.endings for measure in measures[first : last + 1]))


def _find(measures: Sequence[RepeatMarks], index: int, sign: str) -> int | None:
    """The measure with a sign in the movement of the measure `index`."""
    movement = measures[index].movement
    return next((i for i, m in enumerate(measures) if m.movement == movement and getattr(m, sign)), None)
