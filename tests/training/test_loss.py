"""The loss against a plain Python definition of which targets count."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import pieces

from mmt.corpus.windows import Batch, collate
from mmt.model.heads import next_written
from mmt.model.original_checkpoint import from_original
from mmt.representation.codes import (
    END_OF_SONG,
    GIVEN_NOTE,
    INSTRUMENT,
    INSTRUMENT_EVENT,
    NOTE,
    PAPER,
    TYPE,
    Events,
    Representation,
)
from mmt.training.loss import Losses, counted_targets, losses, original_losses

GIVEN = Representation(given=True)
SIZES = (GIVEN.sizes[0], 42, *PAPER.sizes[2:])
# Whole and cut windows, with and without given notes.
WINDOWS = st.one_of(*(pieces(kind, max_notes=6, end=end) for kind in (PAPER, GIVEN) for end in (True, False)))


def random_logits(batch: Batch, seed: int = 0) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    shape = (batch.codes.shape[0], batch.codes.shape[1] - 1)
    return [torch.randn(*shape, size, generator=random) for size in SIZES]


def plain_losses(logits: list[torch.Tensor], windows: list[Events]) -> tuple[list[float], list[int], int]:
    """The definition of the loss as a plain loop over windows, events and fields."""
    nats, targets, notes = [0.0] * 6, [0] * 6, 0
    for row, window in enumerate(windows):
        for place in range(1, len(window)):
            following = [event for event in window[place:].tolist() if event[TYPE] != GIVEN_NOTE]
            if not following:
                break
            event = following[0]
            counted = [TYPE]
            if event[TYPE] == INSTRUMENT_EVENT:
                counted.append(INSTRUMENT)
            if event[TYPE] == NOTE:
                counted = list(range(6))
                notes += 1
            for field in counted:
                scores = [math.exp(score) for score in logits[field][row, place - 1].tolist()]
                nats[field] -= math.log(scores[event[field]] / sum(scores))
                targets[field] += 1
    return nats, targets, notes


@given(st.lists(WINDOWS, min_size=1, max_size=3))
def test_losses_are_those_of_the_definition(windows: list[Events]) -> None:
    batch = collate(windows)
    logits = random_logits(batch)
    found = losses(logits, batch.codes, batch.lengths)
    nats, targets, notes = plain_losses(logits, windows)
    np.testing.assert_allclose(found.nats.numpy(), nats, rtol=1e-4)
    assert found.targets.tolist() == targets
    assert int(found.notes) == notes
    assert float(found.per_note) == pytest.approx(sum(nats) / max(notes, 1), rel=1e-4)
    per_field = [n / max(count, 1) for n, count in zip(nats, targets, strict=True)]
    np.testing.assert_allclose(found.per_field.numpy(), per_field, rtol=1e-4)


@given(st.lists(WINDOWS, min_size=1, max_size=3))
def test_next_written_is_the_next_event_that_is_not_a_given_note(windows: list[Events]) -> None:
    codes = collate(windows).codes
    targets = next_written(codes)
    assert targets.shape == codes[:, 1:].shape
    for row, window in enumerate(windows):
        for place in range(len(window) - 1):
            following = [event for event in window[place + 1 :].tolist() if event[TYPE] != GIVEN_NOTE]
            assert not following or targets[row, place].tolist() == following[0]
    if not (codes[..., TYPE] == GIVEN_NOTE).any():
        assert torch.equal(targets, codes[:, 1:])


def test_events_after_the_last_written_event_of_a_cut_window_do_not_count() -> None:
    opening = [[0] * 6, [1, 0, 0, 0, 0, 25], [2, 0, 0, 0, 0, 0], [3, 1, 1, 61, 12, 25]]
    given_note, end = [GIVEN_NOTE, 4, 1, 61, 12, 25], [END_OF_SONG, 0, 0, 0, 0, 0]
    batch = collate([np.array([*opening, given_note]), np.array([*opening, given_note, end])])
    assert counted_targets(batch.codes, batch.lengths)[..., TYPE].tolist() == [
        [1, 2, NOTE, -100, -100],
        [1, 2, NOTE, END_OF_SONG, END_OF_SONG],
    ]


@given(WINDOWS, st.integers(1, 9))
def test_padding_changes_nothing(piece: Events, more: int) -> None:
    batch = collate([piece])
    logits = random_logits(batch)
    # For any content of the padding.
    padded = torch.nn.functional.pad(batch.codes, (0, 0, 0, more), value=3)
    wide = [torch.nn.functional.pad(part, (0, 0, 0, more), value=7.0) for part in logits]
    alone, beside = losses(logits, batch.codes, batch.lengths), losses(wide, padded, batch.lengths)
    torch.testing.assert_close(alone.nats, beside.nats)
    assert torch.equal(alone.targets, beside.targets)
    assert torch.equal(alone.notes, beside.notes)


def test_a_missing_end_of_song_does_not_count() -> None:
    opening = [[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 25], [2, 0, 0, 0, 0, 0], [3, 1, 1, 61, 12, 25]]
    cut, whole = np.array(opening), np.array([*opening, [4, 0, 0, 0, 0, 0]])
    targets = counted_targets(*(getattr(collate([whole, cut]), name) for name in ("codes", "lengths")))
    assert targets[0, :, TYPE].tolist() == [1, 2, 3, 4]
    assert targets[1, :, TYPE].tolist() == [1, 2, 3, -100]
    assert targets[1, :, INSTRUMENT].tolist() == [25, -100, 25, -100]
    # Only the type of end-of-song counts.
    assert targets[0, 3, 1:].tolist() == [-100] * 5


@given(st.lists(pieces(max_notes=4), min_size=2, max_size=5))
def test_the_loss_of_a_batch_is_the_sum_over_its_parts(windows: list[Events]) -> None:
    parts = []
    for place, window in enumerate(windows):
        batch = collate([window])
        parts.append((random_logits(batch, place), batch))
    total = Losses(torch.zeros(6), torch.zeros(6, dtype=torch.long), torch.tensor(0))
    for logits, batch in parts:
        total = total + losses(logits, batch.codes, batch.lengths)
    together = collate(windows)
    length = together.codes.shape[1] - 1
    padded = [
        torch.cat(
            [torch.nn.functional.pad(logits[field], (0, 0, 0, length - logits[field].shape[1])) for logits, _ in parts]
        )
        for field in range(6)
    ]
    whole = losses(padded, together.codes, together.lengths)
    torch.testing.assert_close(total.nats, whole.nats)
    assert torch.equal(total.targets, whole.targets)


def test_half_precision_logits_are_summed_in_single_precision() -> None:
    batch = collate([np.array([[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 25]])])
    found = losses([part.bfloat16() for part in random_logits(batch)], batch.codes, batch.lengths)
    assert found.nats.dtype == torch.float32


def test_perfect_logits_have_zero_loss() -> None:
    batch = collate([np.array([[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 25], [2, 0, 0, 0, 0, 0], [3, 1, 1, 61, 12, 25]])])
    logits = [
        1e4 * torch.nn.functional.one_hot(batch.codes[:, 1:, field], size).float() for field, size in enumerate(SIZES)
    ]
    assert float(losses(logits, batch.codes, batch.lengths).per_note) == 0.0


@pytest.mark.parametrize("kind", ["ape", "rpe", "npe"])
def test_original_losses_equal_those_of_the_original_code(shared: Path, kind: str) -> None:
    reference = torch.load(shared / "reference" / f"ref_tiny_{kind}.pt", weights_only=True)
    network = from_original(reference["state_dict"], reference["train_args"]).network
    with torch.no_grad():
        found = original_losses(network(reference["seq"][:, :-1], reference["mask"][:, :-1]), reference["seq"])
    for ours, theirs in zip(found.per_field.tolist(), reference["losses"], strict=True):
        assert ours == pytest.approx(float(theirs), abs=1e-5)
    assert float(found.per_note) == pytest.approx(float(reference["loss"]), abs=1e-4)
    # The original code takes the mean over batches, regardless of their numbers of notes.
    assert torch.equal((found + found).per_note, found.per_note)
