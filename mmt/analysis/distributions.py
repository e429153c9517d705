"""Distributions of generated and real pieces, compared feature by feature, after Yang and Lerch (2020).

    Li-Chia Yang and Alexander Lerch: On the evaluation of generative models in music.
    Neural Computing and Applications 32, 4773-4784, 2020.

A feature is a number or a histogram per piece. Euclidean distances are taken between all pairs of real pieces (intra-set) and
all pairs of a generated and a real piece (inter-set), and the density of both is estimated (Gaussian kernels, Scott's
bandwidth). `overlap` is the area under both densities, 0 to 1; 1 means that generated pieces differ from real ones as real
pieces differ from each other. `divergence` is the Kullback-Leibler divergence of the inter-set from the intra-set density, in
nats. For features that are numbers, `wasserstein` is the first Wasserstein distance of the two sets, in the feature's unit.

These figures depend on the number of pieces, and no two sets of real pieces agree exactly. The noise floor is the same
comparison of real pieces with real pieces, split at random: as many as were generated (at most half) against the rest. It is
the mean and the middle 95 % of `SPLITS` splits. Pitch classes are absolute: a model trained on transposed pieces writes in all
keys and differs there from pieces in the usual keys. Features of pitch ignore drums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmt.analysis.intervals import Floats
from mmt.analysis.metrics import METRICS
from mmt.analysis.note_metrics import cut_notes, note_metrics, onsets, pitched
from mmt.analysis.plotting import new_figure, png_of, style_panel
from mmt.corpus.storage import Corpus
from mmt.representation.codes import PAPER, Representation, check_several
from mmt.representation.decode import check_codes, notes_of_events
from mmt.representation.notes import NoteTable

SPLITS = 40
_GRID = 512
_GENERATED, _REAL = "#c1452b", "#33658a"


@dataclass(frozen=True)
class Agreement:
    """How well two sets of pieces agree in one feature."""

    overlap: float
    divergence: float
    wasserstein: float | None
    """None for histograms."""


@dataclass(frozen=True)
class Feature:
    """A feature of generated and of real pieces; the noise floor has a mean, a low and a high end."""

    name: str
    generated: Floats
    """(pieces,) or (pieces, bins)."""
    real: Floats
    agreement: Agreement
    floor: Agreement
    floor_low: Agreement
    floor_high: Agreement
    undefined: tuple[int, int]
    """Number of generated and of real pieces without a value."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the values."""
        parts = ("agreement", "floor", "floor_low", "floor_high")
        return {"undefined": list(self.undefined)} | {part: asdict(getattr(self, part)) for part in parts}


@dataclass(frozen=True)
class Distributions:
    """The comparison of all features."""

    features: tuple[Feature, ...]
    generated: int
    """Number of pieces."""
    real: int
    length: str
    """What was compared: "whole pieces", or "the first N beats"."""
    left_out: tuple[str, ...] = ()
    """Features that too few pieces have: a piece with one onset has no groove."""

    def __str__(self) -> str:
        lines = [
            f"{self.generated:,} generated and {self.real:,} real pieces, {self.length}; in brackets: real against real",
            f"{'feature':<30} {'overlap':<24} {'divergence':<28} wasserstein",
        ]
        for feature in self.features:
            cells = [_cell(feature, name) for name in ("overlap", "divergence", "wasserstein")]
            lines.append(f"{feature.name:<30} {cells[0]:<24} {cells[1]:<28} {cells[2]}")
        if self.left_out:
            lines.append(f"too few pieces have: {', '.join(self.left_out)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        features = {feature.name: feature.to_dict() for feature in self.features}
        return vars(self) | {"left_out": list(self.left_out), "features": features}


def compare_distributions(
    generated: Iterable[npt.ArrayLike],
    real: Iterable[npt.ArrayLike],
    *,
    beats: int | None = 64,
    seed: int = 0,
    representation: Representation | None = None,
) -> Distributions:
    """Compare the distributions of generated and real pieces, feature by feature.

    Parameters
    ----------
    generated, real : iterables of array_like of int, (n_i, 6)
        At least 3 and 6 pieces.
    beats : int, optional
        Compare only the first `beats` beats, since features depend on the length of a piece. None: whole pieces.
    seed : int
        Of the splits of the noise floor.
    representation : Representation, optional
        Default: that of `real` if it is a corpus, else the paper's.

    Raises
    ------
    ValueError
        If there are too few pieces, or a piece has a code out of range.

    Examples
    --------
    >>> import mmt
    >>> pieces = mmt.new_model("tiny", seed=0).generate(n=12, seed=1, max_events=64)
    >>> found = compare_distributions(pieces[:4], pieces[4:])
    >>> 0 <= found.features[0].agreement.overlap <= 1
    True
    """
    check_several(generated)
    check_several(real)
    if representation is None:
        representation = real.representation if isinstance(real, Corpus) else PAPER
    ours, theirs = (_features(pieces, representation, beats) for pieces in (generated, real))
    if len(ours) < 3 or len(theirs) < 6:
        raise ValueError(
            f"{len(ours)} generated and {len(theirs)} real pieces with notes are too few to compare; give at least 3 and 6"
        )
    features, left_out = [], []
    for name in ours[0]:
        values = [np.array([piece[name] for piece in pieces], float) for pieces in (ours, theirs)]
        if feature := _compare(name, values[0], values[1], seed):
            features.append(feature)
        else:
            left_out.append(name)
    length = "whole pieces" if beats is None else f"the first {beats} beats"
    return Distributions(tuple(features), len(ours), len(theirs), length, tuple(left_out))


def picture(found: Distributions) -> bytes:
    """Plot the features of generated and real pieces and their agreement; returns the bytes of a PNG file."""
    columns = 3
    rows = -(-len(found.features) // columns)
    figure = new_figure(4.2 * columns, 2.7 * rows + 0.9)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(found.features) :]:
        axes.axis("off")
    for axes, feature in zip(panels, found.features, strict=False):
        (_draw_numbers if feature.real.ndim == 1 else _draw_histograms)(axes, feature)
        low, high = feature.floor_low.overlap, feature.floor_high.overlap
        overlap = f"overlap {feature.agreement.overlap:.2f} (real: {low:.2f} to {high:.2f})"
        style_panel(axes, f"{feature.name}\n{overlap}")
    panels[0].legend(fontsize=8, frameon=False)
    figure.suptitle(f"{found.generated} generated and {found.real} real pieces, {found.length}", fontsize=12)
    return png_of(figure)


def agreement(ours: Floats, theirs: Floats) -> Agreement:
    """Overlap and divergence of the inter-set and intra-set distances of two sets, and their Wasserstein distance."""
    from scipy.spatial.distance import cdist, pdist
    from scipy.stats import wasserstein_distance

    generated, real = (values.reshape(len(values), -1) for values in (ours, theirs))
    inter, intra = cdist(generated, real).ravel(), pdist(real)
    greatest = max(float(inter.max()), float(intra.max()))
    distance = float(wasserstein_distance(ours, theirs)) if ours.ndim == 1 else None
    if greatest == 0:
        return Agreement(1.0, 0.0, distance)
    grid = np.linspace(-0.25 * greatest, 1.25 * greatest, _GRID)
    between, within = (_probabilities(values, grid) for values in (inter, intra))
    overlap = float(np.minimum(between, within).sum())
    # The smallest probability keeps the divergence finite where a kernel density underflows to 0.
    between, within = (np.maximum(density, 1e-12) for density in (between, within))
    divergence = float((between * np.log(between / within)).sum())
    return Agreement(min(overlap, 1.0), max(divergence, 0.0), distance)


def _features(
    pieces: Iterable[npt.ArrayLike], representation: Representation, beats: int | None
) -> list[dict[str, Any]]:
    """The features by name of the first beats of each piece that has notes there; NaN where undefined."""
    found = []
    for piece in pieces:
        notes = notes_of_events(check_codes(piece, representation), representation)
        notes = notes if beats is None else cut_notes(notes, beats, representation.resolution)
        if len(notes):
            found.append(_features_of_notes(notes, representation))
    return found


def _features_of_notes(notes: NoteTable, representation: Representation) -> dict[str, Any]:
    resolution, durations = representation.resolution, len(representation.durations) + 1
    metrics, tones = note_metrics(notes, representation), pitched(notes, representation)
    shown = [name for name, metric in METRICS.items() if metric.distribution]
    return {
        **{name.replace("_corrected", "").replace("_", " "): metrics[name] for name in shown},
        "pitch range": int(tones["pitch"].max()) - int(tones["pitch"].min()) if len(tones) else np.nan,
        "mean interval": _mean_interval(tones, resolution) if len(tones) else np.nan,
        "steps between onsets": _mean(np.diff(np.unique(onsets(notes, resolution)))),
        "pitch classes": _shares(tones["pitch"] % 12, 12),
        "positions in the beat": _shares(notes["position"], resolution),
        "duration codes": _shares(representation.duration_codes(notes["duration"]), durations),
    }


def _shares(codes: npt.NDArray[np.integer[Any]], size: int) -> Floats:
    return np.bincount(codes, minlength=size) / (len(codes) or np.nan)


def _mean_interval(notes: NoteTable, resolution: int) -> float:
    """Mean melodic interval within the parts, in semitones, between the highest notes of successive onsets."""
    onset, pitch = onsets(notes, resolution), notes["pitch"].astype(np.int64)
    order = np.lexsort((pitch, onset, notes["instrument"]))
    onset, pitch, part = onset[order], pitch[order], notes["instrument"][order]
    top = np.append((np.diff(onset) != 0) | (np.diff(part) != 0), True)
    return _mean(np.abs(np.diff(pitch[top]))[np.diff(part[top].astype(np.int64)) == 0])


def _mean(values: npt.NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else np.nan


def _compare(name: str, ours: Floats, theirs: Floats, seed: int) -> Feature | None:
    """Compare one feature; None if too few pieces have a value."""
    known = [values[~np.isnan(values.reshape(len(values), -1)).any(axis=1)] for values in (ours, theirs)]
    if len(known[0]) < 3 or len(known[1]) < 6:
        return None
    random, count = np.random.default_rng(seed), len(known[1])
    size = max(min(len(known[0]), count // 2), 2)
    orders = (random.permutation(count) for _ in range(SPLITS))
    draws = [astuple(agreement(known[1][order[:size]], known[1][order[size:]])) for order in orders]
    columns = np.array(draws, np.float64).T  # without a distance: NaN

    def summary(of: Callable[[Floats], Any]) -> Agreement:
        overlap, divergence, distance = (float(of(column)) for column in columns)
        return Agreement(overlap, divergence, None if np.isnan(distance) else distance)

    return Feature(
        name=name, generated=ours, real=theirs, agreement=agreement(*known), floor=summary(np.mean),
        floor_low=summary(lambda values: np.percentile(values, 2.5)),
        floor_high=summary(lambda values: np.percentile(values, 97.5)),
        undefined=(len(ours) - len(known[0]), len(theirs) - len(known[1])),
    )  # fmt: skip


def _probabilities(values: Floats, grid: Floats) -> Floats:
    """Gaussian kernel density with Scott's bandwidth, as probabilities of the grid's points (sum 1).

    The values are put in bins first: `scipy.stats.gaussian_kde` takes 100 times as long for 40,000 distances.
    """
    from scipy.ndimage import gaussian_filter1d

    step = grid[1] - grid[0]
    counts = np.histogram(values, bins=np.append(grid - step / 2, grid[-1] + step / 2))[0].astype(np.float64)
    bandwidth = max(float(values.std()) * len(values) ** -0.2 / step, 1.0)  # at least one bin
    smooth = gaussian_filter1d(counts, bandwidth, mode="constant", truncate=_GRID / bandwidth)
    return np.asarray(smooth / smooth.sum(), np.float64)


def _cell(feature: Feature, name: str) -> str:
    value, low, high = (getattr(part, name) for part in (feature.agreement, feature.floor_low, feature.floor_high))
    return "" if value is None else f"{value:.3f} ({low:.3f} to {high:.3f})"


def _draw_numbers(axes: Any, feature: Feature) -> None:
    known = [values[~np.isnan(values)] for values in (feature.real, feature.generated)]
    low, high = (float(end(np.concatenate(known))) for end in (np.min, np.max))
    bins = np.linspace(low, high if high > low else low + 1, 16)
    for values, color, label in zip(known, (_REAL, _GENERATED), ("real", "generated"), strict=True):
        weights = np.full(len(values), 1 / max(len(values), 1))
        axes.hist(values, bins, weights=weights, color=color, alpha=0.5, label=label)
    axes.set_ylabel("share of pieces", fontsize=8)


def _draw_histograms(axes: Any, feature: Feature) -> None:
    real, generated = feature.real.mean(0), feature.generated.mean(0)
    shown = np.flatnonzero((real > 0) | (generated > 0))
    place = np.arange(len(shown))
    axes.bar(place - 0.2, real[shown], 0.4, color=_REAL, alpha=0.8, label="real")
    axes.bar(place + 0.2, generated[shown], 0.4, color=_GENERATED, alpha=0.8, label="generated")
    step = max(len(shown) // 12, 1)
    axes.set_xticks(place[::step], [str(bin_) for bin_ in shown[::step]])
    axes.set_ylabel("mean share of notes", fontsize=8)
