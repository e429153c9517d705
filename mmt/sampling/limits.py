"""The limits of a piece that follow from the options and the prompt: numbers of events and beats, and notes that must come."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

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
    last_beat,
)
from mmt.representation.prompt import Prompt
from mmt.sampling.grammar import Bounds, floor_of, moment_of
from mmt.sampling.window import anchor, places_of

if TYPE_CHECKING:
    from mmt.sampling.options import GenerationOptions

# No limit of events or beats in practice; the largest beat of the note table.
_FOREVER = 2**31 - 1
# With `use_all`, each instrument plays at least this many notes.
_LEAST_NOTES = 4
# A piece with a given length ends in the last beats of that length, this many.
_LAST_BEATS = 4


def tell_length(length: int, prompt: Prompt, representation: Representation) -> None:
    """Write the length of the piece in beats into the prompt's start-of-notes."""
    if not representation.length:
        raise ValueError(
            "length is given, but the model's representation has no length codes (length=True); use min_beats and max_beats"
        )
    if length < 1:
        raise ValueError(f"length is {length}; it must be at least 1 beat")
    prompt[prompt[:, TYPE] == START_OF_NOTES, BEAT] = representation.length_code(length)


def bounds_of(
    options: GenerationOptions, prompt: Prompt, context: int, representation: Representation, max_rest: int
) -> Bounds:
    """The limits of a piece that continues a prompt; `context` is the number of events in the network's window."""
    options = _with_length(_with_max_beats(options, prompt))
    if prompt[-1, TYPE] == END_OF_SONG:
        raise ValueError("the prompt already ends; continue a whole piece with mmt.prompt.beats(piece)")
    controls = options.controls(representation)
    types, notes = prompt[:, TYPE], prompt[is_note(prompt)]
    declared = prompt[types == INSTRUMENT_EVENT, INSTRUMENT]
    no_others = bool((types >= START_OF_NOTES).any())
    controls.check_instruments(declared.tolist(), representation, no_others=no_others)
    played = np.bincount(notes[:, INSTRUMENT], minlength=representation.sizes[INSTRUMENT])[declared]
    missing = int((played == 0).sum()) if options.use_all else 0
    has_given = bool((types == GIVEN_NOTE).any())
    told = max(int(prompt[types == START_OF_NOTES, BEAT].max(initial=0)) - 1, 0)
    bounds = Bounds(
        max_events=_max_events(options, prompt, missing, context, representation),
        max_beats=_max_beats(options, prompt, context, representation),
        min_beats=options.min_beats,
        first_beat=prompt.first_beat,
        endless=options.endless,
        controls=controls,
        context=None if options.context == "slide" else context,
        reach=representation.reach if has_given else 0,
        # The prompt holds at most the largest length code.
        length=options.length or told,
        max_rest=0 if has_given else max_rest,
        durations=tuple(representation.durations),
    )
    # Each instrument that must still play needs a moment of its own at the end.
    moments = bounds.max_beats * representation.resolution
    moments -= int(moment_of(floor_of(prompt, representation.sizes, bounds), representation.sizes))
    if missing > moments:
        raise ValueError(
            f"use_all=True, but {missing} instruments have not played and only {moments} moments (positions) are left "
            f"in the {bounds.max_beats} beats; raise max_beats or name fewer instruments"
        )
    # A full piece has the prompt, an instrument, start-of-notes, the owed notes and the end.
    room, counts = min(moments, bounds.max_events - len(prompt) - 3), played if len(played) else np.zeros(1, np.int64)
    fitting = (least for least in range(_LEAST_NOTES, 1, -1) if np.maximum(least - counts, 0).sum() <= room)
    return replace(bounds, least_notes=next(fitting, 1))


def _with_max_beats(options: GenerationOptions, prompt: Prompt) -> GenerationOptions:
    """The same options, with `max_beats` in place of `new_beats`."""
    if options.new_beats is None:
        return options
    if options.max_beats is not None:
        raise ValueError(
            f"max_beats is {options.max_beats} and new_beats {options.new_beats}; give one of them: max_beats counts from the "
            "start of the piece, new_beats from the end of the prompt"
        )
    if options.new_beats < 1:
        raise ValueError(f"new_beats is {options.new_beats}; it must be at least 1")
    begun = max(last_beat(prompt), prompt.first_beat)
    return replace(options, max_beats=begun + options.new_beats, new_beats=None)


def _with_length(options: GenerationOptions) -> GenerationOptions:
    """The same options, with the `min_beats` and `max_beats` that follow from `length`."""
    if options.length is None or options.endless or options.context == "slide":
        return options
    most = max(options.length, options.min_beats) if options.max_beats is None else options.max_beats
    least = options.min_beats or max(min(options.length - _LAST_BEATS + 1, most), 0)
    return replace(options, min_beats=least, max_beats=most)


def _max_events(
    options: GenerationOptions, prompt: Prompt, missing: int, context: int, representation: Representation
) -> int:
    kind, header = min(int(prompt[-1, TYPE]), NOTE), int((prompt[:, TYPE] < NOTE).sum())
    # The shortest piece from this prompt still needs an instrument and start-of-notes, notes, and the end.
    to_notes = (2, 1, 0, 0)[kind]
    needed = len(prompt) + to_notes + max(missing, 0 if kind == NOTE else 1) + 1
    slide = options.context == "slide"
    if not slide and header + to_notes + 2 > context:
        raise ValueError(
            f"the prompt has {header} events before its notes, too many for the model's context of {context}; "
            "name fewer instruments"
        )
    longer = options.length is not None or max(options.max_beats or 0, options.min_beats) > representation.beats
    if options.max_events is not None:
        limit = options.max_events
    # In the paper's grammar a note may repeat for ever, so a limit of beats alone does not end a piece.
    elif not slide and (options.endless or (longer and options.is_strict)):
        limit = _FOREVER
    else:
        # Until the network's window, which may start after the prompt's start, is full.
        limit = max(context + len(prompt) - len(_window(options, prompt, context, representation)[0]), needed)
    if limit < needed:
        everyone = f" and {missing} instruments that must play (use_all)" if missing else ""
        raise ValueError(
            f"max_events is {limit}; with this prompt of {len(prompt)} events{everyone} it must be at least {needed}"
        )
    return limit


def _max_beats(options: GenerationOptions, prompt: Prompt, context: int, representation: Representation) -> int:
    beats, slide = representation.beats, options.context == "slide"
    if slide and (most := last_beat(prompt)) > beats:
        raise ValueError(
            f"the prompt has {most} beats, more than the model's {beats}, which context='slide' counts on; "
            "continue from fewer beats (--beats), or with context='anchor'"
        )
    dropped = _window(options, prompt, context, representation)[1]
    least = options.min_beats
    if options.max_beats is not None:
        limit = options.max_beats
    elif slide:
        limit = beats
    elif options.endless or (options.max_events or 0) > context:
        limit = _FOREVER
    else:
        limit = max(beats + dropped, least)
    if not 0 <= least <= limit:
        raise ValueError(f"min_beats is {least}; it must be 0 to {limit}, the most beats of the piece")
    if beats == 1 and not slide:
        # A window of one beat never moves, since it would lose all its notes: it is the prompt's last beat or the next one.
        limit = min(limit, max(prompt.first_beat, dropped) + 1)
    # After a note the piece may end at once; otherwise at least one note must still fit.
    last, written = max(places_of(prompt, representation.reach)), prompt[-1, TYPE] >= NOTE
    lowest = max(1, last if written else max(last, prompt.first_beat + 1))
    if limit < lowest or (slide and limit > beats):
        name = "length" if limit == options.length else "max_beats"
        raise ValueError(
            f"{name} is {limit}; with this prompt it must be {f'{lowest} to {beats}' if slide else f'at least {lowest}'}: "
            "it counts from the start of the piece, new_beats from the end of the prompt"
        )
    return limit


def _window(
    options: GenerationOptions, prompt: Prompt, context: int, representation: Representation
) -> tuple[Events, int]:
    """The network's window on the prompt (all of it, if it fits and leaves room) and the number of beats before it."""
    beats, reach = representation.beats, representation.reach
    beat = max(places_of(prompt[-1:], reach)[0], prompt.first_beat)
    if options.context == "slide" or (len(prompt) < context and beat <= beats):
        return prompt[-context:], 0
    return anchor(prompt, context, beats, max(beat, prompt.first_beat + 1), reach=reach)
