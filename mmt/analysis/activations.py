"""Activations of a network while it reads: of one piece as arrays, of a corpus as a file on disk with a label for each row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import torch

from mmt.analysis.inside.recording import read_places, record
from mmt.analysis.inside.store import ActivationStore
from mmt.corpus.storage import Corpus
from mmt.representation.arguments import described
from mmt.sampling.model import Model, check_model
from mmt.sampling.next_event import readable_events

Activations = dict[str, npt.NDArray[np.floating[Any]]]
_USUAL = ("heads", "attention", "feed_forward", "stream")


@overload
def activations(model: Model, events: npt.ArrayLike, places: Sequence[str] | None = ...) -> Activations: ...
@overload
def activations(
    model: Model,
    events: Corpus | Iterable[npt.ArrayLike],
    places: Sequence[str] | None = ...,
    *,
    output: str | PathLike[str],
    dtype: Literal["float32", "float16"] = ...,
    batch_size: int = ...,
    stride: int | None = ...,
    progress: bool = ...,
) -> ActivationStore: ...
def activations(
    model: Model,
    events: npt.ArrayLike | Corpus | Iterable[npt.ArrayLike],
    places: Sequence[str] | None = None,
    *,
    output: str | PathLike[str] | None = None,
    dtype: Literal["float32", "float16"] = "float32",
    batch_size: int = 8,
    stride: int | None = None,
    progress: bool = False,
) -> Activations | ActivationStore:
    """The activations at places of a network, for every event of a piece, or of all pieces of a corpus.

    Parameters
    ----------
    model : Model
        It may be edited: an activation is what is there after the edits.
    events : array_like of int, (n, 6); or a Corpus, or a list of pieces, with `output`
        A piece, or the beginning of one; n is at most the network's context. Pieces of a corpus may have any length.
    places : sequence of str, optional
        Names as in `mmt.inside.places`. Default: embedding, final, and heads, attention, feed_forward and stream of each layer.
        Joint heads are given the true earlier fields of the next event, and zeros after the last one.
    output : path, optional
        A folder for the activations of a corpus, see `mmt.analysis.inside.recording`. An unfinished one is continued.
    dtype : "float32" or "float16"
        How they are stored.
    batch_size : int
        The number of windows that are read at once, which bounds the memory.
    stride, progress
        As for `mmt.likelihood.measure`.

    Returns
    -------
    dict of ndarray by place; with `output`, an ActivationStore
        (n, …) with the shapes in `mmt.inside`; (head, n, n) at scores and pattern.

    Raises
    ------
    ValueError
        If the events are not codes of the model or exceed its context; if `places` is no list; if `output` holds another job.

    Examples
    --------
    >>> import mmt
    >>> model = mmt.new_model("tiny", seed=0)
    >>> found = activations(model, mmt.prompt.instruments("violin", "cello"))
    >>> found["layers.1.stream"].shape, found["layers.1.heads"].shape
    ((4, 32), (4, 2, 16))
    """
    check_model(model)
    wanted = _listed(model, places)
    if output is not None:
        return record(
            model, events, wanted, output, dtype=dtype, batch_size=batch_size, stride=stride, progress=progress
        )
    if isinstance(events, Corpus):
        raise ValueError("a corpus was given; give a folder for activations (output=…), or a piece of it: corpus[0]")
    piece = readable_events(model.network.config, events, model.representation)  # type: ignore[arg-type]
    codes = torch.from_numpy(piece).to(model.device)
    return {place: found[0].cpu().numpy() for place, found in read_places(model, codes[None], wanted).items()}


def _listed(model: Model, places: Sequence[str] | None) -> list[str]:
    """A list of places, checked to be one; for None the usual ones."""
    if places is None:
        layers = range(model.network.config.layers)
        return ["embedding", *(f"layers.{layer}.{part}" for layer in layers for part in _USUAL), "final"]
    if isinstance(places, str):
        raise ValueError(f"places is {places!r}; give a list of places: [{places!r}]")
    wanted = list(places) if isinstance(places, Iterable) else []
    if not wanted or not all(isinstance(place, str) for place in wanted):
        raise ValueError(f"places is {described(places)}; give a list of one or more places: ['final']")
    return wanted
