"""The pieces of a session, each with its history and its alternatives, in memory and on disk.

A piece is a folder: `piece.json` (the history, without notes), `version-N.npy` (the events of each version),
`alternative-N.npy`, `signatures.json` (tempo, time and key signatures of the file that it came from). Files are replaced
whole, so that a piece survives the end of the server at any moment.
"""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import shutil
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from mmt.music.atomic import naming
from mmt.representation.codes import Events

MOST_PIECES = 300
MOST_VERSIONS = 300
_ID = re.compile(r"[0-9a-f]{16}")


class ConflictError(ValueError):
    """A change that is based on an older state of the piece, for example from another tab."""


@dataclass
class Version:
    """A state of a piece."""

    number: int
    """Names its file; never used twice in a piece."""
    title: str
    tempo: float | None
    """Quarter notes per minute; None: as in the file that the piece came from, else 100."""
    made: dict[str, Any]
    """How it was made: `what`, and for written notes `seed`, `settings`, `model` and `command`."""


@dataclass
class Piece:
    """A piece with its history; `folder` is where it is kept."""

    id: str
    folder: Path
    changed: float = 0.0
    """Seconds since 1970."""
    revision: int = 0
    """Grows with every change."""
    parts: list[str] = field(default_factory=list)
    """Instruments that were chosen for the piece, whether or not they play yet."""
    versions: list[Version] = field(default_factory=list)
    current: int = 0
    """The place of the current version in `versions`."""
    alternatives: list[dict[str, Any]] = field(default_factory=list)
    """What can be kept: how each was made, with `number` naming its file."""
    report: str = ""
    """What was left out of the file that the piece came from."""
    mix: dict[str, Any] = field(default_factory=dict)
    """Volume, mute and solo of the parts, as the page sends it."""

    @property
    def version(self) -> Version:
        """The current version."""
        return self.versions[self.current]

    def events(self, place: int | None = None) -> Events:
        """The events of a version, by default the current one."""
        version = self.versions[self.current if place is None else place]
        return _read_events(self.folder / f"version-{version.number}.npy")

    def alternative(self, number: int) -> Events:
        """The events of an alternative; a `ValueError` if there is none of this number."""
        if all(one["number"] != number for one in self.alternatives):
            raise ValueError(f"there is no alternative {number + 1}")
        return _read_events(self.folder / f"alternative-{number}.npy")

    def check(self, revision: int) -> None:
        """Raise a `ConflictError` unless this is the current revision."""
        if revision != self.revision:
            raise ConflictError(
                "the piece has changed in the meantime, perhaps in another tab; this change was not made"
            )

    def add(
        self, events: Events, made: dict[str, Any], *, title: str | None = None, tempo: float | None = None
    ) -> None:
        """Add a version after the current one; versions that were undone are removed."""
        before = self.version if self.versions else Version(-1, "Untitled", None, {})
        number = 1 + max((one.number for one in self.versions), default=-1)
        _write_events(self.folder / f"version-{number}.npy", events)
        known, latest = self.versions, Version(number, title or before.title, tempo or before.tempo, made)
        versions = [*known[: self.current + 1], latest][-MOST_VERSIONS:]
        try:
            self.save(versions=versions, current=len(versions) - 1)
        except OSError:
            self._remove(f"version-{number}.npy")
            raise
        # Not before the new history is written, as the disk may be full.
        for gone in {one.number for one in known} - {one.number for one in versions}:
            self._remove(f"version-{gone}.npy")

    def go(self, place: int) -> None:
        """Make another version of the history the current one."""
        if not 0 <= place < len(self.versions):
            raise ValueError("there is no such version")
        self.save(current=place)

    def set_alternative(self, number: int, events: Events, made: dict[str, Any]) -> None:
        """Add or replace an alternative."""
        _write_events(self.folder / f"alternative-{number}.npy", events)
        others = [one for one in self.alternatives if one["number"] != number]
        self.save(alternatives=sorted([*others, {"number": number, "made": made}], key=itemgetter("number")))

    def keep(self, number: int) -> None:
        """Make an alternative the next version, and drop the others."""
        events = self.alternative(number)
        self.add(events, next(one["made"] for one in self.alternatives if one["number"] == number))
        self.drop_alternatives()

    def drop_alternatives(self) -> None:
        """Remove all alternatives."""
        known = self.alternatives
        self.save(alternatives=[])
        # Not before the new list is written, as the disk may be full.
        for one in known:
            self._remove(f"alternative-{one['number']}.npy")

    def save(self, *, is_revision: bool = True, **changes: Any) -> None:
        """Write `piece.json` with new values of some fields, then set them: if the disk is full, the piece stays as it is."""
        if is_revision:
            changes |= {"revision": self.revision + 1, "changed": time.time()}
        plain = {
            name: value for name, value in asdict(replace(self, **changes)).items() if name not in ("id", "folder")
        }
        write_whole(self.folder / "piece.json", json.dumps(plain, ensure_ascii=False).encode())
        for name, value in changes.items():
            setattr(self, name, value)

    def _remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)


class Store:
    """All pieces of a session; `lock` is held while a piece is changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pieces"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self._pieces: dict[str, Piece] = {}
        for path in sorted(self.folder.iterdir()):
            # A folder that cannot be read is left alone: it may be of a newer version.
            if _ID.fullmatch(path.name) and (piece := _read_piece(path)):
                self._pieces[piece.id] = piece

    def __len__(self) -> int:
        return len(self._pieces)

    def latest(self) -> list[Piece]:
        """All pieces, the latest first."""
        return sorted(self._pieces.values(), key=lambda piece: -piece.changed)

    def get(self, piece_id: str) -> Piece:
        """A piece; a `KeyError` if there is none."""
        return self._pieces[piece_id]

    def create(
        self,
        events: Events,
        made: dict[str, Any],
        *,
        title: str,
        parts: list[str],
        report: str = "",
        signatures: bytes = b"",
    ) -> Piece:
        """A new piece with its first version."""
        with self.lock:
            if len(self._pieces) >= MOST_PIECES:
                raise ValueError(f"there are {MOST_PIECES} pieces already; delete some")
            piece_id = secrets.token_hex(8)
            piece = Piece(piece_id, self.folder / piece_id, parts=parts, report=report)
            piece.folder.mkdir()
            try:
                if signatures:
                    write_whole(piece.folder / "signatures.json", signatures)
                piece.add(events, made, title=title)
            except BaseException:
                shutil.rmtree(piece.folder, ignore_errors=True)
                raise
            self._pieces[piece_id] = piece
            return piece

    def delete(self, piece_id: str) -> None:
        """Delete a piece with its history."""
        with self.lock:
            piece = self._pieces.pop(piece_id)
            shutil.rmtree(piece.folder, ignore_errors=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, readable by its owner only, so that it appears whole or not at all."""
    unfinished = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    with naming(path):
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


def _write_events(path: Path, events: Events) -> None:
    content = io.BytesIO()
    np.save(content, np.asarray(events, np.int32), allow_pickle=False)
    write_whole(path, content.getvalue())


def _read_events(path: Path) -> Events:
    events: Events = np.load(path, allow_pickle=False).astype(np.int64)
    return events


def _read_piece(path: Path) -> Piece | None:
    try:
        plain = json.loads((path / "piece.json").read_text(encoding="utf-8"))
        plain["versions"] = [Version(**one) for one in plain["versions"]]
        piece = Piece(id=path.name, folder=path, **plain)
        piece.events()
    except (OSError, ValueError, TypeError, KeyError, IndexError, EOFError):
        return None
    return piece
