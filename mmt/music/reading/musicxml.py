"""Reading MusicXML scores as they sound.

Repeats and jumps are unfolded, transposing instruments are at sounding pitch, tied notes are one note, and cues are silent.
The work is divided: `score_files` opens a file, `score_time` places its elements in time, `repeat_signs` and `repeats` find the
order of playing, `score_parts` reads the notes, `score_instruments` and `part_names` find programs, `score_playing` plays.

(Not by a library: partitura 1.9 reads no programs, has the notes of 17 of 43 difficult scores right, and takes six times as long;
muspy has programs off by one and rejects valid scores; music21 takes ten times as long.)
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from mmt.music.bounded import brief
from mmt.music.reading.repeat_signs import find_sections
from mmt.music.reading.repeats import Span, as_played, play_spans, playing_order
from mmt.music.reading.score_files import read_score
from mmt.music.reading.score_instruments import read_instruments
from mmt.music.reading.score_parts import ScorePart
from mmt.music.reading.score_playing import play_part
from mmt.music.reading.score_time import Measure, measure_lengths, measure_parts, number

if TYPE_CHECKING:
    import muspy

_HIGHEST_RESOLUTION = 10080  # ticks per beat
_LARGEST_DENOMINATOR = 96  # of decimal durations, taken as fractions
_MOST_EVENTS = 3_000_000  # elements played; with more, a score is played without its repeats
_FEW_GRACES = 4
_FOR_GRACES = 24  # ticks per beat
_MODES = {"major": 0, "minor": 9}


def read_musicxml(path: str | os.PathLike[str]) -> muspy.Music:
    """Read a MusicXML score, compressed or not, whatever its suffix says.

    Each program of each part with notes becomes a track. The resolution is the smallest that holds all note values.

    If this is not MusicXML, a `ValueError` names the file.
    """
    try:
        return _music(read_score(Path(path)))
    except ValueError as error:
        raise ValueError(f"cannot read {path}: {brief(error)}") from error


def _music(root: Element) -> muspy.Music:
    import muspy

    elements = root.findall("part")
    measures = measure_parts(elements)
    lengths = measure_lengths(measures)
    instruments = read_instruments(root.findall("part-list/score-part"))
    parts = [
        ScorePart(part, instruments.get(element.get("id", ""), {}))
        for part, element in zip(measures, elements, strict=True)
    ]
    resolution = _resolution(root, measures, parts)
    sections = find_sections(measures, lengths)
    order = playing_order(sections)
    sizes = [sum(len(part[index].events) for part in measures if index < len(part)) for index in range(len(lengths))]
    if sum(sizes[sections[index].measure] for index, _ in order) > _MOST_EVENTS:
        order = [(index, 1) for index in range(len(sections))]
    spans = play_spans(sections, order, resolution)
    # Tempos may be in any part; signatures are those of the first part, since transposing parts have others.
    tempos = {place: tempo for part in reversed(parts) for place, tempo in part.tempos.items()}
    keys = parts[0].keys if parts else {}
    times = next((part.times for part in parts if part.times), {})
    tracks = [track for part in parts for track in play_part(part, sections, spans, resolution)]
    return muspy.Music(
        metadata=_metadata(root),
        resolution=resolution,
        tempos=[muspy.Tempo(time, qpm) for time, qpm in as_played(tempos, spans, resolution)],
        key_signatures=[
            muspy.KeySignature(time, None if mode is None else (7 * fifths + _MODES[mode]) % 12, mode, fifths)
            for time, (fifths, mode) in as_played(keys, spans, resolution)
        ],
        time_signatures=[
            muspy.TimeSignature(time, *signature) for time, signature in as_played(times, spans, resolution)
        ],
        barlines=[muspy.Barline(time) for time in _barlines(spans, tracks)],
        tracks=tracks,
    )


def _barlines(spans: Sequence[Span], tracks: Iterable[muspy.Track]) -> list[int]:
    """Where measures begin and the last one ends, up to the end of the last note."""
    end = max((note.end for track in tracks for note in track.notes), default=0)
    times = {span.start for span in spans if span.section.begin == 0} | {span.end for span in spans[-1:]}
    return sorted(time for time in times if time <= end)


def _resolution(root: Element, measures: Iterable[Sequence[Measure]], parts: Iterable[ScorePart]) -> int:
    """The smallest number of ticks per beat that holds the note values, up to a limit."""
    divisions = {_fraction(element.text).numerator for element in root.iter("divisions")} - {0}
    # Divisions and durations may be decimals.
    finer = {_fraction(element.text).denominator for element in root.iter("duration") if "." in (element.text or "")}
    resolution = min(_common_multiple(divisions) * _common_multiple(finer), _HIGHEST_RESOLUTION)
    for tuplet in sorted({size for part in measures for measure in part for size in measure.tuplets}):
        if (multiple := math.lcm(resolution, tuplet)) <= _HIGHEST_RESOLUTION:
            resolution = multiple
    graces = [note.grace.of for part in parts for notes in part.notes for note in notes if note.grace]
    if graces:  # long runs need smaller steps
        resolution = math.lcm(resolution, _FOR_GRACES if max(graces) <= _FEW_GRACES else 4 * _FOR_GRACES)
    return min(resolution, _HIGHEST_RESOLUTION)


def _common_multiple(values: Iterable[int]) -> int:
    """The least common multiple of values, or the highest resolution, if that is less."""
    return reduce(lambda one, other: min(math.lcm(one, other), _HIGHEST_RESOLUTION), values, 1)


def _fraction(text: str | None) -> Fraction:
    return Fraction(max(number(text), 0)).limit_denominator(_LARGEST_DENOMINATOR)


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
