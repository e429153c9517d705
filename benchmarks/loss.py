"""Loss of a model on the training, validation and test split: by source, number of instruments and field.

    python benchmarks/loss.py --corpus data/open -o benchmarks/loss.md

Large splits are sampled at random. The splits have different music, so compare their losses source by source.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from common import write_page

import mmt
from mmt.analysis.report import table
from mmt.representation.codes import FIELDS

SPLITS = ("train", "valid", "test")
COUNTS = {
    "1 instrument": range(1, 2), "2 instruments": range(2, 3), "3 to 4 instruments": range(3, 5),
    "5 to 8 instruments": range(5, 9), "9 or more instruments": range(9, 66),
}  # fmt: skip
# Smallest number of pieces for an interval.
FEWEST = 20


def part(loss: mmt.likelihood.Likelihood, places: Iterable[int]) -> str:
    """A cell: the loss of some pieces, its interval and their number; empty without pieces."""
    chosen = list(places)
    if not chosen:
        return ""
    names = tuple(loss.names[place] for place in chosen)
    some = replace(loss, names=names, nats=loss.nats[chosen], targets=loss.targets[chosen], notes=loss.notes[chosen])
    known = some.interval if len(chosen) >= FEWEST else None
    interval = "" if known is None else f" [{known[0]:.3f}, {known[1]:.3f}]"
    return f"{some.per_note:.3f}{interval} ({len(chosen)})"


def groups_of(corpus: mmt.Corpus) -> dict[str, list[int]]:
    """The indices of the pieces of each group."""
    groups: dict[str, list[int]] = defaultdict(list)
    for place, piece in enumerate(corpus.pieces):
        groups["all"].append(place)
        groups[piece.name.split("/")[0]].append(place)
        for name, counts in COUNTS.items():
            if len(piece.instruments.split()) in counts:
                groups[name].append(place)
    return groups


def main() -> None:
    """Measure the splits, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="default: the shipped model")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--sample", type=int, default=120, help="most pieces of a split (default: 120)")
    parser.add_argument("--stride", type=int, default=512)
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    model = mmt.load_model(chosen.checkpoint)
    cells: dict[str, dict[str, str]] = defaultdict(dict)
    fields = [["split", *FIELDS]]
    for split in SPLITS:
        corpus = mmt.Corpus(chosen.corpus, split=split)
        corpus = corpus.subset(sorted(random.Random(0).sample(range(len(corpus)), min(chosen.sample, len(corpus)))))
        loss = mmt.likelihood.measure(model, corpus, stride=chosen.stride, progress=True)
        for group, places in groups_of(corpus).items():
            cells[group][split] = part(loss, places)
        fields.append([split, *(f"{nats:.3f}" for nats in loss.per_field.values())])
    sources = sorted(group for group in cells if group not in ("all", *COUNTS))
    order = [group for group in ("all", *sources, *COUNTS) if group in cells]
    rows = [[group, *(cells[group].get(split, "") for split in SPLITS)] for group in order]
    write_page(
        chosen.output,
        "# Loss by split, source and number of instruments",
        f"{f'The model in `{chosen.checkpoint}`' if chosen.checkpoint else 'The shipped model'}. Nats per note over whole pieces "
        f"(`mmt.likelihood.measure`, stride {chosen.stride}), with the 95 % interval over pieces if there are at least {FEWEST}, "
        f"and the number of pieces in round brackets. Of a split with more than {chosen.sample} pieces, a random sample was "
        "measured. Made by `benchmarks/loss.py`.",
        table([["pieces", "training", "validation", "test"], *rows]),
        "Mean nats per target of each field:",
        table(fields),
    )


if __name__ == "__main__":
    main()
