"""Attention weights: shapes, laws and errors."""

from __future__ import annotations

import numpy as np
import pytest

import mmt
from mmt.sampling.model import Model


@pytest.fixture(scope="module")
def model() -> Model:
    return mmt.new_model("tiny", seed=3)


@pytest.fixture(scope="module")
def piece() -> np.ndarray:
    return mmt.encode(mmt.read("data/tiny/mayer_quartet_in_g_minor.mid"))[:60]


def test_weights_of_a_query_sum_to_one_over_itself_and_earlier_events(model: Model, piece: np.ndarray) -> None:
    layers = mmt.attention.weights(model, piece)
    config = model.network.config
    assert len(layers) == config.layers
    for layer in layers:
        assert layer.shape == (config.heads, len(piece), len(piece))
        np.testing.assert_allclose(layer.sum(axis=-1), 1, atol=1e-5)
        assert (layer >= 0).all()
        assert not np.triu(layer, 1).any()


def test_later_events_do_not_change_the_weights(model: Model, piece: np.ndarray) -> None:
    for whole, part in zip(mmt.attention.weights(model, piece), mmt.attention.weights(model, piece[:20]), strict=True):
        np.testing.assert_allclose(whole[:, :20, :20], part, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda piece: piece[:, :5], r"\(n, 6\)"),
        (lambda piece: piece[:0], r"\(n, 6\)"),
        (lambda piece: piece.astype(float), "integers"),
        (lambda piece: np.repeat(piece, 100, axis=0), "more than the model's context"),
        (lambda piece: piece + np.array([0, 0, 0, 0, 0, 70]), "row 0: instrument is 70; the model has codes 0 to 64"),
    ],
)
def test_events_that_the_network_cannot_read_raise(
    model: Model, piece: np.ndarray, change: object, message: str
) -> None:
    assert callable(change)
    with pytest.raises(ValueError, match=message):
        mmt.attention.weights(model, change(piece))
