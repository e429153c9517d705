"""Alternatives that one call of the library writes: a piece in a form, rewritten parts, a new part, other instruments.

With a model that has given notes, `mmt.edit.rewrite` writes any parts in any beats. Otherwise `fill` writes all parts, and
`accompany` some of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmt.representation.codes import BEAT, INSTRUMENT, NOTE, TYPE, Events, is_note
from mmt.representation.encode import frame
from mmt.sampling import editing
from mmt.studio import commands
from mmt.studio.requests import AddPart, Compose, Give, Rewrite
from mmt.studio.tasks import Task, assembled, controls_of, length_of, names_in, opening, sampling_of, within

FILL_CANDIDATES, ACCOMPANY_CANDIDATES = 8, 4
_RECENT = 8
"""Beats: a part that rested for longer seldom sets in again in the middle of a piece."""


def edit(task: Task, seed: int) -> tuple[Events, str]:
    """One alternative, and the command that writes it ("" if none does)."""
    request, representation = task.request, task.model.representation
    if isinstance(request, Compose):
        return _compose(task, request, seed)
    if isinstance(request, Give):
        return _give(task, request, seed)
    playing, parts, span = _region(task)
    if isinstance(request, AddPart) and request.instrument in names_in(within(task.events, *span), representation):
        raise ValueError(f"{request.instrument} plays in these beats already; rewrite it instead")
    keywords = sampling_of(request, task.model) | controls_of(request, parts)
    held = [name for name in playing if name not in parts]
    recent = names_in(within(task.events, span[0] - _RECENT, span[0]), representation)
    arguments: dict[str, Any]
    if representation.given:
        name, arguments = "rewrite", {"beats": span, "instruments": parts}
    elif not held:
        name, arguments = "fill", {"from_beat": span[0], "to_beat": span[1], "candidates": FILL_CANDIDATES}
    else:
        name, arguments = "accompany", {"hold": held, "instruments": parts, "candidates": ACCOMPANY_CANDIDATES}
        if span[0] and not set(parts) & set(recent):
            return _accompany_alone(task, span, arguments, keywords, seed), ""
        arguments["beats"] = span
    written = getattr(editing, name)(task.model, task.events, seed=seed, **arguments, **keywords)[0]
    return written, commands.edit(name, arguments, seed, keywords, task.name)


def _compose(task: Task, request: Compose, seed: int) -> tuple[Events, str]:
    start, names, use_all = opening(task, request)
    keywords = sampling_of(request, task.model) | controls_of(request, names) | use_all
    [written] = editing.compose(task.model, start, request.form, request.section, seed=seed, **keywords)
    return written, commands.generate(request, names, seed, keywords, task.name)


def has_new_notes(task: Task, events: Events) -> bool:
    """Whether an edit wrote something: other notes than before, and some in the parts that were to be written."""
    if isinstance(task.request, Give | Compose):
        return True
    _, parts, span = _region(task)
    notes = task.events[is_note(task.events)]
    is_same = np.array_equal(events[is_note(events)], notes)
    return not is_same and bool(set(parts) & set(names_in(within(events, *span), task.model.representation)))


def _region(task: Task) -> tuple[list[str], list[str], tuple[int, int]]:
    """The instruments that play in the piece, the parts to write, and the beats."""
    request = task.request
    assert isinstance(request, Rewrite | AddPart)
    playing, length = names_in(task.events, task.model.representation), length_of(task.events)
    if not playing:
        raise ValueError("the piece has no notes yet; write it first")
    parts = [request.instrument] if isinstance(request, AddPart) else (request.parts or playing)
    span = (request.from_beat, min(request.to_beat or length, length))
    if not span[0] < span[1]:
        raise ValueError(f"beats {span[0]} to {request.to_beat} are not in the piece, which has {length} beats")
    return playing, parts, span


def _accompany_alone(
    task: Task, span: tuple[int, int], arguments: dict[str, Any], keywords: dict[str, Any], seed: int
) -> Events:
    """Accompany the notes of some beats as if they were a piece, so that parts that rested before set in."""
    representation, (first, stop) = task.model.representation, span
    inside = within(task.events, first, stop).copy()
    held_names = [name for name in arguments["hold"] if name in names_in(inside, representation)]
    if not held_names:
        raise ValueError("no other part plays in these beats; select more beats")
    inside[:, BEAT] -= first
    excerpt = assembled([inside], [], representation)
    written = editing.accompany(task.model, excerpt, seed=seed, **{**arguments, "hold": held_names}, **keywords)[0]
    codes = [representation.find_instrument(name) for name in arguments["instruments"]]
    new = written[is_note(written) & np.isin(written[:, INSTRUMENT], codes)]
    new[:, BEAT] += first
    notes = task.events[is_note(task.events)]
    gone = np.isin(notes[:, INSTRUMENT], codes) & (notes[:, BEAT] > first) & (notes[:, BEAT] <= stop)
    return assembled([notes[~gone], new], [], representation)


def _give(task: Task, request: Give, seed: int) -> tuple[Events, str]:
    representation = task.model.representation
    notes = task.events[is_note(task.events)]
    names = np.array(["", *representation.names])[notes[:, INSTRUMENT]]
    chosen = (notes[:, BEAT] > request.from_beat) & (notes[:, BEAT] <= request.to_beat)
    chosen &= np.isin(names, request.parts) if request.parts else True
    if not chosen.any():
        raise ValueError("no notes are selected; select beats and parts that play")
    keywords = sampling_of(request, task.model) | ({"ranges": True} if request.ranges else {})
    given = editing.reorchestrate(
        task.model, frame(notes[chosen], end=True), request.instruments, seed=seed, **keywords
    )[0]
    whole = assembled([notes[~chosen], given[given[:, TYPE] == NOTE]], task.parts, representation)
    command = ""
    if chosen.all():
        command = commands.edit("reorchestrate", {"instruments": request.instruments}, seed, keywords, task.name)
    return whole, command
