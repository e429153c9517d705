"""Editing: for any network, held notes stay exactly as they are, and results are valid."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_corpora import model_of
from small_models import notes_of, random_model

import mmt
from mmt import edit
from mmt.representation.codes import BEAT, DURATION, END_OF_SONG, INSTRUMENT, NOTE, PITCH, TYPE, Events, Representation
from mmt.representation.encode import canonical, frame
from mmt.representation.grammar import check_piece
from mmt.representation.instrument_ranges import INSTRUMENT_RANGES
from mmt.representation.instruments import PAPER_INSTRUMENTS
from mmt.sampling.editing.constrained_decoding import log_likelihood
from mmt.sampling.editing.filling import following_likelihood
from mmt.sampling.editing.reharmonisation import Harmoniser, Moment
from mmt.sampling.filters import Filters
from mmt.sampling.model import Model
from mmt.sampling.streams import generator_of

SMALL = Representation(resolution=2, beats=8, durations=(1, 2, 4), instruments=PAPER_INSTRUMENTS[24:29])
VIOLIN, VIOLA, CELLO = (SMALL.find_instrument(name) for name in ("violin", "viola", "cello"))


def make_model(seed: int = 0, *, representation: Representation = SMALL, **others: Any) -> Model:
    usual = {"output": "chain", "scale": 3.0, "context": 32, "positions": "rotary"}
    return random_model(representation, seed, **usual | others)


def of(piece: Events, *codes: int) -> Events:
    notes = notes_of(piece)
    return notes[np.isin(notes[:, INSTRUMENT], codes)]


@st.composite
def pieces(draw: st.DrawFn) -> Events:
    """Pieces with few moments and pitches, so that chords and unisons are frequent; some exceed the context."""
    note = st.tuples(
        st.just(NOTE), st.integers(1, 6), st.integers(1, 2), st.integers(60, 66) | st.integers(1, 128), st.integers(1, 3),
        st.sampled_from([VIOLIN, VIOLA, CELLO]),
    )  # fmt: skip
    notes = np.array(draw(st.lists(note, min_size=3, max_size=36)))
    opening = mmt.prompt.instruments("violin", "viola", "cello", representation=SMALL)
    everyone = [[NOTE, 7, 1, 64, 2, code] for code in (VIOLIN, VIOLA, CELLO)]
    return np.asarray(
        mmt.prompt.tidy(np.concatenate([opening, notes, everyone, [[END_OF_SONG, 0, 0, 0, 0, 0]]]), SMALL)
    )


@given(st.data())
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_edits_of_any_network_are_valid_and_keep_held_notes(data: st.DataObject) -> None:
    piece = data.draw(pieces())
    model = make_model(
        data.draw(st.integers(0, 99)),
        output=data.draw(st.sampled_from(["independent", "chain", "mixed"])),
        scale=data.draw(st.sampled_from([1.0, 30.0, 1e6])),
    )
    drawing: dict[str, Any] = data.draw(st.sampled_from([{}, {"top_k": 1}, {"min_p": 0.1}, {"temperature": 0.1}]))

    names = data.draw(st.sampled_from([["cello"], ["violin", "harp"], ["violin", "viola", "cello", "harp"]]))
    anew, report = edit.reorchestrate(model, piece, names, n=2, seed=1, report=True, **drawing)
    places, counts = np.unique(notes_of(piece)[:, :INSTRUMENT], axis=0, return_counts=True)
    kept = np.minimum(counts, len(names))
    for one in anew:
        check_piece(one, representation=SMALL)
        assert np.array_equal(notes_of(one)[:, :INSTRUMENT], np.repeat(places, kept, axis=0))
    assert (report.notes, report.kept, report.lost_doubles) == (len(notes_of(piece)), kept.sum(), (counts - kept).sum())

    controls: dict[str, Any] = data.draw(st.sampled_from([{}, {"scale": "C major"}, {"allow": "C3..C6"}]))
    for one in edit.reharmonise(model, piece, "viola", seed=1, **controls, **drawing):
        check_piece(one, representation=SMALL)
        assert np.array_equal(of(one, VIOLIN, CELLO), of(piece, VIOLIN, CELLO))
        rhythms = [sorted(of(whole, VIOLA)[:, [BEAT, 2, DURATION]].tolist()) for whole in (one, piece)]
        assert rhythms[0] == rhythms[1]
        assert_keeps(of(one, VIOLA)[:, PITCH] - 1, controls)

    for one in edit.accompany(model, piece, "violin", ["cello", "harp"], seed=1, candidates=2, **controls, **drawing):
        check_piece(one, representation=SMALL)
        assert np.array_equal(of(one, VIOLIN), of(piece, VIOLIN))
        assert not len(of(one, VIOLA))
        assert_keeps(notes_of(one)[notes_of(one)[:, INSTRUMENT] != VIOLIN, PITCH] - 1, controls)

    held, free = ["violin"], ["viola", "cello"]
    for one in edit.accompany(model, piece, held, free, beats=(2, 5), seed=1, candidates=2, **controls, **drawing):
        check_piece(one, representation=SMALL)
        assert np.array_equal(of(one, VIOLIN), of(piece, VIOLIN))
        assert np.array_equal(outside(one), outside(piece))
        within = of(one, VIOLA, CELLO)
        assert_keeps(within[(within[:, BEAT] > 2) & (within[:, BEAT] <= 5), PITCH] - 1, controls)

    for one in edit.fill(model, piece, 2, 5, seed=1, candidates=2, **controls, **drawing):
        check_piece(one, representation=SMALL)
        assert np.array_equal(outside(one), outside(piece))
        within = notes_of(one)[(notes_of(one)[:, BEAT] > 2) & (notes_of(one)[:, BEAT] <= 5)]
        assert_keeps(within[:, PITCH] - 1, controls)


def outside(piece: Events) -> Events:
    notes = notes_of(piece)
    return notes[(notes[:, BEAT] <= 2) | (notes[:, BEAT] > 5)]


def assert_keeps(pitches: Events, controls: dict[str, Any]) -> None:
    if "scale" in controls:
        assert set((pitches % 12).tolist()) <= {0, 2, 4, 5, 7, 9, 11}
    if "allow" in controls:
        assert ((pitches >= 48) & (pitches <= 84)).all()


QUARTET = np.array(
    [[0, 0, 0, 0, 0, 0]]
    + [[1, 0, 0, 0, 0, code] for code in (VIOLIN, VIOLA, CELLO)]
    + [[2, 0, 0, 0, 0, 0]]
    + [[NOTE, beat, 1, 61 + 5 * place, 2, code] for beat in range(1, 8) for place, code in enumerate((CELLO, VIOLA, VIOLIN))]
    + [[END_OF_SONG, 0, 0, 0, 0, 0]]
)  # fmt: skip


def test_a_piece_is_the_same_alone_and_in_a_batch() -> None:
    model = make_model(scale=1)
    for change in (
        lambda n: edit.reorchestrate(model, QUARTET, ["violin", "harp"], n=n, seed=4),
        lambda n: edit.reharmonise(model, QUARTET, "violin", n=n, seed=4),
        lambda n: edit.fill(model, QUARTET, 2, 4, n=n, seed=4, candidates=2),
        lambda n: edit.accompany(model, QUARTET[:11], "cello", n=n, seed=4, candidates=1),
    ):
        alone, many = change(1), change(2)
        assert (len(alone), len(many)) == (1, 2)
        assert np.array_equal(many[0], alone[0])
        assert not np.array_equal(many[0], many[1])


@pytest.mark.parametrize("output", ["independent", "chain", "mixed"])
def test_drawn_pitches_follow_the_joint_probability_with_the_fixed_fields(output: str) -> None:
    """One free note below a held one: the probability of a candidate is its share of the network's probabilities."""
    heads = make_model(output=output).network.heads
    hidden = torch.randn(1, 16, generator=torch.Generator().manual_seed(0))
    held = (64, 2, VIOLIN)
    allowed = np.array([61, 64, 70])
    events = [(61, 2, CELLO), (70, 2, CELLO), held]
    counts = dict.fromkeys([*events, (64, 2, CELLO)], 0)
    with torch.no_grad():
        for seed in range(150):
            moments = {(1, 1): Moment([held], [2])}
            drawn = Harmoniser(moments, CELLO, allowed, Filters())(heads, hidden, 0, generator_of((seed, 0)))
            assert drawn is not None
            counts[drawn[PITCH:]] += 1
        # The cello's (64, 2, cello) sorts after the held (64, 2, violin), so it is no candidate.
        candidates = [(61, 2, CELLO), held]
        rows = torch.tensor([[NOTE, 1, 1, *note] for note in candidates])
        weights = sum(log_likelihood(heads, hidden, rows, field) for field in (PITCH, DURATION, INSTRUMENT))
    assert isinstance(weights, torch.Tensor)
    assert counts[(70, 2, CELLO)] == counts[(64, 2, CELLO)] == 0
    shares = [counts[note] / 150 for note in candidates]
    np.testing.assert_allclose(shares, weights.softmax(0).numpy(), atol=0.12)


def test_reorchestrated_notes_stay_in_the_instruments_ranges() -> None:
    paper = dataclasses.replace(Representation(), beats=16)
    model = make_model(representation=paper)
    notes = [[NOTE, 1, 1, pitch + 1, 12, 25] for pitch in range(40, 100, 3)]
    piece = np.concatenate([mmt.prompt.instruments("violin"), notes])
    anew = notes_of(edit.reorchestrate(model, piece, ["flute", "contrabass", "viola"], seed=0, ranges=True)[0])
    for note in anew:
        low, high = INSTRUMENT_RANGES[paper.names[note[INSTRUMENT] - 1]]
        assert low <= note[PITCH] - 1 <= high
    with pytest.raises(
        ValueError, match=r"none of the instruments may play pitch 40 \(beat 0; 7 such notes\); add one"
    ):
        edit.reorchestrate(model, piece, ["flute"], ranges=True)


def test_fill_keeps_the_candidate_with_the_likeliest_continuation() -> None:
    model, gains = make_model(scale=1), []
    for seed in range(4):
        fits = []
        for count in (1, 4):
            piece = edit.fill(model, QUARTET, 2, 4, seed=seed, candidates=count)[0][:-1]
            fits.append(following_likelihood(model, piece, int(np.flatnonzero(piece[:, BEAT] > 4)[0])))
        gains.append(fits[1] - fits[0])
    # The first candidate is among the four.
    assert min(gains) >= 0
    assert max(gains) > 0


def busy_model() -> Model:
    """A model that writes many notes per beat, of all instruments alike, nearly independent of the past."""
    model = make_model(scale=0.1)
    with torch.no_grad():
        fields = model.network.heads.fields
        fields[TYPE].bias[NOTE] += 30
        fields[BEAT].bias[:] = -12.0 * torch.arange(len(fields[BEAT].bias))
        for field, slope in ((2, 0.8), (PITCH, 0.1)):
            fields[field].bias[:] = -slope * torch.arange(len(fields[field].bias))
    return model


def test_a_gap_is_filled_to_its_end_after_a_beginning_that_nearly_fills_the_context() -> None:
    model = busy_model()
    opening = np.asarray(mmt.prompt.instruments("violin", "cello", representation=SMALL))
    chords = np.array([[NOTE, beat, 1, pitch, 1, VIOLIN] for beat in range(1, 9) for pitch in range(60, 66)])
    for first in range(3, 7):
        piece = np.concatenate([opening, chords, [[END_OF_SONG, 0, 0, 0, 0, 0]]])
        (filled,) = edit.fill(model, piece, first, 8, seed=0, candidates=1)
        assert set(range(first + 1, 9)) <= set(notes_of(filled)[:, BEAT].tolist())


def test_an_accompaniment_continues_to_the_last_held_note() -> None:
    held = np.array([[NOTE, beat, 1, 64, 1, VIOLIN] for beat in (1, 170)])
    opening = np.asarray(mmt.prompt.instruments("violin", representation=SMALL))
    piece = np.concatenate([opening, held, [[END_OF_SONG, 0, 0, 0, 0, 0]]])
    (both,) = edit.accompany(busy_model(), piece, "violin", ["viola", "cello"], seed=0, candidates=1)
    others = of(both, VIOLA, CELLO)
    assert len(others) > 64 * 2 + 1024
    assert others[-1, BEAT] >= 168


@pytest.mark.parametrize("call", ["reorchestrate", "accompany"])
def test_more_instruments_than_the_context_holds_are_refused(call: str) -> None:
    model = make_model(representation=Representation(), context=32)
    piece = [[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 0], [3, 1, 1, 61, 12, 1]]
    names = model.representation.names[1:41]
    arguments: Any = {"reorchestrate": (names,), "accompany": (model.representation.names[0], names)}[call]
    with pytest.raises(
        ValueError, match=r"4[01] instruments are too many for the model's context of 32 events; name fewer"
    ):
        getattr(edit, call)(model, piece, *arguments, seed=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: edit.reorchestrate(m, QUARTET, "violni"), "unknown instrument 'violni'"),
        (lambda m: edit.reorchestrate(m, QUARTET, []), "no instrument was named"),
        (lambda m: edit.reorchestrate(m, QUARTET[:5], ["harp"]), "the piece has no notes"),
        (lambda m: edit.reharmonise(m, QUARTET, "harp"), "harp does not play in the piece"),
        (lambda m: edit.reharmonise(m, QUARTET, "viola", allow=[], scale="C major"), "leaves no pitch to sample"),
        (lambda m: edit.reharmonise(m, QUARTET, "viola", ranges={"viola": "C4..C4"}, allow="D4"), "leaves"),
        (
            lambda m: edit.reharmonise(m, QUARTET, "viola", ranges={"cello": "C2..C4"}),
            "cello is given a range, and has no",
        ),
        (lambda m: edit.accompany(m, QUARTET, "harp"), "harp does not play in the piece"),
        (lambda m: edit.accompany(m, QUARTET, "violin", ["violin"]), "other than those that are held"),
        (lambda m: edit.accompany(m, QUARTET, ["violin", "viola", "cello"]), "other than those that are held"),
        (lambda m: edit.fill(m, QUARTET, 4, 4), "beats 4 to 4: give 0 <= from_beat < to_beat <= 7"),
        (lambda m: edit.fill(m, QUARTET, 0, 9), "give 0 <= from_beat < to_beat <= 7"),
        (lambda m: edit.fill(m, QUARTET, 1, 3, candidates=0), "candidates is 0; it must be at least 1"),
        (lambda m: edit.accompany(m, QUARTET, "violin", beats=(1, 99)), "beats are 1 to 99"),
        (lambda m: edit.accompany(m, QUARTET, "violin", candidates=0), "candidates is 0; it must be at least 1"),
    ],
)
def test_invalid_arguments_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(make_model())


def test_options_that_an_edit_does_not_take_are_refused() -> None:
    with pytest.raises(TypeError, match="unknown option 'max_beats'"):
        edit.reharmonise(make_model(), QUARTET, "viola", max_beats=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unknown option 'scale'"):
        edit.reorchestrate(make_model(), QUARTET, ["harp"], scale="C major")  # type: ignore[call-overload]


def test_drums_can_accompany_and_be_accompanied() -> None:
    representation = mmt.Representation(beats=64, drums=True)
    model, drums = model_of(representation), representation.drums_code
    rows = [[3, 1 + beat, 1, 37, 12, drums] for beat in range(3)] + [[3, 1, 1, 61, 12, 25]]
    piece = frame(canonical(np.array(rows), representation), end=True)
    held = edit.accompany(model, piece, hold="drums", seed=0, candidates=2)[0]
    assert held[held[:, INSTRUMENT] == drums].tolist() == piece[piece[:, INSTRUMENT] == drums].tolist()
    around = edit.accompany(model, piece, hold="violin", instruments=["drums"], seed=0, candidates=2)[0]
    assert around[around[:, TYPE] == 1, INSTRUMENT].tolist() == [25, drums]
