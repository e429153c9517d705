"""One picture of what `distributions` compares: a panel a feature, generated against real pieces."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from mmt.analysis.distributions import Distributions, Feature

_OURS, _THEIRS = "#c1452b", "#33658a"


def picture(found: Distributions) -> bytes:
    """One picture of all features, as the bytes of a PNG file: generated and real side by side, and their agreement."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = 3
    rows = -(-len(found.features) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.7 * rows + 0.9), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for place, one in enumerate(axes):
        if place >= len(found.features):
            one.axis("off")
            continue
        feature = found.features[place]
        (_draw_numbers if feature.real.ndim == 1 else _draw_histograms)(one, feature)
        low, high = feature.floor_low.overlap, feature.floor_high.overlap
        one.set_title(
            f"{feature.name}\noverlap {feature.agreement.overlap:.2f} (real: {low:.2f} to {high:.2f})", fontsize=9.5
        )
        one.tick_params(labelsize=8)
        one.spines[["top", "right"]].set_visible(False)
    axes[0].legend(fontsize=8, frameon=False)
    figure.suptitle(f"{found.generated} generated and {found.real} real pieces, {found.length}", fontsize=12)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130)
    return file.getvalue()


def _draw_numbers(axes: Any, feature: Feature) -> None:
    known = [values[~np.isnan(values)] for values in (feature.real, feature.generated)]
    low, high = (float(end(np.concatenate(known))) for end in (np.min, np.max))
    bins = np.linspace(low, high if high > low else low + 1, 16)
    for values, color, label in zip(known, (_THEIRS, _OURS), ("real", "generated"), strict=True):
        axes.hist(
            values, bins, weights=np.full(len(values), 1 / max(len(values), 1)), color=color, alpha=0.5, label=label
        )
    axes.set_ylabel("share of pieces", fontsize=8)


def _draw_histograms(axes: Any, feature: Feature) -> None:
    bins = np.arange(feature.real.shape[1])
    shown = bins[(feature.real.mean(0) > 0) | (feature.generated.mean(0) > 0)]
    place = np.arange(len(shown))
    for values, color, side, label in (
        (feature.real, _THEIRS, -0.2, "real"),
        (feature.generated, _OURS, 0.2, "generated"),
    ):
        axes.bar(place + side, values.mean(0)[shown], 0.4, color=color, alpha=0.8, label=label)
    step = max(len(shown) // 12, 1)
    axes.set_xticks(place[::step], [str(one) for one in shown[::step]])
    axes.set_ylabel("mean share of notes", fontsize=8)
