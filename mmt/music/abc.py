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
from codecs import BOM_UTF8
from pathlib import Path
from typing import TYPE_CHECKING

from mmt.music.chunks import decode_text
from mmt.music.midi import read_midi
from mmt.music.part_names import choir_parts, program_of

if TYPE_CHECKING:
    import muspy

_TUNE = re.compile(rb"(?:\A|(?<=[\r\n]))X:")
# What stands before the first tune and holds for all of them.
_FOR_ALL = re.compile(rb"(?:\A|(?<=[\r\n]))(?:[ABCDFGHILMmNORrSUZ]:|%%)[^\r\n]*")
_KEY = re.compile(r"^K:.*\n", re.MULTILINE)
_COMPOSER = re.compile(r"^C:\s*(.*\S)", re.MULTILINE)
_VOICE = re.compile(r"(?:^|\[)V:\s*([^\s\]]+)([^\n\]]*)", re.MULTILINE)
_VOICE_NAME = re.compile(r"""\b(?:name|nm)=(?:"([^"]*)"|(\S+))""")

# In a line of music: what is no music; an octave's mark against its letter; ornaments, by name and by letter.
_IN_MUSIC = re.compile(
    r"""(?P<kept>"[^"]*"|\[[A-Za-z]:[^]]*\])
    |(?P<high>[A-G])(?P<up>'+)|(?P<low>[a-g])(?P<down>,+)
    |!(?:trill|roll|turn|invertedturn|slide|staccato|wedge|arpeggio|pralltriller|(?:upper|lower)?mordent)[()x]?!
    |[.~HLMPTuv](?=[\^_=]*[A-Ga-g[({])""",
    re.VERBOSE,
)
_SECONDS = 30.0
# abc2midi lets every note begin a tick late.
_LATE = 1


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
    """The first tune of a file: a track for each voice that plays, on the instrument that the file or its name says.

    Raises
    ------
    ValueError
        If there is no tune with a note; it says why.
    """
    found = tunes(path.read_bytes())
    text = "".join(f"{_as_written(line)}\n" for line in decode_text(found[0]).splitlines()) if found else ""
    key = _KEY.search(text)
    if key is None:
        raise ValueError("a tune begins with X: and has a K: for its key")
    names = _voices(text)
    instruments = "" if "%%MIDI program" in text else _instruments(names)
    music = _played(f"{text[: key.end()]}%%MIDI chordattack 0\n%%MIDI nobeataccents\n{instruments}{text[key.end() :]}")
    for place, track in enumerate(music.tracks):
        track.name = list(names.values())[place] if len(names) == len(music.tracks) else None
        for note in track.notes:
            note.time, note.duration = note.time - _LATE, note.duration + _LATE
    for mark in (*music.tempos, *music.key_signatures, *music.time_signatures):
        mark.time -= (
            _LATE if mark.time % 10 == _LATE else 0
        )  # some are in time, and a note's shortest length is 10 ticks
    music.metadata.creators = _COMPOSER.findall(text)
    music.metadata.source_format = "abc"
    return music


def _as_written(line: str) -> str:
    """A line without ornaments, and every octave in the form that abc2midi knows.

    It does not learn of a rhythm either: it would let hornpipes swing.
    """
    if line.startswith("R:"):
        return "%"
    if re.match(r"[A-Za-z+]:|%", line):
        return line
    return _IN_MUSIC.sub(
        lambda found: (
            found["kept"]
            or (found["high"] and found["high"].lower() + found["up"][1:])
            or (found["low"] and found["low"].upper() + found["down"][1:])
            or ""
        ),
        line,
    )


def _voices(text: str) -> dict[str, str | None]:
    """The voices of a tune in the order in which they come, and the name of each that has one."""
    voices: dict[str, str | None] = {}
    for found in _VOICE.finditer(text):
        named = _VOICE_NAME.search(found[2])
        voices[found[1]] = voices.get(found[1]) or (named and (named[1] or named[2]))
    return voices


def _instruments(names: dict[str, str | None]) -> str:
    """The lines that give each voice the instrument that its name says, where one has a name."""
    if not any(names.values()):
        return ""
    sung = choir_parts(name or "" for name in names.values())
    lines = [
        f"V:{voice}\n%%MIDI program {program_of('voice' if sings else '', '', name or '', None, sung=False)}\n"
        for (voice, name), sings in zip(names.items(), sung, strict=True)
    ]
    return "".join((*lines, f"V:{next(iter(names))}\n"))


def _played(text: str) -> muspy.Music:
    import symusic  # noqa: F401 (which says where its abc2midi is)

    with tempfile.TemporaryDirectory(prefix="mmt-") as folder:
        midi = Path(folder) / "tune.mid"
        (Path(folder) / "tune.abc").write_text(text, encoding="utf-8")
        command = [os.environ["SYMUSIC_ABC2MIDI"], "tune.abc", "-NGUI", "-NFER", "-o", midi.name]
        try:
            said = subprocess.run(command, cwd=folder, capture_output=True, timeout=_SECONDS, check=True).stdout
        except subprocess.TimeoutExpired:
            raise ValueError(f"abc2midi does not come to an end with it in {_SECONDS:.0f} seconds") from None
        except subprocess.CalledProcessError as error:
            raise ValueError(f"abc2midi stopped (status {error.returncode})") from None
        try:
            music = read_midi(midi) if midi.exists() else None
        except ValueError:
            raise ValueError("abc2midi makes no sound MIDI of it; it may have notes beyond MIDI's") from None
    if music is None or not music.tracks:
        errors = re.findall(r"^Error in line-char \d+-\d+ : *(.*)", decode_text(said), re.MULTILINE)
        raise ValueError(errors[0].strip() if errors else "it has no note")
    return music
