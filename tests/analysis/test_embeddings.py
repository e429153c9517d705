"""Embedding tables: similarity, projection, labels of the codes, and errors."""

from __future__ import annotations

import numpy as np
import pytest
from small_corpora import model_of

import mmt
from mmt.analysis import embeddings
from mmt.analysis.plotting import code_labels
from mmt.sampling.model import Model


@pytest.fixture(scope="module")
def model() -> Model:
    return mmt.new_model("tiny", seed=3)


def test_similarity_and_projection_match_the_embedding_table(model: Model) -> None:
    codes = range(40, 90)
    rows = embeddings.table(model, "pitch", codes)
    np.testing.assert_array_equal(rows, model.network.embeddings[3].weight[40:90].detach().double().numpy())
    centred = rows - rows.mean(axis=0)
    alike = embeddings.similarity(model, "pitch", codes)
    cosine = centred[0] @ centred[7] / np.linalg.norm(centred[0]) / np.linalg.norm(centred[7])
    assert alike[0, 7] == pytest.approx(cosine)
    assert embeddings.by_difference(model, "pitch", codes)[49] == pytest.approx(alike[0, 49])
    # All dimensions together keep every distance.
    places, shares = embeddings.projection(model, "pitch", codes, dimensions=32)
    distances = [np.linalg.norm(table[3] - table[20]) for table in (places, rows)]
    assert distances[0] == pytest.approx(distances[1])
    assert shares.sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="codes of the pitch are 0 to 128"):
        embeddings.table(model, "pitch", [129])
    with pytest.raises(ValueError, match="no field 'key'"):
        embeddings.table(model, "key")


def test_labels_include_drums_and_given_notes() -> None:
    representation = mmt.Representation(beats=64, drums=True, given=True)
    assert code_labels("type", representation)[-1] == "given note"
    assert code_labels("instrument", representation)[-1] == "drums"
    assert code_labels("type")[-1] == "end-of-song"
    for field in ("type", "instrument"):
        embeddings.draw_embeddings(model_of(representation), field)


def test_drawing_a_single_code_raises(model: Model) -> None:
    with pytest.raises(ValueError, match="codes has 1 code of the pitch; give two or more"):
        mmt.embeddings.draw_embeddings(model, "pitch", [5])
