"""Checkpoint folders: round trip, atomic writing, and errors of one line."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from mmt.model import checkpoint as checkpoint_module
from mmt.model.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from mmt.model.config import NetworkConfig
from mmt.model.network import Network
from mmt.representation.codes import Representation

REPRESENTATION = dataclasses.replace(Representation.slides(), beats=9)


def make_checkpoint(seed: int = 0, **config: Any) -> Checkpoint:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(NetworkConfig(REPRESENTATION.sizes, dim=16, layers=1, heads=2, head_dim=8, **config))
    return Checkpoint(network, REPRESENTATION, {"min_p": 0.05}, {"data": {"name": "Élégie in C♯"}, "steps": 3})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "model", make_checkpoint(), card="# A model\n")
    return tmp_path / "model"


def same_weights(ours: Network, theirs: Network) -> bool:
    weights = theirs.state_dict()
    return all(torch.equal(tensor, weights[name]) for name, tensor in ours.state_dict().items())


@pytest.mark.parametrize("config", [{}, {"positions": "rotary", "output": "chain"}, {"context": 7, "dropout": 0.5}])
def test_round_trip(tmp_path: Path, config: dict[str, Any]) -> None:
    written = make_checkpoint(**config)
    write_checkpoint(tmp_path / "deep" / "er" / "model", written, card="Ünïcode\n")
    read = read_checkpoint(str(tmp_path / "deep" / "er" / "model"))
    assert read.network.config == written.network.config
    assert (read.representation, read.sampling, read.training) == (REPRESENTATION, written.sampling, written.training)
    assert same_weights(written.network, read.network)
    assert (tmp_path / "deep" / "er" / "model" / "MODEL_CARD.md").read_text(encoding="utf-8") == "Ünïcode\n"


@pytest.mark.parametrize(("dtype", "relative"), [(torch.float16, 2**-11), (torch.bfloat16, 2**-8)])
def test_half_precision_has_half_the_size_and_close_weights(
    tmp_path: Path, dtype: torch.dtype, relative: float
) -> None:
    written = make_checkpoint()
    write_checkpoint(tmp_path / "whole", written)
    write_checkpoint(tmp_path / "half", written, dtype=dtype)
    read = read_checkpoint(tmp_path / "half").network
    for ours, theirs in zip(read.parameters(), written.network.parameters(), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=relative, atol=1e-7)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.6 * sizes[0]


def test_a_checkpoint_is_read_in_float32_and_eval_mode_and_can_be_trained(folder: Path) -> None:
    network = read_checkpoint(folder).network
    assert not any(module.training for module in network.modules())
    assert all(parameter.dtype == torch.float32 and parameter.requires_grad for parameter in network.parameters())
    assert all(parameter.device.type == "cpu" for parameter in network.parameters())


def test_reading_and_writing_do_not_change_the_global_random_state(folder: Path) -> None:
    before = torch.get_rng_state()
    write_checkpoint(folder, read_checkpoint(folder))
    assert torch.equal(torch.get_rng_state(), before)


def test_writing_changes_nothing_in_the_network(tmp_path: Path) -> None:
    written = make_checkpoint()
    written.network.train()
    write_checkpoint(tmp_path / "model", written, dtype=torch.float16)
    assert same_weights(written.network, make_checkpoint().network)
    assert written.network.training


def test_an_older_checkpoint_is_replaced_as_a_whole(folder: Path) -> None:
    (folder / "notes.txt").write_text("of the old one")
    newer = make_checkpoint(seed=1)
    write_checkpoint(folder, newer)
    assert same_weights(read_checkpoint(folder).network, newer.network)
    assert sorted(path.name for path in folder.parent.rglob("*")) == [
        "MODEL_CARD.md", "config.json", "model", "model.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("step", ["weights", "replace"])
@pytest.mark.parametrize("replacing", [False, True])
def test_a_checkpoint_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, replacing: bool
) -> None:
    target, old = tmp_path / "model", make_checkpoint(seed=1)
    if replacing:
        write_checkpoint(target, old)
    before = sorted(tmp_path.rglob("*"))

    def no_space(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    def no_space_for_the_new(source: Path, destination: Path) -> None:
        if destination == target and source.parent.name.startswith(".mmt-"):
            no_space()
        os.rename(source, destination)

    if step == "weights":
        monkeypatch.setattr(checkpoint_module.safetensors.torch, "save", no_space)
    else:
        monkeypatch.setattr(checkpoint_module.os, "replace", no_space_for_the_new)
    with pytest.raises(OSError, match="no space"):
        write_checkpoint(target, make_checkpoint())
    assert sorted(tmp_path.rglob("*")) == before
    if replacing:
        assert same_weights(read_checkpoint(target).network, old.network)


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize(("umask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, umask: int, file_mode: int, folder_mode: int) -> None:
    before = os.umask(umask)
    try:
        write_checkpoint(tmp_path / "model", make_checkpoint())
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes.pop("model") == folder_mode
    assert set(modes.values()) == {file_mode}


def test_a_folder_that_is_not_a_checkpoint_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "mine.mid").write_bytes(b"mine")
    (tmp_path / "file").write_bytes(b"mine")
    for name in ("music", "file"):
        with pytest.raises(FileExistsError, match=f"{name} exists and is not a checkpoint folder; give another path"):
            write_checkpoint(tmp_path / name, make_checkpoint())
    assert (tmp_path / "music" / "mine.mid").read_bytes() == (tmp_path / "file").read_bytes() == b"mine"


def test_a_link_to_a_checkpoint_stays_a_link(folder: Path) -> None:
    link = folder.parent / "latest"
    link.symlink_to(folder)
    newer = make_checkpoint(seed=1)
    write_checkpoint(link, newer)
    assert link.is_symlink()
    assert same_weights(read_checkpoint(folder).network, newer.network)


@pytest.mark.parametrize("missing", ["", "config.json", "model.safetensors"])
def test_missing_files_are_named(folder: Path, missing: str) -> None:
    path = folder / missing if missing else folder.parent / "nowhere"
    if missing:
        path.unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(f"{path} does not exist; a checkpoint is a folder with")):
        read_checkpoint(path if not missing else folder)


def test_the_error_for_a_run_folder_names_its_checkpoints(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    folder.rename(run / "best")
    with pytest.raises(FileNotFoundError, match=re.escape(f"; {run / 'best'} is one")):
        read_checkpoint(run)


def test_a_file_in_place_of_a_folder_is_refused(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="a checkpoint is a folder"):
        read_checkpoint(folder / "config.json")


def error_of(folder: Path) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        read_checkpoint(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def set_entry(*keys: str, to: object) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        for key in keys[:-1]:
            config = config[key]
        config[keys[-1]] = to

    return change


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"', "7", "null", "{}", "\x00\xff"])
def test_a_corrupt_config_is_named(folder: Path, content: str) -> None:
    (folder / "config.json").write_bytes(content.encode("latin-1"))
    assert error_of(folder) == (
        f"{folder / 'config.json'} is corrupt: JSON with a format_version was expected; get the checkpoint again"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_entry("format_version", to=2), "is of format version 2; this mmt reads version 1: update mmt"),
        (set_entry("network", "layers", to=0), "layers is 0"),
        (set_entry("network", "layers", to="two"), "layers is two"),
        (set_entry("network", "depth", to=3), "unknown entry 'depth' in the network"),
        (set_entry("network", "sizes", to=6), "sizes must be six numbers, not 6"),
        (set_entry("network", "sizes", to=[5, 10, 13, 129, 33, 65]), "are not the representation's"),
        (set_entry("network", to=None), "corrupt"),
        (set_entry("representation", "tempo", to=3), "unknown entry 'tempo' in the representation"),
        (set_entry("representation", "instruments", to=["violin"]), "corrupt"),
        (set_entry("representation", to=5), "corrupt"),
        (set_entry("sampling", to=5), "corrupt"),
        (lambda config: config.pop("representation"), "has no 'representation'"),
        (lambda config: config.pop("network"), "has no 'network'"),
    ],
)
def test_entries_of_the_config_that_do_not_fit_are_named(
    folder: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    change(config)
    path.write_text(json.dumps(config), encoding="utf-8")
    message = error_of(folder)
    assert words in message
    assert str(path) in message


def test_sampling_and_training_may_be_left_out(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["sampling"] = None
    del config["training"]
    path.write_text(json.dumps(config), encoding="utf-8")
    read = read_checkpoint(folder)
    assert (read.sampling, read.training) == ({}, {})


@pytest.mark.parametrize("share", [0, 0.001, 0.2, 0.999])
def test_truncated_weights_are_named(folder: Path, share: float) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert re.match(f"{re.escape(str(path))} is corrupt or truncated", error_of(folder))


def test_files_that_are_not_weights_are_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    torch.save({"a": torch.zeros(3)}, path)
    assert f"{path} is corrupt or truncated" in error_of(folder)


def test_tensors_that_do_not_fit_are_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = safetensors.torch.load_file(path)
    misfits = {
        "has no tensor 'norm.weight', which": {k: v for k, v in weights.items() if k != "norm.weight"},
        "'norm.bias' has the shape (15,), expected (16,)": weights | {"norm.bias": torch.zeros(15)},
        "has a tensor 'norm.more' that the network": weights | {"norm.more": torch.zeros(1)},
    }
    for words, changed in misfits.items():
        safetensors.torch.save_file(changed, path)
        message = error_of(folder)
        assert words in message
        assert str(path) in message


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_named(folder: Path, value: float) -> None:
    path = folder / "model.safetensors"
    weights = safetensors.torch.load_file(path)
    weights["norm.weight"][3] = value
    safetensors.torch.save_file(weights, path)
    assert error_of(folder) == f"{path}: 'norm.weight' has numbers that are not finite; get another checkpoint"
