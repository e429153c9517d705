"""Recipes are found by name or path, and their model section becomes a configuration."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mmt.model.config import NetworkConfig
from mmt.model.recipes import parts_of, read_recipe, shipped
from mmt.representation.codes import Representation


def test_the_recipe_of_the_paper_describes_the_network_of_the_paper() -> None:
    representation, network = parts_of(read_recipe("paper"))
    assert representation == dataclasses.replace(Representation(), beats=256)
    assert network == NetworkConfig()


def test_every_shipped_recipe_describes_a_model() -> None:
    names = sorted(path.stem for path in shipped("configs").glob("*.yaml"))
    assert {"default", "paper", "tiny"} <= set(names)
    for name in names:
        representation, network = parts_of(read_recipe(name))
        assert network.sizes == representation.sizes


def test_a_recipe_is_read_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text("representation: {preset: slides, beats: 7}\nnetwork: {dim: 8}\n", encoding="utf-8")
    representation, network = parts_of(read_recipe(path))
    assert representation == dataclasses.replace(Representation.slides(), beats=7)
    assert network == NetworkConfig(representation.sizes, dim=8)
    assert read_recipe(str(path)) == read_recipe(path)


def test_an_empty_section_is_the_default() -> None:
    assert parts_of({"network": None}) == (Representation(), NetworkConfig(Representation().sizes))


def test_the_error_for_an_unknown_name_lists_the_shipped_recipes() -> None:
    with pytest.raises(ValueError, match=r"no recipe is named 'papper'; there are default, .*paper, .*\.yaml file"):
        read_recipe("papper")


def test_a_path_that_does_not_exist_is_refused() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        read_recipe("nowhere.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", "is not YAML: "),
        (
            b"trainer:\n  max_steps: 1\nseed: 1\ntrainer:\n  patience: 1\n",
            "trainer occurs twice, the second time in line 4",
        ),
        (b"a: b: c", "is not YAML: "),
        (b"\xff\xfe\xff", "is not YAML: "),
        (b"", "is not a recipe: a mapping of sections"),
        (b"- a\n- b\n", "is not a recipe: a mapping of sections"),
        (b"word", "is not a recipe: a mapping of sections"),
    ],
)
def test_a_file_that_is_not_a_recipe_is_named_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (
            {"representation": {"preset": "paperr"}},
            "unknown preset 'paperr' of the representation; choose one of paper",
        ),
        ({"representation": {"bars": 4}}, "unknown entry representation.bars"),
        ({"network": {"depth": 4}}, "unknown entry network.depth"),
        ({"network": {"dim": 0}}, "dim is 0"),
        ({"network": "big"}, "network is 'big'; a section of entries was expected"),
        ({"representation": [1]}, r"representation is \[1\]; a section of entries was expected"),
    ],
)
def test_invalid_model_sections_are_refused(recipe: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parts_of(recipe)
