"""Activations of a network while it reads a piece: the residual stream, and the outputs of attention and feed-forward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmt.analysis.pieces import check_model
from mmt.corpus.storage import Corpus
from mmt.model.inside import edited
from mmt.model.inside import places as all_places
from mmt.sampling.model import Model
from mmt.sampling.next_event import readable_events

Activations = dict[str, npt.NDArray[np.floating[Any]]]


@torch.inference_mode()
def activations(model: Model, events: npt.ArrayLike, places: Sequence[str] | None = None) -> Activations:
    """The activations at places of a network, for every event of a piece.

    Parameters
    ----------
    model : Model
    events : array_like of int, (n, 6)
        A piece, or the beginning of one; n is at most the network's context.
    places : sequence of str, optional
        Names as in `mmt.inside.places`. Default: all.

    Returns
    -------
    dict of ndarray by place
        (n, dim); (n, head, head_dim) at `layers.I.heads`.

    Raises
    ------
    ValueError
        If the events are not codes of the model's representation, or exceed its context; if `places` is no list of places.

    Examples
    --------
    >>> import mmt
    >>> model = mmt.new_model("tiny", seed=0)
    >>> found = activations(model, mmt.prompt.instruments("violin", "cello"))
    >>> found["layers.1.stream"].shape, found["layers.1.heads"].shape
    ((4, 32), (4, 2, 16))
    """
    found: Activations = {}

    def recorder(place: str) -> Callable[[Tensor], Tensor]:
        def record(activation: Tensor) -> Tensor:
            found[place] = activation[0].cpu().numpy().copy()
            return activation

        return record

    check_model(model)
    if isinstance(events, Corpus):
        raise ValueError("a corpus was given, and activations are those of one piece; give a piece of it: corpus[0]")
    if isinstance(places, str):
        raise ValueError(f"places is {places!r}; give a list of places: [{places!r}]")
    codes = torch.from_numpy(readable_events(model.network.config, events, model.representation)).to(model.device)
    wanted = all_places(model.network) if places is None else places
    edited(model.network, {place: recorder(place) for place in wanted}).hidden(codes[None])
    return found
