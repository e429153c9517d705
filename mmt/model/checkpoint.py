"""A model on disk: a folder with `config.json`, `model.safetensors` and `MODEL_CARD.md`.

`config.json` holds the format version, the representation, the network's configuration, the sampling defaults, how the model was
trained, on which data and under which licences, and which version of mmt wrote it. Loading a folder cannot run code.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from mmt.model.config import NetworkConfig
from mmt.model.inside import edits_of
from mmt.model.network import Network, network_without_weights
from mmt.model.provenance import software
from mmt.music.atomic import is_taken, replacing
from mmt.music.bounded import LARGEST_JSON, brief, check_utf8, json_bytes, parse_json, read_file
from mmt.representation.arguments import path_of
from mmt.representation.codes import Representation

FORMAT_VERSION = 1
# The longest chain of models that began with the weights of one another.
_MOST_BASES = 100
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "MODEL_CARD.md"
# Types of weights, as safetensors names them.
_DTYPES = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class Checkpoint:
    """A network with everything that is needed to use it."""

    network: Network
    representation: Representation
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Defaults of `generate` for this model (temperature, top_p, …)."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """How it was trained: recipe, steps, losses, data and licences."""


def write_checkpoint(
    folder: str | os.PathLike[str], checkpoint: Checkpoint, *, card: str = "", dtype: torch.dtype = torch.float32
) -> None:
    """Write a checkpoint folder atomically; an existing checkpoint of this name is replaced.

    `card` is the text of `MODEL_CARD.md`; `dtype` is the type of the weights on disk. An edited network is refused.
    """
    if edits := edits_of(checkpoint.network):
        raise ValueError(
            f"the model is edited inside ({edits[0].partition(':')[0]}), and a checkpoint holds weights only; "
            "save the plain model, and apply the edit after loading"
        )
    target = path_of("folder", folder, "give the path of the new checkpoint folder").resolve()
    if is_taken(target) and not (target / CONFIG).exists():
        raise FileExistsError(f"{folder} exists and is not a checkpoint folder; give another path")
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as partial:
        partial.mkdir()
        config = {
            "format_version": FORMAT_VERSION,
            "representation": checkpoint.representation.to_dict(),
            "network": checkpoint.network.config.to_dict(),
            "sampling": dict(checkpoint.sampling),
            "training": dict(checkpoint.training),
            "software": software(),
        }
        (partial / CONFIG).write_bytes(json_bytes(config, indent=1) + b"\n")
        weights = {
            name: tensor.to("cpu", dtype).contiguous() for name, tensor in checkpoint.network.state_dict().items()
        }
        # Not with save_file, which makes a file that only the owner can read.
        (partial / WEIGHTS).write_bytes(safetensors.torch.save(weights))
        (partial / CARD).write_text(card, encoding="utf-8")


def read_checkpoint(folder: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint folder; the network is float32, in eval mode, on the CPU. A `ValueError` names the first mismatch."""
    folder = Path(folder)
    check_utf8(folder)
    for path in (folder, folder / CONFIG, folder / WEIGHTS):
        if not path.exists():
            run = f"; {folder / 'best'} is one" if (folder / "best" / CONFIG).exists() else ""
            raise FileNotFoundError(f"{path} does not exist; a checkpoint is a folder with {CONFIG} and {WEIGHTS}{run}")
    config = _read_config(folder / CONFIG)
    try:
        representation = Representation.from_dict(_section(config, "representation"))
        network = NetworkConfig.from_dict(_section(config, "network"))
        sampling, training = (_section(config, name) if config.get(name) else {} for name in ("sampling", "training"))
        _check_origin(training.get("data"))
    except KeyError as error:
        raise ValueError(f"{folder / CONFIG} is corrupt: it has no {brief(error)}") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder / CONFIG} is corrupt: {brief(error)}") from error
    if network.sizes != representation.sizes:
        raise ValueError(
            f"{folder / CONFIG}: the network's sizes {network.sizes} are not the representation's {representation.sizes}"
        )
    return Checkpoint(_read_network(folder / WEIGHTS, network), representation, sampling, training)


def read_training(folder: Path) -> dict[str, Any]:
    """How the model in a checkpoint folder was trained, without reading its weights."""
    return _section(_read_config(folder / CONFIG), "training")


def _read_config(path: Path) -> dict[str, Any]:
    content = read_file(path, LARGEST_JSON)
    try:
        config = parse_json(content)
        version = config["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is corrupt: JSON with a format_version was expected; get the checkpoint again"
        ) from error
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{path} is of format version {str(version)[:40]}; "
            f"this mmt reads version {FORMAT_VERSION}: update mmt, or get a matching checkpoint"
        )
    assert isinstance(config, dict)
    return config


def _section(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    values = config[name]
    if not isinstance(values, dict):
        raise ValueError(f"{name} must be a mapping")
    return values


def _check_origin(data: Any) -> None:
    """Check the description of training data, which cards and commands print, and those of the models before."""
    for _ in range(_MOST_BASES):
        if data is None:
            return
        if not isinstance(data, dict) or not all(isinstance(data.get(name, 0), int) for name in ("pieces", "notes")):
            raise ValueError("training.data must be a mapping with numbers of pieces and notes")
        for name in ("composers", "sources", "licences", "instruments"):
            counts = data.get(name, {})
            if not isinstance(counts, dict) or not all(isinstance(count, int) for count in counts.values()):
                raise ValueError(f"training.data.{name} must be a mapping from names to numbers")
        if not isinstance(data.get("excluded", []), list):
            raise ValueError("training.data.excluded must be a list")
        base = data.get("base")
        if base is not None and not (isinstance(base, dict) and isinstance(base.get("name"), str)):
            raise ValueError("training.data.base must be a mapping with a name")
        data = base and base.get("data")
    raise ValueError(f"training.data names more than {_MOST_BASES} models before this one")


def _read_network(path: Path, config: NetworkConfig) -> Network:
    """The network with the weights of a file, in eval mode. The header is checked before tensors are read."""
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (the file is not a mapping)
            network = _network_that_fits(path, config, header)
            weights = {name: file.get_tensor(name) for name in header}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is corrupt or truncated ({brief(error)}); get the checkpoint again") from error
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{path}: {name!r} has numbers that are not finite; get another checkpoint")
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
    return network.eval()


def _network_that_fits(path: Path, config: NetworkConfig, header: Mapping[str, Any]) -> Network:
    """A network without weights; a `ValueError` unless the header of the file has the names, shapes and types of its tensors."""
    # Before the network is built, which takes seconds for each thousand of layers.
    if (layers := len({name.split(".")[1] for name in header if name.startswith("blocks.")})) != config.layers:
        raise ValueError(f"{path} has {layers} layers, but {CONFIG} says {config.layers}")
    network = network_without_weights(config)
    expected = network.state_dict()
    for name, tensor in expected.items():
        if name not in header:
            raise ValueError(f"{path} has no tensor {name!r}, which the network of {CONFIG} needs")
        shape, dtype = tuple(header[name].get_shape()), header[name].get_dtype()
        if shape != tensor.shape:
            raise ValueError(f"{path}: {name!r} has the shape {shape}, expected {tuple(tensor.shape)}")
        if dtype not in _DTYPES:
            raise ValueError(f"{path}: {name!r} holds numbers of type {dtype}, expected {', '.join(_DTYPES)}")
    if extra := sorted(set(header) - set(expected)):
        raise ValueError(f"{path} has a tensor {brief(extra[0])!r} that the network of {CONFIG} does not have")
    return network
