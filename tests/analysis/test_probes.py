"""Linear probes: the fit against scipy's, no leak between works, and a control task that is random."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

import mmt
from mmt.analysis.inside import probes
from mmt.analysis.inside.probes import _control_labels, _draw_folds, _majority, fit_logistic
from mmt.analysis.inside.store import ActivationStore

PLACE = "layers.0.stream"


@pytest.fixture(scope="module")
def store(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    model = mmt.new_model("tiny", seed=3)
    pieces = [piece[: 120 + 10 * index] for index, piece in enumerate(mmt.Corpus(tiny_folder))]
    return mmt.activations(model, pieces, ["embedding", PLACE], output=tmp_path_factory.mktemp("probes") / "all")


def test_the_fit_minimises_the_documented_loss() -> None:
    random = np.random.default_rng(0)
    values = random.normal(2.0, [1.0, 3.0, 0.5], (60, 3))
    targets = (values[:, 0] + random.normal(size=60) > 2).astype(np.int64) + (values[:, 1] > 4)
    scaled = (values - values.mean(0)) / values.std(0)

    def loss(parameters: np.ndarray) -> float:
        weights, bias = parameters[:9].reshape(3, 3), parameters[9:]
        scores = scaled @ weights.T + bias
        logarithms = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        return float(-logarithms[np.arange(60), targets].mean() + (weights**2).sum() / (2 * 60 * 0.5))

    best = minimize(loss, np.zeros(12), tol=1e-10).x[:9].reshape(3, 3)
    weights, bias = fit_logistic(values, targets, 3, 0.5)
    np.testing.assert_allclose(weights * values.std(0), best, atol=1e-3)
    shares = np.exp(values @ weights.T + bias)
    # At the minimum the mean probability of each class is its share (the bias has no penalty).
    np.testing.assert_allclose((shares / shares.sum(1, keepdims=True)).mean(0), np.bincount(targets) / 60, atol=1e-4)


def test_accuracy_is_that_of_probes_that_leave_out_one_work_at_a_time(store: ActivationStore) -> None:
    found = mmt.probes.probe(store, PLACE, "instrument", folds=len(store.names))
    labels, piece, values = store.labels("instrument"), store.labels("piece"), store.read(PLACE).astype(np.float64)
    kept = labels >= 0
    classes, targets = np.unique(labels[kept], return_inverse=True)
    piece, values = piece[kept], values[kept]
    shares, frequent = [], []
    for number in range(len(store.names)):
        out = piece == number
        weights, bias = fit_logistic(values[~out], targets[~out], len(classes))
        shares.append(np.mean((values[out] @ weights.T + bias).argmax(1) == targets[out]))
        frequent.append(np.mean(targets[out] == np.bincount(targets[~out]).argmax()))
    assert found.accuracy.mean == pytest.approx(np.mean(shares))
    assert found.majority.mean == pytest.approx(np.mean(frequent))
    np.testing.assert_array_equal(found.classes, classes)
    assert (found.works, found.rows) == (len(store.names), int(kept.sum()))
    assert found.over_embedding is not None
    assert found.embedding is not None
    assert found.over_embedding.mean == pytest.approx(found.accuracy.mean - found.embedding.mean)
    assert "accuracy" in str(found)


def test_probes_of_the_embedding_predict_the_position_but_no_random_label(store: ActivationStore) -> None:
    position = store.labels("position")
    known = mmt.probes.probe(store, "embedding", np.where(position < 0, -1, position == 0), folds=2)
    assert known.accuracy.mean is not None
    assert known.accuracy.mean > 0.95
    assert known.embedding is None
    drawn = np.random.default_rng(0).integers(0, 2, len(store))
    assert mmt.probes.probe(store, PLACE, drawn, folds=2).accuracy.mean == pytest.approx(0.5, abs=0.12)


def test_a_work_is_in_one_fold_and_equal_events_have_equal_control_labels(store: ActivationStore) -> None:
    random = np.random.default_rng(0)
    work = random.integers(0, 7, 200)
    fold = _draw_folds(work, 3, random)
    assert all(len(set(fold[work == number])) == 1 for number in range(7))
    assert set(fold) == {0, 1, 2}
    chosen = np.arange(len(store))
    control = _control_labels(store, chosen, np.arange(len(store)), random)
    kinds = list(
        zip(*(store.labels(name) for name in ("type", "position", "pitch", "duration", "instrument")), strict=True)
    )
    labels = dict(zip(kinds, control, strict=True))
    assert [labels[kind] for kind in kinds] == control.tolist()
    assert len(set(labels.values())) > len(labels) / 3


def test_the_majority_is_that_of_the_other_folds() -> None:
    targets, fold = np.array([0, 0, 1, 1, 1]), np.array([1, 1, 0, 0, 0])
    assert _majority(targets, fold).tolist() == [0, 0, 0, 0, 0]


def test_control_labels_are_as_frequent_as_the_labels(store: ActivationStore) -> None:
    targets = np.arange(len(store)) % 10 // 9
    control = _control_labels(store, np.arange(len(store)), targets, np.random.default_rng(0))
    kinds = np.stack([store.labels(name) for name in ("type", "position", "pitch", "duration", "instrument")], 1)
    first = np.unique(kinds, axis=0, return_index=True)[1]
    assert control[first].mean() == pytest.approx(0.1, abs=0.06)


def test_the_control_is_the_same_probe_of_other_labels(store: ActivationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = store.labels("instrument") >= 0
    rows[::2] = False
    embedding = mmt.probes.probe(store, "embedding", "instrument", folds=2, rows=rows).accuracy
    monkeypatch.setattr(probes, "_control_labels", lambda *_: np.zeros(rows.sum(), np.int64))
    found = mmt.probes.probe(store, PLACE, "instrument", folds=2, rows=rows)
    assert found.rows == rows.sum()
    assert found.control.mean == 1  # one label for all is always right
    assert found.selectivity.mean == pytest.approx(found.accuracy.mean - 1)
    assert found.embedding == embedding
    values, labels = store.read(PLACE)[rows].astype(np.float64), store.labels("instrument")[rows]
    targets = np.unique(labels, return_inverse=True)[1]
    np.testing.assert_allclose(found.weights, fit_logistic(values, targets, len(found.classes))[0])


def test_a_probe_that_may_not_use_activations_predicts_the_majority(store: ActivationStore) -> None:
    found = mmt.probes.probe(store, PLACE, "instrument", folds=2, strength=1e-6, most=150)
    assert found.accuracy == found.majority
    assert found.rows == 150
    draws = [mmt.probes.probe(store, PLACE, "instrument", folds=2, most=150, seed=seed) for seed in (0, 0, 1)]
    assert draws[0].accuracy == draws[1].accuracy != draws[2].accuracy


def test_pieces_of_a_work_count_once_and_invalid_arguments_raise(store: ActivationStore) -> None:
    splits = ["train", "train", "valid", "test"]
    assert mmt.probes.probe(store, PLACE, "type", works=splits, folds=3, most=200).works == 3
    for arguments, message in (
        ({"label": "type", "folds": 9}, "folds is 9"),
        ({"label": np.zeros(len(store), np.int64)}, "two or more"),
        ({"label": np.zeros(3, np.int64)}, "one integer for each"),
        ({"label": "type", "works": ["a"]}, "one for each"),
        ({"label": "type", "strength": 0.0}, "above 0"),
        ({"label": "type", "rows": [True]}, "a bool for each"),
    ):
        with pytest.raises(ValueError, match=message):
            mmt.probes.probe(store, PLACE, **arguments)  # type: ignore[arg-type]
