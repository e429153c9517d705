"""Linear probes: how well a label of events can be predicted from recorded activations, beside a control task and baselines.

A probe is multinomial logistic regression on standardised activations: with z the activations of an event less their mean over
their standard deviation, W (classes, dim) and c (classes,),

    p(y given z) = softmax(W z + c),    minimise the mean of -log p(y given z) + norm(W)² / (2 N C)

over the N rows of training. Every row is tested by a probe that has seen no row of its work (K folds of works). An accuracy is
the mean over works of the share of a work's rows that are right; its interval is over works.

Control task: each type of event (type, position, pitch, duration, instrument) gets a random label, drawn from the labels of all
rows. A probe that does well there memorises events: `selectivity` is the accuracy minus that of the control task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mmt.analysis.inside.store import ActivationStore
from mmt.analysis.intervals import Floats, Mean, mean_of

Integers = npt.NDArray[np.int64]
# What makes the type of an event in the control task: what is heard at a position in the beat, for all beats alike.
_EVENT_TYPE = ("type", "position", "pitch", "duration", "instrument")


@dataclass(frozen=True)
class Probe:
    """The result of `probe`: accuracies over works, and the probe itself. All differences are paired by work."""

    accuracy: Mean
    """The share of events whose label is predicted correctly."""
    majority: Mean
    """The same for the most frequent label in training."""
    control: Mean
    """The same for random labels (Hewitt and Liang 2019)."""
    selectivity: Mean
    """`accuracy` minus `control`."""
    embedding: Mean | None
    """Accuracy of a probe of the embedding, which has read the event alone; None if that place was not recorded."""
    over_embedding: Mean | None
    """`accuracy` minus `embedding`."""
    classes: Integers
    """The labels, ascending, (classes,)."""
    weights: Floats
    """Of a probe of all rows, for activations as they are, (classes, dim): row i is a direction towards label i."""
    bias: Floats
    """(classes,)"""
    rows: int
    """Number of rows."""
    works: int
    """Number of works."""

    def __str__(self) -> str:
        named = {name: getattr(self, name) for name in ("accuracy", "majority", "embedding", "control", "selectivity")}
        shown = ", ".join(f"{name} {mean.text(100, 1)}" for name, mean in named.items() if mean)
        return f"{shown} (%; {self.rows} events of {self.works} works, {len(self.classes)} labels)"


def probe(
    store: ActivationStore,
    place: str,
    label: str | npt.ArrayLike,
    *,
    works: Sequence[object] | None = None,
    rows: npt.ArrayLike | None = None,
    folds: int = 5,
    strength: float = 1.0,
    most: int = 20_000,
    seed: int = 0,
) -> Probe:
    """Fit linear probes for a label, and test each on works that it has not seen.

    Parameters
    ----------
    store : ActivationStore
        From `mmt.activations(…, output=folder)`. If it has the place `embedding`, that is probed as a baseline.
    place : str
        One that was recorded; several axes of activations are flattened.
    label : str, or array_like of int, (rows,)
        A label of the store, or a class for each row. Rows with a negative label are left out.
    works : sequence, (pieces,), optional
        The work of each piece; versions of a work belong together. Default: each piece is a work. A corpus knows splits but no
        works: for its splits, give `[piece.split for piece in corpus.pieces]` and `folds=3`.
    rows : array_like of bool, (rows,), optional
        Use these rows only.
    folds, strength : int, float
        Number of groups of works, from 2 to the number of works; and C, the inverse strength of regularisation, > 0.
    most, seed : int
        If there are more rows than `most`, this number is drawn at random; the seed is of the draw, the folds and the control.

    Raises
    ------
    ValueError
        If there are fewer than two works or labels, or an argument is out of range or of another length.
    """
    if not strength > 0:
        raise ValueError(f"strength is {strength}; it must be above 0")
    random = np.random.default_rng(seed)
    chosen, classes, targets = _labelled_rows(store, label, rows, most, random)
    work = _work_of_rows(store, chosen, works)
    fold, control = _draw_folds(work, folds, random), _control_labels(store, chosen, targets, random)
    values = _read(store, place, chosen)
    weights, bias = fit_logistic(values, targets, len(classes), strength)

    def accuracies(values: Floats, labels: Integers) -> Floats:
        return _by_work(_cross_validate(values, labels, fold, len(classes), strength), work)

    accuracy, by_chance = accuracies(values, targets), accuracies(values, control)
    with_embedding = "embedding" in store.places and place != "embedding"
    embedding = accuracies(_read(store, "embedding", chosen), targets) if with_embedding else None
    return Probe(
        accuracy=mean_of(accuracy, 0, 1),
        majority=mean_of(_by_work(_majority(targets, fold), work), 0, 1),
        control=mean_of(by_chance, 0, 1), selectivity=mean_of(accuracy - by_chance, -1, 1),
        embedding=None if embedding is None else mean_of(embedding, 0, 1),
        over_embedding=None if embedding is None else mean_of(accuracy - embedding, -1, 1),
        classes=classes.astype(np.int64), weights=weights, bias=bias, rows=len(chosen), works=int(work.max()) + 1,
    )  # fmt: skip


def fit_logistic(values: Floats, targets: Integers, classes: int, strength: float = 1.0) -> tuple[Floats, Floats]:
    """Fit multinomial logistic regression by L-BFGS: weights (classes, dim) and bias (classes,) for values (n, dim) as they are.

    The penalty is on the weights of standardised values, see the docstring of the module.
    """
    mean, spread = values.mean(0), values.std(0)
    spread = np.where(spread > 1e-12, spread, 1.0)
    inputs, labels = torch.from_numpy((values - mean) / spread), torch.from_numpy(targets)
    weights = torch.zeros(classes, values.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=200, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        found = torch.nn.functional.cross_entropy(inputs @ weights.T + bias, labels)
        found = found + weights.square().sum() / (2 * strength * len(labels))
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    scaled = weights.detach().numpy() / spread
    return scaled, bias.detach().numpy() - scaled @ mean


def _cross_validate(values: Floats, targets: Integers, fold: Integers, classes: int, strength: float) -> Floats:
    """1 for each row that a probe of the other folds gets right, else 0, (n,)."""
    right = np.zeros(len(targets))
    for number in np.unique(fold):
        held_out = fold == number
        weights, bias = fit_logistic(values[~held_out], targets[~held_out], classes, strength)
        right[held_out] = (values[held_out] @ weights.T + bias).argmax(1) == targets[held_out]
    return right


def _majority(targets: Integers, fold: Integers) -> Floats:
    """1 for each row that has the most frequent label of the other folds, else 0, (n,)."""
    right = np.zeros(len(targets))
    for number in np.unique(fold):
        held_out = fold == number
        right[held_out] = targets[held_out] == np.bincount(targets[~held_out]).argmax()
    return right


def _labelled_rows(
    store: ActivationStore,
    label: str | npt.ArrayLike,
    rows: npt.ArrayLike | None,
    most: int,
    random: np.random.Generator,
) -> tuple[Integers, npt.NDArray[np.integer[Any]], Integers]:
    """The rows that are used, ascending, their labels (classes,), and the index of the label of each row."""
    labels = store.labels(label) if isinstance(label, str) else np.asarray(label)
    if labels.shape != (len(store),) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"label is {labels.dtype} {labels.shape}; give one integer for each of the {len(store)} rows")
    mask = np.ones(len(store), bool) if rows is None else np.asarray(rows)
    if mask.dtype != bool or mask.shape != labels.shape:
        raise ValueError(f"rows is {mask.dtype} {mask.shape}; give a bool for each of the {len(store)} rows")
    chosen = np.flatnonzero((labels >= 0) & mask)
    chosen = np.sort(random.choice(chosen, most, replace=False)) if len(chosen) > most else chosen
    classes, targets = np.unique(labels[chosen], return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"the rows have {len(classes)} labels; a probe needs two or more")
    return chosen, classes, targets


def _work_of_rows(store: ActivationStore, chosen: Integers, works: Sequence[object] | None) -> Integers:
    """The number of the work of each row, counted from 0 without gaps."""
    piece = store.labels("piece")[chosen]
    if works is not None:
        if len(works) != len(store.names):
            raise ValueError(f"works has {len(works)} entries; give one for each of the {len(store.names)} pieces")
        numbers = {work: number for number, work in enumerate(dict.fromkeys(works))}
        piece = np.array([numbers[work] for work in works])[piece]
    return np.unique(piece, return_inverse=True)[1]


def _draw_folds(work: Integers, folds: int, random: np.random.Generator) -> Integers:
    count = int(work.max(initial=-1)) + 1
    if not 2 <= folds <= count:
        raise ValueError(
            f"folds is {folds} and there are {count} works; give 2 or more folds, and at least as many works"
        )
    return random.permutation(np.arange(count) % folds)[work]


def _control_labels(
    store: ActivationStore, chosen: Integers, targets: Integers, random: np.random.Generator
) -> Integers:
    """A random label for each row, the same for all rows of a type of event; drawn from the labels of all rows."""
    fields = np.stack([store.labels(name)[chosen] for name in _EVENT_TYPE], 1)
    kind = np.unique(fields, axis=0, return_inverse=True)[1].ravel()
    return random.choice(targets, int(kind.max()) + 1)[kind]


def _read(store: ActivationStore, place: str, chosen: Integers) -> Floats:
    return store.read(place, chosen).reshape(len(chosen), -1).astype(np.float64)


def _by_work(right: Floats, work: Integers) -> Floats:
    return np.bincount(work, right) / np.bincount(work)
