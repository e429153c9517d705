from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from mmt.studio import requests
from mmt.studio.requests import BadRequestError, Notes, Rewrite, Write, parse, schema


def test_defaults_fill_what_is_left_out() -> None:
    found = parse(Rewrite, {"from_beat": 4, "to_beat": 8})
    assert (found.from_beat, found.to_beat, found.alternatives, found.seed, found.parts) == (4, 8, 4, None, [])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "must be a JSON object"),
        ({"from_beat": 4}, "to_beat is missing"),
        ({"from_beat": 4, "to_beat": 8, "path": "/etc"}, "'path' is unknown"),
        ({"from_beat": 4.5, "to_beat": 8}, "from_beat must be a whole number"),
        ({"from_beat": True, "to_beat": 8}, "from_beat must be a whole number"),
        ({"from_beat": -1, "to_beat": 8}, "from_beat must be 0 to 100,000"),
        ({"from_beat": 4, "to_beat": 8, "alternatives": 9}, "alternatives must be 1 to 8"),
        ({"from_beat": 4, "to_beat": 8, "boldness": float("nan")}, "boldness must be a number"),
        ({"from_beat": 4, "to_beat": 8, "boldness": float("inf")}, "boldness must be a number"),
        ({"from_beat": 4, "to_beat": 8, "parts": ["violin", 3]}, "parts must be a list, each a text"),
        ({"from_beat": 4, "to_beat": 8, "parts": ["violin"] * 17}, "parts must have a length of 0 to 16"),
        ({"from_beat": 4, "to_beat": 8, "own_ranges": {"violin": 3}}, "own_ranges must be a mapping"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_with_its_reason(body: Any, message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        parse(Rewrite, body)


def test_nested_lists_are_checked() -> None:
    assert parse(Notes, {"revision": 1, "add": [[0, 12, 60, 25]]}).add == [[0, 12, 60, 25]]
    with pytest.raises(BadRequestError, match="add must be a list"):
        parse(Notes, {"revision": 1, "add": [[0, 12, "60", 25]]})


KINDS = [one for one in vars(requests).values() if dataclasses.is_dataclass(one) and isinstance(one, type)]


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_describe_every_field(kind: type[Any]) -> None:
    described = schema(kind)
    assert set(described["properties"]) == {one.name for one in dataclasses.fields(kind)}
    json.dumps(described)


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_have_the_type_of_their_field_and_are_within_its_limits(kind: type[Any]) -> None:
    needed = {"from_beat": 4, "to_beat": 8, "beat": 4, "revision": 1, "alternative": 0, "version": 0}
    needed |= {"instrument": "violin", "instruments": ["violin"]}
    shown = schema(kind)
    body = {name: needed[name] for name in shown["required"]}
    body |= {name: one["default"] for name, one in shown["properties"].items() if name not in shown["required"]}
    assert parse(kind, body) == parse(kind, {name: needed[name] for name in shown["required"]})


def test_schemas_tell_limits() -> None:
    assert schema(Write)["properties"]["beats"]["maximum"] == requests.MOST_BEATS
