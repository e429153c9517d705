"""Macros of an ABC tune: `m:` fields, which stand for the notes of ornaments (ABC standard 2.1, chapter 9).

A static macro such as `m: ~G3 = G{A}G{F}G` replaces its text. In a transposing macro such as `m: ~n3 = n{o}n{m}n`, `n` is any
note without an accidental, and the letters `h` to `z` of the replacement are notes by their distance from it.
"""

from __future__ import annotations

import re

# The standard's limits are 31 and 200 characters.
_LONGEST_TARGET, _LONGEST_REPLACEMENT = 31, 200
_MOST_MACROS = 100
_MOST_WORK = 50_000_000  # characters of music times those of the macros that are searched in it
_COMPILING = 5_000  # what it costs to compile a macro, in the same unit
_MOST_EXPANDED = 1 << 20  # characters that all macros of a tune are replaced by

_TRANSPOSING = re.compile(r"(.*)n([\d/]*)")
_RELATIVE = re.compile(r'("[^"]*"|![^!\s]*!)|[h-z]')
_STEPS = "CDEFGAB"
# Texts, decorations and fields, in which nothing is replaced. Each ends before another one begins, so that time is linear.
_KEPT = r'"[^"]*"|![^!\s]*!|\[[A-Za-z]:[^][]*\]'


class Macros:
    """The macros of a tune.

    >>> macros = Macros()
    >>> macros.define("~n3 = n{o}n{m}n")
    >>> macros.expand("~G3 c'3|")
    "G{A}G{F}G c'3|"
    """

    def __init__(self) -> None:
        self._replacements: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None
        self._targets: list[str] = []
        self._expanded = self._work = 0

    def define(self, text: str) -> None:
        """Read an `m:` field; one that is no macro is ignored, and so are those after the hundredth."""
        target, _, replacement = (part.strip() for part in text.partition("="))
        if not 0 < len(target) <= _LONGEST_TARGET or not 0 < len(replacement) <= _LONGEST_REPLACEMENT:
            return
        if target in self._replacements or len(self._replacements) < _MOST_MACROS:
            self._replacements[target] = replacement
            self._pattern = None

    def expand(self, line: str) -> str:
        """Replace the macros in a line of music, longer ones first; what replaces them is not searched again.

        A `ValueError` refuses macros that are replaced by more text, or need a longer search, than those of tunes.
        """
        if not self._replacements:
            return line
        self._work += len(line) * sum(map(len, self._replacements))
        self._work += 0 if self._pattern else _COMPILING * len(self._replacements)
        if self._work > _MOST_WORK:
            raise ValueError("its macros take too long to replace")
        if self._pattern is None:
            self._targets = sorted(self._replacements, key=len, reverse=True)
            self._pattern = re.compile("|".join([_KEPT, *map(_target_pattern, self._targets)]))
        return self._pattern.sub(self._replace, line)

    def _replace(self, found: re.Match[str]) -> str:
        if found.lastindex is None:
            return found[0]
        target = self._targets[found.lastindex - 1]
        text = self._replacements[target]
        if _TRANSPOSING.fullmatch(target):
            place = _position(found[found.lastindex])
            text = _RELATIVE.sub(lambda one: one[1] or _note(place + ord(one[0]) - ord("n")), text)
        self._expanded += len(text)
        if self._expanded > _MOST_EXPANDED:
            raise ValueError(f"its macros make more than {_MOST_EXPANDED:,} characters")
        return text


def _target_pattern(target: str) -> str:
    """A pattern with one group: the note of a transposing macro, or all of a static one."""
    end = r"(?![\d/,'])" if target[-1].isalnum() or target[-1] in "/,'" else ""  # no other length or octave
    if found := _TRANSPOSING.fullmatch(target):
        return f"{re.escape(found[1])}([A-Ga-g](?>[,']*)){re.escape(found[2])}{end}"
    return f"({re.escape(target)}){end}"


def _position(note: str) -> int:
    """The steps of a note above `C`."""
    octave = note[0].islower() + note.count("'") - note.count(",")
    return _STEPS.index(note[0].upper()) + 7 * octave


def _note(position: int) -> str:
    octave, step = divmod(position, 7)
    return _STEPS[step].lower() + "'" * (octave - 1) if octave > 0 else _STEPS[step] + "," * -octave
