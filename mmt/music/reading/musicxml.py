"""Reading MusicXML scores as they sound.

Repeats and jumps are unfolded, transposing instruments are at sounding pitch, tied notes are one note, and cues are silent. The
length of a measure is that of its longest part, so that parts stay aligned. A grace note takes an eighth of a beat before its
main note. (muspy's reader has programs off by one, misplaces notes after a measure whose last voice ends early, and rejects
valid scores; music21's takes ten times as long.)
"""

from __future__ import annotations

import io
import math
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from mmt.music.reading.repeats import RepeatMarks, playing_order
from mmt.music.reading.score_parts import GRACES_PER_BEAT, ScorePart, number, read_instruments

if TYPE_CHECKING:
    import muspy

Value = TypeVar("Value")

_LARGEST = 128 << 20  # bytes unpacked; a symphony has 30 MB
_HIGHEST_RESOLUTION = 10080  # ticks per beat
_LARGEST_DENOMINATOR = 96  # of decimal durations, taken as fractions
_MODES = {"major": 0, "minor": 9}


def read_musicxml(path: str | os.PathLike[str]) -> muspy.Music:
    """Read a MusicXML score, compressed or not.

    Parameters
    ----------
    path
        The file; its content, not its suffix, says whether it is compressed.

    Returns
    -------
    muspy.Music
        With one track per program of each part with notes, and the smallest resolution that holds all note values.

    Raises
    ------
    ValueError
        If this is no MusicXML; the message names the file.
    OSError
        If the file cannot be opened.

    Examples
    --------
    >>> music = read_musicxml("song.mxl")  # doctest: +SKIP
    >>> [(track.name, track.program) for track in music.tracks]  # doctest: +SKIP
    [('Voice', 52), ('Piano', 0)]
    """
    path = Path(path)
    try:
        music = _music(_root(path))
    except (ValueError, zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error, RuntimeError) as error:
        # zipfile raises all but the first: for files cut short, unknown methods, damage, encryption.
        raise ValueError(f"cannot read {path}: {error or type(error).__name__}") from error
    music.metadata.source_filename = path.name
    return music


def _root(path: Path) -> Element:
    """The score's root element, as score-partwise."""
    data = _limited(path.open("rb"))
    if data.startswith(b"PK"):
        data = _unpacked(data)
    # Entities can expand a small file without limit.
    if b"<!ENTITY" in data or b"<\0!\0E\0N\0T" in data:
        raise ValueError("it declares XML entities, which no MusicXML score has")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError(f"this is not well-formed XML ({error})") from None
    if root.tag == "score-timewise":
        return _partwise(root)
    if root.tag != "score-partwise":
        raise ValueError(f"this is XML, but no MusicXML score (its root is <{root.tag}>)")
    return root


def _limited(file: IO[bytes]) -> bytes:
    with file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"it holds more than {_LARGEST >> 20} MB, which no score does")
    return data


def _unpacked(data: bytes) -> bytes:
    """The score in an .mxl archive: the root file of the container, else the first XML file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        scores = [name for name in names if name.endswith((".xml", ".musicxml")) and not name.startswith("META-INF")]
        if "META-INF/container.xml" in names:
            container = ElementTree.fromstring(_limited(archive.open("META-INF/container.xml")))
            rootfile = next((e.get("full-path") for e in container.iter() if e.tag.endswith("rootfile")), None)
            scores = [name for name in (rootfile, *scores) if name in names]
        if not scores:
            raise ValueError("the archive holds no score")
        return _limited(archive.open(scores[0]))


def _partwise(root: Element) -> Element:
    """Convert score-timewise (measures of parts) to score-partwise (parts of measures)."""
    parts: dict[str, Element] = {}
    for measure in root.findall("measure"):
        for part in measure.findall("part"):
            number = part.get("id", "")
            parts.setdefault(number, Element("part", id=number)).append(part)
            part.tag, part.attrib = "measure", dict(measure.attrib)
    for measure in root.findall("measure"):
        root.remove(measure)
    root.extend(parts.values())
    return root


def _music(root: Element) -> muspy.Music:
    import muspy

    resolution = _resolution(root)
    instruments = read_instruments(root.findall("part-list/score-part"))
    elements = root.findall("part")
    parts = [ScorePart(element, resolution, instruments.get(element.get("id", ""), {})) for element in elements]
    count = max((len(part.measures) for part in parts), default=0)
    written = [[part.measures[i] for part in parts if i < len(part.measures)] for i in range(count)]

    order = playing_order(_repeat_marks(elements, count))
    played, time = [], 0
    for index in order:
        played.append((index, time))
        time += max(measure.length for measure in written[index])

    # Tempos may be in any part; signatures are those of the first part, since transposing parts have others.
    tempos = [{at: qpm for part in reversed(parts) for at, qpm in part.tempos.items()} for parts in written]
    keys = [measures[0].keys for measures in written]
    times = [measures[0].times for measures in written]
    tracks = [track for part in parts for track in part.tracks(played)]
    end = max((note.end for track in tracks for note in track.notes), default=0)
    return muspy.Music(
        metadata=_metadata(root),
        resolution=resolution,
        tempos=[muspy.Tempo(time, qpm) for time, qpm in _as_played(tempos, played)],
        key_signatures=[
            muspy.KeySignature(time, None if mode is None else (7 * fifths + _MODES[mode]) % 12, mode, fifths)
            for time, (fifths, mode) in _as_played(keys, played)
        ],
        time_signatures=[muspy.TimeSignature(time, *signature) for time, signature in _as_played(times, played)],
        barlines=[muspy.Barline(at) for at in (*(start for _, start in played), time) if at <= end],
        tracks=tracks,
    )


def _resolution(root: Element) -> int:
    needed = {_fraction(element.text).numerator for element in root.iter("divisions")} - {0} or {1}
    # Divisions and durations may be decimals.
    finer = {_fraction(element.text).denominator for element in root.iter("duration") if "." in (element.text or "")}
    needed = {math.lcm(*needed) * math.lcm(*finer)}
    if next(root.iter("grace"), None) is not None:
        needed.add(GRACES_PER_BEAT)
    return min(math.lcm(*needed), _HIGHEST_RESOLUTION)


def _fraction(text: str | None) -> Fraction:
    return Fraction(max(number(text), 0)).limit_denominator(_LARGEST_DENOMINATOR)


def _as_played(written: Sequence[dict[int, Value]], played: Iterable[tuple[int, int]]) -> Iterator[tuple[int, Value]]:
    """(time, value) for every change of a mark, also where a jump changes it."""
    before: list[Value | None] = [None]
    for marks in written:
        before.append(marks[max(marks)] if marks else before[-1])
    current = None
    for index, start in played:
        marks = written[index]
        here = sorted(({0: before[index]} | marks).items())
        for position, value in here:
            if value is not None and value != current:
                yield start + position, value
                current = value


def _metadata(root: Element) -> muspy.Metadata:
    import muspy

    # A song of a cycle has both titles.
    titles = [" ".join((root.findtext(name) or "").split()) for name in ("work/work-title", "movement-title")]
    # The composer is before lyricists and encoders.
    creators = sorted(root.findall("identification/creator"), key=lambda element: element.get("type") != "composer")
    names = [(element.text or "").strip() for element in creators]
    return muspy.Metadata(
        title=": ".join(dict.fromkeys(title for title in titles if title)) or None,
        creators=[name for name in names if name],
        copyright=root.findtext("identification/rights"),
        source_format="musicxml",
    )


def _repeat_marks(parts: Sequence[Element], count: int) -> list[RepeatMarks]:
    """The repeat marks of each measure, from all parts."""
    marks = [RepeatMarks() for _ in range(count)]
    for part in parts:
        ending: tuple[int, frozenset[int]] | None = None
        for index, element in enumerate(part.findall("measure")):
            mark = marks[index]
            for sound in element.iter("sound"):
                mark.segno |= "segno" in sound.attrib
                mark.coda |= "coda" in sound.attrib
                mark.to_coda |= "tocoda" in sound.attrib
                mark.fine |= "fine" in sound.attrib
                mark.da_capo |= sound.get("dacapo") == "yes"
                mark.dal_segno |= "dalsegno" in sound.attrib
            for repeat in element.findall("barline/repeat"):
                if repeat.get("direction") == "forward":
                    mark.repeat_begins = True
                else:
                    mark.repeat_times = max(mark.repeat_times, round(number(repeat.get("times", "2"))), 2)
            for sign in element.findall("barline/ending"):
                if sign.get("type") == "start":
                    ending = (index, _numbers(sign.get("number", "")))
                    mark.endings |= ending[1]
                elif ending:
                    for within in marks[ending[0] : index + 1]:
                        within.endings |= ending[1]
                    ending = None
    _find_movements(parts, marks)
    return marks


def _find_movements(parts: Sequence[Element], marks: list[RepeatMarks]) -> None:
    """Start a movement where the measure numbers start again."""
    start, last = 0, -1.0
    for index, element in enumerate(parts[0].findall("measure") if parts else []):
        text = element.get("number", "")
        if text.isdecimal():
            if int(text) <= 1 and int(text) < last:
                start = index
            last = number(text)
        marks[index].movement = start


def _numbers(text: str) -> frozenset[int]:
    """The numbers of an ending: "1", "1, 2" or "1. 2."."""
    words = text.replace(".", " ").replace(",", " ").split()
    return frozenset(int(word) for word in words if word.isdecimal() and len(word) < 3)
