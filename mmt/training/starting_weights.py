"""Read a trained model as the start of a training, and check that it fits the recipe."""

from __future__ import annotations

import itertools
import os
from typing import Any

import torch
from torch import Tensor

from mmt.model.checkpoint import Checkpoint, read_checkpoint
from mmt.model.network import Network
from mmt.model.original_checkpoint import is_original_run, read_original_run
from mmt.model.recipes import find_checkpoint
from mmt.training.recipe import Recipe

# Entries that may differ, since the shapes of weights do not depend on them.
_FREE = ("dropout", "output", "zero_init")
# Heads in order: each can start from the weights of any earlier one.
_KINDS: tuple[str, ...] = ("independent", "chain", "mixed")


def read_base(base: str | os.PathLike[str]) -> Checkpoint:
    """Read a model: the name of one that mmt ships ("default"), a checkpoint folder, or a run folder of the original code.

    Raises
    ------
    FileNotFoundError
        If there is no model or folder of that name.
    ValueError
        If it is corrupt.
    """
    folder = find_checkpoint(base)
    if not folder.exists():
        raise FileNotFoundError(
            f"{base} does not exist; give default (the model that mmt ships), a checkpoint folder, "
            "or a run folder of the original code"
        )
    return read_original_run(folder) if is_original_run(folder) else read_checkpoint(folder)


def fitting_weights(base: Checkpoint, name: str | os.PathLike[str], recipe: Recipe) -> dict[str, Tensor]:
    """The weights of a model, for the network of a recipe.

    All weights must fit, with one exception: "chain" heads can start from "independent" heads, and "mixed" heads from either
    (see `ChainHeads`), since their additional weights initially have no effect.

    Raises
    ------
    ValueError
        If the network or representation of the recipe differs; the message names the first difference.
    """
    reach = ("reach",) if recipe.representation.given else ()
    for entry in ("resolution", "durations", "instruments", "drums", "given", *reach):
        if getattr(base.representation, entry) != getattr(recipe.representation, entry):
            raise ValueError(f"{name} does not fit the recipe: it was trained with other {entry} of the representation")
    if base.representation.beats != recipe.representation.beats:
        raise _misfit(name, "representation.beats", base.representation.beats, recipe.representation.beats)
    theirs, ours = base.network.config.to_dict(), recipe.network.to_dict()
    for entry in ours:
        # Only a table of absolute positions depends on the context.
        free = entry in _FREE or (entry == "context" and ours["positions"] != "absolute")
        if not free and ours[entry] != theirs[entry]:
            raise _misfit(name, f"network.{entry}", theirs[entry], ours[entry])
    weights = base.network.state_dict()
    if ours["output"] != theirs["output"]:
        if (theirs["output"], ours["output"]) not in itertools.combinations(_KINDS, 2):
            raise _misfit(name, "network.output", theirs["output"], ours["output"])
        weights = Network(recipe.network).state_dict() | weights
        if theirs["output"] == "chain":
            weights["heads.state.weight"] = torch.eye(ours["dim"])
    return weights


def _misfit(name: str | os.PathLike[str], entry: str, theirs: Any, ours: Any) -> ValueError:
    return ValueError(
        f"{name} does not fit the recipe: it has {entry.partition('.')[2]} {theirs}, the recipe {ours}; "
        f"choose another recipe, or set {entry}={theirs}"
    )
