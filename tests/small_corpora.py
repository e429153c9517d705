"""Small corpora for tests, made of note tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mmt
from mmt.corpus.pieces import Piece, write_pieces
from mmt.corpus.storage import NOTES, PIECES, write_description
from mmt.model.checkpoint import Checkpoint
from mmt.model.config import NetworkConfig
from mmt.model.network import Network
from mmt.representation.codes import PAPER
from mmt.representation.notes import NoteTable, note_table, raw_notes
from mmt.sampling.model import Model

TINY = Path(__file__).resolve().parents[1] / "data" / "tiny"


def write_corpus(
    folder: Path, tables: Mapping[str, tuple[str, NoteTable]], representation: mmt.Representation = PAPER
) -> Path:
    """A corpus of note tables: `tables` gives the split and the notes of each name."""
    folder.mkdir(parents=True)
    pieces, offset = [], 0
    for name, (split, notes) in tables.items():
        known: dict[str, Any] = {"source": "here", "licence": "CC0-1.0", "sha256": f"{name}-{len(notes)}"}
        beats = int(notes["beat"][-1]) + 1
        pieces.append(Piece(name, offset, len(notes), beats, "", split, **known))
        offset += len(notes)
    np.save(folder / NOTES, np.concatenate([notes for _, notes in tables.values()]))
    write_pieces(folder / PIECES, pieces)
    write_description(folder / "corpus.json", representation)
    return folder


def tiny_tables(representation: mmt.Representation = PAPER) -> dict[str, NoteTable]:
    """The notes of the pieces in data/tiny, by name."""
    files = sorted([*TINY.glob("*.mid"), *TINY.glob("*.mxl")])
    return {file.stem: note_table(raw_notes(mmt.read(file)), representation)[0] for file in files}


def write_tiny_corpus(folder: Path) -> Path:
    """A corpus of the pieces in data/tiny: the songs by Franz and Lehmann for training, the other two for validation."""
    splits = ["train", "train", "valid", "valid"]
    tables = zip(tiny_tables().items(), splits, strict=True)
    return write_corpus(folder, {name: (split, notes) for (name, notes), split in tables})


def model_of(representation: mmt.Representation, seed: int = 3) -> Model:
    """A small untrained model that knows a representation."""
    sizes = representation.sizes
    config = NetworkConfig(sizes=sizes, dim=32, layers=2, heads=2, head_dim=16, context=128, positions="rotary")
    torch.manual_seed(seed)
    return Model(Checkpoint(Network(config).eval(), representation, {}))
