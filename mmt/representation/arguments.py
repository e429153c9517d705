"""Checks of arguments that are easily of the wrong kind: whole numbers, numbers, paths, and how an error describes a value."""

from __future__ import annotations

import math
import operator
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

AnyPath = str | PathLike[str]

_LONGEST = 60


def whole(name: str, value: Any, *, least: int | None = None) -> int:
    """The value as an int; a `ValueError` unless it is a whole number, of at least `least`.

    >>> whole("beats", 4, least=1)
    4
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} is {described(value)}; it must be a whole number") from None
    if least is not None and number < least:
        raise ValueError(f"{name} is {number}; it must be at least {least}")
    return number


def finite(name: str, value: Any) -> float:
    """The value as a float; a `ValueError` unless it is a finite number."""
    try:
        number = float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} is {described(value)}; it must be a finite number")
    return number


def path_of(name: str, value: Any, instead: str = "give a path") -> Path:
    """The value as a path; a `ValueError` if it is something else, with what to do `instead`."""
    if not isinstance(value, str | PathLike):
        raise ValueError(f"{name} is {described(value)}; {instead}")
    return Path(value)


def described(value: Any) -> str:
    """A value in an error: itself if it is short, else its kind.

    >>> described("4"), described(np.int64(4)), described([[0] * 6] * 100)
    ("'4'", '4', 'a list of 100')
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int) and value.bit_length() > 200:
        return "a very large number"
    if hasattr(value, "tracks"):
        return "a muspy.Music"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    kind = type(value).__name__
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"a {'tensor' if kind == 'Tensor' else 'NumPy array'} {tuple(value.shape)}"
    if isinstance(value, PathLike):
        return repr(str(value))
    if value is None or isinstance(value, bool | str | bytes | Real):
        text = repr(value)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
    if isinstance(value, list | tuple | set | dict):
        plain = all(isinstance(one, bool | str | Real) or one is None for one in value)
        text = repr(value) if plain and not isinstance(value, dict) else ""
        return text if text and len(text) <= _LONGEST else f"a {kind} of {len(value)}"
    return f"{'an' if kind[0].lower() in 'aeio' else 'a'} {kind}"
