"""The paper's 64 instruments, and the MIDI programs that map to each.

Names are in lower case with hyphens ("english-horn"). The code of an instrument in an event is 1 + its index in the tuple. A MIDI
program is an integer 0 … 127 (General MIDI's numbers 1 … 128, minus one). 104 of the 128 programs belong to
one of the paper's 64 instruments; the rest (sound effects, most drums) belong to none.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Instrument:
    """An instrument: its name, the MIDI program that plays it, and all programs that map to it."""

    name: str
    program: int
    programs: tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not all(type(number) is int for number in (self.program, *self.programs)):
            raise ValueError(f"instrument {self.name!r}: a name and whole numbers of programs were expected")
        if self.program not in self.programs or not all(0 <= program < 128 for program in self.programs):
            raise ValueError(
                f"instrument {self.name!r}: program {self.program} must be one of its programs {self.programs}, all 0 to 127"
            )


# The paper's 64 instruments, in the order of their codes (after the authors' tables).
PAPER_INSTRUMENTS: tuple[Instrument, ...] = (
    Instrument("piano", 0, (0, 1, 2, 3)), Instrument("electric-piano", 4, (4, 5)), Instrument("harpsichord", 6, (6,)),
    Instrument("clavinet", 7, (7,)),
    Instrument("celesta", 8, (8,)), Instrument("glockenspiel", 9, (9,)), Instrument("music-box", 10, (10,)),
    Instrument("vibraphone", 11, (11,)), Instrument("marimba", 12, (12,)), Instrument("xylophone", 13, (13,)),
    Instrument("tubular-bells", 14, (14,)), Instrument("dulcimer", 15, (15,)),
    Instrument("organ", 16, (16, 17, 18, 20)), Instrument("church-organ", 19, (19,)),
    Instrument("accordion", 21, (21,)), Instrument("harmonica", 22, (22,)), Instrument("bandoneon", 23, (23,)),
    Instrument("nylon-string-guitar", 24, (24,)), Instrument("steel-string-guitar", 25, (25,)),
    Instrument("electric-guitar", 26, (26, 27, 28, 29, 30, 31)),
    Instrument("bass", 32, (32,)), Instrument("electric-bass", 33, (33, 34, 35)), Instrument("slap-bass", 36, (36, 37)),
    Instrument("synth-bass", 38, (38, 39)),
    Instrument("violin", 40, (40, 110)), Instrument("viola", 41, (41,)), Instrument("cello", 42, (42,)),
    Instrument("contrabass", 43, (43,)), Instrument("harp", 46, (46,)), Instrument("timpani", 47, (47,)),
    Instrument("strings", 49, (44, 45, 48, 49)), Instrument("synth-strings", 50, (50, 51)),
    Instrument("voices", 52, (52, 53, 54)), Instrument("orchestra-hit", 55, (55,)),
    Instrument("trumpet", 56, (56, 59)), Instrument("trombone", 57, (57,)), Instrument("tuba", 58, (58,)),
    Instrument("horn", 60, (60,)), Instrument("brasses", 61, (61,)), Instrument("synth-brasses", 62, (62, 63)),
    Instrument("soprano-saxophone", 64, (64,)), Instrument("alto-saxophone", 65, (65,)),
    Instrument("tenor-saxophone", 66, (66,)), Instrument("baritone-saxophone", 67, (67,)),
    Instrument("oboe", 68, (68,)), Instrument("english-horn", 69, (69,)), Instrument("bassoon", 70, (70,)),
    Instrument("clarinet", 71, (71,)),
    Instrument("piccolo", 72, (72,)), Instrument("flute", 73, (73,)), Instrument("recorder", 74, (74,)),
    Instrument("pan-flute", 75, (75,)), Instrument("ocarina", 79, (79,)),
    Instrument("lead", 80, (80, 81, 82, 83, 84, 85, 86, 87)), Instrument("pad", 88, (88, 89, 90, 91, 92, 93, 94, 95)),
    Instrument("sitar", 104, (104,)), Instrument("banjo", 105, (105,)), Instrument("shamisen", 106, (106,)),
    Instrument("koto", 107, (107,)), Instrument("kalimba", 108, (108,)), Instrument("bag-pipe", 109, (109,)),
    Instrument("shehnai", 111, (111,)),
    Instrument("melodic-tom", 117, (117,)), Instrument("synth-drums", 118, (118, 119)),
)  # fmt: skip

# The name of the instrument that drum tracks become in a representation with `drums`.
DRUMS = "drums"

# General MIDI level 1, in the order of the programs.
GENERAL_MIDI_NAMES: tuple[str, ...] = (
    "Acoustic Grand Piano", "Bright Acoustic Piano", "Electric Grand Piano", "Honky-tonk Piano",
    "Electric Piano 1", "Electric Piano 2", "Harpsichord", "Clavinet",
    "Celesta", "Glockenspiel", "Music Box", "Vibraphone", "Marimba", "Xylophone", "Tubular Bells", "Dulcimer",
    "Drawbar Organ", "Percussive Organ", "Rock Organ", "Church Organ", "Reed Organ", "Accordion", "Harmonica",
    "Tango Accordion",
    "Acoustic Guitar (nylon)", "Acoustic Guitar (steel)", "Electric Guitar (jazz)", "Electric Guitar (clean)",
    "Electric Guitar (muted)", "Overdriven Guitar", "Distortion Guitar", "Guitar Harmonics",
    "Acoustic Bass", "Electric Bass (finger)", "Electric Bass (pick)", "Fretless Bass", "Slap Bass 1", "Slap Bass 2",
    "Synth Bass 1", "Synth Bass 2",
    "Violin", "Viola", "Cello", "Contrabass", "Tremolo Strings", "Pizzicato Strings", "Orchestral Harp", "Timpani",
    "String Ensemble 1", "String Ensemble 2", "Synth Strings 1", "Synth Strings 2", "Choir Aahs", "Voice Oohs",
    "Synth Voice", "Orchestra Hit",
    "Trumpet", "Trombone", "Tuba", "Muted Trumpet", "French Horn", "Brass Section", "Synth Brass 1", "Synth Brass 2",
    "Soprano Sax", "Alto Sax", "Tenor Sax", "Baritone Sax", "Oboe", "English Horn", "Bassoon", "Clarinet",
    "Piccolo", "Flute", "Recorder", "Pan Flute", "Blown Bottle", "Shakuhachi", "Whistle", "Ocarina",
    "Lead 1 (square)", "Lead 2 (sawtooth)", "Lead 3 (calliope)", "Lead 4 (chiff)", "Lead 5 (charang)", "Lead 6 (voice)",
    "Lead 7 (fifths)", "Lead 8 (bass + lead)",
    "Pad 1 (new age)", "Pad 2 (warm)", "Pad 3 (polysynth)", "Pad 4 (choir)", "Pad 5 (bowed)", "Pad 6 (metallic)",
    "Pad 7 (halo)", "Pad 8 (sweep)",
    "FX 1 (rain)", "FX 2 (soundtrack)", "FX 3 (crystal)", "FX 4 (atmosphere)", "FX 5 (brightness)", "FX 6 (goblins)",
    "FX 7 (echoes)", "FX 8 (sci-fi)",
    "Sitar", "Banjo", "Shamisen", "Koto", "Kalimba", "Bagpipe", "Fiddle", "Shanai",
    "Tinkle Bell", "Agogo", "Steel Drums", "Woodblock", "Taiko Drum", "Melodic Tom", "Synth Drum", "Reverse Cymbal",
    "Guitar Fret Noise", "Breath Noise", "Seashore", "Bird Tweet", "Telephone Ring", "Helicopter", "Applause", "Gunshot",
)  # fmt: skip

# Names that people use, in addition to those above and those of General MIDI.
EVERYDAY_NAMES: dict[str, str] = {
    "guitar": "nylon-string-guitar", "classical guitar": "nylon-string-guitar", "acoustic guitar": "nylon-string-guitar",
    "folk guitar": "steel-string-guitar",
    "voice": "voices", "vocals": "voices", "singer": "voices", "solo voice": "voices", "choir": "voices", "chorus": "voices",
    "grand piano": "piano", "pianoforte": "piano", "keyboard": "electric-piano", "rhodes": "electric-piano",
    "cembalo": "harpsichord", "clavecin": "harpsichord",
    "pipe organ": "church-organ", "hammond organ": "organ", "electric organ": "organ",
    "violoncello": "cello", "double bass": "contrabass", "string bass": "contrabass", "upright bass": "bass",
    "bass guitar": "electric-bass", "string section": "strings",
    "brass": "brasses", "cor anglais": "english-horn", "panpipes": "pan-flute", "panpipe": "pan-flute",
    "synth": "lead", "synthesizer": "lead", "synthesiser": "lead",
    "drum": DRUMS, "drum kit": DRUMS, "drumset": DRUMS, "percussion": DRUMS,
}  # fmt: skip
# Offered before others, if a name means one of several instruments.
OFFERED_FIRST = {"sax": "alto-saxophone", "saxophone": "alto-saxophone"}
