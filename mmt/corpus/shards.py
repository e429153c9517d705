"""The working folder of a preparation, `.NAME-parts` beside its output: what was found, and what is finished of it.

`sources.jsonl` lists every source, a line each. The sources are dealt, in order, into shards of about a megabyte; a
finished shard is one file, which appears whole. Its name is a hash of what it depends on (settings; each source's place,
size and time), so that a preparation that goes on later takes it if, and only if, it would come out the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmt.corpus.reading import Outcome
from mmt.corpus.sources import Source, full_name
from mmt.music.files import MIDI_SUFFIXES
from mmt.representation.codes import Representation
from mmt.representation.notes import NOTE_DTYPE, NoteTable

LISTING = "sources.jsonl"

# A shard is this many files, or this many bytes of MIDI: about a tenth of a second. Other forms take longer.
_FILES, _BYTES, _OTHERS_TAKE = 64, 2**20, 8
# Raised where a shard's content would change for the same settings and sources.
_SHARD_VERSION = 2
# What a shard begins with: the bytes of its rows, as JSON, and the number of its notes. Both follow.
_SIZES = struct.Struct("<QQ")


@dataclass(frozen=True)
class Shard:
    """A part of the sources, and the file that holds what was made of them."""

    file: Path
    sources: tuple[Source, ...]

    @property
    def is_finished(self) -> bool:
        """Whether its file is there, and was not cut off (as by a power failure)."""
        try:
            with self.file.open("rb") as file:
                rows, notes = _SIZES.unpack(file.read(_SIZES.size))
            return bool(self.file.stat().st_size == _SIZES.size + rows + notes * NOTE_DTYPE.itemsize)
        except (OSError, struct.error):
            return False


@dataclass(frozen=True)
class Row:
    """What became of one file, without its notes."""

    reason: str
    sha256: str
    fingerprint: str
    length: int
    beats: int
    instruments: str
    read: int
    dropped: dict[str, int]
    changed: dict[str, int]


def list_sources(folder: Path, found: Iterator[Source], reason_against: Callable[[Source], str]) -> tuple[int, int]:
    """Write the list of sources, each with the reason why it is left out unread, "" for none.

    Of sources with the same name each is called by its full name. Returns how many there are, and how many are read.
    """
    raw = folder / "found.jsonl"
    hashes = array("Q")
    with raw.open("w", encoding="utf-8") as file:
        for source in found:
            file.write(json.dumps(_values(source)) + "\n")
            hashes.append(short_hash(source.name))
    repeated = _repeated(np.frombuffer(hashes, np.uint64))
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
    """(why it is left out unread, source) for every source."""
    with (folder / LISTING).open(encoding="utf-8") as lines:
        for line in lines:
            reason, *values = json.loads(line)
            yield reason, Source(*values)


def shards(folder: Path, settings: object) -> Iterator[Shard]:
    """The shards of the sources that are read; `settings` are JSON, and what their content depends on."""
    chosen: list[Source] = []
    weight = 0
    for reason, source in listed_sources(folder):
        if reason:
            continue
        chosen.append(source)
        weight += source.size * (1 if suffix(source) in MIDI_SUFFIXES else _OTHERS_TAKE)
        if len(chosen) == _FILES or weight >= _BYTES:
            yield _shard(folder, chosen, settings)
            chosen, weight = [], 0
    if chosen:
        yield _shard(folder, chosen, settings)


def write_shard(file: Path, outcomes: Sequence[Outcome], representation: Representation) -> None:
    """Write what became of a shard's files; the file appears whole."""
    rows = json.dumps([list(vars(_row(outcome, representation)).values()) for outcome in outcomes]).encode()
    notes = sum(len(outcome.table) for outcome in outcomes)
    unfinished = file.with_suffix(".tmp")
    try:
        with unfinished.open("wb") as target:
            target.write(_SIZES.pack(len(rows), notes) + rows)
            target.writelines(outcome.table.data for outcome in outcomes)
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)


def read_rows(file: Path) -> list[Row]:
    """What became of a shard's files."""
    with file.open("rb") as shard:
        size, _ = _SIZES.unpack(shard.read(_SIZES.size))
        return [Row(*values) for values in json.loads(shard.read(size))]


def read_notes(file: Path) -> NoteTable:
    """The notes of a shard's kept pieces, one behind the other."""
    with file.open("rb") as shard:
        size, count = _SIZES.unpack(shard.read(_SIZES.size))
        shard.seek(size, os.SEEK_CUR)
        return np.frombuffer(shard.read(), NOTE_DTYPE, count)


def suffix(source: Source) -> str:
    """The suffix of its file, by which it is read."""
    return os.path.splitext(source.path or source.root)[1].lower()


def short_hash(text: str) -> int:
    """64 bits that stand for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _values(source: Source) -> list[str | int]:
    return [getattr(source, name) for name in Source.__slots__]


def _shard(folder: Path, sources: Sequence[Source], settings: object) -> Shard:
    facts = [(os.path.abspath(s.root), s.path, s.member, s.tune, s.size, s.modified) for s in sources]
    key = hashlib.sha256(json.dumps([_SHARD_VERSION, settings, facts]).encode()).hexdigest()
    return Shard(folder / f"{key[:32]}.shard", tuple(sources))


def _row(outcome: Outcome, representation: Representation) -> Row:
    table, report = outcome.table, outcome.report
    return Row(
        reason=outcome.reason,
        sha256=outcome.sha256,
        fingerprint=outcome.fingerprint,
        length=len(table),
        beats=1 + int(table["beat"][-1]) if len(table) else 0,
        instruments=" ".join(
            representation.names[code - 1] for code in np.flatnonzero(np.bincount(table["instrument"]))
        ),
        read=report.notes,
        dropped=dict(report.dropped),
        changed=dict(report.changed),
    )


def _repeated(hashes: npt.NDArray[np.uint64]) -> set[int]:
    ordered = np.sort(hashes)
    return set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
