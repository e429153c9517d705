"""The task of a job: a request for a piece, the keywords of the library for it, and functions of pieces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mmt.representation import prompt
from mmt.representation.codes import BEAT, INSTRUMENT, Events, Representation, is_note
from mmt.representation.encode import canonical
from mmt.representation.instrument_ranges import INSTRUMENT_RANGES
from mmt.sampling.editing.parts import END, header_for
from mmt.sampling.model import Model
from mmt.studio.requests import Sampling, Whole

Finish = Callable[[int, Events, dict[str, Any]], None]


@dataclass(frozen=True)
class Task:
    """A request for a piece, with all that its job needs."""

    model: Model
    name: str
    """Of the model, as the command takes it; "" for the shipped one."""
    events: Events
    parts: list[str]
    request: Sampling
    finish: Finish
    """Called with the number, events and origin of each alternative that is complete."""


def history_entry(task: Task, seed: int, command: str) -> dict[str, Any]:
    """How an alternative was made, for the history."""
    about = about_request(task.request)
    what = _SAID[about["kind"]].format(**about["settings"])
    return {"what": what, **about, "seed": seed, "model": task.name or "default", "command": command}


def about_request(request: Sampling) -> dict[str, Any]:
    """The kind of a request and its settings, without those that were left out."""
    settings = {name: value for name, value in asdict(request).items() if value not in (None, [], {}, "")}
    return {"kind": type(request).__name__, "settings": settings}


_SAID = {
    "Write": "written",
    "Compose": "written as {form}",
    "Continue": "continued",
    "Rewrite": "rewritten",
    "AddPart": "part added",
    "Give": "instruments changed",
}


def opening(task: Task, request: Whole) -> tuple[prompt.Prompt, list[str], dict[str, Any]]:
    """How a new piece begins: the prompt, its instruments, and `use_all` as a keyword of the library, if it applies."""
    names = request.instruments or task.parts
    representation = task.model.representation
    start = prompt.instruments(*names, representation=representation) if names else prompt.start()
    return start, names, {"use_all": True} if request.use_all and names else {}


def sampling_of(request: Sampling, model: Model) -> dict[str, Any]:
    """The filters of a request, as keywords of the library."""
    temperature: Any = request.temperature
    if temperature is None and request.boldness != 50:
        usual, factor = model.sampling.get("temperature") or 1.0, 2 ** ((request.boldness - 50) / 66)
        if isinstance(usual, dict):
            temperature = {name: round(value * factor, 3) for name, value in usual.items()}
        else:
            temperature = round(usual * factor, 3)
    filters = {"temperature": temperature, "top_k": request.top_k, "top_p": request.top_p, "min_p": request.min_p}
    return {name: value for name, value in filters.items() if value is not None}


def controls_of(request: Sampling, names: list[str]) -> dict[str, Any]:
    """Scale, pitches and ranges of a request, as keywords of the library; `names` are the instruments that get new notes."""
    ranges: Any = request.ranges
    if request.own_ranges:
        own = {name: span for name, span in request.own_ranges.items() if name in names}
        real = {name: "..".join(map(str, INSTRUMENT_RANGES[name])) for name in names if name in INSTRUMENT_RANGES}
        ranges = (real if request.ranges else {}) | own
    chosen = {"scale": request.scale, "allow": request.allow, "ranges": ranges}
    return {name: value for name, value in chosen.items() if value}


def assembled(notes: list[Events], parts: list[str], representation: Representation) -> Events:
    """A piece of these notes; it declares the instruments that play, and `parts`."""
    together = canonical(np.concatenate(notes), representation)
    codes = set(together[:, INSTRUMENT].tolist()) | {representation.find_instrument(name) for name in parts}
    if not codes:
        return np.concatenate([prompt.start(), END])
    header = header_for(sorted(codes), representation)
    return np.concatenate([np.asarray(header), together, END])


def names_in(events: Events, representation: Representation) -> list[str]:
    """The instruments that play, in the order of their codes."""
    codes = np.unique(events[is_note(events), INSTRUMENT])
    return [representation.names[code - 1] for code in codes]


def length_of(events: Events) -> int:
    """The number of beats: one more than the beat of the last onset; 0 without notes."""
    return int(events[is_note(events), BEAT].max(initial=0))


def within(events: Events, first: int, stop: int) -> Events:
    """The notes that begin in the beats from `first` to before `stop`."""
    return events[is_note(events) & (events[:, BEAT] > first) & (events[:, BEAT] <= stop)]
