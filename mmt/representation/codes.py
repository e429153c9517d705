"""The six fields of an event, and `Representation`: the tables that map musical values to codes and back.

An event is six integer codes, indexed by `TYPE` … `INSTRUMENT`. Code 0 means "none" in every field but the type. A
beat is a quarter note; a step is 1 / resolution of a beat; pitches are MIDI numbers. (Paper, section 3.1.)
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import pairwise
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from mmt.representation.arguments import described
from mmt.representation.instruments import (
    DRUMS,
    EVERYDAY_NAMES,
    GENERAL_MIDI_NAMES,
    OFFERED_FIRST,
    PAPER_INSTRUMENTS,
    Instrument,
)

IntArray = npt.NDArray[np.integer[Any]]
Events = npt.NDArray[np.int64]

TYPE, BEAT, POSITION, PITCH, DURATION, INSTRUMENT = range(6)
FIELDS = ("type", "beat", "position", "pitch", "duration", "instrument")

START_OF_SONG, INSTRUMENT_EVENT, START_OF_NOTES, NOTE, END_OF_SONG, GIVEN_NOTE = range(6)
TYPES = ("start-of-song", "instrument", "start-of-notes", "note", "end-of-song", "given note")

PITCHES = 128

_PAPER_DURATIONS = (
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 18, 20, 21, 24, 30, 36, 40, 42, 48, 60, 72, 84, 96, 120, 144, 168,
    192, 384,
)  # fmt: skip
_SLIDES_DURATIONS = tuple(steps for steps in _PAPER_DURATIONS if not 4 <= steps <= 11)


@dataclass(frozen=True)
class Representation:
    """A representation of music as codes: all numbers that encoding and decoding need.

    `Representation()` is the paper's, `Representation.slides()` that of the authors' talk.

    >>> Representation().sizes
    (5, 1026, 13, 129, 33, 65)
    """

    resolution: int = 12
    """Time steps per beat (a quarter note), 1 … 960."""
    beats: int = 1025
    """The number of beat codes of a network: beats 0 … beats - 1. Event arrays have no such limit."""
    durations: tuple[int, ...] = _PAPER_DURATIONS
    """The known durations in steps, ascending. Other durations are rounded to the nearest, the smaller in a tie."""
    instruments: tuple[Instrument, ...] = PAPER_INSTRUMENTS
    """The instruments, in the order of their codes."""
    drums: bool = False
    """Whether the notes of drum tracks are kept, as a last instrument named `drums`. The pitch of a drum note is its General MIDI
    drum key."""
    given: bool = False
    """Whether events may have given notes, which are fixed in advance: a network reads them, but never samples them."""
    length: bool = False
    """Whether start-of-notes may have the number of beats of the piece, in its beat code (0: not given)."""
    reach: int = 8
    """How many beats before its onset a given note is placed among the written notes, at least 1."""

    def __post_init__(self) -> None:
        for name in ("drums", "given", "length"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be true or false")
        for name in ("resolution", "beats", "reach"):
            if type(getattr(self, name)) is not int:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be a whole number")
        if not all(type(steps) is int and steps < 2**31 for steps in self.durations):
            raise ValueError("durations must be whole numbers of steps below 2^31")
        if not self.durations or self.durations[0] < 1 or any(a >= b for a, b in pairwise(self.durations)):
            raise ValueError(f"durations must be ascending steps from 1 up, not {self.durations}")
        if not 1 <= self.resolution <= 960:
            raise ValueError(f"resolution is {self.resolution}; it must be 1 to 960 steps per beat")
        if not 1 <= self.beats < 2**31:
            raise ValueError(f"beats is {self.beats}; it must be at least 1, and below 2^31")
        names = [instrument.name for instrument in self.instruments]
        programs = [program for instrument in self.instruments for program in instrument.programs]
        if not names or len(set(names)) < len(names) or len(set(programs)) < len(programs):
            raise ValueError(
                "instruments must have different names, and a MIDI program may belong to one instrument only"
            )
        if len(names) + self.drums > 255:
            raise ValueError(f"{len(names) + self.drums} instruments were given; a note table holds at most 255")
        if self.drums and DRUMS in names:
            raise ValueError(f"an instrument is named {DRUMS!r}, which drums=True adds; rename it")
        if not 1 <= self.reach < 2**31 or (self.given and 2 * self.reach > self.beats):
            raise ValueError(f"reach is {self.reach} beats; it must be 1 to half of the {self.beats} beats")

    @classmethod
    def slides(cls) -> Representation:
        """The representation of the authors' talk: resolution 24, 24 durations."""
        return cls(resolution=24, durations=_SLIDES_DURATIONS)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of codes of each field, (6,), as in `NetworkConfig.sizes`."""
        highest = (self.beats, self.resolution, PITCHES, len(self.durations), len(self.names))
        return (len(TYPES) - (not self.given), *(code + 1 for code in highest))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the instruments, in the order of their codes (code = 1 + index); `drums`, if any, is the last."""
        return (*(instrument.name for instrument in self.instruments), *([DRUMS] if self.drums else []))

    @property
    def drums_code(self) -> int:
        """The instrument code of drums; 0 without drums."""
        return len(self.instruments) + 1 if self.drums else 0

    @cached_property
    def _code_of_program(self) -> Events:
        table = np.zeros(128, np.int64)
        for code, instrument in enumerate(self.instruments, start=1):
            table[list(instrument.programs)] = code
        return table

    @cached_property
    def _duration_borders(self) -> npt.NDArray[np.float64]:
        known = np.asarray(self.durations, np.float64)
        return (known[1:] + known[:-1]) / 2

    def duration_codes(self, steps: IntArray) -> Events:
        """The codes of the known durations nearest to `steps` (any shape), the smaller in a tie."""
        return 1 + np.searchsorted(self._duration_borders, steps, side="left").astype(np.int64)

    def instrument_codes(self, programs: IntArray) -> Events:
        """The instrument codes of MIDI programs (0 … 127); 0 for programs without an instrument."""
        return self._code_of_program[programs]

    def program(self, code: int) -> int:
        """The MIDI program that plays an instrument code; 0 for drums, which need none."""
        return 0 if code == self.drums_code else self.instruments[code - 1].program

    def length_code(self, beats: int) -> int:
        """The beat code of start-of-notes for a length of `beats` beats: 1 + beats, at most the largest code.

        >>> Representation(beats=256).length_code(32), Representation(beats=256).length_code(1000)
        (33, 256)
        """
        return min(1 + beats, self.beats)

    def find_instrument(self, name: str | int) -> int:
        """The code of an instrument, given by its name, General MIDI name, everyday name ("choir") or program number.

        Case, spaces, hyphens and underscores are ignored.

        >>> Representation().find_instrument("violin"), Representation().find_instrument("French Horn")
        (25, 38)

        Raises
        ------
        ValueError
            If the instrument is unknown; the message offers the nearest names.
        """
        if (isinstance(name, (int, np.integer)) and not isinstance(name, bool)) or str(name).strip().isdecimal():
            program = int(name)
            if not 0 <= program < 128:
                raise ValueError(f"MIDI program {program} is out of range; programs are 0 to 127")
            if not (code := int(self._code_of_program[program])):
                raise ValueError(
                    f"MIDI program {program} ({GENERAL_MIDI_NAMES[program]}) has no instrument in this representation"
                )
            return code
        if not (code := self._code_of_name.get(plain_name(str(name)), 0)):
            raise ValueError(
                f"unknown instrument {str(name)!r}{self._offer(str(name))}; `mmt-generate --list-instruments` shows all"
            )
        return code

    @cached_property
    def _code_of_name(self) -> dict[str, int]:
        programs = zip(GENERAL_MIDI_NAMES, self._code_of_program.tolist(), strict=True)
        general_midi = {plain_name(name): code for name, code in programs if code}
        own = {plain_name(name): code for code, name in enumerate(self.names, start=1)}
        meant = {plain_name(name): plain_name(used) for name, used in EVERYDAY_NAMES.items()}
        everyday = {name: own[used] for name, used in meant.items() if used in own}
        return everyday | general_midi | own

    def _offer(self, name: str) -> str:
        if plain_name(name) in _DRUM_NAMES and not self.drums:
            return f": {NO_DRUMS}"
        known = OFFERED_FIRST | {plain: self.names[code - 1] for plain, code in self._code_of_name.items()}
        near = difflib.get_close_matches(plain_name(name), known, n=6, cutoff=0.6)
        near += [other for other in known if plain_name(name) and plain_name(name) in other]
        offers = list(dict.fromkeys(known[other] for other in near))[:3]
        return f"; did you mean {' or '.join(offers)}?" if offers else ""

    def to_dict(self) -> dict[str, Any]:
        """Convert to numbers, strings, lists and dicts, for JSON and YAML. Options at their defaults are left out."""
        values = json.loads(json.dumps(asdict(self), default=list))  # tuples become lists
        options = ("drums", "given", "length", "reach")
        return {name: value for name, value in values.items() if name not in options or value != getattr(PAPER, name)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Representation:
        """The inverse of `to_dict`: missing entries take their defaults, an unknown entry raises a `ValueError`."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(
                f"unknown entry {unknown[0]!r} in the representation; known are {', '.join(sorted(known))}"
            )
        arguments = dict(values)
        if "durations" in arguments:
            arguments["durations"] = tuple(arguments["durations"])
        if "instruments" in arguments:
            try:
                arguments["instruments"] = tuple(
                    Instrument(i["name"], i["program"], tuple(i["programs"])) for i in arguments["instruments"]
                )
            except (KeyError, TypeError) as error:
                raise ValueError(f"each instrument needs a name, a program and a list of programs ({error})") from error
        return cls(**arguments)


PAPER = Representation()


def is_note(events: IntArray) -> npt.NDArray[np.bool_]:
    """Whether events (…, 6) are notes, written or given: (…)."""
    notes: npt.NDArray[np.bool_] = (events[..., TYPE] == NOTE) | (events[..., TYPE] == GIVEN_NOTE)
    return notes


def last_beat(events: IntArray) -> int:
    """The largest beat code of the notes of events (n, 6); 0 without notes."""
    return int(events[is_note(events), BEAT].max(initial=0))


def plain_name(name: str) -> str:
    """The letters and digits of a name, in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


_DRUM_NAMES = {DRUMS, *(plain_name(name) for name, used in EVERYDAY_NAMES.items() if used == DRUMS)}
NO_DRUMS = "this model or representation has no drums; leave them out, or use a model that was trained with drums"


def check_several(pieces: Any) -> None:
    """Raise a `ValueError` if one piece, a `muspy.Music` or a path was given where several pieces are expected."""
    if hasattr(pieces, "tracks"):
        raise ValueError("a muspy.Music was given; give a list of pieces: [mmt.encode(music)]")
    if isinstance(pieces, str | PathLike):
        raise ValueError(f"{str(pieces)!r} is a path; give a list of event arrays, or mmt.Corpus(folder)")
    if not isinstance(pieces, Iterable):
        raise ValueError(f"pieces is {described(pieces)}; give a list of event arrays, or mmt.Corpus(folder)")
    first = pieces[0] if isinstance(pieces, list | tuple) and pieces else None
    if (isinstance(first, list | tuple | np.ndarray) and np.ndim(first) == 1) or getattr(pieces, "ndim", 0) == 2:
        raise ValueError("one piece was given; give a list of pieces: [piece]")


def as_events(events: npt.ArrayLike) -> IntArray:
    """Convert to an (n, 6) array of integers; codes are not checked.

    Raises
    ------
    ValueError
        If `events` is something else; the message says how to get events from it.
    """
    if hasattr(events, "tracks"):
        raise ValueError("events were expected, not a muspy.Music; give mmt.encode(music)")
    items = events if isinstance(events, list | tuple) else [events]
    if any(isinstance(item, str | PathLike) for item in items):
        raise ValueError(
            f"events were expected, not {described(events)}; for instruments give mmt.prompt.instruments('violin', …), "
            "for a file mmt.encode(mmt.read(path))"
        )
    if getattr(events, "ndim", 2) == 3 or any(getattr(item, "ndim", 1) == 2 for item in items if item is not events):
        raise ValueError("the events of one piece are needed, and these are several; take one of them, pieces[0]")
    if hasattr(events, "pieces") and hasattr(events, "notes"):
        raise ValueError("the events of one piece are needed, and this is a corpus; take one of its pieces, corpus[0]")
    if not isinstance(events, list | tuple) and not hasattr(events, "ndim"):
        raise ValueError(f"events were expected, an integer array (n, 6), not {described(events)}")
    try:
        array = np.asarray(events.detach().cpu() if hasattr(events, "detach") else events)
    except ValueError:
        raise ValueError("events must have the shape (n, 6); the rows given have different lengths") from None
    if array.ndim != 2 or array.shape[1] != len(FIELDS):
        raise ValueError(f"events must have the shape (n, 6), not {array.shape}")
    if array.size and array.dtype.kind not in "iu":
        hint = "; convert codes that are whole numbers: array.astype(int), tensor.long()"
        raise ValueError(f"events must be integers, not {array.dtype}{hint if array.dtype.kind == 'f' else ''}")
    return array
