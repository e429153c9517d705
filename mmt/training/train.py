"""Train a network on a prepared corpus with a recipe: one call, for a single core or several hosts."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
import yaml
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.seed import isolate_rng

from mmt.corpus.storage import Corpus
from mmt.music.atomic import locked, remove_remnants, replacing
from mmt.music.bounded import check_utf8, escaped
from mmt.representation.arguments import path_of
from mmt.training.average import AverageWeights
from mmt.training.callbacks import SaveState, WriteCheckpoints
from mmt.training.card import describe
from mmt.training.loaders import Loaders, loaders_of
from mmt.training.logs import TrainingBar, log_folder, loggers, quiet_lightning
from mmt.training.module import TrainingModule
from mmt.training.optimizers import multiplies_bfloat16
from mmt.training.recipe import Recipe, load_recipe
from mmt.training.samples import WriteSamples
from mmt.training.starting_weights import fitting_weights, read_base
from mmt.training.stopping import RESUME, StopHere, StopSignals, check_resumable, raise_stopped, state_file, steps_done

RECIPE, CORPUS = "recipe.yaml", "corpus"


def train(
    recipe: Recipe | str | os.PathLike[str],
    corpus: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    start_from: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Path:
    """Train a network; write `best` and `last` checkpoints, `samples/`, `log/` (csv, TensorBoard) and `recipe.yaml` to a folder.

    Parameters
    ----------
    recipe : Recipe, str or path
        A recipe, or the name or file of one, see `load_recipe`.
    corpus : path
        A folder written by `mmt-prepare`.
    output : path
        The folder of the run. It must be new, unless `resume` or `overwrite` is true.
    start_from : path or str, optional
        A model whose weights initialise the network: a checkpoint folder, a run folder of the original code, or "default".
        It is the first checkpoint: `best` is this model until training has improved on it.
    resume : bool
        Continue the run in `output` from its saved state.
    overwrite : bool
        Delete the run in `output` first.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Path
        The folder of the best checkpoint.

    Raises
    ------
    FileExistsError
        If `output` exists and neither `resume` nor `overwrite` is true, or if it is not a run folder.
    ValueError
        If the corpus was prepared for another representation or a split is empty, if `start_from` does not fit the recipe,
        or if there is nothing to resume.
    BlockingIOError
        If another training is writing the same run.
    TrainingStopped
        If Ctrl-C or a signal stopped the training (a subclass of KeyboardInterrupt); its state is saved.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    output = path_of("output", output, "give the folder of the run")
    check_utf8(output.absolute())
    # If several processes train together, each of them runs this code, and the first locks and makes the folder.
    first = rank_zero_only.rank == 0  # type: ignore[attr-defined]  # Lightning sets it on its function
    with _locked_run(Path(output)) if first else nullcontext():
        return _train(recipe, corpus, Path(output), start_from, resume, overwrite, progress, first=first)


@contextmanager
def _locked_run(output: Path) -> Iterator[None]:
    """Lock a run folder by a hidden file next to it."""
    output = output.absolute()
    made = [folder for folder in output.parents if not folder.exists()]
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        busy = f"another training of {output} is at work; wait until it has ended, or give another folder"
        with locked(output.with_name(f".{output.name}-lock"), busy):
            remove_remnants(output)
            yield
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def _train(
    recipe: Recipe,
    corpus: str | os.PathLike[str],
    output: Path,
    start_from: str | os.PathLike[str] | None,
    resume: bool,
    overwrite: bool,
    progress: bool,
    *,
    first: bool,
) -> Path:
    training = Corpus(corpus, split="train", exclude=recipe.data.exclude)
    validation = Corpus(corpus, split="valid", exclude=recipe.data.exclude)
    _check_representation(recipe, training)
    # SLURM requeues a job with the same command.
    saved = state_file(output)
    resume = resume or (int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0 and saved.exists())
    if resume and not saved.exists():
        raise ValueError(f"{output} has no {RESUME}, so there is no training to resume")
    module, data = _initial_module(recipe, training, start_from, new=not resume)
    data["validation_sha256"] = validation.sha256
    if resume:
        check_resumable(recipe, data, output / RECIPE, output / "last")
    if first and not resume:
        check_room(output, overwrite)
    done = steps_done(saved) if resume else 0
    with isolate_rng(), warnings.catch_warnings(), quiet_lightning(), StopSignals() as signals:
        # Batch i depends on the seed and i only (see TrainingBatches): the loader needs no state to resume.
        warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch ended")
        trainer = _trainer(recipe, output, data, signals, progress, done)
        loaders = loaders_of(recipe, training, validation, trainer)
        # From here on the device and the strategy are known to exist: only now write and delete files.
        if first:
            if overwrite and not resume and output.exists():
                _clear(output)
            # A training that was killed repeats the steps since its saved state.
            shutil.rmtree(log_folder(output, done), ignore_errors=True)
            output.mkdir(parents=True, exist_ok=True)
            with replacing(output / RECIPE) as unfinished:
                unfinished.write_text(yaml.safe_dump(recipe.to_dict(), sort_keys=False), encoding="utf-8")
        try:
            _fit(trainer, module, loaders, saved if resume else None, validate_first=start_from is not None)
        except (StopHere, KeyboardInterrupt, SystemExit) as error:
            raise_stopped(error, trainer, output, signals)
        except Exception as error:
            if not resume or signals.begun or isinstance(error, OSError):
                raise
            raise ValueError(
                f"{saved} is not the state of this training ({' '.join(str(error).split())[:200]}); "
                "begin a new run from its best checkpoint (--from)"
            ) from error
    return output / "best"


def _fit(
    trainer: lightning.Trainer, module: TrainingModule, loaders: Loaders, state: Path | None, *, validate_first: bool
) -> None:
    if validate_first and state is None:
        # The initial model is a checkpoint like the later ones.
        trainer.validate(module, loaders[1], verbose=False)
    # weights_only: loading the file cannot run code.
    trainer.fit(module, *loaders, ckpt_path=state, weights_only=True)
    if trainer.global_step % module.recipe.trainer.validate_every:
        # Validate after the last step too, so that the final weights have a checkpoint.
        trainer.validate(module, loaders[1], verbose=False)


def _initial_module(
    recipe: Recipe, training: Corpus, start_from: str | os.PathLike[str] | None, *, new: bool
) -> tuple[TrainingModule, dict[str, Any]]:
    """The network before the first step, and the description of its training data."""
    data, weights = describe(training, recipe.data.exclude), None
    if start_from is not None:
        base = read_base(start_from)
        data["base"] = {"name": escaped(Path(start_from).name), "data": base.training.get("data")}
    with isolate_rng():
        torch.manual_seed(recipe.seed)
        if start_from is not None and new:
            weights = fitting_weights(base, start_from, recipe)
        return TrainingModule(recipe, weights), data


def check_room(output: Path, overwrite: bool) -> None:
    """Raise a `FileExistsError` unless a run may be written to a folder.

    The folder of a new run may be empty, or contain only a corpus and hidden files, which are kept.
    """
    if not output.exists() or (output.is_dir() and not _paths_of_run(output)):
        return
    if not overwrite:
        raise FileExistsError(f"{output} exists; give another folder, continue its training (resume), or overwrite it")
    if not (output / RECIPE).exists():
        raise FileExistsError(
            f"{output} is not a training run (it has no {RECIPE}), so it is not overwritten; give another"
        )


def _clear(output: Path) -> None:
    """Remove a run. The recipe comes last: a folder without it is no run, and could not be overwritten after a kill."""
    for path in sorted(_paths_of_run(output), key=lambda path: path.name == RECIPE):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _paths_of_run(output: Path) -> list[Path]:
    """The content of a run folder, without the corpus and hidden files (of a stopped preparation, or of the user)."""
    return [path for path in output.iterdir() if path.name != CORPUS and not path.name.startswith(".")]


def _check_representation(recipe: Recipe, corpus: Corpus) -> None:
    """Raise a `ValueError` unless the notes of a corpus are those of the recipe's representation."""
    for name in ("resolution", "instruments", "drums"):
        if getattr(recipe.representation, name) != getattr(corpus.representation, name):
            raise ValueError(
                f"the recipe's {name} is not that of {corpus.folder}; prepare the corpus with the recipe's representation "
                "(mmt-prepare --recipe or --checkpoint, with the same representation.… entries)"
            )


def _trainer(
    recipe: Recipe, output: Path, data: dict[str, Any], signals: StopSignals, progress: bool, done: int
) -> lightning.Trainer:
    chosen = recipe.trainer
    callbacks: list[Callback] = [signals, WriteCheckpoints(output, data)]
    if chosen.patience is not None:
        callbacks.append(EarlyStopping("valid/loss", patience=chosen.patience))
    if chosen.samples:
        callbacks.append(WriteSamples(output / "samples", recipe.seed))
    if recipe.optimizer.average is not None:
        # After the callbacks that read the weights at the end of a validation, and before the state is saved.
        callbacks.append(AverageWeights(recipe.optimizer.average))
    callbacks.append(SaveState(output / RESUME, chosen.save_every, signals))
    if progress:
        callbacks.append(TrainingBar())
    return lightning.Trainer(
        max_steps=chosen.max_steps,
        max_epochs=-1,
        val_check_interval=chosen.validate_every * chosen.accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        accumulate_grad_batches=chosen.accumulate,
        precision=fast_precision(chosen.accelerator) if chosen.precision == "auto" else chosen.precision,
        accelerator=chosen.accelerator,
        devices=chosen.devices,
        strategy=chosen.strategy,
        num_nodes=chosen.num_nodes,
        logger=loggers(recipe, output, done),
        log_every_n_steps=min(chosen.log_every, chosen.max_steps),
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=output,
    )


def fast_precision(accelerator: str) -> Literal["bf16-mixed", "32-true"]:
    """bf16-mixed on a GPU or CPU with bfloat16 units; others emulate it, which takes nearly twice as long as 32-true."""
    on_gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu" if accelerator == "auto" else accelerator
    return "bf16-mixed" if multiplies_bfloat16(device) else "32-true"
