"""Small MusicXML scores for tests."""

from __future__ import annotations

from pathlib import Path

import muspy

from mmt.music.reading.musicxml import read_musicxml

Row = tuple[int, int, int]
"""onset, pitch, duration"""


def note(
    step: str, duration: float | str, inside: str = "", octave: int = 4, alter: float = 0, before: str = ""
) -> str:
    pitch = f"<pitch><step>{step}</step><alter>{alter:g}</alter><octave>{octave}</octave></pitch>"
    return f"<note>{before}{pitch}<duration>{duration}</duration>{inside}</note>"


def grace(step: str, inside: str = "", before: str = "") -> str:
    return f"<note><grace/>{before}<pitch><step>{step}</step><octave>5</octave></pitch>{inside}</note>"


def part(*measures: str, number: str = "P1") -> str:
    numbered = "".join(f'<measure number="{k}">{measure}</measure>' for k, measure in enumerate(measures, start=1))
    return f'<part id="{number}">{numbered}</part>'


def attributes(divisions: float = 2, more: str = "") -> str:
    return f"<attributes><divisions>{divisions}</divisions>{more}</attributes>"


def time(beats: str, beat_type: int = 4) -> str:
    return f"<time><beats>{beats}</beats><beat-type>{beat_type}</beat-type></time>"


def barline(inside: str, location: str = "right") -> str:
    return f'<barline location="{location}">{inside}</barline>'


FORWARD = barline('<repeat direction="forward"/>', "left")
BACKWARD = barline('<repeat direction="backward"/>')


def words(text: str, sound: str = "") -> str:
    return f"<direction><direction-type><words>{text}</words></direction-type>{sound}</direction>"


def sign(name: str, sound: str = "") -> str:
    return f"<direction><direction-type><{name}/></direction-type>{sound}</direction>"


def score(*parts: str, part_list: str = '<score-part id="P1"/>', head: str = "") -> str:
    return f"<score-partwise>{head}<part-list>{part_list}</part-list>{''.join(parts)}</score-partwise>"


def read(folder: Path, *parts: str, part_list: str = '<score-part id="P1"/>', head: str = "") -> muspy.Music:
    path = folder / "score.musicxml"
    path.write_text(score(*parts, part_list=part_list, head=head), encoding="utf-8")
    return read_musicxml(path)


def rows(track: muspy.Track) -> list[Row]:
    return [(n.time, n.pitch, n.duration) for n in track.notes]


def beats(music: muspy.Music) -> list[tuple[float, float, int]]:
    """Onset and duration in beats and pitch of all notes."""
    found = [(n.time / music.resolution, n.duration / music.resolution, n.pitch) for t in music.tracks for n in t.notes]
    return sorted((round(onset, 3), round(duration, 3), pitch) for onset, duration, pitch in found)


def score_part(name: str = "", instrument: str = "", sound: str = "", midi: str = "", number: str = "P1") -> str:
    return (
        f'<score-part id="{number}"><part-name>{name}</part-name><score-instrument id="{number}-I1"><instrument-name>'
        f"{instrument}</instrument-name><instrument-sound>{sound}</instrument-sound></score-instrument>"
        f'<midi-instrument id="{number}-I1">{midi}</midi-instrument></score-part>'
    )
