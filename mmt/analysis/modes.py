"""Pieces that a model writes for an evaluation: the paper's three ways to begin (section 3.3), one prompt a piece.

Piece i of a mode is drawn with a seed of its own, made of (seed, i), so that it is the same however many are written, at once
or after a stop. Prompts come from real pieces, drawn with the same seed for every model: their instruments, or their first
beats; a silence before the first note is left out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Literal

import numpy as np
from tqdm import tqdm

from mmt.analysis.ledger import Ledger, fingerprint
from mmt.corpus.storage import Corpus
from mmt.representation import prompt
from mmt.representation.codes import BEAT, INSTRUMENT, INSTRUMENT_EVENT, NOTE, TYPE, Events
from mmt.representation.prompt import Prompt
from mmt.sampling.model import Model

MODES = ("unconditional", "instrument-informed", "4-beat continuation", "16-beat continuation")
_PROMPT_BEATS = {"4-beat continuation": 4, "16-beat continuation": 16}
# Pieces from one prompt are written so many at a time; others one by one.
_AT_ONCE = 16


@dataclass(frozen=True)
class Samples:
    """What a model wrote in a mode."""

    pieces: tuple[Events, ...]
    first_beats: tuple[int, ...]
    """What begins before is a prompt, for each piece."""
    seconds: float
    """That the writing took."""
    new_notes: int
    at_once: int
    """How many pieces were written at a time."""

    @property
    def notes_per_second(self) -> float:
        """New notes over the time that it took, on the machine where it was done."""
        return self.new_notes / self.seconds if self.seconds else float("nan")


def choose_prompts(
    corpus: Corpus, n: int, *, seed: int, longest: int, modes: Sequence[str] = MODES
) -> tuple[list[int], int]:
    """Pieces of a corpus to take prompts from, and how many are fit for it.

    A piece is fit if it goes on after 16 beats, and its 16-beat prompt has at most `longest` events, in all modes alike;
    only where none does so and no mode takes beats, each is. Where there are fewer than `n`, they come round again.

    Raises
    ------
    ValueError
        If no piece is fit.
    """
    fit = []
    for index, piece in enumerate(corpus.pieces):
        beats = corpus.notes(index)["beat"]
        events = int(np.searchsorted(beats, beats[0] + 16)) + 2 + len(np.unique(corpus.notes(index)["instrument"]))
        if beats[-1] - beats[0] >= 16 and events <= longest and piece.length:
            fit.append(index)
    if not fit and _PROMPT_BEATS.keys().isdisjoint(modes):
        fit = list(range(len(corpus)))
    if not fit:
        raise ValueError(
            f"no piece of {corpus.folder} goes on after 16 beats with at most {longest} events in them; give more pieces"
        )
    drawn = np.random.default_rng(seed).permutation(fit).tolist()
    return [drawn[place % len(drawn)] for place in range(n)], len(fit)


def beginning(corpus: Corpus, index: int, mode: str) -> Prompt:
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


def write_samples(
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
) -> Samples:
    """Write one piece for each source (a piece of the corpus, for its prompt) in a mode.

    With a `ledger`, each piece is kept as it is written, and a writing that was stopped goes on.
    """
    names = [f"{corpus.pieces[index].sha256}:{corpus.pieces[index].length}" for index in sources]
    job = {"what": "pieces", "model": fingerprint(model), "mode": mode, "seed": seed, "sampling": sampling}
    known = Ledger(ledger, job | {"max_events": max_events, "sampling_settings": dict(model.sampling)})
    at_once = _AT_ONCE if mode == "unconditional" else 1
    keys = [f"{number}" if mode == "unconditional" else f"{number}:{name}" for number, name in enumerate(names)]
    missing = [number for number, key in enumerate(keys) if key not in known]
    with tqdm(
        total=len(keys), initial=len(keys) - len(missing), unit=" pieces", desc=mode, disable=not progress
    ) as bar:
        for first in range(0, len(missing), at_once):
            batch = missing[first : first + at_once]
            begun = beginning(corpus, sources[batch[0]], mode)
            since = time.perf_counter()
            written = model.generate(
                begun, seed=[_seed(seed, number) for number in batch], max_events=max_events, sampling=sampling
            )
            took = (time.perf_counter() - since) / len(batch)
            for number, events in zip(batch, written, strict=True):
                new = int((events[len(begun) :, TYPE] == NOTE).sum())
                kept = {"events": events.tolist(), "first_beat": begun.first_beat, "seconds": took, "new_notes": new}
                known.add(keys[number], kept)
            bar.update(len(batch))
    found = [known[key] for key in keys]
    return Samples(
        pieces=tuple(np.array(one["events"], np.int64) for one in found),
        first_beats=tuple(one["first_beat"] for one in found),
        seconds=sum(one["seconds"] for one in found),
        new_notes=sum(one["new_notes"] for one in found),
        at_once=at_once,
    )


def _seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
