"""Generation options: the arguments of `Model.generate`, checked and resolved before the first event is drawn."""

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
    GIVEN_NOTE,
    INSTRUMENT,
    INSTRUMENT_EVENT,
    NOTE,
    START_OF_NOTES,
    TYPE,
    Events,
    Representation,
    is_note,
)
from mmt.representation.prompt import Prompt, start, tidy
from mmt.sampling.controls import Controls, Pitches, Ranges, Scale
from mmt.sampling.decoding import GRAMMARS, WINDOWS
from mmt.sampling.filters import Filters, PerField, paper_top_k
from mmt.sampling.grammar import Bounds, floor_of, moment_of
from mmt.sampling.window import anchor, places_of

# No limit of events or beats in practice; the largest beat of the note table.
_FOREVER = 2**31 - 1
# A piece that is told its length in beats may be this many beats longer, unless max_beats is given.
_PAST_LENGTH = 8


@dataclass(frozen=True)
class GenerationOptions:
    """The arguments of `Model.generate`, as the user gave them."""

    temperature: PerField = None
    top_k: PerField = None
    top_p: PerField = None
    min_p: PerField = None
    min_beats: int = 0
    max_beats: int | None = None
    max_events: int | None = None
    length: int | None = None
    scale: Scale = None
    allow: Pitches = None
    exclude: Pitches = None
    ranges: Ranges = False
    use_all: bool = False
    grammar: str | None = None
    sampling: str = "default"
    context: str = "anchor"
    endless: bool = False

    def resolve(
        self,
        prompt: npt.ArrayLike | None,
        config: NetworkConfig,
        representation: Representation,
        defaults: Mapping[str, Any],
    ) -> tuple[Prompt, dict[str, Any]]:
        """Check all options and fill in defaults; returns the tidied prompt and the keyword arguments of `decode_events`.

        Raises
        ------
        ValueError
            If an argument is out of range, or arguments contradict each other or the prompt.
        """
        for name, choices in (("sampling", ("default", "paper")), ("context", tuple(WINDOWS))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose {' or '.join(choices)}")
        grammar = self.grammar or ("paper" if self.sampling == "paper" else "strict")
        if grammar not in GRAMMARS:
            raise ValueError(f"grammar is {grammar!r}; choose one of {', '.join(GRAMMARS)}")
        if self.use_all and grammar != "strict":
            raise ValueError(f"use_all=True goes with grammar='strict' only, not {grammar!r}")
        filters = self.filters({"top_k": paper_top_k(config.sizes)} if self.sampling == "paper" else defaults)
        beginning = tidy(start() if prompt is None else prompt, representation)
        self._tell_length(beginning, representation)
        bounds = self._bounds(beginning, config.context, representation)
        return beginning, {"filters": filters, "bounds": bounds, "grammar": grammar, "context": self.context}

    def _tell_length(self, prompt: Prompt, representation: Representation) -> None:
        """Write the length, if given, into the prompt's start-of-notes."""
        if self.length is None:
            return
        if not representation.length:
            raise ValueError(
                "length is given, but the model's representation tells no lengths (length=True); use min_beats and max_beats"
            )
        if _whole("length", self.length) < 1:
            raise ValueError(f"length is {self.length}; it must be at least 1 beat")
        prompt[prompt[:, TYPE] == START_OF_NOTES, BEAT] = representation.length_code(self.length)

    def filters(self, defaults: Mapping[str, Any]) -> Filters:
        """The filters, with `defaults` for those that were not given."""
        names = ("temperature", "top_k", "top_p", "min_p")
        given = {name: getattr(self, name) for name in names}
        return Filters.of(**{name: defaults.get(name) if value is None else value for name, value in given.items()})

    def controls(self, representation: Representation) -> Controls:
        """The controls."""
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
            raise ValueError("the prompt already ends; continue a whole piece with mmt.prompt.beats(piece)")
        controls = self.controls(representation)
        declared = prompt[prompt[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT]
        no_others = bool((prompt[:, TYPE] >= START_OF_NOTES).any())
        controls.check_instruments(declared.tolist(), representation, no_others=no_others)
        played = prompt[is_note(prompt), INSTRUMENT]
        missing = len(np.setdiff1d(declared, played)) if self.use_all else 0
        max_events = self._max_events(prompt, missing, context, representation)
        max_beats = self._max_beats(prompt, context, representation)
        window = None if self.context == "slide" else context
        bounds = Bounds(
            max_events,
            max_beats,
            int(self.min_beats),
            prompt.first_beat,
            self.endless,
            controls,
            window,
            reach=representation.reach if (prompt[:, TYPE] == GIVEN_NOTE).any() else 0,
            length=self.length or _told_length(prompt),
        )
        # Each instrument that must still play needs a moment of its own at the end.
        moments = max_beats * representation.resolution
        moments -= int(moment_of(floor_of(prompt, representation.sizes, bounds), representation.sizes))
        if missing > moments:
            raise ValueError(
                f"use_all=True, but {missing} instruments have not played and only {moments} moments (positions) are left "
                f"in the {max_beats} beats; raise max_beats or name fewer instruments"
            )
        return bounds

    def _max_events(self, prompt: Prompt, missing: int, context: int, representation: Representation) -> int:
        kind, header = min(int(prompt[-1, TYPE]), NOTE), int((prompt[:, TYPE] < NOTE).sum())
        # The shortest piece from this prompt still needs an instrument and start-of-notes, notes, and the end.
        to_notes = (2, 1, 0, 0)[kind]
        needed = len(prompt) + to_notes + max(missing, 0 if kind == NOTE else 1) + 1
        if self.context != "slide" and header + to_notes + 2 > context:
            raise ValueError(
                f"the prompt has {header} events before its notes, too many for the model's context of {context}; "
                "name fewer instruments"
            )
        if self.max_events is not None:
            limit = _whole("max_events", self.max_events)
        elif self.context != "slide" and (
            self.endless or self.length is not None or max(self.max_beats or 0, self.min_beats) > representation.beats
        ):
            limit = _FOREVER
        else:
            # Until the network's window, which may start after the prompt's start, is full.
            limit = max(context + len(prompt) - len(self._window(prompt, context, representation)[0]), needed)
        if limit < needed:
            everyone = f" and {missing} instruments that must play (use_all)" if missing else ""
            raise ValueError(
                f"max_events is {limit}; with this prompt of {len(prompt)} events{everyone} it must be at least {needed}"
            )
        return limit

    def _max_beats(self, prompt: Prompt, context: int, representation: Representation) -> int:
        beats = representation.beats
        last, slide = max(places_of(prompt, representation.reach)), self.context == "slide"
        if slide and (most := int(prompt[is_note(prompt), BEAT].max(initial=0))) > beats:
            raise ValueError(
                f"the prompt has {most} beats, more than the model's {beats}, which context='slide' counts on; "
                "continue from fewer beats (--beats), or with context='anchor'"
            )
        least = _whole("min_beats", self.min_beats)
        if self.max_beats is not None:
            limit = _whole("max_beats", self.max_beats)
        elif not slide and self.length is not None and not self.endless:
            limit = max(self.length + _PAST_LENGTH, last, prompt.first_beat + 1, least)
        elif not slide and (self.endless or (self.max_events or 0) > context):
            limit = _FOREVER
        else:
            limit = max(
                beats + (0 if slide else self._window(prompt, context, representation)[1]), 0 if slide else least
            )
        if not 0 <= least <= limit:
            raise ValueError(f"min_beats is {least}; it must be 0 to {limit}, the most beats of the piece")
        if beats == 1 and not slide:
            # A window of one beat never moves, since it would lose all its notes: it is the prompt's last beat or the next one.
            limit = min(limit, max(prompt.first_beat, self._window(prompt, context, representation)[1]) + 1)
        # After a note the piece may end at once; otherwise at least one note must still fit.
        written = prompt[-1, TYPE] >= NOTE
        lowest = max(1, last if written else max(last, prompt.first_beat + 1))
        if limit < lowest or (slide and limit > beats):
            raise ValueError(
                f"max_beats is {limit}; with this prompt it must be {f'{lowest} to {beats}' if slide else f'at least {lowest}'}"
            )
        return limit

    def _window(self, prompt: Prompt, context: int, representation: Representation) -> tuple[Events, int]:
        """The network's window on the prompt (all of it, if it fits and leaves room) and the number of beats before it."""
        beats, reach = representation.beats, representation.reach
        beat = max(places_of(prompt[-1:], reach)[0], prompt.first_beat)
        if self.context == "slide" or (len(prompt) < context and beat <= beats):
            return prompt[-context:], 0
        return anchor(prompt, context, beats, max(beat, prompt.first_beat + 1), reach=reach)


def _told_length(prompt: Events) -> int:
    """The length in beats that the prompt's start-of-notes tells; 0 if it tells none."""
    return max(int(prompt[prompt[:, TYPE] == START_OF_NOTES, BEAT].max(initial=0)) - 1, 0)


def _whole(name: str, number: int) -> int:
    if not isinstance(number, int | np.integer):
        raise ValueError(f"{name} is {number}; it must be a whole number")
    return int(number)
