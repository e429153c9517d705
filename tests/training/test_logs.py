"""Logs of a training, and the samples of each validation."""

from __future__ import annotations

import logging
import shutil
import wave
from pathlib import Path
from types import SimpleNamespace

import pytest
from lightning.pytorch.loggers import WandbLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import mmt
from mmt.training import logs
from mmt.training.module import TrainingModule
from mmt.training.recipe import load_recipe
from mmt.training.samples import WriteSamples
from mmt.training.train import train
from runs import assert_same_weights, logged, quiet_lightning, tiny, validation_losses, weights

pytestmark = quiet_lightning
SHORT = ["trainer.max_steps=4", "trainer.validate_every=2", "network.dropout=0.2"]


@pytest.fixture(scope="module")
def heard(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training with a sample at each of its two validations."""
    output = tmp_path_factory.mktemp("heard") / "run"
    train(tiny(*SHORT, "trainer.samples=true"), corpus, output)
    return output


def test_every_validation_writes_a_piece_its_picture_and_its_sound(heard: Path) -> None:
    names = {f"step-{step}{suffix}" for step in (2, 4) for suffix in (".mid", ".png", ".wav")}
    assert {path.name for path in (heard / "samples").iterdir()} == names
    model = mmt.load_model(heard / "last")
    # The sample can be reproduced from the recipe's seed and the weights of that step.
    piece = model.generate(seed=0, max_events=128, max_beats=48)[0]
    assert (
        mmt.encode(mmt.read(heard / "samples" / "step-4.mid"), beats=64) == mmt.encode(mmt.decode(piece), beats=64)
    ).all()
    with wave.open(str(heard / "samples" / "step-4.wav")) as sound:
        assert sound.getnframes() > 0
    with Image.open(heard / "samples" / "step-4.png") as picture:
        assert picture.size[0] > 100


def test_tensorboard_has_figures_picture_and_sound(heard: Path) -> None:
    found = EventAccumulator(str(heard / "log" / "from-step-0"), size_guidance={"images": 0, "audio": 0}).Reload()
    assert [event.step for event in found.Images("sample")] == [2, 4]
    assert [event.step for event in found.Audio("sample")] == [2, 4]
    losses = [event.value for event in found.Scalars("valid/loss")]
    assert losses == pytest.approx(validation_losses(heard))
    assert [event.value for event in found.Scalars("train/loss")] == pytest.approx(logged(heard, "train/loss"))
    assert logged(heard, "train/rate") == pytest.approx([3e-3 * share / 5 for share in (1, 2, 3, 4)])


def test_samples_do_not_change_the_training(heard: Path, corpus: Path, tmp_path: Path) -> None:
    train(tiny(*SHORT), corpus, tmp_path / "run")
    assert_same_weights(heard / "last", tmp_path / "run" / "last")
    assert not (tmp_path / "run" / "samples").exists()


def test_a_sample_that_fails_does_not_stop_the_training(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no ears")

    monkeypatch.setattr(WriteSamples, "_write", broken)
    with caplog.at_level(logging.WARNING):
        train(tiny(*SHORT, "trainer.samples=true"), corpus, tmp_path / "run")
    assert weights(tmp_path / "run" / "last")
    assert [record.getMessage() for record in caplog.records if record.name == "mmt.training.samples"] == [
        "no sample of step 2: no ears",
        "no sample of step 4: no ears",
    ]


def test_without_tensorboard_the_log_is_csv_alone(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logs, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        train(tiny(*SHORT), corpus, tmp_path / "run")
    assert "TensorBoard is not installed" in caplog.text
    assert [path.name for path in (tmp_path / "run" / "log" / "from-step-0").iterdir() if path.suffix != ".yaml"] == [
        "metrics.csv"
    ]
    with pytest.raises(
        ValueError, match=r"trainer\.wandb needs the packages wandb and soundfile: pip install wandb soundfile"
    ):
        train(tiny(*SHORT, "trainer.wandb=true"), corpus, tmp_path / "other")


def test_wandb_stays_offline_without_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(logs, "WandbLogger", lambda **settings: asked.append(settings))
    monkeypatch.setattr(logs, "find_spec", lambda name: name in ("wandb", "soundfile") or None)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_MODE", "WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    recipe = load_recipe("tiny", ["trainer.wandb=true"])
    logs.loggers(recipe, tmp_path / "run", 0)
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    logs.loggers(recipe, tmp_path / "run", 0)
    (tmp_path / ".netrc").unlink()
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    logs.loggers(recipe, tmp_path / "run", 0)
    assert [settings["offline"] for settings in asked] == [True, False, False]
    assert asked[0]["config"] == recipe.to_dict()
    assert asked[0]["save_dir"] == tmp_path / "run"


class Recorder(WandbLogger):
    """A stand-in for the W&B logger, which records what is logged."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str, int]] = []
        self.saved: list[str] = []

    def log_image(self, key: str, images: list[str], step: int | None = None, **_: object) -> None:
        self.shown.append((key, Path(images[0]).name, step or 0))

    log_audio = log_image

    @property
    def experiment(self) -> SimpleNamespace:
        return SimpleNamespace(save=lambda path, base_path, policy: self.saved.append(Path(path).name))


def test_wandb_logs_the_picture_the_sound_and_the_file(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    module = TrainingModule(tiny(*SHORT))
    trainer = SimpleNamespace(global_step=2, loggers=[recorder])
    WriteSamples(tmp_path / "samples", 0)._write(trainer, module)  # type: ignore[arg-type]
    assert recorder.shown == [("sample/picture", "step-2.png", 2), ("sample/sound", "step-2.wav", 2)]
    assert recorder.saved == ["step-2.mid"]
    assert (tmp_path / "samples" / "step-2.wav").exists()


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.slow
# PyTorch's compiler uses deprecated parts of PyTorch.
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_compiled_training_can_be_loaded_and_resumed(corpus: Path, tmp_path: Path) -> None:
    small = ["network.layers=1", "data.batch_size=1", "trainer.validate_every=2", "data.validation_windows=1"]
    train(tiny(*small, "trainer.max_steps=4"), corpus, tmp_path / "plain")
    train(tiny(*small, "trainer.max_steps=2", "trainer.compile=true"), corpus, tmp_path / "run")
    assert weights(tmp_path / "run" / "last").keys() == weights(tmp_path / "plain" / "last").keys()
    # The names in its state do not show the compilation.
    train(tiny(*small, "trainer.max_steps=4"), corpus, tmp_path / "run", resume=True)
    assert validation_losses(tmp_path / "run") == pytest.approx(validation_losses(tmp_path / "plain"), rel=1e-4)


def test_the_bar_shows_steps_and_losses_and_nothing_else_is_printed(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny(*SHORT), corpus, tmp_path / "silent")
    assert capsys.readouterr() == ("", "")
    train(tiny(*SHORT), corpus, tmp_path / "run", progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    last = err.split("\r")[-1]
    assert "Training: 100%" in last
    assert "4/4" in last
    shown = float(last.split("valid ")[1].split("]")[0])
    assert shown == pytest.approx(validation_losses(tmp_path / "run")[-1], abs=1e-3)


def test_lightning_is_quiet_inside_the_context_unless_it_logs_at_debug_level() -> None:
    talker = logging.getLogger("lightning.pytorch")
    before = talker.level
    try:
        for level, during in ((logging.INFO, logging.ERROR), (logging.DEBUG, logging.DEBUG)):
            talker.setLevel(level)
            with logs.quiet_lightning():
                assert talker.level == during
            assert talker.level == level
    finally:
        talker.setLevel(before)
