"""Writing MusicXML: a `muspy.Music` becomes a score with one part a track.

Notes are split at bar lines and into values that notation has, and tied; notes that begin and end together are a chord, and
what overlaps is dealt into voices. Nothing is rounded: what is off every grid gets no note shape, only its length. Our own
writer: muspy's loses programs, velocities and drums, and both its and music21's take ten seconds for a quartet.
"""

from __future__ import annotations

import zipfile
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from mmt.music.midi_writing import sharps
from mmt.music.notation import Shape, Spelling, accidentals, likely_key, octave, spelled, values
from mmt.music.staves import MIDDLE_C, Clef, clefs
from mmt.representation.instruments import GENERAL_MIDI_NAMES
from mmt.representation.notes import DEFAULT_VELOCITY

if TYPE_CHECKING:
    import muspy

_MOST_MEASURES = 50_000
_CONTAINER = '<?xml version="1.0"?><container><rootfiles><rootfile full-path="score.xml"/></rootfiles></container>'


@dataclass(frozen=True)
class _Chord:
    """Notes that begin and end together, in divisions, or the piece of them within a bar."""

    onset: int
    end: int
    notes: tuple[muspy.Note, ...]
    tied_from: bool = False
    tied_to: bool = False
    lyric: str | None = None


@dataclass(frozen=True)
class _Place:
    """Where notes stand: their voice from 0, their staff from 1 (0 where there is but one), whether the voice leads it."""

    voice: int
    staff: int
    leads: bool
    signs: frozenset[tuple[int, int, int]] = frozenset()
    """Which notes of the bar need an accidental: (onset, staff, pitch)."""


@dataclass(frozen=True)
class _Bars:
    """The bars of a piece: their beginnings in divisions, with one more for the end, and the signatures that change."""

    divisions: int
    scale: int
    starts: list[int]
    signatures: dict[int, tuple[int, int]]
    keys: dict[int, muspy.KeySignature]
    tempos: dict[int, list[muspy.Tempo]]
    key: int
    """Until a key is given: the sharps (flats below 0) of the one by which notes are spelled."""

    def at(self, time: int) -> int:
        """The bar in which a time lies."""
        return min(bisect_right(self.starts, time), len(self.starts) - 1) - 1


def write_musicxml(path: Path, music: muspy.Music) -> None:
    """Write music as a MusicXML score; compressed if the suffix is .mxl.

    Raises
    ------
    ValueError
        If the music is too long for a score, or has a time signature or a pitch that scores do not have.
    """
    text = b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(score(music), encoding="utf-8")
    if path.suffix.lower() != ".mxl":
        path.write_bytes(text)
        return
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", _CONTAINER)
        archive.writestr("score.xml", text)


def score(music: muspy.Music) -> Element:
    """The root element of a score.

    Examples
    --------
    >>> import muspy
    >>> root = score(muspy.Music(resolution=12, tracks=[muspy.Track(program=40, notes=[muspy.Note(0, 60, 60)])]))
    >>> [note.findtext("type") for note in root.iter("note")]  # tied over the bar line, then rests
    ['whole', 'quarter', 'half']
    """
    bars = _bars(music)
    root = Element("score-partwise", version="4.0")
    if music.metadata.title:
        _text(SubElement(root, "work"), "work-title", music.metadata.title)
    identification = SubElement(root, "identification")
    for place, creator in enumerate(music.metadata.creators):
        _text(identification, "creator", creator, **({} if place else {"type": "composer"}))
    if music.metadata.copyright:
        _text(identification, "rights", music.metadata.copyright)
    part_list = SubElement(root, "part-list")
    for index, track in enumerate(music.tracks):
        _list_part(part_list, f"P{index + 1}", index, track)
    for index, track in enumerate(music.tracks):
        _write_part(SubElement(root, "part", id=f"P{index + 1}"), track, bars, leads=index == 0)
    return root


def _bars(music: muspy.Music) -> _Bars:
    """Bar lines: a bar that a new time signature interrupts is cut short there."""
    if not music.resolution or music.resolution < 1:
        raise ValueError(f"the music has resolution {music.resolution}; it must be at least 1 step per beat")
    signatures = {0: (4, 4)} | {s.time: (s.numerator, s.denominator) for s in music.time_signatures if s.time >= 0}
    lengths = []
    for above, below in signatures.values():
        if above < 1 or below < 1 or below & (below - 1) or below > 64:
            raise ValueError(f"a time signature of {above}/{below} cannot be written in a score")
        lengths.append(Fraction(4 * above * music.resolution, below))
    scale = max(length.denominator for length in lengths)
    changes = sorted(signatures)
    last = max((note.time + max(note.duration, 1) for track in music.tracks for note in track.notes), default=1)
    starts = [0]
    for change, following in zip(changes, [*changes[1:], None], strict=True):
        above, below = signatures[change]
        length = 4 * above * music.resolution * scale // below
        until = scale * (last if following is None else min(following, last))
        if (until - starts[-1]) / length > _MOST_MEASURES:
            raise ValueError(f"the music is {last / music.resolution:,.0f} beats long, too long for a score")
        while starts[-1] < until:
            starts.append(starts[-1] + length if following is None else min(starts[-1] + length, until))
    key = likely_key(note.pitch for track in music.tracks if not track.is_drum for note in track.notes)
    bars = _Bars(music.resolution * scale, scale, starts, {}, {}, defaultdict(list), key)
    bars.signatures.update({bars.at(time * scale): value for time, value in signatures.items() if time < last})
    bars.keys.update({bars.at(key.time * scale): key for key in music.key_signatures if 0 <= key.time < last})
    for tempo in music.tempos:
        if 0 <= tempo.time < last and tempo.qpm > 0:
            bars.tempos[bars.at(tempo.time * scale)].append(tempo)
    return bars


def _list_part(part_list: Element, number: str, index: int, track: muspy.Track) -> None:
    """A part's entry in the list of parts: its name, and what plays it. Each drum is an instrument of its own."""
    instrument = "Drums" if track.is_drum else GENERAL_MIDI_NAMES[track.program]
    part = SubElement(part_list, "score-part", id=number)
    _text(part, "part-name", track.name or instrument)
    drums = sorted({note.pitch for note in track.notes}) if track.is_drum else [None]
    for drum in drums:
        _text(SubElement(part, "score-instrument", id=_instrument(number, drum)), "instrument-name", instrument)
    for drum in drums:
        midi = SubElement(part, "midi-instrument", id=_instrument(number, drum))
        melodic = [channel for channel in range(1, 17) if channel != 10]
        _text(midi, "midi-channel", 10 if track.is_drum else melodic[index % len(melodic)])
        _text(midi, "midi-program", track.program + 1)
        if drum is not None:
            _text(midi, "midi-unpitched", drum + 1)


def _instrument(part: str, drum: int | None) -> str:
    return f"{part}-I{1 if drum is None else drum + 1}"


def _write_part(part: Element, track: muspy.Track, bars: _Bars, leads: bool) -> None:
    staves = clefs(track)
    cells: dict[tuple[int, int], list[_Chord]] = defaultdict(list)
    # Each staff's first voice is there in every bar, with rests if need be.
    voices: dict[int, list[int]] = {bar: [] for bar in range(len(bars.starts) - 1)}
    staff_of_voice: dict[int, int] = {}
    for staff, chords in enumerate(_chords_of_staves(track, bars.scale, len(staves))):
        dealt = _voices(chords)
        first = max(staff_of_voice, default=-1) + 1
        staff_of_voice |= dict.fromkeys(range(first, first + 1 + max((v for _, v in dealt), default=0)), staff)
        for chord, voice in dealt:
            for bar, piece in _cut(chord, bars):
                cells[bar, first + voice].append(piece)
        for bar, of_bar in voices.items():
            of_bar += [
                voice for voice, on in staff_of_voice.items() if on == staff and (voice == first or cells[bar, voice])
            ]
    spelling, fifths = spelled(0 if track.is_drum else bars.key), 0
    for bar, (start, end) in enumerate(zip(bars.starts, bars.starts[1:], strict=False)):
        measure = SubElement(part, "measure", number=str(bar + 1))
        if bar in bars.keys:
            fifths = sharps(bars.keys[bar]) or 0
            spelling = spelled(0 if track.is_drum else fifths)
        _attributes(measure, bar, bars, staves)
        for tempo in bars.tempos[bar] if leads and bar in bars.tempos else ():
            _direct_tempo(measure, tempo, tempo.time * bars.scale - start)
        signs = (
            frozenset()
            if track.is_drum
            else accidentals(_sung(cells, bar, voices[bar], staff_of_voice), spelling, fifths)
        )
        for place, voice in enumerate(voices[bar]):
            if place:
                _text(SubElement(measure, "backup"), "duration", end - start)
            staff = staff_of_voice[voice]
            where = _Place(voice, staff + 1 if len(staves) > 1 else 0, staff_of_voice.get(voice - 1) != staff, signs)
            cursor = start
            for chord in cells[bar, voice]:
                _rest(measure, cursor, chord.onset, where, bars.divisions)
                _write_chord(
                    measure, chord, where, bars.divisions, spelling, part.get("id", "") if track.is_drum else ""
                )
                cursor = chord.end
            _rest(measure, cursor, end, where, bars.divisions)


def _sung(
    cells: dict[tuple[int, int], list[_Chord]], bar: int, voices: list[int], staff_of_voice: dict[int, int]
) -> Iterator[tuple[int, int, int, bool]]:
    for voice in voices:
        for chord in cells[bar, voice]:
            for note in chord.notes:
                yield chord.onset, staff_of_voice[voice], note.pitch, chord.tied_from


def _chords_of_staves(track: muspy.Track, scale: int, count: int) -> list[list[_Chord]]:
    chords = _chords(track, scale)
    if count == 1:
        return [chords]
    staves: list[list[_Chord]] = [[], []]
    for chord in chords:
        upper = tuple(note for note in chord.notes if note.pitch >= MIDDLE_C)
        lower = tuple(note for note in chord.notes if note.pitch < MIDDLE_C)
        for staff, notes in zip(staves, (upper, lower), strict=True):
            if notes:
                staff.append(replace(chord, notes=notes, lyric=None if staff is staves[1] and upper else chord.lyric))
    return staves


def _chords(track: muspy.Track, scale: int) -> list[_Chord]:
    """Notes that share onset and end, in order of onset, the longest first."""
    for note in track.notes:
        if note.time < 0 or not 0 <= note.pitch < 128:
            raise ValueError(
                f"a note at time {note.time} has pitch {note.pitch}; times are 0 or more, pitches 0 to 127"
            )
    lyrics = {lyric.time: lyric.lyric for lyric in track.lyrics}
    ordered = sorted(track.notes, key=lambda note: (note.time, -max(note.duration, 1), note.pitch))
    chords = []
    for (time, duration), notes in groupby(ordered, key=lambda note: (note.time, max(note.duration, 1))):
        onset, end = int(time) * scale, int(time + duration) * scale
        chords.append(_Chord(onset, end, tuple(notes), lyric=lyrics.pop(time, None)))
    return chords


def _voices(chords: list[_Chord]) -> list[tuple[_Chord, int]]:
    """Each chord with the first voice that is free when it begins."""
    ends: list[int] = []
    dealt = []
    for chord in chords:
        voice = next((place for place, end in enumerate(ends) if end <= chord.onset), len(ends))
        ends[voice:] = [chord.end, *ends[voice + 1 :]]
        dealt.append((chord, voice))
    return dealt


def _cut(chord: _Chord, bars: _Bars) -> Iterator[tuple[int, _Chord]]:
    """The pieces of a chord, (bar, piece), tied over the bar lines."""
    for bar in range(bars.at(chord.onset), len(bars.starts) - 1):
        start, end = bars.starts[bar], bars.starts[bar + 1]
        if start >= chord.end:
            return
        before, after = chord.onset < start, chord.end > end
        lyric = None if before else chord.lyric
        yield bar, _Chord(max(chord.onset, start), min(chord.end, end), chord.notes, before, after, lyric)


def _attributes(measure: Element, bar: int, bars: _Bars, staves: tuple[Clef, ...]) -> None:
    if bar and bar not in bars.keys and bar not in bars.signatures:
        return
    attributes = SubElement(measure, "attributes")
    if bar == 0:
        _text(attributes, "divisions", bars.divisions)
    if bar in bars.keys and (fifths := sharps(bars.keys[bar])) is not None:
        key = SubElement(attributes, "key")
        _text(key, "fifths", fifths)
        if bars.keys[bar].mode in ("major", "minor"):
            _text(key, "mode", bars.keys[bar].mode)
    if bar in bars.signatures:
        time = SubElement(attributes, "time")
        _text(time, "beats", bars.signatures[bar][0])
        _text(time, "beat-type", bars.signatures[bar][1])
    if bar:
        return
    if len(staves) > 1:
        _text(attributes, "staves", len(staves))
    for number, clef in enumerate(staves, 1):
        sign = SubElement(attributes, "clef", {"number": str(number)} if len(staves) > 1 else {})
        _text(sign, "sign", clef.sign)
        if clef.line is not None:
            _text(sign, "line", clef.line)
        if clef.octave:
            _text(sign, "clef-octave-change", clef.octave)


def _direct_tempo(measure: Element, tempo: muspy.Tempo, offset: int) -> None:
    direction = SubElement(measure, "direction", placement="above")
    metronome = SubElement(SubElement(direction, "direction-type"), "metronome")
    _text(metronome, "beat-unit", "quarter")
    _text(metronome, "per-minute", f"{tempo.qpm:g}")
    if offset:
        _text(direction, "offset", offset, sound="yes")
    SubElement(direction, "sound", tempo=repr(float(tempo.qpm)))


def _rest(measure: Element, start: int, end: int, where: _Place, divisions: int) -> None:
    """Silence: rests in a staff's first voice, nothing visible in the others."""
    if end > start and not where.leads:
        _text(SubElement(measure, "forward"), "duration", end - start)
        return
    for length, shape in values(end - start, divisions):
        note = SubElement(measure, "note")
        SubElement(note, "rest")
        _text(note, "duration", length)
        _text(note, "voice", where.voice + 1)
        _shape(note, shape)
        _staff(note, where)


def _write_chord(measure: Element, chord: _Chord, where: _Place, divisions: int, names: Spelling, drums: str) -> None:
    pieces = list(values(chord.end - chord.onset, divisions))
    for place, (length, shape) in enumerate(pieces):
        ties = (("stop", place > 0 or chord.tied_from), ("start", place < len(pieces) - 1 or chord.tied_to))
        for index, written in enumerate(chord.notes):
            velocity = DEFAULT_VELOCITY if written.velocity is None else written.velocity
            # Per cent of MusicXML's forte, 90.
            note = SubElement(measure, "note", dynamics=f"{velocity / 0.9:.2f}")
            if index:
                SubElement(note, "chord")
            _pitch(note, written.pitch, names, drums, is_tied=any(tied for _, tied in ties))
            _text(note, "duration", length)
            for kind, is_tied in ties:
                if is_tied:
                    SubElement(note, "tie", type=kind)
            if drums:
                SubElement(note, "instrument", id=_instrument(drums, written.pitch))
            _text(note, "voice", where.voice + 1)
            sign = not place and (chord.onset, max(where.staff - 1, 0), written.pitch) in where.signs
            _shape(note, shape, names[written.pitch % 12][1] if sign else None)
            _staff(note, where)
            tied = [kind for kind, is_tied in ties if is_tied]
            notations = SubElement(note, "notations") if tied else note
            for kind in tied:
                SubElement(notations, "tied", type=kind)
            if chord.lyric and not index and not place:
                _text(SubElement(note, "lyric"), "text", chord.lyric)


def _staff(note: Element, where: _Place) -> None:
    if where.staff:
        _text(note, "staff", where.staff)


def _pitch(note: Element, pitch: int, names: Spelling, drums: str, is_tied: bool) -> None:
    step, alter = names[pitch % 12]
    element, prefix = (SubElement(note, "unpitched"), "display-") if drums else (SubElement(note, "pitch"), "")
    _text(element, f"{prefix}step", step)
    # To music21 a natural that is written is another pitch than one that is not: what is tied says so throughout.
    if (alter or is_tied) and not drums:
        _text(element, "alter", alter)
    _text(element, f"{prefix}octave", octave(pitch, alter))


def _shape(note: Element, shape: Shape | None, sign: int | None = None) -> None:
    """The note's value, and its accidental: 1, -1, 0 for a natural, None for no sign."""
    name, dots, in_triplet = shape or ("", 0, False)
    if name:
        _text(note, "type", name)
    for _ in range(dots):
        SubElement(note, "dot")
    if sign is not None:
        _text(note, "accidental", {1: "sharp", -1: "flat", 0: "natural"}[sign])
    if in_triplet:
        modification = SubElement(note, "time-modification")
        _text(modification, "actual-notes", 3)
        _text(modification, "normal-notes", 2)


def _text(parent: Element, tag: str, text: object, **attributes: str) -> None:
    # What XML cannot hold, the control characters, would make the whole file unreadable.
    printable = "".join(sign if sign.isprintable() else " " for sign in str(text))
    SubElement(parent, tag, attributes).text = printable
