"""A piece as a file to keep: MIDI, MusicXML, sound, or the page that plays."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from mmt.music.files import write

if TYPE_CHECKING:
    import muspy

KINDS = {
    "mid": "audio/midi",
    "musicxml": "application/vnd.recordare.musicxml+xml",
    "wav": "audio/wav",
    "html": "text/html; charset=utf-8",
}


def content_of(music: muspy.Music, kind: str) -> bytes:
    """The content of the file."""
    with tempfile.TemporaryDirectory(prefix="mmt-studio-") as folder:
        path = Path(folder) / f"piece.{kind}"
        write(path, music)
        return path.read_bytes()


def headers_for(title: str, kind: str) -> dict[str, str]:
    """Headers that make a browser save the file under the piece's title."""
    name = " ".join(re.sub(r"[^\w\s.,()-]", "", title).split())[:80].strip(". ") or "piece"
    ascii_name = name.encode("ascii", "ignore").decode().strip(". ") or "piece"
    return {
        "content-disposition": f"attachment; filename=\"{ascii_name}.{kind}\"; filename*=UTF-8''{quote(f'{name}.{kind}')}",
        "content-type": KINDS[kind],
    }
