"""Recordings of whole instruments for the page's player, made once from the SoundFont and kept."""

from __future__ import annotations

import base64
import threading
from functools import lru_cache
from typing import Any

import numpy as np

from mmt.music.audio.synthesis import TIMED_NOTE
from mmt.music.page.recordings import RATE, record
from mmt.representation.codes import Representation
from mmt.representation.instrument_ranges import INSTRUMENT_RANGES

_DRUM_KEYS = (27, 87)
_ANY_PITCH = (24, 100)
_SECONDS = 4.0
_lock = threading.Lock()


def sound_of(name: str, representation: Representation) -> dict[str, Any]:
    """The recordings of an instrument (see `mmt.music.page.song.add_recordings`) at `rate` samples per second."""
    code = representation.find_instrument(name)
    # One at a time: two tabs that ask for the same instrument must not record it twice.
    with _lock:
        return _sound(representation.names[code - 1], representation.program(code), code == representation.drums_code)


@lru_cache(maxsize=48)
def _sound(name: str, program: int, is_drums: bool) -> dict[str, Any]:
    low, high = _DRUM_KEYS if is_drums else INSTRUMENT_RANGES.get(name, _ANY_PITCH)
    pitches = range(low, high + 1)
    notes = np.array([(0.0, _SECONDS, pitch, program, is_drums, 100) for pitch in pitches], TIMED_NOTE)
    recordings = [
        {"pitch": r.pitch, "loop": r.loop, "decay": r.decay, "data": base64.b64encode(r.codes).decode()}
        for r in record(notes)
    ]
    return {"rate": RATE, "recordings": recordings}
