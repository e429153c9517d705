"""Controls of generated notes: pitches, a scale, a range for each instrument, and that each instrument plays.

They are parsed once into a table of which instrument may play which pitch; the grammar turns it into masks. Pitches are MIDI
numbers (60 is middle C) or names (C4, F#3, Bb2); a span is written "C3..C6", both ends included. Controls apply to new events
only; the prompt stays as it is. Drums have no pitch, so only `use_all` applies to them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmt.representation.arguments import described
from mmt.representation.codes import INSTRUMENT, PITCH, PITCHES, Representation
from mmt.representation.instrument_ranges import INSTRUMENT_RANGES

Pitch = int | str
Pitches = Pitch | Iterable[Pitch] | None
Scale = str | Iterable[Pitch] | None
Ranges = bool | Mapping[str, str | tuple[Pitch, Pitch]]

# Steps above the tonic.
_MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
    "melodic minor": (0, 2, 3, 5, 7, 8, 9, 10, 11),  # up and down
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "locrian": (0, 1, 3, 5, 6, 8, 10),
    "pentatonic": (0, 2, 4, 7, 9),
    "minor pentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10),
    "whole tone": (0, 2, 4, 6, 8, 10),
}
_LETTERS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_SIGNS = {"": 0, "#": 1, "##": 2, "♯": 1, "b": -1, "bb": -2, "♭": -1}
_NAME = re.compile(r"([a-g])(##?|bb?|♯|♭)?(-?\d+)?", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Controls:
    """Which instruments may play which pitches, and whether all must play."""

    playable: npt.NDArray[np.bool_] | None = None
    """(pitch codes, instrument codes): true where the instrument may play the pitch. None: all may play everything."""
    use_all: bool = False
    """Whether each declared instrument must play at least once."""
    given: str = ""
    """The arguments of the user, for error messages."""
    ranged: frozenset[int] = frozenset()
    """The codes of the instruments whose ranges the user gave."""

    @classmethod
    def of(
        cls,
        representation: Representation,
        *,
        scale: Scale = None,
        allow: Pitches = None,
        exclude: Pitches = None,
        ranges: Ranges = False,
        use_all: bool = False,
    ) -> Controls:
        """Parse the arguments of the same names of `Model.generate`; a `ValueError` if no pitch is left to sample.

        >>> controls = Controls.of(Representation(), scale="C major", allow="C4..C5")
        >>> np.flatnonzero(controls.playable[:, 25]) - 1
        array([60, 62, 64, 65, 67, 69, 71, 72])
        """
        kept = np.ones(PITCHES, bool)
        if scale is not None:
            kept &= np.isin(np.arange(PITCHES) % 12, scale_classes(scale))
        if allow is not None:
            kept &= _members("allow", allow)
        if exclude is not None:
            kept &= ~_members("exclude", exclude)
        reach = _reach(ranges, representation)
        words = {"scale": scale, "allow": allow, "exclude": exclude, "ranges": ranges or None}
        given = ", ".join(f"{name}={value!r}" for name, value in words.items() if value is not None)
        if not kept.any():
            raise ValueError(f"{given} leaves no pitch to sample")
        if not given:
            return cls(use_all=use_all)
        playable = np.zeros((representation.sizes[PITCH], representation.sizes[INSTRUMENT]), bool)
        playable[1:, 1 : len(representation.instruments) + 1] = kept[:, None] & reach
        if not playable.any():
            raise ValueError(f"{given} leaves no instrument a pitch to sample")
        if representation.drums:
            playable[1:, representation.drums_code] = True
        named = ranges if isinstance(ranges, Mapping) else ()
        return cls(playable, use_all, given, frozenset(map(representation.find_instrument, named)))

    def check_instruments(
        self, codes: Collection[int], representation: Representation, *, no_others: bool = False
    ) -> None:
        """Raise a `ValueError` for instruments that are left without a pitch.

        With `no_others`, no more instruments will be declared, so a range for any other instrument is an error too.
        """
        if no_others and (absent := self.ranged.difference(codes)):
            names = ", ".join(representation.names[code - 1] for code in sorted(codes))
            raise ValueError(
                f"ranges: {representation.names[min(absent) - 1]} is given a range, and has no new notes to play ({names})"
            )
        for code in codes:
            if self.playable is not None and not self.playable[:, code].any():
                name = representation.names[code - 1]
                raise ValueError(
                    f"{self.given} leaves {name} no pitch to sample; widen it, or leave {name} out of the instruments"
                )


def scale_classes(scale: str | Iterable[Pitch]) -> list[int]:
    """The pitch classes (0 … 11, 0 is C) of a scale, given by tonic and mode or as pitch classes.

    >>> scale_classes("a harmonic minor")
    [0, 2, 4, 5, 8, 9, 11]
    >>> scale_classes("C, E, G"), scale_classes([0, 4, 7])
    ([0, 4, 7], [0, 4, 7])
    """
    if isinstance(scale, str) and "," not in scale:
        tonic, _, mode = scale.strip().partition(" ")
        mode = " ".join(mode.lower().replace("-", " ").split()) or ("major" if tonic[:1].isupper() else "minor")
        match = _NAME.fullmatch(tonic)
        if not match or match[3] or mode not in _MODES:
            raise ValueError(
                f"scale is {scale!r}; give a tonic and a mode ({', '.join(_MODES)}), such as 'C major', or pitch classes"
            )
        return sorted({(_class_of(match) + step) % 12 for step in _MODES[mode]})
    return sorted({_pitch_class(item) for item in _items("scale", scale)})


def _items(name: str, given: Pitch | Iterable[Pitch]) -> list[Pitch]:
    """The pitches or spans of an argument, which is one or several of them, or a text with commas."""
    if isinstance(given, str):
        return list(given.split(","))
    is_wrong = isinstance(given, Mapping | Iterator | bytes | bool) or (
        isinstance(given, np.ndarray) and given.ndim != 1
    )
    items: list[Any] = list(given) if isinstance(given, Iterable) and not is_wrong else [given]
    if is_wrong or not all(isinstance(item, str | int | np.integer) for item in items):
        raise ValueError(f"{name} is {described(given)}; give names or whole numbers, one or a list of them")
    return items


def _pitch_class(item: Pitch) -> int:
    match = _NAME.fullmatch(item.strip()) if isinstance(item, str) else None
    if match and not match[3]:
        return _class_of(match) % 12
    number = int(item) if isinstance(item, int | np.integer) or item.strip().isdecimal() else -1
    if 0 <= number < 12:
        return number
    raise ValueError(f"scale: {item!r} is not a pitch class; give names such as F#, or 0 (C) to 11 (B)")


def _class_of(match: re.Match[str]) -> int:
    return _LETTERS[match[1].lower()] + _SIGNS[(match[2] or "").lower()]


def _members(name: str, given: Pitch | Iterable[Pitch]) -> npt.NDArray[np.bool_]:
    """Mask of the given pitches, (128,): one or several, each a number, a name or a span."""
    chosen = np.zeros(PITCHES, bool)
    for item in _items(name, given):
        ends = item.split("..", 1) if isinstance(item, str) else [item]
        chosen |= _span(name, ends[0], ends[-1])
    return chosen


def _span(name: str, low: Pitch, high: Pitch) -> npt.NDArray[np.bool_]:
    first, last = _pitch(name, low), _pitch(name, high)
    if first > last:
        raise ValueError(f"{name}: {low}..{high} is empty; give the lower pitch first")
    pitches = np.arange(PITCHES)
    return (first <= pitches) & (pitches <= last)


def _pitch(name: str, given: Pitch) -> int:
    """The MIDI number (0 … 127) of a pitch that is given as a number or a name (C4 is 60)."""
    text = given.strip() if isinstance(given, str) else given
    match = _NAME.fullmatch(text) if isinstance(text, str) else None
    if match and match[3]:
        number = 12 * (int(match[3]) + 1) + _class_of(match)
    elif isinstance(text, int | np.integer) or text.isdecimal():
        number = int(text)
    else:
        raise ValueError(f"{name}: {given!r} is not a pitch; give a MIDI number, a name such as F#3, or a span C3..C6")
    if not 0 <= number < PITCHES:
        raise ValueError(f"{name}: pitch {given} is out of range; MIDI pitches are 0 to 127 (C-1 to G9)")
    return number


def _reach(ranges: Ranges, representation: Representation) -> npt.NDArray[np.bool_]:
    """Mask of the pitches in each instrument's range, (pitches, instruments), without the drums."""
    if not isinstance(ranges, bool | np.bool_ | Mapping) and ranges is not None:
        raise ValueError(f"ranges is {described(ranges)}; give True, or a mapping such as {{'violin': 'G3..E7'}}")
    if ranges and not isinstance(ranges, Mapping):
        ranges = {name: span for name, span in INSTRUMENT_RANGES.items() if name in representation.names}
    reach = np.ones((PITCHES, len(representation.instruments)), bool)
    for name, given in (ranges or {}).items():
        if (code := representation.find_instrument(name)) == representation.drums_code:
            raise ValueError(f"ranges: {name} is given {given!r}, but drums have no pitch; leave them out of ranges")
        ends = given.split("..", 1) if isinstance(given, str) else given
        is_sequence = isinstance(ends, Sequence | np.ndarray) and len(ends) == 2
        if not is_sequence or not all(isinstance(end, str | int | np.integer) for end in ends):
            raise ValueError(f"ranges: {name} is {described(given)}; give its lowest and highest pitch, such as G3..E7")
        reach[:, code - 1] = _span(f"ranges of {name}", *ends)
    return reach
