"""The moving average of the weights: its definition, its users, and resuming."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

import mmt
from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Limits, ValidationBatches
from mmt.training.fine_tune import fine_tune
from mmt.training.loss import losses
from mmt.training.module import TrainingModule
from mmt.training.stopping import RESUME
from mmt.training.train import train
from runs import (
    assert_resumes_to_the_same_weights,
    before_each_step,
    interrupted_at,
    quiet_lightning,
    tiny,
    validation_losses,
    weights,
)

pytestmark = quiet_lightning
DECAY = 0.8
AVERAGED = ["network.dropout=0.2", f"optimizer.average={DECAY}"]


@contextmanager
def weights_of_every_step() -> Iterator[list[dict[str, Tensor]]]:
    """Collect the weights before each step of the trainings in this context."""
    found: list[dict[str, Tensor]] = []

    def watch(module: TrainingModule) -> None:
        if module.trainer.global_step == len(found):
            found.append({name: tensor.detach().clone() for name, tensor in module.network.state_dict().items()})

    with before_each_step(watch):
        yield found


def averaged(steps: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The average of the weights before the first step and after each of the others."""
    average = {name: tensor.float().clone() for name, tensor in steps[0].items()}
    for step, found in enumerate(steps[1:]):
        decay = min(DECAY, (1 + step) / (10 + step))
        average = {name: decay * tensor + (1 - decay) * found[name].float() for name, tensor in average.items()}
    return average


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed training of twelve steps."""
    output = tmp_path_factory.mktemp("averaged") / "run"
    train(tiny(*AVERAGED), corpus, output)
    return output


@pytest.mark.parametrize("change", ["trainer.accumulate=1", "trainer.accumulate=2", "optimizer.name=muon"])
def test_checkpoints_hold_the_average_of_all_steps(corpus: Path, tmp_path: Path, change: str) -> None:
    with weights_of_every_step() as steps:
        train(tiny(*AVERAGED, change, "trainer.max_steps=9"), corpus, tmp_path / "run")
    state = torch.load(tmp_path / "run" / RESUME, weights_only=True)["state_dict"]
    own = {name.removeprefix("network."): tensor for name, tensor in state.items()}
    expected, last = averaged([*steps, own]), weights(tmp_path / "run" / "last")
    for name, tensor in last.items():
        torch.testing.assert_close(tensor, expected[name].to(tensor.dtype), rtol=2e-3, atol=2e-4)
    assert any(not torch.allclose(tensor.float(), own[name], atol=1e-3) for name, tensor in last.items())


def test_the_average_does_not_change_the_training(whole: Path, corpus: Path, tmp_path: Path) -> None:
    train(tiny("network.dropout=0.2"), corpus, tmp_path / "plain")
    plain, ours = (torch.load(run / RESUME, weights_only=True)["state_dict"] for run in (tmp_path / "plain", whole))
    assert all(torch.equal(ours[name], tensor) for name, tensor in plain.items())
    assert validation_losses(tmp_path / "plain") != validation_losses(whole)


def test_validation_measures_the_average(whole: Path, corpus: Path) -> None:
    model = mmt.load_model(whole / "last")
    limits = Limits(model.network.config.context + 1, model.representation.beats)
    batches = ValidationBatches(Corpus(corpus, split="valid"), limits, batch_size=2)
    with torch.no_grad():
        found = [
            losses(model.network(batch.codes[:, :-1]), batch.codes, batch.lengths)
            for batch in (batches[place] for place in range(len(batches)))
        ]
    total = sum(found[1:], found[0])
    assert validation_losses(whole)[-1] == pytest.approx(float(total.per_note), rel=1e-3)


@pytest.mark.parametrize("stop", [4, 6, 11])
def test_a_resumed_training_reaches_the_same_average(whole: Path, corpus: Path, tmp_path: Path, stop: int) -> None:
    recipe = tiny(*AVERAGED, "trainer.save_every=3")
    with interrupted_at(stop):
        train(recipe, corpus, tmp_path / "run")
    assert_resumes_to_the_same_weights(recipe, corpus, tmp_path / "run", whole)


def test_a_resumed_training_can_start_an_average(corpus: Path, tmp_path: Path) -> None:
    train(tiny("network.dropout=0.2", "trainer.max_steps=4"), corpus, tmp_path / "run")
    with weights_of_every_step() as steps:
        steps += [{}] * 4
        train(tiny(*AVERAGED, "trainer.max_steps=8"), corpus, tmp_path / "run", resume=True)
    state = torch.load(tmp_path / "run" / RESUME, weights_only=True)["state_dict"]
    expected = averaged([*steps[4:], {name.removeprefix("network."): tensor for name, tensor in state.items()}])
    for name, tensor in weights(tmp_path / "run" / "last").items():
        torch.testing.assert_close(tensor, expected[name].to(tensor.dtype), rtol=2e-3, atol=2e-4)


def test_low_ranks_are_averaged(whole: Path, corpus: Path, tmp_path: Path) -> None:
    changes = ["trainer.precision=32-true", "trainer.samples=false", "trainer.max_steps=8", "trainer.validate_every=4"]
    changes += ["optimizer.decay_end=30", "optimizer.average=0.9"]
    done = fine_tune(whole / "best", corpus, tmp_path / "run", lora_rank=2, overrides=changes)
    assert done.after < done.before
    before, after = weights(whole / "best"), weights(done.checkpoint)
    name = "blocks.0.attention.out.weight"
    assert 0 < int(torch.linalg.matrix_rank(after[name].float() - before[name].float(), rtol=1e-2)) <= 2
    assert torch.equal(before["norm.weight"], after["norm.weight"])


def test_the_average_is_in_float32_for_other_weights(corpus: Path, tmp_path: Path) -> None:
    train(tiny(*AVERAGED, "trainer.precision=bf16-true", "trainer.max_steps=4"), corpus, tmp_path / "run")
    states = torch.load(tmp_path / "run" / RESUME, weights_only=True)["callbacks"]
    assert {tensor.dtype for tensor in states["AverageWeights"]["average"].values()} == {torch.float32}
