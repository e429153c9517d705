"""Ensembles by the names that people use ("string quartet"), and the names in `--instruments` and `mmt.prompt.instruments`.

A representation has one part for each instrument: both violins of a string quartet are one part.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from mmt.representation.codes import PAPER, Representation, plain_name
from mmt.representation.instruments import DRUMS

ENSEMBLES: dict[str, tuple[str, ...]] = {
    "string trio": ("violin", "viola", "cello"),
    "string quartet": ("violin", "viola", "cello"),
    "string quintet": ("violin", "viola", "cello", "contrabass"),
    "string orchestra": ("violin", "viola", "cello", "contrabass"),
    "violin and piano": ("violin", "piano"),
    "cello and piano": ("cello", "piano"),
    "flute and piano": ("flute", "piano"),
    "flute and harp": ("flute", "harp"),
    "flute and guitar": ("flute", "nylon-string-guitar"),
    "clarinet and piano": ("clarinet", "piano"),
    "piano trio": ("piano", "violin", "cello"),
    "piano quartet": ("piano", "violin", "viola", "cello"),
    "piano quintet": ("piano", "violin", "viola", "cello"),
    "clarinet trio": ("clarinet", "cello", "piano"),
    "clarinet quintet": ("clarinet", "violin", "viola", "cello"),
    "wind trio": ("oboe", "clarinet", "bassoon"),
    "wind quartet": ("flute", "oboe", "clarinet", "bassoon"),
    "wind quintet": ("flute", "oboe", "clarinet", "horn", "bassoon"),
    "saxophone quartet": ("soprano-saxophone", "alto-saxophone", "tenor-saxophone", "baritone-saxophone"),
    "brass trio": ("trumpet", "horn", "trombone"),
    "brass quartet": ("trumpet", "horn", "trombone"),
    "brass quintet": ("trumpet", "horn", "trombone", "tuba"),
    "brass band": ("trumpet", "horn", "trombone", "tuba"),
    "voice and piano": ("voices", "piano"),
    "voice and guitar": ("voices", "nylon-string-guitar"),
    "choir and organ": ("voices", "church-organ"),
    "choir and strings": ("voices", "strings"),
    "choir and orchestra": (
        "voices", "flute", "oboe", "bassoon", "horn", "trumpet", "timpani", "violin", "viola", "cello", "contrabass",
    ),
    "baroque ensemble": ("recorder", "violin", "cello", "harpsichord"),
    "chamber orchestra": ("flute", "oboe", "bassoon", "horn", "violin", "viola", "cello", "contrabass"),
    "orchestra": (
        "flute", "oboe", "clarinet", "bassoon", "horn", "trumpet", "timpani", "violin", "viola", "cello", "contrabass",
    ),
    "jazz trio": ("piano", "bass", DRUMS),
    "jazz quartet": ("alto-saxophone", "piano", "bass", DRUMS),
    "jazz band": ("alto-saxophone", "trumpet", "trombone", "piano", "bass", DRUMS),
    "rock band": ("electric-guitar", "electric-bass", "organ", "voices", DRUMS),
    "pop band": ("voices", "piano", "steel-string-guitar", "electric-bass", DRUMS),
}  # fmt: skip
"""The instruments of each ensemble. Drums are left out in a representation without them."""

_JOINED = re.compile(r"\s*(?:\+|&|\band\b|\bwith\b)\s*", re.IGNORECASE)
_ENSEMBLE_OF = {plain_name(name): parts for name, parts in ENSEMBLES.items()}


def find_instruments(name: str | int, representation: Representation = PAPER) -> list[int]:
    """The codes of an instrument or ensemble, given by its name.

    An ensemble is a key of `ENSEMBLES`, or names joined by "and", "with", "+" or "&". For an instrument see
    `Representation.find_instrument`.

    >>> [PAPER.names[code - 1] for code in find_instruments("string quartet")]
    ['violin', 'viola', 'cello']
    >>> find_instruments("choir + organ") == [PAPER.find_instrument("voices"), PAPER.find_instrument("organ")]
    True
    """
    if parts := _ENSEMBLE_OF.get(plain_name(str(name))):
        return [representation.find_instrument(part) for part in parts if part != DRUMS or representation.drums]
    try:
        return [representation.find_instrument(name)]
    except ValueError:
        joined = [part for part in _JOINED.split(str(name)) if part]
        if len(joined) < 2:
            raise
        return [code for part in joined for code in find_instruments(part, representation)]


def split_names(text: str, representation: Representation = PAPER) -> list[str]:
    """The names in a line of text, separated by commas, or by spaces if each of them is known.

    >>> split_names("alto saxophone, string trio"), split_names("violin viola french horn")
    (['alto saxophone', 'string trio'], ['violin', 'viola', 'french horn'])
    """
    names = []
    for part in filter(None, map(str.strip, text.split(","))):
        names += [part] if _is_known(part, representation) else _split_words(part.split(), representation) or [part]
    return names


def merged(names: Iterable[str | int], representation: Representation = PAPER) -> tuple[list[str], list[str]]:
    """The instruments that names of instruments and ensembles stand for, each once, and those that are named repeatedly.

    >>> merged(["violin", "string trio"])
    (['violin', 'viola', 'cello'], ['violin'])
    """
    codes = (code for name in names for code in find_instruments(name, representation))
    counts = Counter(representation.names[code - 1] for code in codes)
    return list(counts), [name for name, count in counts.items() if count > 1]


def _is_known(name: str, representation: Representation) -> bool:
    try:
        return bool(find_instruments(name, representation))
    except ValueError:
        return False


def _split_words(words: Sequence[str], representation: Representation) -> list[str]:
    """The words grouped into known names, the longest first; an empty list if that fails."""
    for length in range(len(words), 0, -1):
        name, rest = " ".join(words[:length]), words[length:]
        if _is_known(name, representation):
            later = _split_words(rest, representation)
            if later or not rest:
                return [name, *later]
    return []
