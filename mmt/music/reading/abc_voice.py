"""One voice of an ABC tune: notes, rests, bar lines and overlays as written (ABC standard 2.1, chapters 4 and 7).

Nothing is unfolded: times are those of the written tune, in the ticks of `abc_fields`, from 0. Limits refuse what no tune needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mmt.music.reading.abc_fields import BEAT, Key, Meter, parse_bar, parse_length, parse_note, ticks
from mmt.music.reading.repeats import Jump, parse_passes
from mmt.representation.notes import DEFAULT_VELOCITY

_MOST_NOTES = 100_000  # as written
_MOST_BEATS = 100_000
_MOST_LAYERS = 16

_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_NO_KEY = Key(0, None, {})
_IN_TIME_OF = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}  # notes of a tuplet in the time of; others depend on the meter


@dataclass(slots=True)
class Note:
    """A written note; times in ticks."""

    time: int
    duration: int
    pitch: int
    velocity: int
    layer: int
    """0, or the number of the overlay (`&`) in its measure."""
    program: int | None
    """The program that `%%MIDI program` set; None if none."""
    is_tied: bool = False
    """Whether it is tied to the next note."""


class Mark(NamedTuple):
    """A sign of the order of playing, or a change of tempo, key or meter.

    Kinds with their values: `repeat begins` and `repeat ends` (times), `ending` (numbers), `double bar`, `segno`, `coda`,
    `to coda`, `leave`, `fine`, `jump` (`Jump`), `part` (letter), `tempo` (quarters per minute), `key` (`Key`), `meter`
    (`Meter`).
    """

    time: int
    kind: str
    value: Any = None


@dataclass
class Common:
    """What holds for all voices of a tune."""

    propagation: str = "pitch"
    """How far an accidental reaches in its measure: `pitch` (all octaves), `octave`, `not`."""
    drum_keys: dict[str, int] = field(default_factory=dict)
    """Keys of the drum kit by written note."""
    notes: int = 0
    """Number of notes of all voices so far."""


@dataclass
class Voice:
    """A voice of a tune: what it plays, and its state while it is read.

    Each method raises a `ValueError` if the tune is longer, or a note higher or lower, than music can be.
    """

    common: Common
    name: str | None = None
    program: int | None = None
    is_drum: bool = False
    is_sung: bool = False
    """Whether it has lyrics."""
    shifts: dict[str, int] = field(default_factory=dict)
    """Semitones added to the written pitch, by reason."""
    unit: int = BEAT // 2
    """Ticks of a note without a length."""
    meter: Meter | None = None
    key: Key = _NO_KEY
    velocity: int = DEFAULT_VELOCITY

    notes: list[Note] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    time: int = 0
    measures: list[int] = field(default_factory=lambda: [0])
    """Times of the bar lines."""

    _altered: dict[str, int] = field(default_factory=dict)  # accidentals of the measure
    _tied: dict[str, int] = field(default_factory=dict)  # alterations, by letter and octave, that a tie carries on
    _tied_into_endings: dict[str, int] = field(default_factory=dict)
    # The last note or chord: each note, its written length, its letter with octave, and its alteration.
    _event: list[tuple[Note, int, str, int]] = field(default_factory=list)
    _event_length: int = 0
    _graces: list[tuple[int, int]] = field(default_factory=list)  # pitches and lengths; they wait for their note
    _broken: tuple[int, int] = (1, 1)  # factor of the next length
    _tuplet: tuple[int, int, int] = (0, 1, 1)  # notes left, and their factor
    _in_ending: bool = False
    _jumps: list[tuple[str, Jump | None]] = field(default_factory=list)  # they act at the next bar line
    _layer: int = 0
    _layer_measures: int = 0  # how many the overlay still has
    _main_time: int = 0  # where the first layer continues

    def sound(self, written: Sequence[tuple[str, bool]], length: str = "") -> None:
        """Add a note or a chord: each note with accidental and length, and whether it is tied to the next (ABC 2.1, 4.17).

        The first note's length moves time on; each keeps its own. `length` is that after a chord, which multiplies theirs.
        """
        if not written:
            return
        self.common.notes += len(written) + len(self._graces)
        if self.common.notes > _MOST_NOTES:
            raise ValueError(f"it has more than {_MOST_NOTES:,} notes")
        before, self._tied = self._tied, {}
        over, under = parse_length(length)
        factor, divisor = self._factors()
        self._event = []
        for text, is_tied in written:
            pitch, own_over, own_under, name, alteration = self._pitch(text, before)
            duration = ticks(self.unit * over * own_over * factor, under * own_under * divisor)
            note = Note(self.time, duration, pitch, self.velocity, self._layer, self.program, is_tied)
            self._event.append((note, duration, name, alteration))
            if is_tied:
                self._tied[name] = alteration
        first = self._event[0][1]
        taken = self._play_graces(first)
        for note, *_ in self._event:
            note.time += taken
            note.duration = max(note.duration - taken, 1)
            self.notes.append(note)
        self._advance(first)

    def _pitch(self, text: str, tied: dict[str, int]) -> tuple[int, int, int, str, int]:
        """MIDI pitch, length (numerator, denominator), letter with octave, and alteration of a written note."""
        note = parse_note(text)
        name = f"{note.letter}{note.octave}"
        where = note.letter if self.common.propagation == "pitch" else name
        if note.alteration is not None:
            alteration = note.alteration
            if self.common.propagation != "not":
                self._altered[where] = alteration
        elif name in tied:
            alteration = tied[name]
        else:
            alteration = self._altered.get(where, self.key.alterations.get(note.letter, 0))
        pitch = 60 + _LETTERS[note.letter] + 12 * note.octave + alteration
        pitch = self.common.drum_keys.get(note.spelling, pitch) if self.is_drum else pitch + sum(self.shifts.values())
        if not 0 <= pitch < 128:
            raise ValueError(f"it has notes outside of MIDI's range, as {text[:20]}")
        return pitch, *note.length, name, alteration

    def rest(self, kind: str, text: str) -> None:
        """Add a rest: `z` and `x` of a length, `Z` and `X` of measures."""
        self._event, self._tied = [], {}
        over, under = parse_length(text)
        factor, divisor = self._factors()
        if kind in "ZX":
            length = ticks((self.meter or Meter(4, 4)).ticks * over, under)
            inner = range(1, over if under == 1 and not self._layer else 0)
            if len(self.measures) + len(inner) > _MOST_BEATS:
                raise ValueError(f"it is longer than {_MOST_BEATS:,} beats")
            self.measures += [self.time + length // over * n for n in inner]
        else:
            length = ticks(self.unit * over * factor, under * divisor)
        self._play_graces(length)
        self._advance(length)

    def _factors(self) -> tuple[int, int]:
        """The factor of the next length: broken rhythm and tuplet."""
        (over, under), (left, times, among) = self._broken, self._tuplet
        self._broken = (1, 1)
        if left:
            self._tuplet = (left - 1, times, among)
            over, under = over * times, under * among
        return over, under

    def _advance(self, length: int) -> None:
        self._event_length = length
        self.time += length
        if self.time > _MOST_BEATS * BEAT:
            raise ValueError(f"it is longer than {_MOST_BEATS:,} beats")

    def _play_graces(self, length: int) -> int:
        """Add the grace notes that wait at the current time; returns how much they take of the next length."""
        graces, self._graces = self._graces, []
        total = sum(duration for _, duration in graces)
        if graces and total >= length:  # they share it evenly with the note
            graces = [(pitch, max(length // (len(graces) + 1), 1)) for pitch, _ in graces]
        at = self.time
        for pitch, duration in graces:
            self.notes.append(Note(at, duration, pitch, self.velocity, self._layer, self.program))
            at += duration
        return at - self.time

    def begin_tuplet(self, among: int, times: int, count: int) -> None:
        """The next `count` notes are played `among` in the time of `times`; 0: as usual."""
        compound = self.meter is not None and self.meter.numerator % 3 == 0 and self.meter.numerator > 3
        if among:
            self._tuplet = (count or among, times or _IN_TIME_OF.get(among, 3 if compound else 2), among)

    def break_rhythm(self, signs: str) -> None:
        """Lengthen the last note and shorten the next (`>`), or the other way round (`<`)."""
        half = 2 ** min(len(signs), 4)
        longer, shorter = (2 * half - 1, half), (1, half)
        (over, under), self._broken = (longer, shorter) if signs[0] == ">" else (shorter, longer)
        for note, length, _, _ in self._event:
            note.duration = max(note.duration + ticks(length * over, under) - length, 1)
        self.time += ticks(self._event_length * over, under) - self._event_length

    def add_graces(self, written: Sequence[str]) -> None:
        """Grace notes of a quarter of the unit length, which take their time from the next note."""
        self._graces = []
        for text in written:
            pitch, over, under, _, _ = self._pitch(text, {})
            self._graces.append((pitch, ticks(self.unit * over, 4 * under)))

    def tie(self) -> None:
        """Tie the last note or chord to the next."""
        for note, *_ in self._event:
            note.is_tied = True
        self._tied = {name: alteration for _, _, name, alteration in self._event}

    def mark(self, kind: str, value: Any = None) -> None:
        """Add a mark here."""
        self.marks.append(Mark(self.time, kind, value))

    def sign(self, kind: str, value: Jump | None = None) -> None:
        """Add a sign of the order of playing.

        `segno` and `coda` act at their place, others at the end of their measure. A tune may also use a `coda` to mark the jump
        to the other `coda`: the jump is at the end of its measure, or at the beginning if the sign is there.
        """
        if kind in ("segno", "coda"):
            self.mark(kind)
        if kind == "coda" and self.time == self.measures[-1]:
            self.mark("leave")
        elif kind != "segno":
            self._jumps.append(("leave" if kind == "coda" else kind, value))

    def set_key(self, key: Key) -> None:
        """Change the key."""
        self.key = key
        self._altered.clear()
        self.mark("key", key)

    def bar(self, bar: str) -> None:
        """Add a bar line with its repeat signs; `::|` is the end of a passage that is played three times."""
        bar = bar.lstrip(".")
        if bar == ":":
            return
        ends, begins, is_double = parse_bar(bar)
        self.end_measure()
        if self._in_ending and (ends or begins or is_double):
            self.mark("ending", frozenset())
            self._in_ending = False
        if is_double:
            self.mark("double bar")
        if ends:
            self.mark("repeat ends", min(ends, 15) + 1)
        if begins:
            self.mark("repeat begins", min(begins, 15) + 1)

    def end_measure(self) -> None:
        """End the measure, and its overlay."""
        if self._layer:
            self._layer_measures -= 1
            if self._layer_measures <= 0:
                self._layer, self.time = 0, self._main_time
        self._altered.clear()
        self.marks += [Mark(self.time, *jump) for jump in self._jumps]
        self._jumps = []
        if not self._layer and self.time != self.measures[-1]:
            self.measures.append(self.time)

    def ending(self, text: str) -> None:
        """Begin an ending: `1`, `1,3` or `1-3`."""
        passes = parse_passes(text)
        # A tie into the first ending holds in the others, too.
        if 1 in passes:
            self._tied_into_endings = dict(self._tied)
        else:
            self._tied = dict(self._tied_into_endings)
        self.mark("ending", passes)
        self._in_ending = True

    def overlay(self, measures: int) -> None:
        """Go back by measures for a separate layer; at the beginning of a measure, by one more."""
        if not self._layer:
            self._main_time = self.time
        if self._main_time == self.measures[-1] and len(self.measures) > 1:
            measures += 1
        self.time = self.measures[max(-measures, -len(self.measures))]
        self._layer_measures = len([start for start in self.measures[-measures:] if start < self._main_time])
        self._layer = min(self._layer + 1, _MOST_LAYERS)
        self._altered.clear()
        self._tuplet, self._tied = (0, 1, 1), {}
