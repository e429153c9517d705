"""Networks of the original code compute the same in ours, and their checkpoints load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor

import mmt
from mmt.cli.convert import main as convert
from mmt.model.original_checkpoint import convert_original_run, from_original, read_original_run

KINDS = ("ape", "rpe", "npe")


@pytest.fixture(params=KINDS)
def reference(request: pytest.FixtureRequest, shared: Path) -> dict[str, Any]:
    """A tiny model of the original code, with its outputs."""
    path = shared / "reference" / f"ref_tiny_{request.param}.pt"
    return dict(torch.load(path, weights_only=True))


def run_folder(reference: dict[str, Any], folder: Path) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    torch.save(reference["state_dict"], folder / "checkpoints" / "best_model.pt")
    (folder / "train-args.json").write_text(json.dumps(reference["train_args"]))
    return folder


def test_logits_equal_those_of_the_original_code(reference: dict[str, Any]) -> None:
    network = from_original(reference["state_dict"], reference["train_args"]).network
    with torch.no_grad():
        for ours, theirs in zip(network(reference["seq"][:1]), reference["logits"], strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_attention_equals_that_of_the_original_code(reference: dict[str, Any], tmp_path: Path) -> None:
    model = mmt.load_model(run_folder(reference, tmp_path / "run"))
    ours = mmt.attention.weights(model, reference["seq"][0].numpy())
    for layer, theirs in zip(ours, reference["attn"], strict=True):
        np.testing.assert_allclose(layer, theirs[0], atol=1e-5, rtol=0)


def test_logits_of_a_padded_batch_equal_those_of_the_original_code(reference: dict[str, Any]) -> None:
    network = from_original(reference["state_dict"], reference["train_args"]).network
    with torch.no_grad():
        for ours, theirs in zip(network(reference["seq"], reference["mask"]), reference["logits_masked"], strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_the_likeliest_continuation_equals_that_of_the_original_code(reference: dict[str, Any], tmp_path: Path) -> None:
    model = mmt.load_model(run_folder(reference, tmp_path / "run"))
    prompt = reference["seq"][0, : reference["greedy_prompt_len"]].numpy()
    greedy = reference["greedy"][0].numpy()
    assert (greedy[:, 0] < 4).all()
    written = model.generate(prompt, grammar="paper", top_k=1, max_events=len(prompt) + len(greedy) + 1)[0]
    assert np.array_equal(written[len(prompt) : len(prompt) + len(greedy)], greedy)


def test_the_likeliest_continuation_beyond_the_context_equals_that_of_the_original_code(
    reference: dict[str, Any], tmp_path: Path
) -> None:
    model = mmt.load_model(run_folder(reference, tmp_path / "run"))
    prompt = reference["seq"][0, : reference["greedy_prompt_len"]].numpy()
    greedy = reference["greedy_long"][0].numpy()
    assert len(prompt) + len(greedy) > model.network.config.context
    length = len(prompt) + len(greedy)
    written = model.generate(prompt, grammar="paper", top_k=1, context="slide", max_events=length + 1)[0]
    assert np.array_equal(written[len(prompt) : length], greedy)


def test_a_run_folder_loads(reference: dict[str, Any], tmp_path: Path) -> None:
    model = mmt.load_model(run_folder(reference, tmp_path / "run"))
    assert model.representation.sizes == tuple(reference["config"]["n_tokens"])
    model.save(tmp_path / "ours")
    again = mmt.load_model(tmp_path / "ours")
    with torch.no_grad():
        for first, second in zip(model.network(reference["seq"]), again.network(reference["seq"]), strict=True):
            assert torch.equal(first, second)


def test_a_bare_file_loads_with_its_arguments(reference: dict[str, Any], tmp_path: Path) -> None:
    run = run_folder(reference, tmp_path / "run")
    file, arguments = run / "checkpoints" / "best_model.pt", run / "train-args.json"
    expected = mmt.load_model(run).network
    for given in (arguments, str(arguments), reference["train_args"]):
        network = mmt.load_model(file, arguments=given).network
        assert network.config == expected.config
        assert torch.equal(network(reference["seq"])[0], expected(reference["seq"])[0])


def test_a_run_is_found_by_its_checkpoints_or_by_weights_and_arguments(
    reference: dict[str, Any], tmp_path: Path
) -> None:
    run = run_folder(reference, tmp_path / "run")
    expected = mmt.load_model(run).network
    parallel = {f"module.{name}": tensor for name, tensor in reference["state_dict"].items()}
    torch.save(parallel, tmp_path / "parallel.pt")
    for path, arguments in ((run / "checkpoints", None), (tmp_path / "parallel.pt", run)):
        network = mmt.load_model(path, arguments=arguments).network
        assert network.config == expected.config
        assert torch.equal(network(reference["seq"])[0], expected(reference["seq"])[0])


def test_only_weights_without_a_table_need_arguments(reference: dict[str, Any], tmp_path: Path) -> None:
    file = run_folder(reference, tmp_path / "run") / "checkpoints" / "best_model.pt"
    if reference["config"]["variant"] == "ape":
        assert mmt.load_model(file).network.config.context == reference["config"]["max_seq_len"]
        return
    with pytest.raises(ValueError, match=r"no table of positions.*give its train-args.json too"):
        mmt.load_model(file)
    assert mmt.load_model(file, arguments={"max_seq_len": 99}).network.config.context == 99


def test_arguments_that_contradict_the_weights_are_refused(reference: dict[str, Any]) -> None:
    arguments = reference["train_args"] | {"rel_pos_emb": not reference["train_args"]["rel_pos_emb"]}
    with pytest.raises(ValueError, match=r"inv_freq' is (present|missing), but train-args.json says rel_pos_emb"):
        from_original(reference["state_dict"], arguments)


def test_absolute_with_relative_positions_are_refused() -> None:
    state = random_weights("rpe", dim=8, layers=1, heads=1, positions=16, beats=4)
    state["decoder.net.pos_emb.emb.weight"] = torch.zeros(16, 8)
    with pytest.raises(ValueError, match="exclude each other"):
        from_original(state, {})


def random_weights(kind: str, *, dim: int, layers: int, heads: int, positions: int, beats: int) -> dict[str, Tensor]:
    """Weights of any size under the original code's names."""
    random = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {}
    for field, size in enumerate((5, beats + 1, 13, 129, 33, 65)):
        shapes |= {f"token_emb.{field}.emb.weight": (size, dim), f"to_logits.{field}.weight": (size, dim)}
        shapes[f"to_logits.{field}.bias"] = (size,)
    for layer in range(layers):
        attention, feed = (f"attn_layers.layers.{2 * layer + place}" for place in (0, 1))
        shapes |= {f"{part}.0.0.{one}": (dim,) for part in (attention, feed) for one in ("weight", "bias")}
        shapes |= {f"{attention}.1.to_{one}.weight": (64 * heads, dim) for one in "qkv"}
        shapes |= {f"{attention}.1.to_out.weight": (dim, 64 * heads), f"{attention}.1.to_out.bias": (dim,)}
        shapes |= {f"{feed}.1.net.0.0.weight": (4 * dim, dim), f"{feed}.1.net.0.0.bias": (4 * dim,)}
        shapes |= {f"{feed}.1.net.3.weight": (dim, 4 * dim), f"{feed}.1.net.3.bias": (dim,)}
    shapes |= {"norm.weight": (dim,), "norm.bias": (dim,)}
    if kind == "ape":
        shapes["pos_emb.emb.weight"] = (positions, dim)
    state = {f"decoder.net.{name}": torch.randn(shape, generator=random) * 0.3 for name, shape in shapes.items()}
    if kind == "rpe":
        state["decoder.net.attn_layers.rotary_pos_emb.inv_freq"] = 10_000.0 ** -(torch.arange(0, 32, 2) / 32)
    return state


def plain_logits(state: dict[str, Tensor], codes: Tensor, heads: int) -> list[Tensor]:
    """The logits of the original network by a plain implementation, head by head, for codes (length, 6)."""

    def get(name: str) -> Tensor:
        return state[f"decoder.net.{name}"]

    def norm(stream: Tensor, name: str) -> Tensor:
        return F.layer_norm(stream, stream.shape[-1:], get(f"{name}.weight"), get(f"{name}.bias"))

    def turn(vectors: Tensor) -> Tensor:
        if (frequencies := state.get("decoder.net.attn_layers.rotary_pos_emb.inv_freq")) is None:
            return vectors
        angles = torch.arange(len(vectors))[:, None] * frequencies
        one, other, rest = vectors[:, :16], vectors[:, 16:32], vectors[:, 32:]
        return torch.cat(
            [one * angles.cos() - other * angles.sin(), other * angles.cos() + one * angles.sin(), rest], dim=1
        )

    stream = sum(get(f"token_emb.{field}.emb.weight")[codes[:, field]] for field in range(6))
    assert isinstance(stream, Tensor)
    if "decoder.net.pos_emb.emb.weight" in state:
        stream = stream + get("pos_emb.emb.weight")[: len(codes)] * stream.shape[1] ** -0.5
    later = torch.ones(len(codes), len(codes)).triu(1).bool()
    for layer in range(sum(".to_q." in name for name in state)):
        attention, feed = (f"attn_layers.layers.{2 * layer + place}" for place in (0, 1))
        inputs, parts = norm(stream, f"{attention}.0.0"), []
        for head in range(heads):
            place = slice(64 * head, 64 * head + 64)
            query, key, value = (turn(inputs @ get(f"{attention}.1.to_{one}.weight")[place].T) for one in "qkv")
            parts.append((query @ key.T / 8).masked_fill(later, -torch.inf).softmax(dim=1) @ value)
        stream = (
            stream + torch.cat(parts, dim=1) @ get(f"{attention}.1.to_out.weight").T + get(f"{attention}.1.to_out.bias")
        )
        wide = norm(stream, f"{feed}.0.0") @ get(f"{feed}.1.net.0.0.weight").T + get(f"{feed}.1.net.0.0.bias")
        stream = stream + F.gelu(wide) @ get(f"{feed}.1.net.3.weight").T + get(f"{feed}.1.net.3.bias")
    hidden = norm(stream, "norm")
    return [hidden @ get(f"to_logits.{field}.weight").T + get(f"to_logits.{field}.bias") for field in range(6)]


def test_the_plain_implementation_equals_the_original_code(reference: dict[str, Any]) -> None:
    logits = plain_logits(reference["state_dict"], reference["seq"][0], reference["config"]["heads"])
    for plain, theirs in zip(logits, reference["logits"], strict=True):
        torch.testing.assert_close(plain, theirs[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_any_size_equal_the_plain_implementation(kind: str) -> None:
    state = random_weights(kind, dim=48, layers=3, heads=5, positions=96, beats=32)
    network = from_original(state, {"max_seq_len": 96}).network
    config = network.config
    assert (config.dim, config.layers, config.heads, config.context, config.sizes[1]) == (48, 3, 5, 96, 33)
    codes = torch.stack(
        [torch.randint(size, (96,), generator=torch.Generator().manual_seed(size)) for size in config.sizes], dim=1
    )
    with torch.no_grad():
        for ours, plain in zip(network(codes[None]), plain_logits(state, codes, 5), strict=True):
            torch.testing.assert_close(ours[0], plain, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("decoder.net.norm.bias"), "key 'decoder.net.norm.bias' is missing"),
        (lambda state: state.update({"decoder.net.more": torch.zeros(1)}), "unknown key 'decoder.net.more'"),
        (
            lambda state: state.update({"decoder.net.norm.bias": torch.zeros(3)}),
            r"decoder.net.norm.bias have the shape \(3,\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(
    reference: dict[str, Any], tmp_path: Path, change: Any, message: str
) -> None:
    change(reference["state_dict"])
    with pytest.raises(ValueError, match=message):
        read_original_run(run_folder(reference, tmp_path / "run"))


def test_a_corrupt_file_is_refused(reference: dict[str, Any], tmp_path: Path) -> None:
    folder = run_folder(reference, tmp_path / "run")
    (folder / "checkpoints" / "best_model.pt").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="corrupt"):
        read_original_run(folder)


def test_files_that_are_not_a_state_dict_are_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(ValueError, match=r"list.pt is not a state dict"):
        mmt.load_model(tmp_path / "list.pt")
    with pytest.raises(FileNotFoundError, match=r"none.pt does not exist"):
        mmt.load_model(tmp_path / "none.pt")
    with pytest.raises(ValueError, match="is not a run of the original code"):
        mmt.load_model(arguments={"max_seq_len": 8})


@pytest.mark.parametrize("content", [b"", b"hi\n", b"this is text\n", bytes(range(256))])
def test_a_file_that_is_not_weights_is_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "best.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"best.pt is not a file of weights, or is corrupt \(\S") as caught:
        mmt.load_model(tmp_path / "best.pt")
    assert "\n" not in str(caught.value)


def test_a_path_that_is_not_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("music")
    with pytest.raises(ValueError, match=r"notes.txt is neither a file of weights \(.pt\) nor a run folder"):
        convert_original_run(tmp_path / "notes.txt", tmp_path / "ours")
    with pytest.raises(
        FileNotFoundError, match=r"nowhere does not exist; a run folder of the original code has checkpoints"
    ):
        convert_original_run(tmp_path / "nowhere", tmp_path / "ours")


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"decoder.net.norm.bias": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(ValueError, match="corrupt"):
        mmt.load_model(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


def test_the_command_converts_a_run(
    reference: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, ours = run_folder(reference, tmp_path / "run"), tmp_path / "ours"
    assert convert([str(run), "-o", str(ours)]) == 0
    assert str(ours) in capsys.readouterr().out
    with torch.no_grad():
        for first, second in zip(mmt.load_model(ours).network(reference["seq"][:1]), reference["logits"], strict=True):
            torch.testing.assert_close(first, second, atol=1e-5, rtol=0)
    assert "trained by the original code" in (ours / "MODEL_CARD.md").read_text()
    assert convert([str(run), "-o", str(ours)]) == 1
    assert "exists; give another folder, or overwrite it" in capsys.readouterr().err
    bare, arguments = run / "checkpoints" / "best_model.pt", run / "train-args.json"
    assert convert([str(bare), "--arguments", str(arguments), "-o", str(ours), "--overwrite", "--quiet"]) == 0
    assert mmt.load_model(ours).network.config == mmt.load_model(run).network.config
