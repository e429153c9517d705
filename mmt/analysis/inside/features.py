"""Features: training of Top-K sparse autoencoders on recorded activations, and the events at which a feature is most active.

Rows of `W_dec` have norm 1. A feature is dead if it was not active in the last `dead_after` rows of training; with e = x - x',
and e' what the k_aux largest inputs of dead features decode to, training minimises
norm(e)² / norm(x - mean)² + norm(e - e')² / (32 norm(e)²). For x, x' and the format of a folder see
`mmt.analysis.inside.autoencoder`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from mmt.analysis.inside.autoencoder import SparseAutoencoder as SparseAutoencoder
from mmt.analysis.inside.autoencoder import keep_largest as keep_largest
from mmt.analysis.inside.autoencoder import load_autoencoder as load_autoencoder
from mmt.analysis.inside.store import ActivationStore
from mmt.representation.codes import BEAT, NOTE, TYPE, Events
from mmt.representation.encode import frame

# Rows that are neighbours on disk are read together; a buffer of several such blocks is shuffled.
_BLOCK, _BLOCKS = 256, 64
_AUXILIARY = 1 / 32


def train_autoencoder(
    store: ActivationStore,
    place: str,
    *,
    features: int = 1024,
    k: int = 16,
    rows: int = 500_000,
    batch_size: int = 512,
    learning_rate: float = 1e-3,
    dead_after: int = 50_000,
    pieces: Iterable[int] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> SparseAutoencoder:
    """Train a Top-K sparse autoencoder on the activations of a store, as they are; they are streamed from disk.

    Parameters
    ----------
    store : ActivationStore
        From `mmt.activations(…, output=folder)`.
    place : str
        One that was recorded, with one axis per event.
    features, k : int
        The number of features, d_sae, and how many of them may be active at an event.
    rows : int
        How many rows are seen in training; the store is read again and again, in another order each time.
    batch_size, learning_rate : int, float
        Of Adam; the rate falls linearly to 0 over the last fifth.
    dead_after : int
        A feature is dead if it was not active in this number of rows.
    pieces : iterable of int, optional
        Train on these pieces only. Default: all.
    seed : int
        Of the initial weights and of the order.
    progress : bool
        Whether to show a progress bar.

    Raises
    ------
    ValueError
        If the place has several axes, there are no rows, or a number is out of range.
    """
    if min(rows, batch_size, dead_after) < 1 or not learning_rate > 0:
        raise ValueError("rows, batch_size, dead_after and learning_rate must be above 0")
    chosen = _rows_of(store, pieces)
    start = store.read(place, chosen[: _BLOCK * _BLOCKS]).astype(np.float32)
    if start.ndim != 2:
        raise ValueError(
            f"{place} has activations of shape {start.shape[1:]}; choose a place with one axis, such as a stream"
        )
    autoencoder = SparseAutoencoder(start.shape[1], features, k, place=place, seed=seed)
    batches = _batches(store, place, chosen, batch_size, np.random.default_rng(seed))
    steps = range(-(-rows // batch_size))
    bar = tqdm(steps, desc="Autoencoder", unit=" batches", disable=not progress)
    _train(autoencoder, start, (next(batches) for _ in bar), len(steps), learning_rate, dead_after)
    return autoencoder.eval().requires_grad_(False)


def _train(
    autoencoder: SparseAutoencoder,
    start: npt.NDArray[np.float32],
    batches: Iterable[Tensor],
    steps: int,
    learning_rate: float,
    dead_after: int,
) -> None:
    """Train on the batches; the initial bias and the scale follow from the rows `start`, (n, d_in)."""
    # One scale for all networks: activations of mean square 1. It is folded into the biases at the end.
    mean = start.mean(0)
    scale = float(np.sqrt(((start - mean) ** 2).mean())) or 1.0
    with torch.no_grad():
        autoencoder.b_dec.copy_(torch.from_numpy(mean) / scale)
    optimizer = torch.optim.Adam(autoencoder.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 5 * (steps - step) / steps))
    silent = torch.zeros(len(autoencoder.W_dec), dtype=torch.long)
    for batch in batches:
        loss, active = training_loss(autoencoder, batch / scale, silent >= dead_after)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            autoencoder.W_dec.div_(autoencoder.W_dec.norm(dim=1, keepdim=True).clamp(min=1e-12))
        silent = torch.where(active, 0, silent + len(batch))
    with torch.no_grad():
        autoencoder.b_dec.mul_(scale)
        autoencoder.b_enc.mul_(scale)


def training_loss(autoencoder: SparseAutoencoder, batch: Tensor, dead: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of a batch (n, d_in), see the docstring of the module, and which features were active, bool (d_sae,).

    k_aux is half the inputs, or the number of dead features if that is smaller.
    """
    before = autoencoder.pre_activations(batch)
    found = keep_largest(before, autoencoder.k)
    error = batch - autoencoder.decode(found)
    loss = error.square().sum() / (batch - batch.mean(0)).square().sum().clamp(min=1e-12)
    if count := int(dead.sum()):
        of_dead = keep_largest(before.masked_fill(~dead, -torch.inf), min(count, max(1, batch.shape[1] // 2)))
        # The error is a target here: living features do not learn from it.
        target = error.detach()
        missed = (target - of_dead @ autoencoder.W_dec).square().sum() / target.square().sum().clamp(min=1e-12)
        loss = loss + _AUXILIARY * missed
    return loss, (found > 0).any(0)


@dataclass(frozen=True)
class Quality:
    """How well an autoencoder represents activations, see `measure`."""

    unexplained: float
    """The share of variance that is not reconstructed, Σ norm(x - x')² / Σ norm(x - mean)²."""
    active: float
    """Mean number of active features per event."""
    rates: npt.NDArray[np.float64]
    """The share of events at which each feature is active, (d_sae,)."""

    @property
    def dead(self) -> float:
        """The share of features that are never active."""
        return float((self.rates == 0).mean())


def measure(autoencoder: SparseAutoencoder, store: ActivationStore, *, pieces: Iterable[int] | None = None) -> Quality:
    """Measure an autoencoder on activations, best of pieces that it was not trained on; rows are streamed."""
    chosen = _rows_of(store, pieces)
    missed, count = 0.0, np.zeros(autoencoder.W_dec.shape[0])
    total, squares = np.zeros(autoencoder.W_dec.shape[1]), 0.0
    for _, values in _stream(store, autoencoder.place, chosen):
        with torch.inference_mode():
            found = autoencoder.encode(values)
            missed += float((values - autoencoder.decode(found)).double().square().sum())
        count += (found > 0).sum(0).numpy()
        total += values.double().sum(0).numpy()
        squares += float(values.double().square().sum())
    variance = squares - float((total**2).sum()) / len(chosen)
    return Quality(missed / variance, float(count.sum() / len(chosen)), count / len(chosen))


@dataclass(frozen=True, order=True)
class Lit:
    """An event at which a feature is active."""

    activation: float
    piece: int
    """Index of the piece in the store, as in the corpus."""
    event: int
    """Index of the event in the piece."""


def top_events(
    autoencoder: SparseAutoencoder, store: ActivationStore, feature: int, n: int = 8, *, one_per_piece: bool = True
) -> list[Lit]:
    """The events at which a feature is most active, strongest first; `excerpt` gives the music around each.

    Parameters
    ----------
    autoencoder : SparseAutoencoder
    store : ActivationStore
        One that has the place of the autoencoder.
    feature : int
        From 0 to d_sae - 1.
    n : int
        At most this number; fewer if the feature is active at fewer.
    one_per_piece : bool
        Give the strongest event of each piece only.
    """
    if not 0 <= feature < autoencoder.W_dec.shape[0]:
        raise ValueError(f"feature is {feature}; there are {autoencoder.W_dec.shape[0]}, counted from 0")
    active = _active_events(autoencoder, store, feature)
    if not one_per_piece:
        return heapq.nlargest(n, active)
    strongest: dict[int, Lit] = {}
    for lit in active:
        strongest[lit.piece] = max(lit, strongest.get(lit.piece, lit))
    return heapq.nlargest(n, strongest.values())


def _active_events(autoencoder: SparseAutoencoder, store: ActivationStore, feature: int) -> Iterator[Lit]:
    piece, event = store.labels("piece"), store.labels("event")
    for rows, values in _stream(store, autoencoder.place, np.arange(len(store))):
        with torch.inference_mode():
            found = autoencoder.encode(values)[:, feature].numpy()
        for place in np.flatnonzero(found > 0):
            yield Lit(float(found[place]), int(piece[rows[place]]), int(event[rows[place]]))


def excerpt(events: Events, event: int, *, beats: int = 4) -> Events:
    """The music around an event, from `beats` beats before it to `beats` after it, as a piece of its own that begins at beat 0.

    Raises
    ------
    ValueError
        If the event is no note of the piece.

    Examples
    --------
    >>> import mmt
    >>> [piece] = mmt.new_model("tiny", seed=0).generate(n=1, seed=1, max_events=20)
    >>> around = excerpt(piece, len(piece) - 2, beats=2)
    >>> int(around[:, 1].max()) <= 5
    True
    """
    if not 0 <= event < len(events) or events[event, TYPE] != NOTE:
        raise ValueError(f"event {event} is no note of this piece of {len(events)} events; give the index of a note")
    beat = events[event, BEAT]
    near = (events[:, TYPE] == NOTE) & (np.abs(events[:, BEAT] - beat) <= beats)
    notes = events[near].copy()
    notes[:, BEAT] -= notes[:, BEAT].min() - 1
    return frame(notes, end=True)


def _rows_of(store: ActivationStore, pieces: Iterable[int] | None) -> npt.NDArray[np.int64]:
    chosen = store.rows_of(pieces)
    if not len(chosen):
        raise ValueError("there are no rows of these pieces; choose pieces of the store")
    return chosen


def _batches(
    store: ActivationStore, place: str, chosen: npt.NDArray[Any], size: int, random: np.random.Generator
) -> Iterator[Tensor]:
    """Batches without end: blocks of neighbouring rows in random order, shuffled within a buffer."""
    blocks = [chosen[start : start + _BLOCK] for start in range(0, len(chosen), _BLOCK)]
    left = np.zeros((0, 0), np.float32)
    while True:
        order = random.permutation(len(blocks))
        for first in range(0, len(blocks), _BLOCKS):
            rows = np.concatenate([blocks[number] for number in order[first : first + _BLOCKS]])
            buffer = store.read(place, random.permutation(rows)).astype(np.float32)
            left = np.concatenate([left, buffer]) if len(left) else buffer
            full = len(left) // size * size
            for start in range(0, full, size):
                yield torch.from_numpy(left[start : start + size])
            left = left[full:]


def _stream(store: ActivationStore, place: str, chosen: npt.NDArray[Any]) -> Iterator[tuple[npt.NDArray[Any], Tensor]]:
    for start in range(0, len(chosen), _BLOCK * 8):
        rows = chosen[start : start + _BLOCK * 8]
        yield rows, torch.from_numpy(store.read(place, rows).astype(np.float32))
