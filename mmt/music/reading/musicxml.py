"""Reading MusicXML: a score becomes a `muspy.Music` as it sounds.

Our own reader, since muspy's stores programs off by one, loses the place after a measure whose last voice ends early,
and rejects valid scores; music21's takes ten times as long. Repeats and jumps are played out. Transposing instruments
are at sounding pitch, ties are one note, cues are silent. A measure is as long as its longest part in it, so that
parts stay together. Grace notes, which have no time of their own, take an eighth of a beat each before the note that
they adorn.
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

from mmt.music.reading.repeats import Measure, playing_order
from mmt.music.reading.score_parts import GRACES_PER_BEAT, Part, number, read_instruments

if TYPE_CHECKING:
    import muspy

Value = TypeVar("Value")

# A whole symphony is 30 MB; what unpacks to more is no score.
_LARGEST = 128 << 20
# Ticks per beat are those that the score's divisions need, up to this.
_FINEST = 10080
# Decimals are taken for fractions of at most this denominator.
_FINEST_PART = 96
_MODES = {"major": 0, "minor": 9}


def read_musicxml(path: str | os.PathLike[str]) -> muspy.Music:
    """Read a MusicXML score, compressed or not.

    Parameters
    ----------
    path
        The file; whether it is compressed is seen from its content.

    Returns
    -------
    muspy.Music
        One track for each program of each part that plays a note. The resolution is what the note values need.

    Raises
    ------
    ValueError
        If this is no MusicXML; the line names the file.
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
        # The latter ones are zipfile's: cut short, an unknown method, damaged, encrypted.
        raise ValueError(f"cannot read {path}: {error or type(error).__name__}") from error
    music.metadata.source_filename = path.name
    return music


def _root(path: Path) -> Element:
    """The score's root element, as score-partwise."""
    data = _limited(path.open("rb"))
    if data.startswith(b"PK"):
        data = _unpacked(data)
    # Entities can make a small file unfold without end; scores have none.
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
    """The score in an .mxl archive: the one that the container names, else the first XML file."""
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
    """score-timewise (measures of parts) turned into score-partwise (parts of measures)."""
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
    parts = [Part(element, resolution, instruments.get(element.get("id", ""), {})) for element in elements]
    count = max((len(part.measures) for part in parts), default=0)
    written = [[part.measures[i] for part in parts if i < len(part.measures)] for i in range(count)]

    order = playing_order(_marks(elements, count))
    played, time = [], 0
    for index in order:
        played.append((index, time))
        time += max(measure.length for measure in written[index])

    # Tempos may stand in any part; signatures are the first part's, since transposing parts have others.
    tempos = [{at: qpm for part in reversed(parts) for at, qpm in part.tempos.items()} for parts in written]
    keys = [measures[0].keys for measures in written]
    times = [measures[0].times for measures in written]
    return muspy.Music(
        metadata=_metadata(root),
        resolution=resolution,
        tempos=[muspy.Tempo(time, qpm) for time, qpm in _as_played(tempos, played)],
        key_signatures=[
            muspy.KeySignature(time, None if mode is None else (7 * fifths + _MODES[mode]) % 12, mode, fifths)
            for time, (fifths, mode) in _as_played(keys, played)
        ],
        time_signatures=[muspy.TimeSignature(time, *signature) for time, signature in _as_played(times, played)],
        tracks=[track for part in parts for track in part.tracks(played)],
    )


def _resolution(root: Element) -> int:
    needed = {_fraction(element.text).numerator for element in root.iter("divisions")} - {0} or {1}
    # Both may be decimals; most scores have none.
    finer = {_fraction(element.text).denominator for element in root.iter("duration") if "." in (element.text or "")}
    needed = {math.lcm(*needed) * math.lcm(*finer)}
    if next(root.iter("grace"), None) is not None:
        needed.add(GRACES_PER_BEAT)
    return min(math.lcm(*needed), _FINEST)


def _fraction(text: str | None) -> Fraction:
    return Fraction(max(number(text), 0)).limit_denominator(_FINEST_PART)


def _as_played(written: Sequence[dict[int, Value]], played: Iterable[tuple[int, int]]) -> Iterator[tuple[int, Value]]:
    """(time, value) for every change of a mark; after a jump what was in force where it goes is stated again."""
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

    # A song of a cycle has both.
    titles = [" ".join((root.findtext(name) or "").split()) for name in ("work/work-title", "movement-title")]
    # The composer before who wrote the words or made the file.
    creators = sorted(root.findall("identification/creator"), key=lambda element: element.get("type") != "composer")
    names = [(element.text or "").strip() for element in creators]
    return muspy.Metadata(
        title=": ".join(dict.fromkeys(title for title in titles if title)) or None,
        creators=[name for name in names if name],
        copyright=root.findtext("identification/rights"),
        source_format="musicxml",
    )


def _marks(parts: Sequence[Element], count: int) -> list[Measure]:
    """What the measures of all parts together say about the order in which they are played."""
    marks = [Measure() for _ in range(count)]
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


def _find_movements(parts: Sequence[Element], marks: list[Measure]) -> None:
    """A movement begins where the numbers of the measures begin again, as they do in a file of a whole work."""
    beginning, last = 0, -1.0
    for index, element in enumerate(parts[0].findall("measure") if parts else []):
        text = element.get("number", "")
        if text.isdecimal():
            if int(text) <= 1 and int(text) < last:
                beginning = index
            last = number(text)
        marks[index].movement = beginning


def _numbers(text: str) -> frozenset[int]:
    """The numbers of an ending: "1", "1, 2" or "1. 2."."""
    words = text.replace(".", " ").replace(",", " ").split()
    return frozenset(int(word) for word in words if word.isdecimal() and len(word) < 3)
