"""Parts of a MusicXML score: their notes as written, with tempos, signatures and lyrics, by measures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from mmt.music.reading.repeats import Place, parse_passes
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
    passes: frozenset[int]
    """The passes of a repeat in which it sounds; empty for all."""
    grace: Grace | None = None


class Lyric(NamedTuple):
    """A syllable; the position in beats."""

    position: float
    text: str
    instrument: Instrument


class ScorePart:
    """What a part says, as `measure_parts` placed it in time: notes and lyrics by measures, and marks by their places."""

    def __init__(self, measures: Sequence[Measure], instruments: dict[str, Instrument]) -> None:
        self.instruments = PartInstruments(instruments)
        self.notes: list[list[Note]] = [[] for _ in measures]
        self.lyrics: list[list[Lyric]] = [[] for _ in measures]
        self.tempos: dict[Place, float] = {}
        """Quarter notes a minute."""
        self.keys: dict[Place, tuple[int, str | None]] = {}
        """Sounding fifths and mode."""
        self.times: dict[Place, tuple[int, int]] = {}
        self._velocity = Timeline(DEFAULT_VELOCITY)
        # Semitones from written to sounding pitch, and to that of a doubling in another octave, by staff ("": all staves).
        self._shifts: dict[str, Timeline[tuple[int, ...]]] = {"": Timeline((0,))}
        self._divisions = 1.0
        for index, measure in enumerate(measures):
            # Changes are read first, since the file may have them after notes of another voice.
            for event in measure.events:
                if event.element.tag == "attributes":
                    self._read_attributes(event.element, (index, event.position))
                elif event.element.tag in ("direction", "sound"):
                    self._read_direction(event.element, (index, event.position))
            self._read_notes([event for event in measure.events if event.element.tag == "note"], index)

    def _read_notes(self, events: Sequence[Event], index: int) -> None:
        graces: list[list[Note]] = []  # chords of grace notes before their main note
        for event in events:
            notes = self._notes(event, (index, event.position))
            if "grace" in event.fields:
                if graces and graces[0][0].position != event.position:
                    self._add_graces(index, graces, 0.0)
                if graces and "chord" in event.fields:
                    graces[-1].extend(notes)
                elif notes:
                    graces.append(notes)
                continue
            if "chord" not in event.fields:
                self._add_graces(index, graces, event.duration)
            self.notes[index].extend(notes)
            if notes and "lyric" in event.fields:
                # The first verse only: the others would be simultaneous.
                text = (event.fields["lyric"].findtext("text") or "").strip()
                if text:
                    self.lyrics[index].append(Lyric(event.position, text, notes[0].instrument))
        self._add_graces(index, graces, 0.0)

    def _add_graces(self, index: int, graces: list[list[Note]], main: float) -> None:
        for order, chord in enumerate(graces):
            grace = Grace(order, len(graces), main)
            self.notes[index].extend(note._replace(grace=grace) for note in chord)
        graces.clear()

    def _notes(self, event: Event, place: Place) -> list[Note]:
        """The notes that sound for a `<note>`: none for rests, cues, and notes without a pitch."""
        fields = event.fields
        if "rest" in fields or "cue" in fields:
            return []
        name = fields["instrument"].get("id", "") if "instrument" in fields else ""
        instrument = self.instruments.at(name, place)
        shifts = self._shifts_at(fields["staff"].text if "staff" in fields else None, place)
        pitches, is_drum = _pitches(fields, instrument, shifts)
        tied_from = tied_to = False
        if "tie" in fields or "notations" in fields:
            ties = [*event.element.findall("tie"), *event.element.findall("notations/tied")]
            kinds = {tie.get("type") for tie in ties}
            tied_from, tied_to = bool(kinds & {"stop", "continue"}), bool(kinds & {"start", "continue"})
        dynamics, time_only = event.element.get("dynamics"), event.element.get("time-only")
        passes = parse_passes(time_only) if time_only else frozenset()
        velocity = self._velocity.at(place) if dynamics is None else _velocity(dynamics)
        voice = (fields["voice"].text or "") if "voice" in fields else ""
        same = (velocity, instrument, is_drum, voice, tied_from, tied_to, passes)
        return [Note(event.position, event.duration, pitch, *same) for pitch in pitches]

    def _shifts_at(self, staff: str | None, place: Place) -> tuple[int, ...]:
        timeline = self._shifts.get((staff or _FIRST_STAFF).strip()) or self._shifts[""]
        return timeline.at(place)

    def _read_attributes(self, element: Element, place: Place) -> None:
        if (divisions := number(element.findtext("divisions"))) > 0:
            self._divisions = divisions
        for transpose in element.findall("transpose"):
            self._read_transpose(transpose, place)
        for key in element.findall("key")[:1]:
            if key.find("fifths") is not None:
                mode = key.findtext("mode", "").strip().lower()
                fifths = _concert_key(round(number(key.findtext("fifths"))), self._shifts_at(None, place)[0])
                self.keys[place] = (fifths, mode if mode in ("major", "minor") else None)
        for time in element.findall("time")[:1]:
            signature = time_signature(time)
            if signature[0]:
                self.times[place] = signature

    def _read_transpose(self, element: Element, place: Place) -> None:
        shift = round(number(element.findtext("chromatic")) + 12 * number(element.findtext("octave-change")))
        shifts: tuple[int, ...] = (shift,)
        if (double := element.find("double")) is not None:
            shifts = (shift, shift + (12 if double.get("above") == "yes" else -12))
        staff = element.get("number")
        if staff is not None and staff not in self._shifts:
            self._shifts[staff] = Timeline(self._shifts[""].at(place))
        for timeline in self._shifts.values() if staff is None else (self._shifts[staff],):
            timeline.set(place, shifts)

    def _read_direction(self, element: Element, place: Place) -> None:
        sounds = [element] if element.tag == "sound" else element.findall("sound")
        tempo = 0.0
        for sound in sounds:
            if "dynamics" in sound.attrib:
                self._velocity.set(place, _velocity(sound.get("dynamics")))
            tempo = tempo or number(sound.get("tempo"))
            self.instruments.read_change(sound, place)
        if tempo <= 0:
            tempo = next(map(_tempo, element.findall("direction-type/metronome")), 0.0)
        if tempo > 0:
            position = place[1] + number(element.findtext("offset")) / self._divisions
            self.tempos.setdefault((place[0], max(position, 0.0)), tempo)


def _pitches(fields: dict[str, Element], instrument: Instrument, shifts: tuple[int, ...]) -> tuple[list[int], bool]:
    """The sounding MIDI pitches of a note, and whether they are drum keys; quarter tones are rounded."""
    is_pitched = "pitch" in fields
    if not is_pitched and instrument.drum is not None:
        return [instrument.drum], True
    is_drum = instrument.is_drum or not is_pitched
    element, prefix = (fields["pitch"], "") if is_pitched else (fields.get("unpitched", Element("")), "display-")
    step = _STEPS.get((element.findtext(f"{prefix}step") or "").strip())
    if step is None:
        return [], is_drum
    octave, alter = number(element.findtext(f"{prefix}octave")), number(element.findtext("alter"))
    written = 12 * (octave + 1) + step + alter
    shifts = (0,) if is_drum else shifts
    return [pitch for shift in shifts if 0 <= (pitch := round(written + shift)) < 128], is_drum


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
