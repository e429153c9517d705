"""Attention drawn over the piano roll of one piece: an arc from a note to each note that it attends to, one colour a head.

As Huang et al. drew them (Music Transformer, 2018). The x axis counts beats, the y axis is the pitch, with the drums
below; the wider and darker an arc, the greater its weight. Layers and heads count from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mmt.analysis.attention.measurement import weights
from mmt.music.pictures import DrumBand, piano_roll
from mmt.representation.codes import BEAT, INSTRUMENT, PITCH, POSITION, Events, Representation, is_note
from mmt.representation.decode import decode
from mmt.sampling.model import Model

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by every eye, on white (Okabe and Ito); more heads than colours begin anew.
_COLORS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a4e1d", "#555555")
_GREY = "#c9c9d0"

Floats = npt.NDArray[np.float64]


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
    """Draw what notes of a piece attend to.

    Parameters
    ----------
    model : Model
    events : array_like of int, (n, 6)
        A piece, or any beginning of one; n is at most the network's context.
    layer : int
    heads : int or sequence of int, optional
        Default: all.
    queries : int or sequence of int, optional
        The notes from which arcs start, by their place in the events; -1 is the last event. Default: all notes.
    most : int
        At most so many arcs a query and head: the greatest weights on notes before it.
    least : float
        No arc for a weight below.
    axes : matplotlib Axes, optional
        Draw here. Default: a new figure.

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
    ['head 0']
    """
    from matplotlib.patches import FancyArrowPatch, Patch

    codes = np.asarray(events)
    found = weights(model, codes)
    if not 0 <= layer < len(found):
        raise ValueError(f"there is no layer {layer}; there are {len(found)}, counted from 0")
    chosen = _chosen_heads(heads, len(found[layer]))
    starts = _chosen_notes(queries, codes)
    figure = piano_roll(decode(codes, representation=model.representation), axes)
    axes = figure.axes[0] if axes is None else axes
    _fade(axes)
    beat = (codes[:, BEAT] - 1) + (codes[:, POSITION] - 1) / model.representation.resolution
    pitch = _heights(codes, model.representation)
    for head in chosen:
        color = _COLORS[head % len(_COLORS)]
        for query, key, weight in arcs(found[layer][head], codes, starts, most=most, least=least):
            # Arcs over one pitch bow upwards, and the more the further back they reach.
            axes.add_patch(
                FancyArrowPatch(
                    (beat[query], pitch[query]), (beat[key], pitch[key]), arrowstyle="-", shrinkA=0, shrinkB=0,
                    connectionstyle=f"arc3,rad={0.25 + 0.06 * (head % 4):.2f}", color=color, zorder=5,
                    linewidth=0.5 + 3.5 * weight, alpha=min(0.25 + 0.75 * weight, 1.0), capstyle="round",
                    clip_on=False,
                )
            )  # fmt: skip
    axes.plot(beat[starts], pitch[starts], "o", markersize=3, color="#2b2b33", zorder=6, linestyle="none")
    handles = [Patch(facecolor=_COLORS[head % len(_COLORS)], label=f"head {head}") for head in chosen]
    axes.legend(
        handles=handles, title=f"layer {layer}", loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=9
    )
    return figure


def arcs(
    weights: npt.NDArray[np.floating[Any]], events: Events, queries: Sequence[int], *, most: int, least: float
) -> list[tuple[int, int, float]]:
    """The arcs of one head: (query, key, weight) for the greatest weights (query, key) on earlier notes.

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


def _chosen_heads(heads: Sequence[int] | int | None, count: int) -> list[int]:
    chosen = [heads] if isinstance(heads, int | np.integer) else list(range(count) if heads is None else heads)
    for head in chosen:
        if not 0 <= head < count:
            raise ValueError(f"there is no head {head}; there are {count}, counted from 0")
    return [int(head) for head in chosen]


def _chosen_notes(queries: Sequence[int] | int | None, events: Events) -> list[int]:
    if queries is None:
        return [int(place) for place in np.flatnonzero(is_note(events))]
    given = [queries] if isinstance(queries, int | np.integer) else list(queries)
    for place in given:
        if not -len(events) <= place < len(events) or not is_note(events[place]):
            raise ValueError(f"event {place} of {len(events)} is no note; arcs start from notes")
    return [int(place) % len(events) for place in given]


def _heights(events: Events, representation: Representation) -> Floats:
    """Where each event stands on the y axis of the piano roll, (n,)."""
    notes, pitch = is_note(events), events[:, PITCH] - 1
    is_drum = notes & (events[:, INSTRUMENT] == representation.drums_code)
    band = DrumBand(pitch[notes], is_drum[notes])
    return np.where(is_drum, band.heights(pitch), pitch)


def _fade(axes: Axes) -> None:
    """Notes in grey, so that colours are the heads' alone."""
    from matplotlib.collections import PolyCollection

    for drawn in axes.collections:
        if isinstance(drawn, PolyCollection):
            drawn.set_facecolor(_GREY)
