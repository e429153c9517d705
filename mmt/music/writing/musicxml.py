"""Writing MusicXML: a `muspy.Music` becomes a score with one part per track.

`layout` places the notes, `note_values` splits them into values and tuplets. muspy's writer loses programs, velocities and drums,
and both it and music21 take ten seconds for a quartet.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from mmt.music.bounded import printable
from mmt.music.pictures.colors import in_score_order, title_of
from mmt.music.writing.bars import Bars, bars_of
from mmt.music.writing.channels import DRUM_CHANNEL, MELODIC_CHANNELS
from mmt.music.writing.drum_kit import drum
from mmt.music.writing.layout import Chord, Placed, lay_out, lyrics_by_note, place_notes, written_notes
from mmt.music.writing.midi import sharps
from mmt.music.writing.notation import Clef, Spelling, accidentals, clefs, octave, spelled
from mmt.music.writing.note_values import Value, note_values
from mmt.representation.instruments import GENERAL_MIDI_NAMES
from mmt.representation.notes import DEFAULT_VELOCITY, LeftOutWarning

if TYPE_CHECKING:
    import muspy

_CONTAINER = '<?xml version="1.0"?><container><rootfiles><rootfile full-path="score.xml"/></rootfiles></container>'


@dataclass(frozen=True)
class _Voice:
    """A voice in a bar of a part; it, its staff and the staves of the part are numbered from 0."""

    part: str
    is_drum: bool
    number: int
    leads: bool
    """Whether it is the first voice of its staff."""
    staff: int
    has_staves: bool
    """Whether the part has more than one staff."""
    spelling: Spelling
    signs: frozenset[tuple[int, int, int]]
    """The notes of the bar that need an accidental: (onset, staff, pitch)."""


def write_musicxml(path: Path, music: muspy.Music) -> None:
    """Write music as a MusicXML score, compressed if the suffix is .mxl.

    Music without a title, key signature or order of parts gets a title that names the instruments, the key that its notes
    suggest, and its instruments in score order. A `LeftOutWarning` says how many notes lie between note values, as in a recorded
    performance, and are moved, and how many lyrics are at no note and left out. A `ValueError` refuses music that is too long for
    a score, and time signatures and pitches that MusicXML does not have.
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

    >>> import muspy
    >>> root = score(muspy.Music(resolution=12, tracks=[muspy.Track(program=40, notes=[muspy.Note(0, 60, 60)])]))
    >>> [note.findtext("type") for note in root.iter("note")]  # tied over the bar line, then rests
    ['whole', 'quarter', 'half']
    """
    import muspy

    # A score needs a part, also without a note.
    tracks = in_score_order(music.tracks) or [muspy.Track(0)]
    placed, bars, moved = place_notes(tracks, bars_of(music))
    lyrics, lost = lyrics_by_note(music, tracks)
    if moved:
        count = sum(map(len, placed))
        message = f"{moved:,} of {count:,} notes lie between note values; the score has them at the nearest ones"
        warnings.warn(message, LeftOutWarning, stacklevel=3)
    if lost:
        warnings.warn(f"lyrics that are at no note, and not in the score: {lost:,}", LeftOutWarning, stacklevel=3)
    root = Element("score-partwise", version="4.0")
    _text(SubElement(root, "work"), "work-title", title_of(music))
    identification = SubElement(root, "identification")
    for place, creator in enumerate(music.metadata.creators):
        _text(identification, "creator", creator, **({} if place else {"type": "composer"}))
    if music.metadata.copyright:
        _text(identification, "rights", music.metadata.copyright)
    part_list = SubElement(root, "part-list")
    for index, track in enumerate(tracks):
        _list_part(part_list, index, track)
    for index, (track, notes, words) in enumerate(zip(tracks, placed, lyrics, strict=True)):
        _write_part(SubElement(root, "part", id=f"P{index + 1}"), track, notes, words, bars, has_tempos=index == 0)
    return root


def _list_part(part_list: Element, index: int, track: muspy.Track) -> None:
    """Add a part to the part list, with its name and instrument; each drum is an instrument of its own."""
    if not 0 <= track.program < 128:
        raise ValueError(f"part {index + 1} has program {track.program}; programs are 0 to 127")
    number = f"P{index + 1}"
    instrument = "Drums" if track.is_drum else GENERAL_MIDI_NAMES[track.program]
    part = SubElement(part_list, "score-part", id=number)
    _text(part, "part-name", track.name or instrument)
    keys = sorted({note.pitch for note in track.notes}) if track.is_drum else [None]
    for key in keys:
        name = instrument if key is None else drum(key).name
        _group(part, "score-instrument", {"instrument-name": name}, id=_instrument(number, key))
    for key in keys:
        channel = DRUM_CHANNEL if track.is_drum else MELODIC_CHANNELS[index % len(MELODIC_CHANNELS)]
        unpitched = None if key is None else key + 1
        texts = {"midi-channel": channel + 1, "midi-program": track.program + 1, "midi-unpitched": unpitched}
        _group(part, "midi-instrument", texts, id=_instrument(number, key))


def _instrument(part: str, key: int | None) -> str:
    return f"{part}-I{1 if key is None else key + 1}"


def _write_part(
    element: Element, track: muspy.Track, notes: list[Placed], lyrics: dict[int, str], bars: Bars, has_tempos: bool
) -> None:
    staves = clefs(track)
    layout = lay_out(lyrics, notes, bars, len(staves))
    fifths, pickup = bars.key, bars.has_pickup()
    for bar, (start, end) in enumerate(pairwise(bars.starts)):
        measure = SubElement(element, "measure", number=str(bar + (not pickup)))
        if pickup and bar == 0:
            measure.set("implicit", "yes")
        if bar in bars.keys:
            fifths = sharps(bars.keys[bar]) or 0
        _attributes(measure, bar, bars, staves)
        for tempo in bars.tempos.get(bar, ()) if has_tempos else ():
            _direct_tempo(measure, tempo, tempo.time * bars.scale - start)
        spelling = spelled(0 if track.is_drum else fifths)
        signs = frozenset() if track.is_drum else accidentals(written_notes(layout[bar]), spelling, fifths)
        for place, (number, staff, leads, chords) in enumerate(layout[bar]):
            if place:
                _text(SubElement(measure, "backup"), "duration", end - start)
            part = element.get("id", "")
            voice = _Voice(part, track.is_drum, number, leads, staff, len(staves) > 1, spelling, signs)
            _write_voice(measure, voice, chords, (start, end), bars.divisions)


def _attributes(measure: Element, bar: int, bars: Bars, staves: tuple[Clef, ...]) -> None:
    if bar and bar not in bars.keys and bar not in bars.signatures:
        return
    attributes = SubElement(measure, "attributes")
    if bar == 0:
        _text(attributes, "divisions", bars.divisions)
    given = bars.keys.get(bar)
    fifths = sharps(given) if given else bars.key if bar == 0 else None
    if fifths is not None:
        mode = given.mode if given and given.mode in ("major", "minor") else None
        _group(attributes, "key", {"fifths": fifths, "mode": mode})
    if bar in bars.signatures:
        above, below = bars.signatures[bar]
        _group(attributes, "time", {"beats": above, "beat-type": below})
    if bar:
        return
    if len(staves) > 1:
        _text(attributes, "staves", len(staves))
    for number, clef in enumerate(staves, 1):
        texts = {"sign": clef.sign, "line": clef.line, "clef-octave-change": clef.octave or None}
        _group(attributes, "clef", texts, **({"number": str(number)} if len(staves) > 1 else {}))


def _direct_tempo(measure: Element, tempo: muspy.Tempo, offset: int) -> None:
    direction = SubElement(measure, "direction", placement="above")
    beats = {"beat-unit": "quarter", "per-minute": f"{tempo.qpm:g}"}
    _group(SubElement(direction, "direction-type"), "metronome", beats)
    if offset:
        _text(direction, "offset", offset, sound="yes")
    SubElement(direction, "sound", tempo=repr(float(tempo.qpm)))


def _write_voice(measure: Element, voice: _Voice, chords: list[Chord], bar: tuple[int, int], divisions: int) -> None:
    """Write a voice of a bar: chords, and rests (in voices that are not the first of their staff: invisible or nothing)."""
    if voice.leads and not chords:
        _write_rest(measure, voice, Value(*bar, "")).set("measure", "yes")
        return
    cuts = sorted({*bar, *(time for chord in chords for time in (chord.onset, chord.end))})
    place = 0
    for value in note_values(cuts, divisions):
        while place < len(chords) and chords[place].end <= value.start:
            place += 1
        if place < len(chords) and chords[place].onset <= value.start:
            _write_chord(measure, voice, chords[place].section(value.start, value.end), value)
        elif voice.leads or value.tuplet:
            _write_rest(measure, voice, value)
        else:
            _text(SubElement(measure, "forward"), "duration", value.end - value.start)


def _write_rest(measure: Element, voice: _Voice, value: Value) -> Element:
    """Write a rest, and return its element."""
    note = SubElement(measure, "note", {} if voice.leads else {"print-object": "no"})
    rest = SubElement(note, "rest")
    _text(note, "duration", value.end - value.start)
    _text(note, "voice", voice.number + 1)
    _value(note, value)
    _staff_and_ties(note, voice, value)
    return rest


def _write_chord(measure: Element, voice: _Voice, chord: Chord, value: Value) -> None:
    for index, (written, tied_from, tied_to) in enumerate(chord.tones):
        velocity = DEFAULT_VELOCITY if written.velocity is None else written.velocity
        # In per cent of MusicXML's forte, velocity 90.
        note = SubElement(measure, "note", dynamics=f"{velocity / 0.9:.2f}")
        ties = [kind for kind, is_tied in (("stop", tied_from), ("start", tied_to)) if is_tied]
        if index:
            SubElement(note, "chord")
        _pitch(note, written.pitch, voice, is_tied=bool(ties))
        _text(note, "duration", value.end - value.start)
        for kind in ties:
            SubElement(note, "tie", type=kind)
        if voice.is_drum:
            SubElement(note, "instrument", id=_instrument(voice.part, written.pitch))
        _text(note, "voice", voice.number + 1)
        has_sign = (chord.onset, voice.staff, written.pitch) in voice.signs
        _value(note, value, voice.spelling[written.pitch % 12][1] if has_sign else None)
        if voice.is_drum and (head := drum(written.pitch).head) != "normal":
            _text(note, "notehead", head)
        _staff_and_ties(note, voice, value, ties, is_first=not index)
        if chord.lyric and not index:
            _text(SubElement(note, "lyric"), "text", chord.lyric)


def _staff_and_ties(
    note: Element, voice: _Voice, value: Value, ties: Sequence[str] = (), is_first: bool = True
) -> None:
    """Write the staff, ties, and the bracket of a tuplet at its first and last note."""
    if voice.has_staves:
        _text(note, "staff", voice.staff + 1)
    brackets = []
    if value.tuplet and is_first:
        brackets += ["start"] * (value.start == value.tuplet.start) + ["stop"] * (value.end == value.tuplet.end)
    if not ties and not brackets:
        return
    notations = SubElement(note, "notations")
    for kind in ties:
        SubElement(notations, "tied", type=kind)
    for kind in brackets:
        SubElement(notations, "tuplet", type=kind)


def _pitch(note: Element, pitch: int, voice: _Voice, is_tied: bool) -> None:
    """Write a pitch, or the place of a drum on the staff; the note's instrument identifies the drum."""
    if voice.is_drum:
        _group(note, "unpitched", {"display-step": drum(pitch).step, "display-octave": drum(pitch).octave})
        return
    step, alter = voice.spelling[pitch % 12]
    # music21 ties notes only if both or neither have an alter of 0: tied notes always have one.
    has_alter = alter or is_tied
    _group(note, "pitch", {"step": step, "alter": alter if has_alter else None, "octave": octave(pitch, alter)})


def _value(note: Element, value: Value, sign: int | None = None) -> None:
    """Write the note value and the accidental: 1, -1, 0 for a natural, None for no sign."""
    if value.type:
        _text(note, "type", value.type)
    for _ in range(value.dots):
        SubElement(note, "dot")
    if sign is not None:
        _text(note, "accidental", {1: "sharp", -1: "flat", 0: "natural"}[sign])
    if tuplet := value.tuplet:
        texts = {"actual-notes": tuplet.actual, "normal-notes": tuplet.normal, "normal-type": tuplet.unit}
        _group(note, "time-modification", texts)


def _group(parent: Element, tag: str, texts: Mapping[str, object], **attributes: str) -> None:
    """Add an element with an element for each text that is not None."""
    element = SubElement(parent, tag, attributes)
    for name, text in texts.items():
        if text is not None:
            _text(element, name, text)


def _text(parent: Element, tag: str, text: object, **attributes: str) -> None:
    SubElement(parent, tag, attributes).text = printable(str(text))  # XML cannot hold control characters
