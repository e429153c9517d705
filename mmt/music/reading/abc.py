"""Reading ABC files of one or several tunes.

abc2midi, which symusic includes, converts a tune with its repeats and part order to MIDI, and `read_midi` reads that. (muspy's
reader loses chords, repeats and instruments, and accidentals after their first note.) abc2midi's own additions are switched off:
accompaniment of chord symbols, ornaments, broken chords.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import warnings
from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from mmt.music.reading.midi import read_midi
from mmt.music.reading.midi_tracks import decode_text
from mmt.music.reading.part_names import choir_parts, program_of
from mmt.representation.notes import LeftOutWarning

if TYPE_CHECKING:
    import muspy

_TUNE = re.compile(rb"(?:\A|(?<=[\r\n]))X:")
# Fields before the first tune that apply to all tunes.
_FOR_ALL = re.compile(rb"(?:\A|(?<=[\r\n]))(?:[ABCDFGHILMmNORrSUZ]:|%%)[^\r\n]*")
_KEY = re.compile(r"^K:.*\n", re.MULTILINE)
_COMPOSER = re.compile(r"^C:\s*(.*\S)", re.MULTILINE)
_VOICE = re.compile(r"(?:^|\[)V:\s*([^\s\]]+)([^\]]*)")
_PROGRAM = re.compile(r"(?:%%|I:)\s*MIDI\s+program")
_VOICE_NAME = re.compile(r"""\b(?:name|nm)=(?:"([^"]*)"|(\S+))""")

# In a line of music: text and fields; octave marks that contradict the letter's case; ornaments, by name and by letter.
_IN_MUSIC = re.compile(
    r"""(?P<kept>"[^"]*"|\[[A-Za-z]:[^]]*\])
    |(?P<high>[A-G])(?P<up>'+)|(?P<low>[a-g])(?P<down>,+)
    |!(?:trill|roll|turn|invertedturn|slide|staccato|wedge|arpeggio|pralltriller|(?:upper|lower)?mordent)[()x]?!
    |[.~HLMPTuv](?=[\^_=]*[A-Ga-g[({])""",
    re.VERBOSE,
)
# A chord whose notes have lengths, with a length of its own (they multiply); a note in it and its length.
_CHORD = re.compile(r"""\[([^][:|!"]*[A-Ga-g][,']*[\d/][^][:|!"]*)\](\d+/*\d*|/+\d*)""")
_NOTE = re.compile(r"([A-Ga-gz][,']*)(\d*/*\d*)")
_ERROR = re.compile(r"^Error in line-char \d+-\d+ : *(.*)", re.MULTILINE)
_TIMEOUT = 30.0  # seconds
_DELAY = 1  # ticks: abc2midi starts every note late


class UnreadWarning(LeftOutWarning):
    """A part of a tune could not be read."""


def tunes(content: bytes) -> list[bytes]:
    """Split a file into its tunes, each with the fields before the first tune that apply to all.

    >>> tunes(b"My tunes\\nM:3/4\\nX:1\\nK:C\\nCEG|\\nX:2\\nK:D\\nDFA|\\n")
    [b'X:1\\nM:3/4\\nK:C\\nCEG|\\n', b'X:2\\nM:3/4\\nK:D\\nDFA|\\n']
    """
    content = content.removeprefix(BOM_UTF8)
    begins = [found.start() for found in _TUNE.finditer(content)]
    ends = [*begins[1:], len(content)]
    for_all = b"".join(line + b"\n" for line in _FOR_ALL.findall(content[: begins[0]] if begins else b""))
    found = (content[begin:end].splitlines(keepends=True) for begin, end in zip(begins, ends, strict=False))
    return [b"".join([number, for_all, *lines]) for number, *lines in found]


def read_abc(path: Path) -> muspy.Music:
    """Read the first tune of an ABC file: one track per voice that plays, on the instrument of its program or its name.

    Further tunes are a `LeftOutWarning`; errors in the tune that abc2midi skips are an `UnreadWarning`.

    Raises
    ------
    ValueError
        If there is no tune with a note; the message names the file and says why.
    """
    try:
        return _first_tune(path)
    except ValueError as error:
        raise ValueError(f"cannot read {path}: this is no ABC ({error})") from error


def _first_tune(path: Path) -> muspy.Music:
    found = tunes(path.read_bytes())
    text = "".join(f"{_as_written(line)}\n" for line in decode_text(found[0]).splitlines()) if found else ""
    key = _KEY.search(text)
    if key is None:
        raise ValueError("a tune begins with X: and has a K: for its key")
    voices = _voices(text)
    settings = "%%MIDI chordattack 0\n%%MIDI nobeataccents\n"
    music, lost = _played(text[: key.end()] + settings + _instruments(voices) + text[key.end() :])
    if len(found) > 1:
        message = f"{path} has {len(found):,} tunes, of which the first is read; mmt-prepare reads all"
        warnings.warn(LeftOutWarning(message), stacklevel=3)
    if lost:
        more = f" (and {len(lost) - 1:,} more errors)" if len(lost) > 1 else ""
        warnings.warn(UnreadWarning(f"{path}: something may be missing, abc2midi says: {lost[0]}{more}"), stacklevel=3)
    names = [voice.name for voice in voices.values()]
    if len(voices) < 2:  # further tracks are overlays of the one voice
        names = (names or [None]) * len(music.tracks)
        for track in music.tracks:
            track.program = track.program or music.tracks[0].program
    for place, track in enumerate(music.tracks):
        track.name = names[place] if len(names) == len(music.tracks) else None
        for note in track.notes:
            note.time, note.duration = note.time - _DELAY, note.duration + _DELAY
    for mark in (*music.tempos, *music.key_signatures, *music.time_signatures):
        mark.time -= _DELAY if mark.time % 5 == _DELAY else 0  # some marks are not delayed
    music.metadata.creators = _COMPOSER.findall(text)
    music.metadata.source_format = "abc"
    return music


def _as_written(line: str) -> str:
    """Normalise a line for abc2midi: no ornaments, octaves and chord lengths in the form that it reads, no rhythm field.

    (With a rhythm field, it plays hornpipes with a swing.)
    """
    if line.startswith("R:"):
        return "%"
    if re.match(r"[A-Za-z+]:|%", line):
        return line
    plain = _IN_MUSIC.sub(
        lambda found: (
            found["kept"]
            or (found["high"] and found["high"].lower() + found["up"][1:])
            or (found["low"] and found["low"].upper() + found["down"][1:])
            or ""
        ),
        line,
    )
    return _CHORD.sub(
        lambda chord: f"[{_NOTE.sub(lambda note: f'{note[1]}{_length(note[2]) * _length(chord[2])}', chord[1])}]", plain
    )


def _length(written: str) -> Fraction:
    """Parse a note length: `3`, `3/2`, `/`, `//` or nothing."""
    over, _, under = written.partition("/")
    return Fraction(int(over or 1), int(under.strip("/") or 2 ** written.count("/")) or 1)


@dataclass
class _Voice:
    """A voice of a tune."""

    name: str | None = None
    has_program: bool = False
    is_drum: bool = False


def _voices(text: str) -> dict[str, _Voice]:
    """The voices of a tune in order of appearance; a program before the first applies to all."""
    voices: dict[str, _Voice] = {}
    current, for_all = _Voice(), False
    for line in text.splitlines():
        for found in _VOICE.finditer(line):
            current = voices.setdefault(found[1], _Voice(has_program=for_all))
            named = _VOICE_NAME.search(found[2])
            current.name = current.name or (named and (named[1] or named[2]))
            current.is_drum |= "clef=perc" in found[2]
        if _PROGRAM.match(line):
            for_all |= not voices
            current.has_program = True
    return voices


def _instruments(voices: Mapping[str, _Voice]) -> str:
    """Lines that set the program of each voice without one by its name."""
    sung = choir_parts(voice.name or "" for voice in voices.values())
    lines = []
    for (number, voice), sings in zip(voices.items(), sung, strict=True):
        if voice.is_drum:
            lines.append(f"V:{number}\n%%MIDI channel 10\n")
        elif voice.name and not voice.has_program:
            program = program_of("voice" if sings else "", "", voice.name, None, sung=False)
            lines.append(f"V:{number}\n%%MIDI program {program}\n")
    return "".join((*lines, f"V:{next(iter(voices))}\n")) if lines else ""


def _played(text: str) -> tuple[muspy.Music, list[str]]:
    """Convert a tune by abc2midi; returns the music and abc2midi's errors."""
    import symusic  # noqa: F401 (sets SYMUSIC_ABC2MIDI)

    with tempfile.TemporaryDirectory(prefix="mmt-") as folder:
        midi = Path(folder) / "tune.mid"
        (Path(folder) / "tune.abc").write_text(text, encoding="utf-8")
        command = [os.environ["SYMUSIC_ABC2MIDI"], "tune.abc", "-NGUI", "-NFER", "-o", midi.name]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise ValueError(f"abc2midi does not end within {_TIMEOUT:.0f} seconds") from None
        errors = [found.strip() for found in _ERROR.findall(decode_text(done.stdout))]
        if done.returncode:
            raise ValueError(errors[0] if errors else f"abc2midi stopped (status {done.returncode})")
        try:
            music = read_midi(midi) if midi.exists() else None
        except ValueError:
            raise ValueError("abc2midi writes invalid MIDI for it; it may have notes outside of MIDI's range") from None
    if music is None or not music.tracks:
        raise ValueError(errors[0] if errors else "it has no note")
    return music, errors
