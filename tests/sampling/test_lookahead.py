"""The strict grammar draws valid events with the network's probabilities, compared with a list of all events."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from mmt.model.heads import HEADS
from mmt.representation.codes import END_OF_SONG, NOTE, TYPE
from mmt.sampling.grammar import Bounds, StrictGrammar

# Few codes in every field, so that all events can be listed: 4 beats, 2 positions, 5 pitches, 2 durations, 3 instruments.
SIZES = (5, 5, 3, 6, 3, 4)
OPENING = [[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 3], [2, 0, 0, 0, 0, 0]]


@pytest.fixture(params=["independent", "chain", "mixed"])
def heads(request: pytest.FixtureRequest) -> torch.nn.Module:
    torch.manual_seed(0)
    heads = HEADS[request.param](8, SIZES)
    for parameter in heads.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return heads


def drawn(heads: torch.nn.Module, prompt: list[list[int]], bounds: Bounds) -> tuple[torch.Tensor, np.ndarray]:
    """Every possible note and the end, with the probability that the decoding loop draws it."""
    listed = [[NOTE, *codes] for codes in itertools.product(*(range(1, size) for size in SIZES[1:]))]
    events = torch.tensor([*listed, [END_OF_SONG, 0, 0, 0, 0, 0]])
    hidden = state(len(events))
    rules = StrictGrammar([np.array(prompt)] * len(events), SIZES, bounds)
    shares = torch.zeros(len(events))
    with torch.no_grad():
        rules.look_ahead(torch.cat(heads(hidden, torch.from_numpy(rules.floor_notes())), dim=1).numpy())
        for field in range(6):
            allowed = rules.allow(heads.field(field, hidden, events).numpy(), field, events.numpy())
            shares += torch.from_numpy(allowed).log_softmax(-1).gather(1, events[:, field, None])[:, 0]
    return events, shares.exp().double().numpy()


def joint(heads: torch.nn.Module, notes: torch.Tensor) -> np.ndarray:
    """The network's own probability of notes, among those of declared instruments."""
    shares = torch.zeros(len(notes))
    with torch.no_grad():
        for field in range(1, 6):
            logits = heads.field(field, state(len(notes)), notes).clone()
            logits[:, [0, 2] if field == 5 else [0]] = -torch.inf
            shares += logits.log_softmax(-1).gather(1, notes[:, field, None])[:, 0]
    return shares.exp().double().numpy()


def state(rows: int) -> torch.Tensor:
    """One hidden state, repeated for all rows."""
    return torch.randn(1, 8, generator=torch.Generator().manual_seed(1)).expand(rows, 8)


def test_a_note_is_drawn_as_by_rejection_of_invalid_ones(heads: torch.nn.Module) -> None:
    last = [NOTE, 2, 2, 3, 1, 1]
    events, ruled = drawn(heads, [*OPENING, last], Bounds(max_events=100, max_beats=4))
    rows = events.tolist()
    valid = np.array([row[TYPE] == NOTE and row > last and row[-1] in (1, 3) for row in rows])
    assert 0 < valid.sum() < len(rows) - 1
    assert ruled.sum() == pytest.approx(1, abs=1e-5)
    assert ruled[~valid][:-1].max() == 0
    expected = joint(heads, events[torch.from_numpy(valid)])
    np.testing.assert_allclose(ruled[valid] / ruled[valid].sum(), expected / expected.sum(), atol=1e-5)


def test_a_piece_is_closed_instead_of_exceeding_the_last_beat(heads: torch.nn.Module) -> None:
    """The probability of notes beyond the limit goes to the end, not to higher notes."""
    last = [NOTE, 2, 2, 3, 1, 1]
    free = drawn(heads, [*OPENING, last], Bounds(max_events=100, max_beats=4))
    bound = drawn(heads, [*OPENING, last], Bounds(max_events=100, max_beats=3))
    beyond = np.array([row[1] == 4 for row in free[0].tolist()])
    assert bound[1][beyond].max() == 0
    assert bound[1][-1] > free[1][-1]
    at_the_limit = drawn(heads, [*OPENING, last], Bounds(max_events=100, max_beats=2))
    assert at_the_limit[1].sum() == pytest.approx(1, abs=1e-5)
    # At the last beat every draw that is not a valid note closes the piece.
    valid = torch.tensor([row > last and row[1] == 2 and row[-1] in (1, 3) for row in at_the_limit[0].tolist()[:-1]])
    with torch.no_grad():
        types = heads.field(TYPE, state(1), at_the_limit[0][:1])[0, [NOTE, END_OF_SONG]].softmax(0)
    expected = float(types[0]) * joint(heads, at_the_limit[0][:-1][valid]).sum()
    assert at_the_limit[1][:-1].sum() == pytest.approx(expected, abs=1e-5)


def test_an_endless_piece_ends_only_if_no_note_can_follow(heads: torch.nn.Module) -> None:
    last = [NOTE, 2, 2, 3, 1, 1]
    assert drawn(heads, [*OPENING, last], Bounds(100, 4, endless=True))[1][-1] == 0
    assert drawn(heads, [*OPENING, last], Bounds(100, 2, endless=True))[1][-1] > 0
