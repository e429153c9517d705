"""Any network writes valid pieces; seeds, limits, prompts, streams, and errors of one line."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_models import instruments_of, notes_of, random_model

import mmt
from mmt.model.checkpoint import Checkpoint
from mmt.model.recipes import shipped
from mmt.representation.codes import (
    BEAT,
    END_OF_SONG,
    FIELDS,
    INSTRUMENT,
    INSTRUMENT_EVENT,
    NOTE,
    PITCH,
    START_OF_NOTES,
    TYPE,
    Events,
    Representation,
)
from mmt.representation.grammar import check_piece
from mmt.representation.instruments import PAPER_INSTRUMENTS
from mmt.sampling import decoding
from mmt.sampling.decoding import decode_events, draw_event
from mmt.sampling.filters import Filters
from mmt.sampling.grammar import Bounds, StrictGrammar
from mmt.sampling.model import Model, find_device, load_model, new_model
from mmt.sampling.options import GenerationOptions

PAPER = dataclasses.replace(Representation(), beats=40)
WEIGHTS = ["float32", "int8"]


def make_model(representation: Representation = PAPER, *, context: int = 64, **config: Any) -> Model:
    return random_model(representation, context=context, **config)


def certain_of(model: Model, **codes: int) -> Model:
    """The same model with nearly all probability on these codes for every event."""
    for name, code in codes.items():
        model.network.heads.fields[FIELDS.index(name)].bias.data[code] += 1e4
    return model


@pytest.fixture(scope="module")
def model() -> Model:
    """A model whose pieces are long: the end is unlikely, and beats advance slowly."""
    model = make_model(output="chain", positions="rotary")
    bias = model.network.heads.fields
    bias[TYPE].bias.data[NOTE] += 5
    bias[BEAT].bias.data[:] -= 0.7 * torch.arange(PAPER.sizes[BEAT])
    return model


def same(ours: list[Events], theirs: list[Events]) -> bool:
    return len(ours) == len(theirs) and all(map(np.array_equal, ours, theirs))


# Any network writes valid pieces.


@st.composite
def representations(draw: st.DrawFn) -> Representation:
    beats = draw(st.integers(1, 12))
    return Representation(
        resolution=draw(st.integers(1, 6)),
        beats=beats,
        durations=tuple(range(1, 1 + draw(st.integers(1, 5)))),
        instruments=PAPER_INSTRUMENTS[: draw(st.integers(1, 5))],
        drums=draw(st.booleans()),
        given=beats > 1 and draw(st.booleans()),
        length=draw(st.booleans()),
        reach=draw(st.integers(1, max(beats // 2, 1))),
    )


@st.composite
def models(draw: st.DrawFn) -> Model:
    representation = draw(representations() | st.just(PAPER))
    made = make_model(
        representation,
        seed=draw(st.integers(0, 1000)),
        scale=draw(st.sampled_from([0.1, 1.0, 10.0, 100.0])),
        context=draw(st.integers(8, 40)),
        output=draw(st.sampled_from(["independent", "chain", "mixed"])),
        positions=draw(st.sampled_from(["absolute", "rotary", "time", "none"])),
        qk_norm=draw(st.booleans()),
    )
    made.to("cpu", weights=draw(st.sampled_from(WEIGHTS)))
    # With nearly all probability on the first code, the last, or another.
    for field, size in zip(FIELDS, representation.sizes, strict=True):
        if draw(st.booleans()):
            certain_of(made, **{field: draw(st.sampled_from([0, 1, size - 1]) | st.integers(0, size - 1))})
    return made


@st.composite
def filters(draw: st.DrawFn) -> dict[str, Any]:
    def one_or_each(numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.none() | numbers | st.dictionaries(st.sampled_from(FIELDS), numbers, max_size=3)

    return {
        "temperature": draw(one_or_each(st.floats(0.01, 100))),
        "top_k": draw(one_or_each(st.integers(1, 200))),
        "top_p": draw(one_or_each(st.floats(0.001, 1))),
        "min_p": draw(one_or_each(st.floats(0, 1))),
    }


@st.composite
def prompts(draw: st.DrawFn, representation: Representation) -> mmt.prompt.Prompt:
    kind = draw(st.sampled_from(["start", "instruments", "beats"]))
    if kind == "start":
        return mmt.prompt.start()
    codes = draw(st.sets(st.integers(1, len(representation.names)), min_size=1, max_size=3))
    listed = mmt.prompt.instruments(*(representation.names[c - 1] for c in codes), representation=representation)
    if kind == "instruments":
        return listed
    ranges = [st.integers(1, size - 1) for size in representation.sizes[BEAT:INSTRUMENT]]
    note = st.tuples(st.just(NOTE), *ranges, st.sampled_from(sorted(codes)))
    notes = draw(st.lists(note, min_size=1, max_size=4))
    piece = np.concatenate([listed, np.array(notes)])
    length = int(max(note[BEAT] for note in notes))
    beats = draw(st.none() | st.integers(1, length))
    return mmt.prompt.beats(piece, beats, representation=representation)


@given(st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_any_network_writes_valid_pieces(data: st.DataObject) -> None:
    model = data.draw(models(), "model")
    representation = model.representation
    prompt = data.draw(prompts(representation), "prompt")
    context, last = model.network.config.context, int(prompt[:, BEAT].max())
    needed = len(prompt) + (4, 3, 2, 1)[int(prompt[-1, TYPE])]
    lowest = max(1, last if prompt[-1, TYPE] == NOTE else prompt.first_beat + 1)
    # Both may exceed the context of the network.
    max_events = data.draw(st.none() | st.integers(needed, max(needed, 2 * context)), "max_events")
    most_beats = 2 * representation.beats if max_events else representation.beats
    max_beats = data.draw(st.none() | st.integers(lowest, max(lowest, most_beats)), "max_beats")
    if max_events is None and lowest > representation.beats:
        max_events = max(context, needed)
    min_beats = data.draw(st.integers(0, max_beats or representation.beats), "min_beats")
    chosen, seed, n = (
        data.draw(filters(), "filters"),
        data.draw(st.integers(0, 99), "seed"),
        data.draw(st.integers(1, 3)),
    )
    limits = {"max_events": max_events, "max_beats": max_beats, "min_beats": min_beats}
    if representation.length and max_events and max_beats:
        limits["length"] = data.draw(st.none() | st.integers(1, 20), "length")
        if limits["length"]:
            prompt[prompt[:, TYPE] == START_OF_NOTES, BEAT] = representation.length_code(limits["length"])
    pieces = model.generate(prompt, n, seed, **chosen, **limits)
    assert len(pieces) == n
    for piece in pieces:
        assert type(piece) is np.ndarray
        assert piece.dtype == np.int64
        check_piece(piece, representation=representation)
        assert len(piece) <= (max_events or max(context, needed))
        if max_beats or not (max_events or 0) > context:
            assert notes_of(piece)[-1, BEAT] <= (max_beats or representation.beats)
        # The prompt is unchanged, and new events begin at the first beat of the prompt or later.
        assert np.array_equal(piece[: len(prompt)], prompt)
        assert (notes_of(piece[len(prompt) :])[:, BEAT] > prompt.first_beat).all()
        if prompt[-1, TYPE] >= START_OF_NOTES:
            assert instruments_of(piece) == instruments_of(prompt)
        if notes_of(piece)[-1, BEAT] < min_beats:
            # Only if nothing more could follow; a window of one beat cannot move to the next beat.
            no_more_beats = prompt.first_beat >= (max_beats or representation.beats) or representation.beats == 1
            assert len(piece) == (max_events or context) or no_more_beats
    limits["max_events"] = max_events or max(context, needed)
    endless = list(model.stream(prompt, seed, endless=True, **chosen, **limits))
    check_piece(np.concatenate([prompt, endless]), representation=representation)
    for piece in model.generate(prompt, n, seed, grammar="paper", **chosen, **limits):
        assert (np.diff(piece[:, TYPE]) >= 0).all()
        assert (np.diff(notes_of(piece)[:, BEAT]) >= 0).all()
        assert (notes_of(piece) > 0).all()
        assert piece[-1, TYPE] == END_OF_SONG
        assert np.array_equal(piece[: len(prompt)], prompt)
        assert (notes_of(piece[len(prompt) :])[:, BEAT] > prompt.first_beat).all()


def test_only_start_of_notes_follows_the_last_instrument() -> None:
    piece = certain_of(make_model(), type=INSTRUMENT_EVENT, instrument=64).generate(seed=0)[0]
    assert piece[:3, TYPE].tolist() == [0, INSTRUMENT_EVENT, START_OF_NOTES]
    assert instruments_of(piece) == [64]


def test_a_network_that_prefers_instruments_declares_all_then_writes_a_note_and_the_end() -> None:
    wanting = certain_of(make_model(context=80), type=INSTRUMENT_EVENT)
    for code in range(64):
        # Each as low as possible.
        wanting.network.heads.fields[INSTRUMENT].bias.data[code + 1] -= 1e3 * code
    assert instruments_of(wanting.generate(seed=0)[0]) == list(range(1, 65))
    assert instruments_of(wanting.generate(seed=0, max_events=10)[0]) == list(range(1, 7))
    assert len(wanting.generate(seed=0, max_events=10)[0]) == 10


def test_the_piece_ends_if_no_note_can_follow() -> None:
    top = {field: size - 1 for field, size in zip(FIELDS, PAPER.sizes, strict=True)} | {"type": NOTE}
    piece = certain_of(make_model(), **top).generate(mmt.prompt.instruments("violin"), seed=0)[0]
    assert piece[3:, TYPE].tolist() == [NOTE, END_OF_SONG]


def test_the_piece_is_closed_at_max_events() -> None:
    wanting = certain_of(make_model(), type=NOTE, beat=1)
    for limit in (5, 6, 17, None):
        piece = wanting.generate(mmt.prompt.instruments("violin") if limit is None else None, seed=0, max_events=limit)[
            0
        ]
        assert len(piece) <= (limit or 64)
        assert piece[-1].tolist() == [END_OF_SONG, 0, 0, 0, 0, 0]
    assert len(wanting.generate(seed=0, max_events=17)[0]) == 17


def test_min_beats_forbids_an_earlier_end() -> None:
    hasty = certain_of(make_model(), type=END_OF_SONG)
    hasty.network.heads.fields[BEAT].bias.data[:] -= 20 * torch.arange(PAPER.sizes[BEAT])
    assert max(len(notes_of(piece)) for piece in hasty.generate(n=8, seed=0)) == 1
    for piece in hasty.generate(n=8, seed=0, min_beats=3, max_beats=9):
        # One note after the limit, or no room for it.
        before = notes_of(piece)[:-1, BEAT].max()
        assert before < 3
        assert notes_of(piece)[-1, BEAT] >= 3 or len(piece) == 64


def test_empty_first_beats_begin_from_the_instruments_at_that_beat_or_later(model: Model) -> None:
    piece = np.concatenate([mmt.prompt.instruments("violin"), [[NOTE, 9, 1, 61, 12, 25]]])
    prompt = mmt.prompt.beats(piece, 4)
    assert len(prompt) == 3
    for made in model.generate(prompt, n=5, seed=0):
        assert notes_of(made)[0, BEAT] >= 5
        assert instruments_of(made) == [25]


def test_a_continuation_after_the_models_last_beat_is_only_the_end(model: Model) -> None:
    piece = np.concatenate([mmt.prompt.instruments("violin"), [[NOTE, 40, 1, 61, 12, 25]]])
    for grammar, instrument_bonus in itertools.product(("strict", "paper"), (NOTE, END_OF_SONG)):
        made = certain_of(make_model(), type=instrument_bonus).generate(
            mmt.prompt.beats(piece, 40), seed=0, grammar=grammar
        )[0]
        assert made[len(piece) :, TYPE].tolist() == [END_OF_SONG]


# Seeds.


def test_a_piece_is_the_same_alone_and_in_a_batch(model: Model) -> None:
    many = model.generate(n=64, seed=7)
    assert len({len(piece) for piece in many}) > 5, "they should end at different times"
    assert same(model.generate(n=3, seed=7), many[:3])
    assert same(model.generate(seed=7), many[:1])
    assert same(model.generate(n=64, seed=7), many)
    assert len({piece.tobytes() for piece in many}) == 64


def test_pieces_that_end_do_not_change_the_others(model: Model) -> None:
    alone = [model.generate(seed=seed)[0] for seed in range(12)]
    lengths = [len(piece) for piece in alone]
    assert any(before < after for before, after in itertools.pairwise(lengths)), "some should outlive those before them"
    assert same(model.generate(seed=range(12)), alone)


def test_more_pieces_than_a_batch_are_the_same_pieces(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = model.generate(n=7, seed=2, max_events=20)
    monkeypatch.setattr("mmt.sampling.decoding._BATCH", 3)
    assert same(model.generate(n=7, seed=2, max_events=20), whole)


def test_a_list_of_seeds_gives_the_first_piece_of_each_seed(model: Model) -> None:
    alone = [model.generate(seed=seed, max_events=30)[0] for seed in (5, 0, 9)]
    assert same(model.generate(seed=[5, 0, 9], max_events=30), alone)
    assert same(model.generate(n=3, seed=(5, 0, 9), max_events=30), alone)
    assert same(model.generate(seed=np.array([5, 0, 9]), max_events=30), alone)  # type: ignore[arg-type]
    assert same(model.generate(seed=range(5, 6), max_events=30), alone[:1])


def test_numpy_integers_are_accepted(model: Model) -> None:
    ours = model.generate(None, np.int64(2), np.int32(3), max_events=np.int64(20), max_beats=np.int16(9))  # type: ignore[arg-type]
    assert same(ours, model.generate(n=2, seed=3, max_events=20, max_beats=9))
    assert same(model.generate(seed=[np.uint8(3)], max_events=9), model.generate(seed=3, max_events=9))  # type: ignore[list-item]


def test_different_seeds_give_different_pieces(model: Model) -> None:
    assert len({model.generate(seed=seed)[0].tobytes() for seed in range(10)}) == 10


def test_without_a_seed_each_call_differs_and_global_random_states_stay(model: Model) -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 (their state is the point)
    assert not same(model.generate(n=2), model.generate(n=2))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


@pytest.mark.parametrize("grammar", ["strict", "paper"])
def test_stream_gives_what_generate_gives(model: Model, grammar: Any) -> None:
    for prompt in (None, mmt.prompt.instruments("violin", "cello")):
        piece = model.generate(prompt, seed=4, grammar=grammar, min_p=0.01)[0]
        events = list(model.stream(prompt, seed=4, grammar=grammar, min_p=0.01))
        assert events[0].shape == (6,)
        assert np.array_equal(np.concatenate([mmt.prompt.start() if prompt is None else prompt, events]), piece)


def test_a_stream_is_written_as_it_is_read(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(decoding, "draw_event", lambda *given, **more: (drawn.append(1), draw_event(*given, **more))[1])
    stream = model.stream(seed=0)
    assert not drawn
    next(stream)
    next(stream)
    assert len(drawn) == 2
    # Between events the settings of torch are those of the user.
    assert not torch.is_inference_mode_enabled()


def test_endless_ends_only_at_a_limit(model: Model) -> None:
    hasty = certain_of(make_model(), type=END_OF_SONG)
    hasty.network.heads.fields[BEAT].bias.data[:] -= 20 * torch.arange(PAPER.sizes[BEAT])
    prompt = mmt.prompt.instruments("violin")
    assert len(list(hasty.stream(prompt, seed=0))) == 2
    assert len(list(hasty.stream(prompt, seed=0, endless=True, max_events=90))) == 90 - 3
    notes = [event for event in hasty.stream(prompt, seed=0, endless=True, max_beats=3) if event[TYPE] == NOTE]
    assert len(notes) > 2
    assert notes[-1][BEAT] == 3
    forever = hasty.stream(prompt, seed=0, endless=True)
    assert all(next(forever)[TYPE] == NOTE for _ in range(200))


# The decoding loop.


def uncached(model: Model, prompt: Events, seed: int, bounds: Bounds, filters: Filters) -> Iterator[Events]:
    """A plain implementation: the network reads the whole piece again for every event."""
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, 0))))
    piece = torch.from_numpy(np.array(prompt))[None]
    while piece[0, -1, TYPE] != END_OF_SONG:
        rules = StrictGrammar([piece[0].numpy()], model.network.config.sizes, bounds)
        hidden = model.network.hidden(piece)[:, -1]
        uniform = random.random((1, 6), dtype=np.float32)
        event = draw_event(model.network.heads, hidden, rules, filters, uniform)
        piece = torch.cat([piece, torch.from_numpy(event)[:, None]], dim=1)
        yield event[0]


@pytest.mark.parametrize("positions", ["absolute", "rotary", "none"])
@pytest.mark.parametrize("output", ["independent", "chain", "mixed"])
@torch.inference_mode()
def test_cached_decoding_writes_what_uncached_decoding_writes(positions: str, output: str) -> None:
    model = make_model(positions=positions, output=output, scale=3)
    model.network.heads.fields[TYPE].bias.data[NOTE] += 9
    model.network.heads.fields[BEAT].bias.data[:] -= 2 * torch.arange(PAPER.sizes[BEAT])
    prompt, filters = mmt.prompt.instruments("violin", "piano"), Filters.of(temperature=1.1, min_p=0.02)
    for seed in range(3):
        events = list(uncached(model, prompt, seed, Bounds(64, 40), filters))
        assert len(events) > 9
        assert np.array_equal(list(model.stream(prompt, seed, temperature=1.1, min_p=0.02)), events)


def test_rows_name_the_pieces_that_have_not_ended(model: Model) -> None:
    config = {"filters": Filters(), "bounds": Bounds(30, 40), "grammar": "strict"}
    going, length = list(range(6)), [0] * 6
    prompts, streams = [mmt.prompt.start()] * 6, [(seed, 0) for seed in range(6)]
    for rows, events in decode_events(model.network, prompts, streams, **config):
        assert rows == going
        assert events.shape == (len(rows), 6)
        going = [row for row, event in zip(rows, events, strict=True) if event[TYPE] != END_OF_SONG]
        for row in rows:
            length[row] += 1
    assert going == []
    assert length == [len(piece) - 1 for piece in model.generate(seed=range(6), max_events=30)]


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_draws_follow_the_networks_probabilities(temperature: float) -> None:
    """The first instrument of many pieces, which depends only on the network's logits."""
    model = make_model(scale=2)
    count = 3200
    pieces = model.generate(seed=range(count), max_events=5, temperature={"instrument": temperature})
    firsts = np.array([piece[1, INSTRUMENT] for piece in pieces])
    with torch.no_grad():
        logits = model.network(torch.from_numpy(np.array(mmt.prompt.start()))[None])[INSTRUMENT][0, 0, 1:]
    expected = count * (logits.double() / temperature).softmax(-1).numpy()
    counts = np.bincount(firsts, minlength=65)[1:]
    large = expected > 5
    chi_square = ((counts - expected) ** 2 / expected)[large].sum()
    # Mean and four standard deviations of the chi-square distribution; the seeds are fixed.
    degrees = large.sum() - 1
    assert degrees > 20
    assert chi_square < degrees + 4 * (2 * degrees) ** 0.5


def test_masks_come_before_filters() -> None:
    """The likeliest beat of all is not permitted, so the likeliest permitted beat is drawn."""
    prompt = np.concatenate([mmt.prompt.instruments("violin"), [[NOTE, 9, 12, 128, 32, 25]]])
    wanting = certain_of(make_model(), type=NOTE, beat=3)
    wanting.network.heads.fields[BEAT].bias.data[20] += 1e3
    for filters in ({"top_k": 1}, {"top_p": 0.1}, {"min_p": 1.0}):
        assert wanting.generate(prompt, seed=0, **filters)[0][4, BEAT] == 20


@torch.inference_mode()
def test_top_k_1_is_greedy(model: Model) -> None:
    greedy = model.generate(n=8, seed=0, top_k=1)
    assert len({piece.tobytes() for piece in greedy}) == 1
    assert same(greedy[:1], model.generate(seed=99, top_k=1))
    # The likeliest code that the grammar permits, field by field.
    rules = StrictGrammar([greedy[0][:1]], PAPER.sizes, Bounds(64, 40))
    heads = model.network.heads
    for length, wanted in enumerate(torch.from_numpy(greedy[0][1:, None]), start=1):
        hidden = model.network.hidden(torch.from_numpy(greedy[0][None, :length]))[:, -1]
        rules.look_ahead(torch.cat(heads(hidden, torch.from_numpy(rules.floor_notes())), dim=1).numpy())
        for field in range(6):
            logits = rules.allow(heads.field(field, hidden, wanted).numpy(), field, wanted.numpy())
            assert logits.argmax() == wanted[0, field]
        rules.advance(wanted.numpy())


def test_custom_heads_can_generate(model: Model) -> None:
    """Heads need only what `docs/extend.md` says, and a norm may have no weights."""

    class Heads(torch.nn.Module):
        reads_earlier_fields = False

        def __init__(self, plain: torch.nn.Module) -> None:
            super().__init__()
            self.plain = plain

        def forward(self, hidden: torch.Tensor, events: torch.Tensor) -> list[torch.Tensor]:
            return [self.field(index, hidden, events) for index in range(6)]

        def field(self, index: int, hidden: torch.Tensor, events: torch.Tensor) -> torch.Tensor:
            return self.plain.field(index, hidden, events)  # type: ignore[no-any-return, operator]

    changed = make_model()
    changed.network.heads = Heads(changed.network.heads)  # type: ignore[assignment]
    for grammar in ("strict", "paper"):
        assert same(changed.generate(seed=1, grammar=grammar), make_model().generate(seed=1, grammar=grammar))  # type: ignore[arg-type]
    changed.network.norm = torch.nn.Identity()  # type: ignore[assignment]
    for weights in WEIGHTS:
        assert mmt.is_valid(
            changed.to("cpu", weights=weights).generate(seed=1)[0], representation=changed.representation
        )


def test_the_paper_sampling_is_its_filters_and_its_grammar(model: Model) -> None:
    tenth = {"type": 1, "beat": 5, "position": 2, "pitch": 13, "duration": 4, "instrument": 7}
    ours = model.generate(n=3, seed=0, sampling="paper")
    assert same(ours, model.generate(n=3, seed=0, top_k=tenth, grammar="paper"))
    assert not same(ours, model.generate(n=3, seed=0, top_k=tenth))
    assert same(
        model.generate(n=3, seed=0, sampling="paper", grammar="strict"), model.generate(n=3, seed=0, top_k=tenth)
    )


def test_a_models_defaults_apply_unless_options_are_given(model: Model) -> None:
    own = Model(Checkpoint(model.network, model.representation, {"top_k": 1, "temperature": {"pitch": 0.5}}))
    assert same(own.generate(seed=3), model.generate(seed=3, top_k=1, temperature={"pitch": 0.5}))
    assert same(own.generate(seed=3, top_k=129), model.generate(seed=3, temperature={"pitch": 0.5}))
    assert same(own.generate(seed=3, temperature=1.0), model.generate(seed=3, top_k=1))
    assert same(own.generate(seed=3, sampling="paper"), model.generate(seed=3, sampling="paper"))


@pytest.mark.parametrize("name", ["temperature", "top_k", "top_p", "min_p"])
def test_a_filter_of_one_field_keeps_the_defaults_of_the_others(name: str) -> None:
    usual, other = (3, 5) if name == "top_k" else (0.25, 0.5)
    for defaults in ({name: usual}, {name: dict.fromkeys(FIELDS, usual)}):
        filters = GenerationOptions(**{name: {"beat": other, "type": None}}).filters(defaults)
        off = 1 if name == "temperature" else None
        assert getattr(filters, name) == (off, other, usual, usual, usual, usual)


def test_the_description_of_filters_lists_the_fields_that_differ() -> None:
    options = GenerationOptions(min_p={"beat": 0.05}, temperature={"pitch": 0.9})
    assert str(options.filters({"min_p": 0.01})) == "temperature 1 (pitch 0.9), min_p 0.01 (beat 0.05)"
    assert str(GenerationOptions().filters({})) == "no filters"


def test_new_beats_count_from_the_end_of_the_prompt(model: Model) -> None:
    for prompt, so_far in (
        (quartet(5), 5),
        (mmt.prompt.beats(quartet(9), 2), 2),
        (mmt.prompt.instruments("violin"), 0),
    ):
        ours = model.generate(prompt, n=3, seed=1, new_beats=3)
        assert same(ours, model.generate(prompt, n=3, seed=1, max_beats=so_far + 3))
    with pytest.raises(ValueError, match="max_beats is 4 and new_beats 3; give one of them"):
        model.generate(max_beats=4, new_beats=3)
    with pytest.raises(ValueError, match="new_beats is 0; it must be at least 1"):
        model.generate(new_beats=0)


def test_an_unknown_option_is_refused(model: Model) -> None:
    for call in (model.generate, model.stream):
        with pytest.raises(TypeError, match="max_beat'"):
            call(max_beat=3)  # type: ignore[call-arg, operator]


# Errors.


def quartet(beats: int = 3) -> Events:
    notes = [[NOTE, beat, 1, 61, 12, 25] for beat in range(1, beats + 1)]
    return np.concatenate([mmt.prompt.instruments("violin"), notes])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n is 0; ask for a whole number of pieces, at least 1"),
        ({"n": 1.5}, r"n is 1\.5; ask for a whole number"),
        ({"n": 3, "seed": [1, 2]}, "n is 3 but 2 seeds were given; leave n out"),
        ({"seed": -1}, "seed is -1; it must be a whole number from 0 to"),
        ({"seed": 10**30}, r"seed is 10{30}; it must be a whole number from 0 to 2\*\*63 - 1"),
        ({"seed": 1.5}, r"seed is 1\.5; it must be a whole number"),
        ({"seed": [1, -2]}, "seed is -2; it must be"),
        ({"seed": []}, "the list of seeds is empty"),
        ({"max_events": 4}, "max_events is 4; with this prompt of 1 events it must be at least 5"),
        ({"max_events": 20.0}, r"max_events is 20\.0; it must be a whole number"),
        ({"prompt": quartet(), "max_events": 6}, "max_events is 6; with this prompt of 6 events it must be at least 7"),
        ({"max_beats": 0}, "max_beats is 0; with this prompt it must be at least 1"),
        ({"prompt": quartet(), "max_beats": 2}, "max_beats is 2; with this prompt it must be at least 3"),
        ({"min_beats": -1}, "min_beats is -1; it must be 0 to 40"),
        ({"min_beats": 9, "max_beats": 8}, "min_beats is 9; it must be 0 to 8"),
        ({"grammar": "loose"}, "grammar is 'loose'; choose one of strict, paper"),
        ({"sampling": "theirs"}, "sampling is 'theirs'; choose default or paper"),
        ({"temperature": {"tempo": 1}}, "temperature: unknown field 'tempo'"),
        ({"top_k": 0}, "top_k is 0; it must be"),
        ({"prompt": ["violin", "cello"]}, "for instruments give mmt.prompt.instruments"),
        ({"prompt": "song.mid"}, r"for a file mmt\.encode\(mmt\.read\(path\)\)"),
        ({"prompt": [np.zeros((5, 6), int), np.zeros((4, 6), int)]}, "these are several; take one of them"),
        ({"prompt": np.zeros((1, 5, 6), int)}, "these are several; take one of them"),
        ({"prompt": [[0, 0, 0]]}, r"events must have the shape \(n, 6\), not \(1, 3\)"),
        ({"prompt": np.zeros((0, 6), int)}, "a piece begins with start-of-song"),
        ({"prompt": quartet()[1:]}, "a piece begins with start-of-song"),
        (
            {"prompt": [*quartet(), [NOTE, 9, 1, 61, 12, 26]]},
            "row 6: a note of instrument code 26, which is not declared",
        ),
        (
            {"prompt": [*quartet(), [END_OF_SONG, 0, 0, 0, 0, 0]]},
            "the prompt already ends; continue a whole piece with",
        ),
        (
            {"prompt": quartet(41), "context": "slide"},
            "the prompt has 41 beats, more than the model's 40, which context='slide' counts on; continue from fewer beats",
        ),
        (
            {"prompt": mmt.prompt.instruments(*PAPER.names)},
            "the prompt has 66 events before its notes, too many for the model's context of 64; name fewer",
        ),
    ],
)
def test_invalid_arguments_are_refused_in_one_line(model: Model, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        model.generate(**arguments)
    assert "\n" not in str(caught.value)
    if "n" not in arguments and not isinstance(arguments.get("seed"), list):
        # At the call, not at the first event.
        with pytest.raises(ValueError, match=message):
            model.stream(**arguments)


def test_a_stream_of_several_pieces_is_refused(model: Model) -> None:
    with pytest.raises(ValueError, match=r"seed is \[1, 2\]"):
        model.stream(seed=[1, 2])  # type: ignore[arg-type]


def test_a_prompt_is_not_changed(model: Model) -> None:
    prompt = quartet()[[0, 1, 2, 5, 3, 4]]
    before = prompt.copy()
    piece = model.generate(prompt, seed=0)[0]
    assert np.array_equal(prompt, before)
    assert np.array_equal(piece[:6], quartet())


# Creating, saving and moving models.


def test_a_new_model_is_reproducible_and_keeps_the_global_random_state() -> None:
    before = torch.get_rng_state()
    ours, again, other = new_model("tiny", seed=1), new_model("tiny", seed=1), new_model("tiny", seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    weights = [torch.nn.utils.parameters_to_vector(m.network.parameters()) for m in (ours, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not ours.network.training
    assert weights[0].dtype == torch.float32


def test_a_saved_model_writes_the_same_music(tmp_path: Path, model: Model) -> None:
    own = Model(Checkpoint(model.network, model.representation, {"top_p": 0.9}, {"steps": 3}))
    own.save(tmp_path / "saved")
    loaded = load_model(tmp_path / "saved")
    assert (loaded.sampling, loaded.training, loaded.representation) == (own.sampling, own.training, PAPER)
    assert same(loaded.generate(n=2, seed=0), own.generate(n=2, seed=0))
    assert repr(loaded) == repr(own)
    assert "2 layers of 16, context 64 events" in repr(own)


def test_devices_are_found_or_refused() -> None:
    assert find_device("cpu").type == "cpu"
    assert find_device("auto").type in ("cpu", "cuda", "mps")
    assert find_device(torch.device("cpu")).type == "cpu"
    with pytest.raises(ValueError, match="device 'gpu' is unknown; choose auto, cpu, cuda or mps"):
        find_device("gpu")
    for name, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if not there:
            with pytest.raises(ValueError, match=f"device '{name}' is not available here; use auto or cpu"):
                new_model("tiny").to(name)
    assert new_model("tiny").to("cpu").device.type == "cpu"


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        load_model(tmp_path / "nowhere")


@pytest.mark.parametrize("beats", [1, 2, 5])
def test_a_prompt_that_fills_all_beats_of_the_network_is_continued(beats: int) -> None:
    """The piece continues after the network's last beat, so its window must move before the first new note."""
    representation = Representation(resolution=2, beats=beats, durations=(1, 2), instruments=PAPER_INSTRUMENTS[:2])
    model = make_model(representation, context=16, output="chain")
    opening = [[0] * 6, [1, 0, 0, 0, 0, 1], [2] + [0] * 5]
    notes = [[3, beat, 1, 60, 1, 1] for beat in range(1, beats + 1)]
    prompt = mmt.prompt.beats(np.array([*opening, *notes]), beats, representation=representation)
    pieces = model.generate(prompt, 12, seed=0, max_events=40)
    assert any(len(piece) > len(prompt) + 1 for piece in pieces)
    for piece in pieces:
        assert (piece[: len(prompt)] == prompt).all()
        assert (piece[len(prompt) : -1, BEAT] > beats).all()


@pytest.mark.skipif(not shipped("checkpoints", "default").exists(), reason="checkpoints/default is not trained yet")
def test_the_shipped_model_writes_valid_pieces_for_several_instruments_and_ends_them() -> None:
    model = load_model()
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.network.parameters(), load_model("default").network.parameters(), strict=True)
    )
    assert not model.network.training
    assert all(parameter.dtype == torch.float32 for parameter in model.network.parameters())
    pieces = model.generate(n=4, seed=0)
    for piece in pieces:
        check_piece(piece, representation=model.representation)
    assert np.median([len(set(notes_of(piece)[:, INSTRUMENT])) for piece in pieces]) >= 2
    assert min(map(len, pieces)) < model.network.config.context
    trio = model.generate(mmt.prompt.instruments("violin", "viola", "cello"), seed=0, max_events=64)[0]
    assert set(notes_of(trio)[:, INSTRUMENT]) <= set(instruments_of(trio))
    assert len(set(notes_of(trio)[:, PITCH])) > 4


@pytest.mark.skipif("int8" not in WEIGHTS, reason="no int8 weights here")
def test_int8_weights_write_valid_reproducible_pieces_and_are_saved_in_float32(tmp_path: Path) -> None:
    model = new_model("tiny", seed=0).to("cpu", weights="int8")
    prompt = mmt.prompt.instruments("violin", "viola")
    pieces = model.generate(prompt, n=5, seed=3, max_events=40)
    for piece in pieces:
        check_piece(piece, representation=model.representation)
    assert np.array_equal(model.generate(prompt, seed=3, max_events=40)[0], pieces[0])
    assert np.array_equal(np.stack(list(model.stream(prompt, seed=3, max_events=40))), pieces[0][len(prompt) :])
    assert model.edited({"final": lambda stream: stream}).network.decodes_with == "int8"
    model.save(tmp_path / "saved")
    back = load_model(tmp_path / "saved")
    assert back.network.decodes_with == "float32"
    for ours, theirs in zip(back.network.parameters(), new_model("tiny", seed=0).network.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    narrow = load_model(tmp_path / "saved", weights="int8")
    assert np.array_equal(narrow.generate(prompt, seed=3, max_events=40)[0], pieces[0])


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="weights is 'int4'; choose float32 or int8"):
        new_model("tiny").to("cpu", weights="int4")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limits", "ending"),
    [
        ({"max_events": 12}, "event limit"),
        ({"max_beats": 2, "max_events": 500}, "beat limit"),
    ],
)
def test_the_outcome_says_why_a_piece_ended(model: Model, limits: dict[str, int], ending: str) -> None:
    prompt = mmt.prompt.instruments("violin", "cello")
    pieces, outcomes = model.generate(prompt, 2, 5, report=True, **limits)
    assert same(pieces, model.generate(prompt, 2, 5, **limits))
    assert [(one.seed, one.number, one.ending) for one in outcomes] == [(5, 0, ending), (5, 1, ending)]
    for piece, one in zip(pieces, outcomes, strict=True):
        assert list(one.notes) == ["violin", "cello"]
        assert sum(one.notes.values()) == len(notes_of(piece))


def test_without_a_limit_the_context_ends_a_piece() -> None:
    made = certain_of(make_model(output="chain", context=16), type=NOTE, beat=1)
    (piece,), (outcome,) = made.generate(mmt.prompt.instruments("violin"), seed=1, report=True)
    assert (len(piece), outcome.ending) == (16, "context full")


def test_the_outcome_distinguishes_a_drawn_end_from_a_limit() -> None:
    made = certain_of(make_model(output="chain"), type=END_OF_SONG)
    _, (outcome,) = made.generate(mmt.prompt.instruments("violin"), seed=1, report=True)
    assert outcome.ending == "end-of-song"
    assert str(outcome) == "seed 1; ends by itself"


@pytest.mark.parametrize("names", [("drums", "piano"), ("rock band",)])
def test_a_prompt_with_drums_needs_a_model_with_drums_and_no_representation(names: tuple[str, ...]) -> None:
    prompt = mmt.prompt.instruments(*names)
    with_drums = make_model(dataclasses.replace(PAPER, drums=True), output="chain")
    told = mmt.prompt.instruments(*names, representation=with_drums.representation)
    assert same(with_drums.generate(prompt, seed=1), with_drums.generate(told, seed=1))
    with pytest.raises(ValueError, match="this model or representation has no drums; leave them out, or use a model"):
        make_model(output="chain").generate(prompt)
