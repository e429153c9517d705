"""A checkpoint from a stranger is refused with one line, in bounded time and memory, before a network is built."""

from __future__ import annotations

import codecs
import io
import json
import os
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from limited import in_limits
from torch import Tensor

import mmt
from mmt.model.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from mmt.model.config import NetworkConfig
from mmt.model.network import Network
from mmt.model.original_checkpoint import read_original_run
from mmt.model.tensor_files import load_tensors
from mmt.representation.codes import Representation

TINY = NetworkConfig(sizes=Representation(beats=8).sizes, dim=16, layers=2, heads=1, head_dim=8, context=8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "model", Checkpoint(Network(TINY), Representation(beats=8)))
    return tmp_path / "model"


def refused(folder: Path) -> str:
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        read_checkpoint(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    assert str(folder) in message
    return message


NETWORK = [
    ("layers", 100_000),
    ("layers", 3),
    ("layers", 1),
    ("layers", True),
    ("dim", 2**40),
    ("dim", 2**16),
    ("heads", 10**9),
    ("context", 10**14),
    ("context", 2**20),
    ("context", "8"),
    ("sizes", [5, 9, 13, 129, 33, 10**12]),
    ("sizes", [5, 9, 13, 129, 33, None]),
    ("sizes", {}),
    ("dropout", float("nan")),
    ("dropout", []),
    ("positions", ["rotary"]),
    ("positions", "rotary"),
    ("rotary_dims", 10**30),
    ("x" * 100_000, 1),
    ("sizes", [5, 9] * 1000),
]
REPRESENTATION = [
    ("resolution", 12.0),
    ("resolution", True),
    ("resolution", "12"),
    ("resolution", [12]),
    ("beats", 1e300),
    ("beats", 10**40),
    ("durations", [1.5, 2.5]),
    ("durations", [1, 10**30]),
    ("durations", "123"),
    ("durations", 7),
    ("durations", [[1]]),
    ("instruments", [{"name": "a", "program": 0.0, "programs": [0.0]}]),
    ("instruments", [{"name": 5, "program": 0, "programs": [0]}]),
    ("instruments", [{"name": "a", "program": 0, "programs": 0}]),
    ("instruments", [{}]),
    ("instruments", {"a": 1}),
    ("reach", 10**20),
    ("drums", 1),
    ("x" * 100_000, 1),
    ("durations", [5, 4] * 1000),
]


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [("network", *change) for change in NETWORK] + [("representation", *change) for change in REPRESENTATION],
)
def test_a_wrong_number_or_type_in_the_config_is_refused(folder: Path, section: str, name: str, value: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    config[section][name] = value
    (folder / "config.json").write_text(json.dumps(config))
    refused(folder)


@pytest.mark.parametrize("section", ["network", "representation", "sampling", "training"])
@pytest.mark.parametrize("value", [7, "text", [1, 2], [["a", 1]], True])
def test_a_section_that_is_not_a_mapping_is_refused(folder: Path, section: str, value: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    config[section] = value
    (folder / "config.json").write_text(json.dumps(config))
    refused(folder)


@pytest.mark.parametrize(
    "data",
    [
        [1],
        "text",
        {"pieces": "1"},
        {"instruments": ["piano"]},
        {"instruments": {"piano": "x"}},
        {"composers": {"a": None}},
        {"excluded": "x"},
        {"base": "x"},
        {"base": {"name": 5}},
        {"base": {"name": "x", "data": {"notes": []}}},
    ],
)
def test_a_wrong_description_of_the_training_data_is_refused(folder: Path, data: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["training"] = {"data": data}
    (folder / "config.json").write_text(json.dumps(config))
    assert "training.data" in refused(folder)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"format_version": ' * 5000, '{"a": ' + "9" * 5000 + "}"])
def test_deep_or_huge_json_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    assert "is corrupt" in refused(folder)


@pytest.mark.parametrize(
    "dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.bool, torch.complex64, torch.int64, torch.uint8]
)
def test_weights_of_another_type_are_refused(folder: Path, dtype: torch.dtype) -> None:
    file = folder / "model.safetensors"
    weights = safetensors.torch.load_file(file)
    weights["norm.weight"] = torch.ones(16).to(dtype)
    safetensors.torch.save_file(weights, file)
    assert "holds numbers of type" in refused(folder)


@pytest.mark.parametrize("shape", [(0,), (16, 1), (), (15,)])
def test_weights_of_another_shape_are_refused(folder: Path, shape: tuple[int, ...]) -> None:
    file = folder / "model.safetensors"
    safetensors.torch.save_file(safetensors.torch.load_file(file) | {"norm.weight": torch.ones(shape)}, file)
    assert "has the shape" in refused(folder)


def test_pipes_and_folders_in_place_of_files_are_refused(folder: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (folder / name).rename(folder / "other")
        for make in (os.mkfifo, Path.mkdir):
            make(folder / name)
            refused(folder)
            os.rmdir(folder / name) if (folder / name).is_dir() else (folder / name).unlink()
        (folder / "other").rename(folder / name)
    read_checkpoint(folder)


def test_a_config_of_100000_layers_is_refused_at_once(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["network"] |= {"layers": 1000}
    (folder / "config.json").write_text(json.dumps(config))
    code = """
try:
    mmt.load_model(sys.argv[1])
except ValueError as error:
    print(error)
"""
    said = in_limits(code, str(folder), imports="import mmt, mmt.sampling.model", seconds=20, memory=2**30)
    assert "has 2 layers, but config.json says 1000" in said


def state(layers: int = 1) -> dict[str, Tensor]:
    """A state dict of the original code, of a network with an absolute table of positions."""
    sizes = Representation(beats=8).sizes
    weights = {f"token_emb.{field}.emb.weight": torch.zeros(size, 64) for field, size in enumerate(sizes)}
    weights |= {"pos_emb.emb.weight": torch.zeros(8, 64), "norm.weight": torch.ones(64), "norm.bias": torch.zeros(64)}
    for field, size in enumerate(sizes):
        weights |= {f"to_logits.{field}.weight": torch.zeros(size, 64), f"to_logits.{field}.bias": torch.zeros(size)}
    for layer in range(layers):
        attention, feed = (f"attn_layers.layers.{2 * layer + place}" for place in (0, 1))
        weights |= {f"{attention}.1.to_{name}.weight": torch.zeros(64, 64) for name in "qkv"}
        weights |= {f"{part}.0.0.weight": torch.ones(64) for part in (attention, feed)}
        weights |= {f"{part}.0.0.bias": torch.zeros(64) for part in (attention, feed)}
        weights |= {f"{attention}.1.to_out.weight": torch.zeros(64, 64), f"{attention}.1.to_out.bias": torch.zeros(64)}
        weights |= {f"{feed}.1.net.0.0.weight": torch.zeros(256, 64), f"{feed}.1.net.0.0.bias": torch.zeros(256)}
        weights |= {f"{feed}.1.net.3.weight": torch.zeros(64, 256), f"{feed}.1.net.3.bias": torch.zeros(64)}
    return {f"decoder.net.{name}": tensor for name, tensor in weights.items()}


NORM, EMBEDDING = "decoder.net.norm.weight", "decoder.net.token_emb.0.emb.weight"


def test_the_state_dict_of_these_tests_is_read(tmp_path: Path) -> None:
    torch.save(state(2), tmp_path / "best.pt")
    assert read_original_run(tmp_path / "best.pt").network.config.layers == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: weights.update({NORM: torch.ones(64, dtype=torch.bool)}),
        lambda weights: weights.update({NORM: torch.ones(64, dtype=torch.complex64)}),
        lambda weights: weights.update({NORM: torch.ones(64).to(torch.float8_e4m3fn)}),
        lambda weights: weights.update({NORM: torch.ones(64, device="meta")}),
        lambda weights: weights.update({NORM: torch.ones(64).to_sparse()}),
        lambda weights: weights.update({NORM: torch.full((64,), torch.nan)}),
        lambda weights: weights.update({NORM: torch.tensor(1.0)}),
        lambda weights: weights.update({NORM: torch.ones(1).expand(64)}),
        lambda weights: weights.update({EMBEDDING: torch.ones(1).expand(5, 10**13)}),
        lambda weights: weights.update({EMBEDDING: torch.ones(5)}),
        lambda weights: weights.update({EMBEDDING: torch.ones(5, 0)}),
        lambda weights: weights.update({"decoder.net.attn_layers.layers.0.1.to_q.weight": torch.ones(64, 7)}),
        lambda weights: weights.update({"decoder.net.attn_layers.layers.0.1.to_q.weight": torch.ones(0, 64)}),
        lambda weights: weights.update({7: torch.ones(1)}),
        lambda weights: weights.update(
            {f"decoder.net.attn_layers.layers.{layer}.x": torch.zeros(0) for layer in range(20_000)}
        ),
    ],
)
def test_hostile_weights_of_the_original_code_are_refused(
    tmp_path: Path, change: Callable[[dict[Any, Tensor]], None]
) -> None:
    weights = state()
    change(weights)
    torch.save(weights, tmp_path / "best.pt")
    with pytest.raises(ValueError, match=r"best\.pt") as caught:
        read_original_run(tmp_path / "best.pt")
    assert "\n" not in str(caught.value)


class Call:
    """What an unpickler calls."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


# Each is allowed by torch.load(weights_only=True).
CALLS = {
    "slow codec": Call(codecs.encode, "".join(map(chr, range(200, 20_000))), "punycode"),
    "memory": Call(bytearray, 2**36),
    "storage": Call(
        torch._utils._rebuild_tensor_v2, Call(torch.FloatStorage, 2**32), 0, (2**32,), (1,), False, OrderedDict()
    ),
}


def renamed(weights: dict[str, Any], global_name: bytes) -> bytes:
    """A file of weights in which one global has another name."""
    content, changed = io.BytesIO(), io.BytesIO()
    torch.save(weights | {NORM: Call(codecs.encode, "a", "latin1")}, content)
    with zipfile.ZipFile(content) as plain, zipfile.ZipFile(changed, "w") as archive:
        for member in plain.infolist():
            data = plain.read(member).replace(b"c_codecs\nencode\n", global_name)
            archive.writestr(member.filename, data)
    return changed.getvalue()


def test_calls_in_a_file_of_weights_take_no_time_or_memory(tmp_path: Path) -> None:
    for kind, call in CALLS.items():
        torch.save(state() | {NORM: call}, tmp_path / f"{kind}.pt")
        torch.save({"global_step": call}, tmp_path / f"{kind}.ckpt")
    for suffix in ("pt", "ckpt"):
        (tmp_path / f"name.{suffix}").write_bytes(renamed(state(), b"c" + b"x" * 50_000 + b"\ny\n"))
    code = """
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        print(steps_done(path) if path.suffix == ".ckpt" else read_original_run(path))
    except ValueError as error:
        print(error)
"""
    imports = "from pathlib import Path; from mmt.training.stopping import steps_done; "
    imports += "from mmt.model.original_checkpoint import read_original_run"
    lines = in_limits(code, str(tmp_path), imports=imports, seconds=40, memory=2**29).splitlines()
    for line, path in zip(lines, sorted(tmp_path.iterdir()), strict=True):
        assert line.startswith(f"{path} is ")


@pytest.mark.parametrize(
    "kind", ["another format before the archive", "capital letters", "other data before the archive"]
)
def test_weights_that_hide_their_pickle_from_the_check_are_refused(tmp_path: Path, kind: str) -> None:
    archive, former = io.BytesIO(), io.BytesIO()
    torch.save(state(), archive)
    torch.save(state(), former, _use_new_zipfile_serialization=False)
    content = archive.getvalue()
    if kind == "capital letters":
        content = renamed(state(), b"cbuiltins\nbytearray\n").replace(b"data.pkl", b"DATA.PKL")
    else:
        content = (former.getvalue() if kind.startswith("another") else b"PK\3\4" + bytes(60)) + content
    (tmp_path / "best.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"not written by torch\.save|it refers to 'builtins bytearray'"):
        load_tensors(tmp_path / "best.pt")


@pytest.mark.parametrize(
    "arguments",
    [
        {"dropout": "much"},
        {"dropout": [1]},
        {"dropout": 1e400},
        {"max_seq_len": 10**14},
        {"max_seq_len": "8"},
        {"rel_pos_emb": True},
    ],
)
def test_hostile_arguments_of_the_original_code_are_refused(tmp_path: Path, arguments: dict[str, Any]) -> None:
    weights = state()
    del weights["decoder.net.pos_emb.emb.weight"]
    torch.save(weights, tmp_path / "best.pt")
    with pytest.raises(ValueError, match=r"best\.pt") as caught:
        read_original_run(tmp_path / "best.pt", arguments)
    assert "\n" not in str(caught.value)


def test_packed_weights_of_the_original_code_are_not_unpacked(tmp_path: Path) -> None:
    file = io.BytesIO()
    torch.save(state(), file)
    with zipfile.ZipFile(file) as plain, zipfile.ZipFile(tmp_path / "best.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for member in plain.infolist():
            packed.writestr(member.filename, plain.read(member))
    with pytest.raises(ValueError, match="packs nothing, and this is packed"):
        mmt.load_model(tmp_path / "best.pt")


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"dim": 2**20, "layers": 1000}, "too large"),
        ({"layers": 2000}, "too large"),
        ({"context": 2**20, "layers": 100}, "too large"),
    ],
)
def test_a_network_that_exceeds_any_memory_is_refused(network: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        NetworkConfig(**network)
