"""One's own files: from a folder of music and a trained model to one that has learned from the folder."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmt.corpus.prepare import prepare
from mmt.corpus.sources import stem
from mmt.corpus.storage import CORPUS as DESCRIPTION
from mmt.corpus.storage import Corpus
from mmt.model.checkpoint import Checkpoint, read_checkpoint
from mmt.training.recipe import Recipe, load_recipe, recipe_of
from mmt.training.starting_weights import read_base
from mmt.training.train import CORPUS, RECIPE, check_room, train

# The share of the works that is kept aside to see when it helps: some two of ten.
_VALID = 0.2
# What to expect of so many notes or more.
_EXPECTED = (
    (500_000, "enough to learn a style from"),
    (50_000, "what the pieces have in common can be learned, and it may repeat passages of them"),
    (
        0,
        "few: much is gained if the model does not know such music yet, little if it does; it may repeat whole passages",
    ),
)
_BATCH = 4
# Passes over the corpus at most, and how many validations they hold; the best of them is kept.
_ROUNDS, _VALIDATIONS = 20, 10
_LEAST_STEPS, _MOST_STEPS = 100, 5000
# Chosen by a trial with the shipped model and ten files each, 40 steps (benchmarks/training.md): a higher rate gains more
# where the music is new to the model and loses more where it is not; dropout gained nothing.
_RATE, _LORA_RATE = 3e-4, 3e-3


@dataclass(frozen=True)
class FineTuning:
    """What fine-tuning did."""

    checkpoint: Path
    """The folder of the best checkpoint."""
    before: float
    """Loss per note on the validation split, of the model that it began with."""
    after: float
    """The same of the best checkpoint."""
    steps: int
    """Steps after which that was; 0: no step made it better."""

    def __str__(self) -> str:
        if not self.steps:
            return (
                f"loss per note on pieces that it did not learn from: {self.before:.3f}, and no step made it better; "
                f"{self.checkpoint} is the model that it began with"
            )
        return (
            f"loss per note on pieces that it did not learn from: {self.before:.3f} before, "
            f"{self.after:.3f} after {self.steps:,} steps"
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
    say: Callable[[str], None] | None = None,
) -> FineTuning:
    """Go on training a model with one's own music, for as long as that helps on pieces of it that are kept aside.

    Parameters
    ----------
    base : str or path
        The model to begin with: "default", a checkpoint folder, or a run folder of the original code.
    sources : path or sequence of paths
        Music files, folders and archives, as `mmt.prepare` takes them; or one corpus that was prepared.
    output : path, optional
        The folder of the run. Default: `runs/`, and the name of the first source.
    lora_rank : int, optional
        Learn additions of this rank to the linear maps alone (LoRA). Default: all weights.
    overrides : sequence of str
        Entries of the recipe to change, `section.entry=value`; the rest is chosen by the size of the corpus.
    exclude : sequence of str
        Patterns; pieces whose name, source, licence or composer matches one are left out.
    seed : int
        Of the splits, the order of the data and the samples.
    jobs : int
        Processes that read files; -1 for one a core.
    resume, overwrite, progress
        As for `mmt.train`.
    say : function of str, optional
        Is told, before the training begins, what was kept of the files, how much there is to learn from and what to expect.

    Raises
    ------
    FileExistsError
        If `output` exists and neither `resume` nor `overwrite` is true.
    ValueError
        If the sources hold no music, or too little to keep a piece aside.
    """
    named = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    if not named:
        raise ValueError("nothing to learn from was given; name files, folders or archives of music, or a corpus")
    output = Path(output) if output is not None else default_output(named)
    started = read_base(base)
    if not resume:
        check_room(output, overwrite)
    corpus = _corpus(named, output, started, seed, jobs, resume=resume, progress=progress, say=say)
    goes_on = resume and (output / RECIPE).exists()
    if goes_on:
        recipe = load_recipe(output / RECIPE, overrides)
        _check_flags_stay(output, recipe, exclude, lora_rank)
        exclude = recipe.data.exclude
    _check_something_is_kept_aside(corpus, output, exclude)
    if not goes_on:
        pieces = Corpus(corpus, split="train", exclude=exclude)
        recipe = choose_recipe(started, pieces, lora_rank=lora_rank, exclude=exclude, seed=seed, overrides=overrides)
    if say is not None:
        say(expectation(Corpus(corpus, split="train", exclude=exclude), recipe))
    best = train(recipe, corpus, output, start_from=base, resume=resume, overwrite=overwrite, progress=progress)
    return _outcome(best)


def _check_flags_stay(output: Path, recipe: Recipe, exclude: Sequence[str], lora_rank: int | None) -> None:
    """Raise a `ValueError` if a run that goes on is asked for what it did not begin with."""
    given = {"--exclude": (list(exclude), list(recipe.data.exclude)), "--lora": (lora_rank, recipe.optimizer.lora_rank)}
    for flag, (now, before) in given.items():
        if now and now != before:
            raise ValueError(f"{flag} is {now}, and was {before or 'none'} when {output} began; leave it out to go on")


def choose_recipe(
    base: Checkpoint,
    corpus: Corpus,
    *,
    lora_rank: int | None = None,
    exclude: Sequence[str] = (),
    seed: int = 0,
    overrides: Sequence[str] = (),
) -> Recipe:
    """The recipe by which a model goes on with a corpus (its training split): its length follows from the corpus' size."""
    windows = sum(math.ceil(piece.length / base.network.config.context) for piece in corpus.pieces)
    steps = min(max(_ROUNDS * windows // _BATCH, _LEAST_STEPS), _MOST_STEPS)
    every = max(steps // _VALIDATIONS, 1)
    values = {
        "representation": base.representation.to_dict(),
        "network": base.network.config.to_dict() | {"dropout": 0.0},
        "data": {
            "batch_size": _BATCH,
            # Few and short pieces would teach their endings more than anything else: half of the windows begin as they do.
            "augmentation": {"pitch_shift": [-5, 6], "start_share": 0.5, "length_exponent": 0.5} | _shares(base),
            "validation_windows": 64,
            "exclude": list(exclude),
        },
        "optimizer": {
            "name": "adamw",
            "learning_rate": _RATE if lora_rank is None else _LORA_RATE,
            "betas": [0.9, 0.98],
            "weight_decay": 0.05,
            "warmup_steps": min(20, steps),
            "decay_start": min(20, steps),
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
    """How often windows hold given notes and a told length, as the base has learned it, so that it is not forgotten."""
    options = {"given_share": base.representation.given, "length_share": base.representation.length}
    recipe = base.training.get("recipe") or {}
    before = (recipe.get("data") or {}).get("augmentation") or {}
    return {name: float(before.get(name, 0.0)) for name, has in options.items() if has}


def default_output(sources: Sequence[str | os.PathLike[str]]) -> Path:
    """Where a run goes that has been given no folder: `runs/` and the name of the first source, without a file's suffix."""
    first = Path(sources[0]).resolve()
    return Path("runs") / (first.name if first.is_dir() else stem(first.name))


def expectation(corpus: Corpus, recipe: Recipe) -> str:
    """How much there is to learn from (the training split), and what may be expected of that: one line."""
    pieces, notes = len(corpus), sum(piece.length for piece in corpus.pieces)
    what = next(words for least, words in _EXPECTED if notes >= least)
    return f"{pieces:,} pieces of {notes:,} notes to learn from, at most {recipe.trainer.max_steps:,} steps: {what}"


def _corpus(
    sources: Sequence[str | os.PathLike[str]],
    output: Path,
    base: Checkpoint,
    seed: int,
    jobs: int,
    *,
    resume: bool,
    progress: bool,
    say: Callable[[str], None] | None,
) -> Path:
    """The prepared corpus: the one that was given, or one in the run's folder that is made of the sources."""
    if len(sources) == 1 and (Path(sources[0]) / DESCRIPTION).exists():
        return Path(sources[0])
    if resume and (output / CORPUS).exists():
        return output / CORPUS
    shares = {"valid": _VALID, "test": 0.0}
    prepared = prepare(
        sources,
        output / CORPUS,
        representation=base.representation,
        shares=shares,
        seed=seed,
        jobs=jobs,
        overwrite=True,
        progress=progress,
    )
    if say is not None:
        say(str(prepared))
    return output / CORPUS


def _check_something_is_kept_aside(corpus: Path, output: Path, exclude: Sequence[str]) -> None:
    pieces = Corpus(corpus, exclude=exclude).pieces
    if any(piece.split == "valid" for piece in pieces):
        return
    if corpus == output / CORPUS and not (output / RECIPE).exists():
        # Made for this alone, and of no use: the next call has other files.
        shutil.rmtree(corpus)
        with suppress(OSError):
            output.rmdir()
    raise ValueError(
        f"{len(pieces):,} piece{'s' if len(pieces) > 1 else ''} and none in the valid split: some music must be kept aside "
        "to see what helps; add another work, the more the better"
    )


def _outcome(best: Path) -> FineTuning:
    training = read_checkpoint(best).training
    return FineTuning(best, training["before"], training["validation"]["loss"], training["steps"])
