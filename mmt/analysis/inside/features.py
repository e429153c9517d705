"""Features: Top-K sparse autoencoders of recorded activations, and the events that light a feature most.

With x the activations of an event (d_in,), and k features that may be active (Gao et al. 2024, arXiv 2406.04093):

    f = ReLU(TopK((x - b_dec) W_enc + b_enc)),    x' = f W_dec + b_dec

Rows of `W_dec` have norm 1. A feature is dead if it was not active in the last `dead_after` rows of training; with e = x - x',
and e' what the k_aux largest inputs of dead features decode to, training minimises
norm(e)² / norm(x - mean)² + norm(e - e')² / (32 norm(e)²).

A folder of an autoencoder holds `sae_weights.safetensors` (`W_enc` (d_in, d_sae), `b_enc` (d_sae,), `W_dec` (d_sae, d_in),
`b_dec` (d_in,)) and `cfg.json` with the keys of a SAELens configuration of the architecture "topk".
"""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from tqdm import tqdm

from mmt.analysis.inside.recording import ActivationStore
from mmt.music.atomic import replacing
from mmt.music.bounded import LARGEST_JSON, brief, parse_json, read_file
from mmt.representation.codes import BEAT, NOTE, TYPE, Events
from mmt.representation.encode import frame

WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"
# The form of the autoencoders here, in the words of a SAELens configuration.
_FORM = {
    "architecture": "topk", "apply_b_dec_to_input": True, "normalize_activations": "none", "reshape_activations": "none"
}  # fmt: skip
# Rows that are neighbours on disk are read together; a buffer of several such blocks is shuffled.
_BLOCK, _BLOCKS = 256, 64
_AUXILIARY = 1 / 32


class SparseAutoencoder(nn.Module):
    """A Top-K sparse autoencoder; its parameters are `W_enc`, `b_enc`, `W_dec` and `b_dec`.

    `W_dec[i]` is the direction of feature i: `mmt.inside.add(place, autoencoder.W_dec[i], strength)` steers with it.
    """

    def __init__(self, inputs: int, features: int, k: int, *, place: str = "", seed: int = 0) -> None:
        super().__init__()
        if not 1 <= k <= features:
            raise ValueError(f"k is {k}; it must be from 1 to the number of features, {features}")
        self.k, self.place = k, place
        decoder = torch.randn(features, inputs, generator=torch.Generator().manual_seed(seed))
        decoder /= decoder.norm(dim=1, keepdim=True)
        self.W_dec = nn.Parameter(decoder)
        self.W_enc = nn.Parameter(decoder.T.clone().contiguous())
        self.b_enc = nn.Parameter(torch.zeros(features))
        self.b_dec = nn.Parameter(torch.zeros(inputs))

    def pre_activations(self, activations: Tensor) -> Tensor:
        """(…, d_in) to the inputs of all features, (…, d_sae)."""
        return (activations - self.b_dec) @ self.W_enc + self.b_enc

    def encode(self, activations: Tensor) -> Tensor:
        """(…, d_in) to features, (…, d_sae), at most k of which are not 0."""
        return keep_largest(self.pre_activations(activations), self.k)

    def decode(self, features: Tensor) -> Tensor:
        """Features (…, d_sae) to activations (…, d_in)."""
        return features @ self.W_dec + self.b_dec

    def forward(self, activations: Tensor) -> Tensor:
        """The reconstruction of activations (…, d_in)."""
        return self.decode(self.encode(activations))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `sae_weights.safetensors` and `cfg.json` to a new or empty folder."""
        path = Path(folder)
        if path.exists() and any(path.iterdir()):
            raise ValueError(f"{folder} is not empty; give a new folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        weights = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        inputs, features = self.W_enc.shape
        config = {"d_in": inputs, "d_sae": features, "k": self.k, "dtype": "float32", "device": "cpu"}
        config |= _FORM | {"metadata": {"model_name": "mmt", "hook_name": self.place}}
        with replacing(path) as unfinished:
            unfinished.mkdir()
            (unfinished / WEIGHTS).write_bytes(save(weights))
            (unfinished / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def load_autoencoder(folder: str | os.PathLike[str]) -> SparseAutoencoder:
    """Read an autoencoder that `SparseAutoencoder.save` has written.

    Raises
    ------
    ValueError
        If the folder holds no Top-K autoencoder, or one with another treatment of its input.
    """
    path = Path(folder)
    try:
        config = parse_json(read_file(path / CONFIG, LARGEST_JSON))
        weights = load_file(path / WEIGHTS)
        inputs, features, k = (config[name] for name in ("d_in", "d_sae", "k"))
        # Before any memory is reserved for what the configuration says.
        if weights["W_enc"].shape != (inputs, features) or type(k) is not int:
            raise ValueError(f"{CONFIG} does not fit {WEIGHTS}")
        if not all(value.is_floating_point() and value.float().isfinite().all() for value in weights.values()):
            raise ValueError(f"{WEIGHTS} has numbers that are not finite")
        found = SparseAutoencoder(inputs, features, k, place=str(config.get("metadata", {}).get("hook_name") or ""))
        found.load_state_dict(weights)
    except (OSError, LookupError, TypeError, AttributeError, RuntimeError, ValueError, SafetensorError) as error:
        raise ValueError(
            f"{folder} holds no Top-K autoencoder ({brief(error)}); it needs {CONFIG} and {WEIGHTS}"
        ) from error
    if different := [name for name, value in _FORM.items() if config.get(name, value) != value]:
        raise ValueError(
            f"{folder} has {different[0]} {brief(config[different[0]])!r}, which is not supported; "
            f"expected {_FORM[different[0]]!r}"
        )
    return found.eval()


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
    """Train a Top-K sparse autoencoder on the activations of a store, which are streamed from disk.

    Parameters
    ----------
    store : ActivationStore
        From `mmt.activations(…, output=folder)`.
    place : str
        One that was recorded, with one axis per event.
    features : int
        The number of features, d_sae.
    k : int
        How many may be active at an event.
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

    Returns
    -------
    SparseAutoencoder
        For activations as they are.

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
    # One scale for all networks: activations of mean square 1. It is folded into the biases at the end.
    mean = torch.from_numpy(start.mean(0))
    scale = float(np.sqrt(((start - start.mean(0)) ** 2).mean())) or 1.0
    autoencoder = SparseAutoencoder(start.shape[1], features, k, place=place, seed=seed)
    with torch.no_grad():
        autoencoder.b_dec.copy_(mean / scale)
    optimizer = torch.optim.Adam(autoencoder.parameters(), learning_rate)
    steps = -(-rows // batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 5 * (steps - step) / steps))
    silent = torch.zeros(features, dtype=torch.long)
    batches = _batches(store, place, chosen, batch_size, np.random.default_rng(seed))
    for _ in tqdm(range(steps), desc="Autoencoder", unit=" batches", disable=not progress):
        batch = next(batches) / scale
        loss, active = training_loss(autoencoder, batch, silent >= dead_after)
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
    return autoencoder.eval().requires_grad_(False)


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
    """The events that light a feature most, strongest first; `excerpt` gives the music around each.

    Parameters
    ----------
    feature : int
        From 0 to d_sae - 1.
    n : int
        At most this number; fewer if the feature is active at fewer.
    one_per_piece : bool
        Give the strongest event of each piece only.
    """
    if not 0 <= feature < autoencoder.W_dec.shape[0]:
        raise ValueError(f"feature is {feature}; there are {autoencoder.W_dec.shape[0]}, counted from 0")
    piece, event = store.labels("piece"), store.labels("event")
    best: list[Lit] = []
    strongest: dict[int, Lit] = {}
    for rows, values in _stream(store, autoencoder.place, np.arange(len(store))):
        with torch.inference_mode():
            found = autoencoder.encode(values)[:, feature].numpy()
        for place in np.flatnonzero(found > 0):
            lit = Lit(float(found[place]), int(piece[rows[place]]), int(event[rows[place]]))
            if one_per_piece:
                strongest[lit.piece] = max(lit, strongest.get(lit.piece, lit))
            else:
                best = heapq.nlargest(n, [*best, lit])
    return heapq.nlargest(n, strongest.values()) if one_per_piece else best


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


def keep_largest(values: Tensor, k: int) -> Tensor:
    """Values (…, n) with all but the k largest of the last axis set to 0, and negative ones too."""
    found = values.topk(k, dim=-1)
    return torch.zeros_like(values).scatter(-1, found.indices, found.values.clamp(min=0))


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
