"""The loss of a model on real pieces, in nats per note: the figure by which models are compared (negative log-likelihood).

A piece longer than the context is read in overlapping windows, see `mmt.analysis.loss_windows`; `restarts` counts the windows
without context. `events` gives the nats of every event.

Targets and loss are those of training: nats of every code that carries information, without a grammar mask. So the numbers of
targets and notes depend neither on the model's context nor on the stride.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 (as in the documentation of torch)
from tqdm import tqdm

from mmt.analysis.event_losses import EventLosses as EventLosses
from mmt.analysis.event_losses import events as events
from mmt.analysis.intervals import Floats, jackknife_interval
from mmt.analysis.ledger import Ledger, fingerprint
from mmt.analysis.loss_windows import LossWindow, find_stride, loss_windows
from mmt.analysis.pieces import check_same_representation
from mmt.corpus.storage import Corpus
from mmt.corpus.windows import collate
from mmt.model.heads import next_written
from mmt.representation.arguments import described
from mmt.representation.codes import FIELDS, NOTE, TYPE, Events
from mmt.representation.encode import events_of_notes
from mmt.sampling.model import Model
from mmt.training.loss import counted_targets

_WINDOWS_AT_ONCE = 4


@dataclass(frozen=True)
class Likelihood:
    """The loss of each piece of a corpus: summed nats and number of targets (pieces, 6), number of notes (pieces,)."""

    names: tuple[str, ...]
    nats: Floats
    targets: npt.NDArray[np.int64]
    notes: npt.NDArray[np.int64]
    stride: int
    restarts: int
    """Number of windows that started without context after a long silence."""

    @property
    def per_note(self) -> float:
        """The summed nats of all targets over the number of notes."""
        return float(self.nats.sum() / self.notes.sum())

    @property
    def per_field(self) -> dict[str, float]:
        """Mean nats per target of each field."""
        means = self.nats.sum(0) / np.maximum(self.targets.sum(0), 1)
        return dict(zip(FIELDS, means.tolist(), strict=True))

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % confidence interval of `per_note`, over the pieces; None for a single piece."""
        return _interval(self.nats.sum(1), self.notes, low=0.0)

    def __str__(self) -> str:
        fields = ", ".join(f"{name} {loss:.3f}" for name, loss in self.per_field.items())
        return (
            f"{self.per_note:.4f} nats per note{_brackets(self.interval, '.3f')} over {len(self.names):,} whole pieces, "
            f"{self.notes.sum():,} notes (stride {self.stride}); per field: {fields}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "length": "whole pieces",
            "pieces": len(self.names),
            "notes": int(self.notes.sum()),
            "nats_per_note": self.per_note,
            "interval": self.interval and list(self.interval),
            "nats_per_target": self.per_field,
            "stride": self.stride,
            "restarts": self.restarts,
        }


@dataclass(frozen=True)
class Difference:
    """Loss of one model minus that of another on the same pieces, in nats per note; below 0, the first is better."""

    per_note: float
    low: float | None
    """Of the 95 % confidence interval; None for a single piece."""
    high: float | None
    per_field: dict[str, float]
    """Differences of the mean nats per target."""
    better: int
    """Number of pieces on which the first model has the lower loss."""
    pieces: int

    def __str__(self) -> str:
        ends = None if self.low is None or self.high is None else (self.low, self.high)
        return (
            f"{self.per_note:+.4f} nats per note{_brackets(ends, '+.4f')}, paired over {self.pieces:,} pieces; "
            f"lower on {self.better:,} of them"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(self.__dict__)


def measure(
    model: Model,
    corpus: Corpus,
    *,
    stride: int | None = None,
    ledger: str | PathLike[str] | None = None,
    progress: bool = False,
) -> Likelihood:
    """Compute the loss (negative log-likelihood) of a model on the whole pieces of a corpus.

    Parameters
    ----------
    model : Model
    corpus : Corpus
        Usually `Corpus(folder, split="valid")`.
    stride : int, optional
        Number of notes by which windows advance, from 1 to half the context. A smaller stride gives each note more context
        and takes longer: each event is read about context / stride times. Default: a quarter of the context.
    ledger : path, optional
        A file that the loss of each piece is saved to, from which a stopped computation continues.
    progress : bool
        Whether to show a progress bar.

    Raises
    ------
    ValueError
        If the corpus has another representation than the model (the number of beats aside), the stride is out of range, the
        ledger belongs to another computation, or the instruments of a piece fill the context.

    Examples
    --------
    >>> import mmt
    >>> likelihood = measure(mmt.load_model(), mmt.Corpus("data/mine", split="valid"))  # doctest: +SKIP
    >>> print(likelihood.per_note, likelihood.interval)  # doctest: +SKIP
    """
    check_same_representation(model, corpus)
    stride = find_stride(model, stride)
    known = Ledger(ledger, {"what": "likelihood", "model": fingerprint(model), "stride": stride})
    # Of the notes, not of the file: a corpus that was prepared again may read the same file in another way.
    keys = [corpus.sha256_of(index) for index in range(len(corpus))]
    total = sum(piece.length for piece in corpus.pieces)
    with tqdm(total=total, unit=" notes", desc="Likelihood", disable=not progress, delay=1) as bar:
        for index, key in enumerate(keys):
            if key not in known:
                known.add(key, _measure_piece(model, corpus, index, stride))
            bar.update(corpus.pieces[index].length)
    found = [known[key] for key in keys]
    return Likelihood(
        names=tuple(piece.name for piece in corpus.pieces),
        nats=np.array([one["nats"] for one in found], np.float64),
        targets=np.array([one["targets"] for one in found], np.int64),
        notes=np.array([one["notes"] for one in found], np.int64),
        stride=stride,
        restarts=sum(one["restarts"] for one in found),
    )


def compare(first: Likelihood, second: Likelihood) -> Difference:
    """The difference of two models' losses, with a paired 95 % confidence interval over the pieces.

    Raises
    ------
    ValueError
        If the losses are of different pieces.
    """
    for name, given in (("first", first), ("second", second)):
        if not isinstance(given, Likelihood):
            raise ValueError(f"{name} is {described(given)}; give what mmt.likelihood.measure(model, corpus) returns")
    if first.names != second.names or (first.targets != second.targets).any():
        raise ValueError("the losses are of different pieces; measure both models on the same corpus and split")
    nats = first.nats.sum(1) - second.nats.sum(1)
    low, high = _interval(nats, first.notes) or (None, None)
    return Difference(
        per_note=first.per_note - second.per_note,
        low=low,
        high=high,
        per_field={name: first.per_field[name] - second.per_field[name] for name in FIELDS},
        better=int((nats < 0).sum()),
        pieces=len(nats),
    )


@torch.inference_mode()
def _measure_piece(model: Model, corpus: Corpus, index: int, stride: int) -> dict[str, Any]:
    """Summed nats and number of targets of each field, notes and restarts of a piece."""
    events = events_of_notes(corpus.notes(index), model.representation)
    windows = loss_windows(model, events, stride, corpus.pieces[index].name)
    nats, targets = torch.zeros(len(FIELDS), dtype=torch.float64), torch.zeros(len(FIELDS), dtype=torch.int64)
    for first in range(0, len(windows), _WINDOWS_AT_ONCE):
        found = _losses(model, windows[first : first + _WINDOWS_AT_ONCE])
        nats, targets = nats + found[0], targets + found[1]
    return {
        "nats": nats.tolist(),
        "targets": targets.tolist(),
        "notes": int((events[:, TYPE] == NOTE).sum()),
        "restarts": sum(window.restarts for window, _ in windows),
    }


def _losses(model: Model, windows: list[tuple[LossWindow, Events]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed nats and number of targets per field, each (6,), of the targets of these windows."""
    batch = collate([events for _, events in windows]).to(model.device)
    targets = counted_targets(batch.codes, batch.lengths)
    for row, (window, _) in enumerate(windows):
        # Target t is event t + 1, so start-of-song is never a target.
        targets[row, : max(window.read_before - 1, 0)] = -100
    logits = model.network(batch.codes[:, :-1], targets=next_written(batch.codes))
    nats = [
        F.cross_entropy(logits[field].transpose(1, 2).float(), targets[..., field], reduction="none")
        for field in range(len(FIELDS))
    ]
    return torch.stack(nats).cpu().double().sum(dim=(1, 2)), (targets != -100).sum(dim=(0, 1)).cpu()


def _interval(nats: Floats, notes: npt.NDArray[np.int64], low: float = -math.inf) -> tuple[float, float] | None:
    """The 95 % interval of the nats per note of pieces, with nats and notes of each, (pieces,); None for a single piece."""
    if len(notes) < 2:
        return None
    total, count = nats.sum(), notes.sum()
    below, above = jackknife_interval(total / count, (total - nats) / (count - notes), notes, low=low)
    return float(below), float(above)


def _brackets(ends: tuple[float, float] | None, form: str) -> str:
    return "" if ends is None else f" [{ends[0]:{form}}, {ends[1]:{form}}]"
