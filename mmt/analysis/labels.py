"""What codes are called in tables and pictures: "note", "C4", "1 1/2", "violin"."""

from __future__ import annotations

from fractions import Fraction

from mmt.representation.codes import PAPER, PITCHES, TYPE, TYPES, Representation

_PITCH_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def code_labels(field: str, representation: Representation = PAPER) -> list[str]:
    """The name of each code of a field, code 0 first; durations in beats, positions in parts of a beat.

    >>> code_labels("type")[3], code_labels("pitch")[61], code_labels("duration")[13], code_labels("instrument")[25]
    ('note', 'C4', '1 1/4', 'violin')
    """
    if field == "type":
        return list(TYPES[: representation.sizes[TYPE]])
    steps = representation.resolution
    named = {
        "beat": [str(beat) for beat in range(representation.beats)],
        "position": [_in_beats(position, steps) for position in range(steps)],
        "pitch": [f"{_PITCH_NAMES[pitch % 12]}{pitch // 12 - 1}" for pitch in range(PITCHES)],
        "duration": [_in_beats(duration, steps) for duration in representation.durations],
        "instrument": list(representation.names),
    }
    return ["none", *named[field]]


def _in_beats(steps: int, resolution: int) -> str:
    whole, rest = divmod(Fraction(steps, resolution), 1)
    return f"{whole} {rest}" if whole and rest else str(rest or whole)
