"""Directions, their removal, and effect and damage, against plain computations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import mmt
from mmt.analysis.inside.store import ActivationStore
from mmt.sampling.model import Model

PLACE = "layers.0.stream"


@pytest.fixture(scope="module")
def model() -> Model:
    return mmt.new_model("tiny", seed=3)


@pytest.fixture(scope="module")
def store(model: Model, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    return mmt.activations(model, mmt.Corpus(tiny_folder), [PLACE], output=tmp_path_factory.mktemp("steering") / "all")


def test_difference_of_means_equals_that_of_the_rows_in_memory(
    store: ActivationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmt.analysis.inside.steering._BLOCK", 100)
    pitch, rows = store.labels("pitch"), store.read(PLACE).astype(np.float64)
    found = mmt.steering.difference_of_means(store, PLACE, pitch >= 67, np.flatnonzero((pitch >= 0) & (pitch < 67)))
    expected = np.mean([row for row, of in zip(rows, pitch, strict=True) if of >= 67], 0)
    expected -= np.mean([row for row, of in zip(rows, pitch, strict=True) if 0 <= of < 67], 0)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    with pytest.raises(ValueError, match="no rows"):
        mmt.steering.difference_of_means(store, PLACE, pitch > 200, pitch >= 0)
    with pytest.raises(ValueError, match="mask of shape"):
        mmt.steering.difference_of_means(store, PLACE, [True], pitch >= 0)


def test_orthogonalise_gives_the_residual_of_least_squares() -> None:
    random = np.random.default_rng(0)
    vector, first, second = random.normal(size=(3, 8))
    others = [first, second, first + 2 * second]
    left = mmt.steering.orthogonalise(vector, *others)
    solution, *_ = np.linalg.lstsq(np.array(others).T, vector, rcond=None)
    np.testing.assert_allclose(left, vector - np.array(others).T @ solution, atol=1e-10)
    np.testing.assert_allclose(np.array(others) @ left, 0, atol=1e-10)
    np.testing.assert_array_equal(mmt.steering.orthogonalise(vector), vector)
    with pytest.raises(ValueError, match="nothing is left"):
        mmt.steering.orthogonalise(first + second, first, second)


def test_project_out_removes_a_direction_and_nothing_else(model: Model) -> None:
    piece = model.generate(mmt.prompt.instruments("violin"), seed=1, max_events=20)[0]
    direction = np.random.default_rng(0).normal(size=32)
    before = mmt.activations(model, piece, [PLACE])[PLACE]
    edited = model.edited(mmt.inside.project_out(PLACE, direction))
    after = mmt.activations(edited, piece, [PLACE])[PLACE]
    # A plain implementation: rotate to a basis that begins with the direction, drop its coordinate, and rotate back.
    basis, _ = np.linalg.qr(np.column_stack([direction, np.eye(32)[:, :31]]))
    coordinates = before @ basis
    coordinates[:, 0] = 0
    np.testing.assert_allclose(after, coordinates @ basis.T, atol=1e-4)
    with pytest.raises(ValueError, match="give a vector, not 0"):
        mmt.inside.project_out(PLACE, torch.zeros(32))
    with pytest.raises(ValueError, match=r"expected \(32,\)"):
        mmt.activations(model.edited(mmt.inside.project_out(PLACE, np.ones(3))), piece, [PLACE])


def test_damage_is_the_difference_of_likelihoods_under_the_plain_model(model: Model, tiny_folder: Path) -> None:
    corpus = mmt.Corpus(tiny_folder)
    plain, steered = ([corpus[index][:length] for index in range(3)] for length in (40, 50))
    steering = mmt.steering
    attributes = {"density": steering.note_density, "register": steering.register}
    effect = steering.compare(model, plain, steered, attributes)
    for pieces, nats in zip((plain, steered), effect.nats, strict=True):
        for piece, value in zip(pieces, nats, strict=True):
            codes = torch.from_numpy(piece)[None]
            with torch.inference_mode():
                logits = model.network(codes[:, :-1], targets=codes[:, 1:])
            each = [
                torch.nn.functional.cross_entropy(of_field[0], codes[0, 1:, field], reduction="none")
                for field, of_field in enumerate(logits)
            ]
            of_notes = torch.stack(each).sum(0)[codes[0, 1:, 0] == 3]
            assert value == pytest.approx(float(of_notes.mean()), abs=1e-4)
    assert effect.damage.mean == pytest.approx(float(np.mean(effect.nats[1] - effect.nats[0])))
    pitches = [[event[3] - 1 for event in piece if event[0] == 3] for piece in steered]
    np.testing.assert_allclose(effect.steered["register"], [sum(of) / len(of) for of in pitches])
    low, high = sorted(effect.steered["register"])[:2]
    assert effect.share_reached({"register": (low, high)}).mean == pytest.approx(2 / 3)
    assert effect.share_reached({"register": (low, high), "density": (-1, -0.5)}).mean == 0
    with pytest.raises(ValueError, match="choose among density, register"):
        effect.share_reached({"pitch": (0, 1)})
    with pytest.raises(ValueError, match="as many of each"):
        steering.compare(model, plain, steered[:2], attributes)


def test_strength_towards_a_target_is_that_of_the_formula_for_each_beginning(model: Model, tiny_folder: Path) -> None:
    piece = mmt.Corpus(tiny_folder)[0][:40]
    direction = np.random.default_rng(0).normal(size=32)
    edit = mmt.steering.towards(
        mmt.inside.add(PLACE, direction), mmt.steering.register, 70, 20, start=0.5, gain=2, most=1.5
    )
    before, after = (
        mmt.activations(one, piece, [PLACE])[PLACE].astype(np.float64) for one in (model, model.edited(edit))
    )
    expected = []
    for place in range(len(piece)):
        pitches = [event[3] - 1 for event in piece[: place + 1] if event[0] == 3]
        strength = 0.5 + 2 * (70 - sum(pitches) / len(pitches)) / 20 if pitches else 0.5
        expected.append(min(max(strength, 0), 1.5))
    assert 0.5 in expected
    assert len(set(expected)) > 5
    np.testing.assert_allclose(after - before, np.outer(expected, direction), atol=1e-4)


def test_strength_towards_a_target_is_the_same_with_a_cache(model: Model, tiny_folder: Path) -> None:
    corpus = mmt.Corpus(tiny_folder)
    codes = torch.from_numpy(np.stack([corpus[index][:12] for index in range(2)]))
    add = mmt.inside.add(PLACE, np.ones(32))
    network = model.edited(mmt.steering.towards(add, mmt.steering.note_density, 2, 1)).network
    cache = network.new_cache(2, 12)
    with torch.inference_mode():
        steps = torch.cat([network.hidden(codes[:, place : place + 1], cache=cache) for place in range(12)], 1)
        torch.testing.assert_close(steps, network.hidden(codes), atol=1e-5, rtol=1e-5)


def test_edits_towards_a_target_are_equal_if_their_numbers_are(model: Model) -> None:
    add = mmt.inside.add(PLACE, np.ones(32))
    edits = [mmt.steering.towards(add, mmt.steering.register, target, 8) for target in (60, 60, 61)]
    first, same, other = ([step.identity for step in edit.steps] for edit in edits)
    assert first == same != other
    for wrong in ({"unit": 0}, {"unit": 8, "most": -1}, {"unit": 8, "gain": -1}):
        with pytest.raises(ValueError, match="unit must not be 0"):
            mmt.steering.towards(add, mmt.steering.register, 60, **wrong)


def test_the_table_has_no_interval_below_zero_of_what_is_never_negative() -> None:
    values = np.array([0.1, 0.2, 9.0])
    found = mmt.steering.Effect({"density": values}, {"density": values + 1}, (values, values * 2))
    for line in found.table().splitlines():
        # Student's would be 3.10 ± 12.70.
        assert "±" not in line.partition(", ")[0]
        assert "[0." in line
