"""Remember which representation an array of events was made with; the array itself stays a plain one.

An array of events does not say what its codes mean: position 7 is half a beat at 12 steps per beat, and a quarter at 24. What
makes events remembers the representation here (until the array is deleted), and what reads them compares. Slices are known too,
as they share the memory of the array; copies, lists and files are not.
"""

from __future__ import annotations

import weakref
from typing import Any, TypeVar

import numpy as np

from mmt.representation.codes import Representation

Array = TypeVar("Array", bound=np.ndarray[Any, Any])

# By id of the array that owns the memory.
_ORIGINS: dict[int, tuple[weakref.ref[Any], Representation]] = {}
# What a code means depends on these. Other options add codes, which are out of range without them.
_MEANING = ("resolution", "durations", "instruments")


def remember(events: Array, representation: Representation) -> Array:
    """Remember the representation of an array of events, and return the array."""
    owner, pop = _owner(events), _ORIGINS.pop
    key = id(owner)
    _ORIGINS[key] = (weakref.ref(owner, lambda _: pop(key, None)), representation)
    return events


def check_origin(events: Any, representation: Representation) -> Representation:
    """The representation that events were made with if it is known, else the given one.

    A `ValueError` is raised if codes have another meaning in the given one.
    """
    known = _ORIGINS.get(id(_owner(events))) if isinstance(events, np.ndarray) else None
    if known is None:
        return representation
    for name in _MEANING:
        theirs, ours = getattr(known[1], name), getattr(representation, name)
        if theirs != ours:
            values = f" ({theirs}, not {ours})" if name == "resolution" else ""
            raise ValueError(
                f"the events were made with another {name} of the representation{values}; give the one that they were made "
                "with (representation=…), or use a model of it"
            )
    return known[1]


def _owner(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array that owns the memory of a view."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
