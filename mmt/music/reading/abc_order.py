"""The order in which an ABC tune is played: repeats, endings, jumps and parts (ABC standard 2.1, 4.8 to 4.10 and 3.1.9).

All voices share one line of time, which the marks of all voices cut into sections; `playing_order` orders these as it does those
of a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from mmt.music.reading.abc_fields import parse_parts
from mmt.music.reading.abc_voice import Mark, Voice
from mmt.music.reading.repeats import Section, Span, play_spans, playing_order, set_signs

_MOST_SECTIONS = 2_000
_MOST_PASSAGES = 100_000

_NOT_OF_ORDER = ("tempo", "key", "meter")


def played_sections(voices: Sequence[Voice], parts: str) -> list[Span]:
    """The sections of a tune in playing order; `parts` is the `P:` field of its header, empty for none.

    A `ValueError` refuses more signs or parts than a tune has.
    """
    end = max(voice.time for voice in voices)
    marks = _common_marks(voices)
    starts = sorted({0, *(mark.time for mark in marks if mark.time < end)})
    if len(starts) > _MOST_SECTIONS:
        raise ValueError(f"it has more than {_MOST_SECTIONS:,} signs of repeats and jumps")
    sections = [Section(begin=start, end=stop) for start, stop in pairwise([*starts, end])]
    set_signs(marks, {section.begin: section for section in sections}, {section.end: section for section in sections})
    _set_endings(sections, marks)
    _set_repeats(sections, marks)
    return play_spans(sections, _order(sections, marks, parts))


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


def _set_endings(sections: list[Section], marks: list[Mark]) -> None:
    endings: dict[float, frozenset[int]] = {mark.time: mark.value for mark in marks if mark.kind == "ending"}
    current: frozenset[int] = frozenset()
    for section in sections:
        section.endings = current = endings.get(section.begin, current)


def _set_repeats(sections: list[Section], marks: list[Mark]) -> None:
    """Set the repeats. One without a beginning goes back to the last double bar, end of a repeat, or part (4.8)."""
    begins: dict[float, int] = {mark.time: mark.value for mark in marks if mark.kind == "repeat begins"}
    implied = {mark.time for mark in marks if mark.kind in ("double bar", "part")}
    first, times, is_open, had_ended = 0, 0, False, False
    for index, section in enumerate(sections):
        if section.repeat_begins:
            first, times, is_open, had_ended = index, begins[section.begin], True, False
        elif (section.begin in implied and not is_open and not section.endings) or (had_ended and not section.endings):
            first, times, is_open, had_ended = index, 0, False, False
        if section.repeat_times:
            section.repeat_times = max(section.repeat_times, times)
            sections[first].repeat_begins |= first > 0
            is_open, had_ended = False, True


def _order(sections: list[Section], marks: list[Mark], parts: str) -> list[tuple[int, int]]:
    """The indices of the sections in playing order, each with its pass."""
    labels: dict[float, str] = {mark.time: mark.value for mark in marks if mark.kind == "part"}
    places: dict[str, list[int]] = {"": []}
    current = ""
    for index, section in enumerate(sections):
        if label := labels.get(section.begin):
            current = label if label not in places else f"{label} at {section.begin}"
        places.setdefault(current, []).append(index)
    chosen = [label for label in parse_parts(parts if labels else "") if label in places]
    if not chosen:
        return playing_order(sections)
    orders = {
        label: [
            (places[label][place], turn) for place, turn in playing_order([sections[index] for index in places[label]])
        ]
        for label in {"", *chosen}
    }
    if sum(len(orders[label]) for label in chosen) > _MOST_PASSAGES:
        raise ValueError(f"its parts and repeats make more than {_MOST_PASSAGES:,} passages")
    return [one for label in ("", *chosen) for one in orders[label]]
