"""The instruments of a MusicXML part: its part list, and changes of sound within the part.

Programs and drum keys count from 0 here, from 1 in the file. A change holds from its place on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element

from mmt.music.reading.part_names import choir_parts, is_pitched, may_sing, program_of
from mmt.music.reading.repeats import Place
from mmt.music.reading.score_time import Timeline, number

_DRUM_CHANNEL = 10


@dataclass(frozen=True)
class Instrument:
    """An instrument of the part list, or what a change makes of it; None where the file says nothing."""

    part_name: str = ""
    name: str = ""
    sound: str = ""
    program: int | None = None
    drum: int | None = None
    """The drum key that it plays."""
    is_drum: bool = False
    """Whether notes with a pitch are drums."""
    is_changed: bool = False
    """Whether the program was set within the part."""

    def program_for(self, sung: bool) -> int:
        """The program of its notes; `sung` if they have lyrics."""
        if self.is_changed and self.program is not None:
            return self.program
        return program_of(self.sound, self.name, self.part_name, self.program, sung)

    def label(self, of_part: bool) -> str | None:
        """The name of a track: that of the part, or of the instrument; if it is missing, the other one."""
        whole, own = (" ".join(name.split()) for name in (self.part_name, self.name))
        return (whole or own if of_part else own or whole) or None


class PartInstruments:
    """The instruments of one part, as they change."""

    def __init__(self, instruments: dict[str, Instrument]) -> None:
        instruments = instruments or {"": Instrument()}
        self.first = next(iter(instruments.values()))
        self._now = {name: Timeline(instrument) for name, instrument in instruments.items()}
        self._first_now = next(iter(self._now.values()))

    def at(self, name: str, place: Place) -> Instrument:
        """The instrument of a name in the part list, the first for an unknown one, at a place."""
        return self._timeline(name).at(place)

    def _timeline(self, name: str) -> Timeline[Instrument]:
        return self._now.get(name, self._first_now)

    def read_change(self, sound: Element, place: Place) -> None:
        """Read `midi-instrument` and `instrument-change` within a `<sound>`."""
        for change in sound:
            timeline = self._timeline(change.get("id", ""))
            now = timeline.at(place)
            if change.tag == "midi-instrument":
                program, drum = (_from_one(change.findtext(f"midi-{kind}")) for kind in ("program", "unpitched"))
                has_channel = change.find("midi-channel") is not None
                changed = replace(
                    now,
                    program=now.program if program is None else program,
                    drum=now.drum if drum is None else drum,
                    is_drum=_is_drum_channel(change) if has_channel else now.is_drum,
                    is_changed=now.is_changed or program is not None,
                )
                timeline.set(place, changed)
            elif change.tag == "instrument-change" and (standard := change.findtext("instrument-sound")):
                program = program_of(standard, "", "", None, sung=False)
                timeline.set(place, replace(now, sound=standard, program=program, is_changed=True))


def read_instruments(score_parts: Iterable[Element]) -> dict[str, dict[str, Instrument]]:
    """Read the part list: the instruments of each part, by their ids."""
    parts, score_parts = {}, list(score_parts)
    choir = choir_parts(part.findtext("part-name") or "" for part in score_parts)
    for part, sings in zip(score_parts, choir, strict=True):
        midi = {element.get("id"): element for element in part.findall("midi-instrument")}
        first = next(iter(midi.values()), Element("midi-instrument"))
        parts[part.get("id", "")] = {
            element.get("id", ""): _instrument(part, element, midi.get(element.get("id"), first), sings)
            for element in part.findall("score-instrument") or [Element("score-instrument", id="")]
        }
    return parts


def _instrument(part: Element, element: Element, played: Element, sings: bool) -> Instrument:
    part_name, name = part.findtext("part-name") or "", element.findtext("instrument-name") or ""
    sound, program = element.findtext("instrument-sound") or "", _from_one(played.findtext("midi-program"))
    if sings and may_sing(name, sound, program):
        sound, program = "voice", None
    drum = _from_one(played.findtext("midi-unpitched"))
    # Notation software numbers channels without regard to 10: a part named after a pitched instrument is no drum part.
    is_drum = _is_drum_channel(played) and (drum is not None or not is_pitched(name, part_name, sound))
    return Instrument(part_name, name, sound, program, drum, is_drum)


def _is_drum_channel(element: Element) -> bool:
    return round(number(element.findtext("midi-channel"))) == _DRUM_CHANNEL


def _from_one(text: str | None) -> int | None:
    """Convert a program or drum key, which MusicXML counts from 1."""
    value = round(number(text)) - 1
    return value if 0 <= value < 128 else None
