"""Texts of MIDI files: names of tracks, the title, lyrics and karaoke.

MIDI files do not say in which encoding their texts are. In a karaoke file (.kar) the lyrics are text events (FF 01): those that
begin with "@" hold information ("@T" is the title, and a second one the artist), "\\" begins a paragraph and "/" a line.
"""

from __future__ import annotations

import re
from contextlib import suppress
from operator import attrgetter

from mmt.music.bounded import printable
from mmt.music.reading.midi_tracks import LYRIC, TEXT, TRACK_NAME, Mark

# What only Japanese text has: kana, a pair of ideographs, an ideograph alone, a run of half-width katakana.
_JAPANESE = re.compile("[\u3041-\u30ff]|[\u3005\u4e00-\u9fff]{2}|^[\u4e00-\u9fff]$|[\uff66-\uff9f]{3}")
# The first bytes of its most frequent letters, and half-width katakana; Latin-1 has control characters and few letters there.
_JAPANESE_BYTES = re.compile(rb"[\x81-\x9f]|[\xa6-\xdf]{3}")


def track_names(marks: tuple[Mark, ...]) -> dict[int, str]:
    """The name of each track that has one."""
    names: dict[int, str] = {}
    for mark in marks:
        if mark.kind == TRACK_NAME and mark.track not in names and (name := _one_line(mark.content)):
            names[mark.track] = name
    return names


def lyrics(marks: tuple[Mark, ...]) -> list[Mark]:
    """The lyrics among the marks of a file by their ticks: lyric events, else the texts of a karaoke file."""
    found = [mark for mark in marks if mark.kind == LYRIC] or karaoke(marks)[1]
    return sorted(found, key=attrgetter("tick"))


def decode_text(text: bytes) -> str:
    """Decode as UTF-8 if it is valid, as Shift-JIS if it looks Japanese, else as Latin-1, in which every byte is valid."""
    with suppress(UnicodeDecodeError):
        return text.decode("utf-8")
    if _JAPANESE_BYTES.search(text):
        with suppress(UnicodeDecodeError):
            japanese = text.decode("cp932")
            if _JAPANESE.search(japanese.strip()):
                return japanese
    return text.decode("latin-1")


def karaoke(marks: tuple[Mark, ...]) -> tuple[list[str], list[Mark]]:
    """The titles and the syllables of a karaoke file; nothing for another file."""
    lines = [mark for mark in marks if mark.kind == TEXT]
    information = [mark.content for mark in lines if mark.content[:1] == b"@"]
    if not information and sum(mark.content[:1] in (b"\\", b"/") for mark in lines) < 2:
        return [], []
    titles = [title for text in information if text[:2] == b"@T" and (title := _one_line(text[2:]))]
    by_track: dict[int, list[Mark]] = {}
    for mark in lines:
        if mark.content[:1] != b"@" and (text := mark.content.removeprefix(b"\\").removeprefix(b"/")):
            by_track.setdefault(mark.track, []).append(mark._replace(content=text))
    return titles, max(by_track.values(), key=len, default=[])


def _one_line(text: bytes) -> str:
    return printable(decode_text(text)).strip()
