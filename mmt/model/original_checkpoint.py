"""Read checkpoints of the original code: a run folder or a file of weights becomes a network that computes the same.

A run folder holds `checkpoints/best_model.pt`, a state dict, and `train-args.json`. Sizes are taken from the weights. Only the
context of a network without a table of positions is taken from the arguments.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmt.model.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from mmt.model.config import NetworkConfig
from mmt.model.network import Network, network_without_weights
from mmt.model.tensor_files import load_tensors
from mmt.music.atomic import is_taken
from mmt.music.bounded import LARGEST_JSON, brief, markdown, parse_json, read_file
from mmt.representation.codes import BEAT, DURATION, POSITION, Representation

ARGUMENTS, WEIGHTS = "train-args.json", Path("checkpoints", "best_model.pt")
_PREFIX = "decoder.net."
# The learned table of absolute positions; the frequencies of rotary positions, which we compute.
_TABLE, _ROTARY = f"{_PREFIX}pos_emb.emb.weight", f"{_PREFIX}attn_layers.rotary_pos_emb.inv_freq"
_HEAD_DIM, _ROTARY_DIMS = 64, 32
# Tensors of each layer, at least.
_LEAST_TENSORS = 10
_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
# The prefix that torch.nn.DataParallel adds to all names.
_PARALLEL = "module."


def is_original_run(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a run folder of the original code, its folder of weights, or a file of weights."""
    return (_run_of(Path(path)) / ARGUMENTS).exists() or Path(path).suffix == ".pt"


def read_original_run(
    path: str | os.PathLike[str], arguments: Mapping[str, Any] | str | os.PathLike[str] | None = None
) -> Checkpoint:
    """Read a run folder of the original code, or a bare `.pt` file of its weights.

    `arguments` replace the folder's `train-args.json`: its contents, such a file, or a run folder with one. Weights with a table
    of positions need none. The `ValueError` of a corrupt file names the first key or shape that does not fit.
    """
    path = _run_of(Path(path))
    file = path if path.suffix == ".pt" else path / WEIGHTS
    if path.is_file() and file != path:
        raise ValueError(f"{path} is neither a file of weights (.pt) nor a run folder of the original code")
    if not file.exists():
        missing = file if path.exists() else path
        raise FileNotFoundError(f"{missing} does not exist; a run folder of the original code has {WEIGHTS}")
    if arguments is None and file != path:
        arguments = path / ARGUMENTS
    given = _read_arguments(Path(arguments)) if isinstance(arguments, str | os.PathLike) else arguments
    try:
        weights = load_tensors(file)
    except ValueError as error:
        raise ValueError(f"{file} is not a file of weights, or is corrupt ({error})") from error
    if not isinstance(weights, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()
    ):
        raise ValueError(f"{file} is not a state dict: a mapping from names to tensors was expected")
    storages = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in weights.values()}
    if sum(storages.values()) > file.stat().st_size:
        raise ValueError(f"{file} is corrupt: its tensors are larger than the file")
    if given is None and _TABLE not in _without_prefix(weights):
        raise ValueError(
            f"{file} has no table of positions, so the length of the context is unknown; give its {ARGUMENTS} too"
        )
    try:
        return from_original(weights, given or {})
    except ValueError as error:
        raise ValueError(f"{file}: {brief(error)}") from error


def read_any_checkpoint(
    path: str | os.PathLike[str], arguments: Mapping[str, Any] | str | os.PathLike[str] | None = None
) -> Checkpoint:
    """Read a checkpoint folder, or a run of the original code with its `arguments`."""
    if is_original_run(path):
        return read_original_run(path, arguments)
    if arguments is not None:
        raise ValueError(f"{path} is not a run of the original code; leave out the arguments")
    return read_checkpoint(path)


def convert_original_run(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    arguments: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Convert a run of the original code to a checkpoint folder that computes the same; returns the folder.

    With `overwrite`, a checkpoint folder of this name is replaced, but nothing else.
    """
    output = Path(output)
    if is_taken(output) and not overwrite:
        raise FileExistsError(f"{output} exists; give another folder, or overwrite it")
    checkpoint = read_original_run(path, arguments)
    write_checkpoint(output, checkpoint, card=_card(checkpoint))
    return output


def from_original(weights: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> Checkpoint:
    """Convert a state dict and the arguments of the original code to a network that computes the same.

    Of the arguments, `dropout` is read, and `max_seq_len` if there is no table of positions. A `ValueError` is raised if a key is
    missing, unknown or of the wrong shape, or the arguments contradict the weights.
    """
    theirs = _without_prefix(weights)
    _check_tensors({name: tensor for name, tensor in theirs.items() if name != _ROTARY})
    network = network_without_weights(_config(theirs, arguments))
    theirs.pop(_ROTARY, None)
    names = _names(network)
    state = {name: _take(theirs, names[name], tensor.shape) for name, tensor in network.state_dict().items()}
    if theirs:
        raise ValueError(f"unknown key {min(theirs)!r}")
    network.load_state_dict(state, assign=True)
    return Checkpoint(network.eval(), _representation(network.config), {}, {"original": dict(arguments)})


def _run_of(path: Path) -> Path:
    """The run folder, if the path is its folder of weights; any other path unchanged."""
    within = path.resolve().name == WEIGHTS.parent.name and (path / WEIGHTS.name).exists()
    return path.parent if within and (path.parent / ARGUMENTS).exists() else path


def _read_arguments(path: Path) -> Mapping[str, Any]:
    path = path / ARGUMENTS if path.is_dir() else path
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; the original code writes it next to its checkpoints")
    content = read_file(path, LARGEST_JSON)
    try:
        arguments = parse_json(content)
    except ValueError as error:
        raise ValueError(f"{path} is corrupt: {brief(error)}") from error
    if not isinstance(arguments, Mapping):
        raise ValueError(f"{path} is corrupt: a mapping of arguments was expected")
    return arguments


def _card(checkpoint: Checkpoint) -> str:
    size = sum(parameter.numel() for parameter in checkpoint.network.parameters())
    arguments = [f"- {markdown(name)}: {markdown(value)}" for name, value in checkpoint.training["original"].items()]
    lines = [
        "# Model card",
        "",
        f"A Multitrack Music Transformer of {size:,} parameters, trained by the original code (Dong et al., ICASSP 2023) and "
        "converted from its file of weights.",
        "The file does not say on which music it was trained, or under which licences: ask whoever trained it.",
        *(["", "It was trained with these arguments:", "", *arguments] if arguments else []),
        "",
    ]
    return "\n".join(lines)


def _without_prefix(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without the prefix of torch.nn.DataParallel."""
    parallel = all(name.startswith(_PARALLEL) for name in weights)
    return {name.removeprefix(_PARALLEL) if parallel else name: tensor for name, tensor in weights.items()}


def _check_tensors(weights: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are not plain arrays of floating-point numbers, or are larger than their storage."""
    for name, tensor in weights.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.dtype not in _DTYPES:
            raise ValueError(f"{name!r} is a tensor of {tensor.dtype}, expected floating-point numbers")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError(f"{name!r} has more numbers than are stored")
        if not tensor.isfinite().all():
            raise ValueError(f"{name!r} has numbers that are not finite")


def _config(weights: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> NetworkConfig:
    def shape(name: str) -> tuple[int, ...]:
        if (key := _PREFIX + name) not in weights:
            raise ValueError(f"key {key!r} is missing")
        found = tuple(weights[key].shape)
        if len(found) != 2:
            raise ValueError(f"{key} has the shape {found}, expected two numbers")
        return found

    layers = len({name.split(".layers.")[1].split(".")[0] for name in weights if ".layers." in name}) // 2
    if layers > len(weights) // _LEAST_TENSORS:
        raise ValueError(f"{len(weights):,} tensors are too few for {layers:,} layers")
    absolute, rotary = _TABLE in weights, _ROTARY in weights
    if absolute and rotary:
        raise ValueError(
            f"keys {_TABLE!r} and {_ROTARY!r} exclude each other: relative positions replace absolute ones"
        )
    if bool(arguments.get("rel_pos_emb", rotary)) != rotary:
        found = "present" if rotary else "missing"
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
        dropout=arguments.get("dropout", 0.2),
    )


def _names(network: Network) -> dict[str, tuple[str, ...]]:
    """The original names of each tensor; several tensors are concatenated along the first dimension."""
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


def _take(weights: dict[str, Tensor], names: tuple[str, ...], shape: torch.Size) -> Tensor:
    """Remove tensors from the weights, and concatenate them to one of this shape."""
    if missing := [name for name in names if name not in weights]:
        raise ValueError(f"key {missing[0]!r} is missing")
    parts = [weights.pop(name) for name in names]
    if len({part.shape[1:] for part in parts if part.ndim}) != 1 or not all(part.ndim for part in parts):
        raise ValueError(f"{' and '.join(names)} have shapes that do not fit together")
    joined = torch.cat([part.float() for part in parts])
    if joined.shape != shape:
        raise ValueError(f"{' and '.join(names)} have the shape {tuple(joined.shape)}, expected {tuple(shape)}")
    return joined


def _representation(config: NetworkConfig) -> Representation:
    """The preset with the network's sizes, and with the network's number of beats."""
    for preset in (Representation(), Representation.slides()):
        if all(preset.sizes[field] == config.sizes[field] for field in (POSITION, DURATION)):
            return Representation.from_dict(preset.to_dict() | {"beats": config.sizes[BEAT] - 1})
    raise ValueError(f"no preset has the code sizes {config.sizes}")
