"""Arcs over a piano roll show the attention weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.patches import FancyArrowPatch
from small_corpora import model_of

import mmt
from mmt.sampling.model import Model


@pytest.fixture(scope="module")
def model() -> Model:
    return mmt.new_model("tiny", seed=3)


@pytest.fixture(scope="module")
def piece() -> np.ndarray:
    return mmt.encode(mmt.read("data/tiny/mayer_quartet_in_g_minor.mid"))[:40]


def test_arcs_lead_to_the_notes_with_the_greatest_weights(model: Model, piece: np.ndarray, tmp_path: Path) -> None:
    figure = mmt.attention.draw_arcs(model, piece, 1, heads=[0, 1], queries=-1, most=3, least=0)
    drawn = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]
    assert len(drawn) == 6
    weights = mmt.attention.weights(model, piece)[1]
    beats = piece[:, 1] - 1 + (piece[:, 2] - 1) / 12
    for head in range(2):
        row = np.where(piece[:-1, 0] == 3, weights[head, -1, :-1], 0)
        expected = [(beats[key], piece[key, 3] - 1) for key in np.argsort(-row, kind="stable")[:3]]
        ends = [tuple(patch._posA_posB[1]) for patch in drawn[3 * head : 3 * head + 3]]
        assert ends == expected
    assert len({patch.get_edgecolor()[:3] for patch in drawn}) == 2
    for suffix, start in ((".png", b"\x89PNG"), (".svg", b"<?xml")):
        figure.savefig(tmp_path / f"arcs{suffix}")
        assert (tmp_path / f"arcs{suffix}").read_bytes().startswith(start)


def test_weights_below_the_threshold_have_no_arc(model: Model, piece: np.ndarray) -> None:
    figure = mmt.attention.draw_arcs(model, piece, 0, least=0.9)
    assert not [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": 2}, "no layer 2; there are 2"),
        ({"layer": 0, "heads": 2}, "no head 2; there are 2"),
        ({"layer": 0, "queries": 0}, "event 0 of 40 is not a note"),
        ({"layer": 0, "queries": [40]}, "event 40 of 40 is not a note"),
    ],
)
def test_unknown_layers_heads_and_notes_raise(
    model: Model, piece: np.ndarray, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        mmt.attention.draw_arcs(model, piece, **arguments)


def test_arcs_lead_to_drums_in_their_band_and_to_given_notes() -> None:
    representation = mmt.Representation(beats=64, drums=True, given=True)
    model = model_of(representation)
    events = np.array([[3, 1, 1, 61, 12, 25], [5, 2, 1, 66, 12, 25], [3, 2, 1, 37, 12, 65], [3, 3, 1, 68, 12, 25]])
    figure = mmt.attention.draw_arcs(model, events, 1, heads=0, queries=3, most=3, least=0)
    drawn = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]
    ends = dict(tuple(patch._posA_posB[1]) for patch in drawn if patch._posA_posB[1][1] != 65)
    assert len(drawn) == 3
    assert ends[0] == 60
    hits = [c for c in figure.axes[0].collections if isinstance(c, LineCollection) and c.get_zorder() == 3]
    ((_, low), (_, high)) = hits[0].get_segments()[0]
    assert ends[1] == pytest.approx((low + high) / 2)
    assert ends[1] < 50
