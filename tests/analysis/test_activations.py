"""Activations and edits of a network: identities between places, generation with edits, and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import mmt
from mmt.sampling.model import Model


@pytest.fixture(scope="module")
def model() -> Model:
    return mmt.new_model("tiny", seed=3)


@pytest.fixture(scope="module")
def piece() -> np.ndarray:
    return mmt.encode(mmt.read("data/tiny/mayer_quartet_in_g_minor.mid"))[:60]


def test_stream_is_the_sum_of_embedding_attention_and_feed_forward(model: Model, piece: np.ndarray) -> None:
    found = mmt.activations(model, piece)
    parts = ("heads", "attention", "feed_forward", "stream")
    assert list(found) == ["embedding", *(f"layers.{layer}.{part}" for layer in (0, 1) for part in parts), "final"]
    stream = found["embedding"]
    for layer in range(model.network.config.layers):
        stream = stream + found[f"layers.{layer}.attention"] + found[f"layers.{layer}.feed_forward"]
        np.testing.assert_allclose(found[f"layers.{layer}.stream"], stream, atol=1e-5)
    hidden = model.network.hidden(torch.from_numpy(piece[None]))[0]
    np.testing.assert_allclose(found["final"], hidden.detach().numpy(), atol=1e-6)


def test_embedding_is_the_sum_of_the_vectors_of_the_codes(model: Model, piece: np.ndarray) -> None:
    found = mmt.activations(model, piece, ["embedding"])
    assert list(found) == ["embedding"]
    tables = [table.weight.detach().numpy() for table in model.network.embeddings]
    np.testing.assert_allclose(found["embedding"], sum(t[c] for t, c in zip(tables, piece.T, strict=True)), atol=1e-6)


def test_head_output_is_weights_times_values(model: Model, piece: np.ndarray) -> None:
    found, weights = mmt.activations(model, piece), mmt.attention.weights(model, piece)
    attention = model.network.blocks[1].attention
    inputs = model.network.blocks[1].attention_norm(torch.from_numpy(found["layers.0.stream"]))
    config = model.network.config
    _, _, values = attention.queries_keys_values(inputs).view(-1, 3, config.heads, config.head_dim).unbind(1)
    expected = np.einsum("hqk,khd->qhd", weights[1], values.detach().numpy())
    np.testing.assert_allclose(found["layers.1.heads"], expected, atol=1e-5)


def test_identity_edit_keeps_the_output_and_others_change_it(model: Model) -> None:
    plain = model.generate(n=3, seed=1, max_events=40)
    nothing = {place: lambda passing: passing + 0 for place in mmt.inside.places(model.network)}
    for ours, theirs in zip(model.generate(n=3, seed=1, max_events=40, edit=nothing), plain, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for place in mmt.activations(model, plain[0]):
        edited = model.generate(seed=1, max_events=40, edit={place: lambda passing: -3 * passing})
        assert len(edited[0]) != len(plain[0]) or (edited[0] != plain[0]).any(), place


def test_stream_equals_generate_with_an_edit(model: Model) -> None:
    edit = mmt.inside.ablate((0, 1), (1, 0))
    whole = model.generate(seed=4, max_events=30, edit=edit)[0]
    np.testing.assert_array_equal(np.stack(list(model.stream(seed=4, max_events=30, edit=edit))), whole[1:])


def test_edits_give_the_same_result_with_and_without_cache(model: Model, piece: np.ndarray) -> None:
    from mmt.model.cache import Cache

    edit = mmt.inside.ablate((0, 1)) & mmt.inside.add("layers.0.stream", torch.ones(32), 0.1)
    network, codes = model.edited(edit).network, torch.from_numpy(piece[None, :20])
    cache = Cache(network.config, 1)
    with torch.inference_mode():
        whole = network.hidden(codes)
        parts = [network.hidden(codes[:, :9], cache=cache)]
        parts += [network.hidden(codes[:, place : place + 1], cache=cache) for place in range(9, 20)]
    np.testing.assert_allclose(torch.cat(parts, dim=1).numpy(), whole.numpy(), atol=1e-5)


def test_ablated_head_adds_nothing_to_the_stream(model: Model, piece: np.ndarray) -> None:
    edit = mmt.inside.ablate((1, 0))
    found, plain = mmt.activations(model.edited(edit), piece), mmt.activations(model, piece)
    out = model.network.blocks[1].attention.out
    of_head_1 = plain["layers.1.heads"][:, 1] @ out.weight.detach().numpy()[:, 16:].T + out.bias.detach().numpy()
    np.testing.assert_allclose(found["layers.1.attention"], of_head_1, atol=1e-5)
    np.testing.assert_array_equal(found["layers.0.stream"], plain["layers.0.stream"])


def test_edits_leave_the_model_unchanged_and_compose(model: Model, piece: np.ndarray) -> None:
    before = mmt.activations(model, piece)["final"]
    edited = model.edited(mmt.inside.add("final", np.ones(32)))
    model.generate(seed=1, max_events=20, edit=mmt.inside.ablate((0, 0)))
    np.testing.assert_array_equal(mmt.activations(model, piece)["final"], before)
    assert edited.network.norm.weight is model.network.norm.weight
    assert list(edited.network.state_dict()) == list(model.network.state_dict())
    # An edited model can be inspected and edited again.
    twice = edited.edited(mmt.inside.add("final", np.ones(32), 2.0))
    np.testing.assert_allclose(mmt.activations(twice, piece)["final"], before + 3, atol=1e-5)


def test_combined_edits_of_one_place_are_all_applied(model: Model, piece: np.ndarray) -> None:
    inside, place = mmt.inside, "layers.0.heads"
    both, direction = inside.ablate((0, 0), (0, 1)), np.arange(16.0)
    for edit in (
        inside.ablate((0, 0)) & inside.ablate((0, 1)),
        inside.ablate((0, 0)) | inside.ablate((0, 1)),
        inside.combine(inside.ablate((0, 0)), inside.ablate((0, 1))),
        {place: lambda heads: heads * torch.tensor([[0.0], [1.0]])} | inside.ablate((0, 1)),
    ):
        found = mmt.activations(model.edited(edit), piece)["final"]
        np.testing.assert_array_equal(found, mmt.activations(model.edited(both), piece)["final"])
    # At one place the order matters: an ablation removes what was added before it, and keeps what is added after it.
    first = mmt.activations(model.edited(inside.add(place, direction) & both), piece, [place])[place]
    last = mmt.activations(model.edited(both & inside.add(place, direction)), piece, [place])[place]
    assert (first == 0).all()
    np.testing.assert_array_equal(last, np.broadcast_to(direction, last.shape))


def test_edits_refuse_to_become_a_dict_which_would_lose_edits() -> None:
    first, second = mmt.inside.ablate((0, 0)), mmt.inside.add("layers.0.heads", np.ones(16))
    for union in (lambda: {**first, **second}, lambda: dict(first), lambda: {"final": abs} | dict(second)):
        with pytest.raises(ValueError, match=r"join edits by mmt\.inside\.combine\(a, b\), or a & b"):
            union()


def test_an_edit_keeps_a_copy_of_its_direction(model: Model, piece: np.ndarray) -> None:
    direction = np.ones(32)
    edited = model.edited(mmt.inside.add("final", direction))
    before = mmt.activations(edited, piece)["final"]
    direction[:] = 5
    np.testing.assert_array_equal(mmt.activations(edited, piece)["final"], before)


@pytest.mark.parametrize("heads", [([(0, 1)],), (0, 1), ((0, 1, 2),), ("ab",), ((0.5, 1),)])
def test_ablate_refuses_what_is_not_a_head(heads: tuple[object, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"is not a head; give each head as a pair \(layer, head\): ablate\(\(0, 1\)\)"
    ):
        mmt.inside.ablate(*heads)  # type: ignore[arg-type]


def test_an_edited_model_is_not_saved_without_its_edits(model: Model, tmp_path: Path) -> None:
    for edit in (mmt.inside.ablate((0, 0)), {"final": lambda stream: 2 * stream}):
        edited = model.edited(edit)
        with pytest.raises(
            ValueError, match=r"is edited inside .*save the plain model, and apply the edit after loading"
        ):
            edited.save(tmp_path / "edited")
        assert not any(tmp_path.iterdir())
        assert "edited at" in repr(edited)
    model.save(tmp_path / "plain")
    assert "edited" not in repr(model)


def test_adding_a_pitch_direction_makes_that_pitch_more_frequent(model: Model) -> None:
    """The direction is the row of the output matrix for that pitch, added to the final stream."""
    pitch = 1 + 72
    direction = model.network.heads.fields[3].weight[pitch].detach()
    direction = 100 * direction / direction.norm()
    edited = model.generate(n=4, seed=1, max_events=40, edit=mmt.inside.add("final", direction))
    plain = model.generate(n=4, seed=1, max_events=40)

    def share(pieces: list[np.ndarray]) -> float:
        notes = np.concatenate(pieces)
        return float((notes[notes[:, 0] == 3, 3] == pitch).mean())

    assert share(edited) > share(plain) + 0.2


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            {"layers.7.stream": lambda passing: passing},
            "layers.7.stream: the network has no layer 7; it has",
        ),
        (
            {"final": lambda passing: passing[..., :3]},
            r"edit at final returned a tensor .* for a tensor .*keep the shape",
        ),
        ({"final": lambda passing: None}, "returned NoneType for a tensor"),
        (mmt.inside.add("final", np.ones(31)), r"the direction at final has the shape \(31,\); expected \(32,\)"),
        (mmt.inside.ablate((0, 5)), "layers.0.heads has no head 5; it has 2"),
        ({"final": 3}, "the edit at final is 3; give a function"),
        (abs, "an edit is the function abs; give mmt.inside.ablate"),
    ],
)
def test_invalid_edits_raise(model: Model, edit: dict[str, Callable[[Tensor], Tensor]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.generate(seed=1, max_events=10, edit=edit)


def test_unknown_places_and_long_pieces_raise(model: Model, piece: np.ndarray) -> None:
    with pytest.raises(ValueError, match="unknown place 'stream'"):
        mmt.activations(model, piece, ["stream"])
    with pytest.raises(ValueError, match="more than the model's context"):
        mmt.activations(model, np.repeat(piece, 100, axis=0))
    with pytest.raises(ValueError, match="no head was given"):
        mmt.inside.ablate()


def test_places_of_a_model_are_those_of_its_network(model: Model) -> None:
    assert mmt.inside.places(model) == mmt.inside.places(model.network)
