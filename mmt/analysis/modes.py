"""Pieces that models generate for an evaluation: the paper's three ways to begin (section 3.3), each with its own prompt.

Piece i of a mode has its own seed, derived from (seed, i), so that it does not depend on the number of pieces, on the batch
size, or on a stop. Prompts are taken from real pieces, the same for every model: their instruments or their first beats, with
the silence before the first note removed.
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
from mmt.sampling.model import Model, generate_each

MODES = ("unconditional", "instrument-informed", "4-beat continuation", "16-beat continuation")
_PROMPT_BEATS = {"4-beat continuation": 4, "16-beat continuation": 16}
# Largest batch size.
_AT_ONCE = 32


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
    for index, piece in enumerate(corpus.pieces):
        beats = corpus.notes(index)["beat"]
        events = int(np.searchsorted(beats, beats[0] + 16)) + 2 + len(np.unique(corpus.notes(index)["instrument"]))
        if beats[-1] - beats[0] >= 16 and events <= longest and piece.length:
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
    names = [f"{corpus.pieces[index].sha256}:{corpus.pieces[index].length}" for index in sources]
    job = {"what": "pieces", "model": fingerprint(model), "mode": mode, "seed": seed, "sampling": sampling}
    job |= {"max_events": max_events, "sampling_settings": dict(model.sampling)}
    if model.network.decodes_with != "float32":
        job["weights"] = model.network.decodes_with
    known = Ledger(ledger, job)
    at_once = min(_AT_ONCE, len(names))
    keys = [f"{number}" if mode == "unconditional" else f"{number}:{name}" for number, name in enumerate(names)]
    missing = [number for number, key in enumerate(keys) if key not in known]
    done = len(keys) - len(missing)
    with tqdm(total=len(keys), initial=done, unit=" pieces", desc=mode, disable=not progress) as bar:
        for first in range(0, len(missing), at_once):
            batch = missing[first : first + at_once]
            starts = [make_prompt(corpus, sources[number], mode) for number in batch]
            seeds = [int(np.random.SeedSequence((seed, number)).generate_state(1)[0]) for number in batch]
            since = time.perf_counter()
            pieces = generate_each(model, starts, seeds, max_events=max_events, sampling=sampling)
            seconds = (time.perf_counter() - since) / len(batch)
            for number, start, events in zip(batch, starts, pieces, strict=True):
                new = int((events[len(start) :, TYPE] == NOTE).sum())
                result = {"events": events.tolist(), "first_beat": start.first_beat, "seconds": seconds}
                known.add(keys[number], result | {"new_notes": new})
            bar.update(len(batch))
    found = [known[key] for key in keys]
    return GeneratedPieces(
        pieces=tuple(np.array(piece["events"], np.int64) for piece in found),
        first_beats=tuple(piece["first_beat"] for piece in found),
        seconds=sum(piece["seconds"] for piece in found),
        new_notes=sum(piece["new_notes"] for piece in found),
        at_once=at_once,
    )
