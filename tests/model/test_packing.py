"""A packed network computes what the network computes, and each row is bit-identical in any batch."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmt.model.attention import Attention
from mmt.model.cache import Cache
from mmt.model.config import NetworkConfig
from mmt.model.cpu.modules import PackedBlock, PackedHeads, PackedNetwork
from mmt.model.cpu.packing import check_int8, pack
from mmt.model.heads import HEADS, ChainHeads
from mmt.model.inside import edited
from mmt.model.network import Block, FeedForward, Network
from mmt.model.positions import POSITIONS, Positions, Rotation
from mmt.training.low_rank import add_low_rank

SIZES = (5, 65, 13, 129, 33, 65)


def make_network(positions: str = "rotary", output: str = "mixed", **others: Any) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = NetworkConfig(
            SIZES, dim=48, layers=2, heads=2, head_dim=16, context=40, positions=positions, output=output,
            qk_norm=output == "chain", **others,
        )  # type: ignore[arg-type]  # fmt: skip
        network = Network(config).eval().requires_grad_(False)
        for name, parameter in network.named_parameters():
            if "mix" in name:  # initialised to zero, as if fields were independent
                nn.init.normal_(parameter, std=0.2)
            if name.endswith(("query_norm.weight", "key_norm.weight")):
                nn.init.uniform_(parameter, 0.5, 2.0)
        return network


def one_by_one(network: Network, codes: Tensor, cache: Cache) -> Tensor:
    return torch.cat(
        [network.hidden(codes[:, place : place + 1], cache=cache) for place in range(codes.shape[1])], dim=1
    )


def make_codes(batch: int, length: int = 24) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.stack([torch.randint(size, (batch, length), generator=generator) for size in SIZES], dim=-1)


@pytest.mark.parametrize("positions", list(POSITIONS))
@pytest.mark.parametrize("output", list(HEADS))
def test_packed_logits_equal_plain_logits(positions: str, output: str) -> None:
    network, codes = make_network(positions, output), make_codes(3)
    packed = pack(network)
    assert isinstance(packed, PackedNetwork)
    assert all(isinstance(block, PackedBlock) for block in packed.blocks)
    assert isinstance(packed.heads, PackedHeads)
    for ours, theirs in zip(packed(codes), network(codes), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_packing_leaves_the_network_unchanged() -> None:
    network = make_network()
    packed = pack(network)
    assert type(network) is Network
    assert not any(isinstance(block, PackedBlock) for block in network.blocks)
    assert packed.embeddings[0].weight is network.embeddings[0].weight


def test_a_network_in_float64_is_returned_unchanged() -> None:
    network = make_network().double()
    assert pack(network) is network


def test_hooks_keep_their_state() -> None:
    """Hooks may be bound methods, partial functions, or objects that cannot be copied."""

    class Log:
        def __init__(self) -> None:
            self.seen, self.lock = 0, threading.Lock()

        def look(self, *_: Any) -> None:
            self.seen += 1

    network, log, seen = make_network(), Log(), list[int]()
    network.blocks[0].register_forward_hook(log.look)
    network.blocks[1].register_forward_hook(partial(lambda kept, *_: kept.append(1), seen))
    pack(network).hidden(make_codes(2))
    edited(network, {}).hidden(make_codes(2))
    assert log.seen == len(seen) == 2


def test_a_subclass_of_attention_is_used() -> None:
    class Silent(Attention):
        def forward(self, inputs: Tensor, **others: Any) -> Tensor:
            return torch.zeros_like(super().forward(inputs, **others))

    network, codes = make_network(), make_codes(1)
    silent = Silent(network.config)
    silent.load_state_dict(network.blocks[0].attention.state_dict())
    network.blocks[0].attention = silent.eval().requires_grad_(False)
    packed, cache = pack(network), Cache(network.config, 1)
    torch.testing.assert_close(one_by_one(packed, codes, cache), network.hidden(codes), rtol=0, atol=1e-5)


@pytest.mark.parametrize("norm", ["norm", "attention_norm", "query_norm"])
@pytest.mark.parametrize("other", [nn.Identity(), nn.LayerNorm(48, elementwise_affine=False)])
@torch.inference_mode()
def test_a_norm_may_be_left_out_or_have_no_weights(norm: str, other: nn.Module) -> None:
    network, codes = make_network(output="chain"), make_codes(2)
    if norm == "query_norm":
        other = other if isinstance(other, nn.Identity) else nn.LayerNorm(16, elementwise_affine=False)
    block = network.blocks[0]
    setattr({"norm": network, "attention_norm": block, "query_norm": block.attention}[norm], norm, other)
    packed, cache = pack(network), Cache(network.config, 2)
    torch.testing.assert_close(one_by_one(packed, codes, cache), network.hidden(codes), rtol=0, atol=1e-5)


@pytest.mark.parametrize("place", [None, "final", "embedding", "layers.0.stream", "layers.1.heads"])
@pytest.mark.usefixtures("threads")
@torch.inference_mode()
def test_a_prefill_is_bit_identical_alone_and_in_a_batch(place: Any) -> None:
    network, codes = make_network("time"), make_codes(9)
    network = pack(network if place is None else edited(network, {place: lambda values: 1.01 * values}))
    together, alone = Cache(network.config, 9), Cache(network.config, 1)
    assert torch.equal(network.hidden(codes, cache=together)[7], network.hidden(codes[7:8], cache=alone)[0])
    assert torch.equal(together.keys[:, 7:8], alone.keys)
    assert torch.equal(network.hidden(codes)[7], network.hidden(codes[7:8])[0])


@torch.inference_mode()
def test_reads_out_of_bounds_are_refused() -> None:
    network, codes = pack(make_network(output="chain")), make_codes(2)[:, :1]
    for several in (codes, make_codes(2)):
        with pytest.raises(ValueError, match="2 pieces were given, but the cache holds 4"):
            network.hidden(several, cache=Cache(network.config, 4))
    for code in (-1, 65, 1000):
        codes[1, 0, 1] = code
        with pytest.raises(IndexError, match="a code that is out of range for its field"):
            network.hidden(codes, cache=Cache(network.config, 2))
        with pytest.raises(IndexError, match="a code that is out of range for its field"):
            network.heads(torch.zeros(2, 48), codes[:, 0])


class Sinusoids(nn.Module):
    """Sinusoidal positions (Vaswani et al. 2017), (…, 48)."""

    def forward(self, places: Tensor) -> Tensor:
        angles = places[..., None] / 100 ** (torch.arange(24) / 24)
        return 3 * torch.cat([angles.sin(), angles.cos()], dim=-1)


ORIGINAL_EMBED = Network.embed


def with_sinusoids(embed: Any) -> Any:
    def with_positions(network: Network, codes: Tensor, cache: Cache | None) -> tuple[Tensor, Rotation | None]:
        stream, rotation = embed(network, codes, cache)
        places = torch.arange(codes.shape[1]) + (0 if cache is None else cache.length)
        return stream + Sinusoids()(places), rotation

    return with_positions


class SinusoidalNetwork(Network):
    embed = with_sinusoids(ORIGINAL_EMBED)


def changed(values: Tensor) -> Tensor:
    """Not by a constant, which the next norm would remove."""
    return values + torch.linspace(-0.5, 1, values.shape[-1])


class Biased(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return changed(inputs)


class SharpHeads(ChainHeads):
    def forward(self, hidden: Tensor, events: Tensor) -> list[Tensor]:
        return [2 * logits for logits in super().forward(hidden, events)]

    def field(self, index: int, hidden: Tensor, events: Tensor) -> Tensor:
        return 2 * super().field(index, hidden, events)


@torch.inference_mode()
def assert_decodes_like_pytorch(network: Network) -> None:
    codes, packed = make_codes(3), pack(network)
    cache = packed.new_cache(3, codes.shape[1])
    hidden, expected = one_by_one(packed, codes, cache), network.hidden(codes)
    torch.testing.assert_close(hidden, expected, rtol=0, atol=1e-4)
    plain = network.heads(expected, codes)
    for field, (one, other) in enumerate(zip(packed.heads(hidden, codes), plain, strict=True)):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
        torch.testing.assert_close(packed.heads.field(field, hidden, codes), other, rtol=0, atol=1e-4)


@pytest.mark.parametrize("positions", list(POSITIONS))
def test_a_position_encoding_in_a_subclass_is_used(positions: str) -> None:
    network = make_network(positions)
    network.__class__ = SinusoidalNetwork
    assert_decodes_like_pytorch(network)


@pytest.mark.parametrize("where", ["class", "module"])
def test_a_position_encoding_in_a_replaced_method_is_used(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_network()
    if where == "class":
        monkeypatch.setattr(Network, "embed", with_sinusoids(ORIGINAL_EMBED))
    else:
        network.embed = partial(with_sinusoids(ORIGINAL_EMBED), network)  # type: ignore[method-assign]
    assert_decodes_like_pytorch(network)


@pytest.mark.parametrize(
    "encoding",
    [
        Positions(table=lambda config: Sinusoids()),
        Positions(frequencies=lambda config, device: (torch.linspace(2, 0.1, 8), torch.empty(0))),
        Positions(frequencies=lambda config, device: (torch.empty(0), torch.linspace(1, 0.1, 4).double())),
        Positions(lambda config: nn.Embedding(config.context, config.dim), POSITIONS["rotary"].frequencies),
    ],
    ids=["table", "per event", "per beat", "both"],
)
def test_a_new_position_encoding_is_used(encoding: Positions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POSITIONS, "new", encoding)
    assert_decodes_like_pytorch(make_network("new"))


def test_a_change_of_the_source_code_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pack compares the logits of a few events with those of PyTorch, and so finds an edit of the network's source."""
    monkeypatch.setattr("mmt.model.network.rotation_of", lambda *_: None)
    with pytest.warns(UserWarning, match="the compiled decoder does not compute what this network computes"):
        assert_decodes_like_pytorch(make_network())


SLOTS = (
    *("embeddings.1", "positions", "dropout", "blocks.0", "blocks.1.attention_norm", "blocks.1.attention"),
    *("blocks.0.attention.queries_keys_values", "blocks.0.attention.query_norm", "blocks.0.attention.by_head"),
    *("blocks.0.attention.out", "blocks.1.feed_forward", "blocks.1.feed_forward.dropout", "norm"),
    *("heads.fields.2", "heads.known.1", "heads.mix.3", "heads.state"),
    *(f"blocks.0.attention.{name}" for name in ("queries", "keys", "values", "head_outputs")),
    *("blocks.0.attention_inputs", "blocks.1.feed_forward_inputs", "blocks.0.feed_forward.neurons"),
)


@pytest.mark.parametrize("slot", SLOTS)
def test_a_forward_hook_is_called_everywhere(slot: str) -> None:
    network = make_network("absolute", "chain")
    network.get_submodule(slot).register_forward_hook(lambda module, inputs, output: changed(output))
    assert_decodes_like_pytorch(network)


@pytest.mark.parametrize("slot", [slot for slot in SLOTS if slot[-1] not in "01" and slot != "positions"])
def test_a_forward_pre_hook_is_called_everywhere(slot: str) -> None:
    network = make_network("absolute", "chain")

    def change(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        return (changed(inputs[0]), *inputs[1:]) if inputs and inputs[0].is_floating_point() else None

    network.get_submodule(slot).register_forward_pre_hook(change)
    assert_decodes_like_pytorch(network)


def test_a_global_hook_is_called() -> None:
    with nn.modules.module.register_module_forward_hook(
        lambda module, inputs, output: changed(output) if isinstance(module, nn.LayerNorm) else None
    ):
        assert_decodes_like_pytorch(make_network())


@pytest.mark.parametrize(
    "slot", [slot for slot in SLOTS if slot.split(".")[-1] not in ("attention", "feed_forward") and slot != "blocks.0"]
)
def test_another_module_in_a_slot_is_used(slot: str) -> None:
    network = make_network("absolute", "chain")
    parent, _, name = slot.rpartition(".")
    setattr(network.get_submodule(parent), name, nn.Sequential(network.get_submodule(slot), Biased()))
    assert_decodes_like_pytorch(network)


@pytest.mark.parametrize("norm", ["norm", "blocks.1.attention_norm", "blocks.0.attention.query_norm"])
def test_another_norm_is_used(norm: str) -> None:
    network = make_network(output="chain")
    parent, _, name = norm.rpartition(".")
    (width,) = network.get_submodule(norm).normalized_shape
    for other in (nn.RMSNorm(width), nn.Linear(width, width)):
        setattr(network.get_submodule(parent), name, other.requires_grad_(False))
        assert_decodes_like_pytorch(network)


@pytest.mark.parametrize(("slot", "width"), [("dropout", 48), ("blocks.0.attention.by_head", 16), ("heads.state", 48)])
@pytest.mark.parametrize("kind", [nn.LayerNorm, nn.Linear])
def test_a_known_module_in_another_slot_is_used(slot: str, width: int, kind: Any) -> None:
    network = make_network(output="chain")
    parent, _, name = slot.rpartition(".")
    widths = (width,) if kind is nn.LayerNorm else (width, width)
    setattr(network.get_submodule(parent), name, kind(*widths).requires_grad_(False))
    assert_decodes_like_pytorch(network)


@pytest.mark.parametrize(
    "slot", ["embeddings.3", "positions", "norm", "blocks.0.attention.out", "blocks.1.attention_norm", "heads.fields.4"]
)
def test_a_parametrisation_is_used(slot: str) -> None:
    network = make_network("absolute", "chain")
    nn.utils.parametrize.register_parametrization(network.get_submodule(slot), "weight", Biased())
    assert_decodes_like_pytorch(network)


def test_an_embedding_with_limited_norms_is_used() -> None:
    network = make_network()
    network.embeddings[2].max_norm = 0.1
    assert_decodes_like_pytorch(network)


def test_heads_of_a_subclass_are_used() -> None:
    network = make_network(output="mixed")
    network.heads.__class__ = SharpHeads
    assert_decodes_like_pytorch(network)


@pytest.mark.parametrize("kind", [Block, Attention, FeedForward, nn.LayerNorm, nn.Linear])
def test_a_replaced_forward_is_called(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = kind.forward
    network = make_network(output="independent")
    module = next(module for module in network.blocks.modules() if type(module) is kind)
    module.forward = lambda *inputs, **named: changed(forward(module, *inputs, **named))
    assert_decodes_like_pytorch(network)
    monkeypatch.setattr(kind, "forward", lambda module, *inputs, **named: changed(forward(module, *inputs, **named)))
    assert_decodes_like_pytorch(make_network(output="independent"))


def test_a_block_that_reads_a_linear_map_directly_finds_its_weights() -> None:
    class Direct(FeedForward):
        def forward(self, inputs: Tensor) -> Tensor:
            wide = nn.functional.linear(inputs, self.expand.weight, self.expand.bias)
            return self.contract(wide.relu())  # type: ignore[no-any-return]

    network = make_network()
    network.blocks[1].feed_forward.__class__ = Direct
    assert_decodes_like_pytorch(network)


@pytest.mark.parametrize("positions", list(POSITIONS))
@pytest.mark.parametrize("turned", [{}, {"rotary_dims": 8, "rotary_values": True}])
@torch.inference_mode()
def test_packed_decoding_equals_plain_hidden_states(positions: str, turned: dict[str, Any]) -> None:
    network, codes = make_network(positions, "chain", **turned), make_codes(3)
    packed, cache = pack(network), Cache(network.config, 3)
    assert all(isinstance(block, PackedBlock) for block in packed.blocks)
    torch.testing.assert_close(one_by_one(packed, codes, cache), network.hidden(codes), rtol=0, atol=1e-5)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", ["float32", "int8", "hook"])
@pytest.mark.usefixtures("threads")
@torch.inference_mode()
def test_a_row_is_bit_identical_in_any_batch(kind: str) -> None:
    network, codes = make_network(output="mixed"), make_codes(33)
    network.decodes_with = "int8" if kind == "int8" else "float32"
    if kind == "hook":
        network.blocks[0].attention.register_forward_hook(lambda _, inputs, out: 0.5 * out)
    network = pack(network)
    together, alone = (network.new_cache(batch, codes.shape[1]) for batch in (33, 1))
    first = 4
    if kind == "hook":
        first = 0  # PyTorch reads a prompt of the whole batch at once
    else:
        # The prompt is read in one pass; with int8 weights, its cache is in bfloat16 too.
        network.hidden(codes[:, :first], cache=together)
        network.hidden(codes[7:8, :first], cache=alone)
        assert torch.equal(together.keys[:, 7], alone.keys[:, 0])
    for place in range(first, codes.shape[1]):
        event = codes[:, place : place + 1]
        hidden, one = network.hidden(event, cache=together)[:, 0], network.hidden(event[7:8], cache=alone)[:, 0]
        assert torch.equal(one, hidden[7:8])
        for field in range(6):
            logits = network.heads.field(field, hidden, event[:, 0])
            assert torch.equal(network.heads.field(field, one, event[7:8, 0]), logits[7:8])


@torch.inference_mode()
def test_rows_of_different_lengths_equal_rows_alone() -> None:
    network, codes = pack(make_network()), make_codes(4)
    lengths = (5, 5, 9, 1)
    cache = Cache(network.config, 4)
    for row, length in enumerate(lengths):
        network.hidden(codes[row : row + 1, :length], cache=cache.row(row))
        cache.lengths[row] = length
    assert cache.length == 9
    latest = torch.stack([codes[row, length] for row, length in enumerate(lengths)])
    for _ in range(2):
        hidden = network.hidden(latest[:, None], cache=cache)[:, 0]
    for row, length in enumerate(lengths):
        whole = torch.cat([codes[row, : length + 1], codes[row, length : length + 1]])
        torch.testing.assert_close(network.hidden(whole[None])[0, -1], hidden[row], rtol=0, atol=1e-5)


def make_narrow(positions: str = "rotary", output: str = "mixed") -> Network:
    network = make_network(positions, output)
    network.decodes_with = "int8"
    return network


@pytest.mark.parametrize("positions", list(POSITIONS))
@pytest.mark.parametrize("output", list(HEADS))
@torch.inference_mode()
def test_int8_logits_are_close(positions: str, output: str) -> None:
    network, codes = make_narrow(positions, output), make_codes(3)
    packed = pack(network)
    cache = packed.new_cache(3, codes.shape[1])
    assert all(block.weights.out.weight.dtype == np.int8 for block in packed.blocks)
    assert cache.keys.dtype == cache.values.dtype == torch.bfloat16
    steps = one_by_one(packed, codes, cache)
    ours, theirs = (heads(steps, torch.roll(codes, -1, 1)) for heads in (packed.heads, network.heads))
    for one, other, exact in zip(ours, theirs, network(codes), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
        # A rounding is at most 1/254 of the range of a row of weights.
        assert 0 < (one - exact)[:, :-1].norm() < 0.01 * exact[:, :-1].norm()


@pytest.mark.parametrize("change", ["set_default_device('meta')", "set_default_dtype(torch.float16)"])
def test_packed_logits_do_not_depend_on_the_defaults_of_torch(change: str) -> None:
    code = (
        f"import mmt, torch; model = mmt.new_model('tiny', seed=0); torch.{change}; "
        "assert len(model.generate(n=2, seed=1, max_events=16)) == 2"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked here")
def test_a_process_forked_after_generation_raises() -> None:
    """The forked process has no worker threads: it would crash silently or wait for ever."""
    code = (
        "import mmt, multiprocessing; model = mmt.new_model('tiny', seed=0)\n"
        "def write(seed): return len(model.generate(seed=seed, max_events=16)[0])\n"
        "fork = multiprocessing.get_context('fork')\n"
        "with fork.Pool(2) as pool: print(len(pool.map(write, range(3))))\n"
        "write(0)\n"
        "with fork.Pool(2) as pool: pool.map(write, range(3))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["3"]
    assert "this process was forked after music had been generated" in done.stderr.splitlines()[-1]


def test_generation_works_without_numba_compilation() -> None:
    code = "import mmt; print(len(mmt.new_model('tiny', seed=0).generate(seed=1, max_events=16)))"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "NUMBA_DISABLE_JIT": "1"})


def test_hooks_are_kept_with_int8() -> None:
    network, codes = make_narrow(), make_codes(2)
    network.blocks[0].feed_forward.register_forward_hook(lambda _, inputs, out: 0 * out)
    packed = pack(network)
    assert [isinstance(block, PackedBlock) for block in packed.blocks] == [False, True]
    assert packed.new_cache(1, 8).keys.dtype == torch.float32
    ours, theirs = packed(codes)[3], network(codes)[3]
    assert (ours - theirs).norm() < 0.02 * theirs.norm()


def test_int8_is_refused_for_other_devices_and_types() -> None:
    with pytest.raises(ValueError, match="int8 weights are for the CPU, and the model is on meta; use device='cpu'"):
        check_int8(torch.zeros(1, device="meta"))
    with pytest.raises(ValueError, match=r"made from float32, and these are torch\.float64"):
        check_int8(torch.zeros(1, dtype=torch.float64))


def test_low_rank_additions_are_used() -> None:
    network, codes = make_network(), make_codes(2)
    add_low_rank(network, 2)
    packed = pack(network.eval())
    assert not any(isinstance(module, PackedBlock | PackedHeads) for module in packed.modules())
    torch.testing.assert_close(packed(codes)[3], network(codes)[3], rtol=0, atol=1e-5)
