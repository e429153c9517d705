"""Comparison of sampling settings with real music: metrics of generated pieces of all modes, beside those of real pieces.

    python benchmarks/sampling.py --checkpoint checkpoints/default --corpus data/NAME -o benchmarks/sampling.md

The last column is the kernel distance from the real pieces (`mmt.analysis.distance`), each cut to the same number of events.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import mmt
from mmt.analysis.distance import kernel_distance
from mmt.analysis.metrics import METRICS, Scores, evaluate
from mmt.analysis.modes import MODES, choose_prompts, generate_pieces
from mmt.analysis.report import table
from mmt.corpus.splits import read_names
from mmt.corpus.windows import Limits, cut_window

# With the loop guard, silences are shorter than this.
MAX_REST = 8
SETTINGS: dict[str, Mapping[str, Any]] = {
    "temperature 1": {},
    "min-p 0.01": {"min_p": 0.01},
    "min-p 0.03": {"min_p": 0.03},
    "min-p 0.01, loop guard 0.4": {"min_p": 0.01, "loop_guard": 0.4, "max_rest": MAX_REST},
    "min-p 0.02, loop guard 0.4": {"min_p": 0.02, "loop_guard": 0.4, "max_rest": MAX_REST},
    "min-p 0.03, loop guard 0.4": {"min_p": 0.03, "loop_guard": 0.4, "max_rest": MAX_REST},
    "min-p 0.03, loop guard 0.8": {"min_p": 0.03, "loop_guard": 0.8, "max_rest": MAX_REST},
    "min-p 0.05, loop guard 0.8": {"min_p": 0.05, "loop_guard": 0.8, "max_rest": MAX_REST},
    "min-p 0.02, temperature 0.95, loop guard 0.4": {
        "min_p": 0.02, "temperature": 0.95, "loop_guard": 0.4, "max_rest": MAX_REST,
    },
}  # fmt: skip
SHOWN = (
    "pitch_class_entropy", "scale_consistency", "groove_consistency_corrected", "notes_per_beat", "polyphony", "instruments_used",
    "longest_silence", "repetition", "returning", "locked", "long_final_chord", "ends_by_itself",
)  # fmt: skip


def row(name: str, scores: Scores, distance: str) -> list[str]:
    """A row of the table: means with intervals over pieces."""
    return [name, *(scores.text(metric) for metric in SHOWN), distance]


def main() -> None:
    """Measure every setting, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--pieces", type=Path, help="file with names of validation pieces, one per line (default: all)")
    parser.add_argument(
        "-n", type=int, default=256, help="number of pieces per setting, a quarter of them in each mode"
    )
    parser.add_argument("--max-events", type=int, default=512)
    parser.add_argument("--settings", nargs="*", choices=SETTINGS, default=list(SETTINGS), help="only these rows")
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    model, corpus = mmt.load_model(chosen.checkpoint), mmt.Corpus(chosen.corpus, split="valid")
    if chosen.pieces:
        names = read_names(chosen.pieces)
        corpus = corpus.subset(index for index, piece in enumerate(corpus.pieces) if piece.name in names)
    limits = Limits(chosen.max_events, model.representation.beats)
    sources, _ = choose_prompts(corpus, chosen.n // len(MODES), seed=0, longest=chosen.max_events // 2)
    real = [cut_window(corpus.notes(index), 0, limits, corpus.representation)[0] for index in range(len(corpus))]
    settings = {"representation": model.representation, "max_events": chosen.max_events}
    truth = evaluate(real, **settings)
    rows = [
        ["setting", *(METRICS[name].column for name in SHOWN), "distance"],
        row("real", truth, ""),
    ]
    for name in chosen.settings:
        model.sampling = SETTINGS[name]
        pieces: list[np.ndarray] = []
        for mode in MODES:
            pieces += generate_pieces(model, corpus, mode, sources, seed=0, max_events=chosen.max_events).pieces
        scores = evaluate(pieces, **settings)
        rows.append(row(name, scores, f"{kernel_distance(scores, truth).value:.4f}"))
        print(*rows[-1], sep=" | ", flush=True)
    chosen.output.write_text(
        f"# Sampling settings against real music\n\n{len(pieces)} pieces per setting, {len(sources)} in each mode, at most "
        f"{chosen.max_events} events, seed 0. Real: the first {chosen.max_events} events of {len(real)} pieces of the validation "
        f"split. With the loop guard, silences are shorter than {MAX_REST} beats. Means and 95 % intervals; in brackets the "
        "number of pieces with a value, if not all have one. `distance` is the kernel distance from the real pieces. Made by "
        f"`benchmarks/sampling.py`.\n\n{table(rows)}\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
