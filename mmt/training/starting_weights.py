"""Read a trained model as the start of a training, and check that it fits the recipe."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mmt.model.checkpoint import Checkpoint
from mmt.model.network import Network
from mmt.model.original_checkpoint import read_any_checkpoint
from mmt.model.recipes import find_checkpoint
from mmt.representation.codes import Representation
from mmt.training.recipe import Recipe

# Entries that may differ, or that are checked by rules of their own.
_FREE = ("dropout", "layers", "output", "sizes", "zero_init")
# Heads in order: each can start from the weights of any earlier one.
_KINDS: tuple[str, ...] = ("independent", "chain", "mixed")


def read_base(base: str | os.PathLike[str]) -> Checkpoint:
    """Read a model: the name of one that mmt ships ("default"), a checkpoint folder, or a run folder of the original code."""
    folder = find_checkpoint(base)
    if not folder.exists():
        raise FileNotFoundError(
            f"{base} does not exist; give default (the model that mmt ships), a checkpoint folder, "
            "or a run folder of the original code"
        )
    return read_any_checkpoint(folder)


def fitting_weights(base: Checkpoint, name: str | os.PathLike[str], recipe: Recipe) -> dict[str, Tensor]:
    """The weights of a model, for the network of a recipe, which may be larger in ways that initially change nothing.

    - The representation may have options that the model's lacks (`drums`, `given`, `length`). The new codes have random
      embeddings, and are predicted as rarely as the rarest code of their field.
    - There may be more layers. They come last, and initially add zero to the residual stream.
    - "chain" heads can start from "independent" heads, and "mixed" heads from either (see `ChainHeads`), since their additional
      weights initially have no effect.

    All else must be equal; a `ValueError` names the first difference.
    """
    _check_representation(base.representation, name, recipe.representation)
    theirs, ours = base.network.config.to_dict(), recipe.network.to_dict()
    for entry in ours:
        # Only a table of absolute positions depends on the context.
        free = entry in _FREE or (entry == "context" and ours["positions"] != "absolute")
        if not free and ours[entry] != theirs[entry]:
            raise _misfit(name, f"network.{entry}", theirs[entry], ours[entry])
    if ours["layers"] < theirs["layers"]:
        raise _misfit(name, "network.layers", theirs["layers"], ours["layers"])
    heads = (theirs["output"], ours["output"])
    if heads[0] != heads[1] and heads not in itertools.combinations(_KINDS, 2):
        raise _misfit(name, "network.output", *heads)
    weights = Network(replace(recipe.network, zero_init=True)).state_dict()
    if heads == ("chain", "mixed"):
        weights["heads.state.weight"] = torch.eye(ours["dim"])
    for key, trained in base.network.state_dict().items():
        added = len(weights[key]) - len(trained)
        weights[key] = torch.cat([trained, _new_rows(key, trained, weights[key][-added:])]) if added else trained
    return weights


def _check_representation(theirs: Representation, name: str | os.PathLike[str], ours: Representation) -> None:
    """Raise a `ValueError` unless all codes of one representation mean the same in the other."""
    reach = ("reach",) if theirs.given else ()
    for entry in ("resolution", "durations", "instruments", *reach):
        if getattr(theirs, entry) != getattr(ours, entry):
            raise ValueError(f"{name} does not fit the recipe: it was trained with other {entry} of the representation")
    if theirs.beats != ours.beats:
        raise _misfit(name, "representation.beats", theirs.beats, ours.beats)
    for option in ("drums", "given", "length"):
        if getattr(theirs, option) and not getattr(ours, option):
            raise _misfit(name, f"representation.{option}", "true", "false")


def _new_rows(key: str, trained: Tensor, drawn: Tensor) -> Tensor:
    """The rows of new codes in a table of weights: as drawn in embeddings; in heads, a logit equal to the lowest bias."""
    if not key.startswith("heads.fields."):
        return drawn
    return torch.zeros_like(drawn) if key.endswith("weight") else trained.min().expand_as(drawn)


def _misfit(name: str | os.PathLike[str], entry: str, theirs: Any, ours: Any) -> ValueError:
    return ValueError(
        f"{name} does not fit the recipe: it has {entry.partition('.')[2]} {theirs}, the recipe {ours}; "
        f"choose another recipe, or set {entry}={theirs}"
    )
