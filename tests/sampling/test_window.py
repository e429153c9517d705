"""A sliding window: beyond the context the network reads only the last events, for any batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import mmt
from mmt.representation.codes import BEAT, END_OF_SONG, NOTE, TYPE, Events
from mmt.sampling.grammar import Bounds
from mmt.sampling.model import Model
from mmt.sampling.window import SlidingWindow

CONTEXT = 128


@pytest.fixture(scope="module")
def model() -> Model:
    """An untrained model that prefers the next beats and no end, so that pieces exceed the context."""
    model = mmt.new_model("tiny", seed=1)
    with torch.no_grad():
        model.network.heads.fields[TYPE].bias += torch.tensor([0.0, 0.0, 3.0, 9.0, -9.0])
        model.network.heads.fields[BEAT].bias -= 5.0 * torch.arange(65)
    assert model.network.config.context == CONTEXT
    return model


@pytest.fixture(scope="module")
def piece() -> Events:
    return mmt.prompt.beats(mmt.encode(mmt.read("data/tiny/mayer_quartet_in_g_minor.mid")), 40)


def test_pieces_beyond_the_context_are_valid_and_the_same_alone_and_in_a_batch(model: Model) -> None:
    pieces = model.generate(n=3, seed=5, max_events=160, context="slide")
    assert [len(one) for one in pieces] == [160] * 3
    assert all(mmt.is_valid(one, representation=model.representation) for one in pieces)
    assert np.array_equal(model.generate(seed=5, max_events=160, context="slide")[0], pieces[0])


def test_pieces_are_equal_until_the_context_is_full(model: Model) -> None:
    slid = model.generate(seed=2, max_events=160, context="slide")[0]
    assert np.array_equal(slid[: CONTEXT - 1], model.generate(seed=2)[0][: CONTEXT - 1])


def test_a_prompt_may_be_longer_than_the_context(model: Model, piece: Events) -> None:
    assert len(piece) > CONTEXT
    written = model.generate(piece, seed=1, max_events=len(piece) + 20, context="slide")[0]
    assert np.array_equal(written[: len(piece)], piece)
    assert written[-1, TYPE] == END_OF_SONG
    assert (written[len(piece) : -1, TYPE] == NOTE).all()
    assert len(written) > len(piece) + 5


def test_the_window_is_the_last_events_read_by_themselves(model: Model, piece: Events) -> None:
    codes = torch.from_numpy(np.stack([piece, piece]))
    codes[1, :, 3] += 1
    window = SlidingWindow(model.network, 2, bounds=Bounds(len(piece), 64))
    with torch.inference_mode():
        window.read(codes[:, : CONTEXT - 2].numpy())
        for end in range(CONTEXT - 1, CONTEXT + 4):
            hidden, _ = window.read(codes[:, end - 1 : end].numpy())
            alone = model.network.hidden(codes[:, max(0, end - CONTEXT) : end])[:, -1]
            torch.testing.assert_close(hidden, alone, rtol=0, atol=1e-5)


def test_options_that_a_sliding_window_does_not_support_are_refused(model: Model, piece: Events) -> None:
    with pytest.raises(ValueError, match="context is 'roll'; choose anchor or slide"):
        model.generate(context="roll")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"it must be at least {len(piece) + 1}"):
        model.generate(piece, context="slide", max_events=10)
