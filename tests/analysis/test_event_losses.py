"""Event losses: their sums, an independent computation, long pieces, the grammar, the marginals, and errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_corpora import TINY

import mmt
from mmt.analysis.event_losses import events
from mmt.analysis.likelihood import measure
from mmt.representation.codes import FIELDS, INSTRUMENT, NOTE, PAPER, TYPE, Events
from mmt.representation.grammar import is_valid
from mmt.sampling.model import Model


@pytest.fixture(scope="module")
def corpus(tiny_folder: Path) -> mmt.Corpus:
    return mmt.Corpus(tiny_folder)


@pytest.fixture(scope="module")
def model() -> Model:
    return mmt.new_model("tiny", seed=1)


@pytest.fixture(scope="module")
def short(corpus: mmt.Corpus) -> Events:
    """The first notes of a piece, in one window of the tiny network."""
    return corpus[0][:50]


def test_sums_over_a_corpus_are_those_of_the_likelihood(model: Model, corpus: mmt.Corpus) -> None:
    found, measured = events(model, corpus), measure(model, corpus)
    assert max(piece.length for piece in corpus.pieces) > model.network.config.context
    for losses, nats, targets in zip(found, measured.nats, measured.targets, strict=True):
        np.testing.assert_allclose(np.nansum(losses.nats, axis=0), nats, rtol=1e-5, atol=1e-5)
        assert (~np.isnan(losses.nats)).sum(0).tolist() == targets.tolist()
        assert (np.isnan(losses.nats) == np.isnan(losses.entropy)).all()


def test_each_event_has_the_nats_and_entropy_of_a_plain_computation(model: Model, short: Events) -> None:
    [found] = events(model, short)
    for row in range(1, len(short)):
        codes, target = torch.from_numpy(short[:row])[None], torch.from_numpy(short[: row + 1])[None, 1:]
        with torch.inference_mode():
            logits = model.network(codes, targets=target)
        kind = short[row, TYPE]
        for field in range(len(FIELDS)):
            counts = field == TYPE or kind == NOTE or (field == INSTRUMENT and kind == 1)
            assert counts != np.isnan(found.nats[row, field])
            if counts:
                shares = logits[field][0, -1].double().softmax(-1)
                assert found.nats[row, field] == pytest.approx(float(-shares[short[row, field]].log()), abs=1e-5)
                assert found.entropy[row, field] == pytest.approx(float(-(shares * shares.log()).sum()), abs=1e-5)


def test_arrays_files_and_corpora_agree(model: Model, corpus: mmt.Corpus) -> None:
    file = next(file for file in sorted(TINY.glob("*.mid")))
    piece = mmt.encode(mmt.read(file))
    [from_file], [alone], twice = events(model, file), events(model, piece), events(model, [piece, piece])
    assert [losses.per_event.sum() for losses in (from_file, *twice)] == [alone.per_event.sum()] * 3


def test_masked_losses_are_those_of_the_distribution_that_sampling_draws_from(model: Model, short: Events) -> None:
    """The masks only remove what is impossible, so the sum over an event never rises by more than the lookahead's rounding."""
    [plain], [masked] = events(model, short), events(model, short, distribution="masked")
    assert (masked.per_event <= plain.per_event + 1e-4).all()
    assert masked.per_event.sum() < plain.per_event.sum() - 1


def test_masked_probabilities_of_all_valid_next_events_sum_to_one(short: Events) -> None:
    representation = mmt.Representation(resolution=2, beats=6, durations=(1, 2))
    from small_corpora import model_of

    small = model_of(representation)
    start = [[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 0], [3, 2, 2, 127, 2, 1]]
    total = 0.0
    for event in np.ndindex(1, 7, 3, 129, 3):
        piece = np.array([*start, [3, *event[1:], 1]])
        if is_valid(np.concatenate([piece, [[4, 0, 0, 0, 0, 0]]]), representation=representation) and event[1] == 2:
            [losses] = events(small, piece, distribution="masked")
            total += np.exp(-losses.per_event[-1])
    # After the last note: notes in its beat, later notes, or the end.
    [end] = events(small, np.array([*start, [4, 0, 0, 0, 0, 0]]), distribution="masked")
    assert 0 < total < 1 - np.exp(-end.per_event[-1])


def test_marginals_of_independent_heads_are_their_softmax(short: Events) -> None:
    from small_corpora import model_of

    small = model_of(mmt.Representation())
    [marginal], [conditional] = events(small, short, distribution="marginal"), events(small, short)
    np.testing.assert_array_equal(marginal.nats, conditional.nats)


def test_means_by_beat_are_means_over_notes(model: Model, short: Events) -> None:
    [found] = events(model, short)
    notes = short[:, TYPE] == NOTE
    beats = found.by_beat()
    counts = np.bincount(short[notes, 1] - 1, minlength=len(beats))
    assert np.nansum(beats * counts) == pytest.approx(found.per_event[notes].sum())


def test_means_by_part_are_means_over_the_notes_of_an_instrument(model: Model) -> None:
    names = ["violin", "cello"]
    notes = [[3, beat, 1, 50 + beat, 12, 1 + PAPER.names.index(names[beat % 2])] for beat in (1, 2, 4)]
    [found] = events(model, np.array([*mmt.prompt.instruments(*names), *notes]))
    nats = found.per_event[-3:]
    assert found.by_part() == pytest.approx({"violin": nats[1:].mean(), "cello": nats[0]})
    np.testing.assert_allclose(found.by_beat("violin"), [np.nan, nats[1], np.nan, nats[2]])
    np.testing.assert_allclose(found.by_beat("cello"), [nats[0], np.nan, np.nan, np.nan])
    with pytest.raises(ValueError, match="no instrument 'kazoo'"):
        found.by_beat("kazoo")


def test_the_picture_has_a_dot_for_each_note(model: Model, short: Events, tmp_path: Path) -> None:
    from matplotlib.collections import PathCollection

    [found] = events(model, short)
    figure = found.draw(model)
    [dots] = [part for part in figure.axes[0].collections if isinstance(part, PathCollection)]
    np.testing.assert_array_equal(dots.get_array(), found.per_event[short[:, TYPE] == NOTE])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"distribution": "joint"}, "distribution is 'joint'; choose one of conditional, marginal, masked"),
        ({"stride": 0}, "stride is 0; it must be 1 to"),
        ({"pieces": np.zeros((2, 7), int)}, r"piece 0: .*shape"),
        ({"pieces": [[0, 0, 0, 0, 0, 0]]}, "piece 0: it must have notes"),
    ],
)
def test_invalid_pieces_and_arguments_of_event_losses_raise(
    model: Model, short: Events, change: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        events(model, **({"pieces": short} | change))  # type: ignore[arg-type]
