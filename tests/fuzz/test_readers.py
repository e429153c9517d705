"""Reading any file ends with a result or an error of one line, in bounded time and memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import campaign
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmt
from mmt.corpus.sources import find_sources, read_sources
from mmt.music.bounded import parse_json, parse_yaml, read_table
from mmt.training.recipe import recipe_of

FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def test_mutated_files_are_read_or_refused() -> None:
    assert campaign.run(seed=0, count=380, seconds=0, findings=None) == []


def test_every_unchanged_example_is_read() -> None:
    for name, target in campaign.targets().items():
        if name == "weights":  # no weights of a network, so that the file is refused
            continue
        for content in target.seeds:
            assert campaign.attempt_plain(name, content) is None, name


def ends_well(read: Any) -> None:
    message = ""
    try:
        read()
    except (ValueError, OSError) as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 2000


@FEW
@given(st.text() | st.binary())
def test_any_text_is_parsed_or_refused(content: str | bytes) -> None:
    for parse in (parse_json, parse_yaml):
        ends_well(lambda parse=parse: parse(content))
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    ends_well(lambda: list(read_table(data, "here", ("a",))))


@FEW
@given(
    plain=PLAIN, where=st.lists(st.sampled_from(["tracks", "notes", "resolution", "tempos", "metadata"]), max_size=2)
)
def test_any_value_in_a_muspy_file_is_read_or_refused(tmp_path: Path, plain: Any, where: list[str]) -> None:
    content = json.loads(campaign.targets()["json"].seeds[0])
    place: Any = content
    for name in where:
        inner = place.get(name) if isinstance(place, dict) else None
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            place = inner[0]
        elif isinstance(inner, dict):
            place = inner
    if isinstance(place, dict):
        place[where[-1] if where else "tracks"] = plain
    (tmp_path / "a.json").write_text(json.dumps(content))
    ends_well(lambda: mmt.encode(mmt.read(tmp_path / "a.json")))


@FEW
@given(
    section=st.sampled_from(
        ["representation", "network", "data", "optimizer", "trainer", "sampling", "seed", "compat"]
    ),
    entry=st.sampled_from(
        ["resolution", "beats", "layers", "context", "batch_size", "weights", "betas", "temperature", "x"]
    ),
    plain=PLAIN,
)
def test_any_value_in_a_recipe_is_read_or_refused(section: str, entry: str, plain: Any) -> None:
    ends_well(lambda: recipe_of({section: {entry: plain}}))
    ends_well(lambda: recipe_of({section: plain}))


@FEW
@given(content=st.binary(max_size=2000), suffix=st.sampled_from([".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"]))
def test_any_bytes_are_an_archive_or_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(content)
    ends_well(lambda: list(read_sources(find_sources([tmp_path / f"a{suffix}"]))))


@pytest.mark.parametrize("name", ["midi", "zip", "json"])
def test_a_mutation_depends_on_its_seed_only(name: str) -> None:
    one, other = (campaign.mutations(7, [name]) for _ in range(2))
    assert [next(one) for _ in range(20)] == [next(other) for _ in range(20)]
