"""The job of a request: it writes alternatives of a piece.

Alternative i draws from the seed + i, so that each can be written again by a command (`commands`). `Write` and `Continue` write
all alternatives at once, event by event; the edits write one alternative after the other.
"""

from __future__ import annotations

import secrets
import time
from functools import partial
from typing import Any

import numpy as np

from mmt.representation import prompt
from mmt.representation.codes import END_OF_SONG, TYPE, Events, is_note
from mmt.sampling.decoding import decode_events
from mmt.sampling.editing.parts import END
from mmt.sampling.options import GenerationOptions
from mmt.sampling.streams import streams_of
from mmt.studio import commands
from mmt.studio.edits import edit, has_new_notes
from mmt.studio.requests import Continue, Give, Write
from mmt.studio.scores import rows_of
from mmt.studio.tasks import Task, controls_of, history_entry, length_of, names_in, opening, sampling_of
from mmt.studio.work import Job

_TRIES = 4
"""How often an alternative is written at most, on average, until it has new notes and differs from the others."""
_EVENTS_PER_BEAT = 120
"""Far more than music has: a bound for a model that repeats itself."""
_FLUSH = 0.05
"""Seconds between two messages about new notes."""


def run(job: Job, task: Task) -> None:
    """Write the alternatives of a task."""
    request, representation = task.request, task.model.representation
    first = secrets.randbits(31) if request.seed is None else request.seed
    seeds = [first + number for number in range(request.alternatives)]
    if isinstance(request, Give) and len(request.instruments) == 1:
        seeds = seeds[:1]  # there is nothing to choose
    job.say(type="begin", seeds=seeds)
    if isinstance(request, Write | Continue):
        _stream(job, task, seeds)
        return
    further = iter(range(first + len(seeds), first + _TRIES * len(seeds)))
    seen: set[bytes] = set()
    for number, seed in enumerate(seeds):
        drawn = seed
        events, command = job.interruptibly(partial(edit, task, drawn))
        # The model may let the parts rest, or write the same again: that is no alternative.
        while events.tobytes() in seen or not has_new_notes(task, events):
            if (other := next(further, None)) is None:
                break
            drawn = other
            events, command = job.interruptibly(partial(edit, task, drawn))
        seen.add(events.tobytes())
        task.finish(number, events, history_entry(task, drawn, command))
        job.say(type="alternative", alternative=number, notes=rows_of(events, representation))


def _stream(job: Job, task: Task, seeds: list[int]) -> None:
    request, model = task.request, task.model
    assert isinstance(request, Write | Continue)
    beginning, names, options = _beginning(task)
    keywords = sampling_of(request, model) | controls_of(request, names) | options
    most = len(beginning) + _EVENTS_PER_BEAT * request.beats
    allowed = {**keywords, "max_events": most} if most > model.network.config.context else keywords
    chosen = GenerationOptions(**allowed)
    start, settings = chosen.resolve(beginning, model.network.config, model.representation, model.sampling)
    pieces, shown = [[np.asarray(start)] for _ in seeds], [0 for _ in seeds]
    going, flushed = set(range(len(seeds))), 0.0

    def show(row: int) -> None:
        """Say which notes are new."""
        new = rows_of(np.concatenate(pieces[row][shown[row] :] or [pieces[row][0][:0]]), model.representation)
        shown[row] = len(pieces[row])
        if new:
            job.say(type="notes", alternative=row, notes=new)

    def finish(row: int, events: Events) -> None:
        show(row)
        # Where the limit of events made no difference, the command is shorter without it.
        limits = keywords if len(events) < model.network.config.context else allowed
        command = commands.generate(request, names, seeds[row], limits, task.name)
        task.finish(row, events, history_entry(task, seeds[row], command))
        job.say(type="alternative", alternative=row)

    for rows, events in decode_events(model.network, [start] * len(seeds), streams_of(1, seeds), **settings):
        is_late = time.monotonic() - flushed > _FLUSH
        for row, event in zip(rows, events, strict=True):
            pieces[row].append(event[None])
            if is_late:
                show(row)
            if event[TYPE] == END_OF_SONG:
                finish(row, np.concatenate(pieces[row]))
                going.discard(row)
        if is_late:
            flushed = time.monotonic()
        if job.is_stopped:
            break
    for row in sorted(going):
        # What was written so far can be kept.
        events = np.concatenate([*pieces[row], END])
        if is_note(events).any():
            finish(row, events)
    job.check()


def _beginning(task: Task) -> tuple[prompt.Prompt, list[str], dict[str, Any]]:
    """The prompt, the instruments that play, and the limits of length."""
    request, representation = task.request, task.model.representation
    if isinstance(request, Write):
        start, names, use_all = opening(task, request)
        beats = request.beats
    else:
        assert isinstance(request, Continue)
        start = prompt.beats(task.events, min(request.beat, length_of(task.events)), representation=representation)
        names, use_all, beats = names_in(task.events, representation), {}, start.first_beat + request.beats
    if representation.length:
        return start, names, {"length": beats, "max_beats": beats, **use_all}
    return start, names, {"min_beats": beats, "max_beats": beats, **use_all}
