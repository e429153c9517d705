"""Unfolding of repeats, endings, da capo and dal segno of a score or an ABC tune.

A score is a list of sections: its measures, and parts of measures that have a sign inside. A tune is one measure, divided at
its signs. A file may have several movements; a da capo goes to the start of its own. After a jump, repeats are not taken again
and the last endings are played.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

Value = TypeVar("Value")
Place = tuple[int, float]
"""A place in a score as written: the index of the measure, and the position in it."""

AFTER_JUMP = 0
"""The pass of a section that is played after a jump: the last one."""

_MOST_SECTIONS = 20_000  # a longer score is played without its repeats
_MOST_TIMES = 16
_MOST_JUMPS = 100
_MOST_CHANGES = 100_000


@dataclass(frozen=True)
class Jump:
    """A da capo or dal segno."""

    segno: str | None = None
    """The name of the segno, empty for any; None for a da capo."""
    until: str | None = None
    """What ends the passage after it: "fine", "coda" or "segno"; None for fine or coda."""
    passes: frozenset[int] = frozenset()
    """The passes of a repeat in which it is taken; empty for the last."""


@dataclass
class Section:
    """A measure, or the part of a measure between two signs; positions are in beats, those of a tune in its ticks."""

    measure: int = 0
    begin: float = 0.0
    end: float = 0.0
    is_whole: bool = True
    """Whether it is all of its measure."""
    movement: int = 0
    """Index of the first section of its movement."""
    endings: frozenset[int] = frozenset()
    """The passes in which it is played; empty for all."""

    # Signs at its beginning. Segnos and codas have names, empty if they are only printed.
    repeat_begins: bool = False
    segnos: set[str] = field(default_factory=set)
    codas: set[str] = field(default_factory=set)

    # Signs at its end.
    repeat_times: int = 0
    """The number of times that the passage that ends here is played; 0 if none ends."""
    repeats_after_jump: bool = False
    to_codas: set[str] = field(default_factory=set)
    fine: bool = False
    jumps: tuple[Jump, ...] = ()


def playing_order(sections: Sequence[Section]) -> list[tuple[int, int]]:
    """Return the indices of the sections in playing order, each with its pass: 1, 2, … of a repeat, or `AFTER_JUMP`.

    >>> playing_order([Section(), Section(repeat_times=2), Section()])
    [(0, 1), (1, 1), (0, 2), (1, 2), (2, 1)]
    """
    groups = _ending_groups(sections)
    order: list[tuple[int, int]] = []
    start, turn, index = 0, 1, 0  # start and pass of the passage
    jumped: tuple[int, Jump] | None = None  # the last jump, and the section that it ended
    taken: set[tuple[int, Jump]] = set()
    while index < len(sections):
        section, group = sections[index], groups[index]
        if len(order) > _MOST_SECTIONS:
            return [(index, 1) for index in range(len(sections))]
        ends_endings = index > 0 and not group.numbers and groups[index - 1].numbers and order and order[-1][0] < index
        if index != start and (section.repeat_begins or section.movement == index or ends_endings):
            start, turn = index, 1
        if not _is_played(section, group, turn, jumped is not None):
            index += 1
            continue
        order.append((index, AFTER_JUMP if jumped else turn))
        coda = _coda(sections, index, jumped[1]) if jumped else None
        if jumped and section.fine and jumped[1].until != "coda":
            index = _after_fine(sections, jumped[0])
            start, turn, jumped = index, 1, None
        elif coda is not None:
            index = start = coda
            turn, jumped = 1, None
        elif jumped and _reaches_segno(sections, index, jumped):
            index = start = jumped[0] + 1  # a coda is what follows the sign ("e poi la coda")
            turn, jumped = 1, None
        elif _goes_back(sections, groups, index, turn, jumped is not None):
            index, turn = start, turn + 1
        elif (jump := _jump(section, turn)) and (index, jump) not in taken and len(taken) < _MOST_JUMPS:
            taken.add((index, jump))
            jumped = (index, jump)
            index = start = _target(sections, index, jump)
            turn = 1
        else:
            if section.repeat_times and not group.numbers:
                start, turn = index + 1, 1
            if jumped and jumped[0] == index:
                jumped = None  # back at the jump without a fine
            index += 1
    return order


class Span(NamedTuple):
    """A section as it is played, from `start` to `end` in ticks."""

    number: int
    """Index of the section in the score."""
    section: Section
    turn: int
    """The pass, or `AFTER_JUMP`."""
    start: int
    end: int
    is_left: bool
    """Whether the section after it in the score is not the next to be played."""


def play_spans(sections: Sequence[Section], order: Sequence[tuple[int, int]], resolution: int = 1) -> list[Span]:
    """Place the sections of a playing order in time."""
    spans, start = [], 0
    for (index, turn), (following, _) in pairwise([*order, (-1, 0)]):
        section = sections[index]
        end = start + round(section.end * resolution) - round(section.begin * resolution)
        spans.append(Span(index, section, turn, start, end, following != index + 1))
        start = end
    return spans


def as_played(marks: Mapping[Place, Value], spans: Iterable[Span], resolution: int = 1) -> Iterator[tuple[int, Value]]:
    """(time, value) for every change of a mark, also where a jump changes it.

    A `ValueError` refuses more changes than music has.
    """
    places = sorted(marks)
    current, count = None, 0
    for span in spans:
        begin, end = (span.section.measure, span.section.begin), (span.section.measure, span.section.end)
        first, last = bisect_right(places, begin), bisect_left(places, end)
        count += last - first
        if count > _MOST_CHANGES:
            raise ValueError(f"it plays more than {_MOST_CHANGES:,} changes of tempo, key or meter")
        for place in places[max(first - 1, 0) : last]:
            if marks[place] != current:
                current = marks[place]
                yield span.start + round((max(place, begin)[1] - begin[1]) * resolution), current


def set_signs(
    signs: Iterable[tuple[Hashable, str, Any]], begins: Mapping[Any, Section], ends: Mapping[Any, Section]
) -> None:
    """Set the signs (place, kind, value) of the sections that begin, or end, at their places.

    Kinds with their values: `segno`, `coda` and `to coda` (name, if it has one), `fine`, `jump` (`Jump`), `repeat begins`,
    `repeat ends` (times), `repeats after jump`. Others are ignored.
    """
    for place, kind, value in signs:
        section = (begins if kind in ("segno", "coda", "repeat begins") else ends).get(place, Section())
        match kind:
            case "segno":
                section.segnos.add(value or "")
            case "coda":
                section.codas.add(value or "")
            case "to coda":
                section.to_codas.add(value or "")
            case "fine":
                section.fine = True
            case "jump":
                section.jumps += (value,)
            case "repeat begins":
                section.repeat_begins = True
            case "repeat ends":
                section.repeat_times = max(section.repeat_times, value)
            case "repeats after jump":
                section.repeats_after_jump = True


def parse_passes(text: str) -> frozenset[int]:
    """The passes of an ending: "1", "1,3", "1. 2." or "1-3".

    >>> sorted(parse_passes("1, 3-4."))
    [1, 3, 4]
    """
    passes: set[int] = set()
    for first, last in re.findall(r"\b(\d{1,2})\b(?: ?[-\u2013] ?(\d{1,2})\b)?", text[:200]):
        passes.update(range(int(first), int(last or first) + 1))
    return frozenset(passes)


@dataclass(eq=False)
class _Group:
    """Adjacent endings: "1", "2" and so on."""

    numbers: set[int] = field(default_factory=set)
    count: int = 0
    repeats_after_jump: bool = False


def _ending_groups(sections: Sequence[Section]) -> list[_Group]:
    """The group of endings of each section; an empty group for a section without an ending."""
    groups: list[_Group] = []
    for index, section in enumerate(sections):
        before = sections[index - 1] if index else Section()
        if not section.endings or not before.endings or section.repeat_begins or section.movement == index:
            groups.append(_Group())
        else:
            groups.append(groups[-1])
        group = groups[-1]
        group.count += bool(section.endings) and (group.count == 0 or section.endings != before.endings)
        group.numbers |= section.endings
        group.repeats_after_jump |= section.repeats_after_jump
    return groups


def _is_played(section: Section, group: _Group, turn: int, after_jump: bool) -> bool:
    if not group.numbers:
        return True
    last = max(group.numbers)
    if after_jump and not group.repeats_after_jump:
        return max(section.endings) == last
    if turn > last:
        # A single ending is the first; what follows is the second.
        return group.count > 1 and max(section.endings) == last
    return min(number for number in group.numbers if number >= turn) in section.endings


def _goes_back(sections: Sequence[Section], groups: Sequence[_Group], index: int, turn: int, after_jump: bool) -> bool:
    section, group = sections[index], groups[index]
    if after_jump and not section.repeats_after_jump:
        return False
    if not group.numbers:
        return turn < min(section.repeat_times, _MOST_TIMES)
    # An ending before another one repeats even without a sign.
    is_followed = groups[index + 1 : index + 2] == [group] and sections[index + 1].endings != section.endings
    if not section.repeat_times and not is_followed:
        return False
    is_single = group.count == 1 and 1 in group.numbers
    last = max(group.numbers)
    return turn < last or (is_single and turn == last)


def _jump(section: Section, turn: int) -> Jump | None:
    return next((jump for jump in section.jumps if not jump.passes or turn in jump.passes), None)


def _target(sections: Sequence[Section], index: int, jump: Jump) -> int:
    """Where a jump goes: the start of the movement, or the last segno of its name before it, or the first after it."""
    movement = sections[index].movement
    if jump.segno is None:
        return movement
    places = [i for i, section in enumerate(sections) if section.movement == movement and section.segnos]
    named = [i for i in places if jump.segno in sections[i].segnos]
    found = named or places
    return max((i for i in found if i <= index), default=min(found, default=movement))


def _coda(sections: Sequence[Section], index: int, jump: Jump) -> int | None:
    """The coda to which a section leads after a jump: the next one, of its name if there is one; None for none."""
    names = sections[index].to_codas
    if not names or jump.until == "fine":
        return None
    movement = sections[index].movement
    places = [i for i in range(index + 1, len(sections)) if sections[i].movement == movement and sections[i].codas]
    named = (i for i in places if names & sections[i].codas)
    return next(named, places[0] if places else None)


def _reaches_segno(sections: Sequence[Section], index: int, jumped: tuple[int, Jump]) -> bool:
    """Whether a segno that ends the passage after a jump follows a section, as in "Da capo al segno"."""
    return jumped[1].until == "segno" and index < jumped[0] and bool(sections[index + 1].segnos)


def _after_fine(sections: Sequence[Section], index: int) -> int:
    """Where the score continues after a fine: after the jump, but not in a coda, which only "to coda" reaches."""
    index += 1
    if index < len(sections) and sections[index].codas:
        movement = sections[index].movement
        return next((i for i in range(index, len(sections)) if sections[i].movement != movement), len(sections))
    return index
