"""Pictures of attention statistics: the paper's figure 3 for every layer, all heads at once, and attention from code to code.

Red is more than the baseline gives, blue is less. Consonances and multiples of four beats stand out. Layers and heads count from
0, as in the arrays. Figures are not known to pyplot: nothing stays open. Sizes are in inches; text is 7 points or more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mmt.analysis.attention.pairs import Sums
from mmt.analysis.attention.statistics import Absolute, Relative, Which
from mmt.analysis.plotting import BLUE, RED, code_labels, new_figure
from mmt.representation.codes import PAPER, Representation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _BAND = "#2b2b33", "#f3ead2"
_SMALL, _TEXT, _TITLE = 7, 8, 10

# How far a panel reaches (type and instrument: all differences), and the differences that stand out in it: multiples of 4 beats;
# thirds, fourths, fifths, sixths, octaves, and these with octaves between.
_REACH = {"beat": (-32, 0), "position": (-11, 11), "pitch": (-24, 24), "duration": (-31, 31)}
CONSONANCES = (0, 3, 4, 5, 7, 8, 9)
_AXIS = {
    "beat": "beats from query to key", "position": "position, steps", "pitch": "pitch, semitones",
    "duration": "duration, codes", "instrument": "instrument, codes", "type": "type, codes",
}  # fmt: skip
_NAMES = {
    "gamma": "mean relative attention",
    "gain": "gain over the paper's baseline, every pair alike",
    "row_gain": "gain over a head that attends evenly",
}


def stands_out(field: str, differences: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which differences are marked, (K,): multiples of 4 beats, consonances, the same position.

    >>> stands_out("beat", [-8, -4, -1, 0]).tolist(), stands_out("pitch", [-12, -6, 0, 7]).tolist()
    ([True, True, False, True], [True, False, True, True])
    """
    values = np.asarray(differences)
    if field == "beat":
        return np.asarray(values % 4 == 0)
    if field == "pitch":
        return np.isin(np.abs(values) % 12, CONSONANCES)
    return np.asarray(values == 0)


def draw_gain(
    statistics: Mapping[str, Relative] | Relative,
    *,
    of: Which = "row_gain",
    layers: Sequence[int] | None = None,
    head: int | None = None,
    fields: Sequence[str] | None = None,
    level: float | None = 0.95,
) -> Figure:
    """The paper's figure 3: a bar for each difference, a row of panels for each layer, a column for each field.

    Parameters
    ----------
    statistics : mapping from fields to Relative, or one Relative
        What `relative(model, pieces)` gives, or `relative(model, pieces, field)`.
    of : "row_gain", "gain" or "gamma"
    layers : sequence of int, optional
        Default: all.
    head : int, optional
        Default: all heads of a layer as one.
    fields : sequence of str, optional
        Default: beat, position and pitch, or the one that there is.
    level : float, optional
        Of the bootstrap intervals, drawn as thin lines; None (or a single piece) for none.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no such field, layer or head in the statistics.
    """
    if isinstance(statistics, Relative):
        statistics = {statistics.field: statistics}
        fields = fields or list(statistics)
    fields = fields or ("beat", "position", "pitch")
    if missing := [field for field in fields if field not in statistics]:
        raise ValueError(f"there are no statistics of {missing[0]!r}; there are of {', '.join(statistics)}")
    shape = statistics[fields[0]].attention.shape
    chosen = _within("layer", range(shape[1]) if layers is None else layers, shape[1])
    if head is not None:
        _within("head", [head], shape[2])
    figure = new_figure(7.2, 0.75 + 1.25 * len(chosen))
    grid = figure.subplots(
        len(chosen), len(fields), squeeze=False, width_ratios=[_width(statistics[field]) for field in fields]
    )
    for column, field in enumerate(fields):
        found = statistics[field] if head is not None else statistics[field].merged()
        values = 100 * getattr(found, of)
        ends = np.array(found.confidence(level, of)) * 100 if level is not None and shape[0] > 1 else None
        for row, layer in enumerate(chosen):
            edges = None if ends is None else ends[:, layer, head or 0]
            _bars(grid[row, column], found, values[layer, head or 0], edges)
            if row == len(chosen) - 1:
                grid[row, column].set_xlabel(_AXIS[field], fontsize=_TEXT, color=_INK)
            if column == 0:
                grid[row, 0].set_ylabel(f"layer {layer}\n%", fontsize=_TEXT, color=_INK)
    whose = "all heads of a layer as one" if head is None else f"head {head}"
    figure.suptitle(f"{_NAMES[of].capitalize()}; {whose}, {shape[0]:,} pieces", fontsize=_TITLE, color=_INK)
    return figure


def draw_heads(found: Relative, *, of: Which = "row_gain") -> Figure:
    """Every head of every layer: a row of colours for each, a column for each difference.

    >>> import mmt
    >>> model = mmt.new_model("tiny", seed=0)
    >>> notes = [[3, 1, 1, 61, 12, 25], [3, 2, 1, 65, 12, 25]]
    >>> len(draw_heads(mmt.attention.relative(model, np.array(notes), "pitch")).axes)
    2
    """
    low, high = _reach(found)
    inside = (found.differences >= low) & (found.differences <= high)
    layers, heads = found.attention.shape[1:3]
    values = 100 * getattr(found, of)[..., inside].reshape(layers * heads, -1)
    figure = new_figure(7.2, 1.2 + 0.16 * layers * heads)
    axes = figure.subplots()
    shown = found.differences[inside]
    edges = (shown[0] - 0.5, shown[-1] + 0.5, layers * heads - 0.5, -0.5)
    image = axes.imshow(values, **_colors(values, of), extent=edges, aspect="auto", interpolation="none")
    axes.hlines(np.arange(heads, layers * heads, heads) - 0.5, *edges[:2], colors=_INK, linewidths=0.6)
    middle = np.arange(layers) * heads + heads / 2 - 0.5
    axes.set_yticks(middle, [f"layer {layer}" for layer in range(layers)])
    axes.set_xticks(_ticks(found.field, shown))
    axes.set_xlabel(_AXIS[found.field], fontsize=_TEXT, color=_INK)
    axes.set_title(f"{found.field}: {_NAMES[of]}, every head", fontsize=_TITLE, color=_INK)
    axes.tick_params(labelsize=_SMALL, length=2, labelcolor=_INK)
    _color_bar(figure, axes, image, "%")
    return figure


def draw_codes(
    found: Absolute,
    *,
    layer: int | None = None,
    head: int | None = None,
    of: Which = "gamma",
    representation: Representation = PAPER,
) -> Figure:
    """Attention from code to code, as far as codes come up: a row for the query's code, a column for the key's.

    Parameters
    ----------
    found : Absolute
        Of the type, the duration or the instrument, say.
    layer, head : int, optional
        Default: all layers as one; all heads as one.
    of : "gamma", "gain" or "row_gain"
    representation : Representation
        What the codes mean: the model's.
    """
    layers, heads = found.attention.shape[:2]
    _within("layer", [layer or 0], layers)
    _within("head", [head or 0], heads)
    if head is None:
        found = found.merged(layers=layer is None)
    values = getattr(found, of)[layer or 0, head or 0]
    seen = np.flatnonzero(found.pairs.any(axis=0) | found.pairs.any(axis=1))
    values = 100 * values[np.ix_(seen, seen)]
    names = [code_labels(found.field, representation)[code] for code in found.codes[seen]]
    side = float(np.clip(0.15 * len(seen), 1.8, 7.0))
    figure = new_figure(side + 2.4, side + 1.4)
    axes = figure.subplots()
    image = axes.imshow(values, **_colors(values, of), interpolation="none")
    axes.set_xticks(range(len(seen)), names, rotation=90)
    axes.set_yticks(range(len(seen)), names)
    axes.tick_params(labelsize=_SMALL, length=0, labelcolor=_INK)
    axes.set_xlabel(f"key's {found.field}", fontsize=_TEXT, color=_INK)
    axes.set_ylabel(f"query's {found.field}", fontsize=_TEXT, color=_INK)
    _color_bar(figure, axes, image, "% of the query's attention")
    return figure


def _bars(axes: Axes, found: Relative, values: Sums, ends: Sums | None) -> None:
    low, high = _reach(found)
    inside = (found.differences >= low) & (found.differences <= high)
    where, height = found.differences[inside], values[inside]
    marked = stands_out(found.field, where)
    for place in where[marked]:
        axes.axvspan(place - 0.5, place + 0.5, color=_BAND, linewidth=0, zorder=0)
    axes.bar(where, height, width=0.8, color=np.where(height >= 0, RED, BLUE).tolist(), zorder=2)
    if ends is not None:
        axes.vlines(where, ends[0, inside], ends[1, inside], colors=_INK, linewidths=0.5, zorder=3)
    _limit(axes, where, height, 0 * height if ends is None else ends[:, inside])
    axes.axhline(0, color=_INK, linewidth=0.6, zorder=2.5)
    axes.set_xlim(low - 0.7, high + 0.7)
    axes.set_xticks(_ticks(found.field, where))
    axes.locator_params(axis="y", nbins=4)
    axes.tick_params(labelsize=_SMALL, length=2, labelcolor=_INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _limit(axes: Axes, where: npt.NDArray[Any], height: Sums, ends: Sums) -> None:
    """End the scale above the third highest bar: one that is cut off has its number beside it, "difference: value"."""
    reach = 2 * float(np.sort(np.abs(height))[-3:][0])
    high = min(float(max(height.max(), ends.max())), reach) or 1.0
    low = float(min(height.min(), ends.min(), 0))
    axes.set_ylim(low - 0.08 * (high - low) * (low < 0), high + 0.15 * (high - low))
    cut = where[height > reach]
    for row, place in enumerate(cut[::-1]):
        axes.annotate(
            f"{place}: {height[where == place][0]:.1f}", (cut.min() - 0.5, 1), (-2, -1 - 8 * row),
            xycoords=axes.get_xaxis_transform(), textcoords="offset points", ha="right", va="top", fontsize=_SMALL,
            color=_INK,
        )  # fmt: skip


def _ticks(field: str, shown: npt.NDArray[Any]) -> list[int]:
    steps = {"beat": 8, "position": 3, "pitch": 6, "duration": 8, "instrument": 16, "type": 1}
    return [int(value) for value in shown if value % steps[field] == 0]


def _reach(found: Relative) -> tuple[int, int]:
    return _REACH.get(found.field, (int(found.differences[0]), int(found.differences[-1])))


def _width(found: Relative) -> float:
    low, high = _reach(found)
    return float(np.sqrt(high - low + 4))


def _colors(values: Sums, of: Which) -> dict[str, Any]:
    """Red and blue around zero for a gain; deeper for more where all is above zero. The deepest three in a hundred are alike."""
    reach = float(np.nanquantile(np.abs(values), 0.97)) or 1.0
    return (
        {"cmap": "Reds", "vmin": 0, "vmax": reach}
        if of == "gamma"
        else {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach}
    )


def _color_bar(figure: Figure, axes: Axes, image: Any, label: str) -> None:
    bar = figure.colorbar(image, ax=axes, pad=0.02, extend="both" if image.norm.vmin < 0 else "max")
    bar.set_label(label, fontsize=_TEXT, color=_INK)
    bar.ax.tick_params(labelsize=_SMALL, labelcolor=_INK)


def _within(what: str, wanted: Sequence[int], count: int) -> list[int]:
    for number in wanted:
        if not 0 <= number < count:
            raise ValueError(f"there is no {what} {number}; there are {count}, counted from 0")
    return list(wanted)
