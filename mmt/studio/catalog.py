"""What the page offers: the instruments of a model with their sounds, ready ensembles, and example pieces."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

import numpy as np

from mmt.model.recipes import shipped
from mmt.music.audio.synthesis import TIMED_NOTE
from mmt.music.page.recordings import RATE, record
from mmt.music.pictures.colors import instrument_color, score_order
from mmt.representation.codes import Representation
from mmt.representation.ensembles import ENSEMBLES, find_instruments
from mmt.representation.instrument_ranges import INSTRUMENT_RANGES
from mmt.representation.instruments import GENERAL_MIDI_NAMES
from mmt.studio.memory import return_free_memory

_READY = (
    "piano", "string trio", "voice and piano", "flute and harp", "piano trio", "wind quintet", "brass quintet",
    "choir and organ", "baroque ensemble", "saxophone quartet", "guitar", "chamber orchestra", "orchestra", "rock band",
    "jazz trio",
)  # fmt: skip
"""Ensembles that the page offers, or single instruments."""
# The files in `data/tiny`, which are in the public domain (see its `NOTICE.md`).
EXAMPLES: dict[str, str] = {
    "Emilie Mayer: String Quartet in G minor": "mayer_quartet_in_g_minor.mid",
    "Robert Franz: Für Einen": "franz_fuer_einen.mid",
    "Liza Lehmann: In April Mood": "lehmann_in_april_mood.mid",
    "Hubert Parry: Good Night": "parry_good_night.mxl",
}
# Pitches to record: drum keys, and those of instruments without a range.
_DRUM_KEYS = (27, 87)
_ANY_PITCH = (24, 100)
_SECONDS = 4.0
_lock = threading.Lock()


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
    program, color = representation.program(code), instrument_color(name)
    return {"code": code, "name": name, "program": program, "color": color, "drums": is_drums}


def read_example(title: str) -> tuple[str, bytes]:
    """The file name and content of an example."""
    path = shipped("data", "tiny", EXAMPLES[title])
    return path.name, path.read_bytes()


def sound_of(name: str, representation: Representation) -> dict[str, Any]:
    """Recordings of an instrument (see `Recording.to_dict`) at `rate` samples per second, made once and kept."""
    code = representation.find_instrument(name)
    # One at a time: two tabs that ask for the same instrument must not record it twice.
    with _lock:
        return _sound(representation.names[code - 1], representation.program(code), code == representation.drums_code)


@lru_cache(maxsize=16)  # an orchestra; half a megabyte each
def _sound(name: str, program: int, is_drums: bool) -> dict[str, Any]:
    low, high = _DRUM_KEYS if is_drums else INSTRUMENT_RANGES.get(name, _ANY_PITCH)
    pitches = range(low, high + 1)
    notes = np.array([(0.0, _SECONDS, pitch, program, is_drums, 100) for pitch in pitches], TIMED_NOTE)
    recordings = [recording.to_dict() for recording in record(notes)]
    return_free_memory()
    return {"rate": RATE, "recordings": recordings}
