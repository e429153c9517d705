"""A piece as clients get it: notes as rows of (onset, duration, pitch, instrument code), times in steps; or a file to keep."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from mmt.analysis.note_metrics import onsets
from mmt.music.files import read, write
from mmt.music.page.song import song
from mmt.music.pictures.colors import score_order
from mmt.representation.codes import INSTRUMENT, NOTE, Events, Representation
from mmt.representation.decode import decode, notes_of_events
from mmt.studio.catalog import part_of
from mmt.studio.memory import return_free_memory
from mmt.studio.pieces import Piece
from mmt.studio.requests import BadRequestError

if TYPE_CHECKING:
    import muspy

KINDS = {
    "mid": "audio/midi",
    "musicxml": "application/vnd.recordare.musicxml+xml",
    "wav": "audio/wav",
    "html": "text/html; charset=utf-8",
}
"""The files that a piece can be downloaded as, by suffix."""


def rows_of(events: Events, representation: Representation) -> list[list[int]]:
    """The notes of events, in their order."""
    table = notes_of_events(events, representation)
    onset = onsets(table, representation.resolution)
    rows: list[list[int]] = np.stack([onset, table["duration"], table["pitch"], table["instrument"]], axis=1).tolist()
    return rows


def events_of(rows: list[list[int]], representation: Representation) -> Events:
    """Notes (n, 6) from such rows; durations are rounded to known ones. A `BadRequestError` names a column out of range."""
    if any(len(row) != 4 for row in rows):
        raise BadRequestError("each note is a row of four numbers: onset, duration, pitch, instrument code")
    onset, duration, pitch, code = np.array(rows, np.int64).reshape(-1, 4).T
    limits = {
        "onset": (onset, 0, 10**6),
        "duration": (duration, 1, 10**6),
        "pitch": (pitch, 0, 127),
        "instrument code": (code, 1, len(representation.names)),
    }
    for name, (values, low, high) in limits.items():
        if ((values < low) | (values > high)).any():
            raise BadRequestError(f"{name} must be {low} to {high:,}")
    beat, position = np.divmod(onset, representation.resolution)
    kind, lengths = np.full(len(rows), NOTE), representation.duration_codes(duration)
    return np.stack([kind, beat + 1, position + 1, pitch + 1, lengths, code], axis=1)


def music_of(piece: Piece, events: Events, representation: Representation) -> muspy.Music:
    """A version or alternative of a piece as music, with its title, tempo and signatures."""
    music = decode(events, like=_signatures(piece), tempo=piece.version.tempo, representation=representation)
    music.metadata.title = piece.version.title
    return music


def score_of(piece: Piece, representation: Representation) -> dict[str, Any]:
    """The current version of a piece, for the page."""
    events = piece.events()
    like = _signatures(piece)
    shown = song(decode(events[:0], like=like, tempo=piece.version.tempo, representation=representation))
    bars = []
    if like is not None:
        bars = [[one.time / like.resolution, 4 * one.numerator / one.denominator] for one in like.time_signatures]
    names = [name for name in piece.parts if name in representation.names]
    codes = {*events[events[:, INSTRUMENT] > 0, INSTRUMENT].tolist(), *map(representation.find_instrument, names)}
    parts = score_order(representation.names[code - 1] for code in codes)
    return {
        "resolution": representation.resolution,
        "notes": rows_of(events, representation),
        "parts": [part_of(name, representation) for name in parts],
        "tempos": shown["tempos"],
        "tempo": round(60 / shown["tempos"][0][2], 2),
        "bars": bars,
    }


def content_of(music: muspy.Music, kind: str) -> bytes:
    """The content of a file to keep; `kind` is a suffix in `KINDS`."""
    with tempfile.TemporaryDirectory(prefix="mmt-studio-") as folder:
        path = Path(folder) / f"piece.{kind}"
        write(path, music)
        return_free_memory()  # a minute of sound takes many megabytes on its way
        return path.read_bytes()


def headers_for(title: str, kind: str) -> dict[str, str]:
    """Headers that make a browser save the file under the piece's title."""
    name = " ".join(re.sub(r"[^\w\s.,()-]", "", title).split())[:80].strip(". ") or "piece"
    ascii_name = name.encode("ascii", "ignore").decode().strip(". ") or "piece"
    return {
        "content-disposition": f"attachment; filename=\"{ascii_name}.{kind}\"; filename*=UTF-8''{quote(f'{name}.{kind}')}",
        "content-type": KINDS[kind],
    }


def _signatures(piece: Piece) -> muspy.Music | None:
    """The tempos, time and key signatures of the file that the piece came from, as music without notes."""
    path = piece.folder / "signatures.json"
    return read(path) if path.exists() else None
