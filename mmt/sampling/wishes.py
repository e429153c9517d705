"""What is asked of a piece in writing, checked before the first event: filters, limits, controls, grammar and context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmt.model.config import NetworkConfig
from mmt.representation.codes import (
    BEAT,
    END_OF_SONG,
    INSTRUMENT,
    INSTRUMENT_EVENT,
    NOTE,
    TYPE,
    Representation,
)
from mmt.representation.prompt import Prompt, start, tidy
from mmt.sampling.controls import Controls, Pitches, Ranges, Scale
from mmt.sampling.decoding import GRAMMARS
from mmt.sampling.filters import Filters, PerField, authors_top_k
from mmt.sampling.grammar import Bounds, floor_of, moment_of


@dataclass(frozen=True)
class Wishes:
    """The arguments of `Model.generate`, as they were given."""

    temperature: PerField = None
    top_k: PerField = None
    top_p: PerField = None
    min_p: PerField = None
    min_beats: int = 0
    max_beats: int | None = None
    max_events: int | None = None
    scale: Scale = None
    allow: Pitches = None
    exclude: Pitches = None
    ranges: Ranges = False
    use_all: bool = False
    grammar: str | None = None
    sampling: str = "default"
    context: str = "full"
    endless: bool = False

    def settle(
        self,
        prompt: npt.ArrayLike | None,
        config: NetworkConfig,
        representation: Representation,
        defaults: Mapping[str, Any],
    ) -> tuple[Prompt, dict[str, Any]]:
        """Check everything, and fill in what was left open: the prompt, and the arguments of `decode_events`.

        Raises
        ------
        ValueError
            If an argument is out of range, two contradict each other, or the prompt does not go with them.
        """
        for name, choices in (("sampling", ("default", "paper")), ("context", ("full", "slide"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose {' or '.join(choices)}")
        grammar = self.grammar or ("paper" if self.sampling == "paper" else "strict")
        if grammar not in GRAMMARS:
            raise ValueError(f"grammar is {grammar!r}; choose one of {', '.join(GRAMMARS)}")
        if self.use_all and grammar != "strict":
            raise ValueError(f"use_all=True goes with grammar='strict' only, not {grammar!r}")
        filters = self.filters({"top_k": authors_top_k(config.sizes)} if self.sampling == "paper" else defaults)
        beginning = tidy(start() if prompt is None else prompt, representation)
        bounds = self._bounds(beginning, config.context, representation)
        return beginning, {"filters": filters, "bounds": bounds, "grammar": grammar}

    def filters(self, defaults: Mapping[str, Any]) -> Filters:
        """The filters that were given, or the defaults."""
        names = ("temperature", "top_k", "top_p", "min_p")
        given = {name: getattr(self, name) for name in names}
        return Filters.of(**{name: defaults.get(name) if value is None else value for name, value in given.items()})

    def controls(self, representation: Representation) -> Controls:
        """Who may play what."""
        return Controls.of(
            representation,
            scale=self.scale,
            allow=self.allow,
            exclude=self.exclude,
            ranges=self.ranges,
            use_all=self.use_all,
        )

    def _bounds(self, prompt: Prompt, context: int, representation: Representation) -> Bounds:
        if prompt[-1, TYPE] == END_OF_SONG:
            raise ValueError("the prompt already ends; go on from a whole piece with mmt.prompt.beats(piece)")
        controls = self.controls(representation)
        declared = prompt[prompt[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT]
        controls.check_instruments(declared.tolist(), representation)
        played = prompt[prompt[:, TYPE] == NOTE, INSTRUMENT]
        missing = len(np.setdiff1d(declared, played)) if self.use_all else 0
        max_events = self._max_events(prompt, missing, context)
        max_beats = self._max_beats(prompt, representation.beats)
        bounds = Bounds(max_events, max_beats, int(self.min_beats), prompt.first_beat, self.endless, controls)
        # Each of those who must play needs a moment of its own in the end.
        moments = max_beats * representation.resolution
        moments -= int(moment_of(floor_of(prompt, representation.sizes, bounds), representation.sizes))
        if missing > moments:
            raise ValueError(
                f"use_all=True, but {missing} instruments have not played and only {moments} moments (positions) are left "
                f"in the {max_beats} beats; raise max_beats or name fewer instruments"
            )
        return bounds

    def _max_events(self, prompt: Prompt, missing: int, context: int) -> int:
        slide, kind = self.context == "slide", int(prompt[-1, TYPE])
        # What the shortest way to the end still needs: an instrument and start-of-notes, notes, and the end.
        needed = len(prompt) + (2, 1, 0, 0)[kind] + max(missing, 0 if kind == NOTE else 1) + 1
        if needed > context and not slide:
            raise ValueError(
                f"the prompt has {len(prompt)} events, too many for the model's context of {context}; "
                "continue from fewer beats (--beats), or name fewer instruments"
            )
        limit = max(context, needed) if self.max_events is None else _whole("max_events", self.max_events)
        if limit < needed or (limit > context and not slide):
            everyone = f" and {missing} instruments that must play (use_all)" if missing else ""
            raise ValueError(
                f"max_events is {limit}; with this prompt of {len(prompt)} events{everyone} and the model's context it must be "
                f"{f'at least {needed}' if slide else f'{needed} to {context}'}"
            )
        return limit

    def _max_beats(self, prompt: Prompt, beats: int) -> int:
        last = int(prompt[:, BEAT].max())
        if last > beats:
            raise ValueError(
                f"the prompt has {last} beats, more than the model's {beats}; continue from fewer beats (--beats)"
            )
        limit = beats if self.max_beats is None else _whole("max_beats", self.max_beats)
        # Behind a note the piece may end where it is; otherwise a note must still find its place.
        lowest = last if prompt[-1, TYPE] == NOTE else max(last, prompt.first_beat + 1)
        if not max(lowest, 1) <= limit <= beats:
            raise ValueError(f"max_beats is {limit}; with this prompt and model it must be {max(lowest, 1)} to {beats}")
        if not 0 <= _whole("min_beats", self.min_beats) <= limit:
            raise ValueError(f"min_beats is {self.min_beats}; it must be 0 to {limit}, the most beats of the piece")
        return limit


def _whole(name: str, number: int) -> int:
    if not isinstance(number, int | np.integer):
        raise ValueError(f"{name} is {number}; it must be a whole number")
    return int(number)
