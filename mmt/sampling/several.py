"""Generating one piece for each of several prompts, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mmt.representation.codes import Events
from mmt.representation.origin import remember
from mmt.sampling.decoding import decode_events
from mmt.sampling.model import Model
from mmt.sampling.options import GenerationOptions
from mmt.sampling.streams import streams_of


def generate_each(
    model: Model, prompts: Sequence[npt.ArrayLike | None], seeds: Sequence[int], **options: Any
) -> list[Events]:
    """Generate a piece for each prompt and seed, all that can be in one batch.

    Each piece is the first one of `model.generate(prompt, seed=seed, **options)`: bit for bit on a CPU, and up to rounding in the
    network elsewhere. Prompts may differ in length. They share a batch if they have no given notes and the same limits.

    Parameters
    ----------
    prompts : sequence of array_like of int, (n_i, 6)
    seeds : sequence of int
        One for each prompt.
    **options
        As for `Model.generate`.

    Examples
    --------
    >>> import mmt
    >>> model, prompts = mmt.new_model("tiny", seed=0), [None, mmt.prompt.instruments("violin", "cello")]
    >>> pieces = generate_each(model, prompts, seeds=[5, 6], max_events=32)
    >>> (pieces[1] == model.generate(prompts[1], seed=6, max_events=32)[0]).all()
    np.True_
    """
    if len(prompts) != len(seeds):
        raise ValueError(f"{len(prompts)} prompts and {len(seeds)} seeds were given; give a seed for each prompt")
    parts: list[list[Events]] = []
    batches: dict[tuple[int, ...], list[int]] = {}
    settings: dict[tuple[int, ...], dict[str, Any]] = {}
    for number, prompt in enumerate(prompts):
        beginning, settled = GenerationOptions(**options).resolve(
            prompt, model.network.config, model.representation, model.sampling
        )
        bounds = settled["bounds"]
        # The limits that depend on the prompt. A prompt with given notes, or a sliding window, has a batch of its own.
        alone = 1 + number if bounds.reach or settled["context"] == "slide" else 0
        limits = (bounds.max_events, bounds.max_beats, bounds.first_beat, bounds.length, bounds.least_notes, alone)
        batches.setdefault(limits, []).append(number)
        settings[limits] = settled
        parts.append([np.asarray(beginning)])
    for shared, numbers in batches.items():
        beginnings = [parts[number][0] for number in numbers]
        streams = streams_of(1, [seeds[number] for number in numbers])
        prompt = beginnings[0] if len(numbers) == 1 else beginnings
        for rows, events in decode_events(model.network, prompt, streams, **settings[shared]):
            for row, event in zip(rows, events, strict=True):
                parts[numbers[row]].append(event[None])
    return [remember(np.concatenate(piece), model.representation) for piece in parts]
