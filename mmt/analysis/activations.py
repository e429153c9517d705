"""What passes inside a network while it reads a piece: the residual stream, and what attention and feed-forward add to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmt.analysis.pieces import events_to_read
from mmt.model.inside import edited
from mmt.model.inside import places as all_places
from mmt.sampling.model import Model

Activations = dict[str, npt.NDArray[np.floating[Any]]]


@torch.inference_mode()
def activations(model: Model, events: npt.ArrayLike, places: Sequence[str] | None = None) -> Activations:
    """What passes at each place of a network, for every event of a piece.

    Parameters
    ----------
    model : Model
    events : array_like of int, (n, 6)
        A piece, or any beginning of one; n is at most the network's context.
    places : sequence of str, optional
        See `mmt.inside` for their names. Default: all.

    Returns
    -------
    dict of ndarray by place
        (n, dim); (n, head, head_dim) at `layers.I.heads`.

    Raises
    ------
    ValueError
        If the events are no codes of the model's representation, or more than its context; if there is no such place.

    Examples
    --------
    >>> import mmt
    >>> model = mmt.new_model("tiny", seed=0)
    >>> found = activations(model, mmt.prompt.instruments("violin", "cello"))
    >>> found["layers.1.stream"].shape, found["layers.1.heads"].shape
    ((4, 32), (4, 2, 16))
    """
    found: Activations = {}
    codes = torch.from_numpy(events_to_read(model, events)).to(model.device)
    wanted = all_places(model.network) if places is None else places
    watched = edited(model.network, {place: _note(found, place) for place in wanted})
    watched.hidden(codes[None])
    return found


def _note(found: Activations, place: str) -> Callable[[Tensor], Tensor]:
    def note(passing: Tensor) -> Tensor:
        found[place] = passing[0].cpu().numpy().copy()
        return passing

    return note
