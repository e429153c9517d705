"""Patterns that choose pieces by where they come from."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from fnmatch import translate


class Patterns:
    """Patterns with `*` for anything, capitals or not, each of which must match something in the end.

    >>> patterns = Patterns(["*chopin*"])
    >>> patterns.match("mazurka.mid", "Chopin, Frédéric"), patterns.match("mazurka.mid", "")
    (True, False)
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._matchers = {pattern: re.compile(translate(pattern), re.IGNORECASE).match for pattern in patterns}
        self._unused = dict.fromkeys(patterns)

    def match(self, *texts: str) -> bool:
        """Whether a pattern matches one of the texts: the name, source, licence and composer of a piece."""
        used = [pattern for pattern, matches in self._matchers.items() if any(map(matches, texts))]
        for pattern in used:
            self._unused.pop(pattern, None)
        return bool(used)

    def check(self, where: str, verb: str = "excludes", hint: str = "") -> None:
        """Raise a `ValueError` if a pattern has matched nothing yet; `verb` says what patterns are for, `hint` what to do."""
        for pattern in self._unused:
            near = "" if "*" in pattern else f"; a part of one is matched by {f'*{glob.escape(pattern)}*'!r}"
            raise ValueError(
                f"{pattern!r} {verb} nothing: no name, source, licence or composer in {where} is like it{near}{hint}"
            )
