"""The text of an ABC tune as voices with notes and marks, as written (ABC standard 2.1, chapters 2 to 4, 7 and 11).

Directives (`%%`) are ignored but for those that set the sound of a voice; no other file is ever read. What has no meaning is
skipped and reported. Time and memory are in proportion to the size of the tune, which is limited.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmt.music.reading.abc_fields import (
    LENGTH,
    NOTE,
    default_unit,
    parse_clef,
    parse_key,
    parse_meter,
    parse_name,
    parse_tempo,
    parse_unit,
)
from mmt.music.reading.abc_macros import Macros
from mmt.music.reading.abc_voice import Common, Voice
from mmt.music.reading.repeats import Jump

_LONGEST = 1 << 20  # characters
_MOST_VOICES = 200

_DYNAMICS = {"pppp": 8, "ppp": 16, "pp": 33, "p": 49, "mp": 64, "mf": 80, "f": 96, "ff": 112, "fff": 120, "ffff": 127}
# Symbols of the order of playing, until U: redefines them; symbols that change no note.
_SYMBOLS = {"S": "segno", "O": "coda"}
_SILENT_SYMBOLS = frozenset("~HIJKLMNPQRTUVWYuvy")

_FIELD = re.compile(r"([A-Za-z+]):(.*)")
_BLOCK = re.compile(r"%%\s*begin([a-z]+)")
_USER_SYMBOL = re.compile(r"([H-Wh-w~])\s*=\s*[!+]?([^!+]*)")

# One element of a line of music. No alternative looks further than to the next bracket or quotation mark of its kind, so that a
# line takes time in proportion to its length.
_ELEMENT = re.compile(
    rf"""(?P<note>{NOTE})
    |(?P<rest>[zxZX])(?P<rest_length>{LENGTH})
    |\[(?P<field>[A-Za-z]:[^][]*)\]
    |\[(?P<number>\d[\d,.-]*)
    |(?P<bar>\.?(?:\[?\|\]?|:)+)(?P<bar_number>\d[\d,.-]*)?
    |\[(?P<chord>[^][|]*)\](?P<chord_length>{LENGTH})
    |\+(?P<old_chord>(?:{NOTE}[ ]?){{2,12}})\+(?P<old_length>{LENGTH})
    |!(?P<sign>[^][!|"\s]{{1,40}}|[Dd](?:\.|[ae]l?\s)[A-Za-z. ]{{1,30}})!
    |\+(?P<old_sign>[^][+|"\s]{{1,40}})\+
    |"(?P<text>[^"]*)"
    |\{{/?(?P<graces>[^{{}}]*)\}}
    |\((?P<tuplet>\d)(?::(?P<in_time>\d{{0,2}}))?(?::(?P<count>\d{{0,2}}))?
    |(?P<broken>>+|<+)
    |(?P<tie>-)
    |(?P<overlay>&+)
    |(?P<symbol>[H-WYh-wy~])\d*
    |(?P<nothing>\s+|[()`$!*.\\#;?@\]])
    |(?P<unknown>.)""",
    re.VERBOSE,
)
_IN_CHORD = re.compile(rf'(?P<note>{NOTE})(?P<tie>-?)|![^!]*!|"[^"]*"|.')


class Tune:
    """A tune. Reading it fills `voices`, by their name in `V:` fields.

    A `ValueError` refuses a tune that has no key, or is larger than a tune can be.

    >>> tune = Tune("X:1\\nL:1/4\\nK:C\\nC D|\\n")
    >>> [note.pitch for note in tune.voices["1"].notes]
    [60, 62]
    """

    def __init__(self, text: str) -> None:
        self.voices: dict[str, Voice] = {}
        self.title: str | None = None
        self.composers: list[str] = []
        self.parts: str = ""
        """The `P:` field of the header."""
        self.unread = ""
        """What is skipped first, and where; empty if nothing is."""
        self.unread_places = 0
        self._common = Common()
        self._all = self._voice = Voice(self._common)  # what the header says of all voices; the voice that is read
        self._symbols = dict(_SYMBOLS)
        self._macros = Macros()
        self._channels: dict[int, int] = {}
        self._tempo = ""
        if len(text) > _LONGEST:
            raise ValueError(f"it has more than {_LONGEST:,} characters, which no tune has")
        lines = enumerate(re.split(r"\r\n?|\n", text), 1)
        self._read_header(lines)
        self._read_body(lines)

    def _read_header(self, lines: Iterator[tuple[int, str]]) -> None:
        unit = None
        for _, line in lines:
            if line.startswith("%%"):
                self._instruct(line[2:])
            found = _FIELD.match(_without_comment(line))
            letter, value = (found[1], " ".join(found[2].split())) if found else ("", "")
            if letter == "T":
                self.title = self.title or value or None
            elif letter == "C" and value:
                self.composers.append(value)
            elif letter == "P":
                self.parts = value
            elif letter == "Q":
                self._tempo = value
            elif letter == "L":
                unit = parse_unit(value) or unit
            elif letter == "M":
                self._all.meter = parse_meter(value)
            elif letter in ("V", "I", "U", "m"):
                self._set(letter, value)
            elif letter == "K":
                return self._begin(value, unit or default_unit(self._all.meter))
        raise ValueError("a tune begins with X: and has a K: for its key")

    def _begin(self, key: str, unit: int) -> None:
        """Give the voices what the header says of all."""
        every = self._all
        every.unit, every.key = unit, parse_key(key) or every.key
        _set_clef(every, key)
        declared, self.voices = self.voices, {}
        for number, own in declared.items():
            voice = self._new_voice(number)
            voice.name, voice.program, voice.is_drum = own.name, own.program, own.is_drum or every.is_drum
            voice.shifts.update(own.shifts)
        self._voice = next(iter(self.voices.values()), None) or self._new_voice("1")
        if tempo := parse_tempo(self._tempo, unit):
            self._voice.mark("tempo", tempo)

    def _new_voice(self, number: str) -> Voice:
        if len(self.voices) >= _MOST_VOICES:
            raise ValueError(f"it has more than {_MOST_VOICES} voices")
        every = self._all
        voice = Voice(self._common, None, every.program, every.is_drum, shifts=dict(every.shifts))
        voice.unit, voice.meter = every.unit, every.meter
        voice.set_key(every.key)
        if voice.meter:
            voice.mark("meter", voice.meter)
        self.voices[number] = voice
        return voice

    def _set(self, letter: str, value: str) -> None:
        """Read a field of the body, on a line of its own or within one."""
        voice, value = self._voice, " ".join(value.split())
        if letter == "V":
            number, _, rest = value.partition(" ")
            self._voice = voice = self.voices.get(number) or self._new_voice(number)
            voice.name = parse_name(rest) or voice.name
            _set_clef(voice, rest)
        elif letter == "K":
            if key := parse_key(value):
                voice.set_key(key)
            _set_clef(voice, value)
        elif letter == "M":
            voice.meter = parse_meter(value)
            if voice.meter:
                voice.mark("meter", voice.meter)
        elif letter == "L":
            voice.unit = parse_unit(value) or voice.unit
        elif letter == "Q" and (tempo := parse_tempo(value, voice.unit)):
            voice.mark("tempo", tempo)
        elif letter == "P" and value:
            voice.mark("part", value[0])
        elif letter == "I":
            self._instruct(value)
        elif letter == "w":
            voice.is_sung = True
        elif letter == "m":
            self._macros.define(value)
        elif letter == "U" and (found := _USER_SYMBOL.match(value)):
            self._symbols[found[1]] = found[2].strip()

    def _instruct(self, text: str) -> None:
        """Read a `%%` directive or an `I:` field; those that do not set the sound are ignored."""
        words = text.partition("%")[0].replace("=", " ", 1).split()[:5]
        numbers = [int(word) for word in words if re.fullmatch(r"-?\d{1,3}", word)]
        number, voice = numbers[-1] if numbers else -1, self._voice
        match [word.lower() for word in words]:
            case ["midi", "program", *_] if 0 <= number < 128:
                if len(numbers) > 1 and voice is self._all:  # of a channel, which a voice names later
                    self._channels[numbers[0]] = number
                else:
                    voice.program = number
            case ["midi", "channel", *_] if numbers:
                voice.is_drum = numbers[0] == 10
                voice.program = self._channels.get(numbers[0], voice.program)
            case ["midi", "transpose", *_] if numbers:
                voice.shifts["MIDI"] = number
            case ["midi", "drummap", _, _] if 0 <= number < 128:
                self._common.drum_keys[words[2]] = number
            case ["propagate-accidentals", how, *_]:
                self._common.propagation = how

    def _read_body(self, lines: Iterator[tuple[int, str]]) -> None:
        block, number = None, 0
        for number, line in lines:
            if block:
                block = None if line.startswith(f"%%end{block}") else block
            elif found := _BLOCK.match(line):
                block = found[1]
            elif line.startswith("%%"):
                self._instruct(line[2:])
            elif line.strip():
                self._read_line(number, _without_comment(line))
            elif any(voice.time for voice in self.voices.values()):
                break
        # A tune ends at an empty line; free text follows.
        if any("|" in line and not line.startswith("%") for _, line in lines):
            self._skip(f"line {number}: a tune ends at an empty line, but there is music after it")
        for voice in self.voices.values():
            voice.end_measure()

    def _read_line(self, number: int, line: str) -> None:
        found = _FIELD.match(line)
        if found and not (found[1] in "ABCDEFGabcdefg" and found[2].startswith(("|", ":"))):
            self._set(found[1], found[2])
            return
        for element in _ELEMENT.finditer(self._macros.expand(line)):
            symbol = element["symbol"]
            if element["unknown"] or (symbol and symbol not in self._symbols and symbol not in _SILENT_SYMBOLS):
                self._skip(f"line {number}: {element[0]!r} has no meaning")
            elif element["nothing"] is None:
                self._read_element(element)

    def _skip(self, message: str) -> None:
        self.unread = self.unread or message
        self.unread_places += 1

    def _read_element(self, found: re.Match[str]) -> None:
        voice = self._voice
        if found["note"]:
            voice.sound([(found["note"], False)])
        elif found["rest"]:
            voice.rest(found["rest"], found["rest_length"])
        elif found["bar"]:
            voice.bar(found["bar"])
            if found["bar_number"]:
                voice.ending(found["bar_number"])
        elif found["field"]:
            self._set(found["field"][0], found["field"][2:])
        elif found["number"]:
            voice.ending(found["number"])
        elif found["chord"] or (found["old_chord"] and found["old_chord"] not in _DYNAMICS):
            inside = _IN_CHORD.finditer(found["chord"] or found["old_chord"])
            notes = [(note["note"], bool(note["tie"])) for note in inside if note["note"]]
            voice.sound(notes, found["chord_length"] or found["old_length"] or "")
        elif found["graces"]:
            voice.add_graces([note["note"] for note in _IN_CHORD.finditer(found["graces"]) if note["note"]])
        elif found["tuplet"]:
            voice.begin_tuplet(*(int(found[name] or 0) for name in ("tuplet", "in_time", "count")))
        elif found["broken"]:
            voice.break_rhythm(found["broken"])
        elif found["tie"]:
            voice.tie()
        elif found["overlay"]:
            voice.overlay(len(found["overlay"]))
        elif found["text"] is not None:
            # A text may say the order of playing; a short one without a place is a chord symbol.
            if found["text"].startswith(("^", "_", "<", ">", "@")) or len(found["text"]) > 3:
                self._read_sign(found["text"].lstrip("^_<>@"))
        else:
            symbol = self._symbols.get(found["symbol"] or "", "")
            self._read_sign(found["sign"] or found["old_sign"] or found["old_chord"] or symbol)

    def _read_sign(self, sign: str) -> None:
        """Read a decoration: dynamics, and signs of the order of playing."""
        if sign in _DYNAMICS:
            self._voice.velocity = _DYNAMICS[sign]
        elif found := _order_sign("".join(filter(str.isalpha, sign.replace("𝄋", "segno"))).lower()):
            self._voice.sign(*found)


def _set_clef(voice: Voice, text: str) -> None:
    shifts, is_percussion = parse_clef(text)
    voice.shifts.update(shifts)
    voice.is_drum |= is_percussion


def _order_sign(word: str) -> tuple[str, Jump | None] | None:
    """The mark that a word means, in lower-case letters only: `dcalfine` is a da capo until the fine."""
    if word in ("segno", "coda", "fine"):
        return word, None
    if word in ("tocoda", "dacoda"):
        return "to coda", None
    found = re.fullmatch(r"(?:(dc|dacapo)|ds|d[ae]l?segno)(?:al(?:la)?(fine|coda|segno))?(?:e?poi(?:la)?coda)?", word)
    return ("jump", Jump(None if found[1] else "", found[2])) if found else None


def _without_comment(line: str) -> str:
    return line if line.startswith("%%") else re.split(r"(?<!\\)%", line, maxsplit=1)[0]
