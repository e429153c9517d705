"""Quality of the editing modes of a model by log-likelihood; writes editing.md.

    python benchmarks/editing.py --corpus data/NAME
    python benchmarks/editing.py --corpus data/NAME --checkpoint runs/NEW/best --judge checkpoints/default -o new.md

Pieces of the test split are drawn at random. Those with two to seven instruments and at most 400 notes are kept, and their first
24 beats are edited. The figures are negative log-likelihoods, in nats, of the edited fields or of the notes around them under a
judging model, beside those of the original piece and of random edits. By default the model judges itself; to compare models,
give all of them the same judge (`--judge`). The figures say how likely an edit is to the judge, not that it is good music.
A model with given notes also writes the gap and the accompaniment in one draw (`mmt.edit.rewrite`).
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from common import write_page
from tqdm import tqdm

import mmt
from mmt.analysis.report import table
from mmt.representation.codes import BEAT, DURATION, INSTRUMENT, NOTE, PITCH, TYPE, Events
from mmt.sampling.editing.filling import following_likelihood
from mmt.sampling.model import Model

BEATS, GAP, CANDIDATES = 24, (8, 12), 16
Rows = dict[str, list[float]]


def nats(model: Model, piece: Events) -> Events:
    """The nats of each field of each note, (notes, 6)."""
    start = int((piece[:, TYPE] < NOTE).sum())
    codes = torch.from_numpy(piece[:-1])[None]
    with torch.inference_mode():
        logits = model.network(codes)
    losses = [
        F.cross_entropy(of[0, start - 1 : -1], codes[0, start:, field], reduction="none")
        for field, of in enumerate(logits)
    ]
    return torch.stack(losses, dim=1).numpy()


def notes_of(piece: Events) -> Events:
    return piece[piece[:, TYPE] == NOTE]


def with_notes(piece: Events, notes: Events) -> Events:
    return np.concatenate([piece[piece[:, TYPE] < NOTE], np.unique(notes, axis=0), piece[-1:]])


def reorchestrate(model: Model, judge: Model, piece: Events, rows: Rows, random: np.random.Generator) -> None:
    notes, codes = notes_of(piece), piece[piece[:, TYPE] == 1, INSTRUMENT]
    names = [model.representation.names[code - 1] for code in codes]
    (anew,), report = mmt.edit.reorchestrate(model, piece, names, seed=0, report=True)
    chance = notes.copy()
    chance[:, INSTRUMENT] = random.choice(codes, len(notes))
    for name, one in (("the piece", piece), ("sampled", anew), ("chance", with_notes(piece, chance))):
        rows[f"instrument, nats per note: {name}"].append(nats(judge, one)[:, INSTRUMENT].mean())
    if not report.lost_doubles:
        rows["same instrument as in the piece, %: sampled"].append(
            100 * (notes_of(anew)[:, INSTRUMENT] == notes[:, INSTRUMENT]).mean()
        )
        rows["same instrument as in the piece, %: chance"].append(100 / len(codes))


def reharmonise(model: Model, judge: Model, piece: Events, rows: Rows, random: np.random.Generator) -> None:
    notes = notes_of(piece)
    code = int(np.bincount(notes[:, INSTRUMENT]).argmax())
    own = notes[:, INSTRUMENT] == code
    anew = mmt.edit.reharmonise(model, piece, model.representation.names[code - 1], seed=0, ranges=True)[0]
    chance = notes.copy()
    chance[own, PITCH] = random.integers(notes[own, PITCH].min(), notes[own, PITCH].max() + 1, own.sum())
    for name, one in (("the piece", piece), ("sampled", anew), ("chance", with_notes(piece, chance))):
        losses, theirs = nats(judge, one), notes_of(one)[:, INSTRUMENT] == code
        rows[f"pitches of the part, nats per note: {name}"].append(losses[theirs, PITCH].mean())
        rows[f"the other parts, nats per note: {name}"].append(losses[~theirs].sum(axis=1).mean())


def accompany(model: Model, judge: Model, piece: Events, rows: Rows, random: np.random.Generator) -> None:
    notes = notes_of(piece)
    code = int(notes[notes[:, PITCH].argmax(), INSTRUMENT])
    hold = model.representation.names[code - 1]
    shifted = notes.copy()
    shifted[notes[:, INSTRUMENT] != code, BEAT] = (
        shifted[notes[:, INSTRUMENT] != code, BEAT] + BEATS // 2 - 1
    ) % BEATS + 1
    pieces = {"the piece": piece, f"the piece, its other parts moved by {BEATS // 2} beats": with_notes(piece, shifted)}
    for count in (1, CANDIDATES):
        pieces[f"{count} candidate{'s' * (count > 1)}"] = mmt.edit.accompany(
            model, piece, hold, seed=0, ranges=True, candidates=count
        )[0]
    if model.representation.given:
        others = [model.representation.names[other - 1] for other in np.unique(notes[:, INSTRUMENT]) if other != code]
        pieces["given notes, one draw"] = mmt.edit.rewrite(model, piece, None, others, seed=0, ranges=True)[0]
    for name, one in pieces.items():
        losses, held = nats(judge, one), notes_of(one)[:, INSTRUMENT] == code
        rows[f"pitch, duration and instrument of held notes, nats: {name}"].append(
            losses[held][:, [PITCH, DURATION, INSTRUMENT]].sum(1).mean()
        )
        rows[f"other notes per beat: {name}"].append((~held).sum() / BEATS)


def fill(model: Model, judge: Model, piece: Events, rows: Rows, random: np.random.Generator) -> None:
    notes = notes_of(piece)
    inside = (notes[:, BEAT] > GAP[0]) & (notes[:, BEAT] <= GAP[1])
    pieces = {"the piece": piece, "the gap left empty": with_notes(piece, notes[~inside])}
    for count in (1, CANDIDATES):
        pieces[f"{count} candidate{'s' * (count > 1)}"] = mmt.edit.fill(model, piece, *GAP, seed=0, candidates=count)[0]
    if model.representation.given:
        pieces["given notes, one draw"] = mmt.edit.rewrite(model, piece, GAP, seed=0)[0]
    for name, one in pieces.items():
        start = int(np.flatnonzero(one[:, BEAT] > GAP[1])[0])
        following = int(((one[:, BEAT] > GAP[1]) & (one[:, BEAT] < one[start, BEAT] + 8)).sum())
        rows[f"what follows, nats per note: {name}"].append(-following_likelihood(judge, one[:-1], start) / following)
        rows[f"notes per beat in the gap: {name}"].append(
            ((one[:, BEAT] > GAP[0]) & (one[:, BEAT] <= GAP[1])).sum() / (GAP[1] - GAP[0])
        )


Mode = Callable[[Model, Model, Events, Rows, np.random.Generator], None]
MODES: tuple[Mode, ...] = (reorchestrate, reharmonise, accompany, fill)


def beginning_of(events: Events, representation: mmt.Representation) -> Events | None:
    """The first beats of a piece; None if they cannot be edited in all modes."""
    if events[:, BEAT].max() < BEATS:
        return None
    notes = notes_of(mmt.prompt.beats(events, BEATS))
    names = [representation.names[code - 1] for code in np.unique(notes[:, INSTRUMENT])]
    if not 2 <= len(names) <= 7 or len(notes) > 400 or not (notes[:, BEAT] > GAP[1]).any():
        return None
    return np.concatenate([mmt.prompt.instruments(*names, representation=representation), notes, events[-1:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("-n", type=int, default=40, help="pieces to draw")
    parser.add_argument("--checkpoint", type=Path, help="the model that edits (default: the shipped model)")
    parser.add_argument("--judge", type=Path, help="the model that judges (default: the model that edits)")
    parser.add_argument("--modes", nargs="+", choices=[mode.__name__ for mode in MODES], help="default: all")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).with_suffix(".md"))
    chosen = parser.parse_args()
    corpus = mmt.Corpus(chosen.corpus, split="test")
    places = list(range(len(corpus)))
    random.Random(0).shuffle(places)
    drawn = [corpus[place] for place in places[: chosen.n]]
    pieces = [piece for one in drawn if (piece := beginning_of(one, corpus.representation)) is not None]
    model = mmt.load_model(chosen.checkpoint)
    judge = mmt.load_model(chosen.judge) if chosen.judge else model
    parts = [
        "# Editing modes",
        f"The first {BEATS} beats of {len(pieces)} pieces: those of {len(drawn)} pieces of the test split that have two to seven "
        f"instruments and at most 400 notes there. Edited by {_named(chosen.checkpoint)} with its sampling defaults and seed 0, "
        f"judged by {_named(chosen.judge) if chosen.judge else 'itself'}. Lower nats fit better. Means and 95 % intervals over "
        "pieces. Made by `benchmarks/editing.py`.",
    ]
    for mode in MODES:
        if chosen.modes and mode.__name__ not in chosen.modes:
            continue
        rows: Rows = defaultdict(list)
        for piece in tqdm(pieces, desc=mode.__name__):
            mode(model, judge, piece, rows, np.random.default_rng(0))
        means = [["", ""]]
        for name in sorted(rows, key=lambda name: name.split(":")[0]):
            values = np.array(rows[name])
            values = values[np.isfinite(values)]
            means.append([name, f"{values.mean():.2f} ± {1.96 * values.std() / len(values) ** 0.5:.2f}"])
        parts += [f"## {mode.__name__}", table(means)]
    write_page(chosen.output, *parts)


def _named(checkpoint: Path | None) -> str:
    return "the shipped model" if checkpoint is None else f"the model {checkpoint.resolve().name}"


if __name__ == "__main__":
    main()
