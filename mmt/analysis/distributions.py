"""How generated pieces are spread against real ones, feature by feature, after Yang and Lerch (2020).

    Li-Chia Yang and Alexander Lerch: On the evaluation of generative models in music.
    Neural Computing and Applications 32, 4773-4784, 2020.

A feature is a number or a histogram of each piece. The distances of every two pieces, Euclidean, are taken within the real
set (intra-set) and between the generated and the real one (inter-set). Of both a density is estimated (Gaussian kernels, Scott's
bandwidth); `overlap` is the area that the two densities share, from 0 to 1 (1: generated pieces are to real ones as real ones
are to each other), `divergence` the Kullback-Leibler divergence of the inter-set density from the intra-set one, in nats.
For features that are numbers `wasserstein` is the first Wasserstein distance of the two sets, in the feature's own unit.

Figures depend on how many pieces there are, and no two sets of real pieces agree exactly. So the same is taken of real pieces
against real ones: the real set is drawn apart at random, as many pieces as were generated (at most half) against the rest; the
mean and the middle 95 % of `SPLITS` draws are the noise floor. (Pitch classes and durations are as they sound: a model that was
trained on transposed pieces writes in all keys, and differs there from pieces in the usual ones.) Features of pitch leave drums
out.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmt.analysis.intervals import Floats
from mmt.analysis.metrics import cut_notes, measures_of_notes, onsets, pitched
from mmt.analysis.plotting import new_figure
from mmt.corpus.storage import Corpus
from mmt.representation.codes import PAPER, Representation
from mmt.representation.decode import check_codes, notes_of_events
from mmt.representation.notes import NoteTable

SPLITS = 40
# Numbers of a piece that are measured as they are.
_NUMBERS = (
    "pitch_class_entropy", "scale_consistency", "groove_consistency_corrected", "notes_per_beat", "polyphony", "instruments",
)  # fmt: skip
_GRID = 512
_OURS, _THEIRS = "#c1452b", "#33658a"


@dataclass(frozen=True)
class Agreement:
    """Two sets of pieces in one feature, or the noise floor of it."""

    overlap: float
    divergence: float
    wasserstein: float | None
    """None for histograms."""


@dataclass(frozen=True)
class Feature:
    """A feature of generated and of real pieces; the floor has the mean, low and high end of each figure."""

    name: str
    generated: Floats
    """(pieces,) or (pieces, bins)."""
    real: Floats
    agreement: Agreement
    floor: Agreement
    floor_low: Agreement
    floor_high: Agreement
    undefined: tuple[int, int]
    """How many generated and real pieces have no value."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the values."""
        parts = ("agreement", "floor", "floor_low", "floor_high")
        return {"undefined": list(self.undefined)} | {part: asdict(getattr(self, part)) for part in parts}


@dataclass(frozen=True)
class Distributions:
    """Every feature, and over what length it was taken."""

    features: tuple[Feature, ...]
    generated: int
    real: int
    length: str
    left_out: tuple[str, ...] = ()
    """Features that too few of the pieces have: what has one onset has no groove."""

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
        return {
            "generated": self.generated,
            "real": self.real,
            "length": self.length,
            "left_out": list(self.left_out),
            "features": {feature.name: feature.to_dict() for feature in self.features},
        }


def compare_distributions(
    generated: Iterable[npt.ArrayLike],
    real: Iterable[npt.ArrayLike],
    *,
    beats: int | None = 64,
    seed: int = 0,
    representation: Representation | None = None,
) -> Distributions:
    """Compare the spread of generated pieces with that of real ones.

    Parameters
    ----------
    generated, real : iterables of array_like of int, (n_i, 6)
        At least 3 and 6 pieces.
    beats : int, optional
        Only the first so many beats of each: pieces of other lengths have other features. None: whole pieces.
    seed : int
        Of the draws of the noise floor.
    representation : Representation, optional
        Default: that of `real` if it is a corpus, else the paper's.

    Raises
    ------
    ValueError
        If there are too few pieces, or one has a code out of range.

    Examples
    --------
    >>> import mmt
    >>> pieces = mmt.new_model("tiny", seed=0).generate(n=12, seed=1, max_events=64)
    >>> found = compare_distributions(pieces[:4], pieces[4:])
    >>> 0 <= found.features[0].agreement.overlap <= 1
    True
    """
    if representation is None:
        representation = real.representation if isinstance(real, Corpus) else PAPER
    ours, theirs = ([_notes(piece, representation, beats) for piece in pieces] for pieces in (generated, real))
    ours, theirs = ([notes for notes in tables if len(notes)] for tables in (ours, theirs))
    if not _enough(ours, theirs):
        raise ValueError(
            f"{len(ours)} generated and {len(theirs)} real pieces with notes are too few to compare; give at least 3 and 6"
        )
    features, left_out = [], []
    for name, values in _features(representation).items():
        generated_values, real_values = (
            np.array([values(notes) for notes in tables], float) for tables in (ours, theirs)
        )
        if feature := _compare(name, generated_values, real_values, seed):
            features.append(feature)
        else:
            left_out.append(name)
    length = "whole pieces" if beats is None else f"the first {beats} beats"
    return Distributions(tuple(features), len(ours), len(theirs), length, tuple(left_out))


def _features(representation: Representation) -> Mapping[str, Callable[[NoteTable], Any]]:
    """Each feature by its name, from the notes of a piece."""
    resolution = representation.resolution

    def number(name: str) -> Callable[[NoteTable], float]:
        return lambda notes: measures_of_notes(notes, representation)[name]

    def of_pitch(values: Callable[[NoteTable], Any], missing: Any = np.nan) -> Callable[[NoteTable], Any]:
        return lambda notes: values(tones) if len(tones := pitched(notes, representation)) else missing

    return {
        **{name.replace("_corrected", "").replace("_", " "): number(name) for name in _NUMBERS},
        "pitch range": of_pitch(lambda notes: int(notes["pitch"].max()) - int(notes["pitch"].min())),
        "mean interval": of_pitch(lambda notes: _mean_interval(notes, resolution)),
        "steps between onsets": lambda notes: _mean_gap(notes, resolution),
        "pitch classes": of_pitch(lambda notes: _shares(notes["pitch"] % 12, 12), np.full(12, np.nan)),
        "positions in the beat": lambda notes: _shares(notes["position"], resolution),
        "duration codes": lambda notes: _shares(
            representation.duration_codes(notes["duration"]), len(representation.durations) + 1
        ),
    }


def _enough(ours: Sequence[Any] | Floats, theirs: Sequence[Any] | Floats) -> bool:
    return len(ours) >= 3 and len(theirs) >= 6


def _shares(codes: npt.NDArray[np.integer[Any]], size: int) -> Floats:
    return np.asarray(np.bincount(codes, minlength=size) / len(codes), np.float64)


def _mean_interval(notes: NoteTable, resolution: int) -> float:
    """Mean size of the melodic steps within the parts, in semitones, from the top note of one onset to that of the next."""
    onset, pitch = onsets(notes, resolution), notes["pitch"].astype(np.int64)
    order = np.lexsort((pitch, onset, notes["instrument"]))
    onset, pitch, part = onset[order], pitch[order], notes["instrument"][order]
    top = np.append((np.diff(onset) != 0) | (np.diff(part) != 0), True)
    steps = np.abs(np.diff(pitch[top]))[np.diff(part[top].astype(np.int64)) == 0]
    return float(steps.mean()) if len(steps) else np.nan


def _mean_gap(notes: NoteTable, resolution: int) -> float:
    """Mean time between two onsets, in steps."""
    gaps = np.diff(np.unique(onsets(notes, resolution)))
    return float(gaps.mean()) if len(gaps) else np.nan


def _compare(name: str, ours: Floats, theirs: Floats, seed: int) -> Feature | None:
    """None where too few of the pieces have a value."""
    known = [values[~np.isnan(values.reshape(len(values), -1)).any(axis=1)] for values in (ours, theirs)]
    if not _enough(*known):
        return None
    undefined = (len(ours) - len(known[0]), len(theirs) - len(known[1]))
    random, count = np.random.default_rng(seed), len(known[1])
    size = max(min(len(known[0]), count // 2), 2)
    draws = []
    for _ in range(SPLITS):
        order = random.permutation(count)
        draws.append(agreement(known[1][order[:size]], known[1][order[size:]]))
    overlaps, divergences, distances = zip(*(astuple(draw) for draw in draws), strict=True)

    def summary(take: Callable[[Sequence[float]], Any]) -> Agreement:
        distance = None if distances[0] is None else float(take(distances))
        return Agreement(float(take(overlaps)), float(take(divergences)), distance)

    return Feature(
        name,
        ours,
        theirs,
        agreement(*known),
        summary(np.mean),
        summary(lambda values: np.percentile(values, 2.5)),
        summary(lambda values: np.percentile(values, 97.5)),
        undefined,
    )


def agreement(ours: Floats, theirs: Floats) -> Agreement:
    """Overlap and divergence of the inter-set and intra-set distances of two sets, and their Wasserstein distance."""
    from scipy.stats import wasserstein_distance

    inter = _distances(ours, theirs).ravel()
    intra = _distances(theirs, theirs)[np.triu_indices(len(theirs), 1)]
    top = max(float(inter.max()), float(intra.max()))
    distance = float(wasserstein_distance(ours, theirs)) if ours.ndim == 1 else None
    if top == 0:
        return Agreement(1.0, 0.0, distance)
    grid = np.linspace(-0.25 * top, 1.25 * top, _GRID)
    between, within = (_density(values, grid) for values in (inter, intra))
    step = grid[1] - grid[0]
    overlap = float(np.minimum(between, within).sum() * step)
    # A floor under both: what kernels do not reach at all is unlikely, not impossible.
    between, within = (np.maximum(density * step, 1e-12) for density in (between, within))
    divergence = float((between * np.log(between / within)).sum())
    return Agreement(min(overlap, 1.0), max(divergence, 0.0), distance)


def _distances(first: Floats, second: Floats) -> Floats:
    from scipy.spatial.distance import cdist

    distances: Floats = cdist(first.reshape(len(first), -1), second.reshape(len(second), -1))
    return distances


def _density(values: Floats, grid: Floats) -> Floats:
    """Gaussian kernel density on a grid, with Scott's bandwidth; sums to 1 over the grid."""
    spread = float(values.std()) * len(values) ** -0.2
    step = grid[1] - grid[0]
    counts = np.histogram(values, bins=np.append(grid - step / 2, grid[-1] + step / 2))[0].astype(np.float64)
    # Never narrower than the grid.
    offsets = np.arange(-_GRID + 1, _GRID) * step
    kernel = np.exp(-0.5 * (offsets / max(spread, step)) ** 2)
    smooth = np.convolve(counts, kernel)[_GRID - 1 : 2 * _GRID - 1]
    return np.asarray(smooth / (smooth.sum() * step), np.float64)


def _notes(piece: npt.ArrayLike, representation: Representation, beats: int | None) -> NoteTable:
    notes = notes_of_events(check_codes(piece, representation), representation)
    return notes if beats is None else cut_notes(notes, beats, representation.resolution)


def _cell(feature: Feature, name: str) -> str:
    value, low, high = (getattr(part, name) for part in (feature.agreement, feature.floor_low, feature.floor_high))
    return "" if value is None else f"{value:.3f} ({low:.3f} to {high:.3f})"


def picture(found: Distributions) -> bytes:
    """One picture of all features, as the bytes of a PNG file: generated and real side by side, and their agreement."""
    columns = 3
    rows = -(-len(found.features) // columns)
    figure = new_figure(4.2 * columns, 2.7 * rows + 0.9)
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
