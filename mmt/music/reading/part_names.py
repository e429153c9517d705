"""The MIDI program of a part in a score, by its names and sounds.

Scores have a program, a standard sound name ("wind.reed.oboe") and printed names ("Oboe 1", "Hautbois"), any of which may be
missing or wrong. Some programs export voices as an oboe or a clarinet; voices are recognised by their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mmt.representation.instruments import GENERAL_MIDI_NAMES

CHOIR = 52
_VOICES = (52, 53, 54)

# Programs and the words for them in several languages; the first match counts.
_WORDS = r"""
64 soprano sax
65 \balto? ?sax
66 tenor ?sax
67 bar[iy]ton\w* ?sax
65 \bsax
42 violoncell|\bcell[oi]\b|\bvc\b
70 contrabasso?on|contrafagott|kontrafagott|bassoon|fagott|\bbasson|dulcian
43 contrabass|kontrabass|double bass|contrebasse|\bcb\b
40 violin|violon\b|geige|\bvln\b|fiddle|\bvl\b
41 \bviola|bratsche|\bvla\b
48 strings\b|streicher|\barchi\b
46 harfe|\bharp\b|\barpa\b|harpe
47 timpani|pauke|timbales|kettledrum
72 piccolo|ottavino
74 recorder|blockfl|flauto dolce
75 pan ?fl
73 fl[uoöû]t|flaut
69 english horn|englisch ?horn|corno inglese|cor anglais
68 oboe|oboi|hautbois|hoboe
71 [ck]larin[eo]tt?|bassetth
57 tromb(?!a)|posaune|sackbut
58 tuba|ophicle|serpent|euphon
56 trumpet|tromp|\btromba|\bcornet|zink|clarin[oi]\b
60 horn|\bcorn[oi]\b|\bcors?\b
61 brass
6 harpsichord|cembalo|clavecin|spinet
7 clavichord|clavinet
8 celest
9 glockenspiel
11 vibraphon
12 marimba
13 xylo
14 tubular|chimes
21 accordion|akkordeon
22 harmonica
20 harmonium|reed organ
19 organ|orgel|orgue|continuo
0 piano|klavier|keyboard|clavier
33 bass guitar|electric bass
27 electric guitar
24 guitar|gitarre|chitarra|\blut[eh]|\blaute|theorb|mandolin|\bliuto
105 banjo
43 \bbass[oi]?\b
"""
_PROGRAMS = tuple(
    (re.compile(words), int(program)) for program, words in (line.split(" ", 1) for line in _WORDS.strip().splitlines())
)

_SINGING = re.compile(
    r"\b(voice|vocal|voix|voce|singstimme|stimme|gesang|canto|chant|soprano|sopran|mezzo|choir|chor|chorus|coro|"
    r"ch[oœ]?eur|cantus|singer|solo ?voice)"
)
# Registers of voices and of instruments: they are sung if the part has lyrics.
_REGISTERS = re.compile(
    r"\b(alt|alto|altus|contralto|tenor\w*|t[eé]nor|bar[iy]ton\w*|bass|basso|bassus|basse|treble)\b"
)
# A part name that is a register only.
_REGISTER = re.compile(
    r"(soprano?|alt[ou]?s?|contralto|t[eé]nor[ei]?|bass[eo]?)\.? ?(?:\d|i{1,3}|iv)?\.?", re.IGNORECASE
)
_NOT_SUNG = re.compile(r"sax|trombon|posaune|clarin|klarin|viol|recorder|tuba|oboe|horn|flute|flöte|guitar|drum")


def program_of(sound: str, instrument: str, part: str, midi_program: int | None, sung: bool) -> int:
    """The MIDI program (0 to 127) of a part.

    Parameters
    ----------
    sound, instrument, part
        The standard sound name, and the names of the instrument and the part; empty if missing.
    midi_program
        The program in the score, from 0; None if missing.
    sung
        Whether the part has lyrics.

    Examples
    --------
    >>> program_of("", "Voice", "Singstimme", 68, sung=True), program_of("", "", "Violine II", None, sung=False)
    (52, 40)
    """
    if midi_program is not None and instrument == GENERAL_MIDI_NAMES[midi_program] and not sung:
        return midi_program
    if _is_voice(sound.lower(), instrument.lower(), part.lower(), sung):
        return midi_program if midi_program in _VOICES else CHOIR
    if midi_program is not None:
        return midi_program
    for name in (instrument, part, sound.replace(".", " ").replace("-", " ")):
        for words, program in _PROGRAMS:
            if words.search(name.lower()):
                return program
    return CHOIR if sung else 0


def choir_parts(names: Iterable[str]) -> list[bool]:
    """Which parts of a score belong to a choir: those named by a register, if there are two registers or more.

    >>> choir_parts(["Soprano", "Alto", "Tenor", "Bass", "Organ"]), choir_parts(["Alto Sax", "Bass"])
    ([True, True, True, True, False], [False, False])
    """
    found = [_REGISTER.fullmatch(name.strip()) for name in names]
    several = len({match[1][0].lower() for match in found if match}) > 1
    return [several and match is not None for match in found]


def _is_voice(sound: str, instrument: str, part: str, sung: bool) -> bool:
    if sound:
        named = sound.split(".")[0] == "voice"
    else:
        named = bool(_SINGING.search(instrument or part)) and not _NOT_SUNG.search(instrument or part)
    both = f"{instrument} {part}"
    by_text = sung and bool(_SINGING.search(both) or _REGISTERS.search(both)) and not _NOT_SUNG.search(part)
    return named or by_text
