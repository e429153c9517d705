"""Drum keys of General MIDI level 1: their names, and their notation on a percussion staff."""

from __future__ import annotations

from typing import NamedTuple


class Drum(NamedTuple):
    """A drum's name, its place on a percussion staff as if in the treble clef, and its note head as in MusicXML."""

    name: str
    step: str
    octave: int
    head: str


_HEADS = {"": "normal", "x": "x", "o": "circle-x", "d": "diamond", "t": "triangle"}
# Places of the drum set follow Weinberg, Guide to Standardized Drumset Notation; other drums are near them.
_DRUMS = """
35 E4 Acoustic Bass Drum, 36 F4 Bass Drum 1, 37 C5x Side Stick, 38 C5 Acoustic Snare, 39 C5d Hand Clap,
40 C5 Electric Snare, 41 G4 Low Floor Tom, 42 G5x Closed Hi-Hat, 43 A4 High Floor Tom, 44 D4x Pedal Hi-Hat,
45 B4 Low Tom, 46 G5o Open Hi-Hat, 47 D5 Low-Mid Tom, 48 E5 Hi-Mid Tom, 49 A5x Crash Cymbal 1, 50 F5 High Tom,
51 F5x Ride Cymbal 1, 52 B5o Chinese Cymbal, 53 F5d Ride Bell, 54 B4t Tambourine, 55 B5x Splash Cymbal, 56 E5t Cowbell,
57 C6x Crash Cymbal 2, 58 B4d Vibraslap, 59 D5x Ride Cymbal 2, 60 E5d Hi Bongo, 61 C5t Low Bongo, 62 D5d Mute Hi Conga,
63 D5t Open Hi Conga, 64 A4d Low Conga, 65 F5t High Timbale, 66 A4t Low Timbale, 67 G5d High Agogo, 68 G5t Low Agogo,
69 A5d Cabasa, 70 A5t Maracas, 71 B5d Short Whistle, 72 B5t Long Whistle, 73 C6d Short Guiro, 74 C6t Long Guiro,
75 G4d Claves, 76 E5x Hi Wood Block, 77 A4x Low Wood Block, 78 F4d Mute Cuica, 79 F4t Open Cuica, 80 D6d Mute Triangle,
81 D6t Open Triangle
"""
_KIT = {
    int(key): Drum(name, place[0], int(place[1]), _HEADS[place[2:]])
    for key, place, name in (entry.split(maxsplit=2) for entry in _DRUMS.strip().split(","))
}


def drum(key: int) -> Drum:
    """The drum of a MIDI key (0 to 127); on the middle line for keys that General MIDI does not define.

    >>> drum(42)
    Drum(name='Closed Hi-Hat', step='G', octave=5, head='x')
    """
    return _KIT.get(key, Drum(f"Drum {key}", "B", 4, "normal"))
