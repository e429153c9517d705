"""Likelihood: targets, the training loss, exact sums, context of windows, paired comparison, continuation and errors."""

from __future__ import annotations

import json
import math
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mmt
from mmt.analysis import ledger
from mmt.analysis.likelihood import Likelihood, compare, measure
from mmt.analysis.loss_windows import LossWindow, plan_windows
from mmt.corpus.storage import write_description
from mmt.corpus.windows import collate
from mmt.representation.codes import BEAT, FIELDS, INSTRUMENT_EVENT, NOTE, TYPE
from mmt.representation.encode import events_of_notes
from mmt.sampling.model import Model
from mmt.training.loss import losses


@pytest.fixture(scope="module")
def corpus(tiny_folder: Path) -> mmt.Corpus:
    return mmt.Corpus(tiny_folder)


@pytest.fixture(scope="module")
def short(corpus: mmt.Corpus) -> mmt.Corpus:
    """The shortest piece."""
    return corpus.subset([int(np.argmin([piece.length for piece in corpus.pieces]))])


@pytest.fixture(scope="module")
def model() -> Model:
    return mmt.new_model("tiny", seed=1)


@pytest.mark.parametrize("stride", [None, 5, 64])
def test_every_target_is_counted_once_for_any_stride(
    model: Model, corpus: mmt.Corpus, short: mmt.Corpus, stride: int | None
) -> None:
    """Targets: the type of all events but the first, the instrument of instrument events and notes, the rest of notes."""
    corpus = short if stride == 5 else corpus  # the longest piece would take too much time
    found = measure(model, corpus, stride=stride)
    for row, events in enumerate(corpus):
        notes = (events[:, TYPE] == NOTE).sum()
        listed = (events[:, TYPE] == INSTRUMENT_EVENT).sum()
        assert found.notes[row] == notes
        assert found.targets[row].tolist() == [len(events) - 1, notes, notes, notes, notes, notes + listed]


def test_loss_of_a_piece_that_fits_the_context_is_the_training_loss(short: mmt.Corpus) -> None:
    """If the piece fits the context, there is one window, as in training."""
    model = mmt.new_model("paper", seed=0)
    events = events_of_notes(short.notes(0), model.representation)
    assert len(events) <= model.network.config.context + 1
    batch = collate([events])
    with torch.inference_mode():
        expected = losses(model.network(batch.codes[:, :-1], targets=batch.codes[:, 1:]), batch.codes, batch.lengths)
    found = measure(model, short)
    assert found.per_note == pytest.approx(float(expected.per_note), rel=1e-5)
    assert list(found.per_field.values()) == pytest.approx(expected.per_field.tolist(), rel=1e-5)


def test_loss_of_zero_weights_is_the_log_of_the_field_size(corpus: mmt.Corpus) -> None:
    """With all weights 0 each target costs log(size), for any number of windows."""
    model = mmt.new_model("tiny", seed=0)
    for weight in model.network.parameters():
        weight.data.zero_()
    found = measure(model, corpus)
    sizes = model.network.config.sizes
    for field, name in enumerate(FIELDS):
        assert found.per_field[name] == pytest.approx(math.log(sizes[field]), rel=1e-5)


def test_later_notes_do_not_change_earlier_losses(model: Model, corpus: mmt.Corpus) -> None:
    """The first notes of a piece have the same loss before another continuation for the same instruments."""
    events = corpus[max(range(len(corpus)), key=lambda i: corpus.pieces[i].length)]
    other = events.copy()
    other[300:-1, BEAT] += 3
    first, second = mmt.likelihood.events(model, [events, other], stride=16)
    np.testing.assert_allclose(first.nats[:300], second.nats[:300], atol=1e-4)
    assert not np.allclose(first.nats[300:], second.nats[300:], atol=1e-2, equal_nan=True)


beats_of_pieces = st.lists(st.sampled_from([0] * 6 + [1, 1, 2, 9, 40, 200]), min_size=1, max_size=150).map(np.cumsum)


@given(beats_of_pieces, st.integers(1, 15), st.booleans())
def test_windows_cover_all_items_once_with_enough_context(beats: np.ndarray, stride: int, ended: bool) -> None:
    room, reach, items = 31, 64, len(beats) + ended
    windows = list(plan_windows(beats, items, room=room, reach=reach, stride=stride))
    assert windows[0].start == windows[0].counted == 0
    assert windows[-1].stop == items
    kept = reach * 7 // 8 * (room - stride) // room
    for before, window in pairwise(windows):
        assert window.counted == before.stop
        assert window.start >= before.start
    for window in windows:
        assert window.start <= window.counted < window.stop <= window.start + room
        inside = beats[window.start : window.stop]
        assert inside[-1] - inside[0] < reach if len(inside) else window.start == len(beats)
        # The predecessor of each target is before the handover.
        if window.stop - 2 >= window.start and window.stop - 2 < len(beats):
            assert beats[window.stop - 2] - beats[window.start] < reach * 7 // 8
        # Context: from the first note of the piece, or enough notes, or enough beats, or none after a silence.
        if window.start and window.start < window.counted:
            last = beats[window.counted - 1]
            assert window.counted - window.start >= room - stride or last - beats[window.start] >= kept - (
                beats[window.start] - beats[window.start - 1]
            )
        if window.start == window.counted > 0:
            assert beats[window.counted] - beats[window.counted - 1] > reach // 8 or stride >= room // 2


def test_windows_begin_at_whole_beats() -> None:
    """Eight notes per beat: with every stride, windows begin at whole beats."""
    beats = np.repeat(np.arange(60), 8)
    for stride in (16, 17, 23):
        for window in plan_windows(beats, len(beats) + 1, room=100, reach=1000, stride=stride):
            assert window.start % 8 == 0
            assert window.start == 0 or window.counted - window.start >= 100 - stride


def test_windows_end_before_their_last_beats() -> None:
    """One note per beat, 64 beats: the next window starts after the note of beat 56, with 3/4 of 56 beats as context."""
    windows = list(plan_windows(np.arange(120), 120, room=100, reach=64, stride=25))
    assert windows[:2] == [LossWindow(0, 0, 57), LossWindow(14, 57, 71)]


def test_long_silence_starts_a_window_without_context() -> None:
    beats = np.array([0, 1, 500, 501])
    windows = list(plan_windows(beats, 5, room=20, reach=64, stride=5))
    assert windows == [LossWindow(0, 0, 2), LossWindow(2, 2, 5)]


def test_comparison_of_two_models_is_antisymmetric(model: Model, corpus: mmt.Corpus) -> None:
    other = mmt.new_model("tiny", seed=2)
    first, second = measure(model, corpus), measure(other, corpus)
    found = compare(first, second)
    assert found.per_note == pytest.approx(first.per_note - second.per_note)
    assert found.low <= found.per_note <= found.high
    assert found.pieces == len(corpus)
    back = compare(second, first)
    assert (back.per_note, back.low, back.high) == pytest.approx((-found.per_note, -found.high, -found.low))
    same = compare(first, first)
    assert (same.per_note, same.low, same.high, same.better) == (0, 0, 0, 0)
    with pytest.raises(ValueError, match="different pieces"):
        compare(first, measure(other, corpus.subset([0])))


def test_paired_interval_is_narrower_than_the_unpaired_one() -> None:
    """Pieces have 1 to 9 nats per note; one model is 0.1 better on all of them, with a standard deviation of 0.01."""
    random = np.random.default_rng(0)
    notes = random.integers(100, 1000, 60)
    hard = random.uniform(1, 9, 60)

    def of(rate: np.ndarray) -> Likelihood:
        nats = np.zeros((60, 6))
        nats[:, 0] = rate * notes
        targets = np.repeat(notes[:, None], 6, axis=1)
        return Likelihood(tuple(map(str, range(60))), nats, targets, notes, 1, 0)

    first, second = of(hard - 0.1 + random.normal(0, 0.01, 60)), of(hard)
    found = compare(first, second)
    assert -0.11 < found.low < found.per_note < found.high < -0.09
    assert np.ptp(first.interval) > 0.5


def test_stopped_measurement_continues_from_its_ledger(
    model: Model, corpus: mmt.Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmt.analysis import likelihood

    path, whole = tmp_path / "a" / "ledger.jsonl", measure(model, corpus)
    measure(model, corpus.subset([0, 1]), ledger=path)
    # An incomplete line is measured again.
    path.write_text(path.read_text()[:-20])
    measured: list[int] = []
    plain = likelihood._measure_piece

    def counting(model: Model, corpus: mmt.Corpus, index: int, stride: int) -> object:
        measured.append(index)
        return plain(model, corpus, index, stride)

    monkeypatch.setattr(likelihood, "_measure_piece", counting)
    found = measure(model, corpus, ledger=path)
    assert measured == list(range(1, len(corpus)))
    np.testing.assert_array_equal(found.nats, whole.nats)
    assert found.interval == whole.interval
    with pytest.raises(ValueError, match="another stride"):
        measure(model, corpus, stride=7, ledger=path)
    with pytest.raises(ValueError, match="another model"):
        measure(mmt.new_model("tiny", seed=9), corpus, ledger=path)
    path.write_text("what?\nis this\n")
    with pytest.raises(ValueError, match="is not a file of saved results"):
        measure(model, corpus, ledger=path)


def test_notes_that_changed_are_measured_again_though_their_file_did_not(
    model: Model, tiny_folder: Path, tmp_path: Path
) -> None:
    """As when a corpus is prepared again by another version, or with another representation."""
    measure(model, mmt.Corpus(tiny_folder, split="valid"), ledger=tmp_path / "ledger")
    shutil.copytree(tiny_folder, tmp_path / "again")
    notes = np.load(tmp_path / "again" / "notes.npy")
    notes["pitch"] += 1
    np.save(tmp_path / "again" / "notes.npy", notes)
    again = mmt.Corpus(tmp_path / "again", split="valid")
    assert measure(model, again, ledger=tmp_path / "ledger").per_note == measure(model, again).per_note


def test_an_edited_model_has_its_own_ledger(model: Model, short: mmt.Corpus, tmp_path: Path) -> None:
    path, direction = tmp_path / "a", np.ones(32)
    edit = mmt.inside.add("final", direction)
    plain, edited = measure(model, short, ledger=path), measure(model.edited(edit), short)
    assert plain.per_note != edited.per_note
    for other in (edit, mmt.inside.ablate((0, 0)), {"final": lambda stream: -stream}):
        with pytest.raises(ValueError, match="was started with another model"):
            measure(model.edited(other), short, ledger=path)
    # An equal edit has the same ledger, and continues it.
    measure(model.edited(edit), short, ledger=tmp_path / "b")
    again = measure(model.edited(mmt.inside.add("final", direction)), short, ledger=tmp_path / "b")
    assert again.per_note == edited.per_note


def test_fingerprints_differ_where_models_compute_differently(model: Model) -> None:
    edits = [
        mmt.inside.ablate((0, 0)),
        mmt.inside.ablate((0, 1)),
        mmt.inside.ablate((1, 0)),
        mmt.inside.add("final", np.ones(32)),
        mmt.inside.add("final", np.ones(32), 0.5),
        mmt.inside.add("embedding", np.ones(32)),
        mmt.inside.add("final", np.arange(32)),
        mmt.inside.ablate((0, 0)) & mmt.inside.ablate((0, 1)),
        {"final": lambda stream: 2 * stream},
        {"final": lambda stream: 3 * stream},
    ]
    hooked = model.edited({})
    hooked.network.norm.register_forward_hook(lambda module, inputs, output: 2 * output)
    half = mmt.new_model("tiny", seed=1)
    half.network.bfloat16().float()
    rounded = ledger.fingerprint(half)
    half.network.bfloat16()
    found = [ledger.fingerprint(model.edited(edit)) for edit in edits]
    found += [ledger.fingerprint(other) for other in (model, hooked, half)] + [rounded]
    assert len(set(found)) == len(found)
    assert ledger.fingerprint(model.edited({})) == ledger.fingerprint(model)
    assert ledger.fingerprint(model.edited(mmt.inside.ablate((0, 0)))) == found[0]


def test_ledger_round_trip_keeps_every_result(tmp_path: Path) -> None:
    book = ledger.Ledger(tmp_path / "book", {"what": "x"})
    book.add("a", [1.5])
    book.add("b", None)
    again = ledger.Ledger(tmp_path / "book", {"what": "x"})
    assert {key: again[key] for key in "ab"} == {"a": [1.5], "b": None}
    (tmp_path / "book").write_text('{"wha')
    assert "a" not in ledger.Ledger(tmp_path / "book", {"what": "x"})


def test_results_serialise_to_json(model: Model, corpus: mmt.Corpus) -> None:
    found = measure(model, corpus)
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["nats_per_note"] == found.per_note
    assert told["length"] == "whole pieces"
    assert "whole pieces" in str(found)
    assert "paired" in str(compare(found, found))
    json.dumps(compare(found, found).to_dict(), allow_nan=False)


def test_invalid_strides_and_corpora_raise(model: Model, corpus: mmt.Corpus, tmp_path: Path) -> None:
    for stride in (0, 65):
        with pytest.raises(ValueError, match="stride is"):
            measure(model, corpus, stride=stride)
    folder = tmp_path / "slides"
    shutil.copytree(corpus.folder, folder)
    write_description(folder / "corpus.json", mmt.Representation.slides())
    with pytest.raises(ValueError, match=r"corpus is 'data/mine'; give mmt\.Corpus\(folder, split='valid'\)"):
        measure(model, "data/mine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"the resolution of .*slides is not the model.s"):
        measure(model, mmt.Corpus(folder))
