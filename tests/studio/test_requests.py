from __future__ import annotations

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


def test_schemas_describe_every_field() -> None:
    kinds = [one for one in vars(requests).values() if isinstance(one, type) and one.__module__ == requests.__name__]
    for kind in kinds:
        if kind.__doc__ and hasattr(kind, "__dataclass_fields__"):
            described = schema(kind)
            assert set(described["properties"]) == set(kind.__dataclass_fields__)
            json.dumps(described)
    assert schema(Write)["properties"]["beats"]["maximum"] == requests.MOST_BEATS
