"""Shared parts of the plots: figures, two colours, and the names of codes ("note", "C4", "1 1/2", "violin")."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from mmt.representation.codes import PAPER, PITCHES, TYPE, TYPES, Representation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RED, BLUE = "#c0392b", "#2b6cb0"
_PITCH_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that pyplot does not manage: nothing stays open."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    return figure


def style_panel(axes: Any, title: str) -> None:
    """Give a panel a title, small numbers, and no lines above and to the right."""
    axes.set_title(title, fontsize=9.5)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def png_of(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130)
    return file.getvalue()


def code_labels(field: str, representation: Representation = PAPER) -> list[str]:
    """The name of each code of a field, code 0 first; durations in beats, positions as fractions of a beat.

    >>> code_labels("type")[3], code_labels("pitch")[61], code_labels("duration")[13], code_labels("instrument")[25]
    ('note', 'C4', '1 1/4', 'violin')
    """
    if field == "type":
        return list(TYPES[: representation.sizes[TYPE]])
    steps = representation.resolution
    names = {
        "beat": [str(beat) for beat in range(representation.beats)],
        "position": [_in_beats(position, steps) for position in range(steps)],
        "pitch": [f"{_PITCH_NAMES[pitch % 12]}{pitch // 12 - 1}" for pitch in range(PITCHES)],
        "duration": [_in_beats(duration, steps) for duration in representation.durations],
        "instrument": list(representation.names),
    }
    return ["none", *names[field]]


def _in_beats(steps: int, resolution: int) -> str:
    whole, rest = divmod(Fraction(steps, resolution), 1)
    return f"{whole} {rest}" if whole and rest else str(rest or whole)
