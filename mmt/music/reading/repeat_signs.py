"""Finding the repeats and jumps of a MusicXML score: barlines, `<sound>`, signs and words.

A sign that begins something (a repeat, an ending, a segno, a coda) belongs to what follows its place; one that ends something (a
repeat, to coda, fine, da capo, dal segno) to what comes before. `<sound>` acts at its place, and at the end of its measure if
it is at the beginning. Words and printed signs without `<sound>` end something at the next barline, since they are printed
below the last note before it.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

from mmt.music.reading.repeats import Jump, Place, Section, parse_passes, set_signs
from mmt.music.reading.score_time import Measure, number

_TINY = 1e-6
_LONGEST_WORDS = 80  # characters; longer ones are prose
_TEXTS, _SIGNS = ("words", "rehearsal"), ("segno", "coda")
_SOUND_SIGNS = {"segno", "coda", "tocoda", "fine", "dacapo", "dalsegno", "forward-repeat"}

_DA_CAPO = re.compile(r"\bd\.? ?c\b|\bda ?capo\b")
_DAL_SEGNO = re.compile(r"\bd\.? ?s\b|\bd[ae]l? ?segno\b")
_TO_CODA = re.compile(r"\b((to|till|al|alla|zur|vers|à|a) (la )?|to|da ?)coda\b")
_TO_SEGNO = re.compile(r"\b(al|alla|bis zum|jusqu'au) segno\b")
_FINE = re.compile(r"\W*fine?\W*")
_CODA = re.compile(r"\W*coda\W*")
_SEGNO = re.compile(r"\W*segno\W*")
_SYMBOLS = str.maketrans({"𝄋": " segno ", "𝄌": " coda ", "⊕": " coda ", "\xa0": " "})


def find_sections(parts: Sequence[Sequence[Measure]], lengths: Sequence[float]) -> list[Section]:
    """Divide a score into sections: its measures, and parts of measures that have a sign inside."""
    finder = _Finder(lengths)
    for part in parts:
        for index, measure in enumerate(part):
            barlines = [event for event in measure.events if event.element.tag == "barline"]
            inner = [*sorted(event.position for event in barlines if _ends_something(event.element)), math.inf]
            for event in barlines:
                finder.read_barline(event.element, index, event.position)
            for event in measure.events:
                if event.element.tag in ("direction", "sound"):
                    barline = inner[bisect_left(inner, event.position)]
                    finder.read_direction(event.element, index, event.position, barline)
        finder.end_part()
    finder.settle_codas()
    return finder.sections(_movements(max(parts, key=len, default=[])))


class _Finder:
    """Collects the signs of a score by their places."""

    def __init__(self, lengths: Sequence[float]) -> None:
        self._lengths = lengths
        self._signs: list[tuple[Place, str, Any]] = []  # as for `set_signs`
        # By the place, by whether it is a da capo, and by its passes.
        self._jumps: dict[tuple[Place, bool, frozenset[int]], Jump] = {}
        self._endings: list[tuple[Place, Place, frozenset[int]]] = []
        self._ending_signs: list[tuple[Place, frozenset[int] | None]] = []  # of this part: where endings start, or end
        # Printed coda signs, which can also mean "to coda": the places that they would begin and end.
        self._printed_codas: dict[Place, Place] = {}

    def read_barline(self, element: Element, index: int, position: float) -> None:
        location = element.get("location")
        repeat = element.find("repeat")
        is_forward = repeat is not None and repeat.get("direction") == "forward"
        if location == "left" or (location is None and is_forward and position == 0):
            position = 0.0
        elif location != "middle":
            position = self._lengths[index]
        place = self._place(index, position)
        if repeat is not None and is_forward:
            self._add(place, "repeat begins")
        elif repeat is not None:
            self._add(place, "repeat ends", max(round(number(repeat.get("times", "2"))), 2))
            if repeat.get("after-jump") == "yes":
                self._add(place, "repeats after jump")
        for sign in element.findall("ending"):
            numbers = parse_passes(sign.get("number", "")) or parse_passes(sign.text or "")
            self._ending_signs.append((place, numbers if sign.get("type") == "start" else None))
        if element.find("segno") is not None or "segno" in element.attrib:
            self._add(place, "segno", element.get("segno"))
        if "coda" in element.attrib:
            self._add(place, "coda", element.get("coda"))
        elif element.find("coda") is not None:
            self._printed_codas[place] = place

    def end_part(self) -> None:
        """Add the endings of the part; one without an end has one measure."""
        signs, self._ending_signs = self._ending_signs, []
        for sign, (begin, numbers) in enumerate(signs):
            if numbers is not None:
                end = signs[sign + 1][0] if sign + 1 < len(signs) else (begin[0] + 1, 0.0)
                self._endings.append((begin, end, numbers))

    def read_direction(self, element: Element, index: int, position: float, barline: float) -> None:
        """Read the signs of a direction or a `<sound>`; `barline` is the position of the next barline in the measure."""
        sounds = [element] if element.tag == "sound" else element.findall("sound")
        words = _words(element)
        begins, ends = self._place(index, position), self._end_place(index, position)
        found = False
        for sound in sounds:
            found |= self._read_sound(sound, words, begins, ends)
        if not found and element.tag == "direction":
            self._read_print(element, words, begins, self._end_place(index, barline))

    def _read_sound(self, sound: Element, words: str, begins: Place, ends: Place) -> bool:
        """Read the signs of a `<sound>`; whether it has one."""
        attributes = sound.attrib.keys() & _SOUND_SIGNS
        if not attributes:
            return False
        for kind, place in (("segno", begins), ("coda", begins), ("to coda", ends)):
            if (name := sound.get(kind.replace(" ", ""))) is not None:
                self._add(place, kind, name)
        if sound.get("forward-repeat") == "yes":
            self._add(begins, "repeat begins")
        if sound.get("fine", "no") != "no":
            self._add(ends, "fine")
        passes = parse_passes(sound.get("time-only", ""))
        if sound.get("dacapo") == "yes":
            self._add_jump(ends, Jump(None, _until(words), passes))
        if "dalsegno" in attributes:
            self._add_jump(ends, Jump(sound.get("dalsegno", ""), _until(words), passes))
        return True

    def _read_print(self, direction: Element, words: str, begins: Place, ends: Place) -> None:
        """Read signs and words that are printed only."""
        if _DA_CAPO.search(words):
            self._add_jump(ends, Jump(None, _until(words)))
        elif _DAL_SEGNO.search(words):
            self._add_jump(ends, Jump("", _until(words)))
        elif _TO_CODA.search(words):
            self._add(ends, "to coda")
        elif _FINE.fullmatch(words):
            self._add(ends, "fine")
        elif _SEGNO.fullmatch(words) or direction.find("direction-type/segno") is not None:
            self._add(begins, "segno")
        elif _CODA.fullmatch(words) or direction.find("direction-type/coda") is not None:
            self._printed_codas[begins] = ends

    def _add(self, place: Place, kind: str, value: Any = None) -> None:
        self._signs.append((place, kind, value))

    def _add_jump(self, place: Place, jump: Jump) -> None:
        """Add a jump; one that is written twice, in words and by a sound or in several parts, is one."""
        key = (place, jump.segno is None, jump.passes)
        known = self._jumps.get(key, jump)
        self._jumps[key] = Jump(known.segno or jump.segno, known.until or jump.until, jump.passes)

    def settle_codas(self) -> None:
        """Read a printed coda sign before a jump as "to coda", if the coda follows the jump and no words or sounds say it."""
        jumps = sorted(place for place, _, _ in self._jumps)
        is_said = any(kind == "to coda" for _, kind, _ in self._signs)
        codas = [place for place, kind, _ in self._signs if kind == "coda"]
        last = max([*self._printed_codas, *codas], default=(0, 0.0))
        for begins, ends in self._printed_codas.items():
            jump = bisect_left(jumps, ends)
            if not is_said and jump < len(jumps) and jumps[jump] <= last:
                self._add(ends, "to coda")
            else:
                self._add(begins, "coda")

    def sections(self, movements: Sequence[int]) -> list[Section]:
        signs = [*self._signs, *((place, "jump", jump) for (place, _, _), jump in self._jumps.items())]
        borders = [place for place, _, _ in signs] + [place for ending in self._endings for place in ending[:2]]
        measures = {(index, 0.0) for index in range(len(self._lengths))}
        places = sorted(measures.union(place for place in borders if place[1] > 0))
        ends = [*places[1:], (len(self._lengths), 0.0)]
        sections = [
            Section(
                measure=measure,
                begin=begin,
                end=end or self._lengths[measure],
                is_whole=begin == 0 and end == 0,
                movement=bisect_left(places, (movements[measure], 0.0)),
            )
            for (measure, begin), (_, end) in zip(places, ends, strict=False)
        ]
        set_signs(signs, dict(zip(places, sections, strict=True)), dict(zip(ends, sections, strict=False)))
        for begin, end, numbers in self._endings:
            for section in sections[bisect_left(places, begin) : bisect_left(places, end)]:
                section.endings |= numbers
        return sections

    def _place(self, index: int, position: float) -> Place:
        if position >= self._lengths[index] - _TINY and position > 0:
            return index + 1, 0.0
        return index, position if position > _TINY else 0.0

    def _end_place(self, index: int, position: float) -> Place:
        place = self._place(index, position)
        return (index + 1, 0.0) if place[1] == 0 else place


def _ends_something(barline: Element) -> bool:
    """Whether a barline inside a measure is more than a line that divides its beats."""
    style = barline.findtext("bar-style", "")
    return barline.get("location") == "middle" and style not in ("dashed", "dotted", "short", "tick", "none")


def _words(direction: Element) -> str:
    """The words and signs of a direction in lower case; empty if they are long."""
    printed = [element for kind in direction.findall("direction-type") for element in kind]
    texts = [
        element.tag if element.tag in _SIGNS else element.text or ""
        for element in printed
        if element.tag in _TEXTS + _SIGNS
    ]
    words = " ".join(" ".join(texts)[: 2 * _LONGEST_WORDS].translate(_SYMBOLS).lower().split())
    return words if len(words) <= _LONGEST_WORDS else ""


def _until(words: str) -> str | None:
    """What ends the passage after a jump, by its words: fine, coda or segno; None if they do not say."""
    if _TO_SEGNO.search(words):
        return "segno"
    found = {sign for sign in ("fine", "coda") if sign in words}
    return found.pop() if len(found) == 1 else None


def _movements(measures: Sequence[Measure]) -> list[int]:
    """The index of the first measure of each measure's movement: where counted numbers start again from 1.

    The measure before, numbered 0, is the pickup of the movement. (A measure 0 that no measure 1 follows is not counted.)
    """
    starts: list[int] = []
    start, last = 0, 0.0
    for index, measure in enumerate(measures):
        if measure.number.isdecimal() and not measure.is_implicit:
            value = number(measure.number)
            if value == 1 and last > 1:
                start = index - 1 if measures[index - 1].number == "0" else index
                if start < index:
                    starts[start] = start
            last = value or last
        starts.append(start)
    return starts
