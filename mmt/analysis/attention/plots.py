"""Plots of attention statistics: the paper's figure 3 for every layer, all heads at once, and attention between codes.

Red is more than the baseline, blue is less. Consonances and multiples of four beats are highlighted. Layers and heads count
from 0, as in the arrays. Sizes are in inches; text is 7 points or more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mmt.analysis.attention.nulls import Contrast
from mmt.analysis.attention.pairs import Sums
from mmt.analysis.attention.statistics import Absolute, Relative, Which
from mmt.analysis.intervals import ENOUGH
from mmt.analysis.plotting import BLUE, RED, code_labels, new_figure
from mmt.representation.codes import PAPER, Representation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _BAND = "#2b2b33", "#f3ead2"
_SMALL, _TITLE = 7, 10
_LABEL: dict[str, Any] = {"fontsize": 8, "color": _INK}
_TICKS: dict[str, Any] = {"labelsize": _SMALL, "labelcolor": _INK}


class _Axis(NamedTuple):
    label: str
    tick: int
    limits: tuple[int, int] | None = None  # None: all differences


_AXES = {
    "type": _Axis("type, codes", 1),
    "beat": _Axis("beats from query to key", 8, (-32, 0)),
    "position": _Axis("position, steps", 3, (-11, 11)),
    "pitch": _Axis("pitch, semitones", 6, (-24, 24)),
    "duration": _Axis("duration, codes", 8, (-31, 31)),
    "instrument": _Axis("instrument, codes", 16),
}
# Thirds, fourths, fifths, sixths and octaves, in semitones modulo 12.
CONSONANCES = (0, 3, 4, 5, 7, 8, 9)
_NAMES = {
    "gamma": "mean relative attention",
    "gain": "gain over the paper's baseline, every pair alike",
    "row_gain": "gain over a head that attends evenly",
    "moments": "gain over the null model that permutes simultaneous notes",
    "events": "gain over the null model that keeps the mean weight at each distance in events",
    "beats": "gain over the null model that keeps the mean weight at each distance in beats",
}


def stands_out(field: str, differences: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which differences are highlighted, (K,): multiples of 4 beats, consonances, and 0 in the other fields.

    >>> stands_out("beat", [-8, -4, -1, 0]).tolist(), stands_out("pitch", [-12, -6, 0, 7]).tolist()
    ([True, True, False, True], [True, False, True, True])
    """
    values = np.asarray(differences)
    if field == "pitch":
        return np.isin(np.abs(values) % 12, CONSONANCES)
    return np.asarray(values % 4 == 0 if field == "beat" else values == 0)


def draw_gain(
    statistics: Mapping[str, Relative | Contrast] | Relative | Contrast,
    *,
    of: Which = "row_gain",
    layers: Sequence[int] | None = None,
    head: int | None = None,
    fields: Sequence[str] | None = None,
    level: float | None = 0.95,
    of_what: str = "",
) -> Figure:
    """Draw the paper's figure 3: a bar per difference, a row of panels per layer, a column per field.

    Parameters
    ----------
    statistics : mapping from fields to Relative or Contrast, or one of them
        From `relative(model, pieces)`, `relative(model, pieces, field)` or `contrast(model, pieces, field, null)`.
    of : "row_gain", "gain" or "gamma"
        Ignored for a Contrast, which has one gain.
    layers : sequence of int, optional
        Default: all.
    head : int, optional
        Default: all heads of a layer merged.
    fields : sequence of str, optional
        Default: beat, position and pitch, or the only one given.
    level : float, optional
        Of the confidence intervals, drawn as thin lines, or of a Contrast's simultaneous bands. None, or a single piece: none.
    of_what : str
        The model and the corpus, for the title.

    Raises
    ------
    ValueError
        If the statistics do not have the field, layer or head.
    """
    if isinstance(statistics, Relative | Contrast):
        statistics = {statistics.field: statistics}
        fields = fields or list(statistics)
    fields = fields or ("beat", "position", "pitch")
    if missing := [field for field in fields if field not in statistics]:
        raise ValueError(f"there are no statistics of {missing[0]!r}; choose one of {', '.join(statistics)}")
    layer_count, head_count, _ = statistics[fields[0]].attention.shape[1:]
    layers = check_indices("layer", range(layer_count) if layers is None else layers, layer_count)
    check_indices("head", [] if head is None else [head], head_count)
    figure = new_figure(7.2, 1.45 + 1.25 * len(layers))
    widths = [np.sqrt(np.ptp(_limits(statistics[field])) + 4) for field in fields]
    grid = figure.subplots(len(layers), len(fields), squeeze=False, width_ratios=widths)
    for field, column in zip(fields, grid.T, strict=True):
        values, ends = _bars(statistics[field], of, layers, head, level)
        for row, axes in enumerate(column):
            _draw_bars(axes, statistics[field], values[row], None if ends is None else ends[:, row])
        column[-1].set_xlabel(_AXES[field].label, **_LABEL)
    for axes, layer in zip(grid[:, 0], layers, strict=True):
        axes.set_ylabel(f"layer {layer}\n%", **_LABEL)
    figure.suptitle(_title(statistics[fields[-1]], of, head, level, of_what), fontsize=_TITLE, color=_INK)
    kind = "simultaneous band" if isinstance(statistics[fields[-1]], Contrast) else "interval"
    _legend(figure, of, None if level is None or ends is None else f"{100 * level:g} % {kind}")
    return figure


def _bars(
    found: Relative | Contrast, of: Which, layers: list[int], head: int | None, level: float | None
) -> tuple[Sums, Sums | None]:
    """Heights (layer, K) in percent, and the ends of their intervals (2, layer, K), None without."""
    found, heads = (found.merged(), [0]) if head is None else (found, [head])
    chosen = np.ix_(layers, heads)
    if isinstance(found, Relative):
        # Its intervals do not depend on other layers and heads.
        found = replace(found, attention=found.attention[:, layers][:, :, heads])
        chosen = np.ix_(range(len(layers)), [0])
    values = 100 * (found.gain if isinstance(found, Contrast) else getattr(found, of))[chosen][:, 0]
    if level is None or found.pieces < 2:
        return values, None
    interval = found.interval(level) if isinstance(found, Contrast) else found.interval(level, of)
    return values, 100 * np.stack([end[chosen][:, 0] for end in interval])


def _title(found: Relative | Contrast, of: Which, head: int | None, level: float | None, of_what: str) -> str:
    name = _NAMES[found.null if isinstance(found, Contrast) else of]
    heads = "all heads of a layer as one" if head is None else f"head {head}"
    few = ": the intervals are rough" if level is not None and found.pieces < ENOUGH else ""
    return f"{name.capitalize()}\n{heads}, {len(found.attention):,} pieces{few}\n{of_what}".rstrip()


def draw_heads(found: Relative, *, of: Which = "row_gain", of_what: str = "") -> Figure:
    """Draw every head of every layer as a heat map: a row per head, a column per difference.

    >>> import mmt
    >>> model = mmt.new_model("tiny", seed=0)
    >>> notes = [[3, 1, 1, 61, 12, 25], [3, 2, 1, 65, 12, 25]]
    >>> len(draw_heads(mmt.attention.relative(model, np.array(notes), "pitch")).axes)
    2
    """
    inside, (layers, heads) = _inside(found), found.attention.shape[1:3]
    shown = found.differences[inside]
    values = 100 * getattr(found, of)[..., inside].reshape(layers * heads, -1)
    figure = new_figure(7.2, 1.2 + 0.16 * layers * heads)
    axes = figure.subplots()
    edges = (shown[0] - 0.5, shown[-1] + 0.5, layers * heads - 0.5, -0.5)
    image = axes.imshow(values, **_colors(values, of), extent=edges, aspect="auto", interpolation="none")
    axes.hlines(np.arange(heads, layers * heads, heads) - 0.5, *edges[:2], colors=_INK, linewidths=0.6)
    names = [f"{layer}.{head}" for layer, head in np.ndindex(layers, heads)]
    axes.set_yticks(range(layers * heads), names)
    axes.set_ylabel("layer.head", **_LABEL)
    axes.set_xticks(_ticks(found.field, shown))
    axes.set_xlabel(_AXES[found.field].label, **_LABEL)
    axes.set_title(f"{found.field}: {_NAMES[of]}, every head\n{of_what}".rstrip(), fontsize=_TITLE, color=_INK)
    axes.tick_params(length=2, **_TICKS)
    _color_bar(figure, axes, image, "%")
    return figure


def draw_codes(
    found: Absolute,
    *,
    layer: int | None = None,
    head: int | None = None,
    of: Which = "gamma",
    representation: Representation = PAPER,
    of_what: str = "",
) -> Figure:
    """Draw attention between the codes that occur as a heat map: a row per query's code, a column per key's code.

    By default all layers and all heads are merged. The model's `representation` gives the names of the codes.
    """
    layers, heads = found.attention.shape[1:3]
    check_indices("layer", [layer or 0], layers)
    check_indices("head", [head or 0], heads)
    if head is None:
        found = found.merged(layers=layer is None)
    values = getattr(found, of)[layer or 0, head or 0]
    seen = np.flatnonzero(found.pairs.any(axis=(0, 1)) | found.pairs.any(axis=(0, 2)))
    values = 100 * values[np.ix_(seen, seen)]
    names = [code_labels(found.field, representation)[code] for code in found.codes[seen]]
    side = float(np.clip(0.15 * len(seen), 1.8, 7.0))
    figure = new_figure(side + 2.4, side + 1.4)
    axes = figure.subplots()
    image = axes.imshow(values, **_colors(values, of), interpolation="none")
    axes.set_xticks(range(len(seen)), names, rotation=90)
    axes.set_yticks(range(len(seen)), names)
    axes.tick_params(length=0, **_TICKS)
    axes.set_xlabel(f"key's {found.field}", **_LABEL)
    axes.set_ylabel(f"query's {found.field}", **_LABEL)
    _color_bar(figure, axes, image, "% of the query's attention" + (", minus the baseline" if of != "gamma" else ""))
    which = "all heads of " if head is None else f"head {head}, "
    which += "all layers" if layer is None else f"layer {layer}"
    # In lines, because the figure may be narrow.
    axes.set_title(f"{_NAMES[of]}\n{which}\n{of_what}".rstrip(), **_LABEL)
    return figure


def check_indices(what: str, wanted: Iterable[int], count: int) -> list[int]:
    """The indices as a list; raises a `ValueError` for one that is not in 0 … count - 1."""
    for index in wanted:
        if not 0 <= index < count:
            raise ValueError(f"there is no {what} {index}; there are {count}, counted from 0")
    return [int(index) for index in wanted]


def _draw_bars(axes: Axes, found: Relative | Contrast, values: Sums, ends: Sums | None) -> None:
    from matplotlib.collections import PolyCollection

    inside = _inside(found)
    where, height = found.differences[inside], values[inside]
    # As collections: matplotlib takes long for many patches.
    spans = [(place - 0.5, 1) for place in where[stands_out(found.field, where)]]
    axes.broken_barh(spans, (0, 1), transform=axes.get_xaxis_transform(), color=_BAND, linewidth=0, zorder=0)
    left, right, zero = where - 0.4, where + 0.4, 0 * height
    corners = np.stack([left, zero, left, height, right, height, right, zero], axis=-1).reshape(-1, 4, 2)
    colors = np.where(height >= 0, RED, BLUE).tolist()
    axes.add_collection(PolyCollection(list(corners), facecolors=colors, zorder=2))
    if ends is not None:
        axes.vlines(where, ends[0, inside], ends[1, inside], colors=_INK, linewidths=0.5, zorder=3)
    _limit_height(axes, where, height, zero if ends is None else ends[:, inside])
    axes.axhline(0, color=_INK, linewidth=0.6, zorder=2.5)
    low, high = _limits(found)
    axes.set_xlim(low - 0.7, high + 0.7)
    axes.set_xticks(_ticks(found.field, where))
    axes.locator_params(axis="y", nbins=4)
    axes.tick_params(length=2, **_TICKS)
    axes.spines[["top", "right"]].set_visible(False)


def _limit_height(axes: Axes, where: npt.NDArray[Any], height: Sums, ends: Sums) -> None:
    """End the y axis at twice the third highest bar, and write "difference: value" beside each bar that is cut off."""
    top = 2 * float(np.sort(np.abs(height))[-3:][0])
    high, low = min(float(max(height.max(), ends.max())), top) or 1.0, float(min(height.min(), ends.min(), 0))
    axes.set_ylim(low - 0.08 * (high - low) * (low < 0), high + 0.15 * (high - low))
    cut = where[height > top]
    for row, place in enumerate(cut[::-1]):
        axes.annotate(
            f"{place}: {height[where == place][0]:.1f}", (cut.min() - 0.5, 1), (-2, -1 - 8 * row), color=_INK,
            xycoords=axes.get_xaxis_transform(), textcoords="offset points", ha="right", va="top", fontsize=_SMALL,
        )  # fmt: skip


def _legend(figure: Figure, of: Which, interval: str | None) -> None:
    """Name every mark of `draw_gain` below its panels."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    colors = {RED: "share"} if of == "gamma" else {RED: "more than the baseline", BLUE: "less"}
    colors[_BAND] = "multiple of 4 beats, consonance, or same code"
    marks: list[Any] = [Patch(facecolor=color, label=label) for color, label in colors.items()]
    marks += [Line2D([], [], color=_INK, linewidth=0.5, label=interval)] if interval else []
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), frameon=False, fontsize=_SMALL)


def _ticks(field: str, shown: npt.NDArray[Any]) -> list[int]:
    return [int(value) for value in shown if value % _AXES[field].tick == 0]


def _limits(found: Relative | Contrast) -> tuple[int, int]:
    return _AXES[found.field].limits or (int(found.differences[0]), int(found.differences[-1]))


def _inside(found: Relative | Contrast) -> npt.NDArray[np.bool_]:
    low, high = _limits(found)
    return np.asarray((found.differences >= low) & (found.differences <= high))


def _colors(values: Sums, of: Which) -> dict[str, Any]:
    """Colour map and range: diverging around zero for a gain, sequential for gamma; the top 3 % saturate."""
    top = float(np.nanquantile(np.abs(values), 0.97)) or 1.0
    return {"cmap": "Reds", "vmin": 0, "vmax": top} if of == "gamma" else {"cmap": "RdBu_r", "vmin": -top, "vmax": top}


def _color_bar(figure: Figure, axes: Axes, image: Any, label: str) -> None:
    bar = figure.colorbar(image, ax=axes, pad=0.02, extend="both" if image.norm.vmin < 0 else "max")
    bar.set_label(label, **_LABEL)
    bar.ax.tick_params(**_TICKS)
