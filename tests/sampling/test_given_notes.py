"""Given notes and length codes in sampling: given notes are read at their moment, never drawn, and pieces are valid."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_models import notes_of

from mmt import edit
from mmt.model.checkpoint import Checkpoint
from mmt.model.config import NetworkConfig
from mmt.model.network import Network
from mmt.representation.codes import (
    BEAT,
    END_OF_SONG,
    GIVEN_NOTE,
    INSTRUMENT,
    NOTE,
    START_OF_NOTES,
    TYPE,
    Events,
    Representation,
    is_note,
)
from mmt.representation.encode import canonical, frame
from mmt.representation.grammar import check_piece
from mmt.representation.instruments import PAPER_INSTRUMENTS
from mmt.representation.prompt import Prompt, beats, instruments, start
from mmt.sampling.decoding import write_pieces
from mmt.sampling.model import Model
from mmt.sampling.options import GenerationOptions
from mmt.sampling.streams import streams_of
from mmt.sampling.window import AnchoredWindow, anchor

SMALL = Representation(
    resolution=2,
    beats=8,
    durations=(1, 2, 4),
    instruments=PAPER_INSTRUMENTS[24:29],
    drums=True,
    given=True,
    length=True,
    reach=2,
)
VIOLIN, VIOLA, CELLO = (SMALL.find_instrument(name) for name in ("violin", "viola", "cello"))
NAMES = ("violin", "viola", "cello", "drums")


@cache
def make_model(seed: int = 0, *, context: int = 32, output: str = "mixed") -> Model:
    """An untrained model with large logits, dense music and rare ends."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(NetworkConfig(SMALL.sizes, 16, 2, 2, 8, context=context, output=output, positions="rotary"))
        for name, parameter in network.named_parameters():
            if "heads.fields" in name:
                parameter.data *= 3
        with torch.no_grad():
            network.heads.fields[TYPE].bias[END_OF_SONG] -= 4
            network.heads.fields[BEAT].bias -= 1.5 * torch.arange(SMALL.sizes[BEAT])
    return Model(Checkpoint(network.eval(), SMALL))


def long_piece(seed: int, *, beats: int = 20) -> Events:
    model = make_model(seed % 3)
    return model.generate(instruments(*NAMES, representation=SMALL), seed=seed, min_beats=beats, max_beats=beats)[0]


def written(
    model: Model, prompt: Prompt, gifts: Events, n: int, *, max_beats: int, grammar: str | None = None
) -> list[Events]:
    """Pieces as the network reads them, with given notes inserted."""
    options = GenerationOptions(max_beats=max_beats, max_events=10_000, grammar=grammar)
    _, set_up = options.resolve(prompt, model.network.config, SMALL, {})
    set_up["bounds"] = type(set_up["bounds"])(**{**vars(set_up["bounds"]), "reach": SMALL.reach})
    return write_pieces(model.network, [np.asarray(prompt)] * n, streams_of(n, 5), **set_up, given=gifts)


def as_given(notes: Events) -> Events:
    gifts = notes.copy()
    gifts[:, TYPE] = GIVEN_NOTE
    return gifts


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 30), st.sampled_from([16, 32, 200]), st.sampled_from(["mixed", "independent"]))
def test_given_notes_are_inserted_once_each_at_their_moment(seed: int, context: int, output: str) -> None:
    piece = long_piece(seed)
    gifts = as_given(notes_of(piece)[notes_of(piece)[:, INSTRUMENT] == CELLO])
    prompt = instruments(*NAMES, representation=SMALL)
    for result in written(make_model(seed % 3, context=context, output=output), prompt, gifts, 3, max_beats=20):
        check_piece(result, representation=SMALL)
        np.testing.assert_array_equal(result[result[:, TYPE] == GIVEN_NOTE], gifts)


def test_the_paper_grammar_supports_given_notes() -> None:
    piece = long_piece(1)
    gifts = as_given(notes_of(piece)[notes_of(piece)[:, INSTRUMENT] == CELLO])
    prompt = instruments(*NAMES, representation=SMALL)
    for result in written(make_model(), prompt, gifts, 8, max_beats=20, grammar="paper"):
        np.testing.assert_array_equal(result[result[:, TYPE] == GIVEN_NOTE], gifts)
        notes = notes_of(result)
        assert (np.diff(notes[:, BEAT]) >= 0).all()


def test_pieces_are_equal_up_to_the_first_given_note() -> None:
    prompt, model = instruments(*NAMES, representation=SMALL), make_model()
    gifts = as_given(np.array([[NOTE, 7, 2, 61, 1, CELLO]]))
    with_it = written(model, prompt, gifts, 6, max_beats=8)
    without = model.generate(prompt, 6, 5, max_beats=8, max_events=10_000)
    for one, other in zip(with_it, without, strict=True):
        first = int((one[:, TYPE] == GIVEN_NOTE).argmax())
        assert first > 5
        np.testing.assert_array_equal(one[:first], other[:first])
        # The event drawn at that place is later than the given note.
        assert other[first, TYPE] == END_OF_SONG or tuple(other[first, 1:3]) >= (7 - SMALL.reach, 2)


def test_a_piece_is_the_same_alone_and_in_a_batch() -> None:
    piece, model = long_piece(2), make_model()
    for part in ("cello", "drums"):
        several = edit.rewrite(model, piece, (3, 15), part, n=5, seed=9)
        np.testing.assert_array_equal(edit.rewrite(model, piece, (3, 15), part, seed=9)[0], several[0])


def test_a_note_that_is_given_is_not_written_again() -> None:
    # All pitches of one moment but one are given, and the written note must begin at that moment.
    model = make_model()
    prompt = instruments("violin", representation=SMALL)
    every = np.array([[NOTE, 1, 1, pitch, code, VIOLIN] for pitch in range(1, 129) for code in (1, 2, 3)])
    gifts = as_given(np.delete(every, 100, axis=0))
    early = Prompt(np.concatenate([prompt, gifts]))
    (result,) = written(model, early, gifts[:0], 1, max_beats=1)
    assert len(notes_of(result)) <= 2 * 3 * 128 - len(gifts)
    assert not {tuple(note[1:]) for note in notes_of(result).tolist()} & {tuple(note[1:]) for note in gifts.tolist()}


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 30),
    st.integers(0, 18),
    st.integers(1, 20),
    st.sets(st.sampled_from([*NAMES, "harp"])),
    st.booleans(),
)
def test_rewrite_holds_all_other_notes(seed: int, first: int, length: int, parts: set[str], small: bool) -> None:
    piece = long_piece(seed)
    stop = min(first + length, 20)
    model = make_model(seed % 2, context=16 if small else 64)
    names = sorted(parts) or None
    codes = [SMALL.find_instrument(name) for name in names or NAMES]
    for result in edit.rewrite(model, piece, (first, stop), names, n=2, seed=seed):
        check_piece(result, representation=SMALL)
        assert not (result[:, TYPE] == GIVEN_NOTE).any()
        before, after = notes_of(piece), notes_of(result)
        region = [
            np.isin(n[:, INSTRUMENT], codes) & (n[:, BEAT] > first) & (n[:, BEAT] <= stop) for n in (before, after)
        ]
        np.testing.assert_array_equal(before[~region[0]], after[~region[1]])


def test_rewrite_writes_new_notes() -> None:
    piece = long_piece(3)
    for parts in (None, "cello", ["violin", "harp"]):
        for result in edit.rewrite(make_model(), piece, (4, 16), parts, n=4, seed=0):
            new = {tuple(note) for note in notes_of(result).tolist()} - {
                tuple(note) for note in notes_of(piece).tolist()
            }
            assert new
            assert all(4 < note[BEAT] <= 16 for note in new)


def test_rewrite_applies_controls_to_new_notes() -> None:
    piece = long_piece(4)
    kept = {tuple(note) for note in notes_of(piece).tolist()}
    results = edit.rewrite(make_model(), piece, None, "viola", n=8, seed=1, allow="C4..C5")
    new = [note for result in results for note in notes_of(result).tolist() if tuple(note) not in kept]
    assert new
    assert all(60 <= note[3] - 1 <= 72 and note[INSTRUMENT] == VIOLA for note in new)


def test_probability_of_held_parts_is_not_given_to_other_parts() -> None:
    # The network is certain that the next note is one of the cello, a held part that rests. So no new note is written.
    model = make_model(7)
    with torch.no_grad():
        model.network.heads.fields[INSTRUMENT].bias[CELLO] += 1e4
    piece = np.concatenate(
        [instruments("violin", "cello", representation=SMALL), [[NOTE, 1, 1, 61, 1, CELLO]], [[4, 0, 0, 0, 0, 0]]]
    )
    piece = np.insert(piece, -1, [NOTE, 8, 1, 61, 1, CELLO], axis=0)
    for result in edit.rewrite(model, piece, None, "violin", n=4, seed=0):
        assert not (notes_of(result)[:, INSTRUMENT] == VIOLIN).any()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"beats": (5, 5)}, "beats are 5 to 5; give 0 <= first < last <= 20"),
        ({"beats": (0, 21)}, "beats are 0 to 21"),
        ({"beats": 5}, "beats is 5; give two whole numbers"),
        ({"beats": (4, None)}, r"beats is \(4, None\); give two whole numbers"),
        ({"beats": (1.5, 4)}, r"beats is \(1.5, 4\); give two whole numbers"),
        ({"instruments": "kazoo"}, "unknown instrument 'kazoo'"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        edit.rewrite(make_model(), long_piece(0), **arguments)  # type: ignore[arg-type]


def test_a_model_without_given_notes_is_refused() -> None:
    from mmt.sampling.model import new_model

    with pytest.raises(ValueError, match="no given notes"):
        edit.rewrite(new_model("tiny"), long_piece(0), (0, 2))


@given(st.integers(0, 30), st.integers(1, 30))
@settings(deadline=None, max_examples=40)
def test_a_shorter_window_with_given_notes_is_the_beginning_of_a_piece(seed: int, context: int) -> None:
    piece = long_piece(seed)
    notes = notes_of(piece)
    notes[notes[:, INSTRUMENT] == CELLO, TYPE] = GIVEN_NOTE
    window = frame(canonical(notes, SMALL), end=False)
    shorter, dropped = anchor(window, context + 8, SMALL.beats)
    check_piece(shorter, complete=False, representation=SMALL)
    assert len(shorter) < context + 8
    restored = shorter[is_note(shorter)].copy()
    restored[:, BEAT] += dropped
    assert {tuple(note) for note in restored.tolist()} <= {tuple(note) for note in window.tolist()}


@given(st.integers(0, 30), st.integers(4, 30), st.sampled_from([0, 3, 300]), st.booleans())
@settings(deadline=None, max_examples=40)
def test_a_window_begins_at_or_before_the_place_of_its_last_event(
    seed: int, room: int, silence: int, written_last: bool
) -> None:
    notes = notes_of(long_piece(seed))
    notes[10:, TYPE] = GIVEN_NOTE
    notes[-1, BEAT] += silence
    window = frame(canonical(notes, SMALL), end=False)
    place = int(window[-1, BEAT]) - SMALL.reach
    if written_last:
        window = np.concatenate([window, [[NOTE, place, 2, 1, 1, VIOLIN]]])
    shorter, dropped = anchor(window, room + 7, SMALL.beats, reach=SMALL.reach)
    assert dropped < place
    assert shorter[:, BEAT].max() <= SMALL.beats


def test_notes_can_be_written_before_a_given_note_that_ends_a_long_silence() -> None:
    # The first draw is the end, which the given note replaces.
    model, prompt = make_model(), instruments("violin", "cello", representation=SMALL)
    gifts = as_given(np.array([[NOTE, 1, 1, 60, 1, CELLO], [NOTE, 103, 1, 61, 1, CELLO]]))
    silent = Prompt(np.concatenate([prompt, gifts]), first_beat=100)
    beats = {note[BEAT] for piece in written(model, silent, gifts[:0], 16, max_beats=103) for note in notes_of(piece)}
    assert {101, 102, 103} <= beats


def test_greedy_drawing_with_the_paper_grammar_does_not_loop_at_a_given_note() -> None:
    # A network that always writes this note, which is also given.
    gift = np.array([[GIVEN_NOTE, 1, 1, 61, 1, VIOLIN]])
    config = NetworkConfig(SMALL.sizes, 16, 1, 2, 8, context=32, output="mixed", positions="rotary")
    model = Model(Checkpoint(Network(config).eval(), SMALL))
    with torch.no_grad():
        for head, code in zip(model.network.heads.fields, (NOTE, *gift[0, 1:].tolist()), strict=True):
            head.weight.zero_()
            head.bias.copy_(torch.arange(len(head.bias)) == code)
    prompt = np.concatenate([instruments("violin", representation=SMALL), gift])
    (piece,) = model.generate(prompt, seed=0, top_k=1, grammar="paper", max_events=12)
    assert len(piece) == 12


def test_a_sliding_window_refuses_given_notes_beyond_the_models_beats() -> None:
    gift = [[GIVEN_NOTE, SMALL.beats + 1, 1, 61, 1, VIOLIN]]
    prompt = np.concatenate([instruments("violin", representation=SMALL), gift])
    with pytest.raises(ValueError, match="the prompt has 9 beats, more than the model's 8"):
        make_model().generate(prompt, seed=0, context="slide")


def test_rewriting_late_in_a_long_piece_reads_the_remaining_length(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = make_model(), []
    piece = long_piece(7, beats=60)
    hidden = type(model.network).hidden

    def spy(network: Network, codes: torch.Tensor, *arguments: object, **named: object) -> torch.Tensor:
        seen.extend(codes[codes[..., TYPE] == START_OF_NOTES][:, BEAT].tolist())
        return hidden(network, codes, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(type(model.network), "hidden", spy)
    edit.rewrite(model, piece, (30, 32), seed=0)
    assert seen
    assert set(seen) == {SMALL.length_code(60)}


@pytest.mark.parametrize("context", [16, 64])
@pytest.mark.parametrize("told_by_prompt", [True, False])
def test_the_piece_holds_the_length_code_of_the_told_length(context: int, told_by_prompt: bool) -> None:
    model = make_model(context=context)
    prompt = instruments("violin", "cello", representation=SMALL) if told_by_prompt else start()
    (piece,) = model.generate(prompt, seed=3, length=30)
    check_piece(piece, representation=SMALL)
    assert piece[piece[:, TYPE] == START_OF_NOTES, BEAT].tolist() == [SMALL.length_code(30)]


@given(st.integers(1, 40), st.integers(0, 1000))
def test_a_piece_ends_in_the_last_four_beats_of_its_told_length(length: int, seed: int) -> None:
    pieces, outcomes = make_model(context=32).generate(n=2, seed=seed, length=length, report=True)
    for piece, outcome in zip(pieces, outcomes, strict=True):
        check_piece(piece, representation=SMALL)
        assert length - 3 <= piece[-2, BEAT] <= length
        assert outcome.ending == ("told length" if piece[-2, BEAT] == length else "end-of-song")


def test_a_length_shorter_than_the_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match=r"length is 2; with this prompt it must be at least"):
        make_model().generate(beats(long_piece(5), 12, representation=SMALL), length=2)


def test_a_window_that_begins_later_holds_the_remaining_length() -> None:
    prompt = instruments("violin", representation=SMALL)
    options = GenerationOptions(length=12, max_events=100)
    _, set_up = options.resolve(prompt, make_model().network.config, SMALL, {})
    window = AnchoredWindow(make_model().network, 1, set_up["bounds"])
    codes = np.array([[START_OF_NOTES, 8, 0, 0, 0, 0]])
    for dropped, code in ((0, 8), (5, 8), (6, 7), (10, 3), (11, 2), (15, 2)):
        window.tell_length(codes, dropped)
        assert codes[0, BEAT] == code


def test_a_length_needs_a_model_with_length_codes() -> None:
    from mmt.sampling.model import new_model

    with pytest.raises(ValueError, match="has no length codes"):
        new_model("tiny").generate(length=8)
    with pytest.raises(ValueError, match="length is 0; it must be at least 1 beat"):
        make_model().generate(length=0)


def test_min_and_max_beats_apply_together_with_a_length() -> None:
    piece = make_model().generate(instruments(*NAMES, representation=SMALL), seed=0, length=10, max_beats=6)[0]
    assert piece[-2, BEAT] <= 6
    piece = make_model().generate(instruments(*NAMES, representation=SMALL), seed=0, length=3, min_beats=12)[0]
    assert piece[-2, BEAT] >= 12


def test_reorchestrating_does_not_change_the_drums() -> None:
    piece = long_piece(5)
    drums = notes_of(piece)[notes_of(piece)[:, INSTRUMENT] == SMALL.drums_code]
    assert len(drums)
    (anew,) = edit.reorchestrate(make_model(), piece, ["violin", "harp"], seed=0)
    check_piece(anew, representation=SMALL)
    np.testing.assert_array_equal(notes_of(anew)[notes_of(anew)[:, INSTRUMENT] == SMALL.drums_code], drums)
    with pytest.raises(ValueError, match="drums keep their notes"):
        edit.reorchestrate(make_model(), piece, ["drums"], seed=0)
    with pytest.raises(ValueError, match="drums have no pitches"):
        edit.reharmonise(make_model(), piece, "drums", seed=0)


def test_every_edit_reads_given_notes_as_notes_and_ignores_the_length_code() -> None:
    piece = long_piece(6)
    told = piece.copy()
    told[told[:, TYPE] == START_OF_NOTES, BEAT] = SMALL.length_code(20)
    rows = np.flatnonzero(told[:, TYPE] == NOTE)
    notes = told[rows]
    notes[notes[:, INSTRUMENT] == CELLO, TYPE] = GIVEN_NOTE
    told[rows] = canonical(notes, SMALL)
    for one in (piece, told):
        check_piece(one, representation=SMALL)
    for call in (
        lambda one: edit.rewrite(make_model(), one, (3, 6), "viola", seed=0),
        lambda one: edit.fill(make_model(), one, 3, 6, seed=0, candidates=2),
        lambda one: edit.accompany(make_model(), one, "cello", "harp", seed=0, candidates=2),
        lambda one: edit.reorchestrate(make_model(), one, ["harp"], seed=0),
    ):
        np.testing.assert_array_equal(call(told)[0], call(piece)[0])
