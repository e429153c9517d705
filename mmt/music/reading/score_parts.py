"""Parts of a MusicXML score: their notes as written, with tempos, signatures and lyrics, by measures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from xml.etree.ElementTree import Element

from mmt.music.reading.repeats import Place
from mmt.music.reading.score_instruments import Instrument, PartInstruments
from mmt.music.reading.score_time import Event, Measure, Timeline, number, time_signature, written_duration
from mmt.representation.notes import DEFAULT_VELOCITY

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_FORTE = 90  # velocity: MusicXML's dynamics are in per cent of it
_FIRST_STAFF = "1"  # of a note without a staff


class Grace(NamedTuple):
    """The place of a grace note before its main note."""

    order: int
    """From 0, the first to sound."""
    of: int
    """The number of grace notes, or chords of them, before the main note."""
    main: float
    """The duration of the main note in beats; 0 if there is none."""


class Note(NamedTuple):
    """A written note; position and duration in beats. A grace note has the position of its main note."""

    position: float
    duration: float
    pitch: int
    velocity: int
    instrument: Instrument
    is_drum: bool
    voice: str
    tied_from: bool
    """Whether a tie comes from the note before."""
    tied_to: bool
    """Whether a tie leads to the next note."""
    grace: Grace | None
    passes: frozenset[int]
    """The passes of a repeat in which it sounds; empty for all."""


class Lyric(NamedTuple):
    """A syllable; the position in beats."""

    position: float
    text: str
    instrument: Instrument


@dataclass
class ScorePart:
    """What a part says: notes and lyrics by measures, and marks by their places."""

    instruments: PartInstruments
    notes: list[list[Note]] = field(default_factory=list)
    lyrics: list[list[Lyric]] = field(default_factory=list)
    tempos: dict[Place, float] = field(default_factory=dict)
    """Quarter notes a minute."""
    keys: dict[Place, tuple[int, str | None]] = field(default_factory=dict)
    """Sounding fifths and mode."""
    times: dict[Place, tuple[int, int]] = field(default_factory=dict)


def read_part(measures: Sequence[Measure], instruments: dict[str, Instrument]) -> ScorePart:
    """Read a part from its measures, which `measure_parts` placed in time."""
    part = ScorePart(PartInstruments(instruments))
    reader = _Reader(part)
    for index, measure in enumerate(measures):
        # Changes are read first, since the file may have them after notes of another voice.
        for event in measure.events:
            if event.element.tag == "attributes":
                reader.read_attributes(event.element, (index, event.position))
            elif event.element.tag in ("direction", "sound"):
                reader.read_direction(event.element, (index, event.position))
        part.notes.append([])
        part.lyrics.append([])
        reader.read_notes([event for event in measure.events if event.element.tag == "note"], index)
    return part


class _Reader:
    """Reads a part; remembers the transpositions and dynamics in force."""

    def __init__(self, part: ScorePart) -> None:
        self._part = part
        self._velocity = Timeline(DEFAULT_VELOCITY)
        self._transpositions: dict[str, Timeline[_Transposition]] = {"": Timeline(_Transposition())}  # "": all staves
        self._divisions = 1.0

    def read_notes(self, events: Sequence[Event], index: int) -> None:
        graces: list[list[Note]] = []  # chords of grace notes before their main note
        for event in events:
            notes = self._notes(event, (index, event.position))
            if "grace" in event.fields:
                if graces and graces[0][0].position != event.position:
                    self._add_graces(graces, 0.0)
                if graces and "chord" in event.fields:
                    graces[-1].extend(notes)
                elif notes:
                    graces.append(notes)
                continue
            if "chord" not in event.fields:
                self._add_graces(graces, event.duration)
            self._part.notes[index].extend(notes)
            if notes and "lyric" in event.fields:
                # The first verse only: the others would be simultaneous.
                text = (event.fields["lyric"].findtext("text") or "").strip()
                if text:
                    self._part.lyrics[index].append(Lyric(event.position, text, notes[0].instrument))
        self._add_graces(graces, 0.0)

    def _add_graces(self, graces: list[list[Note]], main: float) -> None:
        for order, chord in enumerate(graces):
            grace = Grace(order, len(graces), main)
            self._part.notes[-1].extend(note._replace(grace=grace) for note in chord)
        graces.clear()

    def _notes(self, event: Event, place: Place) -> list[Note]:
        """The notes that sound for a `<note>`: none for rests, cues, and notes without a pitch."""
        fields = event.fields
        if "rest" in fields or "cue" in fields:
            return []
        instrument = self._part.instruments.at(
            fields["instrument"].get("id", "") if "instrument" in fields else "", place
        )
        transposition = self._transposition(fields["staff"].text if "staff" in fields else None, place)
        pitches, is_drum = _pitches(fields, instrument, transposition)
        tied_from, tied_to = _ties(event) if "tie" in fields or "notations" in fields else (False, False)
        dynamics, passes = event.element.get("dynamics"), event.element.get("time-only")
        velocity = self._velocity.at(place) if dynamics is None else _velocity(dynamics)
        voice = (fields["voice"].text or "") if "voice" in fields else ""
        return [
            Note(
                event.position,
                event.duration,
                pitch,
                velocity,
                instrument,
                is_drum,
                voice,
                tied_from,
                tied_to,
                None,
                frozenset(map(int, re.findall(r"\d{1,3}", passes[:100]))) if passes else frozenset(),
            )
            for pitch in pitches
        ]

    def _transposition(self, staff: str | None, place: Place) -> _Transposition:
        timeline = self._transpositions.get((staff or _FIRST_STAFF).strip()) or self._transpositions[""]
        return timeline.at(place)

    def read_attributes(self, element: Element, place: Place) -> None:
        if (divisions := number(element.findtext("divisions"))) > 0:
            self._divisions = divisions
        for transpose in element.findall("transpose"):
            self._read_transpose(transpose, place)
        for key in element.findall("key")[:1]:
            if key.find("fifths") is not None:
                mode = key.findtext("mode", "").strip().lower()
                semitones = self._transposition(None, place).semitones
                fifths = _concert_key(round(number(key.findtext("fifths"))), semitones)
                self._part.keys[place] = (fifths, mode if mode in ("major", "minor") else None)
        for time in element.findall("time")[:1]:
            signature = time_signature(time)
            if signature[0]:
                self._part.times[place] = signature

    def _read_transpose(self, element: Element, place: Place) -> None:
        semitones = number(element.findtext("chromatic")) + 12 * number(element.findtext("octave-change"))
        double = element.find("double")
        doubling = 0 if double is None else 12 if double.get("above") == "yes" else -12
        transposition = _Transposition(round(semitones), doubling)
        staff = element.get("number")
        if staff is None:
            for timeline in self._transpositions.values():
                timeline.set(place, transposition)
        else:
            if staff not in self._transpositions:
                self._transpositions[staff] = Timeline(self._transpositions[""].at(place))
            self._transpositions[staff].set(place, transposition)

    def read_direction(self, element: Element, place: Place) -> None:
        sounds = [element] if element.tag == "sound" else element.findall("sound")
        tempo = 0.0
        for sound in sounds:
            if "dynamics" in sound.attrib:
                self._velocity.set(place, _velocity(sound.get("dynamics")))
            tempo = tempo or number(sound.get("tempo"))
            self._part.instruments.read_change(sound, place)
        if tempo <= 0:
            tempo = next(
                (_tempo(mark) for kind in element.findall("direction-type") for mark in kind.findall("metronome")), 0
            )
        if tempo > 0:
            position = place[1] + number(element.findtext("offset")) / self._divisions
            self._part.tempos.setdefault((place[0], max(position, 0.0)), tempo)


class _Transposition(NamedTuple):
    """From written to sounding pitch, and to that of a doubling in another octave (0: none)."""

    semitones: int = 0
    doubling: int = 0


def _pitches(
    fields: dict[str, Element], instrument: Instrument, transposition: _Transposition
) -> tuple[list[int], bool]:
    """The sounding MIDI pitches of a note, and whether they are drum keys."""
    if "pitch" in fields:
        written = _pitch(fields["pitch"], "")
        if written is None:
            return [], False
        if instrument.is_drum:
            return _in_range(written), True
        sounding = [written + transposition.semitones]
        sounding += [sounding[0] + transposition.doubling] if transposition.doubling else []
        return _in_range(*sounding), False
    if instrument.drum is not None:
        return [instrument.drum], True
    shown = _pitch(fields["unpitched"], "display-") if "unpitched" in fields else None
    return [] if shown is None else _in_range(shown), True


def _in_range(*pitches: float) -> list[int]:
    return [round(pitch) for pitch in pitches if 0 <= round(pitch) < 128]


def _pitch(element: Element, prefix: str) -> float | None:
    """The written MIDI pitch, with quarter tones; None if the file does not say it."""
    step = _STEPS.get((element.findtext(f"{prefix}step") or "").strip())
    if step is None:
        return None
    octave, alter = number(element.findtext(f"{prefix}octave")), number(element.findtext("alter"))
    return 12 * (octave + 1) + step + alter


def _ties(event: Event) -> tuple[bool, bool]:
    """Whether ties lead to a note, and from it."""
    element = event.element
    kinds = {tie.get("type") for tie in [*element.findall("tie"), *element.findall("notations/tied")]}
    return "stop" in kinds or "continue" in kinds, "start" in kinds or "continue" in kinds


def _tempo(metronome: Element) -> float:
    """Quarter notes a minute of a metronome mark such as "60", "ca. 72" or "60-66" (their mean); 0 if it has no number."""
    unit = written_duration(metronome.findtext("beat-unit") or "", len(metronome.findall("beat-unit-dot")))
    written = (metronome.findtext("per-minute") or "")[:40].replace(",", ".")
    found = [float(text) for text in re.findall(r"\d{1,4}(?:\.\d{1,4})?", written)]
    return unit * sum(found[:2]) / len(found[:2]) if found else 0.0


def _concert_key(fifths: int, transposition: int) -> int:
    """The sounding key of a transposing part, with at most seven sharps or flats."""
    shift = (7 * transposition + 6) % 12 - 6
    sounding = fifths + shift
    return sounding - 12 if sounding > 7 else sounding + 12 if sounding < -7 else sounding


def _velocity(per_cent: str | None) -> int:
    return min(max(round(number(per_cent) * _FORTE / 100), 1), 127)
