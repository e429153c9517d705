"""What a network attends to (paper, section 4.4): the weights of every layer and head, statistics of them, and pictures.

Weights are (head, query, key): how much the event at place `query` takes from the event at place `key`, which is itself
or an earlier one. Statistics are in `mmt.analysis.measuring`, pictures in `mmt.analysis.pictures` and `mmt.analysis.arcs`, the
folder that `mmt-attention` writes in `mmt.analysis.report`; their public names are here too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mmt.analysis.measuring import Statistics, absolute, measure, relative
from mmt.analysis.pictures import draw_codes, draw_gain, draw_heads
from mmt.analysis.pieces import events_to_read
from mmt.analysis.report import read_statistics, write_report
from mmt.analysis.statistics import Absolute, Relative
from mmt.sampling.model import Model

__all__ = [
    "weights",
    "relative",
    "absolute",
    "measure",
    "Relative",
    "Absolute",
    "Statistics",
    "draw_gain",
    "draw_heads",
    "draw_codes",
    "write_report",
    "read_statistics",
]


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
