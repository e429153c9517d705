"""One piece for each prompt in one batch: each equals the piece that its prompt and seed give alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_corpora import model_of

import mmt
from mmt.sampling.several import generate_each

TINY = Path(__file__).resolve().parents[2] / "data" / "tiny"


def prompts() -> list[np.ndarray | None]:
    """Prompts of different lengths, two of them equal."""
    pieces = [mmt.encode(mmt.read(file)) for file in sorted(TINY.glob("*.mid"))]
    instruments = [mmt.prompt.instruments("violin", "cello"), mmt.prompt.instruments("piano")]
    return [None, *instruments, *(mmt.prompt.beats(piece, beats) for piece in pieces for beats in (1, 2)), None]


@pytest.mark.parametrize(
    "options",
    [
        {"max_events": 90},
        {"max_events": 90, "sampling": "paper"},
        # Windows move.
        {"max_events": 200, "temperature": 0.8},
        {"max_events": 90, "use_all": True, "min_beats": 6},
        {"max_events": 90, "context": "slide"},
    ],
    ids=str,
)
def test_each_piece_is_the_one_that_its_prompt_gives_alone(options: dict[str, object]) -> None:
    model = model_of(mmt.Representation())
    seeds = [*range(len(prompts()) - 1), 0]
    pieces = generate_each(model, prompts(), seeds, **options)
    for prompt, seed, piece in zip(prompts(), seeds, pieces, strict=True):
        np.testing.assert_array_equal(piece, model.generate(prompt, seed=seed, **options)[0])
    assert len({piece.tobytes() for piece in pieces}) == len(pieces) - 1
    assert len({len(piece) for piece in pieces}) > 1 or options["max_events"] == 200


def test_prompts_with_given_notes_or_lengths_are_not_mixed_up() -> None:
    representation = mmt.Representation(given=True, length=True)
    model = model_of(representation)
    start = mmt.prompt.instruments("violin", "cello", representation=representation)
    given = np.concatenate([start, [[5, 3, 1, 61, 12, 27]]])
    starts, seeds = [start, given, start], [1, 2, 3]
    pieces = generate_each(model, starts, seeds, max_events=60)
    for prompt, seed, piece in zip(starts, seeds, pieces, strict=True):
        np.testing.assert_array_equal(piece, model.generate(prompt, seed=seed, max_events=60)[0])


def test_a_seed_for_each_prompt_is_expected() -> None:
    with pytest.raises(ValueError, match="2 prompts and 1 seeds were given"):
        generate_each(model_of(mmt.Representation()), [None, None], [1])
