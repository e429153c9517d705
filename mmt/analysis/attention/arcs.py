"""Attention drawn over the piano roll of one piece: an arc from each note to the notes it attends to, one colour per head.

After Huang et al. (Music Transformer, 2018). The x axis is in beats, the y axis is the pitch, with drums below. Wider and
darker arcs have greater weights. Layers and heads count from 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mmt.analysis.attention.measurement import weights
from mmt.analysis.attention.plots import check_indices
from mmt.music.pictures import DrumBand, piano_roll
from mmt.representation.codes import BEAT, INSTRUMENT, PITCH, POSITION, Events, Representation, is_note
from mmt.representation.decode import decode
from mmt.sampling.model import Model

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinct for colour-blind readers, on white (Okabe and Ito); reused where there are more heads.
_COLORS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a4e1d", "#555555")
_GREY = "#c9c9d0"


def draw_arcs(
    model: Model,
    events: npt.ArrayLike,
    layer: int,
    heads: Sequence[int] | int | None = None,
    *,
    queries: Sequence[int] | int | None = None,
    most: int = 4,
    least: float = 0.05,
    axes: Axes | None = None,
) -> Figure:
    """Draw what the notes of a piece attend to, as arcs over its piano roll.

    Parameters
    ----------
    model, events
        As for `mmt.attention.weights`.
    layer : int
    heads : int or sequence of int, optional
        Default: all.
    queries : int or sequence of int, optional
        Indices of the notes in the events where arcs start; -1 is the last event. Default: all notes.
    most : int
        Greatest number of arcs per query and head: the greatest weights on earlier notes.
    least : float
        Smallest weight that gets an arc.
    axes : matplotlib Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        Write it with `figure.savefig("arcs.svg")`, or .png, .pdf.

    Raises
    ------
    ValueError
        If there is no such layer, head or note; if the events cannot be read.

    Examples
    --------
    >>> import mmt
    >>> model = mmt.new_model("tiny", seed=0)
    >>> notes = [[3, 1, 1, 61, 12, 25], [3, 2, 1, 65, 12, 25], [3, 3, 1, 68, 12, 25]]
    >>> figure = draw_arcs(model, notes, layer=1, heads=0, queries=2)
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['head 0', 'attending note']
    """
    codes = np.asarray(events)
    found = weights(model, codes)
    check_indices("layer", [layer], len(found))
    of_layer = found[layer]
    wanted = range(len(of_layer)) if heads is None else sorted(heads) if isinstance(heads, set) else heads
    shown = check_indices("head", np.atleast_1d(wanted), len(of_layer))
    starts = _note_indices(queries, codes)
    figure = piano_roll(decode(codes, representation=model.representation), axes)
    axes = figure.axes[0] if axes is None else axes
    drawn = {head: arcs(of_layer[head], codes, starts, most=most, least=least) for head in shown}
    _draw(axes, drawn, starts, codes, model.representation, layer)
    return figure


def _draw(
    axes: Axes,
    drawn: Mapping[int, list[tuple[int, int, float]]],
    starts: Sequence[int],
    codes: Events,
    representation: Representation,
    layer: int,
) -> None:
    """Make the piano roll grey, and draw the arcs of each head, dots at the notes where they start, and a legend."""
    from matplotlib.collections import PolyCollection
    from matplotlib.patches import FancyArrowPatch, Patch

    for collection in axes.collections:
        if isinstance(collection, PolyCollection):
            collection.set_facecolor(_GREY)  # colours are for the heads
    beat = (codes[:, BEAT] - 1) + (codes[:, POSITION] - 1) / representation.resolution
    height = _heights(codes, representation)
    places = list(zip(beat.tolist(), height.tolist(), strict=True))
    for head, lines in drawn.items():
        # Arcs bow upwards, higher for longer distances, so that arcs over one pitch stay apart.
        style, color = f"arc3,rad={0.25 + 0.06 * (head % 4):.2f}", _COLORS[head % len(_COLORS)]
        for query, key, weight in lines:
            arc = FancyArrowPatch(
                places[query], places[key], arrowstyle="-", shrinkA=0, shrinkB=0, connectionstyle=style, color=color,
                zorder=5, linewidth=0.5 + 3.5 * weight, alpha=min(0.25 + 0.75 * weight, 1.0), capstyle="round",
                clip_on=False,
            )  # fmt: skip
            axes.add_patch(arc)
    (attending,) = axes.plot(
        beat[starts], height[starts], "o",
        markersize=3, color="#2b2b33", zorder=6, linestyle="none", label="attending note",
    )  # fmt: skip
    colors = [Patch(facecolor=_COLORS[head % len(_COLORS)], label=f"head {head}") for head in drawn]
    axes.legend(
        handles=[*colors, attending], title=f"layer {layer}",
        loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=9,
    )  # fmt: skip


def arcs(
    weights: npt.NDArray[np.floating[Any]], events: Events, queries: Sequence[int], *, most: int, least: float
) -> list[tuple[int, int, float]]:
    """The arcs of one head, (query, key, weight): the greatest weights (query, key) on earlier notes.

    >>> events = np.array([[3, 1, 1, 61, 12, 25], [3, 2, 1, 65, 12, 25], [3, 3, 1, 68, 12, 25]])
    >>> arcs(np.array([[1, 0, 0], [0.5, 0.5, 0], [0.75, 0.2, 0.05]]), events, [1, 2], most=1, least=0.1)
    [(1, 0, 0.5), (2, 0, 0.75)]
    """
    found = []
    for query in queries:
        row = np.where(is_note(events[:query]), weights[query, :query], 0)
        greatest = np.argsort(-row, kind="stable")[:most]
        found += [(query, int(key), float(row[key])) for key in greatest if row[key] >= max(least, 1e-9)]
    return found


def _note_indices(queries: Sequence[int] | int | None, events: Events) -> list[int]:
    given = np.atleast_1d(np.flatnonzero(is_note(events)) if queries is None else queries).tolist()
    for index in given:
        if not -len(events) <= index < len(events) or not is_note(events[index]):
            raise ValueError(f"event {index} of {len(events)} is not a note; arcs start at notes")
    return [index % len(events) for index in given]


def _heights(events: Events, representation: Representation) -> npt.NDArray[np.float64]:
    """The y coordinate of each event in the piano roll, (n,)."""
    notes, pitch = is_note(events), events[:, PITCH] - 1
    is_drum = notes & (events[:, INSTRUMENT] == representation.drums_code)
    band = DrumBand(pitch[notes], is_drum[notes])
    return np.where(is_drum, band.heights(pitch), pitch)
