"""Checkpoints of the original code: a run folder of theirs, or a bare file of weights, becomes a network of ours that computes
the same.

A run folder holds `checkpoints/best_model.pt`, a plain state dict, and `train-args.json`. Sizes are taken from the weights;
only the number of positions of a network without a table of them stands in the arguments.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmt.model.checkpoint import Checkpoint, write_checkpoint
from mmt.model.config import NetworkConfig
from mmt.model.network import Network, network_without_weights
from mmt.representation.codes import BEAT, DURATION, POSITION, Representation

ARGUMENTS, WEIGHTS = "train-args.json", Path("checkpoints", "best_model.pt")
_PREFIX = "decoder.net."
# A learned table of absolute positions; the frequencies of relative ones, which are computed.
_TABLE, _ROTARY = f"{_PREFIX}pos_emb.emb.weight", f"{_PREFIX}attn_layers.rotary_pos_emb.inv_freq"
_HEAD_DIM, _ROTARY_DIMS = 64, 32
# What torch.nn.DataParallel puts before all names.
_PARALLEL = "module."


def is_original_run(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a run folder of the original code, its folder of weights, or a file of them."""
    return (_run_of(Path(path)) / ARGUMENTS).exists() or Path(path).suffix == ".pt"


def _run_of(path: Path) -> Path:
    """The run folder of its folder of weights; any other path as it is."""
    within = path.resolve().name == WEIGHTS.parent.name and (path / WEIGHTS.name).exists()
    return path.parent if within and (path.parent / ARGUMENTS).exists() else path


def read_original_run(
    path: str | os.PathLike[str], arguments: Mapping[str, Any] | str | os.PathLike[str] | None = None
) -> Checkpoint:
    """Read a run folder of the original code, or a bare file of its weights.

    Parameters
    ----------
    path : path
        The folder, or a `.pt` file.
    arguments : mapping or path, optional
        In place of the folder's `train-args.json`: what stands in it, such a file, or a run folder that has it. Weights with a
        table of positions need none.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is corrupt; if a key or a shape does not fit, the first of which is named; or if arguments are needed.
    """
    path = _run_of(Path(path))
    file = path if path.suffix == ".pt" else path / WEIGHTS
    if path.is_file() and file != path:
        raise ValueError(f"{path} is no file of weights (.pt), and no run folder of the original code")
    if not file.exists():
        missing = file if path.exists() else path
        raise FileNotFoundError(f"{missing} does not exist; a run folder of the original code has {WEIGHTS}")
    if arguments is None and file != path:
        arguments = path / ARGUMENTS
    given = _read_arguments(Path(arguments)) if isinstance(arguments, str | os.PathLike) else arguments
    try:
        # weights_only: nothing in the file can run code.
        weights = torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # what is no file of weights makes the unpickler raise anything
        reason = " ".join(str(error).split())[:200]
        # Of what was never one it often says a single number.
        said = reason if " " in reason else "torch.save does not write such"
        raise ValueError(f"{file} is no file of weights, or a corrupt one ({said})") from error
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ValueError(f"{file} is no state dict: a mapping from names to tensors was expected")
    if given is None and _TABLE not in _alone(weights):
        raise ValueError(
            f"{file} has no table of positions, so it does not say how long a piece may be; give its {ARGUMENTS} too"
        )
    try:
        return from_original(weights, given or {})
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def convert_original_run(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    arguments: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a run of the original code as a checkpoint folder of ours, which computes the same; returns the folder.

    Parameters
    ----------
    path, arguments
        As for `read_original_run`.
    output : path
        The folder to write.
    overwrite : bool
        Whether a checkpoint folder of this name is replaced.

    Raises
    ------
    FileExistsError
        If `output` exists and `overwrite` is false, or it is no checkpoint folder.
    """
    output = Path(output)
    if output.exists() and not overwrite:
        raise FileExistsError(f"{output} exists; give another folder, or overwrite it")
    checkpoint = read_original_run(path, arguments)
    write_checkpoint(output, checkpoint, card=_card(checkpoint))
    return output


def _read_arguments(path: Path) -> Mapping[str, Any]:
    path = path / ARGUMENTS if path.is_dir() else path
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; the original code writes it beside its checkpoints")
    try:
        arguments = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is corrupt: {error}") from error
    if not isinstance(arguments, Mapping):
        raise ValueError(f"{path} is corrupt: a mapping of arguments was expected")
    return arguments


def _card(checkpoint: Checkpoint) -> str:
    size = sum(parameter.numel() for parameter in checkpoint.network.parameters())
    arguments = [f"- {name}: {value}" for name, value in checkpoint.training["original"].items()]
    lines = [
        "# Model card",
        "",
        f"A Multitrack Music Transformer of {size:,} parameters, trained by the original code (Dong et al., ICASSP 2023) and "
        "converted from its file of weights.",
        "On what music, and under which licences, does not stand in that file: ask whoever trained it.",
        *(["", "It was trained with these arguments:", "", *arguments] if arguments else []),
        "",
    ]
    return "\n".join(lines)


def from_original(weights: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> Checkpoint:
    """A state dict of the original code and its arguments as a network of ours.

    Parameters
    ----------
    weights : mapping of str to Tensor
        The names as in their `best_model.pt`.
    arguments : mapping
        As in their `train-args.json`; read are `dropout` and, without a table of positions, `max_seq_len`.

    Raises
    ------
    ValueError
        If a key is missing, unknown or has a shape that does not fit; if the arguments contradict the weights.
    """
    theirs = _alone(weights)
    network = network_without_weights(_config(theirs, arguments))
    theirs.pop(_ROTARY, None)
    state = {name: _take(theirs, names) for name, names in _names(network).items()}
    for name, tensor in network.state_dict().items():
        if state[name].shape != tensor.shape:
            raise ValueError(
                f"{' and '.join(_names(network)[name])} make the shape {tuple(state[name].shape)}, not {tuple(tensor.shape)}"
            )
    if theirs:
        raise ValueError(f"unknown key {min(theirs)!r}")
    network.load_state_dict({name: tensor.to(torch.float32, copy=True) for name, tensor in state.items()}, assign=True)
    return Checkpoint(network.eval(), _representation(network.config), {}, {"original": dict(arguments)})


def _alone(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under their own names, if they were saved by a module that trains on several GPUs."""
    parallel = all(name.startswith(_PARALLEL) for name in weights)
    return {name.removeprefix(_PARALLEL) if parallel else name: tensor for name, tensor in weights.items()}


def _config(weights: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> NetworkConfig:
    def shape(name: str) -> tuple[int, ...]:
        if _PREFIX + name not in weights:
            raise ValueError(f"key {_PREFIX + name!r} is missing")
        return tuple(weights[_PREFIX + name].shape)

    layers = len({name.split(".layers.")[1].split(".")[0] for name in weights if ".layers." in name}) // 2
    absolute, rotary = _TABLE in weights, _ROTARY in weights
    if absolute and rotary:
        raise ValueError(
            f"keys {_TABLE!r} and {_ROTARY!r} do not go together: relative positions turn absolute ones off"
        )
    if bool(arguments.get("rel_pos_emb", rotary)) != rotary:
        found = "there" if rotary else "missing"
        raise ValueError(f"key {_ROTARY!r} is {found}, but {ARGUMENTS} says rel_pos_emb: {arguments['rel_pos_emb']}")
    return NetworkConfig(
        sizes=tuple(shape(f"token_emb.{field}.emb.weight")[0] for field in range(6)),
        dim=shape("token_emb.0.emb.weight")[1],
        layers=layers,
        heads=shape("attn_layers.layers.0.1.to_q.weight")[0] // _HEAD_DIM,
        head_dim=_HEAD_DIM,
        context=shape("pos_emb.emb.weight")[0] if absolute else arguments.get("max_seq_len", 1024),
        positions="absolute" if absolute else "rotary" if rotary else "none",
        rotary_dims=_ROTARY_DIMS if rotary else None,
        rotary_values=rotary,
        dropout=float(arguments.get("dropout", 0.2)),
    )


def _representation(config: NetworkConfig) -> Representation:
    """The preset whose sizes the network has, with the network's beats."""
    for preset in (Representation(), Representation.slides()):
        if all(preset.sizes[field] == config.sizes[field] for field in (POSITION, DURATION)):
            return Representation.from_dict(preset.to_dict() | {"beats": config.sizes[BEAT] - 1})
    raise ValueError(f"code sizes {config.sizes} are those of no preset")


def _names(network: Network) -> dict[str, tuple[str, ...]]:
    """For each of our tensors the names of theirs; several are joined along the first dimension."""
    names: dict[str, tuple[str, ...]] = {
        f"embeddings.{field}.weight": (f"token_emb.{field}.emb.weight",) for field in range(6)
    }
    if network.positions is not None:
        names["positions.weight"] = ("pos_emb.emb.weight",)
    for layer in range(network.config.layers):
        ours = f"blocks.{layer}"
        attention, feed = (f"attn_layers.layers.{2 * layer + place}" for place in (0, 1))
        names[f"{ours}.attention.queries_keys_values.weight"] = tuple(f"{attention}.1.to_{x}.weight" for x in "qkv")
        for kind in ("weight", "bias"):
            names[f"{ours}.attention_norm.{kind}"] = (f"{attention}.0.0.{kind}",)
            names[f"{ours}.attention.out.{kind}"] = (f"{attention}.1.to_out.{kind}",)
            names[f"{ours}.feed_forward_norm.{kind}"] = (f"{feed}.0.0.{kind}",)
            names[f"{ours}.feed_forward.expand.{kind}"] = (f"{feed}.1.net.0.0.{kind}",)
            names[f"{ours}.feed_forward.contract.{kind}"] = (f"{feed}.1.net.3.{kind}",)
    for kind in ("weight", "bias"):
        names[f"norm.{kind}"] = (f"norm.{kind}",)
        names |= {f"heads.fields.{field}.{kind}": (f"to_logits.{field}.{kind}",) for field in range(6)}
    return {ours: tuple(_PREFIX + name for name in theirs) for ours, theirs in names.items()}


def _take(weights: dict[str, Tensor], names: tuple[str, ...]) -> Tensor:
    if missing := [name for name in names if name not in weights]:
        raise ValueError(f"key {missing[0]!r} is missing")
    return torch.cat([weights.pop(name).float() for name in names])
