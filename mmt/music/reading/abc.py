"""Reading ABC: files of one tune, or of hundreds.

abc2midi, which comes with symusic, plays a tune, with its repeats and the order of its parts, into MIDI, and `read_midi`
reads that. (muspy's reader loses chords, repeats and all instruments, and knows no accidental beyond its note.) What
abc2midi would add of its own is left out: an accompaniment to chord symbols, played ornaments, broken chords.
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
# What stands before the first tune and holds for all of them.
_FOR_ALL = re.compile(rb"(?:\A|(?<=[\r\n]))(?:[ABCDFGHILMmNORrSUZ]:|%%)[^\r\n]*")
_KEY = re.compile(r"^K:.*\n", re.MULTILINE)
_COMPOSER = re.compile(r"^C:\s*(.*\S)", re.MULTILINE)
_VOICE = re.compile(r"(?:^|\[)V:\s*([^\s\]]+)([^\]]*)")
_PROGRAM = re.compile(r"(?:%%|I:)\s*MIDI\s+program")
_VOICE_NAME = re.compile(r"""\b(?:name|nm)=(?:"([^"]*)"|(\S+))""")

# In a line of music: what is no music; an octave's mark against its letter; ornaments, by name and by letter.
_IN_MUSIC = re.compile(
    r"""(?P<kept>"[^"]*"|\[[A-Za-z]:[^]]*\])
    |(?P<high>[A-G])(?P<up>'+)|(?P<low>[a-g])(?P<down>,+)
    |!(?:trill|roll|turn|invertedturn|slide|staccato|wedge|arpeggio|pralltriller|(?:upper|lower)?mordent)[()x]?!
    |[.~HLMPTuv](?=[\^_=]*[A-Ga-g[({])""",
    re.VERBOSE,
)
# A chord of notes that have lengths, and its own: they multiply. Of these, a note and its length.
_CHORD = re.compile(r"""\[([^][:|!"]*[A-Ga-g][,']*[\d/][^][:|!"]*)\](\d+/*\d*|/+\d*)""")
_NOTE = re.compile(r"([A-Ga-gz][,']*)(\d*/*\d*)")
_ERROR = re.compile(r"^Error in line-char \d+-\d+ : *(.*)", re.MULTILINE)
_SECONDS = 30.0
# abc2midi lets every note begin a tick late.
_LATE = 1


class UnreadWarning(LeftOutWarning):
    """Something in a tune could not be read; the rest is there."""


def tunes(content: bytes) -> list[bytes]:
    """The tunes of a file, each with what the file says of all of them before the first; no tune, no item.

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
        message = f"{path} has {len(found):,} tunes, of which the first is read; a corpus takes them all"
        warnings.warn(LeftOutWarning(message), stacklevel=3)
    if lost:
        more = f" (and {len(lost) - 1:,} complaints more)" if len(lost) > 1 else ""
        warnings.warn(UnreadWarning(f"{path}: something may be missing, abc2midi says: {lost[0]}{more}"), stacklevel=3)
    names = [voice.name for voice in voices.values()]
    if len(voices) < 2:  # all else are overlays of the one voice
        names = (names or [None]) * len(music.tracks)
        for track in music.tracks:
            track.program = track.program or music.tracks[0].program
    for place, track in enumerate(music.tracks):
        track.name = names[place] if len(names) == len(music.tracks) else None
        for note in track.notes:
            note.time, note.duration = note.time - _LATE, note.duration + _LATE
    for mark in (*music.tempos, *music.key_signatures, *music.time_signatures):
        mark.time -= _LATE if mark.time % 5 == _LATE else 0  # some are in time already
    music.metadata.creators = _COMPOSER.findall(text)
    music.metadata.source_format = "abc"
    return music


def _as_written(line: str) -> str:
    """A line without ornaments, every octave in the form that abc2midi knows, and no chord with lengths inside and behind it.

    It does not learn of a rhythm either: it would let hornpipes swing.
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
    """`3`, `3/2`, `/`, `//` or nothing as the number that it stands for."""
    over, _, under = written.partition("/")
    return Fraction(int(over or 1), int(under.strip("/") or 2 ** written.count("/")) or 1)


@dataclass
class _Voice:
    """What a tune says of a voice."""

    name: str | None = None
    is_told: bool = False
    """Whether the tune gives it a program."""
    is_drum: bool = False


def _voices(text: str) -> dict[str, _Voice]:
    """The voices of a tune in the order in which they come. A program before the first is for all of them."""
    voices: dict[str, _Voice] = {}
    current, for_all = _Voice(), False
    for line in text.splitlines():
        for found in _VOICE.finditer(line):
            current = voices.setdefault(found[1], _Voice(is_told=for_all))
            named = _VOICE_NAME.search(found[2])
            current.name = current.name or (named and (named[1] or named[2]))
            current.is_drum |= "clef=perc" in found[2]
        if _PROGRAM.match(line):
            for_all |= not voices
            current.is_told = True
    return voices


def _instruments(voices: Mapping[str, _Voice]) -> str:
    """The lines that give each voice the instrument that its name says, where it has a name and no program."""
    sung = choir_parts(voice.name or "" for voice in voices.values())
    lines = []
    for (number, voice), sings in zip(voices.items(), sung, strict=True):
        if voice.is_drum:
            lines.append(f"V:{number}\n%%MIDI channel 10\n")
        elif voice.name and not voice.is_told:
            program = program_of("voice" if sings else "", "", voice.name, None, sung=False)
            lines.append(f"V:{number}\n%%MIDI program {program}\n")
    return "".join((*lines, f"V:{next(iter(voices))}\n")) if lines else ""


def _played(text: str) -> tuple[muspy.Music, list[str]]:
    """The music that abc2midi makes of a tune, and what it complains of."""
    import symusic  # noqa: F401 (which says where its abc2midi is)

    with tempfile.TemporaryDirectory(prefix="mmt-") as folder:
        midi = Path(folder) / "tune.mid"
        (Path(folder) / "tune.abc").write_text(text, encoding="utf-8")
        command = [os.environ["SYMUSIC_ABC2MIDI"], "tune.abc", "-NGUI", "-NFER", "-o", midi.name]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            raise ValueError(f"abc2midi does not come to an end with it in {_SECONDS:.0f} seconds") from None
        errors = [found.strip() for found in _ERROR.findall(decode_text(done.stdout))]
        if done.returncode:
            raise ValueError(errors[0] if errors else f"abc2midi stopped (status {done.returncode})")
        try:
            music = read_midi(midi) if midi.exists() else None
        except ValueError:
            raise ValueError("abc2midi makes no sound MIDI of it; it may have notes beyond MIDI's") from None
    if music is None or not music.tracks:
        raise ValueError(errors[0] if errors else "it has no note")
    return music, errors
