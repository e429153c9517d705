"""Small ABC tunes as files, and their notes as text."""

from __future__ import annotations

from pathlib import Path

import muspy

import mmt

HEAD = "X:1\nT:Title\nM:4/4\nL:1/4\n"


def read(folder: Path, text: str) -> muspy.Music:
    (folder / "tune.abc").write_text(text, encoding="utf-8")
    return mmt.read(folder / "tune.abc")


def played(folder: Path, body: str) -> str:
    """The notes of a tune with this body as `beat:pitch`, or `beat:pitch*beats` if they do not last one beat."""
    music = read(folder, HEAD + body)
    rows = sorted(
        (note.time / music.resolution, note.pitch, note.duration / music.resolution)
        for track in music.tracks
        for note in track.notes
    )
    return " ".join(f"{beat:.4g}:{pitch}" + (f"*{beats:.4g}" if beats != 1 else "") for beat, pitch, beats in rows)
