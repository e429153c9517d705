"""Which sampling setting writes pieces most like real ones? Measured against windows of the validation split.

    python benchmarks/sampling.py --checkpoint checkpoints/default --corpus data/NAME -o benchmarks/sampling.md

Pitch-class entropy, scale consistency and groove consistency are muspy's, as in the paper (4.3); undefined values are left
out and counted. Real windows begin where their piece begins and are cut to the same number of events as generated pieces.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import muspy
import numpy as np

import mmt
from mmt.corpus.windows import Limits, cut_window

SETTINGS: dict[str, dict[str, Any]] = {
    "temperature 1": {"temperature": 1.0, "min_p": 0.0},
    "min-p 0.01": {"min_p": 0.01},
    "min-p 0.02": {"min_p": 0.02},
    "min-p 0.05": {"min_p": 0.05},
    "min-p 0.1": {"min_p": 0.1},
    "min-p 0.05, temperature 0.9": {"min_p": 0.05, "temperature": 0.9},
    "beat: min-p 0.05; others 0.01": {
        "min_p": {"type": 0.01, "beat": 0.05, "position": 0.01, "pitch": 0.01, "duration": 0.01, "instrument": 0.01}
    },
}
COLUMNS = (
    "pitch-class entropy", "scale consistency, %", "groove consistency, %", "notes a beat", "beats", "events", "instruments",
    "longest leap, beats", "ends by itself, %",
)  # fmt: skip


def statistics(events: np.ndarray, limit: int, representation: mmt.Representation) -> list[float]:
    """One row of the table for one piece; NaN where a value is undefined."""
    music = mmt.decode(events, representation=representation)
    notes = events[events[:, 0] == 3]
    beats = int(notes[-1, 1])
    return [
        muspy.pitch_class_entropy(music),
        100 * muspy.scale_consistency(music),
        100 * muspy.groove_consistency(music, 4 * music.resolution),
        len(notes) / beats,
        beats,
        len(events),
        len(np.unique(notes[:, 5])),
        int(np.diff(notes[:, 1]).max(initial=0)),
        100.0 * (len(events) < limit and events[-1, 0] == 4),
    ]


def row(name: str, pieces: list[np.ndarray], limit: int, representation: mmt.Representation) -> str:
    """A line of the table: mean and 95 % interval of the mean over the pieces where the value is defined."""
    values = np.array([statistics(piece, limit, representation) for piece in pieces])
    cells = []
    for column in values.T:
        known = column[~np.isnan(column)]
        spread = 1.96 * known.std(ddof=1) / math.sqrt(len(known))
        cells.append(f"{known.mean():.2f} ± {spread:.2f}" + (f" ({len(known)})" if len(known) < len(column) else ""))
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Measure every setting, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("-n", type=int, default=32, help="pieces for each setting")
    parser.add_argument("--max-events", type=int, default=512)
    parser.add_argument("--settings", nargs="*", help="only these rows")
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    model = mmt.load_model(chosen.checkpoint)
    corpus = mmt.Corpus(chosen.corpus, split="valid")
    limits = Limits(chosen.max_events, model.representation.beats)
    real = [cut_window(corpus.notes(i), 0, limits, corpus.representation)[0] for i in range(len(corpus))]
    lines = [
        f"{chosen.n} pieces from nothing for each setting, seed 0, at most {chosen.max_events} events; "
        f"{len(real)} pieces of the validation split, their first {chosen.max_events} events. Means and 95 % intervals; "
        "in brackets the number of pieces with a defined value, where it is not all. "
        f"Model: {sum(p.numel() for p in model.network.parameters()):,} parameters, {model.training.get('steps')} steps.",
        "",
        "| setting | " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * (len(COLUMNS) + 1),
        row("real", real, chosen.max_events, model.representation),
    ]
    for name, setting in SETTINGS.items():
        if chosen.settings and name not in chosen.settings:
            continue
        pieces = model.generate(n=chosen.n, seed=0, max_events=chosen.max_events, **setting)
        lines.append(row(name, pieces, chosen.max_events, model.representation))
        print(lines[-1], flush=True)
    chosen.output.write_text("# Sampling settings against real music\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
