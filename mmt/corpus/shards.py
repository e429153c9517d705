"""The working folder of a preparation, `.NAME-parts` next to its output: the list of sources, and finished shards.

The folder is locked while in use, and kept if the preparation stops. `sources.jsonl` lists every source, one per line.
Consecutive sources form shards of about one megabyte; a finished shard is one file, which appears when it is complete. Its
name is a hash of its inputs (settings; path, size and time of each source), so that a later call reuses a shard only if it
would be the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mmt.corpus.reading import Outcome, Row
from mmt.corpus.sources import Source, full_name
from mmt.music.atomic import FULL, is_named, locked
from mmt.music.files import MIDI_SUFFIXES
from mmt.representation.notes import NOTE_DTYPE, NoteTable

LISTING = "sources.jsonl"

# Limits of a shard in files and bytes of MIDI: about 0.1 s of reading. Other formats take longer per byte, by a factor.
_FILES, _BYTES, _OTHER_FORMATS = 64, 2**20, 8
# Increase this when the shards of the same settings and sources would change.
_SHARD_VERSION = 2
# Header of a shard: number of bytes of its rows (JSON), and number of notes. Rows and notes follow.
_SIZES = struct.Struct("<QQ")


@dataclass(frozen=True)
class Shard:
    """Some of the sources, and the file for the results of reading them."""

    file: Path
    sources: tuple[Source, ...]

    @property
    def is_finished(self) -> bool:
        """Whether the file exists and is not truncated, as after a power failure."""
        try:
            with self.file.open("rb") as file:
                rows, notes = _SIZES.unpack(file.read(_SIZES.size))
            return bool(self.file.stat().st_size == _SIZES.size + rows + notes * NOTE_DTYPE.itemsize)
        except (OSError, struct.error):
            return False


@contextmanager
def working_folder(output: Path) -> Iterator[Path]:
    """Create and lock the folder of finished shards; a `BlockingIOError` if another preparation of the same output is running.

    The folder is removed after success and after a `ValueError` (the user has to change the call), and kept after any other
    error, so that the next call can continue.
    """
    parts = output.absolute().parent / f".{output.absolute().name}-parts"
    made = [folder for folder in parts.parents if not folder.exists()]
    refusal = f"another preparation of {output} is at work; wait until it has ended, or give another folder"
    with ExitStack() as stack:
        is_locked = False
        while not is_locked:
            parts.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # another preparation has just finished and removed the folder
                stack.enter_context(locked(parts / "lock", refusal))
                is_locked = True
        try:
            yield parts
        except (ValueError, FileNotFoundError) as error:
            # A misspelt source must not discard the shards of an earlier call.
            if isinstance(error, ValueError) or not any(parts.glob("*.shard")):
                shutil.rmtree(parts, ignore_errors=True)
            for folder in made:
                with suppress(OSError):
                    folder.rmdir()
            raise
        except OSError as error:
            # The folder of temporary files may be full instead.
            if error.errno not in FULL or (is_named(error) and f"cannot write {output}: " not in str(error)):
                raise
            raise OSError(
                error.errno,
                f"the disk of {output} is full ({os.strerror(error.errno)}); free some space and call again: "
                f"what is finished is kept in {parts}",
            ) from error
        else:
            shutil.rmtree(parts, ignore_errors=True)


def list_sources(folder: Path, found: Iterator[Source], reason_against: Callable[[Source], str]) -> tuple[int, int]:
    """Write the list of sources with the reason why each is left out ("" if it is read).

    Sources that share a name are listed by their full name. Returns the number of sources, and of those to read.
    """
    raw = folder / "found.jsonl"
    hashes = array("Q")  # of the names, which would take too much memory
    with raw.open("w", encoding="utf-8") as file:
        for source in found:
            file.write(json.dumps(_values(source)) + "\n")
            hashes.append(short_hash(source.name))
    values, counts = np.unique(np.frombuffer(hashes, np.uint64), return_counts=True)
    repeated = set(values[counts > 1].tolist())
    seen: set[str] = set()
    read = 0
    with raw.open(encoding="utf-8") as lines, (folder / LISTING).open("w", encoding="utf-8") as file:
        for source in (Source(*json.loads(line)) for line in lines):
            reason = ""
            if short_hash(source.name) in repeated:
                source = replace(source, name=full_name(source))
                reason = "another member of its archive has the same name" if source.name in seen else ""
                seen.add(source.name)
            reason = reason or reason_against(source)
            read += not reason
            file.write(json.dumps([reason, *_values(source)]) + "\n")
    raw.unlink()
    return len(hashes), read


def listed_sources(folder: Path) -> Iterator[tuple[str, Source]]:
    """Pairs of (reason for leaving it out or "", source) for every source."""
    with (folder / LISTING).open(encoding="utf-8") as lines:
        for line in lines:
            reason, *values = json.loads(line)
            yield reason, Source(*values)


def shards(folder: Path, settings: object) -> Iterator[Shard]:
    """The shards of the sources to read; `settings` (JSON values) are all settings that their content depends on."""
    chosen: list[Source] = []
    weight = 0
    for reason, source in listed_sources(folder):
        if reason:
            continue
        chosen.append(source)
        weight += source.size * (1 if suffix(source) in MIDI_SUFFIXES else _OTHER_FORMATS)
        if len(chosen) == _FILES or weight >= _BYTES:
            yield _shard(folder, chosen, settings)
            chosen, weight = [], 0
    if chosen:
        yield _shard(folder, chosen, settings)


def write_shard(file: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the results of a shard's files; the file appears when it is complete."""
    rows = json.dumps([list(vars(row).values()) for row, _ in outcomes]).encode()
    notes = sum(len(table) for _, table in outcomes)
    unfinished = file.with_suffix(".tmp")
    try:
        with unfinished.open("wb") as target:
            target.write(_SIZES.pack(len(rows), notes) + rows)
            target.writelines(table.data for _, table in outcomes)
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)


def read_rows(file: Path) -> list[Row]:
    """The results of a shard's files, without notes."""
    with file.open("rb") as shard:
        size, _ = _SIZES.unpack(shard.read(_SIZES.size))
        return [Row(*values) for values in json.loads(shard.read(size))]


def read_notes(file: Path) -> NoteTable:
    """The notes of a shard's kept pieces, concatenated."""
    content = file.read_bytes()
    size, count = _SIZES.unpack_from(content)
    return np.frombuffer(content, NOTE_DTYPE, count, _SIZES.size + size)


def suffix(source: Source) -> str:
    """The lower-case suffix of a source's file, which selects its reader."""
    return os.path.splitext(source.path or source.root)[1].lower()


def short_hash(text: str) -> int:
    """A 64-bit hash of a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _values(source: Source) -> list[str | int]:
    return [getattr(source, name) for name in Source.__slots__]


def _shard(folder: Path, sources: Sequence[Source], settings: object) -> Shard:
    facts = [(os.path.abspath(s.root), s.path, s.member, s.tune, s.size, s.modified) for s in sources]
    key = hashlib.sha256(json.dumps([_SHARD_VERSION, settings, facts]).encode()).hexdigest()
    return Shard(folder / f"{key[:32]}.shard", tuple(sources))
