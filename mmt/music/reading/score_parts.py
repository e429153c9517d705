"""Parts of a MusicXML score: their measures as written, and the tracks as they sound.

Positions are ticks from the start of the measure. MusicXML has a cursor in a measure: notes and rests advance it, and `backup`
moves it back for the next voice.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple
from xml.etree.ElementTree import Element

from mmt.music.reading.part_names import choir_parts, program_of
from mmt.representation.notes import DEFAULT_VELOCITY

if TYPE_CHECKING:
    import muspy

_LONGEST_TIE_GAP = 4  # beats
GRACES_PER_BEAT = 8  # a grace note lasts an eighth of a beat

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_BEATS = {"breve": 8, "whole": 4, "half": 2, "quarter": 1, "eighth": 0.5, "16th": 0.25, "32nd": 0.125}
_FORTE = 90  # velocity: MusicXML's dynamics are in per cent of it
_DRUM_CHANNEL = 10
_DRUMS, _DRUM_TRACK = "drums", -1


@dataclass(frozen=True)
class Instrument:
    """An instrument of the part list; `program` and `drum` count from 0, and are None if missing."""

    part_name: str = ""
    name: str = ""
    sound: str = ""
    program: int | None = None
    drum: int | None = None
    is_drum: bool = False


class Note(NamedTuple):
    """A written note; `tied_from` and `tied_to` mean a tie from the note before, and to the next."""

    position: int
    duration: int
    pitch: int
    velocity: int
    instrument: str
    voice: str
    tied_from: bool
    tied_to: bool


@dataclass
class Measure:
    """A written measure of one part; tempos and signatures by position."""

    length: int = 0
    notes: list[Note] = field(default_factory=list)
    lyrics: list[tuple[int, str, str]] = field(default_factory=list)  # position, text, instrument
    tempos: dict[int, float] = field(default_factory=dict)
    keys: dict[int, tuple[int, str | None]] = field(default_factory=dict)
    times: dict[int, tuple[int, int]] = field(default_factory=dict)


class ScorePart:
    """A part of a score, with its written `measures` in the order of the file."""

    def __init__(self, element: Element, resolution: int, instruments: dict[str, Instrument]) -> None:
        self.instruments = instruments or {"": Instrument()}
        self.measures: list[Measure] = []
        self._resolution = resolution
        self._divisions = 1.0
        self._velocity = DEFAULT_VELOCITY
        self._transpositions: dict[str | None, int] = {}  # by staff; None for all others
        for measure in element.findall("measure"):
            self._read_measure(measure)

    def tracks(self, played: Sequence[tuple[int, int]]) -> list[muspy.Track]:
        """The sounding part, a track per program; `played` has (index of the measure, time)."""
        import muspy

        notes: dict[str, list[list[int]]] = {}
        lyrics: dict[str, list[muspy.Lyric]] = defaultdict(list)
        open_ties: dict[tuple[str, int], list[tuple[list[int], str]]] = defaultdict(list)
        gap = _LONGEST_TIE_GAP * self._resolution
        for index, start in played:
            measure = self.measures[index] if index < len(self.measures) else Measure()
            for note in measure.notes:
                row = _tied(note, start + note.position, open_ties[note.instrument, note.pitch], gap)
                if row is None:
                    # A grace note may begin before its measure, though not before the piece.
                    row = [max(start + note.position, 0), note.pitch, note.duration, note.velocity]
                    notes.setdefault(note.instrument, []).append(row)
                if note.tied_to:
                    open_ties[note.instrument, note.pitch].append((row, note.voice))
            for position, text, instrument in measure.lyrics:
                lyrics[instrument].append(muspy.Lyric(start + position, text))
        tracks: dict[int, muspy.Track] = {}
        for key, rows in notes.items():
            # Some programs write a new instrument for every playing instruction: those with one program are one track.
            program = _DRUM_TRACK if key == _DRUMS else _program(self.instruments[key], sung=bool(lyrics[key]))
            track = tracks.setdefault(program, muspy.Track(max(program, 0), program == _DRUM_TRACK, self._name(key)))
            track.notes += [muspy.Note(*row) for row in rows]
            track.lyrics += lyrics[key]
        if len(tracks) == 1:
            next(iter(tracks.values())).name = self._name(_DRUMS)
        for track in tracks.values():
            track.notes.sort(key=attrgetter("time", "pitch", "duration", "velocity"))
            track.lyrics.sort(key=attrgetter("time"))
        return list(tracks.values())

    def _name(self, key: str) -> str | None:
        """The name of one instrument of the part, or of the whole part for drums."""
        instrument = self.instruments.get(key, next(iter(self.instruments.values())))
        whole, own = (" ".join(name.split()) for name in (instrument.part_name, instrument.name))
        return (whole or own if key == _DRUMS else own or whole) or None

    def _read_measure(self, element: Element) -> None:
        measure = Measure()
        self.measures.append(measure)
        cursor = onset = 0  # onset: of the last note, also for the rest of its chord
        graces: list[list[Note]] = []  # chords of grace notes before their main note
        for child in element:
            if child.tag == "note":
                is_chord, is_grace = child.find("chord") is not None, child.find("grace") is not None
                duration = 0 if is_grace else self._ticks(child)
                if not is_chord:
                    onset = cursor
                    cursor += duration
                note = self._note(child, onset, duration)
                if is_grace:
                    if note and is_chord and graces:
                        graces[-1].append(note)
                    elif note:
                        graces.append([note])
                    continue
                self._place_graces(measure, graces, onset)
                if note:
                    measure.notes.append(note)
                    self._read_lyrics(child, measure, note)
            elif child.tag in ("backup", "forward"):
                self._place_graces(measure, graces, cursor)
                cursor = max(cursor + self._ticks(child) * (1 if child.tag == "forward" else -1), 0)
            elif child.tag == "attributes":
                self._read_attributes(child, measure, cursor)
            elif child.tag in ("direction", "sound"):
                self._read_direction(child, measure, cursor)
            measure.length = max(measure.length, cursor)
        self._place_graces(measure, graces, cursor)

    def _note(self, element: Element, onset: int, duration: int) -> Note | None:
        """The sounding note; None for rests, cues, and notes without a pitch."""
        if element.find("rest") is not None or element.find("cue") is not None:
            return None
        number = _attribute(element.find("instrument"), "id")
        if number not in self.instruments:
            number = next(iter(self.instruments))
        pitch = self._pitch(element, self.instruments[number])
        if pitch is None:
            return None
        if self.instruments[number].is_drum or element.find("unpitched") is not None:
            number = _DRUMS
        ties = {tie.get("type") for tie in [*element.findall("tie"), *element.findall("notations/tied")]}
        velocity = self._velocity
        if "dynamics" in element.attrib:
            velocity = _velocity(element.get("dynamics"))
        voice = element.findtext("voice", "")
        return Note(onset, max(duration, 1), pitch, velocity, number, voice, "stop" in ties, "start" in ties)

    def _pitch(self, element: Element, instrument: Instrument) -> int | None:
        """The sounding MIDI pitch."""
        pitch, prefix = element.find("pitch"), ""
        if pitch is None:
            if instrument.drum is not None:
                return instrument.drum
            pitch, prefix = element.find("unpitched"), "display-"
        if pitch is None or (step := _STEPS.get(pitch.findtext(f"{prefix}step", "").strip())) is None:
            return None
        value = 12 * (number(pitch.findtext(f"{prefix}octave")) + 1) + step + number(pitch.findtext("alter"))
        if not prefix:
            staff = element.findtext("staff")
            value += self._transpositions.get(staff, self._transpositions.get(None, 0))
        return round(value) if 0 <= round(value) < 128 else None

    def _place_graces(self, measure: Measure, graces: list[list[Note]], onset: int) -> None:
        length = max(self._resolution // GRACES_PER_BEAT, 1)
        for place, chord in enumerate(reversed(graces), start=1):
            for note in chord:
                measure.notes.append(note._replace(position=onset - place * length, duration=length, tied_to=False))
        graces.clear()

    def _read_lyrics(self, element: Element, measure: Measure, note: Note) -> None:
        # The first verse only: the others would be simultaneous.
        text = "".join(element.findtext("lyric/text") or "").strip()
        if text:
            measure.lyrics.append((note.position, text, note.instrument))

    def _read_attributes(self, element: Element, measure: Measure, cursor: int) -> None:
        if (divisions := number(element.findtext("divisions"))) > 0:
            self._divisions = divisions
        for transpose in element.findall("transpose"):
            semitones = number(transpose.findtext("chromatic")) + 12 * number(transpose.findtext("octave-change"))
            self._transpositions[transpose.get("number")] = round(semitones)
        for key in element.findall("key")[:1]:
            if key.find("fifths") is not None:
                mode = key.findtext("mode", "").strip().lower()
                fifths = _concert_key(round(number(key.findtext("fifths"))), self._transpositions.get(None, 0))
                measure.keys[cursor] = (fifths, mode if mode in ("major", "minor") else None)
        for time in element.findall("time")[:1]:
            above = sum(round(number(beats)) for beats in time.findtext("beats", "").split("+"))
            below = round(number(time.findtext("beat-type")))
            if above > 0 and below > 0:
                measure.times[cursor] = (above, below)

    def _read_direction(self, element: Element, measure: Measure, cursor: int) -> None:
        sound = element if element.tag == "sound" else element.find("sound")
        if sound is not None and "dynamics" in sound.attrib:
            self._velocity = _velocity(sound.get("dynamics"))
        tempo = number(_attribute(sound, "tempo"))
        metronome = element.find("direction-type/metronome")
        if tempo <= 0 and metronome is not None:
            dots = len(metronome.findall("beat-unit-dot"))
            unit = _BEATS.get(metronome.findtext("beat-unit", ""), 0) * (2 - 0.5**dots)
            tempo = unit * number(metronome.findtext("per-minute"))
        if tempo > 0:
            offset = round(number(element.findtext("offset")) * self._resolution / self._divisions)
            measure.tempos.setdefault(max(cursor + offset, 0), tempo)

    def _ticks(self, element: Element) -> int:
        return max(round(number(element.findtext("duration")) * self._resolution / self._divisions), 0)


def number(text: str | None) -> float:
    """A number in a score; 0 if it is missing, invalid, or 1e9 or more."""
    try:
        value = float(text or 0)
    except ValueError:
        return 0
    return value if math.isfinite(value) and abs(value) < 1e9 else 0


def _tied(note: Note, time: int, open_ties: list[tuple[list[int], str]], gap: int) -> list[int] | None:
    """Extend the note to which this one is tied, and return it; of several, one that ends here in the same voice.

    Ties may span gaps of up to `gap` ticks, as in arpeggios whose notes are all held to the end.
    """
    if not note.tied_from:
        return None

    def distance(tie: tuple[list[int], str]) -> tuple[int, bool]:
        (onset, _, duration, _), voice = tie
        return abs(time - onset - duration), voice != note.voice

    tie = min(open_ties, key=distance, default=None)
    if tie is None or distance(tie)[0] > gap or tie[0][0] >= time:
        return None
    open_ties.remove(tie)
    tie[0][2] = time + note.duration - tie[0][0]
    return tie[0]


def _program(instrument: Instrument, sung: bool) -> int:
    return program_of(instrument.sound, instrument.name, instrument.part_name, instrument.program, sung)


def _concert_key(fifths: int, transposition: int) -> int:
    """The sounding key of a transposing part, with at most seven sharps or flats."""
    shift = (7 * transposition + 6) % 12 - 6
    sounding = fifths + shift
    return sounding - 12 if sounding > 7 else sounding + 12 if sounding < -7 else sounding


def _velocity(per_cent: str | None) -> int:
    return min(max(round(number(per_cent) * _FORTE / 100), 1), 127)


def _attribute(element: Element | None, name: str) -> str:
    return "" if element is None else element.get(name, "")


def read_instruments(score_parts: Iterable[Element]) -> dict[str, dict[str, Instrument]]:
    """Read the part list: the instruments of each part, by their ids."""
    parts, score_parts = {}, list(score_parts)
    choir = choir_parts(part.findtext("part-name") or "" for part in score_parts)
    for part, sings in zip(score_parts, choir, strict=True):
        part_name = part.findtext("part-name") or ""
        midi = {element.get("id"): element for element in part.findall("midi-instrument")}
        instruments = {}
        for element in part.findall("score-instrument") or [Element("score-instrument", id="")]:
            played = midi.get(element.get("id"), next(iter(midi.values()), Element("midi-instrument")))
            program = _from_one(played.findtext("midi-program"))
            name, sound = element.findtext("instrument-name") or "", element.findtext("instrument-sound") or ""
            if sings and program is None and not name and not sound:
                sound = "voice"
            instruments[element.get("id", "")] = Instrument(
                part_name,
                name,
                sound,
                program,
                _from_one(played.findtext("midi-unpitched")),
                round(number(played.findtext("midi-channel"))) == _DRUM_CHANNEL,
            )
        parts[part.get("id", "")] = instruments
    return parts


def _from_one(text: str | None) -> int | None:
    """Convert a program or drum key, which MusicXML counts from 1."""
    value = round(number(text)) - 1
    return value if 0 <= value < 128 else None
