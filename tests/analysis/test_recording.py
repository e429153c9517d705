"""Activations of a corpus on disk: equal to those of the pieces read alone, resumable, with true labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import mmt
from mmt.analysis.inside import recording
from mmt.analysis.inside.labels import LABELS, key_of
from mmt.analysis.inside.store import ActivationStore
from mmt.sampling.model import Model

PLACES = ["layers.0.stream", "layers.1.heads", "logits.pitch"]


@pytest.fixture(scope="module")
def model() -> Model:
    return mmt.new_model("tiny", seed=3)


@pytest.fixture(scope="module")
def corpus(tiny_folder: Path) -> mmt.Corpus:
    return mmt.Corpus(tiny_folder)


@pytest.fixture(scope="module")
def store(model: Model, corpus: mmt.Corpus, tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    return mmt.activations(model, corpus, PLACES, output=tmp_path_factory.mktemp("activations") / "all")


def test_every_event_has_one_row_in_order(store: ActivationStore, corpus: mmt.Corpus) -> None:
    assert len(store) == sum(map(len, corpus))
    expected = np.concatenate(
        [np.stack([np.full(len(piece), index), np.arange(len(piece))]) for index, piece in enumerate(corpus)], 1
    )
    np.testing.assert_array_equal([store.labels("piece"), store.labels("event")], expected)
    assert store.names == [piece.name for piece in corpus.pieces]


def test_rows_equal_the_activations_of_a_piece_read_alone(
    store: ActivationStore, model: Model, corpus: mmt.Corpus
) -> None:
    context = model.network.config.context
    for index, piece in enumerate(corpus):
        # Within the first window, whatever was batched with it.
        alone = mmt.activations(model, piece[: context // 2], PLACES)
        rows = np.flatnonzero(store.labels("piece") == index)[: context // 2 - 1]
        np.testing.assert_array_equal(store.labels("context")[rows], np.arange(len(rows)))
        for place in PLACES:
            np.testing.assert_allclose(store.read(place, rows), alone[place][: len(rows)], atol=1e-4)


def test_events_of_later_windows_have_as_much_context_as_their_label_says(
    store: ActivationStore, model: Model, corpus: mmt.Corpus
) -> None:
    """Re-read by hand: the header, and as many notes before the event as the label counts, from their own first beat."""
    limit = model.network.config.context
    row = int(np.flatnonzero((store.labels("event") > limit) & (store.labels("type") == 3))[5])
    piece, event, seen = (int(store.labels(name)[row]) for name in ("piece", "event", "context"))
    codes = corpus[piece]
    opening = int((codes[:, 0] < 3).sum())
    notes = codes[event - (seen - opening) : event + 1].copy()
    notes[:, 1] -= notes[0, 1] - 1
    alone = mmt.activations(model, np.concatenate([codes[:opening], notes]), ["layers.0.stream"])["layers.0.stream"][-1]
    assert seen >= limit // 2
    np.testing.assert_allclose(store.read("layers.0.stream", [row])[0], alone, atol=1e-4)


def test_labels_are_computed_from_the_notes(store: ActivationStore, corpus: mmt.Corpus) -> None:
    table = np.concatenate([corpus.notes(index) for index in range(len(corpus))])
    notes = store.labels("type") == 3
    for name in ("beat", "position", "pitch"):
        np.testing.assert_array_equal(np.sort(store.labels(name)[notes]), np.sort(table[name]))
    np.testing.assert_array_equal(store.labels("pitch_class")[notes], store.labels("pitch")[notes] % 12)
    assert (store.labels("pitch")[~notes] == -1).all()
    assert (store.labels("beat")[~notes] == -1).all()


def test_a_stopped_recording_continues_to_the_same_result(
    model: Model, corpus: mmt.Corpus, store: ActivationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_ROWS", 300)
    read, calls, stopped = recording.read_places, 0, []

    def stops(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if not stopped and [*(tmp_path / "part").glob("part-*.h5")]:
            raise KeyboardInterrupt
        return read(*arguments)

    monkeypatch.setattr(recording, "read_places", stops)
    with pytest.raises(KeyboardInterrupt):
        mmt.activations(model, corpus, PLACES, output=tmp_path / "part", batch_size=2)
    stopped.append(True)
    finished = len(list((tmp_path / "part").glob("part-*.h5")))
    assert finished >= 1
    before = calls
    again = mmt.activations(model, corpus, PLACES, output=tmp_path / "part", batch_size=2)
    assert len(again.paths) > finished
    assert calls > before
    for place in PLACES:
        np.testing.assert_allclose(again.read(place), store.read(place), atol=1e-5)
    for name in LABELS:
        np.testing.assert_array_equal(again.labels(name), store.labels(name))
    # A complete recording is not repeated.
    before = calls
    mmt.activations(model, corpus, PLACES, output=tmp_path / "part")
    assert calls == before


def test_a_recording_with_a_damaged_part_is_not_continued(model: Model, corpus: mmt.Corpus, tmp_path: Path) -> None:
    mmt.activations(model, corpus, ["final"], output=tmp_path / "part")
    (tmp_path / "part" / "part-00000.h5").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"part-00000\.h5 is no part of a recording, or is damaged"):
        mmt.activations(model, corpus, ["final"], output=tmp_path / "part")


def test_rows_are_read_in_any_order_and_by_a_data_loader(store: ActivationStore) -> None:
    everything, rows = store.read("layers.0.stream"), np.array([7, 3, 3, len(store) - 1])
    np.testing.assert_array_equal(store.read("layers.0.stream", rows), everything[rows])
    np.testing.assert_allclose(store.mean("layers.0.stream"), everything.mean(0), atol=1e-5)
    dataset = store.dataset("layers.0.stream", "pitch", pieces=[1])
    assert len(dataset) == int((store.labels("piece") == 1).sum())
    found = [(x, y) for x, y in DataLoader(dataset, batch_size=64)]
    chosen = store.labels("piece") == 1
    np.testing.assert_array_equal(torch.cat([x for x, _ in found]).numpy(), everything[chosen])
    np.testing.assert_array_equal(torch.cat([y for _, y in found]).numpy(), store.labels("pitch")[chosen])


def test_the_key_label_is_the_key_with_the_largest_correlation() -> None:
    representation = mmt.Representation()
    for tonic in range(12):
        for minor, steps in ((0, (0, 2, 4, 5, 7, 9, 11, 0, 4, 7, 0)), (12, (0, 2, 3, 5, 7, 8, 11, 0, 3, 7, 0))):
            notes = [[3, 1 + place, 1, 61 + (tonic + step) % 12, 12, 1] for place, step in enumerate(steps)]
            assert key_of(np.array(notes), representation) == tonic + minor
    assert key_of(np.array([[0, 0, 0, 0, 0, 0]]), representation) == -1


def test_the_chord_label_is_the_triad_that_sounds_longest_in_the_beat(
    store: ActivationStore, corpus: mmt.Corpus
) -> None:
    resolution, found = corpus.representation.resolution, []
    for index in range(len(corpus)):
        notes = corpus.notes(index)
        for beat in notes["beat"]:
            lengths = [0] * 12
            for note in notes:
                begin = note["beat"] * resolution + note["position"]
                within = range(beat * resolution, (beat + 1) * resolution)
                lengths[note["pitch"] % 12] += len(set(within) & set(range(begin, begin + note["duration"])))
            triads = [
                sum(lengths[(root + above) % 12] for above in (0, third, 7)) for third in (4, 3) for root in range(12)
            ]
            found.append(triads.index(max(triads)) if triads.count(max(triads)) == 1 else -1)
        if len(found) > 400:
            break
    notes = store.labels("type") == 3
    np.testing.assert_array_equal(store.labels("chord")[notes][: len(found)], found)
    assert len(set(found)) > 5
    assert (store.labels("chord")[~notes] == -1).all()


def test_a_recording_of_an_older_version_is_called_so(store: ActivationStore, tmp_path: Path) -> None:
    shutil.copytree(store.folder, tmp_path / "old")
    job = json.loads((tmp_path / "old" / "job.json").read_text()) | {"format_version": 1}
    (tmp_path / "old" / "job.json").write_text(json.dumps(job))
    for part in (tmp_path / "old").glob("part-*.h5"):
        with h5py.File(part, "a") as file:
            del file["labels/chord"]
    old = ActivationStore(tmp_path / "old")
    assert len(old.labels("key")) == len(old)
    with pytest.raises(ValueError, match="is of an older version of mmt, which recorded no chords; record it again"):
        old.labels("chord")


def test_invalid_recordings_and_labels_raise(
    model: Model, corpus: mmt.Corpus, store: ActivationStore, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="a corpus was given; give a folder"):
        mmt.activations(model, corpus)
    with pytest.raises(ValueError, match="holds activations of other places; give a new folder"):
        mmt.activations(model, corpus, PLACES[:1], output=store.folder)
    with pytest.raises(ValueError, match="holds activations of other model; give a new folder"):
        mmt.activations(model.edited(mmt.inside.ablate((0, 0))), corpus, PLACES, output=store.folder)
    with pytest.raises(ValueError, match=r"layers\.0\.pattern has no fixed size; read it piece by piece"):
        mmt.activations(model, corpus, ["layers.0.pattern"], output=tmp_path / "new")
    with pytest.raises(ValueError, match="unknown place"):
        mmt.activations(model, corpus, ["stream"], output=tmp_path / "new")
    with pytest.raises(ValueError, match="there is no label 'mode'"):
        store.labels("mode")
    with pytest.raises(ValueError, match="was not recorded"):
        store.read("final")
    with pytest.raises(ValueError, match=r"has no job\.json"):
        ActivationStore(tmp_path)
