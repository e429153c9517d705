"""The loop guard counts repeating beats by their definition, and breaks loops without changing other pieces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmt
from mmt.representation.codes import NOTE, TYPE, Events
from mmt.sampling.loops import PERIODS, LoopGuard

NOTES = st.lists(
    st.tuples(st.integers(1, 24), st.integers(1, 2), st.integers(60, 61), st.integers(1, 2)), min_size=1, max_size=80
)


def events_of(notes: list[tuple[int, int, int, int]]) -> Events:
    return np.array([[NOTE, beat, position, pitch, 12, part] for beat, position, pitch, part in sorted(set(notes))])


def plain_streaks(notes: list[tuple[int, int, int, int]]) -> list[int]:
    """For each period, the streak before the last note's beat, by the definition."""
    beats: dict[int, set[tuple[int, ...]]] = {}
    for beat, *others in notes:
        beats.setdefault(beat, set()).add(tuple(others))
    played = sorted(beats)
    streaks = []
    for period in range(1, PERIODS + 1):
        streak = 0
        for beat, following in pairwise(played):
            again = sum(note in beats.get(beat - period, set()) for note in beats[beat])
            gap = following - beat
            repeats = 10 * again >= 9 * len(beats[beat]) and gap <= PERIODS
            streak = streak + gap if repeats else max(0, streak - 4 * gap)
        streaks.append(streak)
    return streaks


@given(NOTES)
def test_repeating_beats_are_counted_as_defined(notes: list[tuple[int, int, int, int]]) -> None:
    events = events_of(notes)
    whole = LoopGuard([events], 0.1)
    assert whole.memory.streak[0].tolist() == plain_streaks(notes)
    # Event by event.
    followed = LoopGuard([events[:0], events[:0]], 0.1)
    for event in events:
        followed.follow(np.stack([event, event]))
    assert followed.memory.streak[1].tolist() == plain_streaks(notes)
    followed.keep([1])
    assert followed.memory.streak.tolist() == [plain_streaks(notes)]


def test_the_temperature_rises_from_the_ninth_repeating_beat() -> None:
    guard = LoopGuard([np.zeros((0, 6), np.int64)] * 2, 0.25)
    seen = []
    for beat in range(1, 20):
        # The first piece repeats one note; the second rises.
        guard.follow(np.array([[NOTE, beat, 1, 60, 12, 1], [NOTE, beat, 1, 40 + beat, 12, 1]]))
        factors = guard.factors()
        seen.append(1.0 if factors is None else float(factors[0, 0]))
        assert factors is None or factors[1, 0] == 1
    assert seen == [1.0] * 10 + [1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75] + [3.0] * 2


def test_a_free_beat_lowers_the_streak_and_does_not_end_it() -> None:
    guard = LoopGuard([np.zeros((0, 6), np.int64)], 0.5)
    for beat in range(1, 17):
        guard.follow(np.array([[NOTE, beat, 1, 72 if beat == 13 else 60, 12, 1]]))
    # With a period of one beat, beats 2 to 12 repeat; 13 and 14 do not; 15 does; 16 is not complete.
    assert guard.memory.streak[0, 0] == 11 - 4 - 4 + 1
    # With a period of two beats, beats 3 to 12 and 14 repeat; 13 and 15 do not.
    assert guard.memory.streak[0, 1] == 10 - 4 + 1 - 4


def test_the_guard_is_off_in_the_paper_sampling_and_acts_only_in_a_loop() -> None:
    model = mmt.new_model("tiny", seed=0)
    plain = model.generate(n=3, seed=1, max_events=64)
    guarded = model.generate(n=3, seed=1, max_events=64, loop_guard=0.5)
    for before, after in zip(plain, guarded, strict=True):
        guard = LoopGuard([before[before[:, TYPE] == NOTE]], 0.5)
        if guard.memory.streak.max() < 8:
            np.testing.assert_array_equal(before, after)
    model.sampling = {"loop_guard": 0.5}
    for paper, plain_paper in zip(
        model.generate(n=2, seed=1, max_events=64, sampling="paper"),
        model.generate(n=2, seed=1, max_events=64, sampling="paper", loop_guard=0.0),
        strict=True,
    ):
        np.testing.assert_array_equal(paper, plain_paper)


def test_the_guard_breaks_a_loop() -> None:
    """At a low temperature the model repeats the prompt's note."""
    model = mmt.load_model()
    notes = [[NOTE, beat, 1, 61, 12, 1] for beat in range(1, 25)]
    piece = [[0] * 6, [1, 0, 0, 0, 0, 1], [2, *[0] * 5], *notes, [4, *[0] * 5]]
    prompt = mmt.prompt.beats(piece, representation=model.representation)

    def mean_loop(guard: float) -> float:
        pieces = model.generate(prompt, n=4, seed=2, new_beats=24, temperature=0.7, loop_guard=guard)
        return float(np.mean([mmt.metrics.longest_loop(one, representation=model.representation) for one in pieces]))

    assert mean_loop(2.0) < mean_loop(0.0)


@pytest.mark.parametrize("guard", [-0.1, float("inf"), float("nan"), "much"])
def test_invalid_guards_are_refused(guard: object) -> None:
    with pytest.raises(ValueError, match=r"loop_guard is .*; it must be a number of at least 0"):
        mmt.new_model("tiny").generate(loop_guard=guard)  # type: ignore[call-overload]
