"""Generation options: the arguments of `Model.generate`, checked and resolved before the first event is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt

from mmt.model.config import NetworkConfig
from mmt.representation.arguments import whole
from mmt.representation.codes import (
    BEAT,
    END_OF_SONG,
    FIELDS,
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
from mmt.sampling.filters import FILTERS, Filters, PerField, paper_top_k
from mmt.sampling.grammar import Bounds, floor_of, moment_of
from mmt.sampling.window import anchor, places_of

# No limit of events or beats in practice; the largest beat of the note table.
_FOREVER = 2**31 - 1
# With `use_all`, each instrument plays at least this many notes.
_LEAST_NOTES = 4
# A piece with a given length ends in the last beats of that length, this many.
_LAST_BEATS = 4


class FilterOptions(TypedDict, total=False):
    """The filters, applied in this order, after the grammar. Default: the model's own, see `Model.sampling`.

    Each is a number for all fields, or a mapping such as `{"pitch": 0.9}`, which changes these fields only; None in a mapping
    turns the filter off for the field.
    """

    temperature: PerField
    """Above 0. Logits are divided by it: above 1 is more surprising, below 1 more predictable."""
    top_k: PerField
    """At least 1. Sample among this many likeliest codes; 1 takes the likeliest."""
    top_p: PerField
    """In (0, 1]. Sample among the likeliest codes that have this probability together."""
    min_p: PerField
    """In [0, 1]. Sample among the codes that are at least this share as likely as the likeliest."""


class ControlOptions(TypedDict, total=False):
    """Which pitches new notes may have. Controls are exact; the notes of the prompt stay."""

    scale: Scale
    """"C major", "f# minor", "a harmonic minor", "D dorian", …, or pitch classes by name or number ("C,E,G")."""
    allow: Pitches
    """Only these pitches: MIDI numbers, names (C4 is 60), spans ("C3..C6")."""
    exclude: Pitches
    """None of these pitches."""
    ranges: Ranges
    """True: each instrument keeps to the range of a real one (`mmt.representation.instrument_ranges`). A mapping such as
    {"violin": "G3..E6"} applies to the instruments that it names."""


class Options(FilterOptions, ControlOptions, total=False):
    """The keyword arguments of `Model.generate` and `Model.stream` that say how to sample, and when to end."""

    min_beats: int
    """No end before the piece has this many beats, as far as the other limits allow."""
    max_beats: int | None
    """Notes begin in the first `max_beats` beats of the piece, prompt included. Default: the network's beats; no limit where
    `max_events` is more than the context."""
    new_beats: int | None
    """The same, counted from the end of the prompt; instead of `max_beats`."""
    max_events: int | None
    """The maximum number of events of the whole piece, prompt and end included. Default: until the network's context is full; no
    limit if `length`, or more beats than the network has, are given with the strict grammar."""
    length: int | None
    """The number of beats of the whole piece, for models whose representation has length codes. The model reads it at the start,
    and the piece ends in the last four of these beats: without other values, `min_beats` is `length - 3` and `max_beats` is
    `length`. With `min_beats=1` and a larger `max_beats` the model alone decides where the piece ends."""
    use_all: bool
    """Each declared instrument plays at least four notes (or as many as the limits have room for) before the piece can end, and
    is drawn towards a fair share of the notes: before the other filters, its logit grows by 0.25 for each beat since the prompt
    until it has these notes, and for each note that it has less than half an equal share of the notes since the prompt. For each
    note that is missing, one of the last moments or events is reserved. The share itself is not promised."""
    loop_guard: float | None
    """How much the temperature of all fields rises for each beat, after the first eight, that repeats the beat one period (1 to 8
    beats) before; it falls again with beats that do not. See `mmt.sampling.loops`. 0 turns it off. Default: the model's own; 0
    for `sampling="paper"`."""
    max_rest: int | None
    """Silences are shorter than this many beats (at least 2); 0: of any length. It does not apply to pieces with given notes, nor
    to the paper's grammar. Default: the model's own; 0 for `sampling="paper"`."""
    grammar: Literal["strict", "paper"] | None
    """strict (default): every piece is valid, see `mmt.representation.grammar`. paper: type and beat never fall."""
    sampling: Literal["default", "paper"]
    """paper: the setting of the original code, top-k of 10 % of each field's codes and the paper's grammar."""
    context: Literal["anchor", "slide"]
    """What the network reads of a piece that is longer than its context. anchor: the instruments and the last beats, counted from
    the first of them, so that a piece may have any number of events and beats. slide: only the last events, as in the original
    code; beats are counted from the start of the piece, up to the network's last one."""


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """The values of `Options`, with their defaults."""

    temperature: PerField = None
    top_k: PerField = None
    top_p: PerField = None
    min_p: PerField = None
    scale: Scale = None
    allow: Pitches = None
    exclude: Pitches = None
    ranges: Ranges = False
    min_beats: int = 0
    max_beats: int | None = None
    new_beats: int | None = None
    max_events: int | None = None
    length: int | None = None
    use_all: bool = False
    loop_guard: float | None = None
    max_rest: int | None = None
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
        for name in ("min_beats", "max_beats", "new_beats", "max_events", "length", "max_rest"):
            if (number := getattr(self, name)) is not None:
                whole(name, number)
        grammar = self.grammar or ("strict" if self._is_strict else "paper")
        if grammar not in GRAMMARS:
            raise ValueError(f"grammar is {grammar!r}; choose one of {', '.join(GRAMMARS)}")
        if self.use_all and grammar != "strict":
            raise ValueError(f"use_all=True goes with grammar='strict' only, not {grammar!r}")
        beginning = tidy(start() if prompt is None else prompt, representation)
        filters = self.filters(defaults, config.sizes)
        self._tell_length(beginning, representation)
        limited = replace(self._with_max_beats(beginning)._with_length(), max_rest=self.rest(defaults))
        bounds = limited._bounds(beginning, config.context, representation)
        guard = self.guard(defaults)
        return beginning, {
            "filters": filters, "bounds": bounds, "grammar": grammar, "context": self.context, "loop_guard": guard,
        }  # fmt: skip

    @property
    def _is_strict(self) -> bool:
        """Whether the grammar is not the paper's."""
        return (self.grammar or self.sampling) != "paper"

    def filters(self, defaults: Mapping[str, Any], sizes: tuple[int, ...] = ()) -> Filters:
        """The filters, with `defaults`, or the paper's for fields of these `sizes`, where the user gave none."""
        if self.sampling == "paper":
            defaults = {"top_k": paper_top_k(sizes)}
        return Filters.of(**{name: _merged(getattr(self, name), defaults.get(name)) for name in FILTERS})

    def guard(self, defaults: Mapping[str, Any]) -> float:
        """The loop guard that the user gave, or the default."""
        usual = 0.0 if self.sampling == "paper" else defaults.get("loop_guard", 0.0)
        guard = usual if self.loop_guard is None else self.loop_guard
        if not isinstance(guard, int | float) or not 0 <= guard < math.inf:
            raise ValueError(f"loop_guard is {guard!r}; it must be a number of at least 0")
        return float(guard)

    def rest(self, defaults: Mapping[str, Any]) -> int:
        """The longest silence that the user gave, or the default."""
        usual = defaults.get("max_rest", 0) if self._is_strict and self.sampling != "paper" else 0
        rest = whole("max_rest", usual if self.max_rest is None else self.max_rest)
        if rest < 0 or rest == 1:
            raise ValueError(f"max_rest is {rest}; it must be at least 2 beats, or 0 for no limit")
        if rest and not self._is_strict:
            raise ValueError("max_rest goes with grammar='strict' only, not 'paper'")
        return rest

    def controls(self, representation: Representation) -> Controls:
        """The controls."""
        given = {name: getattr(self, name) for name in ("scale", "allow", "exclude", "ranges", "use_all")}
        return Controls.of(representation, **given)

    def _with_max_beats(self, prompt: Prompt) -> GenerationOptions:
        """The same options, with `max_beats` in place of `new_beats`."""
        if self.new_beats is None:
            return self
        if self.max_beats is not None:
            raise ValueError(
                f"max_beats is {self.max_beats} and new_beats {self.new_beats}; give one of them: max_beats counts from the "
                "start of the piece, new_beats from the end of the prompt"
            )
        if whole("new_beats", self.new_beats) < 1:
            raise ValueError(f"new_beats is {self.new_beats}; it must be at least 1")
        last = int(prompt[is_note(prompt), BEAT].max(initial=0))
        return replace(self, max_beats=max(last, prompt.first_beat) + int(self.new_beats), new_beats=None)

    def _with_length(self) -> GenerationOptions:
        """The same options, with the `min_beats` and `max_beats` that follow from `length`."""
        if self.length is None or self.endless or self.context == "slide":
            return self
        most = max(self.length, whole("min_beats", self.min_beats)) if self.max_beats is None else self.max_beats
        least = self.min_beats or max(min(self.length - _LAST_BEATS + 1, most), 0)
        return replace(self, min_beats=least, max_beats=most)

    def _tell_length(self, prompt: Prompt, representation: Representation) -> None:
        """Write the length, if given, into the prompt's start-of-notes."""
        if self.length is None:
            return
        if not representation.length:
            raise ValueError(
                "length is given, but the model's representation has no length codes (length=True); use min_beats and max_beats"
            )
        if whole("length", self.length) < 1:
            raise ValueError(f"length is {self.length}; it must be at least 1 beat")
        prompt[prompt[:, TYPE] == START_OF_NOTES, BEAT] = representation.length_code(self.length)

    def _bounds(self, prompt: Prompt, context: int, representation: Representation) -> Bounds:
        if prompt[-1, TYPE] == END_OF_SONG:
            raise ValueError("the prompt already ends; continue a whole piece with mmt.prompt.beats(piece)")
        controls = self.controls(representation)
        declared = prompt[prompt[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT]
        no_others = bool((prompt[:, TYPE] >= START_OF_NOTES).any())
        controls.check_instruments(declared.tolist(), representation, no_others=no_others)
        played = np.bincount(prompt[is_note(prompt), INSTRUMENT], minlength=representation.sizes[INSTRUMENT])[
            np.unique(declared)
        ]
        missing = int((played == 0).sum()) if self.use_all else 0
        max_events = self._max_events(prompt, missing, context, representation)
        max_beats = self._max_beats(prompt, context, representation)
        window = None if self.context == "slide" else context
        has_given = bool((prompt[:, TYPE] == GIVEN_NOTE).any())
        bounds = Bounds(
            max_events,
            max_beats,
            int(self.min_beats),
            prompt.first_beat,
            self.endless,
            controls,
            window,
            reach=representation.reach if has_given else 0,
            length=self.length or _told_length(prompt),
            max_rest=0 if has_given else int(self.max_rest or 0),
            durations=tuple(representation.durations),
        )
        # Each instrument that must still play needs a moment of its own at the end.
        moments = max_beats * representation.resolution
        moments -= int(moment_of(floor_of(prompt, representation.sizes, bounds), representation.sizes))
        if missing > moments:
            raise ValueError(
                f"use_all=True, but {missing} instruments have not played and only {moments} moments (positions) are left "
                f"in the {max_beats} beats; raise max_beats or name fewer instruments"
            )
        # A full piece has the prompt, an instrument, start-of-notes, the owed notes and the end.
        room, counts = min(moments, max_events - len(prompt) - 3), played if len(played) else np.zeros(1, np.int64)
        fitting = (least for least in range(_LEAST_NOTES, 1, -1) if np.maximum(least - counts, 0).sum() <= room)
        return replace(bounds, least_notes=next(fitting, 1))

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
        longer = self.length is not None or max(self.max_beats or 0, self.min_beats) > representation.beats
        # In the paper's grammar a note may repeat for ever, so a limit of beats alone does not end a piece.
        longer &= self._is_strict
        if self.max_events is not None:
            limit = whole("max_events", self.max_events)
        elif self.context != "slide" and (self.endless or longer):
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
        least = whole("min_beats", self.min_beats)
        if self.max_beats is not None:
            limit = whole("max_beats", self.max_beats)
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
            name = "length" if limit == self.length else "max_beats"
            raise ValueError(
                f"{name} is {limit}; with this prompt it must be {f'{lowest} to {beats}' if slide else f'at least {lowest}'}: "
                "it counts from the start of the piece, new_beats from the end of the prompt"
            )
        return limit

    def _window(self, prompt: Prompt, context: int, representation: Representation) -> tuple[Events, int]:
        """The network's window on the prompt (all of it, if it fits and leaves room) and the number of beats before it."""
        beats, reach = representation.beats, representation.reach
        beat = max(places_of(prompt[-1:], reach)[0], prompt.first_beat)
        if self.context == "slide" or (len(prompt) < context and beat <= beats):
            return prompt[-context:], 0
        return anchor(prompt, context, beats, max(beat, prompt.first_beat + 1), reach=reach)


def _merged(given: PerField, default: PerField) -> PerField:
    """What the user gave, with the default for the fields that a mapping does not name."""
    if not isinstance(given, Mapping):
        return default if given is None else given
    return {**(default if isinstance(default, Mapping) else dict.fromkeys(FIELDS, default)), **given}


def _told_length(prompt: Events) -> int:
    """The length in beats in the prompt's start-of-notes; 0 if it has none."""
    return max(int(prompt[prompt[:, TYPE] == START_OF_NOTES, BEAT].max(initial=0)) - 1, 0)
