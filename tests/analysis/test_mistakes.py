"""Wrong arguments of analysis functions raise a `ValueError` of one line that says what to give instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mmt
from mmt.analysis import event_losses, originality

MODEL = mmt.new_model("tiny", seed=0)
PIECE = mmt.encode(mmt.read(Path(__file__).resolve().parents[2] / "data" / "tiny" / "mayer_quartet_in_g_minor.mid"))[
    :60
]
NETWORK: Any = MODEL.network


def refused(message: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=message) as found:
        call()
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 400


def test_a_network_or_a_name_in_place_of_a_model_is_refused(tiny_folder: Path) -> None:
    corpus = mmt.Corpus(tiny_folder)
    for call in (
        lambda: mmt.attention.weights(NETWORK, PIECE),
        lambda: mmt.attention.relative(NETWORK, [PIECE], "pitch"),
        lambda: mmt.attention.measure(NETWORK, corpus),
        lambda: mmt.activations(NETWORK, PIECE),
        lambda: mmt.likelihood.measure(NETWORK, corpus),
        lambda: event_losses.events(NETWORK, PIECE),
        lambda: mmt.embeddings.table(NETWORK, "pitch"),
    ):
        refused("model is a Network; give the mmt.Model, which has its network as model.network", call)
    refused("model is 'default'; give the mmt.Model$", lambda: mmt.activations("default", PIECE))  # type: ignore[arg-type]


def test_a_corpus_in_place_of_a_piece_and_a_name_in_place_of_places_are_refused(tiny_folder: Path) -> None:
    corpus: Any = mmt.Corpus(tiny_folder)
    refused(r"places is 'final'; give a list of places: \['final'\]", lambda: mmt.activations(MODEL, PIECE, "final"))
    refused(
        r"a corpus was given; give a folder .*or a piece of it: corpus\[0\]", lambda: mmt.activations(MODEL, corpus)
    )
    refused(r"a corpus was given, .*give a piece of it: corpus\[0\]", lambda: mmt.attention.weights(MODEL, corpus))


@pytest.mark.parametrize("one", [PIECE, PIECE.tolist(), torch.from_numpy(PIECE)], ids=["array", "list", "tensor"])
def test_one_piece_in_place_of_a_list_is_refused(tiny_folder: Path, one: Any) -> None:
    for call in (
        lambda: mmt.metrics.evaluate(one),
        lambda: mmt.distributions.compare_distributions(one, [PIECE] * 6),
        lambda: mmt.distributions.compare_distributions([PIECE] * 3, one),
        lambda: originality.Index(mmt.Corpus(tiny_folder)).find(one),
        lambda: originality.compare(one, tiny_folder),
    ):
        refused(r"one piece was given; give a list of pieces: \[piece\]", call)
    assert len(mmt.metrics.evaluate([one])) == 1


def test_music_and_paths_in_place_of_pieces_are_refused() -> None:
    music: Any = mmt.decode(PIECE)
    refused(
        r"a muspy.Music was given; give a list of pieces: \[mmt.encode\(music\)\]", lambda: mmt.metrics.evaluate(music)
    )
    refused("'data/mine' is a path; give a list of event arrays", lambda: mmt.metrics.evaluate("data/mine"))


def test_pieces_in_place_of_a_corpus_are_refused() -> None:
    several: Any = [PIECE, PIECE]
    refused(r"corpus is a list of 2; give mmt.Corpus\(folder", lambda: mmt.likelihood.measure(MODEL, several))
    refused(r"corpus is a NumPy array .*; give mmt.Corpus\(folder", lambda: mmt.likelihood.measure(MODEL, PIECE))  # type: ignore[arg-type]


@pytest.mark.parametrize("fields", [5, 7])
def test_codes_without_six_fields_are_refused(fields: int) -> None:
    codes = torch.ones(1, 4, fields, dtype=torch.long)
    for call in (
        lambda: MODEL.network(codes),
        lambda: MODEL.network.hidden(codes),
        lambda: list(MODEL.network.attention_weights(codes)),
        lambda: MODEL.network(codes[0]),
    ):
        refused(r"codes must be \(batch, length, 6\), not \(", call)
    refused(rf"shape \(n, 6\), not \(4, {fields}\)", lambda: mmt.decode(np.ones((4, fields), int)))


def test_a_function_in_place_of_an_edit_is_refused() -> None:
    refused("an edit is the function <lambda>; give mmt.inside.ablate", lambda: MODEL.edited(lambda stream: stream))  # type: ignore[arg-type]
