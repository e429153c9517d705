"""Train a network on a prepared corpus, by a recipe: one call, on one core or many hosts."""

from __future__ import annotations

import os
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
import yaml
from lightning.pytorch.callbacks import Callback, EarlyStopping, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.seed import isolate_rng
from torch.utils.data import DataLoader, Sampler

from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Batch, Limits, TrainingBatches, ValidationBatches
from mmt.model.checkpoint import read_checkpoint
from mmt.model.network import Network
from mmt.training.callbacks import SaveState, WriteCheckpoints
from mmt.training.module import TrainingModule
from mmt.training.recipe import Recipe

RECIPE, RESUME = "recipe.yaml", "resume.ckpt"


def train(
    recipe: Recipe,
    corpus: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    start_from: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Path:
    """Train, and write checkpoint folders `best` and `last`, `recipe.yaml` and `log/` (csv) to a folder.

    Parameters
    ----------
    recipe : Recipe
        See `load_recipe`.
    corpus : path
        A folder that `mmt-prepare` made.
    output : path
        A new folder for the run; with `resume`, that of a run which was stopped, and goes on; with `overwrite`, that of a
        run which is thrown away.
    start_from : path, optional
        A checkpoint folder whose weights to begin with. What the network has and the checkpoint has not begins anew.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    Path
        The folder of the best checkpoint.

    Raises
    ------
    FileExistsError
        If `output` exists and neither `resume` nor `overwrite` is true, or it is no run.
    ValueError
        If the corpus was prepared for another representation, or there is nothing to resume.
    """
    output = Path(output)
    training, validation = Corpus(corpus, split="train"), Corpus(corpus, split="valid")
    _check_representation(recipe, training)
    state = output / RESUME
    if resume and not state.exists():
        raise ValueError(f"{output} has no {RESUME}; there is no training to go on with")
    module = _module(recipe, start_from if not resume else None)
    # Where several processes train together, each comes through here: the first makes the folder.
    if rank_zero_only.rank == 0:  # type: ignore[attr-defined]  # Lightning sets it on its function
        if output.exists() and not resume:
            _make_room(output, overwrite)
        output.mkdir(parents=True, exist_ok=True)
        (output / RECIPE).write_text(yaml.safe_dump(recipe.to_dict(), sort_keys=False), encoding="utf-8")
    done = _steps_done(state) if resume else 0
    with isolate_rng(), warnings.catch_warnings():
        # Batch i is the same whoever draws it and when (see TrainingBatches): the loader needs no state to go on.
        warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch ended")
        trainer = _trainer(recipe, output, training, progress, done)
        loaders = _loaders(recipe, training, validation, done, trainer)
        trainer.fit(module, *loaders, ckpt_path=state if resume else None, weights_only=False)
        if trainer.global_step % recipe.trainer.validate_every:
            # The last steps are validated too: no training ends without a checkpoint of its end.
            trainer.validate(module, loaders[1], verbose=False)
    return output / "best"


def _module(recipe: Recipe, start_from: str | os.PathLike[str] | None) -> TrainingModule:
    with isolate_rng():
        torch.manual_seed(recipe.seed)
        module = TrainingModule(recipe)
    if start_from is not None:
        _take_weights(module.network, start_from)
    return module


def _take_weights(network: Network, folder: str | os.PathLike[str]) -> None:
    """Take over every weight that has the same name and shape."""
    theirs, ours = read_checkpoint(folder).network.state_dict(), network.state_dict()
    fitting = {name: tensor for name, tensor in theirs.items() if name in ours and ours[name].shape == tensor.shape}
    if not fitting:
        raise ValueError(f"no weight of {folder} fits the recipe's network; begin with a checkpoint of the same sizes")
    network.load_state_dict(fitting, strict=False)


def _make_room(output: Path, overwrite: bool) -> None:
    if not overwrite:
        raise FileExistsError(
            f"{output} exists; give another folder, go on with its training (resume), or overwrite it"
        )
    if not (output / RECIPE).exists():
        raise FileExistsError(
            f"{output} is no training run (it has no {RECIPE}), and so is not overwritten; give another"
        )
    shutil.rmtree(output)


def _check_representation(recipe: Recipe, corpus: Corpus) -> None:
    ours, theirs = recipe.representation.to_dict(), corpus.representation.to_dict()
    for name in ("resolution", "instruments"):
        if ours[name] != theirs[name]:
            raise ValueError(
                f"the recipe's {name} is not that of {corpus.folder}; prepare the corpus with the recipe's representation"
            )


def _trainer(recipe: Recipe, output: Path, training: Corpus, progress: bool, done: int) -> lightning.Trainer:
    chosen = recipe.trainer
    callbacks: list[Callback] = [
        WriteCheckpoints(output, _describe(training)),
    ]
    if chosen.patience is not None:
        callbacks.append(EarlyStopping("valid/loss", patience=chosen.patience))
    callbacks.append(SaveState(output / RESUME))
    if progress:
        callbacks.append(TQDMProgressBar(refresh_rate=10))
    return lightning.Trainer(
        max_steps=chosen.max_steps,
        max_epochs=-1,
        val_check_interval=chosen.validate_every * chosen.accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        accumulate_grad_batches=chosen.accumulate,
        precision=chosen.precision,  # type: ignore[arg-type]
        accelerator=chosen.accelerator,
        devices=chosen.devices,
        strategy=chosen.strategy,
        num_nodes=chosen.num_nodes,
        logger=CSVLogger(output, "log", version=f"from-step-{done}"),
        log_every_n_steps=min(10, chosen.max_steps),
        callbacks=callbacks,
        enable_progress_bar=progress,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=output,
    )


def _loaders(
    recipe: Recipe, training: Corpus, validation: Corpus, done: int, trainer: lightning.Trainer
) -> tuple[DataLoader[Batch], DataLoader[Batch]]:
    limits = Limits(recipe.network.context + 1, recipe.representation.beats)
    data = recipe.data
    # Devices take turns in one row of batches.
    each_step = recipe.trainer.accumulate * trainer.world_size
    batches = TrainingBatches(
        training,
        limits,
        batch_size=data.batch_size,
        steps=recipe.trainer.max_steps * each_step,
        augmentation=data.augmentation,
        seed=recipe.seed,
        first=done * each_step,
    )
    options: dict[str, Any] = {"batch_size": None, "num_workers": data.workers, "persistent_workers": data.workers > 0}
    checks = ValidationBatches(validation, limits, batch_size=data.batch_size, windows=data.validation_windows)
    return (
        DataLoader(batches, sampler=_Turns(len(batches), trainer), **options),
        DataLoader(checks, sampler=_Turns(len(checks), trainer), **options),
    )


class _Turns(Sampler[int]):
    """Which batches a device takes: every n-th of n devices'. Lightning's own sampler would shuffle them, and repeat some."""

    def __init__(self, count: int, trainer: lightning.Trainer) -> None:
        self.count, self.trainer = count, trainer

    def __iter__(self) -> Iterator[int]:
        return iter(self._places())

    def __len__(self) -> int:
        return len(self._places())

    def _places(self) -> range:
        # A device must not go without, or the others wait for it: where there are fewer batches, it repeats one.
        return range(self.trainer.global_rank % self.count, self.count, self.trainer.world_size)


def _steps_done(state: Path) -> int:
    # Our own file, written by Lightning: it holds more than tensors.
    return int(torch.load(state, map_location="cpu", weights_only=False)["global_step"])


def _describe(corpus: Corpus) -> dict[str, Any]:
    return {
        "name": corpus.folder.name,
        "pieces": len(corpus),
        "notes": sum(piece.length for piece in corpus.pieces),
        "licences": dict(Counter(piece.licence for piece in corpus.pieces)),
    }
