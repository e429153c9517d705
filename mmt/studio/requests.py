"""The bodies of the API's requests: dataclasses that check what a client sends and describe themselves as JSON Schema.

Beats are counted from 0; `to_beat` is the beat after the last. Parts and instruments are names ("english-horn").
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

MOST_ALTERNATIVES = 8
MOST_BEATS = 512
MOST_INSTRUMENTS = 16
MOST_NOTES = 50_000
_LAST_BEAT = 100_000

Request = TypeVar("Request")


class BadRequestError(ValueError):
    """A body that does not fit; its message goes to the client."""


@dataclass(frozen=True)
class About:
    """What a field means, and its limits: of a number, or of the length of a text or list."""

    text: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How new notes are drawn; all are optional."""

    alternatives: Annotated[int, About("How many alternatives to write.", low=1, high=MOST_ALTERNATIVES)] = 4
    seed: Annotated[
        int | None, About("Alternative i draws from seed + i. Default: a random seed.", low=0, high=2**53 - 1)
    ] = None
    boldness: Annotated[
        float, About("0 (timid) to 100 (wild); 50 is the model's own temperature.", low=0, high=100)
    ] = 50.0
    temperature: Annotated[float | None, About("Instead of boldness.", low=0.05, high=5)] = None
    top_k: Annotated[int | None, About("Draw among the k likeliest codes.", low=1, high=1000)] = None
    top_p: Annotated[float | None, About("Draw among the likeliest codes of this probability.", low=0.01, high=1)] = (
        None
    )
    min_p: Annotated[
        float | None, About("Draw among codes at least this share as likely as the likeliest.", low=0, high=1)
    ] = None
    scale: Annotated[str | None, About('Such as "D minor" or "C,E,G".', high=60)] = None
    allow: Annotated[str | None, About('Only these pitches, such as "C3..C6".', high=200)] = None
    ranges: Annotated[bool, About("Keep to what real instruments can play.")] = True
    own_ranges: Annotated[
        dict[str, str], About('Ranges of single instruments instead, such as {"violin": "G3..E6"}.')
    ] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NewPiece:
    """A new, empty piece."""

    instruments: Annotated[
        list[str], About('Names of instruments or ensembles ("string trio").', high=MOST_INSTRUMENTS)
    ] = field(default_factory=list)
    title: Annotated[str, About("", low=1, high=200)] = "Untitled"


@dataclass(frozen=True, kw_only=True)
class Whole(Sampling):
    """A whole piece."""

    instruments: Annotated[
        list[str], About("Default: those of the piece; if it has none, the model chooses.", high=MOST_INSTRUMENTS)
    ] = field(default_factory=list)
    use_all: Annotated[bool, About("Every instrument plays.")] = True


@dataclass(frozen=True, kw_only=True)
class Write(Whole):
    """Write a piece for its instruments from scratch."""

    beats: Annotated[int, About("Length in beats.", low=1, high=MOST_BEATS)] = 32


@dataclass(frozen=True, kw_only=True)
class Compose(Whole):
    """Write a piece in sections, some of which return."""

    form: Annotated[str, About('A letter for each section, such as "ABA".', low=1, high=26)] = "ABA"
    section: Annotated[int, About("Length of a section in beats.", low=5, high=MOST_BEATS)] = 16


@dataclass(frozen=True, kw_only=True)
class Continue(Sampling):
    """Keep the notes before a beat and continue from there."""

    beat: Annotated[int, About("Where the new notes begin.", low=1, high=_LAST_BEAT)]
    beats: Annotated[int, About("How many beats to write.", low=1, high=MOST_BEATS)] = 16


@dataclass(frozen=True, kw_only=True)
class Rewrite(Sampling):
    """Rewrite some parts in some beats; every other note stays."""

    from_beat: Annotated[int, About("", low=0, high=_LAST_BEAT)]
    to_beat: Annotated[int, About("", low=1, high=_LAST_BEAT)]
    parts: Annotated[list[str], About("Default: all parts.", high=MOST_INSTRUMENTS)] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class AddPart(Sampling):
    """Write a part for one more instrument; every other note stays."""

    instrument: Annotated[str, About("An instrument that does not play in these beats.", low=1, high=60)]
    from_beat: Annotated[int, About("", low=0, high=_LAST_BEAT)] = 0
    to_beat: Annotated[int | None, About("Default: the end of the piece.", low=1, high=_LAST_BEAT)] = None


@dataclass(frozen=True, kw_only=True)
class Give(Sampling):
    """Give the notes of some parts in some beats to other instruments."""

    instruments: Annotated[list[str], About("Who plays the notes.", low=1, high=MOST_INSTRUMENTS)]
    from_beat: Annotated[int, About("", low=0, high=_LAST_BEAT)]
    to_beat: Annotated[int, About("", low=1, high=_LAST_BEAT)]
    parts: Annotated[list[str], About("Default: all parts.", high=MOST_INSTRUMENTS)] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Notes:
    """Change notes by hand: remove some, add others, in one step that can be undone."""

    revision: Annotated[int, About("The piece's revision that the change is based on.", low=0)]
    remove: Annotated[list[int], About("Indices in the piece's notes.", high=MOST_NOTES)] = field(default_factory=list)
    add: Annotated[
        list[list[int]], About("Rows of onset, duration (both in steps), pitch, instrument code.", high=MOST_NOTES)
    ] = field(default_factory=list)
    what: Annotated[str, About("A word for the history.", low=1, high=60)] = "edited by hand"


@dataclass(frozen=True, kw_only=True)
class Details:
    """Change the title or the tempo."""

    revision: Annotated[int, About("The piece's revision that the change is based on.", low=0)]
    title: Annotated[str | None, About("", low=1, high=200)] = None
    tempo: Annotated[float | None, About("Quarter notes per minute.", low=10, high=400)] = None


@dataclass(frozen=True, kw_only=True)
class Keep:
    """Keep one of the alternatives as the piece's next version."""

    alternative: Annotated[int, About("Its number, from 0.", low=0, high=MOST_ALTERNATIVES - 1)]


@dataclass(frozen=True, kw_only=True)
class Go:
    """Go to an earlier or later version."""

    version: Annotated[int, About("Its place in the history, from 0.", low=0)]


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How the parts are heard."""

    volumes: Annotated[dict[str, float], About("Volumes of parts, 0 to 1.")] = field(default_factory=dict)
    muted: Annotated[list[str], About("Parts that are muted.", high=100)] = field(default_factory=list)
    solo: Annotated[list[str], About("Parts that play alone.", high=100)] = field(default_factory=list)


def parse(kind: type[Request], body: Any) -> Request:
    """A request of this kind from a JSON value; a `BadRequestError` names the field that does not fit."""
    if not isinstance(body, Mapping):
        raise BadRequestError("the body must be a JSON object")
    known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind, include_extras=True)
    if unknown := [name for name in body if name not in known]:
        raise BadRequestError(f"{unknown[0]!r} is unknown; choose among {', '.join(known)}")
    values = {}
    for name, one in known.items():
        if name in body:
            values[name] = _checked(name, body[name], *get_args(hints[name]))
        elif one.default is MISSING and one.default_factory is MISSING:
            raise BadRequestError(f"{name} is missing")
    return kind(**values)


def _checked(name: str, value: Any, hint: Any, about: About) -> Any:
    hint, optional = _without_none(hint)
    if value is None and optional:
        return None
    if not _fits(value, hint):
        raise BadRequestError(f"{name} must be {_described(hint)}")
    measured = len(value) if isinstance(value, str | list | dict) else value
    low, high = about.low, about.high
    if (low is not None and measured < low) or (high is not None and measured > high):
        span = f"{low if low is not None else 0:,} to {high:,}" if high is not None else f"{low:,} or more"
        what = "have a length of" if isinstance(value, str | list | dict) else "be"
        raise BadRequestError(f"{name} must {what} {span}")
    return float(value) if hint is float else value


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_fits(one, get_args(hint)[0]) for one in value)
    if get_origin(hint) is dict:
        return (
            isinstance(value, dict)
            and len(value) <= 100
            and all(_fits(one, get_args(hint)[1]) for one in value.values())
        )
    if hint in (int, float):
        # A number such as 1e400 is read as infinity, and NaN compares with nothing.
        kinds = int if hint is int else int | float
        return isinstance(value, kinds) and not isinstance(value, bool) and abs(value) <= 2**53
    return isinstance(value, hint)


def _described(hint: Any) -> str:
    if get_origin(hint) is list:
        return f"a list, each {_described(get_args(hint)[0])}"
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    return names.get(hint, "a mapping")


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (Union, types.UnionType):
        return next(one for one in get_args(hint) if one is not types.NoneType), True
    return hint, False


def schema(kind: type[Any]) -> dict[str, Any]:
    """The JSON Schema of a request."""
    hints = get_type_hints(kind, include_extras=True)
    properties, required = {}, []
    for one in fields(kind):
        annotated, about = get_args(hints[one.name])
        hint, optional = _without_none(annotated)
        found = _schema_of(hint)
        names = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}
        below, above = names.get(found["type"], ("minimum", "maximum"))
        found |= {below: about.low} if about.low is not None else {}
        found |= {above: about.high} if about.high is not None else {}
        found |= {"description": about.text} if about.text else {}
        if optional:
            found["type"] = [found["type"], "null"]
        if one.default is MISSING and one.default_factory is MISSING:
            required.append(one.name)
        else:
            found["default"] = one.default if one.default_factory is MISSING else one.default_factory()
        properties[one.name] = found
    return {"type": "object", "description": kind.__doc__, "properties": properties, "required": required}


def _schema_of(hint: Any) -> dict[str, Any]:
    if get_origin(hint) is list:
        return {"type": "array", "items": _schema_of(get_args(hint)[0])}
    if get_origin(hint) is dict:
        return {"type": "object", "additionalProperties": _schema_of(get_args(hint)[1])}
    return {"type": {int: "integer", float: "number", str: "string", bool: "boolean"}[hint]}
