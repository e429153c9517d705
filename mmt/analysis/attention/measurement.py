"""Attention weights of a piece, and attention statistics of many pieces in one pass (paper, section 4.4).

Weights are (head, query, key): the share of its attention that the event at index `query` gives to the event at index `key`,
which is the query itself or an earlier event. Statistics count strictly earlier keys and, in every field but the type, only
pairs of written notes. Besides the float64 sums, only one layer of one window is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from mmt.analysis.attention.pairs import Pairs, by_difference, differences
from mmt.analysis.attention.statistics import Absolute, Relative
from mmt.analysis.pieces import Pieces, check_model, field_numbers, pieces_to_study, windows_of
from mmt.corpus.storage import Corpus
from mmt.representation.codes import FIELDS, TYPE, Events
from mmt.sampling.model import Model
from mmt.sampling.next_event import readable_events


@dataclass(frozen=True)
class Statistics:
    """Everything that `measure` computes in one pass, by field name."""

    relative: dict[str, Relative]
    absolute: dict[str, Absolute]


@torch.inference_mode()
def weights(model: Model, events: npt.ArrayLike) -> list[npt.NDArray[np.floating[Any]]]:
    """The attention weights of a piece in every layer.

    Parameters
    ----------
    model : Model
    events : array_like of int, (n, 6)
        A piece, or the beginning of one; n is at most the network's context.

    Returns
    -------
    list of ndarray
        One (head, n, n) array per layer, in the network's precision. Each row sums to 1; later events have weight 0.

    Raises
    ------
    ValueError
        If the events are not codes of the model's representation, or exceed its context.

    Examples
    --------
    >>> import mmt
    >>> model = mmt.new_model("tiny", seed=0)
    >>> [layer.shape for layer in weights(model, mmt.prompt.instruments("violin", "cello"))]
    [(2, 4, 4), (2, 4, 4)]
    """
    check_model(model)
    if isinstance(events, Corpus):
        raise ValueError("a corpus was given, and weights are those of one piece; give a piece of it: corpus[0]")
    codes = torch.from_numpy(readable_events(model.network.config, events, model.representation)).to(model.device)
    return [layer[0].cpu().numpy() for layer in model.network.attention_weights(codes[None])]


@overload
def relative(model: Model, pieces: Pieces, field: str, *, progress: bool = ...) -> Relative: ...
@overload
def relative(model: Model, pieces: Pieces, field: None = ..., *, progress: bool = ...) -> dict[str, Relative]: ...
def relative(
    model: Model, pieces: Pieces, field: str | None = None, *, progress: bool = False
) -> Relative | dict[str, Relative]:
    """Mean relative attention and its gain: how much each head attends to each code difference of a field.

    Parameters
    ----------
    model : Model
    pieces : array_like of int (n, 6), several of them, or a Corpus
        A piece with more events or beats than the model's context is read in windows, as in validation, and a query sees
        only its window. Each array needs two notes; pieces of a corpus that have fewer are skipped.
    field : str, optional
        "type", "beat", "position", "pitch", "duration" or "instrument". Default: all six, in the same time.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Relative, or a dict of six by field
        With `differences` (K,), `gamma`, `gain` and `row_gain`, each (layer, head, K), and `confidence`.

    Raises
    ------
    ValueError
        If there is no such field; if a piece has fewer than two notes or unknown codes; if the corpus has another
        representation than the model.

    Examples
    --------
    >>> import mmt
    >>> model = mmt.new_model("tiny", seed=0)
    >>> pieces = model.generate(n=2, seed=1, max_events=16)
    >>> pitch = relative(model, pieces, "pitch")
    >>> pitch.gamma.shape, pitch.differences[[0, -1]].tolist()
    ((2, 2, 255), [-127, 127])
    """
    found = _measure(model, pieces, field, progress=progress, with_absolute=False).relative
    return found if field is None else found[field]


@overload
def absolute(model: Model, pieces: Pieces, field: str, *, progress: bool = ...) -> Absolute: ...
@overload
def absolute(model: Model, pieces: Pieces, field: None = ..., *, progress: bool = ...) -> dict[str, Absolute]: ...
def absolute(
    model: Model, pieces: Pieces, field: str | None = None, *, progress: bool = False
) -> Absolute | dict[str, Absolute]:
    """Mean attention between the codes of a field: which type, duration or instrument attends to which.

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
    found = _measure(model, pieces, field, progress=progress, with_absolute=True).absolute
    return found if field is None else found[field]


def measure(model: Model, pieces: Pieces, *, progress: bool = False) -> Statistics:
    """Relative and absolute statistics of all six fields in one pass; parameters and errors are those of `relative`."""
    return _measure(model, pieces, None, progress=progress, with_absolute=True)


def _measure(model: Model, pieces: Pieces, field: str | None, *, progress: bool, with_absolute: bool) -> Statistics:
    fields = field_numbers(field)
    count, arrays = pieces_to_study(model, pieces)
    found = _zeros(model, fields, count, with_absolute=with_absolute)
    for piece, events in enumerate(tqdm(arrays, total=count, unit=" pieces", desc="Attention", disable=not progress)):
        for window in windows_of(model, events):
            _add_window(found, piece, Pairs(window, model.network.config.sizes, fields), layer_weights(model, window))
    if not all(relative.pairs.any() for relative in found.relative.values()):
        raise ValueError("no window of these pieces holds two notes; give pieces with notes closer together")
    return found


def _zeros(model: Model, fields: list[int], pieces: int, *, with_absolute: bool) -> Statistics:
    """Statistics of no pairs yet, for `_add_window` to add to."""
    config = model.network.config
    heads = (config.layers, config.heads)
    found = Statistics({}, {})
    for field in fields:
        name, size = FIELDS[field], config.sizes[field]
        steps = differences(field, size)
        baselines = (np.zeros((pieces, len(steps))) for _ in range(2))
        found.relative[name] = Relative(name, steps, np.zeros((pieces, *heads, len(steps))), *baselines)
        if with_absolute:
            codes = np.arange(int(field != TYPE), size)
            square = (len(codes), len(codes))
            found.absolute[name] = Absolute(
                name, codes, np.zeros((*heads, *square)), np.zeros(square), np.zeros(square)
            )
    return found


def _add_window(found: Statistics, piece: int, pairs: Pairs, layers: Iterator[npt.NDArray[np.floating[Any]]]) -> None:
    names = list(found.relative)
    for name, counts, even in zip(names, pairs.counts(), pairs.even_sums(), strict=True):
        found.relative[name].pairs[piece] += by_difference(counts, FIELDS.index(name))
        found.relative[name].even[piece] += by_difference(even, FIELDS.index(name))
        if name in found.absolute:
            found.absolute[name].pairs[:] += counts
            found.absolute[name].even[:] += even
    for layer, weights in enumerate(layers):
        for name, sums in zip(names, pairs.sums(weights), strict=True):
            found.relative[name].attention[piece, layer] += by_difference(sums, FIELDS.index(name))
            if name in found.absolute:
                found.absolute[name].attention[layer] += sums


@torch.inference_mode()
def layer_weights(model: Model, events: Events) -> Iterator[npt.NDArray[np.floating[Any]]]:
    """The weights of each layer, (head, n, n)."""
    codes = torch.from_numpy(events).to(model.device)
    for layer in model.network.attention_weights(codes[None]):
        yield layer[0].float().cpu().numpy()
