"""Top-K sparse autoencoders: the equations, dead features, files, and the events that activate a feature."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import mmt
from mmt.analysis.inside import features
from mmt.analysis.inside.features import SparseAutoencoder
from mmt.analysis.inside.store import ActivationStore

PLACE = "layers.0.stream"


@pytest.fixture(scope="module")
def corpus(tiny_folder: Path) -> mmt.Corpus:
    return mmt.Corpus(tiny_folder)


@pytest.fixture(scope="module")
def store(corpus: mmt.Corpus, tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    model = mmt.new_model("tiny", seed=3)
    return mmt.activations(model, corpus, [PLACE, "layers.0.heads"], output=tmp_path_factory.mktemp("features") / "all")


@pytest.fixture(scope="module")
def autoencoder(store: ActivationStore) -> SparseAutoencoder:
    return features.train_autoencoder(store, PLACE, features=64, k=4, rows=60_000, batch_size=128, dead_after=2000)


def plain_encode(weights: dict[str, np.ndarray], x: np.ndarray, k: int) -> np.ndarray:
    before = (x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    found = np.zeros_like(before)
    for row, values in enumerate(before):
        for feature in sorted(range(len(values)), key=lambda number: -values[number])[:k]:
            found[row, feature] = max(values[feature], 0.0)
    return found


def test_a_saved_autoencoder_computes_the_documented_equations(
    autoencoder: SparseAutoencoder, store: ActivationStore, tmp_path: Path
) -> None:
    autoencoder.save(tmp_path / "sae")
    weights = {name: value.numpy() for name, value in load_file(tmp_path / "sae" / "sae_weights.safetensors").items()}
    assert {name: value.shape for name, value in weights.items()} == {
        "W_enc": (32, 64),
        "W_dec": (64, 32),
        "b_enc": (64,),
        "b_dec": (32,),
    }
    config = json.loads((tmp_path / "sae" / "cfg.json").read_text())
    assert (config["architecture"], config["d_in"], config["d_sae"], config["k"]) == ("topk", 32, 64, 4)
    x = store.read(PLACE, slice(0, 50))
    found = plain_encode(weights, x, 4)
    again = features.load_autoencoder(tmp_path / "sae")
    np.testing.assert_allclose(again.encode(torch.from_numpy(x)).detach(), found, atol=1e-4)
    np.testing.assert_allclose(
        again(torch.from_numpy(x)).detach(), found @ weights["W_dec"] + weights["b_dec"], atol=1e-4
    )
    assert again.place == PLACE
    np.testing.assert_allclose(np.linalg.norm(weights["W_dec"], axis=1), 1, atol=1e-5)
    with pytest.raises(ValueError, match="not empty"):
        autoencoder.save(tmp_path / "sae")
    (tmp_path / "sae" / "cfg.json").write_text(json.dumps(config | {"normalize_activations": "layer_norm"}))
    with pytest.raises(ValueError, match="normalize_activations 'layer_norm'"):
        features.load_autoencoder(tmp_path / "sae")
    with pytest.raises(ValueError, match="no Top-K autoencoder"):
        features.load_autoencoder(tmp_path)


def test_loss_follows_its_equation_and_only_dead_features_learn_from_the_error() -> None:
    model = SparseAutoencoder(6, 10, 2, seed=1)
    x = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    dead = torch.zeros(10, dtype=torch.bool)
    dead[[1, 4]] = True
    loss, active = features.training_loss(model, x, dead)
    weights = {name: value.detach().numpy() for name, value in model.named_parameters()}
    values = x.numpy()
    found = plain_encode(weights, values, 2)
    error = values - found @ weights["W_dec"] - weights["b_dec"]
    before = (values - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    of_dead = np.zeros_like(before)
    of_dead[:, [1, 4]] = np.maximum(before[:, [1, 4]], 0)
    missed = ((error - of_dead @ weights["W_dec"]) ** 2).sum() / (error**2).sum()
    expected = (error**2).sum() / ((values - values.mean(0)) ** 2).sum() + missed / 32
    assert loss.item() == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_array_equal(active, (found > 0).any(0))
    alone, _ = features.training_loss(model, x, torch.zeros(10, dtype=torch.bool))
    gradient = torch.autograd.grad(loss - alone, model.W_enc)[0].abs().sum(0)
    assert (gradient[~dead] < 1e-6).all()
    assert (gradient[dead] > 0).all()


def test_training_reconstructs_and_measure_agrees_with_the_rows_in_memory(
    autoencoder: SparseAutoencoder, store: ActivationStore
) -> None:
    quality = features.measure(autoencoder, store, pieces=[0, 1])
    x = store.read(PLACE, np.flatnonzero(store.labels("piece") < 2)).astype(np.float64)
    weights = {name: value.double().numpy() for name, value in autoencoder.state_dict().items()}
    found = plain_encode(weights, x, 4)
    error = x - found @ weights["W_dec"] - weights["b_dec"]
    assert quality.unexplained == pytest.approx((error**2).sum() / ((x - x.mean(0)) ** 2).sum(), rel=1e-3)
    np.testing.assert_allclose(quality.rates, (found > 0).mean(0), atol=2e-3)
    assert quality.active == pytest.approx((found > 0).sum(1).mean(), abs=1e-2)
    assert quality.dead == (quality.rates == 0).mean()
    blank = SparseAutoencoder(32, 64, 4, place=PLACE)
    assert quality.unexplained < 0.5 < features.measure(blank, store).unexplained


def test_top_events_are_the_largest_of_all(autoencoder: SparseAutoencoder, store: ActivationStore) -> None:
    x = torch.from_numpy(store.read(PLACE))
    values = autoencoder.encode(x).numpy()
    feature = int((values > 0).sum(0).argmax())
    piece, event = store.labels("piece"), store.labels("event")
    order = np.argsort(-values[:, feature])[:5]
    found = features.top_events(autoencoder, store, feature, 5, one_per_piece=False)
    assert [(lit.piece, lit.event) for lit in found] == [(piece[row], event[row]) for row in order]
    np.testing.assert_allclose([lit.activation for lit in found], values[order, feature], atol=1e-4)
    best = features.top_events(autoencoder, store, feature, 9)
    assert best[0] == found[0]
    assert len({lit.piece for lit in best}) == len(best)
    with pytest.raises(ValueError, match="feature is 64"):
        features.top_events(autoencoder, store, 64)


def test_an_excerpt_has_the_notes_around_the_event_and_is_a_piece(corpus: mmt.Corpus) -> None:
    piece = corpus[0]
    event = int(np.flatnonzero(piece[:, 0] == 3)[100])
    around = features.excerpt(piece, event, beats=2)
    assert mmt.is_valid(around)
    near = [row for row in piece.tolist() if row[0] == 3 and abs(row[1] - piece[event, 1]) <= 2]
    shift = near[0][1] - 1
    expected = [[row[0], row[1] - shift, *row[2:]] for row in near]
    assert around[around[:, 0] == 3].tolist() == expected
    with pytest.raises(ValueError, match="no note"):
        features.excerpt(piece, 0)


def test_batches_hold_every_row_once_per_pass(store: ActivationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_BLOCKS", 3)
    rows = np.arange(2048)
    batches = features._batches(store, PLACE, rows, 64, np.random.default_rng(0))
    seen = torch.cat([next(batches) for _ in range(32)]).numpy()
    expected = store.read(PLACE, rows)
    np.testing.assert_array_equal(np.sort(seen[:, 0]), np.sort(expected[:, 0]))
    assert not np.array_equal(seen, expected)
    with pytest.raises(ValueError, match="choose a place with one axis"):
        features.train_autoencoder(store, "layers.0.heads")
    with pytest.raises(ValueError, match="no rows"):
        features.train_autoencoder(store, PLACE, pieces=[99])
    with pytest.raises(ValueError, match="k is 0"):
        SparseAutoencoder(4, 8, 0)
