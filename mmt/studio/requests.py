"""The bodies of the API's requests: dataclasses that check what a client sends and describe themselves as JSON Schema.

Beats are counted from 0; `to_beat` is the beat after the last. Parts and instruments are names ("english-horn").
"""

# ruff: noqa: RUF009 (what `about` returns is a field of a dataclass, not a default that all objects share)
from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

MOST_ALTERNATIVES = 8
MOST_BEATS = 512
MOST_INSTRUMENTS = 16
MOST_NOTES = 50_000
_LAST_BEAT = 100_000

Request = TypeVar("Request")


class BadRequestError(ValueError):
    """A body that does not fit; its message goes to the client."""


def about(text: str, default: Any = MISSING, *, low: float | None = None, high: float | None = None) -> Any:
    """A field of a request; required without a `default`, which may be `list` or `dict` for a new empty one.

    `text` says what the field means. `low` and `high` limit a number, or the length of a text or list.
    """
    metadata = {"text": text, "low": low, "high": high}
    if default is list or default is dict:
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How new notes are drawn; all are optional."""

    alternatives: int = about("How many alternatives to write.", 4, low=1, high=MOST_ALTERNATIVES)
    seed: int | None = about("Alternative i draws from seed + i. Default: a random seed.", None, low=0, high=2**53 - 1)
    boldness: float = about("0 (timid) to 100 (wild); 50 is the model's own temperature.", 50.0, low=0, high=100)
    temperature: float | None = about("Instead of boldness.", None, low=0.05, high=5)
    top_k: int | None = about("Draw among the k likeliest codes.", None, low=1, high=1000)
    top_p: float | None = about("Draw among the likeliest codes of this probability.", None, low=0.01, high=1)
    min_p: float | None = about("Draw among codes at least this share as likely as the likeliest.", None, low=0, high=1)
    scale: str | None = about('Such as "D minor" or "C,E,G".', None, high=60)
    allow: str | None = about('Only these pitches, such as "C3..C6".', None, high=200)
    ranges: bool = about("Keep to what real instruments can play.", True)
    own_ranges: dict[str, str] = about('Ranges of single instruments instead, such as {"violin": "G3..E6"}.', dict)


@dataclass(frozen=True, kw_only=True)
class NewPiece:
    """A new, empty piece."""

    instruments: list[str] = about('Names of instruments or ensembles ("string trio").', list, high=MOST_INSTRUMENTS)
    title: str = about("", "Untitled", low=1, high=200)


@dataclass(frozen=True, kw_only=True)
class Whole(Sampling):
    """A whole piece."""

    instruments: list[str] = about(
        "Default: those of the piece; if it has none, the model chooses.", list, high=MOST_INSTRUMENTS
    )
    use_all: bool = about("Every instrument plays.", True)


@dataclass(frozen=True, kw_only=True)
class Write(Whole):
    """Write a piece for its instruments from scratch."""

    beats: int = about("Length in beats.", 32, low=1, high=MOST_BEATS)


@dataclass(frozen=True, kw_only=True)
class Compose(Whole):
    """Write a piece in sections, some of which return."""

    form: str = about('A letter for each section, such as "ABA".', "ABA", low=1, high=26)
    section: int = about("Length of a section in beats.", 16, low=5, high=MOST_BEATS)


@dataclass(frozen=True, kw_only=True)
class Continue(Sampling):
    """Keep the notes before a beat and continue from there."""

    beat: int = about("Where the new notes begin.", low=1, high=_LAST_BEAT)
    beats: int = about("How many beats to write.", 16, low=1, high=MOST_BEATS)


@dataclass(frozen=True, kw_only=True)
class Rewrite(Sampling):
    """Rewrite some parts in some beats; every other note stays."""

    from_beat: int = about("", low=0, high=_LAST_BEAT)
    to_beat: int = about("", low=1, high=_LAST_BEAT)
    parts: list[str] = about("Default: all parts.", list, high=MOST_INSTRUMENTS)


@dataclass(frozen=True, kw_only=True)
class AddPart(Sampling):
    """Write a part for one more instrument; every other note stays."""

    instrument: str = about("An instrument that does not play in these beats.", low=1, high=60)
    from_beat: int = about("", 0, low=0, high=_LAST_BEAT)
    to_beat: int | None = about("Default: the end of the piece.", None, low=1, high=_LAST_BEAT)


@dataclass(frozen=True, kw_only=True)
class Give(Sampling):
    """Give the notes of some parts in some beats to other instruments."""

    instruments: list[str] = about("Who plays the notes.", low=1, high=MOST_INSTRUMENTS)
    from_beat: int = about("", low=0, high=_LAST_BEAT)
    to_beat: int = about("", low=1, high=_LAST_BEAT)
    parts: list[str] = about("Default: all parts.", list, high=MOST_INSTRUMENTS)


@dataclass(frozen=True, kw_only=True)
class Notes:
    """Change notes by hand: remove some, add others, in one step that can be undone."""

    revision: int = about("The piece's revision that the change is based on.", low=0)
    remove: list[int] = about("Indices in the piece's notes.", list, high=MOST_NOTES)
    add: list[list[int]] = about(
        "Rows of onset, duration (both in steps), pitch, instrument code.", list, high=MOST_NOTES
    )
    what: str = about("A word for the history.", "edited by hand", low=1, high=60)


@dataclass(frozen=True, kw_only=True)
class Details:
    """Change the title or the tempo."""

    revision: int = about("The piece's revision that the change is based on.", low=0)
    title: str | None = about("", None, low=1, high=200)
    tempo: float | None = about("Quarter notes per minute.", None, low=10, high=400)


@dataclass(frozen=True, kw_only=True)
class Keep:
    """Keep one of the alternatives as the piece's next version."""

    alternative: int = about("Its number, from 0.", low=0, high=MOST_ALTERNATIVES - 1)


@dataclass(frozen=True, kw_only=True)
class Go:
    """Go to an earlier or later version."""

    version: int = about("Its place in the history, from 0.", low=0)


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How the parts are heard."""

    volumes: dict[str, float] = about("Volumes of parts, 0 to 1.", dict)
    muted: list[str] = about("Parts that are muted.", list, high=100)
    solo: list[str] = about("Parts that play alone.", list, high=100)


def parse(kind: type[Request], body: Any) -> Request:
    """A request of this kind from a JSON value; a `BadRequestError` names the field that does not fit."""
    if not isinstance(body, Mapping):
        raise BadRequestError("the body must be a JSON object")
    known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    if unknown := [name for name in body if name not in known]:
        raise BadRequestError(f"{unknown[0]!r} is unknown; choose among {', '.join(known)}")
    values = {}
    for name, one in known.items():
        if name in body:
            values[name] = _checked(name, body[name], hints[name], one.metadata["low"], one.metadata["high"])
        elif _is_required(one):
            raise BadRequestError(f"{name} is missing")
    return kind(**values)


def _is_required(one: Field[Any]) -> bool:
    return one.default is MISSING and one.default_factory is MISSING


def _checked(name: str, value: Any, hint: Any, low: float | None, high: float | None) -> Any:
    hint, optional = _without_none(hint)
    if value is None and optional:
        return None
    if not _fits(value, hint):
        raise BadRequestError(f"{name} must be {_described(hint)}")
    measured, what = (len(value), "have a length of") if isinstance(value, str | list | dict) else (value, "be")
    if (low is not None and measured < low) or (high is not None and measured > high):
        span = f"{low or 0:,} to {high:,}" if high is not None else f"{low:,} or more"
        raise BadRequestError(f"{name} must {what} {span}")
    return float(value) if hint is float else value


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_fits(one, get_args(hint)[0]) for one in value)
    if get_origin(hint) is dict:
        kind = get_args(hint)[1]
        return isinstance(value, dict) and len(value) <= 100 and all(_fits(one, kind) for one in value.values())
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
    hints, limits = get_type_hints(kind), {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}
    properties = {}
    for one in fields(kind):
        hint, optional = _without_none(hints[one.name])
        found = _schema_of(hint)
        below, above = limits.get(found["type"], ("minimum", "maximum"))
        told = {below: one.metadata["low"], above: one.metadata["high"], "description": one.metadata["text"] or None}
        found |= {name: value for name, value in told.items() if value is not None}
        if optional:
            found["type"] = [found["type"], "null"]
        if not _is_required(one):
            found["default"] = one.default if one.default_factory is MISSING else one.default_factory()
        properties[one.name] = found
    required = [one.name for one in fields(kind) if _is_required(one)]
    return {"type": "object", "description": kind.__doc__, "properties": properties, "required": required}


def _schema_of(hint: Any) -> dict[str, Any]:
    if get_origin(hint) is list:
        return {"type": "array", "items": _schema_of(get_args(hint)[0])}
    if get_origin(hint) is dict:
        return {"type": "object", "additionalProperties": _schema_of(get_args(hint)[1])}
    return {"type": {int: "integer", float: "number", str: "string", bool: "boolean"}[hint]}
