"""Writing MusicXML: a `muspy.Music` becomes a score with one part per track.

`layout` places the notes; here they are split into note values and tied. Nothing is rounded: a length that no note value has is
written without one. muspy's writer loses programs, velocities and drums, and both it and music21 take ten seconds for a quartet.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from mmt.music.writing.drum_kit import drum
from mmt.music.writing.layout import Bars, Chord, bars_of, lay_out
from mmt.music.writing.midi import sharps
from mmt.music.writing.notation import Clef, Shape, Spelling, accidentals, clefs, octave, spelled, values
from mmt.representation.instruments import GENERAL_MIDI_NAMES
from mmt.representation.notes import DEFAULT_VELOCITY

if TYPE_CHECKING:
    import muspy

_CONTAINER = '<?xml version="1.0"?><container><rootfiles><rootfile full-path="score.xml"/></rootfiles></container>'


@dataclass(frozen=True)
class _Place:
    """Voice from 0, staff from 1 (0 for a single staff), and whether the voice is the first of its staff."""

    voice: int
    staff: int
    leads: bool
    signs: frozenset[tuple[int, int, int]] = frozenset()
    """The notes of the bar that need an accidental: (onset, staff, pitch)."""


def write_musicxml(path: Path, music: muspy.Music) -> None:
    """Write music as a MusicXML score, compressed if the suffix is .mxl.

    A `ValueError` refuses music that is too long for a score, and time signatures and pitches that MusicXML does not have.
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
    bars = bars_of(music)
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


def _list_part(part_list: Element, number: str, index: int, track: muspy.Track) -> None:
    """Add a part to the part list, with its name and instrument; each drum is an instrument of its own."""
    instrument = "Drums" if track.is_drum else GENERAL_MIDI_NAMES[track.program]
    part = SubElement(part_list, "score-part", id=number)
    _text(part, "part-name", track.name or instrument)
    keys = sorted({note.pitch for note in track.notes}) if track.is_drum else [None]
    for key in keys:
        name = instrument if key is None else drum(key).name
        _text(SubElement(part, "score-instrument", id=_instrument(number, key)), "instrument-name", name)
    for key in keys:
        midi = SubElement(part, "midi-instrument", id=_instrument(number, key))
        melodic = [channel for channel in range(1, 17) if channel != 10]
        _text(midi, "midi-channel", 10 if track.is_drum else melodic[index % len(melodic)])
        _text(midi, "midi-program", track.program + 1)
        if key is not None:
            _text(midi, "midi-unpitched", key + 1)


def _instrument(part: str, key: int | None) -> str:
    return f"{part}-I{1 if key is None else key + 1}"


def _write_part(part: Element, track: muspy.Track, bars: Bars, leads: bool) -> None:
    staves = clefs(track)
    layout = lay_out(track, bars, len(staves))
    spelling, fifths = spelled(0 if track.is_drum else bars.key), 0
    for bar, (start, end) in enumerate(zip(bars.starts, bars.starts[1:], strict=False)):
        measure = SubElement(part, "measure", number=str(bar + 1))
        if bar in bars.keys:
            fifths = sharps(bars.keys[bar]) or 0
            spelling = spelled(0 if track.is_drum else fifths)
        _attributes(measure, bar, bars, staves)
        for tempo in bars.tempos[bar] if leads and bar in bars.tempos else ():
            _direct_tempo(measure, tempo, tempo.time * bars.scale - start)
        signs = frozenset() if track.is_drum else accidentals(layout.sounding(bar), spelling, fifths)
        for place, voice in enumerate(layout.voices[bar]):
            if place:
                _text(SubElement(measure, "backup"), "duration", end - start)
            staff = layout.staff_of[voice] + 1 if len(staves) > 1 else 0
            where = _Place(voice, staff, layout.leads(voice), signs)
            cursor = start
            for chord in layout.chords[bar, voice]:
                _rest(measure, cursor, chord.onset, where, bars.divisions)
                _write_chord(
                    measure, chord, where, bars.divisions, spelling, part.get("id", "") if track.is_drum else ""
                )
                cursor = chord.end
            _rest(measure, cursor, end, where, bars.divisions)


def _attributes(measure: Element, bar: int, bars: Bars, staves: tuple[Clef, ...]) -> None:
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
    """Write silence: rests in the first voice of a staff, nothing visible in the others."""
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


def _write_chord(measure: Element, chord: Chord, where: _Place, divisions: int, names: Spelling, drums: str) -> None:
    pieces = list(values(chord.end - chord.onset, divisions))
    for place, (length, shape) in enumerate(pieces):
        ties = (("stop", place > 0 or chord.tied_from), ("start", place < len(pieces) - 1 or chord.tied_to))
        for index, written in enumerate(chord.notes):
            velocity = DEFAULT_VELOCITY if written.velocity is None else written.velocity
            # In per cent of MusicXML's forte, velocity 90.
            note = SubElement(measure, "note", dynamics=f"{velocity / 0.9:.2f}")
            if index:
                SubElement(note, "chord")
            if drums:
                _unpitched(note, written.pitch)
            else:
                _pitch(note, written.pitch, names, is_tied=any(tied for _, tied in ties))
            _text(note, "duration", length)
            for kind, is_tied in ties:
                if is_tied:
                    SubElement(note, "tie", type=kind)
            if drums:
                SubElement(note, "instrument", id=_instrument(drums, written.pitch))
            _text(note, "voice", where.voice + 1)
            sign = not place and (chord.onset, max(where.staff - 1, 0), written.pitch) in where.signs
            _shape(note, shape, names[written.pitch % 12][1] if sign else None)
            if drums and (head := drum(written.pitch).head) != "normal":
                _text(note, "notehead", head)
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


def _pitch(note: Element, pitch: int, names: Spelling, is_tied: bool) -> None:
    step, alter = names[pitch % 12]
    element = SubElement(note, "pitch")
    _text(element, "step", step)
    # music21 ties notes only if both or neither have an alter of 0: tied notes always have one.
    if alter or is_tied:
        _text(element, "alter", alter)
    _text(element, "octave", octave(pitch, alter))


def _unpitched(note: Element, key: int) -> None:
    """Write the place of a drum on the staff; the note's instrument identifies the drum."""
    element, shown = SubElement(note, "unpitched"), drum(key)
    _text(element, "display-step", shown.step)
    _text(element, "display-octave", shown.octave)


def _shape(note: Element, shape: Shape | None, sign: int | None = None) -> None:
    """Write the note value and the accidental: 1, -1, 0 for a natural, None for no sign."""
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
    # XML cannot hold control characters.
    printable = "".join(sign if sign.isprintable() else " " for sign in str(text))
    SubElement(parent, tag, attributes).text = printable
