"""Attribution against plain implementations, and laws: parts sum to the whole, patching everything gives the source."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_corpora import TINY

import mmt
from mmt.analysis.inside import attribution
from mmt.model.checkpoint import Checkpoint
from mmt.model.config import NetworkConfig
from mmt.model.network import Network
from mmt.representation.codes import FIELDS, PAPER, PITCH
from mmt.sampling.model import Model


def make_model(output: str) -> Model:
    config = NetworkConfig(
        sizes=PAPER.sizes, dim=32, layers=3, heads=2, head_dim=16, context=128, positions="rotary", output=output
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        network = Network(config).eval()
        for name, parameter in network.named_parameters():
            if "mix" in name or name.startswith("norm"):
                torch.nn.init.normal_(parameter, mean=float("norm.weight" in name), std=0.3)
    return Model(Checkpoint(network, PAPER, {}))


@pytest.fixture(scope="module", params=["independent", "chain", "mixed"])
def model(request: pytest.FixtureRequest) -> Model:
    return make_model(request.param)


@pytest.fixture(scope="module")
def piece() -> np.ndarray:
    return mmt.encode(mmt.read(TINY / "mayer_quartet_in_g_minor.mid"))[:40]


@pytest.fixture(scope="module")
def other(piece: np.ndarray) -> np.ndarray:
    """The same piece with one pitch changed."""
    other = piece.copy()
    other[20, PITCH] += 7
    return other


def true_logits(model: Model, piece: np.ndarray) -> list[np.ndarray]:
    codes = torch.from_numpy(piece)
    with torch.inference_mode():
        hidden = model.network.hidden(codes[None])[0, :-1]
        return [logits.double().numpy() for logits in model.network.heads(hidden, codes[1:])]


def test_the_last_row_of_the_lens_is_the_prediction_of_the_model(model: Model, piece: np.ndarray) -> None:
    found = attribution.logit_lens(model, piece)
    losses = mmt.likelihood.events(model, piece)[0]
    for field, name in enumerate(FIELDS):
        true = np.take_along_axis(found[name][-1], piece[1:, field, None], 1)[:, 0]
        counted = ~np.isnan(losses.nats[1:, field])
        np.testing.assert_allclose(-true[counted], losses.nats[1:, field][counted], atol=1e-4)


def test_the_lens_equals_a_plain_one(model: Model, piece: np.ndarray) -> None:
    found = attribution.logit_lens(model, piece, "pitch")["pitch"]
    activations, network = mmt.activations(model, piece), model.network
    for depth, place in enumerate(["embedding", "layers.0.stream", "layers.1.stream", "layers.2.stream"]):
        stream = activations[place].astype(np.float64)[:-1]
        stream = (stream - stream.mean(1, keepdims=True)) / np.sqrt(stream.var(1, keepdims=True) + network.norm.eps)
        hidden = torch.from_numpy(stream * network.norm.weight.detach().numpy() + network.norm.bias.detach().numpy())
        for place_ in range(0, len(hidden), 7):
            event = torch.from_numpy(piece[place_ + 1])
            logits = network.heads.field(PITCH, hidden[place_].float(), event).detach().double()
            np.testing.assert_allclose(found[depth, place_], (logits - logits.exp().sum().log()).numpy(), atol=1e-4)


def test_direct_logits_sum_to_the_centred_logit_of_the_true_code(model: Model, piece: np.ndarray) -> None:
    found, logits = attribution.direct_logits(model, piece), true_logits(model, piece)
    assert len(found.components) == 1 + 3 * 4 + 2
    for field, name in enumerate(FIELDS):
        centred = logits[field] - logits[field].mean(1, keepdims=True)
        true = np.take_along_axis(centred, piece[1:, field, None], 1)[:, 0]
        np.testing.assert_allclose(found.values[name].sum(0), true, atol=1e-4)
    joint = found.values["pitch"][found.components.index("joint")]
    assert joint.any() == model.network.heads.reads_earlier_fields
    assert not found.values["type"][found.components.index("joint")].any()


def test_direct_logit_of_a_head_is_the_change_when_the_head_is_removed(model: Model, piece: np.ndarray) -> None:
    """Computed by NumPy from the stream with and without the head's output, with the scale of the last norm kept."""
    found = attribution.direct_logits(model, piece, "duration").values["duration"]
    names = attribution.direct_logits(model, piece, "duration").components
    run = mmt.activations(model, piece, ["layers.1.head_outputs", "layers.2.stream"])
    stream = run["layers.2.stream"].astype(np.float64)[:-1]
    without = stream - run["layers.1.head_outputs"][:-1, 1]
    norm, out = model.network.norm, model.network.heads.fields[4]
    weight = out.weight.detach().double().numpy()
    hidden = [
        (of - of.mean(1, keepdims=True))
        / np.sqrt(stream.var(1, keepdims=True) + norm.eps)
        * norm.weight.detach().numpy()
        for of in (stream, without)
    ]
    logits = (hidden[0] - hidden[1]) @ weight.T
    logits -= logits.mean(1, keepdims=True)
    expected = logits[np.arange(len(stream)), piece[1:, 4]]
    np.testing.assert_allclose(found[names.index("layers.1.heads.1")], expected, atol=1e-4)


def test_rollout_equals_a_plain_product_and_rows_sum_to_one(model: Model, piece: np.ndarray) -> None:
    found = attribution.rollout(model, piece)
    expected = np.eye(len(piece))
    for weights, rolled in zip(mmt.attention.weights(model, piece), found, strict=True):
        mixed = np.array([[weights[:, q, k].mean() for k in range(len(piece))] for q in range(len(piece))])
        expected = 0.5 * mixed @ expected + 0.5 * expected
        np.testing.assert_allclose(rolled, expected, atol=1e-6)
        np.testing.assert_allclose(rolled.sum(1), 1, atol=1e-5)


def measure(model: Model, hidden: torch.Tensor, piece: np.ndarray, event: int) -> float:
    target = torch.from_numpy(piece[event])
    return float(
        model.network.heads.field(PITCH, hidden[0, -1], target).detach().double().log_softmax(-1)[target[PITCH]]
    )


def test_patched_activations_equal_those_of_plain_hooks(model: Model, piece: np.ndarray, other: np.ndarray) -> None:
    found = attribution.patch_activations(
        model, piece, other, ["layers.0.stream", "layers.1.feed_forward"], field="pitch", event=30, batch_size=7
    )
    codes, source = (torch.from_numpy(of[None, :30]) for of in (piece, other))
    network = model.network
    for row, module in enumerate((network.blocks[0], network.blocks[1].feed_forward)):
        kept: list[torch.Tensor] = []
        handle = module.register_forward_hook(lambda _, __, output, kept=kept: kept.append(output.clone()))
        network.hidden(source)
        handle.remove()
        for event in (3, 20, 25):

            def patch(
                _: object, __: object, output: torch.Tensor, event: int = event, kept: list[torch.Tensor] = kept
            ) -> torch.Tensor:
                output = output.clone()
                output[:, event] = kept[0][:, event]
                return output

            handle = module.register_forward_hook(patch)
            expected = measure(model, network.hidden(codes), piece, 30)
            handle.remove()
            assert found.patched[row, event] == pytest.approx(expected, abs=1e-4)
    assert found.base == pytest.approx(measure(model, network.hidden(codes), piece, 30), abs=1e-4)


def test_patching_the_only_event_that_differs_at_the_embedding_gives_the_source(
    model: Model, piece: np.ndarray, other: np.ndarray
) -> None:
    found = attribution.patch_activations(model, piece, other, ["embedding"], field="pitch", event=-5)
    assert found.share[0, 20] == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(np.delete(found.share[0], 20), 0, atol=1e-3)
    np.testing.assert_allclose(found.patched[0, :20], found.base, atol=1e-5)


def test_patching_all_heads_is_patching_the_layer_and_patching_one_is_not(
    model: Model, piece: np.ndarray, other: np.ndarray
) -> None:
    common = {"field": "pitch", "event": 30}
    place = ["layers.1.heads"]
    both = attribution.patch_activations(model, piece, other, place, heads=[0, 1], **common)  # type: ignore[arg-type]
    whole = attribution.patch_activations(model, piece, other, place, **common)  # type: ignore[arg-type]
    one = attribution.patch_activations(model, piece, other, place, heads=[1], **common)  # type: ignore[arg-type]
    np.testing.assert_allclose(both.patched, whole.patched, atol=1e-6)
    assert np.abs(one.patched - whole.patched).max() > 1e-6


def test_a_patched_path_equals_a_plain_computation(model: Model, piece: np.ndarray, other: np.ndarray) -> None:
    found = attribution.patch_paths(
        model, piece, other, [(0, 1), (2, 0)], [(1, 0, "values"), (2, 1), "logits"], field="pitch", event=30
    )
    runs = [mmt.activations(model, of[:30], ["layers.0.head_outputs", "layers.0.stream"]) for of in (piece, other)]
    moved = runs[1]["layers.0.head_outputs"][:, 1] - runs[0]["layers.0.head_outputs"][:, 1]
    block = model.network.blocks[1]
    read = block.attention_norm(torch.from_numpy(runs[0]["layers.0.stream"] + moved))
    values = (read @ block.attention.queries_keys_values.weight[64:80].T).detach()
    edit = {"layers.1.values": lambda plain: torch.cat([values[None, :, None], plain[:, :, 1:]], 2)}
    network, codes = model.edited(edit).network, torch.from_numpy(piece[None, :30])
    assert found.patched[0, 0] == pytest.approx(measure(model, network.hidden(codes), piece, 30), abs=1e-5)
    assert found.patched[0, 0] != pytest.approx(found.base, abs=1e-9)
    direct = {"layers.2.stream": lambda stream: stream + torch.from_numpy(moved)}
    network = model.edited(direct).network
    assert found.patched[0, 2] == pytest.approx(measure(model, network.hidden(codes), piece, 30), abs=1e-5)
    assert np.isnan(found.patched[1, :2]).all()
    assert np.isfinite(found.patched[1, 2])


def test_a_path_between_equal_pieces_changes_nothing(model: Model, piece: np.ndarray) -> None:
    found = attribution.patch_paths(model, piece, piece, [(0, 0), (1, 1)], [(2, 0), "logits"], field="pitch")
    np.testing.assert_allclose(found.patched, found.base, atol=1e-5)
    with pytest.raises(ValueError, match="base and source have the same measure"):
        _ = found.share


def test_invalid_arguments_raise(model: Model, piece: np.ndarray) -> None:
    with pytest.raises(ValueError, match="base has 40 events and source 39; give pieces of equal length"):
        attribution.patch_activations(model, piece, piece[:-1], ["embedding"], field="pitch")
    with pytest.raises(ValueError, match=r"layers\.0\.pattern' cannot be patched"):
        attribution.patch_activations(model, piece, piece, ["layers.0.pattern"], field="pitch")
    with pytest.raises(ValueError, match="event is 40; choose one from 1 to 39"):
        attribution.patch_activations(model, piece, piece, ["embedding"], field="pitch", event=40)
    with pytest.raises(ValueError, match="is no receiver; give"):
        attribution.patch_paths(model, piece, piece, [(0, 0)], [(1, 5)], field="pitch")
    with pytest.raises(ValueError, match="there is no field 'pich'"):
        attribution.logit_lens(model, piece, "pich")
    with pytest.raises(ValueError, match="the piece has one event"):
        attribution.rollout(model, piece[:1])
