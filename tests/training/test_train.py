"""Training: its files, the loss of a small corpus, and resuming."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_corpora import write_corpus
from torch.utils.data import DataLoader

import mmt
from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Batch, Limits, ValidationBatches
from mmt.representation.codes import FIELDS, PITCH
from mmt.training.callbacks import WriteCheckpoints
from mmt.training.loaders import DeviceSampler, loaders_of
from mmt.training.loss import losses
from mmt.training.module import TrainingModule
from mmt.training.recipe import Recipe, load_recipe
from mmt.training.train import fast_precision, train
from runs import (
    assert_resumes_to_the_same_weights,
    assert_same_weights,
    free_port,
    interrupted_at,
    log,
    logged,
    quiet_lightning,
    tiny,
    validation_losses,
    weights,
)

pytestmark = quiet_lightning


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed training of twelve steps with dropout, validated every four."""
    output = tmp_path_factory.mktemp("run") / "run"
    assert train(tiny("network.dropout=0.2"), corpus, output) == output / "best"
    return output


def test_contents_of_a_run_folder(run: Path, corpus: Path) -> None:
    assert sorted(path.name for path in run.iterdir()) == ["best", "last", "log", "recipe.yaml", "resume.ckpt"]
    assert load_recipe(run / "recipe.yaml") == tiny("network.dropout=0.2")
    found = validation_losses(run)
    assert len(found) == 3
    rows = [row for row in log(run) if row["valid/loss"]]
    assert all(float(row[f"valid/{name}"]) > 0 for row in rows for name in FIELDS)
    for name in ("best", "last"):
        model = mmt.load_model(run / name)
        validation = model.training["validation"]
        assert validation["loss"] == pytest.approx(min(found) if name == "best" else found[-1], abs=1e-4)
        assert model.training["data"]["pieces"] == len(Corpus(corpus, split="train"))
        assert f"{validation['loss']:.3f} nats per note" in (run / name / "MODEL_CARD.md").read_text()
    assert mmt.load_model(run / "last").training["steps"] == 12


def test_a_trained_model_writes_valid_pieces(run: Path) -> None:
    model = mmt.load_model(run / "best")
    for piece in model.generate(mmt.prompt.start(), n=2, seed=0, max_events=40):
        assert mmt.is_valid(piece)


def test_the_same_recipe_gives_the_same_weights(run: Path, corpus: Path, tmp_path: Path) -> None:
    train(tiny("network.dropout=0.2"), corpus, tmp_path / "again")
    assert_same_weights(run / "last", tmp_path / "again" / "last")
    train(tiny("network.dropout=0.2", "seed=1"), corpus, tmp_path / "other")
    assert not torch.equal(weights(run / "last")["norm.weight"], weights(tmp_path / "other" / "last")["norm.weight"])


@pytest.mark.parametrize("stop", [4, 6, 11])
def test_a_resumed_training_reaches_the_same_weights(run: Path, corpus: Path, tmp_path: Path, stop: int) -> None:
    recipe = tiny("network.dropout=0.2")
    with interrupted_at(stop):
        train(recipe, corpus, tmp_path / "run")
    assert_resumes_to_the_same_weights(recipe, corpus, tmp_path / "run", run)


def test_a_finished_training_can_be_continued_with_more_steps(run: Path, corpus: Path, tmp_path: Path) -> None:
    train(tiny("network.dropout=0.2", "trainer.max_steps=8"), corpus, tmp_path / "run")
    train(tiny("network.dropout=0.2"), corpus, tmp_path / "run", resume=True)
    assert_same_weights(run / "last", tmp_path / "run" / "last")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("optimizer.learning_rate=0.001", r"optimizer\.learning_rate is 0\.001, and was 0\.003 when .* began"),
        ("optimizer.betas=[0.5,0.9]", r"optimizer\.betas is"),
        ("network.dim=64", r"network\.dim is 64, and was"),
        ("seed=9", "seed is 9, and was 0"),
    ],
)
def test_resuming_refuses_entries_that_the_state_depends_on(
    run: Path, corpus: Path, tmp_path: Path, change: str, said: str
) -> None:
    shutil.copytree(run, tmp_path / "run")
    with pytest.raises(ValueError, match=said):
        train(tiny("network.dropout=0.2", change), corpus, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "recipe.yaml").read_bytes() == (run / "recipe.yaml").read_bytes()


def test_resuming_refuses_another_corpus(run: Path, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    tables = {
        piece.name: (piece.split, Corpus(corpus).notes(index)) for index, piece in enumerate(Corpus(corpus).pieces)
    }
    first = next(name for name, (split, _) in tables.items() if split == "train")
    other = write_corpus(tmp_path / "other", tables | {first: ("train", tables[first][1][:-9])})
    with pytest.raises(ValueError, match=r"has learned from .* resume with the same corpus, or begin a new run"):
        train(tiny("network.dropout=0.2"), other, tmp_path / "run", resume=True)


@pytest.mark.parametrize("change", ["trainer.accumulate=2", "optimizer.name=muon", "data.short_windows=[16,7]"])
def test_trainings_with_other_steps_resume(corpus: Path, tmp_path: Path, change: str) -> None:
    recipe = tiny(change)
    train(recipe, corpus, tmp_path / "whole")
    with interrupted_at(6):
        train(recipe, corpus, tmp_path / "run")
    assert_resumes_to_the_same_weights(recipe, corpus, tmp_path / "run", tmp_path / "whole")


def test_augmented_trainings_resume_and_accept_a_corpus_without_options(corpus: Path, tmp_path: Path) -> None:
    shares = [f"data.augmentation.{name}_share=0.5" for name in ("given", "length", "substitution")]
    options = ["representation.given=true", "representation.length=true", "trainer.samples=false", *shares]
    recipe = tiny(*options, "data.weights={'*1*': 3}")
    train(recipe, corpus, tmp_path / "whole")
    with interrupted_at(6):
        train(recipe, corpus, tmp_path / "run")
    assert_resumes_to_the_same_weights(recipe, corpus, tmp_path / "run", tmp_path / "whole")
    with pytest.raises(ValueError, match=r"representation\.reach is 4, and was 8 when"):
        train(tiny(*options, "representation.reach=4"), corpus, tmp_path / "run", resume=True)


def test_heads_that_read_the_target_read_the_next_written_event() -> None:
    module = TrainingModule(tiny("representation.given=true", "network.output=mixed"))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    rows = [[0] * 6, [1, 0, 0, 0, 0, 25], [2, 0, 0, 0, 0, 0], [3, 1, 1, 61, 12, 25], [5, 3, 1, 50, 9, 25]]
    codes = torch.tensor([[*rows, [3, 4, 1, 63, 12, 25], [4, 0, 0, 0, 0, 0]]])
    with torch.no_grad():
        found = module._losses(Batch(codes, torch.tensor([7])))
        logits = module.network(codes[:, :-1], targets=codes[:, [1, 2, 3, 5, 5, 6]])
    nats = -logits[PITCH][0, [2, 3, 4]].log_softmax(-1)[range(3), [61, 63, 63]].sum()
    assert float(found.nats[PITCH]) == pytest.approx(float(nats), rel=1e-5)
    assert int(found.notes) == 3


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_other_precisions_train(corpus: Path, tmp_path: Path, precision: str) -> None:
    changes = (f"trainer.precision={precision}", "network.positions=time", "optimizer.name=muon", "trainer.max_steps=4")
    train(tiny(*changes), corpus, tmp_path / "run")
    model = mmt.load_model(tmp_path / "run" / "last")
    assert {weights.dtype for weights in model.network.parameters()} == {torch.float32}
    assert len(model.generate(seed=0, max_events=12)[0]) > 4


def test_the_best_checkpoint_is_kept_when_resuming(corpus: Path, tmp_path: Path) -> None:
    # A rate so high that the loss rises after the first validation.
    recipe = tiny("optimizer.learning_rate=5", "optimizer.warmup_steps=12", "optimizer.decay_start=12")
    train(recipe, corpus, tmp_path / "whole")
    found = validation_losses(tmp_path / "whole")
    assert found == sorted(found)
    with interrupted_at(6):
        train(recipe, corpus, tmp_path / "run")
    train(recipe, corpus, tmp_path / "run", resume=True)
    best = json.loads((tmp_path / "run" / "best" / "config.json").read_text())["training"]
    assert best["validation"]["loss"] == pytest.approx(found[0], abs=1e-4)
    assert best["steps"] == 4


def test_the_last_step_is_always_validated(corpus: Path, tmp_path: Path) -> None:
    train(tiny("trainer.max_steps=6"), corpus, tmp_path / "six")
    assert mmt.load_model(tmp_path / "six" / "last").training["steps"] == 6
    train(tiny("trainer.max_steps=2"), corpus, tmp_path / "two")
    assert mmt.load_model(tmp_path / "two" / "best").training["steps"] == 2


def test_patience_stops_a_training_without_improvement(corpus: Path, tmp_path: Path) -> None:
    recipe = tiny("optimizer.learning_rate=1e-30", "trainer.patience=2", "trainer.max_steps=40")
    train(recipe, corpus, tmp_path / "run")
    assert mmt.load_model(tmp_path / "run" / "last").training["steps"] == 12


def test_training_does_not_change_the_global_random_state(corpus: Path, tmp_path: Path) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002 (the user's)
    train(tiny("trainer.max_steps=1", "network.dropout=0.2"), corpus, tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert random.getstate() == before[2]


def test_training_overfits_a_small_corpus(corpus: Path, tmp_path: Path) -> None:
    changes = [
        "trainer.max_steps=120",
        "trainer.validate_every=120",
        "data.batch_size=4",
        "data.augmentation.pitch_shift=[0, 0]",
    ]
    changes += ["optimizer.learning_rate=1e-2", "optimizer.decay_start=120", "optimizer.decay_end=120"]
    train(tiny(*changes), corpus, tmp_path / "run")
    found = [float(row["train/loss"]) for row in log(tmp_path / "run") if row["train/loss"]]
    assert found[-1] < 0.25 * found[0]


def test_validation_loss_is_a_mean_over_events_not_batches(run: Path, corpus: Path) -> None:
    model = mmt.load_model(run / "last")
    limits = Limits(model.network.config.context + 1, model.representation.beats)
    total = None
    with torch.no_grad():
        batches = ValidationBatches(Corpus(corpus, split="valid"), limits, batch_size=1)
        for batch in (batches[place] for place in range(len(batches))):
            found = losses(model.network(batch.codes[:, :-1]), batch.codes, batch.lengths)
            total = found if total is None else total + found
    assert total is not None
    # There was more than one batch, and their losses differed.
    pairs = ValidationBatches(Corpus(corpus, split="valid"), limits, batch_size=2)
    sizes = [len(pairs[place].lengths) for place in range(len(pairs))]
    assert len(set(sizes)) > 1
    validation = model.training["validation"]
    assert validation["loss"] == pytest.approx(float(total.per_note), rel=1e-3)
    for name, loss in zip(FIELDS, total.per_field.tolist(), strict=True):
        assert validation[name] == pytest.approx(loss, rel=1e-3, abs=1e-4)


def test_training_can_start_from_a_checkpoint(run: Path, corpus: Path, tmp_path: Path) -> None:
    still = tiny("optimizer.learning_rate=1e-30", "trainer.max_steps=1")
    train(still, corpus, tmp_path / "run", start_from=run / "last")
    assert_same_weights(run / "last", tmp_path / "run" / "last")
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        train(still, corpus, tmp_path / "new", start_from=tmp_path / "nowhere")
    assert not (tmp_path / "new").exists()


def test_the_gradient_is_clipped_and_the_rate_follows_the_recipe_step_by_step(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms, rates = [], []
    step = torch.optim.AdamW.step

    def watched(self: torch.optim.AdamW, closure: object = None) -> object:
        result = step(self, closure)  # type: ignore[arg-type]
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.stack([gradient.norm() for gradient in gradients]).norm()))
        rates.append(self.param_groups[0]["lr"])
        return result

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    schedule = ["optimizer.warmup_steps=3", "optimizer.decay_start=5", "optimizer.decay_end=9"]
    recipe = tiny(*schedule, "trainer.accumulate=2", "optimizer.clip=0.01")
    train(recipe, corpus, tmp_path / "run")
    assert norms == pytest.approx([0.01] * 12, rel=1e-3)
    assert rates == pytest.approx([recipe.optimizer.learning_rate * recipe.optimizer.share(step) for step in range(12)])


def loaders_on_one_device(recipe: Recipe, corpus: Path) -> tuple[DataLoader[Batch], DataLoader[Batch]]:
    parts = (Corpus(corpus, split=split) for split in ("train", "valid"))
    return loaders_of(recipe, *parts, SimpleNamespace(world_size=1, global_rank=0, global_step=0))  # type: ignore[arg-type]


def test_a_window_has_one_event_more_than_the_context(corpus: Path) -> None:
    for loader in loaders_on_one_device(tiny("network.context=20"), corpus):
        assert max(batch.codes.shape[1] for batch in loader) == 20 + 1


def test_short_windows_come_first_with_the_same_events_per_step(corpus: Path) -> None:
    recipe = tiny("network.context=40", "data.short_windows=[10, 5]", "trainer.accumulate=2")
    batches = list(loaders_on_one_device(recipe, corpus)[0])
    assert len(batches) == 2 * recipe.trainer.max_steps
    assert [tuple(batch.codes.shape[:2]) for batch in batches[:10]] == [(8, 11)] * 10
    assert all(len(batch.codes) == 2 for batch in batches[10:])
    assert max(batch.codes.shape[1] for batch in batches[10:]) == 41


@pytest.mark.parametrize(("count", "devices"), [(7, 1), (7, 2), (6, 3), (1, 4)])
def test_batches_alternate_between_devices_and_each_gets_one(count: int, devices: int) -> None:
    turns = [
        list(DeviceSampler(count, SimpleNamespace(global_rank=rank, world_size=devices, global_step=3)))  # type: ignore[arg-type]
        for rank in range(devices)
    ]
    assert all(turns)
    assert {place for places in turns for place in places} == set(range(count))
    if count >= devices:
        assert sum(map(len, turns)) == count


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_same_windows(corpus: Path, tmp_path: Path) -> None:
    # Started by torchrun, resumed by Lightning's launcher: two processes with two windows per step equal one with four.
    both = [
        "trainer.validate_every=2",
        "trainer.patience=5",
        "optimizer.clip=1e9",
        "data.augmentation.length_exponent=0",
        "optimizer.average=0.8",
    ]
    changes = [*both, "trainer.devices=2", "trainer.strategy=ddp"]
    code = "\n".join(
        (
            "import sys, mmt",
            f"recipe = mmt.load_recipe('tiny', [*{changes}, 'data.batch_size=2', 'trainer.max_steps=' + sys.argv[1]])",
            f"mmt.train(recipe, {str(corpus)!r}, {str(tmp_path / 'two')!r}, resume=sys.argv[2] == 'resume')",
        )
    )
    (tmp_path / "go.py").write_text(code)
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        str(free_port()),
    ]
    for launcher, steps, how in ((torchrun, 4, "new"), ([sys.executable], 6, "resume")):
        subprocess.run([*launcher, tmp_path / "go.py", str(steps), how], check=True, timeout=300, capture_output=True)
    alone = load_recipe("tiny", [*both, "data.batch_size=4", "trainer.max_steps=6"])
    train(alone, corpus, tmp_path / "one")
    for name in ("train/loss", "valid/loss", *(f"valid/{field}" for field in FIELDS)):
        one, two = logged(tmp_path / "one", name), logged(tmp_path / "two", name)
        assert len(one) == len(two) > 0
        assert two == pytest.approx(one, rel=1e-4)
    for name, tensor in weights(tmp_path / "one" / "last").items():
        torch.testing.assert_close(tensor, weights(tmp_path / "two" / "last")[name], rtol=1e-3, atol=1e-4)


def test_every_note_of_a_step_has_the_same_weight_however_it_is_split(corpus: Path, tmp_path: Path) -> None:
    # One window per batch, of 1 to 60 notes: the mean of the means of batches would differ.
    both = ["optimizer.clip=1e9", "optimizer.learning_rate=3e-2", "optimizer.warmup_steps=0"]
    both += ["trainer.max_steps=6", "trainer.validate_every=6"]
    train(load_recipe("tiny", [*both, "data.batch_size=24"]), corpus, tmp_path / "one")
    train(load_recipe("tiny", [*both, "data.batch_size=1", "trainer.accumulate=24"]), corpus, tmp_path / "many")
    assert logged(tmp_path / "many", "train/loss") == pytest.approx(logged(tmp_path / "one", "train/loss"), rel=1e-5)
    for name, tensor in weights(tmp_path / "one" / "last").items():
        torch.testing.assert_close(tensor, weights(tmp_path / "many" / "last")[name], rtol=1e-3, atol=1e-4)


def test_the_best_loss_is_kept_when_resuming(tmp_path: Path) -> None:
    callback = WriteCheckpoints(tmp_path, {})
    assert callback.state_dict() == {"best": float("inf"), "before": None}
    callback.load_state_dict({"best": 3.0, "before": 4.0})
    assert (callback.best, callback.before) == (3.0, 4.0)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({}, FileExistsError, "exists; give another folder, continue its training"),
        ({"resume": True, "output": "new"}, ValueError, "there is no training to resume"),
        ({"overwrite": True, "output": "mine"}, FileExistsError, "is not a training run"),
        ({"corpus": "mine", "output": "new"}, ValueError, "is not a prepared corpus"),
    ],
)
def test_a_training_that_cannot_start_is_refused(
    run: Path, corpus: Path, tmp_path: Path, arguments: dict[str, object], error: type[Exception], said: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("keep me")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "letter").write_text("keep me")  # an empty folder would be accepted
    places = {"corpus": corpus, "output": "run"} | arguments
    with pytest.raises(error, match=said):
        train(
            tiny(),
            tmp_path / places.pop("corpus"),  # type: ignore[operator]
            tmp_path / places.pop("output"),  # type: ignore[operator]
            **places,  # type: ignore[arg-type]
        )
    assert (tmp_path / "mine" / "letter").exists()
    assert not (tmp_path / "new").exists()


def test_a_missing_device_leaves_the_run_folder_unchanged(run: Path, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    files = sorted(path for path in (tmp_path / "run").rglob("*"))
    for output, overwrite in (("run", True), ("new", False)):
        with pytest.raises(ValueError, match="abacus"):
            train(tiny("trainer.accelerator=abacus"), corpus, tmp_path / output, overwrite=overwrite)
    assert sorted(path for path in (tmp_path / "run").rglob("*")) == files
    assert not (tmp_path / "new").exists()


def test_a_run_is_overwritten_on_request(run: Path, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    train(tiny("trainer.max_steps=4"), corpus, tmp_path / "run", overwrite=True)
    assert mmt.load_model(tmp_path / "run" / "last").training["steps"] == 4
    assert len(validation_losses(tmp_path / "run")) == 1


def test_a_corpus_of_another_representation_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the recipe's resolution is not that of .*; prepare the corpus with"):
        train(tiny("representation.preset=slides"), corpus, tmp_path / "run")
    with pytest.raises(ValueError, match=r"the recipe's drums is not that of .*; prepare the corpus with"):
        train(tiny("representation.drums=true"), corpus, tmp_path / "run")


@pytest.mark.parametrize(
    ("units", "accelerator", "chosen"),
    [
        ({"amx_bf16": True}, "auto", "bf16-mixed"),
        ({"amx_bf16": True}, "cpu", "bf16-mixed"),
        ({"amx_bf16": False, "avx512_bf16": True}, "auto", "bf16-mixed"),
        ({"amx_bf16": False, "avx512_bf16": False}, "auto", "32-true"),
        ({"amx_bf16": True}, "mps", "32-true"),
        ({}, "cpu", "32-true"),
    ],
)
def test_half_precision_is_chosen_if_the_processor_supports_it(
    units: dict[str, bool], accelerator: str, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert fast_precision(accelerator) == chosen


@pytest.mark.parametrize("content", ["code", "text", "empty"])
def test_a_state_that_contains_code_or_is_invalid_is_refused_without_running_it(
    corpus: Path, tmp_path: Path, content: str
) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harmed"),)

    run = tmp_path / "run"
    train(tiny(), corpus, run)
    if content == "code":
        torch.save({"global_step": Harmful(), "state_dict": {}}, run / "resume.ckpt")
    else:
        (run / "resume.ckpt").write_bytes(b"a text" if content == "text" else b"")
    with pytest.raises(
        ValueError, match=r"resume.ckpt is not the saved state of a training, or it contains code, which is not run"
    ):
        train(tiny("trainer.max_steps=20"), corpus, run, resume=True)
    assert not (tmp_path / "harmed").exists()
