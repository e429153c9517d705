"""Drawing piano rolls of music with matplotlib, one colour per instrument.

The x axis is in beats (quarter notes) from 0, the y axis in MIDI pitches (C4 is 60). Drums have a band of their own below the
lowest pitch, with a row per drum key. Sizes are in inches.
"""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mmt.music.pictures.colors import given_title, instrument_color, instrument_names, score_order
from mmt.representation.arguments import AnyPath
from mmt.representation.instruments import DRUMS
from mmt.representation.notes import RawNotes, raw_notes

if TYPE_CHECKING:
    import muspy
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

_INK, _GREY = "#2b2b33", "#9a9aa5"

_INCHES_PER_BEAT, _LEAST_WIDTH, _GREATEST_WIDTH = 0.22, 4.6, 17.0
LEAST_BEATS = 16  # the x axis of shorter pieces
_INCHES_PER_PITCH, _LEAST_HEIGHT, _GREATEST_HEIGHT = 0.09, 2.4, 6.5
_DOTS_PER_INCH = 150


def write_png(path: AnyPath, music: muspy.Music, prompt_beats: float | None = None) -> None:
    """Write the piano roll of music as a PNG picture; parameters are those of `piano_roll`."""
    Path(path).write_bytes(png(music, prompt_beats))


def png(music: muspy.Music, prompt_beats: float | None = None) -> bytes:
    """The piano roll of music as the bytes of a PNG file."""
    file = io.BytesIO()
    piano_roll(music, prompt_beats=prompt_beats).savefig(file, format="png", dpi=_DOTS_PER_INCH)
    return file.getvalue()


def piano_roll(music: muspy.Music, axes: Axes | None = None, prompt_beats: float | None = None) -> Figure:
    """Draw a piano roll: pitch over beats, one colour per instrument.

    Instruments that begin the same pitch together share its row. Bar lines follow the time signatures; without any, there is
    one every four beats.

    Parameters
    ----------
    music
        Its title becomes the picture's.
    axes
        Axes to draw on; by default those of a new figure, whose width follows the length of the music, within limits.
    prompt_beats
        The length of the prompt in beats: it is shaded, and the rest labelled as its continuation. 0 marks nothing.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot, so it need not be closed.

    Examples
    --------
    >>> import muspy, mmt.music.pictures
    >>> music = muspy.Music(resolution=12, tracks=[muspy.Track(program=73, notes=[muspy.Note(0, 72, 24)])])
    >>> figure = mmt.music.pictures.piano_roll(music)
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['flute']
    """
    check_prompt_beats(prompt_beats)
    notes = raw_notes(music)
    beats = max(end_in_beats(notes), float(np.ceil(prompt_beats or 0)), LEAST_BEATS)
    band = DrumBand(notes.pitch, notes.is_drum)
    names = instrument_names(notes.program)

    if axes is None:
        axes = _new_axes(beats, band.high - band.bottom, _readable(given_title(music)))
    axes.set(xlim=(0, beats), ylim=(band.bottom, band.high))
    _draw_grid(axes, music, beats, band.low, band.high)
    if prompt_beats:
        _mark_prompt(axes, prompt_beats)
    _draw_notes(axes, notes, names, beats)
    if len(band.drums):
        _draw_drums(axes, notes, band)
    _draw_legend(axes, names[~notes.is_drum])
    if not len(notes):
        axes.text(0.5, 0.5, "no notes", transform=axes.transAxes, ha="center", va="center", color=_GREY)
    return _figure(axes)


def check_prompt_beats(prompt_beats: float | None) -> None:
    """Raise a `ValueError` unless the length of a prompt is None or at least 0 beats."""
    if prompt_beats is not None and not prompt_beats >= 0:
        raise ValueError(f"prompt_beats is {prompt_beats}; it must be a number of beats from 0 up, or None")


def end_in_beats(notes: RawNotes) -> float:
    """The end of the last note in beats; 0 without notes."""
    return float((notes.onset + notes.duration).max(initial=0)) / notes.resolution


def _pitch_range(pitches: npt.NDArray[Any]) -> tuple[float, float]:
    """The lower and upper edge of the y axis: at least two octaves, with a margin."""
    if not len(pitches):
        return 47.5, 72.5
    low, high = int(pitches.min()) - 2, int(pitches.max()) + 2
    missing = max(24 - (high - low), 0)
    return low - missing // 2 - 0.5, high + (missing - missing // 2) + 0.5


class DrumBand:
    """Position of the drum band below the lowest pitch, from the pitches and drum flags of notes, (n,) each.

    >>> band = DrumBand(np.array([36, 38, 60]), np.array([True, True, False]))
    >>> band.heights(np.array([36, 38])).tolist(), band.low
    ([43.375, 45.125], 47.5)
    """

    def __init__(self, pitch: npt.NDArray[Any], is_drum: npt.NDArray[np.bool_]) -> None:
        self.drums = np.unique(pitch[is_drum])
        self.low, self.high = _pitch_range(pitch[~is_drum])
        self.bottom = self.low - (3 + min(len(self.drums), 12) if len(self.drums) else 0)
        self.top = self.low - 1.5
        self.row_height = (self.top - self.bottom) / max(len(self.drums), 1)

    def heights(self, keys: npt.NDArray[Any]) -> Floats:
        """The middle of the row of each drum key, (n,), in semitones of the pitch axis."""
        return np.asarray(self.bottom + (np.searchsorted(self.drums, keys) + 0.5) * self.row_height, np.float64)


def _new_axes(beats: float, pitches: float, title: str) -> Axes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = float(np.clip(beats * _INCHES_PER_BEAT, _LEAST_WIDTH, _GREATEST_WIDTH))
    height = float(np.clip(pitches * _INCHES_PER_PITCH, _LEAST_HEIGHT, _GREATEST_HEIGHT))
    left, right, below, above = 0.65, 2.0, 0.4, 0.7 if title else 0.35
    whole = (left + width + right, below + height + above)
    figure = Figure(figsize=whole, facecolor="white")
    FigureCanvasAgg(figure)
    axes: Axes = figure.add_axes((left / whole[0], below / whole[1], width / whole[0], height / whole[1]))
    if title:
        longest = int(9 * (width + right))
        title = title if len(title) <= longest else title[: longest - 1] + "…"
        place = (left / whole[0], 1 - 0.28 / whole[1])
        figure.text(*place, title, fontsize=13, color=_INK, va="center", parse_math=False, font=_font())
    return axes


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes belong to no figure; make them with figure.add_subplot()")
    return figure


def _draw_grid(axes: Axes, music: muspy.Music, beats: float, low: float, high: float) -> None:
    """Draw rows for the black keys, lines for octaves, beats and bars, and their labels."""
    axes.set_facecolor("white")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_axisbelow(True)
    octaves = np.arange(np.ceil(low / 12) * 12, high, 12)
    for pitch in range(int(np.ceil(low)), int(high) + 1):
        if pitch % 12 in (1, 3, 6, 8, 10):
            axes.axhspan(pitch - 0.5, pitch + 0.5, color="#f6f6f8", linewidth=0, zorder=0)
    axes.hlines(octaves - 0.5, 0, beats, colors="#d5d5dd", linewidths=0.8, zorder=0.6)
    axes.set_yticks(octaves, [f"C{int(pitch) // 12 - 1}" for pitch in octaves])

    inches = axes.get_window_extent().width / _figure(axes).dpi / beats  # per beat
    bars = bar_lines(music, beats)
    in_bar = beats / len(bars) * inches
    labelled = bars[:: power_of_two(0.5 / in_bar)]
    if inches >= 0.1:
        axes.vlines(np.arange(1, beats), low, high, colors="#ececf1", linewidths=0.5, zorder=0.5)
    lines = bars[:: power_of_two(0.1 / in_bar)]
    axes.vlines(lines, *axes.get_ylim(), colors="#d5d5dd", linewidths=0.6, zorder=0.6)
    axes.set_xticks(labelled, [f"{beat:.6g}" for beat in labelled])
    axes.annotate(
        "beat", (0, 0), (-12, -4), xycoords="axes fraction", textcoords="offset points", ha="right", va="top", fontsize=9,
        color=_GREY,
    )  # fmt: skip
    axes.tick_params(length=0, labelsize=9, labelcolor=_INK)


def bar_lines(music: muspy.Music, beats: float) -> Floats:
    """The beats at which bars begin: the bar lines of the music, then by the time signatures, or every four beats."""
    given = np.unique([0.0, *(max(line.time, 0) / music.resolution for line in music.barlines)])
    signatures = {0.0: 4.0}
    for signature in sorted(music.time_signatures, key=lambda signature: signature.time):
        if signature.numerator > 0 and signature.denominator > 0:
            signatures[max(signature.time, 0) / music.resolution] = 4 * signature.numerator / signature.denominator
    starts = [*signatures, np.inf]
    bars = [
        np.arange(max(start, given[-1]), min(following, beats), max(length, beats / 100_000))
        for (start, length), following in zip(signatures.items(), starts[1:], strict=True)
    ]
    return np.unique(np.concatenate([given[given < beats], *bars]))


def power_of_two(least: float) -> int:
    """The smallest power of two that is at least `least` and 1."""
    return 1 << max(int(np.ceil(np.log2(least))), 0)


def _mark_prompt(axes: Axes, prompt_beats: float) -> None:
    axes.axvspan(0, prompt_beats, color="#ffd84d", alpha=0.22, linewidth=0, zorder=0.4)
    axes.axvline(prompt_beats, color=_INK, linewidth=1.2, linestyle=(0, (4, 2)), zorder=4)
    # On both sides of the line, so that they do not collide if the prompt is short.
    for text, side, points in (("← prompt", "right", -4), ("continuation →", "left", 4)):
        axes.annotate(
            text, (prompt_beats, 1), (points, 4), xycoords=axes.get_xaxis_transform(), textcoords="offset points",
            ha=side, fontsize=9, color=_INK,
        )  # fmt: skip


def _draw_notes(axes: Axes, notes: RawNotes, names: npt.NDArray[Any], beats: float) -> None:
    from matplotlib.collections import PolyCollection

    pixel = beats / axes.get_window_extent().width
    lane, sharing = lanes(notes, names)
    height = 0.86 / sharing
    lower = notes.pitch + 0.43 - (lane + 1) * height
    left = notes.onset / notes.resolution
    # A gap of 0.8 pixels between repeated notes; no note is narrower than a pixel.
    right = left + np.maximum(notes.duration / notes.resolution - 0.8 * pixel, pixel)
    for name in score_order(names[~notes.is_drum]):
        which = (names == name) & ~notes.is_drum
        corners = [[left, lower], [left, lower + height], [right, lower + height], [right, lower]]
        shapes = np.array([[x[which], y[which]] for x, y in corners]).transpose(2, 0, 1)
        color = instrument_color(name)
        axes.add_collection(
            PolyCollection(list(shapes), facecolor=color, edgecolor="none", alpha=0.9, zorder=3), autolim=False
        )


def lanes(notes: RawNotes, names: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """For each note, (n,): its rank among the instruments that begin this pitch together, and their number."""
    order = {name: place for place, name in enumerate(score_order(names))}
    rank = np.array([order[name] for name in names.tolist()], np.int64)
    rows = np.stack([notes.onset, notes.pitch, notes.is_drum, rank], axis=1)
    distinct, row_of_note = np.unique(rows, axis=0, return_inverse=True)
    _, chord, count = np.unique(distinct[:, :3], axis=0, return_inverse=True, return_counts=True)
    lane = np.arange(len(distinct)) - np.repeat(count.cumsum() - count, count)
    row_of_note = row_of_note.ravel()
    return lane[row_of_note], count[chord.ravel()][row_of_note]


def _draw_drums(axes: Axes, notes: RawNotes, band: DrumBand) -> None:
    """Draw a tick per drum hit, since the duration of a drum note has no meaning."""
    middle = band.heights(notes.pitch[notes.is_drum])
    reach = 0.38 * band.row_height
    beats = notes.onset[notes.is_drum] / notes.resolution
    axes.axhspan(band.bottom, band.top, color="#f1f1f4", linewidth=0, zorder=0.1)
    axes.vlines(
        beats, middle - reach, middle + reach, colors=instrument_color(DRUMS), linewidths=0.9, alpha=0.8, zorder=3
    )
    axes.set_yticks(
        [*axes.get_yticks(), (band.bottom + band.top) / 2], [*(t.get_text() for t in axes.get_yticklabels()), "drums"]
    )


def _draw_legend(axes: Axes, names: npt.NDArray[Any]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=instrument_color(name), label=name) for name in score_order(names)]
    if handles:
        axes.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0.2, frameon=False, fontsize=9,
            labelcolor=_INK, handlelength=1.1, handleheight=1.1, labelspacing=0.45,
        )  # fmt: skip


def _readable(title: str) -> str:
    """The title without the characters that matplotlib's font lacks."""
    if not title:
        return ""
    from matplotlib.ft2font import FT2Font

    known = FT2Font(_font()).get_charmap()
    text = unicodedata.normalize("NFC", title)
    return " ".join("".join(c if ord(c) in known and c.isprintable() else " " for c in text).split())


def _font() -> Path:
    """matplotlib's own font file, so that pictures look the same everywhere."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
