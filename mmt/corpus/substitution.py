"""Substitution of instruments: a part of a window is given to another instrument that can play it.

This way a network learns all instruments, also those that hardly occur in a corpus. An instrument can play a part if its range
holds all notes (`mmt.representation.instrument_ranges`; all pitches if it has no entry), and if it plays chords, or the part
has at most two notes at a time on average. Drums are neither substituted nor a substitute.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmt.representation.codes import PITCHES, Representation
from mmt.representation.instrument_ranges import INSTRUMENT_RANGES
from mmt.representation.notes import NoteTable

# Weights of a substitute: of the same General MIDI group of eight programs, of the same class below, any other. Each is
# divided by the width of its range, since a narrow range seldom holds a part.
_GROUP, _CLASS, _OTHER = 12.0, 4.0, 1.0
# Each instrument of a window is substituted with this probability.
_SHARE = 0.5
# A part with more notes at a time on average goes to instruments that play chords only.
_MOST_AT_ONCE = 2.0

# Classes of General MIDI programs.
_CLASSES = (
    (*range(8), *range(24, 38), 46, *range(104, 108)),  # plucked or with keys
    (*range(8, 16), 47, 55, 108, *range(112, 120)),  # struck
    (*range(40, 46), 48, 49, 110),  # bowed
    (52, 53, 54),  # sung
    (*range(16, 24), *range(56, 62), *range(64, 80), 109, 111),  # blown
    (38, 39, 50, 51, 62, 63, *range(80, 104)),  # synthetic
)
# Instruments that play one note at a time, or two.
_SINGLE = (*range(40, 44), *range(56, 61), *range(64, 80), 109, 111)


class Substitution:
    """Draws substitutes for the instruments of windows, by tables of a representation's instruments."""

    def __init__(self, representation: Representation) -> None:
        programs = np.array([instrument.program for instrument in representation.instruments])
        kinds = np.array([next((n for n, kind in enumerate(_CLASSES) if p in kind), -1) for p in programs])
        near = np.where(kinds[:, None] == kinds, _CLASS, _OTHER)
        near[programs[:, None] // 8 == programs // 8] = _GROUP
        ranges = [INSTRUMENT_RANGES.get(instrument.name, (0, PITCHES - 1)) for instrument in representation.instruments]
        self._lowest, self._highest = np.zeros(256, np.int64), np.zeros(256, np.int64)
        self._lowest[1 : len(ranges) + 1], self._highest[1 : len(ranges) + 1] = np.array(ranges).T
        # Code 0 and the drums have no weight.
        self._weights = np.zeros((256, 256))
        self._weights[1 : len(programs) + 1, 1 : len(programs) + 1] = near
        self._weights /= self._highest - self._lowest + 1
        self._chords = np.zeros(256, bool)
        self._chords[1 : len(programs) + 1] = ~np.isin(programs, _SINGLE)

    def draw(self, random: np.random.Generator, notes: NoteTable) -> npt.NDArray[np.uint8]:
        """The substitute of each instrument code, (256,), given all notes of a window; most are themselves.

        No two instruments become one, and none becomes one that plays in the window. At least one is substituted if one can
        be.
        """
        codes = notes["instrument"].astype(np.int64)
        counts = np.bincount(codes, minlength=256)
        playing = np.flatnonzero(counts)
        # Sorted by instrument, then pitch: the first and the last of each are its lowest and highest.
        pitches = np.sort(codes << 8 | notes["pitch"]) & 255
        stops = np.cumsum(counts)
        lowest, highest = pitches[(stops - counts).clip(max=len(notes) - 1)], pitches[stops - 1]
        chordal = counts > _MOST_AT_ONCE * _onsets(notes)
        substitutes = np.arange(256, dtype=np.uint8)
        free = counts == 0
        order = random.permutation(playing)
        wanted = random.random(len(order)) < _SHARE
        changed = False
        for code in (*order[wanted], *order[~wanted]):
            if changed and not wanted[order == code]:
                break
            weights = self._weights[code] * free * (self._lowest <= lowest[code]) * (self._highest >= highest[code])
            if chordal[code]:
                weights = weights * self._chords
            bounds = np.cumsum(weights)
            if bounds[-1] == 0:
                continue
            substitute = int(np.searchsorted(bounds, random.random() * bounds[-1], side="right"))
            substitutes[code], free[substitute], changed = substitute, False, True
        return substitutes


def _onsets(notes: NoteTable) -> npt.NDArray[np.int64]:
    """At how many times each instrument begins notes, by code, (256,)."""
    times = np.sort((notes["beat"].astype(np.int64) << 16 | notes["position"]) << 8 | notes["instrument"])
    times = times[np.diff(times, prepend=-1) != 0]
    onsets: npt.NDArray[np.int64] = np.bincount(times & 255, minlength=256)
    return onsets
