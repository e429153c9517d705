"""Generate a piece at every validation, always with the same seed, so that progress can be seen and heard.

Writes `samples/step-N.mid`, `.png` and `.wav` to the run folder, logs picture and sound to TensorBoard, and all three to
Weights & Biases.
"""

from __future__ import annotations

import logging
from pathlib import Path

import lightning
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities.seed import isolate_rng

from mmt.model.checkpoint import Checkpoint
from mmt.music.atomic import replacing
from mmt.music.bounded import escaped
from mmt.representation.decode import decode
from mmt.sampling.model import Model
from mmt.training.module import TrainingModule

# Size of a sample: long enough to judge, short enough to wait for.
_EVENTS, _BEATS = 384, 48
_RATE = 22_050


class WriteSamples(Callback):
    """Writes a sample after each validation; an error is logged as a warning and does not stop the training."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        assert isinstance(module, TrainingModule)
        try:
            with isolate_rng(), torch.inference_mode():
                self._write(trainer, module)
        except Exception as error:
            logging.getLogger(__name__).warning("no sample of step %d: %s", trainer.global_step, escaped(str(error)))

    def _write(self, trainer: lightning.Trainer, module: TrainingModule) -> None:
        from mmt.music.audio import render, write_sound
        from mmt.music.files import write

        recipe, step = module.recipe, trainer.global_step
        model = Model(Checkpoint(module.trained_network().float(), recipe.representation, recipe.sampling))
        events, beats = min(_EVENTS, recipe.network.context), min(_BEATS, recipe.representation.beats)
        piece = model.generate(seed=self.seed, max_events=events, max_beats=beats)[0]
        music = decode(piece, representation=recipe.representation)
        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"step-{step}"
        for suffix in (".mid", ".png"):
            write(path.with_suffix(suffix), music)
        sound = render(music, sample_rate=_RATE)
        with replacing(path.with_suffix(".wav")) as unfinished, unfinished.open("wb") as file:
            write_sound(file, sound, _RATE)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("sample", _pixels(path.with_suffix(".png")), step, dataformats="HWC")
                logger.experiment.add_audio(
                    "sample", torch.from_numpy(sound.mean(axis=1)[None]), step, sample_rate=_RATE
                )
            elif isinstance(logger, WandbLogger):
                logger.log_image("sample/picture", [str(path.with_suffix(".png"))], step)
                logger.log_audio("sample/sound", [str(path.with_suffix(".wav"))], step)
                # wandb has no media type for MIDI: save the file with the files of the run.
                logger.experiment.save(str(path.with_suffix(".mid")), base_path=str(self.folder.parent), policy="now")


def _pixels(path: Path) -> npt.NDArray[np.uint8]:
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
