"""How much of a full window is kept when it begins anew? `python benchmarks/endless.py`, written to endless.md beside it.

Long pieces are written with the shipped model, the end forbidden. Around every place where a window began anew: notes in
the beats before and after it, against the same piece everywhere else. And what the shorter memory costs: the loss per note of
real pieces of the validation split at each place of a window, averaged over the places that windows pass through.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch

import mmt
from mmt.corpus.windows import Limits, cut_window
from mmt.representation.codes import BEAT, FIELDS, NOTE, TYPE, Events
from mmt.sampling import window as windows

# Not more: at three quarters of its beats a window begins anew, and one that keeps as many would do so all the time.
SHARES = (0.25, 0.5)
AROUND = 8


def write(model: mmt.Model, share: float, pieces: int, events: int) -> tuple[list[Events], list[list[int]]]:
    """Pieces written to `events` events, and the beats (codes in the piece) at which a window of each began anew."""
    moments: list[list[int]] = []
    plain, windows.KEPT = windows.AnchoredWindow.read, share

    def read(window: windows.AnchoredWindow, latest: Events) -> tuple[torch.Tensor, Events | None]:
        beats = latest[:, -1, BEAT] + window.dropped
        hidden, moved = plain(window, latest)
        if moved is not None:
            moments[-1] += beats[moved > 0].tolist()
        return hidden, moved

    windows.AnchoredWindow.read = read  # type: ignore[method-assign]
    written = []
    try:
        for seed in range(pieces):
            moments.append([])
            opening = mmt.prompt.instruments(*(("violin", "viola", "cello"), ("piano", "flute"))[seed % 2])
            stream = model.stream(opening, seed=seed, endless=True, max_events=events)
            written.append(np.concatenate([opening, list(stream)]))
    finally:
        windows.AnchoredWindow.read, windows.KEPT = plain, 0.5  # type: ignore[method-assign]
    return written, moments


def densities(piece: Events, moments: list[int]) -> tuple[list[float], list[float], list[float]]:
    """Notes a beat in the beats just before each moment, just after it, and in beats far from all, over the piece's mean."""
    beats = piece[piece[:, TYPE] == NOTE, BEAT]
    notes = np.bincount(beats)[1:].astype(float)
    notes /= notes.mean()
    far = np.ones(len(notes), bool)
    before, after = [], []
    for moment in moments:
        # The beat of the moment itself belongs to both.
        first, last = notes[max(moment - 1 - AROUND, 0) : moment - 1], notes[moment : moment + AROUND]
        far[max(moment - 1 - AROUND, 0) : moment + AROUND] = False
        if len(first) == len(last) == AROUND:
            before.append(float(first.mean()))
            after.append(float(last.mean()))
    return before, after, notes[far].tolist()


@torch.inference_mode()
def loss_by_place(model: mmt.Model, corpus: mmt.Corpus, most: int) -> np.ndarray:
    """The mean loss of a note (nats) at each place of full windows that begin in the middle of validation pieces."""
    context, beats = model.network.config.context, model.representation.beats
    sums, counts = np.zeros(context), np.zeros(context)
    chosen = [i for i in range(len(corpus)) if len(corpus.notes(i)) > 2 * context]
    for index in chosen[:most]:
        notes = corpus.notes(index)
        events, _ = cut_window(notes, len(notes) // 3, Limits(context, beats), corpus.representation)
        codes = torch.from_numpy(events)[None]
        targets = codes[:, 1:]
        logits = model.network(codes[:, :-1], targets=targets)
        losses = sum(
            torch.nn.functional.cross_entropy(logits[field][0], targets[0, :, field], reduction="none")
            for field in range(len(FIELDS))
        )
        places = np.flatnonzero(events[1:, TYPE] == NOTE)
        sums[places] += losses.numpy()[places]
        counts[places] += 1
    return sums / np.maximum(counts, 1)


def mean(values: list[float]) -> str:
    spread = 1.96 * np.std(values, ddof=1) / math.sqrt(len(values))
    return f"{np.mean(values):.3f} ± {spread:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("-n", type=int, default=8, help="pieces for each share")
    parser.add_argument("--events", type=int, default=4000)
    parser.add_argument("--windows", type=int, default=48, help="validation windows for the loss")
    chosen = parser.parse_args()
    model = mmt.load_model()
    context = model.network.config.context
    losses = loss_by_place(model, mmt.Corpus(chosen.corpus, split="valid"), chosen.windows)
    rows = []
    for share in SHARES:
        before, after, far = [], [], []
        for piece, moments in zip(*write(model, share, chosen.n, chosen.events), strict=True):
            for values, new in zip((before, after, far), densities(piece, moments), strict=True):
                values += new
        loss = losses[int(share * context) :].mean()
        rows.append(
            f"| {share} | {len(before)} | {mean(before)} | {mean(after)} | "
            f"{mean([b - a for a, b in zip(before, after, strict=True)])} | {np.std(far):.2f} | {loss:.3f} |"
        )
        print(rows[-1], flush=True)
    lines = [
        "# Pieces without end",
        "",
        "When the context is full, the window begins anew with this share of its room. Does the music change there? "
        f"{chosen.n} endless pieces of {chosen.events:,} events for each share. Before and after: notes per beat in the {AROUND} "
        "beats before and after each new window, divided by the mean of the piece; means and 95 % intervals. Loss: nats per "
        f"note of {chosen.windows} validation windows, over the positions from the share to the end. Made by "
        "`benchmarks/endless.py`.",
        "",
        "| share kept | new windows | before | after | after - before | standard deviation elsewhere | loss |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *rows,
    ]
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
