"""Generate pieces from several prompts, all that can be in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import numpy.typing as npt

from mmt.representation.codes import Events
from mmt.representation.origin import remember
from mmt.sampling.decoding import write_pieces
from mmt.sampling.model import Model
from mmt.sampling.options import GenerationOptions, Options
from mmt.sampling.streams import streams_of


def generate_each(
    model: Model, prompts: Sequence[npt.ArrayLike | None], seeds: Sequence[int], **options: Unpack[Options]
) -> list[Events]:
    """Generate a piece for each prompt and seed.

    Each piece is the first one of `model.generate(prompt, seed=seed, **options)`: bit for bit on a CPU, and up to rounding in the
    network elsewhere. Prompts may differ in length. They share a batch if they have no given notes and the same limits.

    >>> import mmt
    >>> model, prompts = mmt.new_model("tiny", seed=0), [None, mmt.prompt.instruments("violin", "cello")]
    >>> pieces = generate_each(model, prompts, seeds=[5, 6], max_events=32)
    >>> (pieces[1] == model.generate(prompts[1], seed=6, max_events=32)[0]).all()
    np.True_
    """
    if len(prompts) != len(seeds):
        raise ValueError(f"{len(prompts)} prompts and {len(seeds)} seeds were given; give a seed for each prompt")
    config, representation = model.network.config, model.representation
    resolved = [GenerationOptions(**options).resolve(one, config, representation, model.sampling) for one in prompts]
    batches: dict[tuple[int, ...], list[int]] = {}
    for number, (_, settings) in enumerate(resolved):
        bounds = settings["bounds"]
        # The limits that depend on the prompt. A prompt with given notes, or a sliding window, has a batch of its own.
        alone = 1 + number if bounds.reach or settings["context"] == "slide" else 0
        limits = (bounds.max_events, bounds.max_beats, bounds.first_beat, bounds.length, bounds.least_notes, alone)
        batches.setdefault(limits, []).append(number)
    pieces: dict[int, Events] = {}
    for numbers in batches.values():
        streams = streams_of(1, [seeds[number] for number in numbers])
        beginnings = [np.asarray(resolved[number][0]) for number in numbers]
        written = write_pieces(model.network, beginnings, streams, **resolved[numbers[0]][1])
        pieces |= zip(numbers, written, strict=True)
    return [remember(pieces[number], representation) for number in range(len(prompts))]
