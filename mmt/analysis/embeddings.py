"""The learned embedding tables: similarity of codes, and projection onto principal components.

A table is (size, dim), a row per code of a field, code 0 ("none") included. Codes that the training corpus does not contain
keep their random initial values; select the codes that it contains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmt.analysis.intervals import Floats
from mmt.analysis.pieces import field_numbers
from mmt.analysis.plotting import BLUE, RED, code_labels, new_figure
from mmt.sampling.model import Model, check_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def table(model: Model, field: str, codes: Sequence[int] | None = None) -> Floats:
    """The embedding of each code of a field, (size, dim), or of the given codes, (len(codes), dim).

    Raises
    ------
    ValueError
        If there is no such field or code.

    Examples
    --------
    >>> import mmt
    >>> table(mmt.new_model("tiny", seed=0), "pitch").shape
    (129, 32)
    """
    check_model(model)
    weight = model.network.embeddings[field_numbers(str(field))[0]].weight
    rows: Floats = weight.detach().cpu().double().numpy()  # type: ignore[operator]
    wanted = np.arange(len(rows)) if codes is None else np.asarray(codes)
    if not wanted.size or wanted.min() < 0 or wanted.max() >= len(rows):
        raise ValueError(f"codes of the {field} are 0 to {len(rows) - 1}; give at least one of them")
    return np.asarray(rows[wanted])


def similarity(model: Model, field: str, codes: Sequence[int] | None = None) -> Floats:
    """Cosine similarity between the embeddings of the codes after subtracting their mean, (codes, codes).

    Parameters are those of `table`.

    Examples
    --------
    >>> import mmt
    >>> similarity(mmt.new_model("tiny", seed=0), "pitch", range(49, 85)).diagonal().round(6).tolist()[:2]
    [1.0, 1.0]
    """
    rows = _centred_table(model, field, codes)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return np.asarray(rows @ rows.T)


def by_difference(model: Model, field: str, codes: Sequence[int]) -> Floats:
    """Mean similarity of codes with difference k, for k = 0 … len(codes) - 1; `codes` are consecutive.

    If the network has learned them, octaves show at 12 in the pitch, and bars of four beats at 4 in the beat.
    """
    alike = similarity(model, field, codes)
    return np.array([alike.diagonal(k).mean() for k in range(len(alike))])


def projection(
    model: Model, field: str, codes: Sequence[int] | None = None, dimensions: int = 2
) -> tuple[Floats, Floats]:
    """Principal component analysis: coordinates (codes, dimensions) and the share of the variance of each (dimensions,)."""
    rows = _centred_table(model, field, codes)
    left, sizes, _ = np.linalg.svd(rows, full_matrices=False)
    return left[:, :dimensions] * sizes[:dimensions], (sizes**2 / (sizes**2).sum())[:dimensions]


def draw_embeddings(model: Model, field: str, codes: Sequence[int] | None = None) -> Figure:
    """Plot the similarity of all codes, the mean similarity by difference, and the projection onto two components.

    Parameters are those of `table`, two codes or more. Default: all codes but "none".

    Examples
    --------
    >>> import mmt
    >>> len(draw_embeddings(mmt.new_model("tiny", seed=0), "position").axes)
    4
    """
    size = len(table(model, field))
    shown = list(range(int(field != "type"), size) if codes is None else codes)
    if len(shown) < 2:
        raise ValueError(f"codes has {len(shown)} code of the {field}; give two or more")
    names = code_labels(field, model.representation)
    alike, (places, shares) = similarity(model, field, shown), projection(model, field, shown)
    figure = new_figure(10.5, 3.4)
    matrix, bars, plane = figure.subplots(1, 3)
    image = matrix.imshow(alike, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="none")
    ticks = np.linspace(0, len(shown) - 1, min(len(shown), 9)).round().astype(int)
    labels = [names[shown[place]] for place in ticks]
    matrix.set_xticks(ticks, labels, rotation=90)
    matrix.set_yticks(ticks, labels)
    matrix.set_title(f"{field}: cosine similarity", fontsize=9)
    figure.colorbar(image, ax=matrix, pad=0.02).ax.tick_params(labelsize=7)
    mean = by_difference(model, field, shown)[1:]
    bars.bar(np.arange(1, len(mean) + 1), mean, color=np.where(mean >= 0, RED, BLUE).tolist())
    bars.set_xlim(0.4, min(len(mean), 40) + 0.6)
    bars.set_title("mean similarity by code difference", fontsize=9)
    plane.plot(places[:, 0], places[:, 1], color="#d5d5dd", linewidth=0.7)
    every = max(len(shown) // 36, 1)
    plane.plot(places[:, 0], places[:, 1], ".", markersize=2, color=BLUE)
    for (x, y), code in list(zip(places[:, :2], shown, strict=True))[::every]:
        plane.annotate(names[code], (x, y), fontsize=7)
    plane.set_title(f"projection ({100 * shares.sum():.0f} % of the variance)", fontsize=9)
    for axes in (matrix, bars, plane):
        axes.tick_params(labelsize=7, length=2)
    return figure


def _centred_table(model: Model, field: str, codes: Sequence[int] | None) -> Floats:
    rows = table(model, field, codes)
    return np.asarray(rows - rows.mean(axis=0))
