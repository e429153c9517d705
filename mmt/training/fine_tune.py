"""Fine-tune a trained model on your own music files: prepare them, choose a recipe, and train."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmt.corpus.prepare import prepare
from mmt.corpus.sources import stem
from mmt.corpus.storage import CORPUS as DESCRIPTION
from mmt.corpus.storage import Corpus
from mmt.model.checkpoint import Checkpoint, read_training
from mmt.model.recipes import find_checkpoint
from mmt.representation.arguments import described, path_of
from mmt.training.card import windows_measured
from mmt.training.recipe import Recipe, load_recipe, recipe_of
from mmt.training.starting_weights import read_base
from mmt.training.train import CORPUS, RECIPE, check_room, train

Say = Callable[[str], None]
# Share of works in the validation split.
_VALID = 0.2
# What to expect from a number of notes or more.
_EXPECTED = (
    (500_000, "enough to learn a style from"),
    (50_000, "the model can learn what the pieces have in common, and may repeat passages of them"),
    (0, "few: this helps much if such music is new to the model, else little; it may repeat whole passages"),
)
_BATCH = 4
# Largest number of epochs, and number of validations; the best checkpoint is kept.
_EPOCHS, _VALIDATIONS = 20, 10
_MIN_STEPS, _MAX_STEPS = 100, 5000
# Chosen by a trial with an earlier model, ten files and 40 steps (benchmarks/training.md): a higher rate gains more if the
# music is new to the model, and loses more if it is not; dropout did not help.
_RATE, _LORA_RATE = 3e-4, 3e-3


@dataclass(frozen=True)
class FineTuning:
    """The result of fine-tuning."""

    checkpoint: Path
    """The folder of the best checkpoint; that of the initial model if no step improved on it."""
    before: float
    """Validation loss per note of the initial model."""
    after: float
    """Validation loss per note of the best checkpoint."""
    steps: int
    """Number of steps of the best checkpoint; 0 if no step improved on the initial model."""
    measured: str = "windows"
    """The windows that the losses are of: all of the validation split, or a subset."""

    def __str__(self) -> str:
        what = f"loss per note on {self.measured} of pieces that it did not learn from"
        if self.steps:
            return f"{what}: {self.before:.3f} before, {self.after:.3f} after {self.steps:,} steps"
        return (
            f"nothing was gained: {what}: {self.before:.3f}, and no step made it better; no copy is kept, and "
            f"{self.checkpoint} stays the better model\n"
            "what may help: more files; a lower rate (optimizer.learning_rate=0.0001); LoRA (--lora), which changes less"
        )


def fine_tune(
    base: str | os.PathLike[str],
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    lora_rank: int | None = None,
    overrides: Sequence[str] = (),
    exclude: Sequence[str] = (),
    seed: int = 0,
    jobs: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
    say: Say | None = None,
) -> FineTuning:
    """Fine-tune a model on your own music, until the loss on held-out pieces stops falling.

    Parameters
    ----------
    base : str or path
        The initial model: "default", a checkpoint folder, or a run folder of the original code.
    sources : path or sequence of paths
        Music files, folders and archives, as for `mmt.prepare`; or a single prepared corpus.
    output : path, optional
        The folder of the run. Default: `runs/` and the name of the first source.
    lora_rank : int, optional
        Train only low-rank additions of this rank to the linear maps (LoRA). Default: train all weights.
    overrides : sequence of str
        Entries of the recipe to change, `section.entry=value`; the recipe is otherwise chosen by the size of the corpus.
    exclude : sequence of str
        Patterns; pieces whose name, source, licence or composer matches one are left out.
    seed : int
        Seed of the splits, the order of the data and the samples.
    jobs, resume, overwrite, progress
        As for `mmt.prepare` and `mmt.train`.
    say : function of str, optional
        Called before the training with lines about the files that were kept, the size of the corpus and what to expect.

    Raises
    ------
    FileExistsError, ValueError
        If `output` exists without `resume` or `overwrite`; if the sources hold no music, or too little for a validation split.
    """
    paths = _paths_of(sources)
    output = default_output(paths) if output is None else path_of("output", output, "give the folder of the run")
    model = read_base(base)
    say = say or (lambda line: None)
    if not resume:
        check_room(output, overwrite)
    corpus = _corpus(paths, output, model, seed, jobs, resume=resume, progress=progress, say=say)
    resumed = _resumed(output, overrides, exclude, lora_rank) if resume and (output / RECIPE).exists() else None
    exclude = exclude if resumed is None else resumed.data.exclude
    _check_validation_split(corpus, output, exclude)
    pieces = Corpus(corpus, split="train", exclude=exclude)
    recipe = resumed or choose_recipe(
        model, pieces, lora_rank=lora_rank, exclude=exclude, seed=seed, overrides=overrides
    )
    say(expectation(pieces, recipe))
    best = train(recipe, corpus, output, start_from=base, resume=resume, overwrite=overwrite, progress=progress)
    return _outcome(best, find_checkpoint(base))


def _paths_of(sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The paths of the sources; a `ValueError` if no source was given."""
    given = [sources] if isinstance(sources, str | os.PathLike | Corpus) else sources
    if not isinstance(given, Iterable):
        raise ValueError(
            f"sources is {described(sources)}; give a list of paths of music, or the folder of a prepared corpus"
        )
    given = list(given)
    if not given:
        raise ValueError("nothing to learn from was given; name files, folders or archives of music, or a corpus")
    return [path_of("a source", one, "give paths of music, or the folder of a prepared corpus") for one in given]


def _resumed(output: Path, overrides: Sequence[str], exclude: Sequence[str], lora_rank: int | None) -> Recipe:
    """The recipe of a run that is resumed; a `ValueError` if flags differ from those that it began with."""
    recipe = load_recipe(output / RECIPE, overrides)
    given = {"--exclude": (list(exclude), list(recipe.data.exclude)), "--lora": (lora_rank, recipe.optimizer.lora_rank)}
    for flag, (now, before) in given.items():
        if now and now != before:
            raise ValueError(f"{flag} is {now}, and was {before or 'none'} when {output} began; leave it out to resume")
    return recipe


def choose_recipe(
    base: Checkpoint,
    corpus: Corpus,
    *,
    lora_rank: int | None = None,
    exclude: Sequence[str] = (),
    seed: int = 0,
    overrides: Sequence[str] = (),
) -> Recipe:
    """The recipe for fine-tuning on a corpus (its training split); the number of steps grows with the size of the corpus."""
    windows = sum(math.ceil(piece.length / base.network.config.context) for piece in corpus.pieces)
    steps = min(max(_EPOCHS * windows // _BATCH, _MIN_STEPS), _MAX_STEPS)
    every = steps // _VALIDATIONS
    values = {
        "representation": base.representation.to_dict(),
        "network": base.network.config.to_dict() | {"dropout": 0.0},
        "data": {
            "batch_size": _BATCH,
            # With few and short pieces, endings would dominate: half of the windows start where their piece does.
            "augmentation": {"pitch_shift": [-5, 6], "start_share": 0.5, "length_exponent": 0.5} | _shares(base),
            "validation_windows": 64,
            "exclude": list(exclude),
        },
        "optimizer": {
            "name": "adamw",
            "learning_rate": _RATE if lora_rank is None else _LORA_RATE,
            "betas": [0.9, 0.98],
            "weight_decay": 0.05,
            "warmup_steps": 20,
            "decay_start": 20,
            "decay_end": steps,
            "final_share": 0.0,
            "lora_rank": lora_rank,
        },
        "trainer": {
            "max_steps": steps,
            "validate_every": every,
            "save_every": every,
            "patience": 3,
            "precision": "auto",
            "devices": 1,
        },
        "sampling": dict(base.sampling),
        "seed": seed,
    }
    return recipe_of(values, overrides)


def _shares(base: Checkpoint) -> dict[str, float]:
    """The shares of windows with given notes and with a length, as in the training of the base, which would else unlearn both."""
    options = {"given_share": base.representation.given, "length_share": base.representation.length}
    recipe = base.training.get("recipe") or {}
    before = (recipe.get("data") or {}).get("augmentation") or {}
    return {name: float(before.get(name, 0.0)) for name, has in options.items() if has}


def default_output(sources: Sequence[str | os.PathLike[str]]) -> Path:
    """The default run folder: `runs/` and the name of the first source, without the suffix of a file."""
    first = Path(sources[0]).resolve()
    return Path("runs") / (first.name if first.is_dir() else stem(first.name))


def expectation(corpus: Corpus, recipe: Recipe) -> str:
    """The size of the training split, and what can be expected from it, in one line."""
    pieces, notes = len(corpus), sum(piece.length for piece in corpus.pieces)
    what = next(words for least, words in _EXPECTED if notes >= least)
    return f"{pieces:,} pieces of {notes:,} notes to learn from, at most {recipe.trainer.max_steps:,} steps: {what}"


def _corpus(
    paths: list[Path], output: Path, base: Checkpoint, seed: int, jobs: int, *, resume: bool, progress: bool, say: Say
) -> Path:
    """The folder of the prepared corpus: the given one, or one prepared from the sources in the run folder."""
    if len(paths) == 1 and (paths[0] / DESCRIPTION).exists():
        return paths[0]
    if resume and (output / CORPUS).exists():
        return output / CORPUS
    prepared = prepare(
        paths, output / CORPUS, representation=base.representation, shares={"valid": _VALID, "test": 0.0}, seed=seed,
        jobs=jobs, overwrite=True, progress=progress,
    )  # fmt: skip
    say(str(prepared))
    return output / CORPUS


def _check_validation_split(corpus: Path, output: Path, exclude: Sequence[str]) -> None:
    pieces = Corpus(corpus, exclude=exclude).pieces
    if any(piece.split == "valid" for piece in pieces):
        return
    if corpus == output / CORPUS and not (output / RECIPE).exists():
        # The next call will prepare other files.
        shutil.rmtree(corpus)
        with suppress(OSError):
            output.rmdir()
    raise ValueError(
        f"{len(pieces):,} piece{'s' if len(pieces) > 1 else ''} and none in the valid split: training needs "
        "pieces to validate on; add another work"
    )


def _outcome(best: Path, base: Path) -> FineTuning:
    """The result of a finished training; a best checkpoint that is the initial model is removed."""
    last = read_training(best.with_name("last"))
    found = read_training(best) if best.exists() else {}
    before, measured = last["before"], windows_measured(last)
    if found.get("steps"):
        return FineTuning(best, before, found["validation"]["loss"], found["steps"], measured)
    shutil.rmtree(best, ignore_errors=True)
    return FineTuning(base, before, before, 0, measured)
