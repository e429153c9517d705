"""Time within the measures of a MusicXML part: the position of each element, and the length of each measure.

MusicXML has a cursor in a measure: notes and rests advance it, `backup` moves it back for the next voice. Positions and durations
are in beats (quarter notes) from the start of the measure, as floats. Durations in a file are whole numbers of divisions of a
beat; those of tuplets that are rounded to it are replaced by their exact values, so that measures stay in time.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from typing import Generic, NamedTuple, TypeVar
from xml.etree.ElementTree import Element

from mmt.music.reading.repeats import Place

Value = TypeVar("Value")

_BEATS = {"maxima": 32.0, "long": 16.0, "breve": 8.0, "whole": 4.0, "half": 2.0, "quarter": 1.0, "eighth": 0.5}
_BEATS |= {f"{2**k}th": 4 / 2**k for k in range(4, 11)} | {"32nd": 0.125, "512nd": 4 / 512}
_LONGEST = 100_000.0  # beats of a note
_MOST_RESTS = 10_000  # measures of all multi-measure rests that are left out
_NEARLY = 1 / 32  # beat: a measure that differs by less from its time signature has rounded durations
_SAME_PLACE = 1 / 50  # beat: after a backup with rounded durations
_TINY = 1e-6


class Event(NamedTuple):
    """An element of a measure; `fields` holds the children of a note by their tags."""

    position: float
    duration: float
    element: Element
    fields: dict[str, Element]


@dataclass
class Measure:
    """A measure of one part: its elements in the order of the file."""

    events: list[Event] = field(default_factory=list)
    length: float = 0.0
    """The end of its last note or rest; 0 if there is none."""
    signature: float | None = None
    """The length by the time signature in force; None if there is none."""
    number: str = ""
    is_implicit: bool = False
    """Whether it is not counted: a pickup, or a part of a split measure."""
    rests: int = 1
    """The number of measures of a multi-measure rest."""
    tuplets: set[int] = field(default_factory=set)
    """The sizes of the tuplets whose durations the file rounds."""


class Timeline(Generic[Value]):
    """A value that changes at places; a later change at the same place replaces the earlier one.

    >>> volume = Timeline(64)
    >>> volume.set((1, 2.0), 90)
    >>> volume.at((1, 0.0)), volume.at((1, 2.0)), volume.at((2, 0.0))
    (64, 90, 90)
    """

    def __init__(self, first: Value) -> None:
        self._places: list[Place] = [(-1, 0.0)]
        self._values = [first]

    def set(self, place: Place, value: Value) -> None:
        index = bisect_right(self._places, place)
        self._places.insert(index, place)
        self._values.insert(index, value)

    def at(self, place: Place) -> Value:
        return self._values[bisect_right(self._places, place) - 1]


def measure_parts(parts: Sequence[Element]) -> list[list[Measure]]:
    """Place the elements of all parts in time; each part has a list of its measures."""
    stated = next((number(divisions.text) for part in parts for divisions in part.iter("divisions")), 0)
    measured: list[list[Measure]] = []
    signatures: list[float | None] = []
    for part in parts:
        clock = _Clock(_first_divisions(part, stated))
        elements = part.findall("measure")
        # A part without time signatures has those of the first part.
        others = signatures[: len(elements)]
        measures = [clock.read(measure, other) for measure, other in zip_longest(elements, others)]
        signatures = signatures or [measure.signature for measure in measures]
        measured.append(_with_all_rests(measures))
    return measured


def measure_lengths(parts: Sequence[Sequence[Measure]]) -> list[float]:
    """The lengths of a score's measures in beats, for all parts together.

    A measure is as long as its longest part. One without notes and rests has the length of its time signature; so has one that
    is empty in a part, unless it is the first or last measure or not counted, which may be shorter for all parts.
    """
    count = max((len(part) for part in parts), default=0)
    lengths = []
    for index in range(count):
        measures = [part[index] for part in parts if index < len(part)]
        longest = max(measure.length for measure in measures)
        signature = next((measure.signature for measure in measures if measure.signature), None)
        if signature is not None:
            is_whole = not any(measure.is_implicit for measure in measures) and (longest == 0 or 0 < index < count - 1)
            has_empty = any(measure.length == 0 for measure in measures)
            if abs(longest - signature) < _NEARLY or (longest < signature and has_empty and is_whole):
                longest = signature
        lengths.append(longest)
    return lengths


class _Clock:
    """Reads the measures of a part in order; divisions and time signatures hold until they change."""

    def __init__(self, divisions: float) -> None:
        self._divisions = divisions
        self._own: float | None = None  # the time signatures of this part and of another one
        self._other: float | None = None

    @property
    def _signature(self) -> float | None:
        return self._other if self._own is None else self._own

    def read(self, element: Element, other: float | None) -> Measure:
        """Place the elements of a measure; `other` is the time signature of another part there."""
        self._other = other
        measure = Measure(number=element.get("number", ""), is_implicit=element.get("implicit") == "yes")
        cursor = _Cursor()
        forward = onset = 0.0
        children = list(element)
        for place, child in enumerate(children):
            tag = child.tag
            if tag == "note":
                fields = {field.tag: field for field in reversed(child)}
                if "grace" in fields:
                    measure.events.append(Event(cursor.exact, 0.0, child, fields))
                    continue
                stated, exact = self._durations(child, fields, cursor.exact)
                if stated != exact:
                    measure.tuplets.add(round(number(fields["time-modification"].findtext("actual-notes"))))
                if "chord" not in fields:
                    if "rest" in fields and self._fills_the_measure(cursor.exact, exact, children, place):
                        stated = exact = self._signature or 0.0
                    onset = cursor.exact
                    cursor.advance(stated, exact)
                    measure.length = max(measure.length, cursor.exact)
                measure.events.append(Event(onset, exact, child, fields))
            elif tag == "backup":
                cursor.move(-self._stated(child))
            elif tag == "forward":
                cursor.move(self._stated(child))
                forward = max(forward, cursor.exact)
            else:
                if tag == "attributes":
                    self._read_attributes(child, measure)
                measure.events.append(Event(cursor.exact, 0.0, child, {}))
        measure.signature = self._signature
        # Space after the last note counts up to the time signature.
        measure.length = max(measure.length, min(forward, measure.signature or forward))
        return measure

    def _read_attributes(self, element: Element, measure: Measure) -> None:
        if (divisions := number(element.findtext("divisions"))) > 0:
            self._divisions = divisions
        for time in element.findall("time")[:1]:
            above, below = time_signature(time)
            self._own = 4 * above / below if above else None
        measure.rests = max(measure.rests, round(number(element.findtext("measure-style/multiple-rest"))))

    def _stated(self, element: Element) -> float:
        return min(max(number(element.findtext("duration")) / self._divisions, 0.0), _LONGEST)

    def _durations(self, element: Element, fields: dict[str, Element], position: float) -> tuple[float, float]:
        """The duration of a note as the file states it, and as it is written."""
        if "duration" not in fields:
            written = _written_beats(element, fields)
            if "rest" in fields and (written is None or fields["rest"].get("measure") == "yes"):
                written = max((self._signature or 0.0) - position, 0.0)
            return written or 0.0, written or 0.0
        stated = self._stated(element)
        if "time-modification" in fields:
            written = _written_beats(element, fields)
            if written and abs(written - stated) < (1 - _TINY) / self._divisions:
                return stated, written
        return stated, stated

    def _fills_the_measure(self, position: float, duration: float, children: Sequence[Element], place: int) -> bool:
        """Whether a rest alone in its voice is longer than the measure: a whole rest fills a measure of any length."""
        if self._signature is None or position > 0 or duration <= self._signature + _TINY:
            return False
        following = (children[after].tag for after in range(place + 1, len(children)))
        return next((tag for tag in following if tag in ("note", "forward", "backup")), "backup") == "backup"


class _Cursor:
    """The cursor in a measure, as the file states it and exactly. They differ after rounded tuplets."""

    def __init__(self) -> None:
        self.exact = 0.0
        self._stated = 0.0
        self._places: list[tuple[float, float]] = []  # stated and exact, where they may differ

    def advance(self, stated: float, exact: float) -> None:
        self._stated += stated
        self.exact += exact
        if self._places or stated != exact:
            insort(self._places, (self._stated, self.exact))

    def move(self, stated: float) -> None:
        self._stated = self.exact = max(self._stated + stated, 0.0)
        index = bisect_left(self._places, (self._stated, 0.0))
        near = self._places[max(index - 1, 0) : index + 1]
        if near:
            place, exact = min(near, key=lambda known: abs(known[0] - self._stated))
            if abs(place - self._stated) < _SAME_PLACE and self._stated > _SAME_PLACE:
                self.exact = exact


def number(text: str | None) -> float:
    """A number in a score; 0 if it is missing, invalid, or 1e9 or more."""
    try:
        value = float(text or 0)
    except ValueError:
        return 0
    return value if math.isfinite(value) and abs(value) < 1e9 else 0


def time_signature(element: Element) -> tuple[int, int]:
    """Numerator and denominator of a `time` element; pairs such as 3/8 + 2/4 are added up. (0, 1) for none."""
    above = [_sum(beats.text) for beats in element.findall("beats")]
    below = [round(number(beat_type.text)) for beat_type in element.findall("beat-type")]
    pairs = [(beats, unit) for beats, unit in zip(above, below, strict=False) if 0 < beats < 1000 and 0 < unit <= 1024]
    if not pairs:
        return 0, 1
    unit = max(unit for _, unit in pairs[:16])
    return sum(beats * unit // kind for beats, kind in pairs[:16]), unit


def written_duration(name: str, dots: int) -> float:
    """The length in beats of a note value with dots; 0 if it is unknown."""
    return _BEATS.get(name.strip(), 0.0) * (2 - 0.5 ** min(dots, 8))


def _sum(text: str | None) -> int:
    return sum(round(number(beats)) for beats in (text or "")[:100].split("+"))


def _written_beats(element: Element, fields: dict[str, Element]) -> float | None:
    """The length of a note by its type, dots and tuplet; None if it has no type."""
    if "type" not in fields:
        return None
    beats = written_duration(fields["type"].text or "", len(element.findall("dot")))
    if "time-modification" in fields:
        modification = fields["time-modification"]
        normal, actual = (number(modification.findtext(f"{kind}-notes")) for kind in ("normal", "actual"))
        beats *= normal / actual if normal > 0 and actual > 0 else 1
    return beats or None


def _first_divisions(part: Element, others: float) -> float:
    """The divisions of a beat in which a part begins: as stated before its first note, else by the type of the note."""
    for element in part.iter():
        if element.tag == "divisions" and (stated := number(element.text)) > 0:
            return stated
        if element.tag == "note" and element.find("rest") is None:
            beats = _written_beats(element, {field.tag: field for field in element})
            duration = number(element.findtext("duration"))
            if beats and duration > 0:
                return duration / beats
    return others if others > 0 else 1


def _with_all_rests(measures: list[Measure]) -> list[Measure]:
    """Add the measures of multi-measure rests that the file leaves out, by the number of the next measure."""
    complete: list[Measure] = []
    for measure, following in pairwise([*measures, Measure()]):
        complete.append(measure)
        left_out = measure.rests - 1
        is_left_out = left_out > 0 and number(following.number) == number(measure.number) + measure.rests
        if is_left_out and len(complete) + left_out <= len(measures) + _MOST_RESTS:
            complete += [Measure(signature=measure.signature) for _ in range(left_out)]
    return complete
