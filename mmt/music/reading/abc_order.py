"""The order in which an ABC tune is played: repeats, endings, jumps and parts (ABC standard 2.1, 4.8 to 4.10 and 3.1.9).

All voices share one line of time, which the marks of all voices cut into sections; `playing_order` orders these as it does those
of a score.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from mmt.music.reading.abc_fields import parse_parts
from mmt.music.reading.abc_voice import Mark, Voice
from mmt.music.reading.repeats import Jump, Section, playing_order

Value = TypeVar("Value")

_MOST_SECTIONS = 2_000
_MOST_PASSAGES = 100_000
_MOST_CHANGES = 100_000

# Marks that belong to what ends at their time; other marks belong to what begins there.
_AT_ENDS = ("repeat ends", "fine", "to coda", "leave", "da capo", "dal segno")
_NOT_OF_ORDER = ("tempo", "key", "meter")


class Passage(NamedTuple):
    """A part of the written tune, from `start` to `end`, that is played at `at`; times in ticks."""

    start: int
    end: int
    at: int


def passages(voices: Sequence[Voice], parts: str) -> list[Passage]:
    """The passages of a tune in playing order; `parts` is the `P:` field of its header, empty for none.

    A `ValueError` refuses more signs or parts than a tune has.
    """
    end = max(voice.time for voice in voices)
    marks = _common_marks(voices)
    starts = sorted({0, *(mark.time for mark in marks if mark.time < end)})
    if len(starts) > _MOST_SECTIONS:
        raise ValueError(f"it has more than {_MOST_SECTIONS:,} signs of repeats and jumps")
    sections = [Section() for _ in starts]
    ends = [*starts[1:], end]
    _set_signs(sections, marks, starts, ends)
    _set_repeats(sections, marks, starts, ends)
    found: list[Passage] = []
    at = 0
    for index in _order(sections, marks, starts, parts):
        start, length = starts[index], ends[index] - starts[index]
        if found and found[-1].end == start:
            found[-1] = found[-1]._replace(end=start + length)
        else:
            found.append(Passage(start, start + length, at))
        at += length
    return found


def as_played(changes: Iterable[tuple[int, Value]], order: Sequence[Passage]) -> list[tuple[int, Value]]:
    """(time, value) of a mark's changes as they are played, also where a jump changes it."""
    written = dict(changes)
    times = sorted(written)
    found: list[tuple[int, Value]] = []
    count = 0
    for start, end, at in order:
        first = bisect_right(times, start)
        count += bisect_left(times, end) - first
        if count > _MOST_CHANGES:
            raise ValueError(f"it plays more than {_MOST_CHANGES:,} changes of tempo, key or meter")
        here = [(start, written[times[first - 1]])] if first else []
        here += [(time, written[time]) for time in times[first : bisect_left(times, end)]]
        for time, value in here:
            if not found or value != found[-1][1]:
                found.append((at + time - start, value))
    return found


def _common_marks(voices: Sequence[Voice]) -> list[Mark]:
    """The marks of the order of playing: those of the voice that has most, and of others where it has a bar line."""
    own = [[mark for mark in voice.marks if mark.kind not in _NOT_OF_ORDER] for voice in voices]
    most = max(range(len(voices)), key=lambda index: len(own[index]))
    bars = {0, *voices[most].measures}
    others = [mark for marks in own for mark in marks if mark.time in bars]
    found = list(dict.fromkeys([*own[most], *others]))
    codas = {mark.time for mark in found if mark.kind == "coda"}
    if len(codas) > 1 and not any(mark.kind == "to coda" for mark in found):
        # One leaves at the first coda for the last.
        leaving = min((mark.time for mark in found if mark.kind == "leave"), default=min(codas))
        found = [mark for mark in found if mark.kind != "coda" or mark.time == max(codas)]
        found.append(Mark(leaving, "to coda"))
    return sorted((mark for mark in found if mark.kind != "leave"), key=lambda mark: mark.time)


def _set_signs(sections: list[Section], marks: list[Mark], starts: list[int], ends: list[int]) -> None:
    """Set the endings and the signs of jumps."""
    beginning = dict(zip(starts, sections, strict=True))
    finishing = dict(zip(ends, sections, strict=True))
    endings = {mark.time: mark.value for mark in marks if mark.kind == "ending"}
    current: frozenset[int] = frozenset()
    for time, section in beginning.items():
        current = endings.get(time, current)
        section.endings = current
    for mark in marks:
        place = (finishing if mark.kind in _AT_ENDS else beginning).get(mark.time)
        if place is None:
            continue
        if mark.kind == "segno":
            place.segnos.add("")
        elif mark.kind == "coda":
            place.codas.add("")
        elif mark.kind == "to coda":
            place.to_codas.add("")
        elif mark.kind == "fine":
            place.fine = True
        elif mark.kind in ("da capo", "dal segno"):
            place.jumps = (*place.jumps, Jump(None if mark.kind == "da capo" else "", mark.value))


def _set_repeats(sections: list[Section], marks: list[Mark], starts: list[int], ends: list[int]) -> None:
    """Set the repeats. One without a beginning goes back to the last double bar, end of a repeat, or part (4.8)."""
    begins = {mark.time: mark.value for mark in marks if mark.kind == "repeat begins"}
    finishes = {mark.time: mark.value for mark in marks if mark.kind == "repeat ends"}
    implied = {mark.time for mark in marks if mark.kind in ("double bar", "part")}
    first, times, is_open, had_ended = 0, 0, False, False
    for index, section in enumerate(sections):
        if starts[index] in begins:
            first, times, is_open, had_ended = index, begins[starts[index]], True, False
            section.repeat_begins = True
        elif (starts[index] in implied and not is_open and not section.endings) or (had_ended and not section.endings):
            first, times, is_open, had_ended = index, 0, False, False
        if ends[index] in finishes:
            section.repeat_times = max(finishes[ends[index]], times)
            sections[first].repeat_begins |= first > 0
            is_open, had_ended = False, True


def _order(sections: list[Section], marks: list[Mark], starts: list[int], parts: str) -> list[int]:
    """The indices of the sections in playing order."""
    labels = {mark.time: mark.value for mark in marks if mark.kind == "part"}
    places: dict[str, list[int]] = {"": []}
    current = ""
    for index, time in enumerate(starts):
        if time in labels:
            current = labels[time] if labels[time] not in places else f"{labels[time]} at {time}"
        places.setdefault(current, []).append(index)
    chosen = [label for label in parse_parts(parts if labels else "") if label in places]
    if not chosen:
        return [index for index, _ in playing_order(sections)]
    orders = {
        label: [places[label][place] for place, _ in playing_order([sections[index] for index in places[label]])]
        for label in {"", *chosen}
    }
    if sum(len(orders[label]) for label in chosen) > _MOST_PASSAGES:
        raise ValueError(f"its parts and repeats make more than {_MOST_PASSAGES:,} passages")
    return [index for label in ("", *chosen) for index in orders[label]]
