"""Pieces that models generate for an evaluation: the paper's three ways to begin (section 3.3), each with its own prompt.

Piece i of a mode has its own seed, derived from (seed, i), so that it does not depend on the number of pieces, on the batch
size, or on a stop. Prompts are taken from real pieces, the same for every model: their instruments or their first beats, with
the silence before the first note removed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from mmt.analysis.ledger import Ledger, fingerprint
from mmt.analysis.pieces import check_same_representation
from mmt.corpus.storage import Corpus
from mmt.model.recipes import find_checkpoint, shipped
from mmt.representation import prompt
from mmt.representation.arguments import described, whole
from mmt.representation.codes import BEAT, INSTRUMENT, INSTRUMENT_EVENT, NOTE, TYPE, Events
from mmt.representation.prompt import Prompt
from mmt.sampling.model import Model, load_model
from mmt.sampling.several import generate_each
from mmt.sampling.streams import seed_of

MODES = ("unconditional", "instrument-informed", "4-beat continuation", "16-beat continuation")
_PROMPT_BEATS = {"4-beat continuation": 4, "16-beat continuation": 16}
# Largest batch size.
_AT_ONCE = 32
# What names of models do not keep of the names of folders.
_UNSAFE = re.compile(r"[^\w .,@+=()-]")


@dataclass(frozen=True)
class GeneratedPieces:
    """The pieces that a model generated in a mode."""

    pieces: tuple[Events, ...]
    first_beats: tuple[int, ...]
    """For each piece: notes before this beat are the prompt."""
    seconds: float
    """Time of generation."""
    new_notes: int
    at_once: int
    """Batch size."""

    @property
    def notes_per_second(self) -> float:
        """New notes per second, on the machine that generated them."""
        return self.new_notes / self.seconds if self.seconds else float("nan")


@dataclass(frozen=True)
class Plan:
    """What is generated for an evaluation or a listening test: by which models, and from which prompts."""

    models: dict[str, Model]
    real: Corpus
    """The real pieces that generated ones are compared with."""
    sources: list[int]
    """For each piece to generate, the index of the real piece that its prompt is taken from."""
    seed: int
    max_events: int
    sampling: Literal["default", "paper"]
    settings: dict[str, Any]
    """What the pieces depend on, for the report: corpus, seed, limits, fingerprints of the models."""

    def generate(self, name: str, mode: str, folder: Path, progress: bool) -> GeneratedPieces:
        """The pieces of a model in a mode; finished ones are kept in `folder`."""
        return generate_pieces(
            self.models[name], self.real, mode, self.sources, seed=self.seed, max_events=self.max_events,
            sampling=self.sampling, ledger=folder / f"{name}-{mode.replace(' ', '-')}.jsonl", progress=progress,
        )  # fmt: skip


def plan_pieces(
    checkpoints: Sequence[str | PathLike[str] | None],
    corpus: str | PathLike[str],
    *,
    split: str,
    only: Collection[str] | None,
    n: int,
    modes: Sequence[str],
    seed: int,
    max_events: int | None,
    sampling: Literal["default", "paper"],
    device: str,
) -> Plan:
    """Load the models and choose the prompts; arguments and errors are those of `mmt.evaluate_models`."""
    if isinstance(checkpoints, str) or not isinstance(checkpoints, Sequence):
        raise ValueError(
            f"checkpoints is {described(checkpoints)}; give a list of paths; None is the model that mmt ships"
        )
    if isinstance(modes, str) or not len(modes):
        raise ValueError(f"modes is {described(modes)}; give a list of one or more of {', '.join(MODES)}")
    seed_of(seed)
    real, models = _chosen_pieces(Corpus(corpus, split=split), only), _load_models(checkpoints, device)
    context = min(model.network.config.context for model in models.values())
    max_events = context if max_events is None else max_events
    if unknown := [mode for mode in modes if mode not in MODES]:
        raise ValueError(f"mode {unknown[0]!r} is unknown; choose from {', '.join(MODES)}")
    if whole("n", n) < 1:
        raise ValueError(f"n is {n}; it must be at least 1 piece per mode")
    if not 32 <= whole("max_events", max_events) <= context:
        raise ValueError(f"max_events is {max_events}; with these models it must be 32 to {context}")
    for model in models.values():
        check_same_representation(model, real)
    sources, fit = choose_prompts(real, n, seed=seed, longest=max_events // 2, modes=modes)
    settings = {
        "corpus": str(corpus), "split": split, "pieces": len(real), "n": n, "seed": seed, "max_events": max_events,
        "sampling": sampling, "prompts_from": min(n, fit), "pieces_fit_for_prompts": fit,
        "models": {name: fingerprint(model) for name, model in models.items()},
        "only": None if only is None else sorted(only), "corpus_sha256": real.sha256,
    }  # fmt: skip
    return Plan(models, real, sources, seed, max_events, sampling, settings)


def choose_prompts(
    corpus: Corpus, n: int, *, seed: int, longest: int, modes: Sequence[str] = MODES
) -> tuple[list[int], int]:
    """Draw `n` pieces of a corpus to take prompts from; returns their indices and the number of usable pieces.

    A piece is usable, in all modes, if it goes on after 16 beats and its 16-beat prompt has at most `longest` events. If no
    piece is usable and no mode takes beats, all pieces are. Pieces repeat if fewer than `n` are usable.

    Raises
    ------
    ValueError
        If no piece is usable.
    """
    usable = []
    for index in range(len(corpus)):
        notes = corpus.notes(index)
        beats = notes["beat"]
        events = int(np.searchsorted(beats, beats[0] + 16)) + 2 + len(np.unique(notes["instrument"]))
        if beats[-1] - beats[0] >= 16 and events <= longest:
            usable.append(index)
    if not usable and _PROMPT_BEATS.keys().isdisjoint(modes):
        usable = list(range(len(corpus)))
    if not usable:
        raise ValueError(
            f"no piece of {corpus.folder} goes on after 16 beats with at most {longest} events in them; "
            "give a corpus with longer pieces, or choose modes without beats"
        )
    drawn = np.random.default_rng(seed).permutation(usable).tolist()
    return [drawn[place % len(drawn)] for place in range(n)], len(usable)


def make_prompt(corpus: Corpus, index: int, mode: str) -> Prompt:
    """The prompt of a mode, taken from a piece."""
    if mode == "unconditional":
        return prompt.start()
    piece = corpus[index]
    notes = piece[:, TYPE] == NOTE
    piece[notes, BEAT] -= piece[notes, BEAT].min() - 1
    if mode == "instrument-informed":
        codes = piece[piece[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT]
        names = [corpus.representation.names[code - 1] for code in codes]
        return prompt.instruments(*names, representation=corpus.representation)
    return prompt.beats(piece, _PROMPT_BEATS[mode], representation=corpus.representation)


def generate_pieces(
    model: Model,
    corpus: Corpus,
    mode: str,
    sources: Sequence[int],
    *,
    seed: int,
    max_events: int,
    sampling: Literal["default", "paper"] = "default",
    ledger: str | PathLike[str] | None = None,
    progress: bool = False,
) -> GeneratedPieces:
    """Generate a piece in a mode for each source, the index of a piece of the corpus that gives the prompt.

    With a `ledger` file, pieces are saved as they are finished, and a stopped generation continues.
    """
    names = [corpus.sha256_of(index) for index in sources]
    job = {"what": "pieces", "model": fingerprint(model), "mode": mode, "seed": seed, "sampling": sampling}
    job |= {"max_events": max_events, "sampling_settings": dict(model.sampling)}
    if model.network.decodes_with != "float32":
        job["weights"] = model.network.decodes_with
    known = Ledger(ledger, job)
    at_once = min(_AT_ONCE, len(names))
    keys = [f"{number}" if mode == "unconditional" else f"{number}:{name}" for number, name in enumerate(names)]
    missing = [number for number, key in enumerate(keys) if key not in known]
    bar = tqdm(total=len(keys), initial=len(keys) - len(missing), unit=" pieces", desc=mode, disable=not progress)
    with bar:
        for first in range(0, len(missing), at_once):
            batch = missing[first : first + at_once]
            starts = [make_prompt(corpus, sources[number], mode) for number in batch]
            seeds = [int(np.random.SeedSequence((seed, number)).generate_state(1)[0]) for number in batch]
            since = time.perf_counter()
            pieces = generate_each(model, starts, seeds, max_events=max_events, sampling=sampling)
            seconds = (time.perf_counter() - since) / len(batch)
            for number, start, events in zip(batch, starts, pieces, strict=True):
                new = int((events[len(start) :, TYPE] == NOTE).sum())
                result = {
                    "events": events.tolist(),
                    "first_beat": start.first_beat,
                    "seconds": seconds,
                    "new_notes": new,
                }
                known.add(keys[number], result)
            bar.update(len(batch))
    found = [known[key] for key in keys]
    return GeneratedPieces(
        pieces=tuple(np.array(piece["events"], np.int64) for piece in found),
        first_beats=tuple(piece["first_beat"] for piece in found),
        seconds=sum(piece["seconds"] for piece in found),
        new_notes=sum(piece["new_notes"] for piece in found),
        at_once=at_once,
    )


def _chosen_pieces(real: Corpus, only: Collection[str] | None) -> Corpus:
    """The pieces with these names; all pieces for None."""
    if only is None:
        return real
    names = set(only)
    kept = [index for index, piece in enumerate(real.pieces) if piece.name in names]
    if not kept:
        raise ValueError(
            f"none of the {len(only)} names is a piece of {real.folder} in this split; give names of pieces.csv"
        )
    return real.subset(kept)


def _load_models(checkpoints: Sequence[str | PathLike[str] | None], device: str) -> dict[str, Model]:
    """The models by name: the name of the folder, after that of its parent if two are the same."""
    if not checkpoints:
        raise ValueError("there is no model to evaluate; give at least one checkpoint")
    paths = [
        (shipped("checkpoints", "default") if path is None else find_checkpoint(path)).resolve() for path in checkpoints
    ]
    # Names go into tables, links and file names.
    names = [_UNSAFE.sub("_", path.name) for path in paths]
    if len(set(names)) < len(names):
        names = [_UNSAFE.sub("_", f"{path.parent.name}-{path.name}") for path in paths]
    if len(set(names)) < len(names):
        raise ValueError(f"two checkpoints have the name {max(names, key=names.count)}; give each another folder name")
    return {name: load_model(path, device=device) for name, path in zip(names, paths, strict=True)}
