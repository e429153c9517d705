"""Ready ensembles, and the instruments of a model as the page lists them."""

from __future__ import annotations

from typing import Any

from mmt.music.pictures.colors import instrument_color, score_order
from mmt.music.pictures.piano_rolls import DRUM_COLOR
from mmt.representation.codes import Representation
from mmt.representation.ensembles import ENSEMBLES, find_instruments
from mmt.representation.instruments import GENERAL_MIDI_NAMES

_READY = (
    "piano", "string trio", "voice and piano", "flute and harp", "piano trio", "wind quintet", "brass quintet",
    "choir and organ", "baroque ensemble", "saxophone quartet", "guitar", "chamber orchestra", "orchestra", "rock band",
    "jazz trio",
)  # fmt: skip
"""Ensembles that the page offers, or single instruments."""


def ensembles_for(representation: Representation) -> list[dict[str, Any]]:
    """Ready ensembles; `missing` are instruments that the model does not know."""
    return [
        {
            "name": name.capitalize(),
            "instruments": [representation.names[code - 1] for code in find_instruments(name, representation)],
            "missing": [one for one in ENSEMBLES.get(name, ()) if one not in representation.names],
        }
        for name in _READY
    ]


def instruments_of(representation: Representation) -> list[dict[str, Any]]:
    """The instruments in score order: code, name, program, colour, and further names for a search."""
    of_name = {one.name: one for one in representation.instruments}
    listed = []
    for name in score_order(representation.names):
        programs = of_name[name].programs if name in of_name else ()
        listed.append(part_of(name, representation) | {"also": [GENERAL_MIDI_NAMES[program] for program in programs]})
    return listed


def part_of(name: str, representation: Representation) -> dict[str, Any]:
    """An instrument as the page knows it."""
    code = representation.names.index(name) + 1
    is_drums = code == representation.drums_code
    color = DRUM_COLOR if is_drums else "#" + "".join(f"{round(255 * x):02x}" for x in instrument_color(name))
    return {"code": code, "name": name, "program": representation.program(code), "color": color, "drums": is_drums}
