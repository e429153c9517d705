"""Composing in sections: sections of a letter are equal, every piece is valid, and each part of it obeys the options."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_given_notes import NAMES, SMALL, make_model, notes_of

import mmt
from mmt import edit
from mmt.representation.codes import BEAT, DURATION, INSTRUMENT, PITCH, POSITION, Events
from mmt.representation.grammar import check_piece
from mmt.representation.prompt import Prompt, beats, instruments
from mmt.sampling.model import new_model

PROMPT = instruments(*NAMES, representation=SMALL)


def sections_of(piece: Events, section: int) -> list[Events]:
    """The notes of each section, with beats counted from its start."""
    notes, found = notes_of(piece), []
    for begin in range(0, int(notes[:, BEAT].max()), section):
        own = notes[(notes[:, BEAT] > begin) & (notes[:, BEAT] <= begin + section)].copy()
        own[:, BEAT] -= begin
        found.append(own)
    return found


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 30), st.sampled_from(["ABA", "AABA", "ABACA", "ABCB", "ABB", "AB", "A"]), st.integers(5, 8))
def test_sections_of_a_letter_have_the_same_notes(seed: int, form: str, section: int) -> None:
    for piece in edit.compose(make_model(seed % 3), PROMPT, form, section, n=2, seed=seed):
        check_piece(piece, representation=SMALL)
        assert notes_of(piece)[:, BEAT].max() <= len(form) * section
        found = sections_of(piece, section)
        for letter, own in zip(form, found, strict=False):
            first = found[form.index(letter)]
            np.testing.assert_array_equal(
                own[:, [BEAT, POSITION, PITCH, INSTRUMENT]], first[:, [BEAT, POSITION, PITCH, INSTRUMENT]]
            )


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 30), st.sampled_from(["ABA", "ABACA", "AAB"]))
def test_notes_sound_beyond_their_section_only_at_the_end(seed: int, form: str) -> None:
    [piece] = edit.compose(make_model(seed % 3), PROMPT, form, 6, seed=seed)
    steps = SMALL.resolution * 6
    for own in sections_of(piece, 6)[: len(form) - 1]:
        onset = (own[:, BEAT] - 1) * SMALL.resolution + own[:, POSITION] - 1
        assert (onset + np.array(SMALL.durations)[own[:, DURATION] - 1] <= steps).all()


def test_the_last_of_equal_sections_keeps_its_long_notes() -> None:
    pieces = edit.compose(make_model(), PROMPT, "AA", 5, n=20, seed=0)
    pairs = [sections_of(piece, 5) for piece in pieces]
    assert all((second[:, DURATION] >= first[:, DURATION]).all() for first, second in pairs)
    assert any((second[:, DURATION] > first[:, DURATION]).any() for first, second in pairs)


def test_sections_of_different_letters_differ() -> None:
    for piece in edit.compose(make_model(), PROMPT, "ABCA", 8, n=4, seed=1):
        a, b, c, _ = (own.tolist() for own in sections_of(piece, 8))
        assert a != b != c != a


@pytest.mark.parametrize("form", ["AABA", "ABACA"])
def test_the_shipped_model_does_not_copy_a_section_under_a_new_letter(form: str) -> None:
    trio, new = instruments("violin", "viola", "cello"), max(form)
    shares = []
    for piece in edit.compose(mmt.load_model(), trio, form, 8, n=8, seed=5):
        sections = [{tuple(note[[BEAT, POSITION, PITCH, INSTRUMENT]]) for note in own} for own in sections_of(piece, 8)]
        own = sections[form.index(new)]
        shares.append(
            max(len(own & other) / len(own) for other, letter in zip(sections, form, strict=True) if letter != new)
        )
    assert np.median(shares) < 0.4


def test_a_piece_is_the_same_alone_and_among_others_in_a_form() -> None:
    model = make_model(1)
    several = edit.compose(model, PROMPT, "ABA", 6, n=3, seed=4)
    np.testing.assert_array_equal(edit.compose(model, PROMPT, "ABA", 6, seed=4)[0], several[0])
    assert several[0].tolist() != several[1].tolist()


def test_the_prompt_begins_the_first_section() -> None:
    model = make_model()
    [source] = model.generate(PROMPT, seed=2, min_beats=8, max_beats=8)
    prompt = beats(source, 3, representation=SMALL)
    [piece] = edit.compose(model, prompt, "ABA", 6, seed=0)
    first = sections_of(piece, 6)[0]
    np.testing.assert_array_equal(first[first[:, BEAT] <= 3][:, BEAT:DURATION], notes_of(prompt)[:, BEAT:DURATION])
    with pytest.raises(ValueError, match="the prompt has 8 beats; give at most the 6 beats of a section"):
        edit.compose(model, beats(source, representation=SMALL), "ABA", 6)


def test_controls_hold_in_every_section() -> None:
    for piece in edit.compose(make_model(), PROMPT, "ABAC", 6, n=4, seed=3, allow="C4..C5"):
        own = notes_of(piece)
        assert ((own[:, PITCH] >= 61) & (own[:, PITCH] <= 73))[own[:, INSTRUMENT] != SMALL.drums_code].all()


def test_the_shipped_model_repeats_its_theme_in_a_form_and_ends() -> None:
    model = mmt.load_model()
    trio = instruments("violin", "viola", "cello")
    pieces = edit.compose(model, trio, "ABA", 16, n=4, seed=0, use_all=True)
    scores = mmt.metrics.evaluate(pieces, representation=model.representation)
    assert (scores.values["valid"] == 1).all()
    assert (scores.values["instruments_used"] == 1).all()
    assert (scores.values["returning"] > 0.2).all()
    assert (scores.values["beats"] > 2 * 16 + 12).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"form": ""}, "form is ''; give letters from A to Z alone, one for each section, such as 'ABA'"),
        ({"form": "A B"}, "form is 'A B'; give letters from A to Z"),
        ({"section": 4}, "section is 4; it must be a whole number of at least 5 beats"),
        ({"section": 8.0}, "section is 8.0; it must be a whole number"),
        ({"section": "8"}, "section is '8'; it must be a whole number"),
        ({"section": 9}, "section is 9 beats, but the model reads at most 8 at once; give shorter sections"),
        ({"prompt": Prompt(PROMPT, first_beat=9)}, "the prompt has 9 beats; give at most the 8 beats of a section"),
    ],
)
def test_an_impossible_form_is_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        edit.compose(make_model(), **{"prompt": PROMPT, "section": 8, **arguments})  # type: ignore[arg-type]


def test_a_form_needs_given_notes_and_lengths() -> None:
    with pytest.raises(ValueError, match="a form needs a model with given notes and lengths"):
        edit.compose(new_model("tiny"))
