"""Make the shipped checkpoint of a finished training: half precision, and a model card with measured figures.

    python checkpoints/ship.py runs/NAME/last --corpus data/NAME --notices LICENSES.md

The card quotes `benchmarks/evaluation.md` and `benchmarks/ensembles.md`, and shows the sheets of `draw_pieces.py`, so these are
made first, with the checkpoint in half precision (`--half FOLDER` writes only that).
"""

from __future__ import annotations

import argparse
import re
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from mmt.corpus.storage import Corpus
from mmt.model.checkpoint import read_checkpoint, write_checkpoint
from mmt.model.recipes import read_recipe
from mmt.training.card import describe, model_card

HERE = Path(__file__).parent
BENCHMARKS = HERE.parent / "benchmarks"

CARD = """# Model card: the model that comes with mmt

A Multitrack Music Transformer of {parameters:,} parameters ({layers} layers of {dim}, {heads} attention heads, context
{context} events, {beats} beats, {positions} positions, {output} heads), stored in half precision. It writes music for up to 64
instruments and drums: from nothing, for given instruments, or as a continuation. It also rewrites parts of a piece while the
other notes stay, and ends at a length that is asked for.

## What it writes

{evaluation}

These are figures of `mmt-evaluate`; `benchmarks/evaluation.md` has all of them. For ensembles that are asked for by name:

{ensembles}

Eight pieces of each mode, seeds 0 to 7, none chosen (`checkpoints/draw_pieces.py`); the prompt is left of the line:

{sheets}

## Known weaknesses

- It is small, and was trained for ten hours on one CPU core. It keeps a texture and a key for some bars and writes cadences; it
  has no plan of a whole piece, and seldom takes up a theme again ("returning notes" above); `mmt.edit.compose` makes themes
  return.
- Without the loop guard, which is on by default, it repeats a bar for ever more often than composers do.
- Where no length is given, fewer than half of its pieces end by themselves within 512 events. A given length is kept because the
  end is forbidden before its last four beats, and notes after it; by itself the model often misses it.
- Nearly all of its music is European, from the 16th to the 19th century. The list below has how often it heard each
  instrument; rare ones, and drums, sound like guesses.
- An instrument that is asked for may play little, in a third of the pieces fewer than four notes. `use_all=True`, which
  `mmt-generate --instruments` sets, draws all towards half an equal share of the notes, and gives each at least four.
- It knows no dynamics, tempo or bar lines.
- It may repeat what it was trained on. `mmt-generate --originality --corpus FOLDER` tells whether a piece of yours does.

## Training

The recipe is `configs/full.yaml`. The splits are by work, so that no two versions of a piece are in different splits.

{training}

## Licences and credits

- OpenScore Lieder, OpenScore String Quartets, OpenScore Orchestra: CC0 1.0. Credit: OpenScore, openscore.cc.
- Heritage of Polish Music in Open Access, The Fryderyk Chopin Institute, polishscores.org: CC BY 4.0; converted from Humdrum
  to MIDI.
- Freedoom, freedoom.github.io: BSD 3-Clause.
- Mutopia Project, mutopiaproject.org: public domain as declared, or CC BY 2.5, 3.0 or 4.0; `LICENSES.md` names the typesetters.
- Nénuvar, editions by Nicolas Sceaux: CC BY 3.0, inner parts of one work by Richard Civiol CC BY 2.5.

The full notices are in `LICENSES.md` beside this card. The model itself is under the MIT licence of mmt.
"""


def main() -> None:
    """Write checkpoints/default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--corpus", type=Path, required=True, help="the corpus of the training")
    parser.add_argument("--half", type=Path, metavar="FOLDER", help="only write the weights in half precision there")
    parser.add_argument("--notices", type=Path)
    chosen = parser.parse_args()
    checkpoint = read_checkpoint(chosen.checkpoint)
    corpus = Corpus(chosen.corpus, split="train")
    checkpoint = replace(
        checkpoint,
        sampling=read_recipe("full")["sampling"],
        training={**checkpoint.training, "data": {**checkpoint.training["data"], **describe(corpus)}},
    )
    if chosen.half:
        write_checkpoint(chosen.half, checkpoint, card=model_card(checkpoint), dtype=torch.float16)
        return
    # The folder is replaced as a whole, so its pictures are kept here.
    sheets = {file.name: file.read_bytes() for file in sorted((HERE / "default").glob("*.png"))}
    evaluation = (BENCHMARKS / "evaluation.md").read_text(encoding="utf-8")
    ensembles = (BENCHMARKS / "ensembles.md").read_text(encoding="utf-8")
    card = CARD.format(
        parameters=sum(p.numel() for p in checkpoint.network.parameters()),
        **checkpoint.network.config.to_dict() | {"beats": checkpoint.representation.beats},
        evaluation="\n\n".join(_section(evaluation, title) for title in ("new, ", "Loss")),
        ensembles="\n".join(
            line for line in ensembles.splitlines() if re.match(r"\| (ensemble|---|\*\*all|real)|\|---", line)
        ),
        training=model_card(checkpoint).split("\n\n", 1)[1].replace("\n## ", "\n### ").strip(),
        sheets="\n\n".join(f"![{name[:-4].replace('_', ' ')}]({name})" for name in sheets),
    )
    write_checkpoint(HERE / "default", checkpoint, card=card, dtype=torch.float16)
    for name, sheet in sheets.items():
        (HERE / "default" / name).write_bytes(sheet)
    shutil.copyfile(chosen.notices, HERE / "default" / "LICENSES.md")


def _section(page: str, title: str) -> str:
    """The section of a Markdown page whose heading begins with `title`, without its heading."""
    (found,) = (part for part in page.split("\n## ")[1:] if part.startswith(title))
    return found.split("\n", 1)[1].strip()


if __name__ == "__main__":
    main()
