"""Make the shipped checkpoint of a finished training: half precision, a model card with measured figures, the notices.

    python checkpoints/ship.py runs/NAME/best --corpus data/NAME --notices LICENSES.md --history "trained …"

Losses are taken on every window of the validation split, with the weights as they are shipped. The sampling table is that of
`benchmarks/sampling.py`, the evaluation that of `benchmarks/evaluation.py`, the comparison with the model before that of
`benchmarks/comparison.md`; they are made before, and so are the sheets of `draw_pieces.py`. The statement of how the model was
trained is the one of `--history`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch

from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Limits, ValidationBatches
from mmt.model.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from mmt.model.recipes import read_recipe
from mmt.representation.codes import FIELDS
from mmt.training.loss import Losses, losses

HERE = Path(__file__).resolve().parent
TABLE = HERE.parent / "benchmarks" / "sampling.md"
COMPARISON = HERE.parent / "benchmarks" / "comparison.md"
EVALUATION = HERE.parent / "benchmarks" / "evaluation.md"

CARD = """# Model card: the model that comes with mmt

A Multitrack Music Transformer of {parameters:,} parameters ({layers} layers of {dim}, {heads} attention heads, context
{context} events, {beats} beats, {positions} positions, {output} heads), stored in half precision. It writes music for up to 64
instruments: from nothing, for given instruments, or on from the beginning of a piece.

## Training

{history}

The recipe is `configs/default.yaml`; what was different is in `config.json` under `training`. Code and data to do it again:
`mmt-prepare` on the corpus below, then `mmt-train`.

## Loss

On all {windows:,} windows ({notes:,} notes) of the validation split, without grammar masks, in nats: **{per_note:.3f} per note**.
Mean per counted target of each field:

| {fields} |
|{rule}
| {losses} |

{comparison}

## What it writes, against real music

{table}

The default setting is the one in `config.json` under `sampling`: {sampling}.

Eight pieces of each mode, seeds 0 to 7, none chosen (`checkpoints/draw_pieces.py`); what was given lies left of the line:

{sheets}

## Evaluation

{evaluation}

## Data and licences

{pieces:,} pieces ({trained:,} notes) to train on, {checked:,} to validate on; splits by work, so that no two versions of a
piece stand on both sides. Licences of the training pieces: {licences}.

- OpenScore Lieder, OpenScore String Quartets, OpenScore Orchestra: CC0 1.0. Credit: OpenScore, openscore.cc.
- Heritage of Polish Music in Open Access, The Fryderyk Chopin Institute, polishscores.org: CC BY 4.0; converted from
  Humdrum to MIDI.
- Freedoom, freedoom.github.io: BSD 3-Clause.

The full notices are in `LICENSES.md` beside this card. The model itself is given away under the MIT licence of mmt.

## Known weaknesses

- It is small and was trained for four hours on two CPU cores. It keeps a texture and a key for some bars; it has no plan of a
  whole piece, and long pieces wander or fall into repetition.
- Three quarters of its music has voices, nearly all of it is European, from the 17th to the 19th century, with some synthetic
  rock. Rare instruments sound like guesses.
- Of the instruments that are asked for, not every one need play.
- It knows no drums, dynamics, tempo or bar lines.
- A piece that begins from nothing may begin in the middle of a phrase: four fifths of its windows did.
- It may repeat what it was trained on. How much it shares with its training pieces stands under Evaluation; of a piece of yours
  `mmt-generate --originality --corpus FOLDER` tells it.
"""


def main() -> None:
    """Write checkpoints/default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--notices", type=Path, required=True)
    parser.add_argument("--history", required=True)
    chosen = parser.parse_args()
    checkpoint = read_checkpoint(chosen.checkpoint)
    checkpoint.network.half().float()
    found, windows = validate(checkpoint, Corpus(chosen.corpus, split="valid"))
    measured = {name: round(float(loss), 4) for name, loss in zip(FIELDS, found.per_field, strict=True)}
    measured["loss"] = round(float(found.per_note), 4)
    training = {**checkpoint.training, "history": chosen.history, "validation": measured}
    sampling = read_recipe("default")["sampling"]
    shipped = replace(checkpoint, sampling=sampling, training=training)
    # The folder is made anew.
    sheets = {file.name: file.read_bytes() for file in sorted((HERE / "default").glob("*.png"))}
    corpus, config = Corpus(chosen.corpus, split="train"), checkpoint.network.config
    licences = Counter(piece.licence for piece in corpus.pieces)
    card = CARD.format(
        parameters=sum(p.numel() for p in checkpoint.network.parameters()),
        **config.to_dict() | {"beats": checkpoint.representation.beats},
        history=chosen.history,
        windows=windows,
        notes=int(found.notes),
        per_note=measured["loss"],
        fields=" | ".join(FIELDS),
        rule="---|" * len(FIELDS),
        losses=" | ".join(f"{measured[name]:.3f}" for name in FIELDS),
        table=TABLE.read_text(encoding="utf-8").split("\n\n", 1)[1].strip(),
        evaluation=EVALUATION.read_text(encoding="utf-8").split("\n\n", 1)[1].strip(),
        comparison=COMPARISON.read_text(encoding="utf-8").split("\n\n", 1)[1].strip(),
        sheets="\n\n".join(f"![{name[:-4].replace('_', ' ')}]({name})" for name in sheets),
        sampling=json.dumps(sampling),
        pieces=len(corpus),
        trained=sum(piece.length for piece in corpus.pieces),
        checked=len(Corpus(chosen.corpus, split="valid")),
        licences=", ".join(f"{name} {count:,}" for name, count in licences.most_common()),
    )
    write_checkpoint(HERE / "default", shipped, card=card, dtype=torch.float16)
    for name, sheet in sheets.items():
        (HERE / "default" / name).write_bytes(sheet)
    shutil.copyfile(chosen.notices, HERE / "default" / "LICENSES.md")
    print(measured)


@torch.inference_mode()
def validate(checkpoint: Checkpoint, corpus: Corpus) -> tuple[Losses, int]:
    """The losses of the whole split, and how many windows it has."""
    network = checkpoint.network
    limits = Limits(network.config.context + 1, checkpoint.representation.beats)
    total, windows = None, 0
    for batch in ValidationBatches(corpus, limits, batch_size=8):
        logits = network(batch.codes[:, :-1], targets=batch.codes[:, 1:])
        found = losses(logits, batch.codes, batch.lengths)
        total, windows = found if total is None else total + found, windows + len(batch.lengths)
    assert total is not None
    return total, windows


if __name__ == "__main__":
    main()
