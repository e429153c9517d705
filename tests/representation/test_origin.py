"""Events are read only by the representation that they were made with, if both are known."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import muspy
import numpy as np
import pytest
from small_corpora import model_of, tiny_tables, write_corpus

import mmt
from mmt.analysis.originality import Index
from mmt.representation import origin
from mmt.representation.codes import PAPER, Representation

SLIDES = Representation.slides()
MUSIC = muspy.Music(resolution=24, tracks=[muspy.Track(40, notes=[muspy.Note(6 * beat, 60, 6) for beat in range(200)])])


def pieces(representation: Representation) -> dict[str, np.ndarray]:
    """Arrays of every origin that a user can have."""
    model = model_of(representation)
    events = mmt.encode(MUSIC, representation=representation)
    return {
        "encoded": events,
        "slice": events[:9],
        "slice of a slice": events[:50][2:],
        "generated": model.generate(seed=0, max_events=20)[0],
        "prompt": mmt.prompt.beats(events, 4, representation=representation),
        "header": mmt.prompt.instruments("violin", representation=representation),
        "filled": mmt.edit.fill(model, events, 4, 6, seed=0, candidates=1)[0],
    }


@pytest.mark.parametrize(("ours", "theirs"), [(PAPER, SLIDES), (SLIDES, PAPER)], ids=["paper's", "talk's"])
def test_events_of_another_representation_are_refused(ours: Representation, theirs: Representation) -> None:
    model = model_of(theirs)
    readers: list[Callable[[np.ndarray], Any]] = [
        lambda events: mmt.decode(events, representation=theirs),
        lambda events: mmt.to_text(events, representation=theirs),
        lambda events: mmt.is_valid(events, representation=theirs),
        lambda events: mmt.prompt.beats(events, 1, representation=theirs),
        lambda events: mmt.metrics.evaluate([events], representation=theirs),
        lambda events: mmt.distributions.compare_distributions([events] * 3, [events] * 6, representation=theirs),
        lambda events: mmt.activations(model, events, ["final"]),
        lambda events: mmt.attention.weights(model, events),
        lambda events: mmt.attention.relative(model, [events], "pitch"),
        lambda events: model.generate(events, max_events=400),
    ]
    for name, events in pieces(ours).items():
        for number, reader in enumerate(readers):
            with pytest.raises(
                ValueError, match=r"made with another resolution .*give the one that they were made with"
            ):
                pytest.fail(f"{name} was read by {number}: {reader(events)!r}")
        # Its own representation reads it.
        mmt.to_text(events, representation=ours)


def test_pieces_of_a_corpus_are_refused_by_another_representation(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "c", {name: ("train", notes) for name, notes in tiny_tables().items()})
    for events in (mmt.Corpus(folder)[0], next(iter(mmt.Corpus(folder))), mmt.Corpus(folder)[:1][0]):
        with pytest.raises(ValueError, match="another resolution"):
            mmt.decode(events, representation=SLIDES)
    with pytest.raises(ValueError, match="another resolution"):
        Index(mmt.Corpus(folder)).find([mmt.encode(MUSIC, representation=SLIDES)])


def test_arrays_are_plain_and_any_other_array_is_read_as_before() -> None:
    events = mmt.encode(MUSIC, representation=SLIDES)
    assert type(events) is np.ndarray
    assert events.dtype.metadata is None
    for other in (events.tolist(), events.copy(), events + 0):
        mmt.decode(other, representation=SLIDES)


def test_a_copy_or_a_loaded_array_causes_a_warning_while_the_original_exists(tmp_path: Path) -> None:
    notes = [muspy.Note(beat, 60, 1) for beat in range(8)]
    events = mmt.encode(muspy.Music(1, tracks=[muspy.Track(40, notes=notes)]), representation=SLIDES)
    np.save(tmp_path / "events.npy", events)
    for other in (events.copy(), np.load(tmp_path / "events.npy"), np.array(events.tolist())):
        with pytest.warns(origin.OtherRepresentationWarning, match=r"another resolution .*\(24, not 12\)"):
            mmt.decode(other)
    other = events.copy()
    del events
    gc.collect()
    mmt.decode(other)


def test_results_of_editing_are_known() -> None:
    model = model_of(SLIDES)
    events = mmt.encode(MUSIC, representation=SLIDES)[:40]
    for pieces in (
        mmt.edit.accompany(model, events, "violin", ["cello"], beats=(0, 2), candidates=1, seed=0),
        mmt.edit.reorchestrate(model, events, ["flute"], seed=0),
    ):
        with pytest.raises(ValueError, match="another resolution"):
            mmt.decode(pieces[0])


def test_a_code_out_of_range_may_be_of_another_representation() -> None:
    events = mmt.encode(MUSIC, representation=SLIDES).tolist()
    with pytest.raises(ValueError, match="codes are 1 to 12, unless the events are of another representation"):
        mmt.decode(events)


def test_options_that_add_codes_do_not_change_what_codes_mean() -> None:
    events = mmt.encode(MUSIC)
    for other in (
        Representation(drums=True),
        Representation(given=True),
        Representation(length=True),
        Representation(beats=256),
    ):
        assert mmt.decode(events, representation=other).tracks


def test_representations_with_other_durations_or_instruments_are_refused() -> None:
    events = mmt.encode(MUSIC)
    for other in (Representation(durations=(1, 2, 12)), Representation(instruments=PAPER.instruments[::-1])):
        with pytest.raises(ValueError, match=r"made with another (durations|instruments) of the representation"):
            mmt.decode(events, representation=other)


def test_the_origin_of_a_deleted_array_is_forgotten() -> None:
    gc.collect()
    before = len(origin._ORIGINS)
    events = [mmt.encode(MUSIC) for _ in range(5)]
    assert len(origin._ORIGINS) == before + 5
    view = events[0][3:]
    del events
    gc.collect()
    assert len(origin._ORIGINS) == before + 1
    del view
    gc.collect()
    assert len(origin._ORIGINS) == before


def test_events_are_read_with_the_codes_that_they_were_made_with() -> None:
    """The default representation has no drums; the events know that theirs has."""
    representation = Representation(drums=True)
    prompt = mmt.prompt.instruments("electric-bass", "drums", representation=representation)
    notes = [[3, 1, 1, 37, 12, code] for code in sorted(prompt[prompt[:, 0] == 1, 5].tolist())]
    piece = np.concatenate([prompt, notes, [[4, 0, 0, 0, 0, 0]]])
    with pytest.raises(ValueError, match="instrument code 65"):
        mmt.decode(piece)
    origin.remember(piece, representation)
    assert [track.is_drum for track in mmt.decode(piece).tracks] == [False, True]
    assert "drums" in mmt.to_text(piece)
    assert np.isfinite(mmt.metrics.evaluate([piece]).values["valid"]).all()
