"""Places and edits of a network: against a plain implementation, with and without a cache, and in packed decoding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from test_packing import make_codes, make_network, one_by_one
from torch import Tensor
from torch.nn import functional

import mmt
from mmt.model import inside
from mmt.model.cache import Cache
from mmt.model.cpu.modules import PackedBlock
from mmt.model.cpu.packing import pack
from mmt.model.inside import Context, edited
from mmt.model.inside.places import all_places
from mmt.model.network import Network
from mmt.model.positions import rotate, rotation_of
from mmt.representation.codes import BEAT, FIELDS, INSTRUMENT, NOTE, PITCH, TYPE

CELLO, VIOLIN = (1 + mmt.Representation().names.index(name) for name in ("cello", "violin"))
NAMES = inside.places(make_network())


def note_codes(batch: int, length: int = 24) -> Tensor:
    """Alternating notes of cello and violin, two per beat."""
    codes = make_codes(batch, length)
    place = torch.arange(length)
    codes[..., TYPE], codes[..., BEAT] = NOTE, 1 + place // 2
    codes[..., INSTRUMENT] = torch.where(place % 2 == 0, CELLO, VIOLIN)
    return codes


def record(network: Network, codes: Tensor, names: list[str] = NAMES) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda activations: found.setdefault(name, activations.clone())

    with torch.inference_mode():
        edited(network, {name: keep(name) for name in names})(codes)
    return found


@torch.inference_mode()
def plain_places(network: Network, codes: Tensor) -> dict[str, Tensor]:
    """All places, computed head by head from the weights."""
    config, found = network.config, {}
    length = codes.shape[1]
    stream = sum(table(codes[..., field]) for field, table in enumerate(network.embeddings))
    if network.positions is not None:
        stream = stream + network.positions.weight[:length] / config.dim**0.5
    found["embedding"] = stream
    rotation = rotation_of(torch.arange(length), codes, config, torch.float32)
    later = torch.ones(length, length).triu(1).bool()
    for layer, block in enumerate(network.blocks):
        attention, feed_forward, at = block.attention, block.feed_forward, f"layers.{layer}."
        parts: dict[str, list[Tensor]] = {
            name: [] for name in ("queries", "keys", "values", "scores", "pattern", "heads", "out")
        }
        normed, width = block.attention_norm(stream), config.heads * config.head_dim
        for head in range(config.heads):
            rows = slice(head * config.head_dim, (head + 1) * config.head_dim)
            weight = attention.queries_keys_values.weight
            query, key, value = (normed @ weight[kind * width :][rows].T for kind in range(3))
            query, key = attention.query_norm(query), attention.key_norm(key)
            if rotation is not None:
                query, key = (rotate(of[:, None], rotation)[:, 0] for of in (query, key))
            scores = (query @ key.transpose(1, 2) / config.head_dim**0.5).masked_fill(later, -torch.inf)
            exponents = (scores - scores.amax(-1, keepdim=True)).exp()
            pattern = exponents / exponents.sum(-1, keepdim=True)
            mixed = pattern @ value
            for name, of in zip(
                parts, (query, key, value, scores, pattern, mixed, mixed @ attention.out.weight[:, rows].T), strict=True
            ):
                parts[name].append(of)
        found[at + "attention_inputs"] = stream[:, :, None, None].expand(-1, -1, 3, config.heads, -1)
        found |= {at + name: torch.stack(parts[name], 2) for name in ("queries", "keys", "values", "heads")}
        found |= {at + name: torch.stack(parts[name], 1) for name in ("scores", "pattern")}
        found[at + "head_outputs"] = torch.stack(parts["out"], 2)
        found[at + "attention"] = sum(parts["out"]) + attention.out.bias
        stream = stream + found[at + "attention"]
        found[at + "feed_forward_inputs"] = stream
        wide = block.feed_forward_norm(stream) @ feed_forward.expand.weight.T + feed_forward.expand.bias
        found[at + "neurons"] = wide * (1 + torch.erf(wide / 2**0.5)) / 2
        found[at + "feed_forward"] = found[at + "neurons"] @ feed_forward.contract.weight.T + feed_forward.contract.bias
        stream = stream + found[at + "feed_forward"]
        found[at + "stream"] = stream
    found["final"] = functional.layer_norm(stream, (config.dim,), network.norm.weight, network.norm.bias)
    logits = network(codes)
    return found | {f"logits.{name}": logits[field] for field, name in enumerate(FIELDS)}


@pytest.mark.parametrize(("positions", "output"), [("absolute", "chain"), ("time", "mixed"), ("rotary", "independent")])
def test_all_places_equal_a_plain_implementation(positions: str, output: str) -> None:
    network, codes = make_network(positions, output), note_codes(2)
    found, plain = record(network, codes), plain_places(network, codes)
    assert list(found) == inside.places(network)
    assert set(plain) == set(found)
    for name, expected in plain.items():
        torch.testing.assert_close(
            found[name], expected, rtol=0, atol=2e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("name", NAMES)
def test_an_identity_edit_keeps_the_output(name: str) -> None:
    network, codes = make_network(), note_codes(2)
    same = edited(network, {name: lambda activations: activations + 0})
    for ours, theirs in zip(same(codes), network(codes), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def halved(activations: Tensor) -> Tensor:
    """A nonlinear change, since norms undo a factor; minus infinity stays."""
    return torch.where(activations == -torch.inf, activations, activations * 0.2 + activations.abs())


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_an_edit_is_applied_in_packed_decoding_as_in_one_pass(name: str) -> None:
    network, codes = make_network(), note_codes(3)
    for edit in (
        inside.combine({name: halved}),
        inside.where({name: halved}, inside.notes("cello", beats=(4, None))),
        inside.ramp({name: halved}, (3, 9)),
    ):
        changed = edited(network, edit)
        packed, cache = pack(changed), Cache(network.config, 3)
        whole, parts = changed(codes), []
        for place in range(codes.shape[1]):
            hidden = packed.hidden(codes[:, place : place + 1], cache=cache)[:, -1]
            following = codes[:, place + 1] if place + 1 < codes.shape[1] else torch.zeros_like(codes[:, 0])
            parts.append([packed.heads.field(field, hidden, following) for field in range(6)])
        for field, logits in enumerate(whole):
            found = torch.stack([part[field] for part in parts], 1)
            torch.testing.assert_close(found, logits, rtol=0, atol=2e-5)
        plain = network(codes)
        assert any((one - other).abs().max() > 1e-3 for one, other in zip(whole, plain, strict=True))


COMPILED = ("heads", "attention", "feed_forward_inputs", "neurons", "feed_forward", "stream")


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("layers.0")])
def test_a_block_is_compiled_only_if_the_decoder_stops_for_its_edits(name: str) -> None:
    packed = pack(edited(make_network(), {name: halved}))
    assert [isinstance(block, PackedBlock) for block in packed.blocks] == [name.split(".")[-1] in COMPILED, True]
    # PyTorch computes blocks with any hook that is not an edit.
    network = make_network()
    network.get_submodule(all_places(network)[name]).register_forward_hook(lambda module, inputs, output: output)
    assert [isinstance(block, PackedBlock) for block in pack(network).blocks] == [False, True]


@torch.inference_mode()
def test_the_functions_of_an_edit_get_only_the_new_events() -> None:
    seen = []
    network = edited(make_network(), {"layers.1.stream": lambda stream: seen.append(tuple(stream.shape)) or stream})
    packed, cache = pack(network), Cache(network.config, 2)
    one_by_one(packed, note_codes(2, 5), cache)
    assert seen == [(2, 1, 48)] * 5


@torch.inference_mode()
def test_conditions_see_the_events_of_their_own_row() -> None:
    network, codes = make_network(), note_codes(3)
    codes[1, :, INSTRUMENT] = CELLO
    changed = edited(network, inside.where({"layers.0.neurons": halved}, inside.notes("cello")))
    torch.testing.assert_close(pack(changed).hidden(codes), changed.hidden(codes), rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", [name for name in NAMES if "1" in name or "." not in name or "logits" in name])
@torch.inference_mode()
def test_a_row_is_bit_identical_in_any_batch_with_an_edit(name: str) -> None:
    network, codes = edited(make_network(), {name: halved}), note_codes(4, 30)
    together, alone = Cache(network.config, 4), [Cache(network.config, 1) for _ in range(4)]
    packed = pack(network)
    # Rows of different lengths, as after windows have moved.
    starts = [0, 3, 3, 5]
    for row, start in enumerate(starts):
        if start:
            packed.hidden(codes[row : row + 1, :start], cache=together.row(row))
            packed.hidden(codes[row : row + 1, :start], cache=alone[row])
        together.lengths[row] = start
    for step in range(20):
        events = torch.stack([codes[row, start + step] for row, start in enumerate(starts)])[:, None]
        hidden = packed.hidden(events, cache=together)
        for row in range(4):
            assert torch.equal(packed.hidden(events[row : row + 1], cache=alone[row])[0], hidden[row]), name


def test_conditions_select_by_instrument_beat_and_position_in_the_piece() -> None:
    network, codes = make_network(), note_codes(2)
    seen = record(edited(network, {}), codes, ["final"])["final"]
    edit = inside.add("final", torch.ones(48))
    for condition, expected in (
        (inside.notes("cello"), (codes[..., INSTRUMENT] == CELLO)),
        (inside.notes(["cello", "violin"], beats=(3, 5)), (codes[..., BEAT] >= 4) & (codes[..., BEAT] < 6)),
        (inside.notes(pitches=(60, 72)), (codes[..., PITCH] >= 61) & (codes[..., PITCH] < 73)),
        (inside.at((3, 7)), (torch.arange(24) >= 3) & (torch.arange(24) < 7)),
        (inside.at([2, 5]) | ~inside.at((4, None)), torch.tensor([place in (0, 1, 2, 3, 5) for place in range(24)])),
    ):
        found = record(edited(network, inside.where(edit, condition)), codes, ["final"])["final"] - seen
        torch.testing.assert_close(
            found, expected.expand(2, 24)[..., None].float().expand(found.shape), rtol=0, atol=1e-5
        )


def test_a_ramp_changes_linearly_between_its_beats() -> None:
    network, codes = make_network(), note_codes(1)
    edit = inside.ramp(inside.add("final", torch.ones(48)), (2, 6), (0.5, 2.5))
    found = record(edited(network, edit), codes, ["final"])["final"] - record(network, codes, ["final"])["final"]
    beats = torch.arange(24) // 2
    expected = torch.tensor(
        [0.5 if beat <= 2 else 2.5 if beat >= 6 else 0.5 + (beat - 2) / 2 for beat in beats.tolist()]
    )
    torch.testing.assert_close(found[0, :, 0], expected, rtol=0, atol=1e-5)
    double = inside.scale(inside.add("final", torch.ones(48)), 2.0)
    found = record(edited(network, double), codes, ["final"])["final"] - record(network, codes, ["final"])["final"]
    torch.testing.assert_close(found, torch.full_like(found, 2), rtol=0, atol=1e-5)


def test_knocked_out_edges_have_no_weight_and_the_others_sum_to_one() -> None:
    network, codes = make_network(), note_codes(2)
    plain = record(network, codes, ["layers.1.pattern"])["layers.1.pattern"]
    violin, cello = (codes[0, :, INSTRUMENT] == code for code in (VIOLIN, CELLO))
    edges = violin[:, None] & cello[None]
    for renormalise in (True, False):
        edit = inside.knock_out(
            1, [0], queries=inside.notes("violin"), keys=inside.notes("cello"), renormalise=renormalise
        )
        pattern = record(edited(network, edit), codes, ["layers.1.pattern"])["layers.1.pattern"]
        expected = plain.clone()
        expected[:, 0] = expected[:, 0] * ~edges
        if renormalise:
            expected[:, 0] /= expected[:, 0].sum(-1, keepdim=True)
        torch.testing.assert_close(pattern, expected, rtol=0, atol=1e-6)


def test_a_query_without_keys_attends_to_nothing() -> None:
    network, codes = make_network(), note_codes(1)
    found = record(edited(network, inside.knock_out(0)), codes, ["layers.0.heads", "layers.0.pattern"])
    assert not found["layers.0.heads"].any()
    assert not found["layers.0.pattern"].any()


def test_only_the_knocked_out_path_is_not_read() -> None:
    network, codes = make_network(), note_codes(1)
    plain = plain_places(network, codes)
    edit = inside.knock_out_path((0, 1), (1, 0), ["queries", "values"])
    found = record(edited(network, edit), codes, ["layers.1.queries", "layers.1.keys", "layers.1.values"])
    attention, block = network.blocks[1].attention, network.blocks[1]
    rotation = rotation_of(torch.arange(24), codes, network.config, torch.float32)
    read = plain["layers.0.stream"] - plain["layers.0.head_outputs"][:, :, 1]
    weight = attention.queries_keys_values.weight
    query = rotate((block.attention_norm(read) @ weight[:16].T)[:, None], rotation)[:, 0]
    torch.testing.assert_close(found["layers.1.queries"][:, :, 0], query, rtol=0, atol=2e-5)
    value = block.attention_norm(read) @ weight[64:80].T
    torch.testing.assert_close(found["layers.1.values"][:, :, 0], value, rtol=0, atol=2e-5)
    for name in ("queries", "values"):
        torch.testing.assert_close(
            found[f"layers.1.{name}"][:, :, 1], plain[f"layers.1.{name}"][:, :, 1], rtol=0, atol=2e-5
        )
    torch.testing.assert_close(found["layers.1.keys"], plain["layers.1.keys"], rtol=0, atol=2e-5)


def test_mean_and_resample_ablation_and_patching_replace_only_their_places() -> None:
    network, codes, place = make_network(), note_codes(2), "layers.1.heads"
    plain = record(network, codes, [place])[place]
    values = torch.arange(2 * 16.0).view(2, 16)
    found = record(edited(network, inside.replace(place, values, heads=[1])), codes, [place])[place]
    torch.testing.assert_close(found[:, :, 1], values[1].expand(2, 24, 16))
    torch.testing.assert_close(found[:, :, 0], plain[:, :, 0])
    other = torch.randn(10, 2, 16)
    found = record(edited(network, inside.patch(place, other, heads=[0], events=[3, 9])), codes, [place])[place]
    expected = plain.clone()
    expected[:, [3, 9], 0] = other[[3, 9], 0]
    torch.testing.assert_close(found, expected)
    whole = record(edited(network, inside.patch(place, other)), codes, [place])[place]
    torch.testing.assert_close(whole[:, 10:], plain[:, 10:])
    torch.testing.assert_close(whole[:, :10], other.expand(2, 10, 2, 16))
    drawn = record(edited(network, inside.resample(place, other, seed=1)), codes, [place])[place]
    assert all((other == row).flatten(1).all(1).any() for row in drawn[0])
    assert len(drawn[0].unique(dim=0)) > 3


@torch.inference_mode()
def test_a_resample_is_the_same_with_and_without_a_cache() -> None:
    network, codes = make_network(), note_codes(2)
    changed = edited(network, inside.resample("layers.1.stream", torch.randn(10, 48), seed=1))
    found = one_by_one(pack(changed), codes, Cache(network.config, 2))
    torch.testing.assert_close(found, changed.hidden(codes), rtol=0, atol=1e-5)


def test_beats_are_those_of_the_piece_when_the_window_has_moved() -> None:
    model, beats = mmt.new_model("tiny", seed=3), []

    def look(stream: Tensor, context: Context) -> Tensor:
        if context.shape[1] == 1:
            beats.append(int(context.beats[0, 0]))
        return stream

    piece = model.generate(seed=5, min_beats=300, max_beats=400, edit={"final": look})[0]
    notes = piece[piece[:, TYPE] == NOTE]
    read = [beat for beat in beats if beat >= 0]
    assert read == [*(notes[: len(read), BEAT] - 1)]
    assert read[-1] > 2 * model.network.config.sizes[BEAT]


def test_edits_have_equal_names_exactly_if_they_are_equal() -> None:
    def names(edit: inside.Edit) -> list[str]:
        return inside.edits_of(edited(make_network(), edit))

    def make(first: int, instrument: str) -> inside.Edit:
        return inside.where(inside.add("final", np.ones(48)), inside.notes(instrument, beats=(first, None)))

    assert names(make(3, "cello")) == names(make(3, "cello"))
    assert len({*map(tuple, (names(make(3, "cello")), names(make(4, "cello")), names(make(3, "violin"))))}) == 3
    assert names(inside.replace("final", 0.0)) == names(inside.replace("final", 0.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: inside.notes("celo"), "'celo' is not an instrument; choose among piano"),
        (lambda: inside.where({"final": halved}, inside.at([1]), keys=inside.at([1])), "the place final has none"),
        (lambda: inside.where({"final": halved}, lambda context: 1), "condition is .*; give mmt.inside.notes"),
        (lambda: inside.ramp({"final": halved}, (4, 4)), r"beats is \(4, 4\); the second must be after the first"),
        (lambda: inside.knock_out_path((1, 0), (1, 1)), "give a head of a higher layer as the target"),
        (lambda: inside.knock_out_path((0, 0), (1, 1), ["query"]), "inputs has 'query'; choose among queries, keys"),
        (lambda: inside.replace("layers.0.pattern", 0.0), "has an axis of keys; use knock_out"),
        (
            lambda: record(edited(make_network(), inside.replace("final", np.ones(3))), note_codes(1)),
            r"shape \(3,\); expected",
        ),
        (
            lambda: record(edited(make_network(), inside.replace("final", 0.0, heads=[0])), note_codes(1)),
            "no axis of heads",
        ),
        (
            lambda: record(edited(make_network(), inside.replace("layers.0.heads", 0.0, heads=[2])), note_codes(1)),
            "has no head 2",
        ),
        (lambda: inside.ablate((0, 2)).steps[0].function(torch.ones(1, 1, 2, 4)), "heads has no head 2; it has 2"),
        (lambda: inside.ablate((0, -1)).steps[0].function(torch.ones(1, 1, 2, 4)), "heads has no head -1; it has 2"),
    ],
)
def test_invalid_conditions_and_changes_raise(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_logits_without_events_raise_if_an_edit_needs_the_events() -> None:
    network = edited(make_network(), inside.where({"logits.pitch": halved}, inside.notes()))
    hidden = network.hidden(note_codes(1))
    with pytest.raises(
        ValueError, match=r"the edit at logits.pitch needs the events that are read.*apply it in generate"
    ):
        network.heads(hidden[0, :7], note_codes(1)[0, :7])
