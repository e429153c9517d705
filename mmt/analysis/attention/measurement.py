"""Attention weights of a piece, and attention statistics of many pieces in one pass (paper, section 4.4).

Weights are (head, query, key): the share of its attention that the event at index `query` gives to the event at index `key`,
which is the query itself or an earlier event. Statistics count strictly earlier keys and, in every field but the type, only
pairs of written notes. Besides the float64 sums, only one layer of one window is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from mmt.analysis.attention.nulls import COMPARED, NULLS, Contrast, Expectation, Null
from mmt.analysis.attention.pairs import Pairs, Sums, by_difference, differences
from mmt.analysis.attention.statistics import Absolute, Relative
from mmt.analysis.pieces import Pieces, field_numbers, pieces_to_study, windows_of
from mmt.corpus.storage import Corpus
from mmt.representation.codes import FIELDS, TYPE, Events
from mmt.sampling.model import Model, check_model
from mmt.sampling.next_event import readable_events

# Pairs of a field and a null model.
Comparisons = Sequence[tuple[str, str]]
# Absolute statistics keep the sums of at most 32 groups of pieces, or of one group for fields of more than 100 codes.
_GROUPS, _MANY_CODES = 32, 100


@dataclass(frozen=True)
class Statistics:
    """Everything that `measure` computes in one pass, by field name."""

    relative: dict[str, Relative]
    absolute: dict[str, Absolute]
    expected: dict[tuple[str, str], Sums]
    """What null models expect, by field and null model: attention by code difference, (piece, layer, head, K)."""

    def contrast(self, field: str, null: str) -> Contrast:
        """The attention of a field against a null model."""
        if (field, null) not in self.expected:
            known = ", ".join(" ".join(key) for key in self.expected) or "none"
            raise ValueError(f"there is no comparison of {field!r} with the null model {null!r}; there are: {known}")
        found = self.relative[field]
        return Contrast(field, null, found.differences, found.attention, self.expected[field, null])


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
    found = _measure(model, pieces, field, progress, with_absolute=False).relative
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
    found = _measure(model, pieces, field, progress, with_absolute=True).absolute
    return found if field is None else found[field]


def contrast(model: Model, pieces: Pieces, field: str, null: Null, *, progress: bool = False) -> Contrast:
    """Measure a field's attention against a null model.

    Parameters
    ----------
    model, pieces, progress
        As for `relative`.
    field : "beat", "position", "pitch", "duration" or "instrument"
    null : "moments", "events" or "beats"
        What is kept, see `mmt.analysis.attention.nulls`. "moments" explains all of beat and position, "beats" all of beat.

    Raises
    ------
    ValueError
        If there is no such field or null model, or a piece cannot be read.

    Examples
    --------
    >>> import mmt
    >>> model = mmt.new_model("tiny", seed=0)
    >>> notes = [[3, 1, 1, 61, 12, 25], [3, 2, 1, 65, 12, 25], [3, 2, 1, 68, 12, 25]]
    >>> contrast(model, np.array(notes), "pitch", "moments").gain.shape
    (2, 2, 255)
    """
    if not field or field_numbers(field) == [TYPE]:
        raise ValueError(
            f"field is {field!r}; null models are of notes: choose beat, position, pitch, duration or instrument"
        )
    if null not in NULLS:
        raise ValueError(f"null is {null!r}; choose one of {', '.join(NULLS)}")
    found = _measure(model, pieces, field, progress, with_absolute=False, compared=[(field, null)])
    return found.contrast(field, null)


def measure(model: Model, pieces: Pieces, *, progress: bool = False) -> Statistics:
    """Statistics of all six fields and the null models in one pass; parameters and errors are those of `relative`."""
    return _measure(model, pieces, None, progress, with_absolute=True, compared=COMPARED)


def _measure(
    model: Model, pieces: Pieces, field: str | None, progress: bool, with_absolute: bool, compared: Comparisons = ()
) -> Statistics:
    """The statistics of one field or of all, with or without absolute ones, and of some fields against null models."""
    fields = field_numbers(field)
    count, arrays = pieces_to_study(model, pieces)
    sizes = model.network.config.sizes
    found = _zeros(model, fields, count, with_absolute, compared)
    for piece, events in enumerate(tqdm(arrays, total=count, unit=" pieces", desc="Attention", disable=not progress)):
        for window in windows_of(model, events):
            pairs, expectation = Pairs(window, sizes, fields), Expectation(window, sizes, compared)
            _add_window(found, piece, pairs, expectation, layer_weights(model, window))
    if not all(relative.pairs.any() for relative in found.relative.values()):
        raise ValueError("no window of these pieces holds two notes; give pieces with notes closer together")
    return found


def _zeros(model: Model, fields: list[int], pieces: int, with_absolute: bool, compared: Comparisons) -> Statistics:
    """Statistics of no pairs yet, for `_add_window` to add to."""
    config = model.network.config
    heads = (config.layers, config.heads)
    found = Statistics({}, {}, {})
    for field in fields:
        name, size = FIELDS[field], config.sizes[field]
        steps = differences(field, size)
        baselines = (np.zeros((pieces, len(steps))) for _ in range(2))
        found.relative[name] = Relative(name, steps, np.zeros((pieces, *heads, len(steps))), *baselines)
        if with_absolute:
            codes = np.arange(int(field != TYPE), size)
            groups, square = min(pieces, _GROUPS if size <= _MANY_CODES else 1), (len(codes), len(codes))
            baselines = (np.zeros((groups, *square)) for _ in range(2))
            found.absolute[name] = Absolute(name, codes, np.zeros((groups, *heads, *square)), *baselines)
    for name, null in compared:
        found.expected[name, null] = np.zeros_like(found.relative[name].attention)
    return found


def _add_window(
    found: Statistics, piece: int, pairs: Pairs, expectation: Expectation, layers: Iterator[npt.NDArray[Any]]
) -> None:
    """Add a window of a piece to the statistics, layer by layer."""
    names = list(found.relative)
    for name, counts, even in zip(names, *pairs.baselines(), strict=True):
        found.relative[name].pairs[piece] += by_difference(counts, FIELDS.index(name))
        found.relative[name].even[piece] += by_difference(even, FIELDS.index(name))
        if name in found.absolute:
            absolute = found.absolute[name]
            group = piece % len(absolute.pairs)
            absolute.pairs[group] += counts
            absolute.even[group] += even
    for layer, weights in enumerate(layers):
        for name, sums in zip(names, pairs.sums(weights), strict=True):
            found.relative[name].attention[piece, layer] += by_difference(sums, FIELDS.index(name)).T
            if name in found.absolute:
                attention = found.absolute[name].attention
                attention[piece % len(attention), layer] += np.moveaxis(sums, -1, 0)
        for key, sums in expectation.sums(weights).items():
            found.expected[key][piece, layer] += sums.T


@torch.inference_mode()
def layer_weights(model: Model, events: Events) -> Iterator[npt.NDArray[np.floating[Any]]]:
    """The weights of each layer, (query, key, head)."""
    codes = torch.from_numpy(events).to(model.device)
    for layer in model.network.attention_weights(codes[None]):
        yield layer[0].float().permute(1, 2, 0).contiguous().cpu().numpy()
