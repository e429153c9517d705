"""The ranges of real instruments: the lowest and highest sounding pitch of each, as MIDI numbers (60 is middle C).

For full-size modern instruments and good players, without harmonics and special effects. A name of a family (recorder: bass to
soprano) or of a section (strings, voices, brasses) covers all of it. The ranges are those on which orchestration textbooks
(Adler, Piston, Kennan) agree, or the wider one. Instruments without an agreed range (synthesisers, sitar, koto, shamisen,
shehnai, music box) are not listed: they may play every pitch.
"""

from __future__ import annotations

INSTRUMENT_RANGES: dict[str, tuple[int, int]] = {
    "piano": (21, 108), "electric-piano": (21, 108), "harpsichord": (29, 89), "clavinet": (29, 88),
    "celesta": (60, 108), "glockenspiel": (79, 108), "vibraphone": (53, 89), "marimba": (36, 96), "xylophone": (65, 108),
    "tubular-bells": (60, 77), "dulcimer": (36, 88),  # dulcimer: the concert cimbalom
    "organ": (36, 96), "church-organ": (24, 108),  # church organ: from a 16-foot pedal to a 4-foot manual
    "accordion": (28, 93), "harmonica": (48, 98), "bandoneon": (36, 95),
    "nylon-string-guitar": (40, 83), "steel-string-guitar": (40, 84), "electric-guitar": (40, 88),
    "bass": (24, 67), "electric-bass": (23, 67), "slap-bass": (23, 67),  # electric bass: five strings
    "violin": (55, 105), "viola": (48, 93), "cello": (36, 88), "contrabass": (24, 67),  # contrabass: with the extension to C
    "harp": (23, 104), "timpani": (38, 60), "strings": (24, 105), "voices": (36, 84),
    "trumpet": (52, 88), "trombone": (34, 77), "tuba": (26, 65), "horn": (35, 77), "brasses": (26, 88),
    "soprano-saxophone": (56, 88), "alto-saxophone": (49, 81),
    "tenor-saxophone": (44, 76), "baritone-saxophone": (36, 69),
    "oboe": (58, 93), "english-horn": (52, 84), "bassoon": (34, 76), "clarinet": (49, 94),  # clarinet: in A and in B flat
    "piccolo": (74, 108), "flute": (59, 98), "recorder": (53, 98), "pan-flute": (67, 103), "ocarina": (57, 101),
    "banjo": (48, 84), "kalimba": (60, 88), "bag-pipe": (46, 82),
}  # fmt: skip
