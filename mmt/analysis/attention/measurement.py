"""Attention weights of a piece, and statistics of pieces in one pass: every layer, head and field (paper, section 4.4).

Weights are (head, query, key): how much the event at place `query` takes from the event at place `key`, which is itself or an
earlier one. Statistics are over strictly earlier keys and, but for the type, over pairs of written notes alone. One layer of one
window is in memory at a time, and the sums, in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from mmt.analysis.attention.pairs import Pairs, Sums, by_difference, differences
from mmt.analysis.attention.statistics import Absolute, Relative
from mmt.analysis.pieces import Pieces, events_to_read, field_numbers, pieces_to_study, windows_of
from mmt.representation.codes import FIELDS, TYPE, Events
from mmt.sampling.model import Model


@dataclass(frozen=True)
class Statistics:
    """All that `measure` finds in one pass, by the name of the field."""

    relative: dict[str, Relative]
    absolute: dict[str, Absolute]


@torch.inference_mode()
def weights(model: Model, events: npt.ArrayLike) -> list[npt.NDArray[np.floating[Any]]]:
    """The attention weights of a piece in every layer.

    Parameters
    ----------
    model : Model
    events : array_like of int, (n, 6)
        A piece, or any beginning of one; n is at most the network's context.

    Returns
    -------
    list of ndarray, one (head, n, n) a layer
        Of the network's precision. Each row sums to 1; what a query cannot see, the later events, is 0.

    Raises
    ------
    ValueError
        If the events are no codes of the model's representation, or more than its context.

    Examples
    --------
    >>> import mmt
    >>> model = mmt.new_model("tiny", seed=0)
    >>> [layer.shape for layer in weights(model, mmt.prompt.instruments("violin", "cello"))]
    [(2, 4, 4), (2, 4, 4)]
    """
    codes = torch.from_numpy(events_to_read(model, events)).to(model.device)
    return [layer[0].cpu().numpy() for layer in model.network.attention_weights(codes[None])]


@overload
def relative(model: Model, pieces: Pieces, field: str, *, progress: bool = ...) -> Relative: ...
@overload
def relative(model: Model, pieces: Pieces, field: None = ..., *, progress: bool = ...) -> dict[str, Relative]: ...
def relative(
    model: Model, pieces: Pieces, field: str | None = None, *, progress: bool = False
) -> Relative | dict[str, Relative]:
    """Mean relative attention and its gain: how much each head attends to what lies so far away in a field.

    Parameters
    ----------
    model : Model
    pieces : array_like of int (n, 6), several of them, or a Corpus
        A piece that is longer than the model's context, or has more beats than it knows, is studied in windows, as in
        validation: a query sees what its window holds. Each array needs two notes; pieces of a corpus that have fewer are
        left out.
    field : str, optional
        "type", "beat", "position", "pitch", "duration" or "instrument". Default: all six, in the same time.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    Relative, or a dict of six by field
        With `differences` (K,), `gamma`, `gain` and `row_gain`, each (layer, head, K), and `confidence`.

    Raises
    ------
    ValueError
        If there is no such field; if a piece has fewer than two notes or codes that the model does not know; if the corpus
        is of another representation.

    Examples
    --------
    >>> import mmt
    >>> model = mmt.new_model("tiny", seed=0)
    >>> pieces = model.generate(n=2, seed=1, max_events=16)
    >>> pitch = relative(model, pieces, "pitch")
    >>> pitch.gamma.shape, pitch.differences[[0, -1]].tolist()
    ((2, 2, 255), [-127, 127])
    """
    found = _study(model, pieces, field, progress=progress, absolute=False).relative
    return found if field is None else found[field]


@overload
def absolute(model: Model, pieces: Pieces, field: str, *, progress: bool = ...) -> Absolute: ...
@overload
def absolute(model: Model, pieces: Pieces, field: None = ..., *, progress: bool = ...) -> dict[str, Absolute]: ...
def absolute(
    model: Model, pieces: Pieces, field: str | None = None, *, progress: bool = False
) -> Absolute | dict[str, Absolute]:
    """Mean attention between the codes of a field: which type, duration, instrument attends to which.

    Parameters and errors are those of `relative`.

    Returns
    -------
    Absolute, or a dict of six by field
        With `codes` (C,), `gamma`, `gain` and `row_gain`, each (layer, head, C, C): [query's code, key's code].

    Examples
    --------
    >>> import mmt
    >>> model = mmt.new_model("tiny", seed=0)
    >>> absolute(model, model.generate(n=2, seed=1, max_events=16), "type").gamma.shape
    (2, 2, 5, 5)
    """
    found = _study(model, pieces, field, progress=progress, absolute=True).absolute
    return found if field is None else found[field]


def measure(model: Model, pieces: Pieces, *, progress: bool = False) -> Statistics:
    """Relative and absolute statistics of all six fields in one pass; parameters and errors are those of `relative`."""
    return _study(model, pieces, None, progress=progress, absolute=True)


def _study(model: Model, pieces: Pieces, field: str | None, *, progress: bool, absolute: bool) -> Statistics:
    """One pass: one layer of one window is in memory at a time, and the sums."""
    fields = field_numbers(field)
    count, arrays = pieces_to_study(model, pieces)
    tally = _Tally(model, fields, count, absolute=absolute)
    for piece, events in enumerate(tqdm(arrays, total=count, unit=" pieces", desc="Attention", disable=not progress)):
        for window in windows_of(model, events):
            tally.add(piece, window, _layers(model, window))
    return tally.statistics()


@torch.inference_mode()
def _layers(model: Model, events: Events) -> Iterator[npt.NDArray[np.floating[Any]]]:
    """The weights of each layer, (head, n, n)."""
    codes = torch.from_numpy(events).to(model.device)
    for layer in model.network.attention_weights(codes[None]):
        yield layer[0].float().cpu().numpy()


class _Tally:
    """The sums of all fields: those by difference for each piece, those from code to code over all pieces."""

    def __init__(self, model: Model, fields: Sequence[int], pieces: int, *, absolute: bool) -> None:
        config = model.network.config
        self._fields, self._sizes = fields, config.sizes
        heads = (config.layers, config.heads)
        widths = [len(differences(field, config.sizes[field])) for field in fields]
        self._attention = [np.zeros((pieces, *heads, width)) for width in widths]
        self._pairs, self._even = ([np.zeros((pieces, width)) for width in widths] for _ in range(2))
        codes = [config.sizes[field] - (field != TYPE) for field in fields] if absolute else []
        self._joint_attention = [np.zeros((*heads, size, size)) for size in codes]
        self._joint_pairs, self._joint_even = ([np.zeros((size, size)) for size in codes] for _ in range(2))

    def add(self, piece: int, events: Events, layers: Iterator[npt.NDArray[np.floating[Any]]]) -> None:
        pairs = Pairs(events, self._sizes, self._fields)
        self._add(pairs.counts(), [sums[piece] for sums in self._pairs], self._joint_pairs)
        self._add(pairs.even_sums(), [sums[piece] for sums in self._even], self._joint_even)
        for number, weights in enumerate(layers):
            relative = [sums[piece, number] for sums in self._attention]
            self._add(pairs.sums(weights), relative, [sums[number] for sums in self._joint_attention])

    def _add(self, found: Sequence[Sums], relative: Sequence[Sums], joint: Sequence[Sums]) -> None:
        for place, (field, sums) in enumerate(zip(self._fields, found, strict=True)):
            relative[place][:] += by_difference(sums, field)
            if joint:
                joint[place][:] += sums

    def statistics(self) -> Statistics:
        relative, absolute = {}, {}
        for place, field in enumerate(self._fields):
            name, size = FIELDS[field], self._sizes[field]
            if not self._pairs[place].any():
                raise ValueError("no two notes of these pieces stand in one window; there is no pair to study")
            sums = (self._attention[place], self._pairs[place], self._even[place])
            relative[name] = Relative(name, differences(field, size), *sums)
            if self._joint_attention:
                joint = (self._joint_attention[place], self._joint_pairs[place], self._joint_even[place])
                absolute[name] = Absolute(name, np.arange(int(field != TYPE), size), *joint)
        return Statistics(relative, absolute)
