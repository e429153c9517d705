"""Read recipes, YAML files that describe a model and its training, and make the model's configuration from them.

A recipe is given by the name of a shipped one ("paper", "default", "tiny") or as a path.
"""

from __future__ import annotations

import difflib
import os
import reprlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from mmt.model.config import NetworkConfig
from mmt.music.bounded import brief, escaped, parse_yaml, read_file
from mmt.representation.arguments import path_of
from mmt.representation.codes import Representation

_PACKAGE = Path(__file__).resolve().parents[1]
_SUFFIXES = (".yaml", ".yml")
_LARGEST = 2**20  # bytes


def read_recipe(recipe: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a recipe, by the name of a shipped one or the path of a YAML file.

    >>> read_recipe("paper")["network"]["layers"]
    6
    """
    path = path_of(
        "the recipe", recipe, "give its name ('paper', 'default', 'full', 'tiny'), or the path of a .yaml file"
    )
    if path.suffix not in _SUFFIXES:
        folder = shipped("configs")
        path = folder / f"{recipe}.yaml"
        if not path.exists():
            known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
            raise ValueError(f"no recipe is named {str(recipe)!r}; there are {known}, or give the path of a .yaml file")
    content = read_file(path, _LARGEST)
    try:
        values = parse_yaml(content, _Loader)
    except _DuplicateError as error:
        raise ValueError(f"{path}: {brief(error)}") from error
    except ValueError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is not a recipe: a mapping of sections (representation, network, …) was expected")
    return values


def apply_override(values: dict[str, Any], override: str) -> None:
    """Set one entry of a recipe, `section.entry=value` with a YAML value."""
    path, equals, value = override.partition("=")
    *sections, entry = path.split(".")
    if not equals or not entry:
        raise ValueError(f"{override!r} is not an override; write section.entry=value, such as trainer.max_steps=1000")
    for section in sections:
        if values.get(section) is None:
            values[section] = {}
        values = values[section]
        if not isinstance(values, dict):
            raise ValueError(f"{override!r}: {section!r} is a value and has no entries")
    try:
        values[entry] = parse_yaml(value)
    except ValueError as error:
        raise ValueError(f"{reprlib.repr(override)}: the value is not YAML: {error}") from error


def parts_of(recipe: Mapping[str, Any]) -> tuple[Representation, NetworkConfig]:
    """The representation and network configuration of a recipe; the network's sizes follow from the representation."""
    values = mapping_of(recipe.get("representation"), "representation")
    check_entries(values, ["preset", *(field.name for field in fields(Representation))], "representation")
    preset = values.pop("preset", "paper")
    presets = {"paper": Representation(), "slides": Representation.slides()}
    if preset not in presets:
        raise ValueError(f"unknown preset {preset!r} of the representation; choose one of {', '.join(presets)}")
    for name in ("resolution", "beats", "reach"):
        if type(values.get(name, 1)) is not int:
            raise ValueError(f"representation.{name} is {values[name]!r}; it must be a whole number")
    try:
        representation = Representation.from_dict(presets[preset].to_dict() | values)
    except (TypeError, KeyError) as error:
        raise ValueError(f"representation has a value of another type than expected: {brief(error)}") from error
    network = mapping_of(recipe.get("network"), "network")
    check_entries(network, [field.name for field in fields(NetworkConfig)], "network")
    try:
        return representation, NetworkConfig.from_dict(network | {"sizes": representation.sizes})
    except TypeError as error:
        raise ValueError(f"network has a value of another type than expected: {brief(error)}") from error


def mapping_of(section: Any, name: str) -> dict[str, Any]:
    """A copy of a section of a recipe, empty for None; a `ValueError` unless it is a mapping."""
    if section is not None and not isinstance(section, Mapping):
        raise ValueError(f"{name} is {reprlib.repr(section)}; a section of entries was expected")
    return dict(section or {})


def check_entries(values: Iterable[str], known: Sequence[str], section: str) -> None:
    """Raise a `ValueError` for the first unknown entry of a section; the message offers the nearest known one.

    >>> check_entries(["max_step"], ["max_steps", "patience"], "trainer")
    Traceback (most recent call last):
    ValueError: unknown entry trainer.max_step; did you mean max_steps? known are max_steps, patience
    """
    for entry in values:
        if entry not in known:
            given = escaped(str(entry)[:100])
            near = difflib.get_close_matches(given, known, n=1)
            name = f"entry {section}.{given}" if section else f"section {given!r} of the recipe"
            offer = f"did you mean {near[0]}? " if near else ""
            raise ValueError(f"unknown {name}; {offer}known are {', '.join(known)}")


def find_checkpoint(name: str | os.PathLike[str]) -> Path:
    """The folder of a checkpoint, given as a path or as the name of a shipped one ("default"); a path comes first."""
    path = path_of("the model", name, "give 'default', or the path of a checkpoint folder")
    inside = shipped("checkpoints", str(name))
    return inside if inside.is_dir() and not path.exists() else path


def shipped(*parts: str) -> Path:
    """The path of a file or folder that ships with mmt: inside an installed package, or next to it in a checkout."""
    inside = _PACKAGE.joinpath("shipped", *parts)
    return inside if inside.exists() else _PACKAGE.parent.joinpath(*parts)


class _Loader(yaml.SafeLoader):
    """A YAML loader that refuses duplicate entries, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, Hashable):
                break  # an error, which is raised below
            if name in names:
                line = key.start_mark.line + 1
                raise _DuplicateError(f"{name} occurs twice, the second time in line {line}; remove one")
            names.add(name)
        return super().construct_mapping(node, deep)


class _DuplicateError(ValueError):
    """An entry occurs twice."""
