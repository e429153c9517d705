"""Values in an ABC tune: key, meter, length, tempo, clef, order of parts (ABC standard 2.1, chapters 3 and 4).

Times and lengths are integers in ticks, of which a quarter note has `BEAT`. Usual tuplets are exact, and fractions cannot grow
without limit.
"""

from __future__ import annotations

import re
from typing import NamedTuple

BEAT = 2**7 * 3**2 * 5 * 7 * 11 * 13
_WHOLE = 4 * BEAT
_MOST_PARTS = 1000
_DEEPEST = 20  # nested parentheses

_FRACTION = re.compile(r"(\d{1,4})\s*/\s*(\d{1,4})")
_KEY = re.compile(r"([A-G])([#b♯♭]?)\s*(maj|ion|mix|dor|min|aeo|phr|loc|lyd|m(?![a-z]))?[a-z]*", re.IGNORECASE)
_ACCIDENTAL = re.compile(r"(?<![\w=])(\^\^?|__?|=)([A-Ga-g])(?!\w)")
_QUOTED = re.compile(r'"[^"]*"')
_QUOTED_CLEF = re.compile(r'clef\s*=\s*"([^"]*)"')
_CLEF = re.compile(
    r"(?:clef\s*=\s*(?P<sign>[GCF])?|(?<!\S))(?(sign)|"
    r"(?P<name>treble|mezzosoprano|mezzo|soprano|alto|tenor|baritone|bass|perc|none|auto))\d?(?![a-z])"
    r"(?:(?P<octaves>[+-])(?P<by>8|15))?"
)
_NUMBER = re.compile(r"(?<!\S)(octave|transpose|t)\s*=\s*([+-]?\d{1,3})(?!\d)")
_NAME = re.compile(r"""(?<!\S)(?:name|nm)\s*=\s*(?:"([^"]*)"|(\S+))""")
_PART = re.compile(r"([A-Za-z])|([()])|(\d+)")

_TONICS = {"F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5}
_MODES = {"maj": 0, "ion": 0, "mix": -1, "dor": -2, "min": -3, "m": -3, "aeo": -3, "phr": -4, "loc": -5, "lyd": 1}
_SIGNS = {"#": 7, "♯": 7, "b": -7, "♭": -7}
ALTERATIONS = {"^": 1, "^^": 2, "_": -1, "__": -2, "=": 0}


# A written length; atomic, so that a pattern around it takes linear time.
LENGTH = r"(?>\d*/*\d*)"
_LENGTH_PARTS = re.compile(r"(\d*)(/*)(\d*)")
NOTE = rf"(?:(?:\^{{1,2}}|_{{1,2}}|=)(?:\d?/\d?)?)?[A-Ga-g][,']*{LENGTH}"
_NOTE_PARTS = re.compile(r"([\^_=]*)((?:\d?/\d?)?)([A-Ga-g])([,']*)(.*)")


class Key(NamedTuple):
    """A key signature."""

    fifths: int
    """Sharps, or flats as a negative number."""
    mode: str | None
    """`major`, `minor`, or None for another mode."""
    alterations: dict[str, int]
    """Semitones by upper-case letter."""


class Meter(NamedTuple):
    """A time signature."""

    numerator: int
    denominator: int

    @property
    def ticks(self) -> int:
        """The length of a measure."""
        return self.numerator * _WHOLE // self.denominator


def parse_key(text: str) -> Key | None:
    """Parse the key in a `K:` field; None if it states none (but perhaps a clef).

    >>> parse_key("Bb dor ^f")
    Key(fifths=-4, mode=None, alterations={'B': -1, 'E': -1, 'A': -1, 'D': -1, 'F': 1})
    """
    text = _QUOTED.sub("", text).strip()
    if text[:2] in ("HP", "Hp"):  # bagpipes: F and C are sharp, written or not
        return Key(2, None, {"F": 1, "C": 1})
    extra = {letter.upper(): ALTERATIONS[sign] for sign, letter in _ACCIDENTAL.findall(text)}
    found = _KEY.match(text) if text[:1].isupper() and not _CLEF.match(text) else None
    if found is None:
        return Key(0, None, extra) if extra or not text or text.lower().startswith("none") else None
    if re.search(r"(?<!\S)exp(?!\w)", text):
        return Key(0, None, extra)
    mode = (found[3] or "maj").lower()
    fifths = _TONICS[found[1].upper()] + _SIGNS.get(found[2], 0) + _MODES[mode]
    named = {"maj": "major", "ion": "major", "min": "minor", "m": "minor", "aeo": "minor"}.get(mode)
    fifths = max(-7, min(7, fifths))
    letters = "FCGDAEB"[:fifths] if fifths > 0 else "BEADGCF"[:-fifths]
    return Key(fifths, named, dict.fromkeys(letters, 1 if fifths > 0 else -1) | extra)


def parse_meter(text: str) -> Meter | None:
    """Parse an `M:` field; None for free meter.

    >>> parse_meter("(2+3)/8"), parse_meter("C|"), parse_meter("none")
    (Meter(numerator=5, denominator=8), Meter(numerator=2, denominator=2), None)
    """
    text = text.strip()
    if text.startswith("C"):
        return Meter(2, 2) if text.startswith("C|") else Meter(4, 4)
    found = re.match(r"\(?\s*(\d{1,3}(?:\s*\+\s*\d{1,3})*)\s*\)?\s*/\s*(\d{1,3})", text)
    if found is None:
        return None
    numerator, denominator = sum(int(number) for number in found[1].split("+")), int(found[2])
    return Meter(numerator, denominator) if numerator and denominator else None


def parse_unit(text: str) -> int | None:
    """Parse an `L:` field: the ticks of a note without a length.

    >>> parse_unit("1/8") == BEAT // 2
    True
    """
    if found := _FRACTION.search(text):
        return round(_WHOLE * int(found[1]) / max(int(found[2]), 1)) or None
    return _WHOLE if text.strip() == "1" else None


def default_unit(meter: Meter | None) -> int:
    """The ticks of a note without a length in a tune without `L:`."""
    return _WHOLE // 16 if meter and meter.numerator / meter.denominator < 0.75 else _WHOLE // 8


def parse_tempo(text: str, unit: int) -> float | None:
    """Parse a `Q:` field: quarter notes per minute; None if it states words only.

    >>> parse_tempo('"Allegro" 3/8=80', BEAT // 2), parse_tempo("120", BEAT // 2)
    (120.0, 60.0)
    """
    text = _QUOTED.sub("", text)
    beat, _, number = text.rpartition("=")
    found = re.search(r"\d{1,4}(?:\.\d{1,3})?", number)
    if found is None:
        return None
    length = sum(_WHOLE * int(over) / max(int(under), 1) for over, under in _FRACTION.findall(beat))
    if not length:  # old forms: "120" and "C=120" count note lengths, "C3=40" three of them
        times = re.search(r"C(\d)", beat)
        length = unit * (int(times[1]) if times else 1)
    return float(found[0]) * length / BEAT or None


def parse_clef(text: str) -> tuple[dict[str, int], bool]:
    """Parse clef, octave and transposition, in any order: semitones from written to sounding pitch; whether it is percussion.

    The octave of a clef sounds, since the note is written as in the clef without it. `middle=` only places notes on the staff.

    >>> parse_clef('clef=treble-8 name="Tenor" transpose=-2')
    ({'clef': -12, 'transpose': -2}, False)
    """
    text = _QUOTED.sub("", _QUOTED_CLEF.sub(r"clef=\1", text))
    shifts, found = {}, _CLEF.search(text)
    if found:
        octaves = {None: 0, "8": 12, "15": 24}[found["by"]]
        shifts["clef"] = -octaves if found["octaves"] == "-" else octaves
    numbers = {name: int(number) for name, number in _NUMBER.findall(text)}
    for name, kind, semitones in (("octave", "octave", 12), ("t", "transpose", 1), ("transpose", "transpose", 1)):
        if name in numbers:
            shifts[kind] = semitones * numbers[name]
    return shifts, bool(found and found["name"] == "perc") or "perc=on" in text


def parse_name(text: str) -> str | None:
    """The name of a voice in a `V:` field; None if it has none."""
    found = _NAME.search(text)
    return (found[1] or found[2]) if found else None


def parse_parts(text: str) -> str:
    """Write out a `P:` field of a header.

    A `ValueError` refuses more than 1,000 parts.

    >>> parse_parts("A2.(BC)2")
    'AABCBC'
    """
    stack, last = [""], ""
    for letter, bracket, number in _PART.findall(text):
        if letter:
            last = letter
            stack[-1] += letter
        elif bracket == "(":
            stack.append("")
        elif bracket and len(stack) > 1:
            last = stack.pop()
            stack[-1] += last
        elif number:
            times = int(number[:5])
            if len(last) * times > _MOST_PARTS:
                break
            stack[-1] += last * (times - 1)
        if len(stack) > _DEEPEST or sum(map(len, stack)) > _MOST_PARTS:
            break
    else:
        return "".join(stack)
    raise ValueError(f"its P: field asks for more than {_MOST_PARTS:,} parts")


class WrittenNote(NamedTuple):
    """A note as it is written."""

    letter: str
    """In upper case."""
    octave: int
    """Above that of middle C."""
    alteration: int | None
    """Semitones by its accidental; None without one."""
    spelling: str
    """All but the length."""
    length: tuple[int, int]


def parse_note(text: str) -> WrittenNote:
    """Parse a note, a match of `NOTE`; quarter tones are rounded to the nearest semitone.

    >>> parse_note("^c,3/2")
    WrittenNote(letter='C', octave=0, alteration=1, spelling='^c,', length=(3, 2))
    """
    signs, share, letter, marks, length = _NOTE_PARTS.match(text).groups()  # type: ignore[union-attr]
    alteration = ALTERATIONS[signs] if signs else None
    if alteration and share:
        over, under = parse_length(share)
        alteration = round(alteration * over / under)
    octave = letter.islower() + marks.count("'") - marks.count(",")
    return WrittenNote(letter.upper(), octave, alteration, signs + letter + marks, parse_length(length))


def parse_bar(bar: str) -> tuple[int, int, bool]:
    """How often a passage that ends at a bar line is repeated, how often one that begins there, and whether it is a double bar.

    >>> parse_bar("::|"), parse_bar("::"), parse_bar("|]")
    ((2, 0, False), (1, 1, False), (0, 0, True))
    """
    before, _, begin = bar.rpartition("|")
    ends, begins = before.count(":"), len(begin.strip("]"))
    if "|" not in bar:  # `::` is `:|:`
        ends = begins = len(bar) // 2
    return ends, begins, "||" in bar or ("]" in bar) != ("[" in bar)


def parse_length(text: str) -> tuple[int, int]:
    """Numerator and denominator of a written length; 1 if there is none.

    A `ValueError` refuses what no note has.

    >>> parse_length("3/2"), parse_length("//"), parse_length("")
    ((3, 2), (1, 4), (1, 1))
    """
    over, slashes, under = _LENGTH_PARTS.match(text).groups()  # type: ignore[union-attr]
    if len(over) > 5 or len(under) > 5 or len(slashes) > 10:
        raise ValueError(f"the length {text[:20]} is not one of a note")
    return int(over or 1), int(under or 2 ** len(slashes)) or 1


def ticks(over: int, under: int) -> int:
    """Round a fraction of ticks; at least 1 unless it is 0."""
    return max((2 * over + under) // (2 * under), 1) if over else 0
