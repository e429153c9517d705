"""Remember which representation an array of events was made with; the array itself stays a plain one.

An array of events does not say what its codes mean: position 7 is half a beat at 12 steps per beat, and a quarter at 24.
Functions that make events record the representation here until the array is deleted, and functions that read events compare it
with theirs. Slices are known too, as they share the memory of the array. An array that is equal to a known one, such as a copy,
causes a warning. Lists, parts of copies, joined arrays and events from files are not known.
"""

from __future__ import annotations

import sys
import warnings
import weakref
from typing import Any, TypeVar

import numpy as np

from mmt.representation.arguments import described
from mmt.representation.codes import NOTE, TYPE, Representation

Array = TypeVar("Array", bound=np.ndarray[Any, Any])

# By id of the array that owns the memory.
_ORIGINS: dict[int, tuple[weakref.ref[Any], Representation]] = {}
# What a code means depends on these. Other options add codes, which are out of range without them.
_MEANING = ("resolution", "durations", "instruments")
_HINT = "give the one that they were made with (representation=…), or use a model of it"


class OtherRepresentationWarning(UserWarning):
    """Events are read with a representation in which their codes probably mean something else."""


def remember(events: Array, representation: Representation) -> Array:
    """Remember the representation of an array of events, and return the array."""
    owner = _owner(events)
    key, pop = id(owner), _ORIGINS.pop
    _ORIGINS[key] = (weakref.ref(owner, lambda _: pop(key, None)), representation)
    return events


def check_origin(events: Any, representation: Representation) -> Representation:
    """The representation that events were made with if it is known, else the given one.

    A `ValueError` is raised if codes have another meaning in the given one; for a copy, which may be so by chance, a warning.
    """
    check_representation(representation)
    if not isinstance(events, np.ndarray):
        return representation
    known = _ORIGINS.get(id(_owner(events)))
    if known is None:
        differences = [_difference(one, representation) for one in _equals(events)]
        if differences and all(differences):
            warnings.warn(
                f"the events are equal to an array that was made with another {differences[0]}; {_HINT}",
                OtherRepresentationWarning,
                stacklevel=_level_outside(),
            )
        return representation
    if other := _difference(known[1], representation):
        raise ValueError(f"the events were made with another {other}; {_HINT}")
    return known[1]


def _level_outside() -> int:
    """The stack level, for `warnings.warn` in the calling function, of the first frame outside mmt."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "mmt":
        level, frame = level + 1, frame.f_back
    return level


def _difference(theirs: Representation, ours: Representation) -> str:
    """In what the meaning of codes differs: "resolution of the representation (24, not 12)"; "" if it is the same."""
    for name in _MEANING:
        if getattr(theirs, name) != getattr(ours, name):
            values = f" ({theirs.resolution}, not {ours.resolution})" if name == "resolution" else ""
            return f"{name} of the representation{values}"
    return ""


def _equals(events: np.ndarray[Any, Any]) -> list[Representation]:
    """The representations of the known arrays that are equal to this one and have notes."""
    known = ((ref(), representation) for ref, representation in list(_ORIGINS.values()))
    return [
        theirs
        for array, theirs in known
        if array is not None
        and array.shape == events.shape
        and (array == events).all()
        and (array[:, TYPE] >= NOTE).any()
    ]


def check_representation(representation: Any) -> None:
    """Raise a `ValueError` if this is no `Representation`."""
    if not isinstance(representation, Representation):
        raise ValueError(
            f"representation is {described(representation)}; give an mmt.Representation, such as model.representation"
        )


def _owner(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array that owns the memory of a view."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
