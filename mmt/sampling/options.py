"""Generation options: the arguments of `Model.generate`, checked and resolved before the first event is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import numpy.typing as npt

from mmt.model.config import NetworkConfig
from mmt.representation.arguments import whole
from mmt.representation.codes import FIELDS, Representation
from mmt.representation.prompt import Prompt, start, tidy
from mmt.sampling.controls import Controls, Pitches, Ranges, Scale
from mmt.sampling.decoding import GRAMMARS, WINDOWS
from mmt.sampling.filters import FILTERS, Filters, PerField, paper_top_k
from mmt.sampling.limits import bounds_of, tell_length


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

    def __post_init__(self) -> None:
        for name in ("min_beats", "max_beats", "new_beats", "max_events", "length", "max_rest"):
            if (number := getattr(self, name)) is not None or name == "min_beats":
                object.__setattr__(self, name, whole(name, number))

    def resolve(
        self,
        prompt: npt.ArrayLike | None,
        config: NetworkConfig,
        representation: Representation,
        defaults: Mapping[str, Any],
    ) -> tuple[Prompt, dict[str, Any]]:
        """Check all options and fill in defaults; returns the tidied prompt and the keyword arguments of `decode_events`."""
        for name, choices in (("sampling", ("default", "paper")), ("context", tuple(WINDOWS))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose {' or '.join(choices)}")
        grammar = self.grammar or ("strict" if self.is_strict else "paper")
        if grammar not in GRAMMARS:
            raise ValueError(f"grammar is {grammar!r}; choose one of {', '.join(GRAMMARS)}")
        if self.use_all and grammar != "strict":
            raise ValueError(f"use_all=True goes with grammar='strict' only, not {grammar!r}")
        beginning = tidy(start() if prompt is None else prompt, representation)
        filters = self.filters(defaults, config.sizes)
        if self.length is not None:
            tell_length(self.length, beginning, representation)
        bounds = bounds_of(self, beginning, config.context, representation, self.rest(defaults))
        return beginning, {
            "filters": filters,
            "bounds": bounds,
            "grammar": grammar,
            "context": self.context,
            "loop_guard": self.guard(defaults),
        }

    @property
    def is_strict(self) -> bool:
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
        usual = defaults.get("max_rest", 0) if self.is_strict and self.sampling != "paper" else 0
        rest = whole("max_rest", usual if self.max_rest is None else self.max_rest)
        if rest < 0 or rest == 1:
            raise ValueError(f"max_rest is {rest}; it must be at least 2 beats, or 0 for no limit")
        if rest and not self.is_strict:
            raise ValueError("max_rest goes with grammar='strict' only, not 'paper'")
        return rest

    def controls(self, representation: Representation) -> Controls:
        """The controls."""
        given = {name: getattr(self, name) for name in ("scale", "allow", "exclude", "ranges", "use_all")}
        return Controls.of(representation, **given)


def _merged(given: PerField, default: PerField) -> PerField:
    """What the user gave, with the default for the fields that a mapping does not name."""
    if not isinstance(given, Mapping):
        return default if given is None else given
    return {**(default if isinstance(default, Mapping) else dict.fromkeys(FIELDS, default)), **given}
