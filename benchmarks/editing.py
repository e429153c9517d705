"""Measure the editing modes with the shipped model, and write editing.md beside this file.

    python benchmarks/editing.py --corpus data/NAME

Pieces of the test split are drawn at random; of those with two to seven instruments, and not too many notes, the first 24
beats are edited. What is measured is how likely to the
model, in nats, the edited fields are, or what was held around them; beside the piece itself, and what chance would
write. The model judges itself, so the figures say that an edit fits in as the model hears it, not that it is good music.
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
from tqdm import tqdm

import mmt
from mmt.representation.codes import BEAT, DURATION, INSTRUMENT, NOTE, PITCH, TYPE, Events
from mmt.sampling.filling import following_likelihood
from mmt.sampling.model import Model

BEATS, GAP, CANDIDATES = 24, (8, 12), 16
Rows = dict[str, list[float]]


def nats(model: Model, piece: Events) -> Events:
    """Of every note's fields, (notes, 6)."""
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


def reorchestrate(model: Model, piece: Events, rows: Rows, random: np.random.Generator) -> None:
    notes, codes = notes_of(piece), piece[piece[:, TYPE] == 1, INSTRUMENT]
    names = [model.representation.names[code - 1] for code in codes]
    (anew,), report = mmt.edit.reorchestrate(model, piece, names, seed=0, report=True)
    chance = notes.copy()
    chance[:, INSTRUMENT] = random.choice(codes, len(notes))
    for name, one in (("the piece", piece), ("sampled", anew), ("chance", with_notes(piece, chance))):
        rows[f"instrument, nats a note: {name}"].append(nats(model, one)[:, INSTRUMENT].mean())
    if not report.lost_doubles:
        rows["same instrument as in the piece, %: sampled"].append(
            100 * (notes_of(anew)[:, INSTRUMENT] == notes[:, INSTRUMENT]).mean()
        )
        rows["same instrument as in the piece, %: chance"].append(100 / len(codes))


def reharmonise(model: Model, piece: Events, rows: Rows, random: np.random.Generator) -> None:
    notes = notes_of(piece)
    code = int(np.bincount(notes[:, INSTRUMENT]).argmax())
    own = notes[:, INSTRUMENT] == code
    anew = mmt.edit.reharmonise(model, piece, model.representation.names[code - 1], seed=0, ranges=True)[0]
    chance = notes.copy()
    chance[own, PITCH] = random.integers(notes[own, PITCH].min(), notes[own, PITCH].max() + 1, own.sum())
    for name, one in (("the piece", piece), ("sampled", anew), ("chance", with_notes(piece, chance))):
        losses, theirs = nats(model, one), notes_of(one)[:, INSTRUMENT] == code
        rows[f"pitches of the part, nats a note: {name}"].append(losses[theirs, PITCH].mean())
        rows[f"all else, nats a note: {name}"].append(losses[~theirs].sum(axis=1).mean())


def accompany(model: Model, piece: Events, rows: Rows, random: np.random.Generator) -> None:
    notes = notes_of(piece)
    code = int(notes[notes[:, PITCH].argmax(), INSTRUMENT])
    hold = model.representation.names[code - 1]
    shifted = notes.copy()
    shifted[notes[:, INSTRUMENT] != code, BEAT] = (
        shifted[notes[:, INSTRUMENT] != code, BEAT] + BEATS // 2 - 1
    ) % BEATS + 1
    pieces = {"the piece": piece, "the piece, its other parts moved by half": with_notes(piece, shifted)}
    for count in (1, CANDIDATES):
        pieces[f"{count} candidates"] = mmt.edit.accompany(model, piece, hold, seed=0, ranges=True, candidates=count)[0]
    for name, one in pieces.items():
        losses, held = nats(model, one), notes_of(one)[:, INSTRUMENT] == code
        rows[f"held notes at their moments, nats: {name}"].append(
            losses[held][:, [PITCH, DURATION, INSTRUMENT]].sum(1).mean()
        )
        rows[f"other notes a beat: {name}"].append((~held).sum() / BEATS)


def fill(model: Model, piece: Events, rows: Rows, random: np.random.Generator) -> None:
    notes = notes_of(piece)
    inside = (notes[:, BEAT] > GAP[0]) & (notes[:, BEAT] <= GAP[1])
    pieces = {"the piece": piece, "the gap left empty": with_notes(piece, notes[~inside])}
    for count in (1, CANDIDATES):
        pieces[f"{count} candidates"] = mmt.edit.fill(model, piece, *GAP, seed=0, candidates=count)[0]
    for name, one in pieces.items():
        start = int(np.flatnonzero(one[:, BEAT] > GAP[1])[0])
        following = int(((one[:, BEAT] > GAP[1]) & (one[:, BEAT] < one[start, BEAT] + 8)).sum())
        rows[f"what follows, nats a note: {name}"].append(-following_likelihood(model, one[:-1], start) / following)
        rows[f"notes a beat in the gap: {name}"].append(
            ((one[:, BEAT] > GAP[0]) & (one[:, BEAT] <= GAP[1])).sum() / (GAP[1] - GAP[0])
        )


MODES: tuple[Callable[[Model, Events, Rows, np.random.Generator], None], ...] = (
    reorchestrate,
    reharmonise,
    accompany,
    fill,
)


def beginning_of(events: Events) -> Events | None:
    """The first beats of a piece, if they are of use."""
    if events[:, BEAT].max() < BEATS:
        return None
    notes = notes_of(mmt.prompt.beats(events, BEATS))
    names = [mmt.Representation().names[code - 1] for code in np.unique(notes[:, INSTRUMENT])]
    if not 2 <= len(names) <= 7 or len(notes) > 400 or not (notes[:, BEAT] > GAP[1]).any():
        return None
    return np.concatenate([mmt.prompt.instruments(*names), notes, events[-1:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("-n", type=int, default=40, help="pieces to draw")
    chosen = parser.parse_args()
    corpus = mmt.Corpus(chosen.corpus, split="test")
    places = list(range(len(corpus)))
    random.Random(0).shuffle(places)
    drawn = [corpus[place] for place in places[: chosen.n]]
    model, pieces = mmt.load_model(), [piece for one in drawn if (piece := beginning_of(one)) is not None]
    lines = [
        "# Editing modes",
        "",
        f"{len(pieces)} pieces, their first {BEATS} beats, seed 0: those of {len(drawn)} of the test split that have two to "
        "seven instruments and at most 400 notes there; the shipped model and its sampling defaults. Means and 95 % intervals "
        "over pieces.",
    ]
    for mode in MODES:
        rows: Rows = defaultdict(list)
        for piece in tqdm(pieces, desc=mode.__name__):
            mode(model, piece, rows, np.random.default_rng(0))
        lines += ["", f"## {mode.__name__}", "", "| | |", "|---|---|"]
        for name in sorted(rows, key=lambda name: name.split(":")[0]):
            values = np.array(rows[name])
            values = values[np.isfinite(values)]
            lines.append(f"| {name} | {values.mean():.2f} ± {1.96 * values.std() / len(values) ** 0.5:.2f} |")
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
