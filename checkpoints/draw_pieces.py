"""For each mode, draw eight pieces that a checkpoint wrote on one sheet for its card; none of the pieces is chosen.

    python checkpoints/draw_pieces.py checkpoints/default --corpus data/NAME -o checkpoints/default

Seeds are 0 to 7; prompts are of eight pieces of the validation split, drawn as `mmt-evaluate` draws them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import mmt
from mmt.analysis.modes import MODES, choose_prompts, make_prompt
from mmt.music.pictures import piano_roll

PIECES, MAX_EVENTS, BEATS = 8, 512, 48


def main() -> None:
    """Draw a sheet for each mode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    model, corpus = mmt.load_model(chosen.checkpoint), mmt.Corpus(chosen.corpus, split="valid")
    sources, _ = choose_prompts(corpus, PIECES, seed=0, longest=MAX_EVENTS // 2)
    for mode in MODES:
        draw_mode(model, corpus, mode, sources, chosen.output / f"{mode.replace(' ', '_')}.png")


def draw_mode(model: mmt.Model, corpus: mmt.Corpus, mode: str, sources: list[int], file: Path) -> None:
    """Write the sheet of one mode."""
    figure = Figure(figsize=(17, 3.1 * PIECES / 2), facecolor="white")
    FigureCanvasAgg(figure)
    for place, source in enumerate(sources):
        begun = make_prompt(corpus, source, mode)
        (events,) = model.generate(begun, seed=place, max_beats=BEATS, max_events=MAX_EVENTS)
        row, column = divmod(place, 2)
        axes = figure.add_axes((0.03 + 0.5 * column, 1 - (row + 0.9) / (PIECES / 2), 0.375, 0.72 / (PIECES / 2)))
        piano_roll(mmt.decode(events, representation=model.representation), axes, begun.first_beat)
    figure.savefig(file, dpi=70)


if __name__ == "__main__":
    main()
