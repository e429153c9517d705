"""Controls (pitches, scales, ranges, use_all) hold exactly for any network, by enumeration and with random weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from small_models import notes_of, random_model

import mmt
from mmt.analysis.structure import longest_silence
from mmt.representation.codes import (
    BEAT,
    END_OF_SONG,
    INSTRUMENT,
    INSTRUMENT_EVENT,
    NOTE,
    PITCH,
    TYPE,
    Representation,
)
from mmt.representation.grammar import check_piece
from mmt.representation.instrument_ranges import INSTRUMENT_RANGES
from mmt.representation.instruments import PAPER_INSTRUMENTS
from mmt.sampling.controls import Controls, scale_classes
from mmt.sampling.grammar import Bounds, StrictGrammar
from mmt.sampling.model import Model
from tests.sampling.test_sampling_grammar import (
    BEGIN,
    PIECES,
    START,
    Piece,
    continuations,
    permitted,
    prefixes,
    sample,
)

REP = Representation()
TINIEST = (8, 1, 1, 8)


def pitches_of(controls: Controls, instrument: str = "violin") -> list[int]:
    assert controls.playable is not None
    return (np.flatnonzero(controls.playable[:, REP.find_instrument(instrument)]) - 1).tolist()


# Arguments of controls.


@pytest.mark.parametrize(
    ("scale", "classes"),
    [
        ("C major", [0, 2, 4, 5, 7, 9, 11]),
        ("a minor", [0, 2, 4, 5, 7, 9, 11]),
        ("A harmonic minor", [0, 2, 4, 5, 8, 9, 11]),
        ("f# minor", [1, 2, 4, 6, 8, 9, 11]),
        ("Bb major", [0, 2, 3, 5, 7, 9, 10]),
        ("b minor", [1, 2, 4, 6, 7, 9, 11]),
        ("E- major", None),
        ("D dorian", [0, 2, 4, 5, 7, 9, 11]),
        ("C whole-tone", [0, 2, 4, 6, 8, 10]),
        ("G", [0, 2, 4, 6, 7, 9, 11]),
        ("g", [0, 2, 3, 5, 7, 9, 10]),
        ("C, Eb, G", [0, 3, 7]),
        ([0, "E", 7], [0, 4, 7]),
        ("C4 major", None),
        ("H major", None),
        ("C happy", None),
        ([12], None),
        (["C4"], None),
    ],
)
def test_scales(scale: Any, classes: list[int] | None) -> None:
    if classes is None:
        with pytest.raises(ValueError, match="scale"):
            scale_classes(scale)
    else:
        assert scale_classes(scale) == classes


def test_pitches_are_numbers_names_and_spans() -> None:
    assert pitches_of(Controls.of(REP, allow=["C4", 62, "F#4..Ab4", "Bb-1"])) == [10, 60, 62, 66, 67, 68]
    assert pitches_of(Controls.of(REP, allow="C4, 62,64..66")) == [60, 62, 64, 65, 66]
    assert pitches_of(Controls.of(REP, allow=60)) == [60]
    assert pitches_of(Controls.of(REP, allow=range(60, 63), exclude=61)) == [60, 62]
    assert pitches_of(Controls.of(REP, allow=np.array([60, 62]))) == [60, 62]  # type: ignore[arg-type]
    assert pitches_of(Controls.of(REP, exclude="C-1..B8", scale="C")) == [120, 122, 124, 125, 127]


def test_ranges_are_those_of_real_instruments_or_given_ones() -> None:
    real = Controls.of(REP, ranges=True)
    assert pitches_of(real, "violin") == list(range(55, 106))
    assert pitches_of(real, "lead") == list(range(128))
    own = Controls.of(REP, ranges={"violin": "G3..E4", "Cello": (36, "C3")})
    assert pitches_of(own, "violin") == list(range(55, 65))
    assert pitches_of(own, "cello") == list(range(36, 49))
    assert pitches_of(own, "viola") == list(range(128))


def test_ranges_are_of_known_instruments_and_contain_real_parts(shared: Any) -> None:
    assert set(INSTRUMENT_RANGES) <= set(REP.names)
    assert all(0 <= low < high < 128 for low, high in INSTRUMENT_RANGES.values())
    playable = Controls.of(REP, ranges=True).playable
    assert playable is not None
    notes = np.concatenate(
        [notes_of(np.load(file)) for file in sorted((shared / "reference" / "encodings").glob("*.npy"))]
    )
    classical = np.isin(notes[:, INSTRUMENT], [REP.find_instrument(name) for name in ("violin", "flute", "oboe")])
    assert playable[notes[:, PITCH], notes[:, INSTRUMENT]].mean() > 0.97
    assert playable[notes[classical, PITCH], notes[classical, INSTRUMENT]].mean() > 0.995


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"allow": "H4"}, "allow: 'H4' is not a pitch; give a MIDI number, a name"),
        ({"allow": "C"}, "allow: 'C' is not a pitch"),
        ({"exclude": 128}, r"exclude: pitch 128 is out of range; MIDI pitches are 0 to 127"),
        ({"exclude": [-1]}, "exclude: pitch -1 is out of range"),
        ({"allow": "C5..C4"}, r"allow: C5\.\.C4 is empty; give the lower pitch first"),
        ({"ranges": {"violni": "C4..C5"}}, "unknown instrument 'violni'; did you mean violin"),
        ({"ranges": {"violin": "C4"}}, "ranges: violin is 'C4'; give its lowest and highest pitch"),
        ({"ranges": {"violin": (60,)}}, r"ranges: violin is \(60,\); give its lowest and highest"),
        ({"allow": []}, r"allow=\[\] leaves no pitch to sample"),
        ({"scale": "C major", "allow": "C#4"}, "scale='C major', allow='C#4' leaves no pitch to sample"),
        ({"allow": 60, "exclude": 60}, "allow=60, exclude=60 leaves no pitch"),
    ],
)
def test_invalid_or_empty_controls_are_refused(given_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Controls.of(REP, **given_)


# The grammar under controls, by enumeration: pitches 1 and 2, instruments 1 and 2.

TABLES = [
    [[0, 0, 0], [0, 1, 0], [0, 0, 1]],  # each instrument has one pitch
    [[0, 0, 0], [0, 1, 1], [0, 0, 1]],
    [[0, 0, 0], [0, 1, 1], [0, 0, 0]],  # one pitch in total
    [[0, 0, 0], [0, 0, 1], [0, 0, 1]],  # the first instrument has none
]


def fits(piece: Piece, table: list[list[int]], behind: int = 0) -> bool:
    return all(table[event[PITCH]][event[INSTRUMENT]] for event in piece[behind:] if event[TYPE] == NOTE) and all(
        any(row[event[INSTRUMENT]] for row in table) for event in piece[behind:] if event[TYPE] == INSTRUMENT_EVENT
    )


@pytest.mark.parametrize("table", TABLES)
def test_exactly_the_events_within_the_controls_are_permitted(table: list[list[int]]) -> None:
    controls = Controls(np.array(table, bool))
    pieces = [piece for piece in PIECES if fits(piece, table)]
    for prefix in sample(prefixes(pieces), 20):
        assert permitted(prefix, Bounds(7, 2, controls=controls), StrictGrammar) == continuations(pieces, prefix)


def test_controls_apply_to_new_notes_and_not_to_the_prompt() -> None:
    table = TABLES[0]
    controls = Controls(np.array(table, bool))
    # One note that is not permitted: pitch 2 of instrument 1.
    prefix = (START, (1, 0, 0, 0, 0, 1), (1, 0, 0, 0, 0, 2), BEGIN, (NOTE, 1, 2, 2, 1, 1))
    expected = {piece[5] for piece in PIECES if piece[:5] == prefix and fits(piece, table, behind=5)}
    assert permitted(prefix, Bounds(7, 2, controls=controls), StrictGrammar) == expected


def everyone_plays(piece: Piece, times: int = 1) -> bool:
    played = [event[INSTRUMENT] for event in piece if event[TYPE] == NOTE]
    return all(played.count(event[INSTRUMENT]) >= times for event in piece if event[TYPE] == INSTRUMENT_EVENT)


@pytest.mark.parametrize(("least", "seen_at_least"), [(1, 71), (2, 35)])
def test_use_all_permits_exactly_the_events_after_which_all_can_play_enough(least: int, seen_at_least: int) -> None:
    pieces = [piece for piece in PIECES if everyone_plays(piece, least)]
    bounds = Bounds(7, 2, controls=Controls(use_all=True), least_notes=least)
    reached: list[Piece] = [(START,)]
    seen = 0
    while reached:
        chosen = sample(reached, 25)
        reached = []
        for prefix in chosen:
            events = permitted(prefix, bounds, StrictGrammar)
            assert events
            assert events <= continuations(pieces, prefix), prefix
            # One of the last moments is reserved for each note that is still to be played.
            lost = continuations(pieces, prefix) - events
            assert all(event[BEAT] == 2 and event[2] >= 3 - least for event in lost), prefix
            reached += [(*prefix, event) for event in events if event[TYPE] != END_OF_SONG]
            seen += 1
    assert seen >= seen_at_least


def test_the_last_moment_is_reserved_for_an_instrument_that_has_not_played() -> None:
    prefix = (START, (1, 0, 0, 0, 0, 1), (1, 0, 0, 0, 0, 2), BEGIN, (NOTE, 2, 1, 1, 1, 2))
    bounds = Bounds(9, 2, controls=Controls(use_all=True))
    here = {(NOTE, 2, 1, 2, 1, 1), (NOTE, 2, 1, 2, 1, 2)}
    assert permitted(prefix, bounds, StrictGrammar) == here | {(NOTE, 2, 2, 1, 1, 1), (NOTE, 2, 2, 2, 1, 1)}


@pytest.mark.parametrize("use_all", [True, False])
def test_the_bonus_of_use_all_grows_with_the_beats_waited_and_the_missing_notes(
    use_all: bool,
) -> None:
    prompt = np.array([START, (1, 0, 0, 0, 0, 1), (1, 0, 0, 0, 0, 2), BEGIN])
    grammar = StrictGrammar([prompt], (5, 20, 3, 3, 2, 4), Bounds(99, 19, controls=Controls(use_all=use_all)))

    def bonus_after(notes: list[tuple[int, ...]]) -> list[float]:
        for note in notes:
            grammar.advance(np.array([note]))
        grammar.look_ahead(np.zeros((1, 37), np.float32))
        return grammar.lookahead.instrument_bonus[0, 1:4].tolist()

    # Eight notes of one of two instruments: the other has waited eight beats, and half an equal share is two notes.
    assert bonus_after([(NOTE, beat, 1, 1, 1, 1) for beat in range(1, 9)]) == [0, 0.25 * (8 + 2) * use_all, 0]
    assert bonus_after([(NOTE, 9, 1, 1, 1, 2)]) == [0, 0.25 * (9 / 4 - 1) * use_all, 0]
    assert bonus_after([(NOTE, 10, 1, 1, 1, 2), (NOTE, 11, 1, 1, 1, 2)]) == [0, 0, 0]


def test_no_note_begins_max_rest_beats_or_more_after_all_sound_has_ended() -> None:
    prompt = np.array([START, (1, 0, 0, 0, 0, 1), BEGIN])
    sizes = (5, 20, 3, 3, 3, 2)  # two positions a beat; durations of one and of six positions

    def latest_after(notes: list[tuple[int, ...]]) -> int:
        bounds = Bounds(99, 19, max_rest=3, durations=(1, 6))
        grammar = StrictGrammar([np.array([*prompt, *notes])], sizes, bounds)
        grammar.look_ahead(np.zeros((1, sum(sizes)), np.float32))
        allowed = grammar.allow(np.zeros((1, 20), np.float32), BEAT, np.array([(NOTE, 0, 0, 0, 0, 0)]))
        return int(np.flatnonzero(np.isfinite(allowed[0])).max())

    # Onset plus duration in positions is the end; the next note begins less than three beats later.
    assert latest_after([]) == 3
    assert latest_after([(NOTE, 1, 1, 1, 1, 1)]) == 3  # ends at 0.5: beat 3 is 1.5 to 2.0 later
    assert latest_after([(NOTE, 1, 2, 1, 1, 1)]) == 4  # ends at 1
    assert latest_after([(NOTE, 1, 1, 1, 2, 1)]) == 6  # ends at 3
    assert latest_after([(NOTE, 1, 1, 1, 2, 1), (NOTE, 2, 1, 1, 1, 1)]) == 6  # the first note is still sounding


# Over random weights.


@st.composite
def wishes(draw: st.DrawFn, representation: Representation) -> dict[str, Any]:
    pitch = st.integers(0, 127)
    span = st.tuples(pitch, pitch).map(lambda two: f"{min(two)}..{max(two)}")
    several = st.lists(pitch | span, min_size=1, max_size=4)
    name = st.sampled_from(representation.names)
    return {
        "scale": draw(st.none() | st.sampled_from(["C major", "f# minor", "B blues"]) | st.sets(st.integers(0, 11), min_size=1)),
        "allow": draw(st.none() | several),
        "exclude": draw(st.none() | several),
        "ranges": draw(st.booleans() | st.dictionaries(name, span, max_size=3)),
        "use_all": draw(st.booleans()),
    }  # fmt: skip


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Untrained networks, some of them with extreme logits."""
    few = Representation(
        resolution=draw(st.integers(1, 3)),
        beats=draw(st.integers(1, 5)),
        durations=tuple(range(1, 1 + draw(st.integers(1, 3)))),
        instruments=PAPER_INSTRUMENTS[24 : 24 + draw(st.integers(1, 5))],
    )
    representation = draw(st.just(few) | st.just(dataclasses.replace(REP, beats=12)))
    scale = draw(st.sampled_from([1.0, 30.0, 1e6, 1e30]))
    form = {"context": draw(st.integers(12, 24)), "output": draw(st.sampled_from(["independent", "chain", "mixed"]))}
    model = random_model(representation, draw(st.integers(0, 1000)), scale=scale, shape=TINIEST, **form)
    for field, size in zip(model.network.heads.fields, representation.sizes, strict=True):
        if draw(st.booleans()):
            field.bias.data[draw(st.sampled_from([0, size - 1]) | st.integers(0, size - 1))] += 1e4 * scale
    return model


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_network_keeps_any_controls(data: st.DataObject) -> None:
    model = data.draw(models(), "model")
    representation = model.representation
    wished = data.draw(wishes(representation), "wishes")
    names = data.draw(st.sets(st.sampled_from(representation.names), max_size=5), "names")
    if names and isinstance(wished["ranges"], dict):  # ranges of other instruments are refused
        wished["ranges"] = {name: span for name, span in wished["ranges"].items() if name in names}
    prompt = mmt.prompt.instruments(*names, representation=representation) if names else mmt.prompt.start()
    if names and data.draw(st.booleans(), "continue"):
        codes = [representation.find_instrument(name) for name in names]
        ranges = [st.integers(1, size - 1) for size in representation.sizes[BEAT:INSTRUMENT]]
        note = st.tuples(st.just(NOTE), *ranges, st.sampled_from(codes))
        notes = np.array(data.draw(st.lists(note, min_size=1, max_size=4), "notes"))
        beats = data.draw(st.none() | st.integers(1, int(notes[:, BEAT].max())), "beats")
        prompt = mmt.prompt.beats(np.concatenate([prompt, notes]), beats, representation=representation)
    limits: dict[str, Any] = {
        "max_events": data.draw(st.none() | st.integers(len(prompt) + 1, model.network.config.context + 1)),
        "max_beats": data.draw(st.none() | st.integers(1, representation.beats)),
        "min_beats": data.draw(st.sampled_from([0, 0, 1, 3])),
        **data.draw(st.sampled_from([{}, {"min_p": 0.1}, {"top_k": 1}, {"temperature": 0.01}, {"top_p": 0.2}])),
    }
    count = data.draw(st.integers(1, 3))
    try:
        pieces = model.generate(prompt, count, 1, **limits, **wished)
    except ValueError:
        with pytest.raises(ValueError, match=r"leaves|context|max_events|max_beats|min_beats|use_all"):
            model.generate(prompt, count, 1, **limits, **wished)
        assume(False)
    context = model.network.config.context
    bounded = limits | {"max_events": limits["max_events"] or max(context, len(prompt) + 9)}
    endless = np.concatenate([prompt, list(model.stream(prompt, 1, endless=True, **bounded, **wished))])
    playable = Controls.of(representation, **wished | {"use_all": False}).playable
    # If more beats are asked for than the network has, only an explicit limit applies.
    longer = limits["min_beats"] > representation.beats
    for piece in [*pieces, endless]:
        check_piece(piece, representation=representation)
        assert np.array_equal(piece[: len(prompt)], prompt)
        if limits["max_events"] or piece is endless or not longer:
            assert len(piece) <= bounded["max_events"]
        named, new = piece[piece[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT], notes_of(piece[len(prompt) :])
        # Without an explicit limit, a piece that is endless or exceeds the context may exceed the network's beats.
        bound = piece is not endless and not longer and (limits["max_events"] or 0) <= context
        if limits["max_beats"] or bound:
            assert notes_of(piece)[:, BEAT].max() <= (limits["max_beats"] or representation.beats)
        if playable is not None:
            assert playable[new[:, PITCH], new[:, INSTRUMENT]].all()
            assert playable[:, named].any(axis=0).all()
        if names:
            assert {representation.names[code - 1] for code in named} == names
        if wished["use_all"]:
            assert set(named) == set(notes_of(piece)[:, INSTRUMENT])
    loose = wished | {"use_all": False}
    for piece in model.generate(prompt, 1, 1, grammar="paper", **limits, **loose):
        new = notes_of(piece[len(prompt) :])
        assert playable is None or playable[new[:, PITCH], new[:, INSTRUMENT]].all()


def leaping_model(representation: Representation, rise: float = 1.0) -> Model:
    """A network with random weights that prefers the last beats and the end, and so writes few notes."""
    model = random_model(representation, shape=TINIEST, context=64)
    model.network.heads.fields[BEAT].bias.data += rise * torch.arange(representation.sizes[BEAT])
    model.network.heads.fields[TYPE].bias.data[END_OF_SONG] += 2
    return model


@pytest.mark.parametrize(
    ("limits", "least"),
    [
        ({}, 4),  # 15 moments: four notes of each of three instruments fit
        ({"max_beats": 3}, 3),  # 9 moments
        ({"max_events": 14}, 2),  # 5 events before the notes, one for the end, and one that stays free
        ({"max_events": 9}, 1),
    ],
)
def test_with_use_all_each_instrument_plays_four_notes_or_as_many_as_fit(limits: dict[str, int], least: int) -> None:
    short = Representation(resolution=3, beats=5, durations=(1,), instruments=PAPER_INSTRUMENTS[24:27])
    model = leaping_model(short)
    prompt = mmt.prompt.instruments(*short.names, representation=short)
    pieces = model.generate(prompt, 40, 1, use_all=True, **limits)
    counts = np.array([np.bincount(notes_of(piece)[:, INSTRUMENT], minlength=4)[1:] for piece in pieces])
    assert counts.min() == least
    assert max(map(len, pieces)) <= limits.get("max_events", 64)


@pytest.mark.parametrize("most", [2, 5])
def test_silences_are_shorter_than_max_rest(most: int) -> None:
    long = Representation(resolution=2, beats=60, durations=(1, 2, 8), instruments=PAPER_INSTRUMENTS[24:27])
    model = leaping_model(long, 0.1)

    def silences(rest: int | None) -> list[float]:
        prompt = mmt.prompt.instruments(*long.names, representation=long)
        pieces = model.generate(prompt, 10, 1, max_rest=rest, max_events=60, min_beats=50)
        return [longest_silence(piece, representation=long) for piece in pieces]

    assert max(silences(most)) < most
    assert max(silences(0)) > most
    model.sampling = {"max_rest": most}
    assert silences(None) == silences(most)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"max_rest": 1}, "max_rest is 1; it must be at least 2 beats, or 0 for no limit"),
        ({"max_rest": -3}, "max_rest is -3; it must be at least 2"),
        ({"max_rest": 4, "grammar": "paper"}, "max_rest goes with grammar='strict' only, not 'paper'"),
        ({"max_rest": 4, "sampling": "paper"}, "max_rest goes with grammar='strict' only"),
    ],
)
def test_an_invalid_max_rest_is_refused(given_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mmt.new_model("tiny").generate(**given_)


def test_with_the_paper_grammar_a_repeated_note_ends_with_the_context() -> None:
    few = Representation(resolution=1, beats=4, durations=(1,), instruments=PAPER_INSTRUMENTS[24:26])
    model = random_model(few, shape=TINIEST, context=24)
    model.network.heads.fields[TYPE].bias.data[NOTE] += 100
    model.network.heads.fields[BEAT].bias.data[1] += 100
    (piece,) = model.generate(seed=1, grammar="paper", min_beats=9)
    assert len(piece) == 24
    assert set(notes_of(piece)[:, BEAT]) == {1}


def test_use_all_holds_for_a_network_with_one_beat() -> None:
    one_beat = Representation(resolution=1, beats=1, durations=(1,), instruments=PAPER_INSTRUMENTS[24:29])
    model = random_model(one_beat, shape=TINIEST, context=16)
    model.network.heads.fields[TYPE].bias.data[INSTRUMENT_EVENT] += 1
    model.network.heads.fields[PITCH].bias.data[-1] += 9  # soon there is no higher note left
    for seed in range(40):
        written = list(model.stream(mmt.prompt.start(), seed, endless=True, max_events=16, use_all=True))
        piece = np.concatenate([mmt.prompt.start(), written])
        check_piece(piece, representation=one_beat)
        assert set(piece[piece[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT]) == set(notes_of(piece)[:, INSTRUMENT])


# Drums.


@pytest.mark.parametrize(
    "given_",
    [{"scale": "C major"}, {"allow": "C4"}, {"exclude": "0..60"}, {"ranges": True}, {"ranges": {"violin": (60, 70)}}],
)
def test_controls_of_pitch_permit_every_drum_key(given_: dict[str, Any]) -> None:
    with_drums = Representation(drums=True)
    ours, theirs = (Controls.of(representation, **given_).playable for representation in (with_drums, REP))
    assert ours is not None
    assert ours.shape == (129, 66)
    assert ours[1:, with_drums.drums_code].all()
    assert not ours[0].any()
    np.testing.assert_array_equal(ours[:, :65], theirs)


def test_drums_have_no_range() -> None:
    with pytest.raises(ValueError, match=r"ranges: drums is given 'C2\.\.C3', but drums have no pitch; leave them out"):
        Controls.of(Representation(drums=True), ranges={"drums": "C2..C3"})
