"""A new checkpoint beside those that were shipped before: loss on pieces from which none has learned, and what all write.

    python benchmarks/evaluation.py --checkpoint FOLDER --corpus data/NAME --work out/first -o out/first.md
    python benchmarks/evaluation.py --checkpoint NEW --corpus data/NAME -o benchmarks/evaluation.md
    python benchmarks/comparison.py first=FOLDER shipped=NEW --corpus data/NAME \\
        --evaluations out/first.md benchmarks/evaluation.md -o benchmarks/comparison.md

The loss is that on the validation pieces that `benchmarks/clean_validation.txt` lists, or another list of names.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from mmt.corpus.splits import read_names
from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Limits, ValidationBatches
from mmt.model.checkpoint import read_checkpoint
from mmt.model.heads import next_written
from mmt.representation.codes import FIELDS
from mmt.training.loss import Losses, losses

PAGE = """# The shipped model and those before

Nats a note on the {pieces} validation pieces ({notes:,} notes) from which none has learned, nor from another movement of their
works; without masks, on windows of the context:

{losses}

What they write ({modes}), the first 64 beats, as in the evaluation. Prompts are of all
validation pieces, of some of which the first had learned:

{rows}
"""


@torch.inference_mode()
def loss_of(checkpoint: Path, corpus: Corpus) -> tuple[int, Losses]:
    """The number of parameters, and the losses on a corpus."""
    found = read_checkpoint(checkpoint)
    network, limits = found.network, Limits(found.network.config.context + 1, found.representation.beats)
    batches = ValidationBatches(corpus, limits, batch_size=8)
    parts = [
        losses(network(batch.codes[:, :-1], targets=next_written(batch.codes)), batch.codes, batch.lengths)
        for batch in (batches[index] for index in range(len(batches)))
    ]
    return sum(p.numel() for p in network.parameters()), sum(parts[1:], start=parts[0])


def listed_pieces(folder: Path, names: list[str]) -> Corpus:
    """The validation pieces of a corpus that have these names; all must be there."""
    corpus = Corpus(folder, split="valid")
    if missing := set(names) - {piece.name for piece in corpus.pieces}:
        raise ValueError(f"{folder} has no validation piece {min(missing)!r}; prepare it as data/README.md says")
    return corpus.subset(place for place, piece in enumerate(corpus.pieces) if piece.name in names)


def rows_of(evaluation: Path, name: str) -> list[list[str]]:
    """The lines of an evaluation's table on the first 64 beats, its head first; real pieces once, with the first."""
    table = [
        [cell.strip() for cell in line.strip("|\n ").split("|")]
        for line in evaluation.read_text(encoding="utf-8").split("\n\n")[3].splitlines()
    ]
    rows = [row for row in table[2:] if row[2] == "the first 64 beats"]
    left_out = [table[0].index(head) for head in ("length", "parameters", "notes/s")]
    named = [table[0], *([name, *row[1:]] if row[1] else row for row in rows)]
    return [[cell for place, cell in enumerate(row) if place not in left_out] for row in named]


def table(rows: list[list[str]]) -> str:
    """Markdown, of a head and lines."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], ["---"] * len(rows[0]), *rows[1:]))


def main() -> None:
    """Compare, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--pieces", type=Path, default=Path(__file__).with_name("clean_validation.txt"))
    parser.add_argument("--evaluations", nargs="+", type=Path, required=True, help="of each, in this order")
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    unseen = listed_pieces(chosen.corpus, read_names(chosen.pieces))
    lines = [["model", "parameters", "loss", *FIELDS]]
    models = dict(named.split("=", 1) for named in chosen.checkpoints)
    for name, checkpoint in models.items():
        size, found = loss_of(Path(checkpoint), unseen)
        lines.append([name, f"{size:,}", f"**{found.per_note:.3f}**", *(f"{loss:.3f}" for loss in found.per_field)])
    head, *rows = rows_of(chosen.evaluations[-1], list(models)[-1])
    real = [row for row in rows if not row[1]]
    every = [
        row for name, file in zip(models, chosen.evaluations, strict=True) for row in rows_of(file, name)[1:] if row[1]
    ]
    modes = list(dict.fromkeys(row[1] for row in rows if row[1]))
    page = PAGE.format(
        pieces=len(unseen),
        notes=int(found.notes),
        losses=table(lines),
        modes=", ".join(modes),
        rows=table([head, *real, *sorted(every, key=lambda row: modes.index(row[1]))]),
    )
    chosen.output.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
