"""The network's laws: size, causality, padding, independence of rows, cache, positions, gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mmt.model.cache import Cache
from mmt.model.config import NetworkConfig
from mmt.model.heads import HEADS
from mmt.model.network import Network
from mmt.model.positions import POSITIONS
from mmt.representation.codes import BEAT, POSITION

SIZES = (5, 17, 5, 21, 7, 9)

every_kind = pytest.mark.parametrize(
    ("positions", "output"), [(positions, output) for positions in POSITIONS for output in HEADS]
)


def make_network(
    positions: str = "absolute", output: str = "independent", *, context: int = 24, dropout: float = 0.3
) -> Network:
    """A small network in eval mode; weights between its heads are initialised to zero, so they are drawn here.

    Networks with chained heads also have normalised queries and keys.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        config = NetworkConfig(
            SIZES, dim=32, layers=3, heads=2, head_dim=16, context=context, positions=positions, output=output,
            dropout=dropout, qk_norm=output == "chain",
        )  # fmt: skip
        network = Network(config).eval()
        for name, parameter in network.named_parameters():
            if "mix" in name:
                torch.nn.init.normal_(parameter, std=0.2)
            if name.endswith(("query_norm.weight", "key_norm.weight")):
                torch.nn.init.uniform_(parameter, 0.5, 2.0)
    return network.requires_grad_(False)


def make_codes(batch: int = 2, length: int = 12, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randint(size, (batch, length), generator=generator) for size in SIZES], dim=-1)


def assert_close(ours: list[Tensor], theirs: list[Tensor], tolerance: float = 1e-5) -> None:
    assert len(ours) == len(theirs) == 6
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


def at(logits: list[Tensor], *places: slice | int | Tensor) -> list[Tensor]:
    return [field[places] for field in logits]


@pytest.mark.parametrize(
    ("positions", "parameters"),
    [("absolute", 19_944_950), ("rotary", 19_420_662), ("time", 19_420_662), ("none", 19_420_662)],
)
def test_the_network_of_the_paper_has_its_number_of_parameters(positions: str, parameters: int) -> None:
    with torch.device("meta"):
        network = Network(NetworkConfig(positions=positions))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_normalised_queries_and_keys_do_not_depend_on_the_scale_of_their_map() -> None:
    """The attention logits stay the same for any scale of the map; only the factors of each head scale them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        attention = (
            Network(NetworkConfig(SIZES, dim=32, layers=1, heads=2, head_dim=16, qk_norm=True)).blocks[0].attention
        )
    # So large that the epsilon of the norm is negligible.
    inputs = 100 * torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    before = attention.weights(inputs, None)
    with torch.no_grad():
        attention.queries_keys_values.weight *= 1000
        torch.testing.assert_close(attention.weights(inputs, None), before)
        attention.query_norm.weight *= 2
    assert not torch.allclose(attention.weights(inputs, None), before, atol=1e-3)


def test_one_piece_alone_is_a_batch_of_one() -> None:
    network, codes = make_network(), make_codes()
    with pytest.raises(
        ValueError, match=r"codes must be \(batch, length, 6\), not \(12, 6\); for one piece give codes\[None\]"
    ):
        network(codes[0])


def test_zero_initialised_blocks_are_the_identity_and_get_gradients() -> None:
    network = Network(NetworkConfig(SIZES, dim=32, layers=2, heads=2, head_dim=16, positions="none", zero_init=True))
    codes = make_codes()
    stream = torch.zeros(2, 12, 32)
    for embedding, field in zip(network.embeddings, codes.unbind(-1), strict=True):
        stream = stream + embedding(field)
    logits = network.eval()(codes)
    assert_close(logits, network.heads(network.norm(stream), codes))
    sum(field.square().sum() for field in logits).backward()
    assert all(block.attention.out.weight.grad.any() for block in network.blocks)  # type: ignore[union-attr]


@every_kind
def test_shapes_and_no_dropout_in_eval_mode(positions: str, output: str) -> None:
    network, codes = make_network(positions, output), make_codes()
    logits = network(codes)
    assert [tuple(field.shape) for field in logits] == [(2, 12, size) for size in SIZES]
    assert_close(logits, network(codes), tolerance=0)


def test_dropout_in_training() -> None:
    network, codes = make_network().train(), make_codes()
    assert not torch.equal(network(codes)[0], network(codes)[0])


@every_kind
def test_attention_is_causal(positions: str, output: str) -> None:
    network, codes = make_network(positions, output), make_codes()
    targets = make_codes(seed=1)
    before = network(codes, targets=targets)
    for place in range(1, 12):
        changed = codes.clone()
        changed[:, place] = (changed[:, place] + 1) % torch.tensor(SIZES)
        after = network(changed, targets=targets)
        assert_close(at(after, slice(None), slice(place)), at(before, slice(None), slice(place)), tolerance=1e-6)
        # ... and later events change, or the test would pass for a network that ignores all events.
        for field in range(6):
            assert not torch.allclose(after[field][:, place], before[field][:, place], atol=1e-3)


def test_every_field_of_every_event_changes_the_last_logits() -> None:
    network, codes = make_network(), make_codes(batch=1)
    before = network(codes)[0][:, -1]
    for place in range(12):
        for field, size in enumerate(SIZES):
            changed = codes.clone()
            changed[:, place, field] = (changed[:, place, field] + 1) % size
            assert not torch.allclose(network(changed)[0][:, -1], before, atol=1e-6)


@pytest.mark.parametrize("output", ["chain", "mixed"])
def test_chained_heads_read_the_earlier_fields_of_the_next_event_only(output: str) -> None:
    network, codes, targets = make_network(output=output), make_codes(), make_codes(seed=1)
    before = network(codes, targets=targets)
    for field, size in enumerate(SIZES):
        changed = targets.clone()
        changed[:, 4, field] = (changed[:, 4, field] + 1) % size
        after = network(codes, targets=changed)
        for other in range(6):
            same = torch.isclose(after[other], before[other], rtol=0, atol=1e-6).all(dim=-1).all(dim=0)
            same_elsewhere = torch.cat([same[:4], same[5:]])
            assert same_elsewhere.all()
            assert same[4] == (other <= field)


@pytest.mark.parametrize("output", HEADS)
def test_heads_evaluated_field_by_field_equal_heads_evaluated_at_once(output: str) -> None:
    network, codes = make_network(output=output), make_codes()
    hidden, events = network.hidden(codes), make_codes(seed=1)
    assert_close([network.heads.field(field, hidden, events) for field in range(6)], network.heads(hidden, events))


def test_targets_are_the_codes_shifted_unless_given() -> None:
    network, codes = make_network(output="chain"), make_codes()
    nothing = torch.zeros_like(codes[:, :1])
    assert_close(network(codes, targets=torch.cat([codes[:, 1:], nothing], dim=1)), network(codes), tolerance=0)


@every_kind
@pytest.mark.parametrize("side", ["left", "right", "middle"])
def test_a_mask_excludes_padding(positions: str, output: str, side: str) -> None:
    network, codes = make_network(positions, output), make_codes(batch=3)
    mask = torch.ones(3, 12, dtype=torch.bool)
    hidden = {"left": slice(0, 4), "right": slice(8, 12), "middle": slice(4, 8)}[side]
    mask[0, hidden] = False
    mask[1, hidden.start : hidden.start + 1] = False
    logits = network(codes, mask)
    for seed in range(3):
        other = torch.where(mask[..., None], codes, make_codes(batch=3, seed=10 + seed))
        assert not torch.equal(other, codes)
        assert_close(at(network(other, mask), mask), at(logits, mask), tolerance=1e-6)
    assert all(field.isfinite().all() for field in network(torch.zeros_like(codes), torch.zeros_like(mask)))


@every_kind
def test_a_padded_piece_has_the_logits_of_the_piece_alone(positions: str, output: str) -> None:
    network, codes = make_network(positions, output), make_codes(batch=3)
    lengths = (12, 7, 1)
    mask = torch.arange(12) < torch.tensor(lengths)[:, None]
    logits = network(codes, mask)
    for row, length in enumerate(lengths):
        alone = network(codes[row : row + 1, :length])
        assert_close(at(logits, slice(row, row + 1), slice(length)), alone)


def test_a_mask_without_padding_changes_nothing() -> None:
    network, codes = make_network(), make_codes()
    assert_close(network(codes, torch.ones(2, 12, dtype=torch.bool)), network(codes), tolerance=1e-6)


@every_kind
def test_rows_are_independent(positions: str, output: str) -> None:
    network, codes = make_network(positions, output), make_codes(batch=17)
    logits = network(codes)
    for row in (0, 5, 16):
        assert_close(at(logits, slice(row, row + 1)), network(codes[row : row + 1]))
    order = torch.randperm(17, generator=torch.Generator().manual_seed(0))
    assert_close(network(codes[order]), at(logits, order))


@every_kind
@pytest.mark.parametrize("pieces", [[12], [1] * 12, [5, 7], [4, 1, 1, 3, 1, 2]])
def test_cached_decoding_gives_the_logits_of_a_full_pass(positions: str, output: str, pieces: list[int]) -> None:
    network, codes, targets = make_network(positions, output), make_codes(), make_codes(seed=1)
    whole = network(codes, targets=targets)
    cache, seen = Cache(network.config, 2, capacity=12), 0
    for length in pieces:
        part = slice(seen, seen + length)
        logits = network(codes[:, part], targets=targets[:, part], cache=cache)
        assert_close(logits, at(whole, slice(None), part))
        seen += length
    assert cache.length == 12


@pytest.mark.parametrize("positions", POSITIONS)
def test_a_bfloat16_cache_gives_nearly_the_same_logits(positions: str) -> None:
    network, codes = make_network(positions), make_codes()
    cache = Cache(network.config, len(codes), dtype=torch.bfloat16)
    parts = [network.hidden(part, cache=cache) for part in (codes[:, :5], codes[:, 5:8], codes[:, 8:9], codes[:, 9:])]
    found, exact = torch.cat(parts, dim=1), network.hidden(codes)
    torch.testing.assert_close(found[:, :5], exact[:, :5], rtol=0, atol=1e-5)
    assert 0 < (found - exact).norm() < 0.01 * exact.norm()


@pytest.mark.parametrize("positions", POSITIONS)
def test_keep_selects_rows_of_a_cache(positions: str) -> None:
    network, codes = make_network(positions), make_codes(batch=4)
    cache = Cache(network.config, 4)
    network(codes[:, :6], cache=cache)
    rows = [3, 1]
    cache.keep(rows)
    assert_close(network(codes[rows, 6:7], cache=cache), at(network(codes[:, :7]), rows, slice(6, 7)))


def test_a_cache_has_the_given_type_and_device() -> None:
    config = NetworkConfig(SIZES, context=9)
    assert Cache(config, 1, like=torch.zeros(1, dtype=torch.bfloat16)).keys.dtype == torch.bfloat16
    assert Cache(config, 1).keys.dtype == torch.float32
    assert (Cache(config, 1).capacity, Cache(config, 1, capacity=4).capacity) == (9, 4)


@pytest.mark.parametrize("positions", POSITIONS)
def test_more_events_than_the_context_are_refused(positions: str) -> None:
    network = make_network(positions, context=8)
    assert network(make_codes(length=8))[0].shape[1] == 8
    with pytest.raises(ValueError, match="9 events are more than the 8"):
        network(make_codes(length=9))
    for capacity, limit in ((5, 5), (None, 8), (20, 8)):
        cache = Cache(network.config, 2, capacity=capacity)
        network(make_codes(length=limit), cache=cache)
        with pytest.raises(ValueError, match=f"{limit + 1} events are more than the {limit}"):
            network(make_codes(length=1), cache=cache)


def test_a_mask_with_a_cache_is_refused() -> None:
    network = make_network()
    with pytest.raises(ValueError, match="both a mask and a cache were given"):
        network(make_codes(), torch.ones(2, 12, dtype=torch.bool), cache=Cache(network.config, 2))


def logits_here_and_after_padding(positions: str) -> tuple[Tensor, Tensor]:
    """Logits of the last 6 events at the places 0 … 5, and at 100 … 105 after padding."""
    network, codes = make_network(positions, context=128), make_codes(length=6)
    padded = torch.cat([make_codes(length=100, seed=1), codes], dim=1)
    mask = torch.arange(106).expand(2, -1) >= 100
    return network(codes)[3], network(padded, mask)[3][:, 100:]


def test_rotary_positions_depend_on_distances_only() -> None:
    here, far = logits_here_and_after_padding("rotary")
    torch.testing.assert_close(here, far, rtol=0, atol=1e-5)


def test_absolute_positions_depend_on_the_place() -> None:
    here, far = logits_here_and_after_padding("absolute")
    assert not torch.allclose(here, far, atol=1e-3)


def test_rotary_positions_distinguish_distances() -> None:
    """Two events before a third are swapped: without positions the logits of the third stay the same."""
    codes = make_codes(length=3)
    swapped = codes[:, [1, 0, 2]]
    for positions, tells in (("rotary", True), ("absolute", True), ("none", False)):
        network = make_network(positions)
        # One layer: in a deeper network the swapped events have seen each other.
        network.blocks = network.blocks[:1]
        assert torch.allclose(network(codes)[3][:, 2], network(swapped)[3][:, 2], atol=1e-6) != tells


def test_positions_by_time_depend_on_distances_in_time_only() -> None:
    network, codes = make_network("time"), make_codes(length=6)
    for field in (BEAT, POSITION):
        network.embeddings[field].weight.zero_()  # the rotation alone encodes time
    codes[..., BEAT], codes[..., POSITION] = torch.arange(1, 7), 1
    later, wider = codes.clone(), codes.clone()
    later[..., BEAT] += 9
    wider[..., BEAT] = 2 * wider[..., BEAT] - 1
    finer = codes.clone()
    finer[:, 2:, POSITION] += 1
    here = network(codes)[3]
    torch.testing.assert_close(network(later)[3], here, rtol=0, atol=1e-5)
    for other in (wider, finer):
        assert not torch.allclose(network(other)[3], here, atol=1e-3)


@every_kind
def test_gradients_reach_every_parameter(positions: str, output: str) -> None:
    network = make_network(positions, output).requires_grad_(True)
    sum(field.square().sum() for field in network(make_codes(batch=40, length=24))).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_initial_scales_equal_those_of_the_original_code() -> None:
    network = Network(NetworkConfig(layers=1))
    assert network.positions is not None
    assert network.positions.weight.std().item() == pytest.approx(1, rel=0.02)
    assert network.embeddings[1].weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.02)


def test_weights_of_the_original_code_give_its_logits(shared: object) -> None:
    """Their weights, renamed, give their logits (absolute and no positions; their rotary encoding differs)."""
    for name, positions in (("ape", "absolute"), ("npe", "none")):
        reference = torch.load(f"{shared}/reference/ref_tiny_{name}.pt", weights_only=True)
        weights = {k.removeprefix("decoder.net."): v for k, v in reference["state_dict"].items()}
        sizes = tuple(weights[f"token_emb.{field}.emb.weight"].shape[0] for field in range(6))
        config = NetworkConfig(sizes, dim=32, layers=2, heads=2, context=64, positions=positions)
        network = Network(config).eval()
        network.load_state_dict(_renamed(weights, config))
        with torch.no_grad():
            assert_close(network(reference["seq"][:1]), list(reference["logits"]))
            mask = reference["mask"]
            masked = network(reference["seq"], mask)
            assert_close(at(masked, mask), [field[mask] for field in reference["logits_masked"]])


def _renamed(weights: dict[str, Tensor], config: NetworkConfig) -> dict[str, Tensor]:
    ours: dict[str, Tensor] = {"norm.weight": weights["norm.weight"], "norm.bias": weights["norm.bias"]}
    if config.positions == "absolute":
        ours["positions.weight"] = weights["pos_emb.emb.weight"]
    for field in range(6):
        ours[f"embeddings.{field}.weight"] = weights[f"token_emb.{field}.emb.weight"]
        for part in ("weight", "bias"):
            ours[f"heads.fields.{field}.{part}"] = weights[f"to_logits.{field}.{part}"]
    for layer in range(config.layers):
        attention, forward = (f"attn_layers.layers.{2 * layer + place}" for place in (0, 1))
        block = f"blocks.{layer}"
        ours[f"{block}.attention.queries_keys_values.weight"] = torch.cat(
            [weights[f"{attention}.1.to_{name}.weight"] for name in "qkv"]
        )
        for part in ("weight", "bias"):
            ours[f"{block}.attention_norm.{part}"] = weights[f"{attention}.0.0.{part}"]
            ours[f"{block}.attention.out.{part}"] = weights[f"{attention}.1.to_out.{part}"]
            ours[f"{block}.feed_forward_norm.{part}"] = weights[f"{forward}.0.0.{part}"]
            ours[f"{block}.feed_forward.expand.{part}"] = weights[f"{forward}.1.net.0.0.{part}"]
            ours[f"{block}.feed_forward.contract.{part}"] = weights[f"{forward}.1.net.3.{part}"]
    return ours


@every_kind
def test_attention_weights_times_values_are_attention(positions: str, output: str) -> None:
    network = make_network(positions, output)
    seen: list[tuple[Tensor, ...]] = []
    for block in network.blocks:
        attention = block.attention
        attention.out.register_forward_hook(lambda _, inputs, outputs: seen.append((*inputs, outputs)))
        attention.register_forward_hook(
            lambda module, inputs, named, outputs: seen.append(module.project(*inputs, named["rotation"])[2:]),
            with_kwargs=True,
        )
    codes = make_codes()
    network(codes)
    for layer, weights in enumerate(network.attention_weights(codes)):
        (added, _), (values,) = seen[2 * layer : 2 * layer + 2]
        torch.testing.assert_close((weights @ values).transpose(1, 2).flatten(2), added, rtol=0, atol=1e-5)


@pytest.mark.parametrize("change", [{}, {"positions": "rotary", "rotary_values": True}, {"rotary_dims": 8}])
def test_logits_in_training_equal_those_in_inference(change: dict[str, Any]) -> None:
    values = {"dim": 32, "layers": 2, "heads": 2, "head_dim": 16, "positions": "time", "qk_norm": True, "dropout": 0.0}
    network = Network(NetworkConfig(**{**values, "output": "mixed", **change}))
    codes = torch.stack([torch.randint(size, (2, 200)) for size in network.config.sizes], dim=-1)
    with torch.no_grad():
        for ours, expected in zip(network.train()(codes), network.eval()(codes), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
