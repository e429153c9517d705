"""Small models with random weights, and the parts of the pieces that they write."""

from __future__ import annotations

from typing import Any

import torch

from mmt.model.checkpoint import Checkpoint
from mmt.model.config import NetworkConfig
from mmt.model.network import Network
from mmt.representation.codes import INSTRUMENT, INSTRUMENT_EVENT, NOTE, TYPE, Events, Representation
from mmt.sampling.model import Model


def random_model(
    representation: Representation,
    seed: int = 0,
    *,
    scale: float = 1.0,
    shape: tuple[int, int, int, int] = (16, 2, 2, 8),
    **config: Any,
) -> Model:
    """A model whose logits are multiplied by `scale`; `shape` is its width, layers, heads and width of a head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(NetworkConfig(representation.sizes, *shape, **config))
        for name, parameter in network.named_parameters():
            if "heads.mix" in name:
                torch.nn.init.normal_(parameter, std=0.3)
            if "heads.fields" in name:
                parameter.data *= scale
    return Model(Checkpoint(network.eval(), representation))


def notes_of(piece: Events) -> Events:
    return piece[piece[:, TYPE] == NOTE]


def instruments_of(piece: Events) -> list[int]:
    return piece[piece[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT].tolist()
