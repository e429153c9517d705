"""Corpora for tests: four tiny CC0 pieces of the project's own, and written notes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmt.corpus.prepare import prepare
from mmt.corpus.storage import Corpus
from mmt.representation.notes import NOTE_DTYPE, NoteTable

TINY = Path(__file__).resolve().parents[2] / "data" / "tiny"


@pytest.fixture(scope="session")
def tiny() -> Path:
    """A folder of four pieces, three MIDI and one MusicXML."""
    return TINY


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The four pieces, prepared."""
    folder = tmp_path_factory.mktemp("corpus") / "tiny"
    prepare([TINY], folder)
    return Corpus(folder)


@pytest.fixture(scope="session")
def long_table() -> NoteTable:
    """1,000 notes of three instruments over 300 beats, with silences, and chords of up to nine notes."""
    random = np.random.default_rng(0)
    table = np.zeros(1000, NOTE_DTYPE)
    table["beat"] = np.sort(random.choice(np.arange(5, 305)[random.random(300) < 0.4], 1000))
    table["position"] = random.integers(0, 12, 1000)
    table["pitch"] = random.integers(30, 90, 1000)
    table["duration"] = random.integers(1, 100, 1000)
    table["instrument"] = random.choice([1, 25, 64], 1000)
    return np.unique(table)
