"""The configuration of a network: invalid values, limits, defaults and the JSON round trip."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mmt.model.config import NetworkConfig


def test_json_round_trip() -> None:
    config = NetworkConfig((5, 10, 13, 129, 33, 65), dim=24, positions="rotary", output="chain", dropout=0.0)
    assert NetworkConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_missing_entries_have_the_values_of_the_paper() -> None:
    assert NetworkConfig.from_dict({}) == NetworkConfig()
    assert NetworkConfig.from_dict({"dim": 64}) == NetworkConfig(dim=64)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"sizes": (5, 257, 13, 129, 33)},
            r"sizes must be six numbers of at least 2 codes, not \(5, 257, 13, 129, 33\)",
        ),
        ({"sizes": (5, 257, 13, 129, 33, 1)}, "sizes must be six numbers of at least 2 codes"),
        ({"dim": 0}, "dim is 0; it must be a whole number of at least 1"),
        ({"dim": "5e2"}, "dim is 5e2; it must be a whole number of at least 1"),
        ({"layers": -1}, "layers is -1; it must be a whole number of at least 1"),
        ({"heads": 2.0}, r"heads is 2\.0; it must be a whole number of at least 1"),
        ({"head_dim": 0}, "head_dim is 0; it must be a whole number of at least 1"),
        ({"context": 4}, "context is 4; the shortest piece has 5 events"),
        ({"context": None}, "context is None; the shortest piece has 5 events"),
        ({"positions": "relative"}, "positions is 'relative'; choose one of absolute, rotary, time, none"),
        ({"output": "parallel"}, "output is 'parallel'; choose one of independent, chain, mixed"),
        ({"positions": "rotary", "head_dim": 15}, "15 rotary dimensions in a head of 15"),
        ({"positions": "time", "head_dim": 18}, "time positions need a multiple of 4"),
        ({"qk_norm": "yes"}, "qk_norm is 'yes'; it must be true or false"),
        ({"zero_init": 0}, "zero_init is 0; it must be true or false"),
        ({"dropout": 1}, "dropout is 1; it must be at least 0 and below 1"),
        ({"dropout": -0.1}, r"dropout is -0\.1; it must be at least 0 and below 1"),
        ({"dropout": "some"}, "dropout is some; it must be at least 0 and below 1"),
        ({"width": 3}, "unknown entry 'width' in the network; known are sizes, dim, layers"),
    ],
)
def test_invalid_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NetworkConfig.from_dict(values)


@pytest.mark.parametrize("values", [{"head_dim": 15}, {"context": 5}, {"dropout": 0}, {"dropout": 0.999}])
def test_values_at_the_limits_are_valid(values: dict[str, Any]) -> None:
    NetworkConfig(**values)
