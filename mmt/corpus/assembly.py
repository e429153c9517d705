"""The last step of a preparation: finished shards become a corpus. They are read one after the other, a few times over.

First what concerns all pieces is decided, by a few numbers a piece: doubles and splits. Then table, notes and report are
written as they come.
"""

from __future__ import annotations

import io
import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from mmt.corpus.shards import Row, Shard, listed_sources, read_notes, read_rows, short_hash
from mmt.corpus.sources import Source
from mmt.corpus.splits import draw_splits, work_of
from mmt.corpus.storage import CORPUS, NOTES, PIECES, REPORT, Piece, write_description, write_pieces
from mmt.representation.codes import Representation
from mmt.representation.notes import NOTE_DTYPE, Report

DUPLICATES = ("keep", "files", "notes")
_DOUBLES = ("", "the same file as an earlier one", "the same notes as an earlier one, transposed or not")

Shards = Callable[[], Iterator[Shard]]
Doubles = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Choice:
    """What decides which of the pieces that were read are kept, and in which split."""

    duplicates: str
    """One of `DUPLICATES`: keep them, or only the first of the same files, or of the same notes as well."""
    work_pattern: str | None
    shares: Mapping[str, float]
    seed: int
    listed: Mapping[str, str] | None
    """The split of each name instead of a draw; of "" for all other names."""


@dataclass
class Tally:
    """What is counted while a corpus is written."""

    kept: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    read_notes: int = 0
    kept_notes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    """Files left out, by reason, without what is true of one file alone."""

    def keep(self, piece: Piece, row: Row) -> None:
        """Count a piece that is kept."""
        self.kept += 1
        self.splits[piece.split] += 1
        self.licences[piece.licence] += 1
        self.read_notes += row.read
        self.kept_notes += row.length
        for counts, more in ((self.dropped, row.dropped), (self.changed, row.changed)):
            for reason, count in more.items():
                counts[reason] += count

    def notes(self) -> Report:
        """What became of the notes of the pieces that are kept."""
        return Report(self.read_notes, self.kept_notes, self.dropped, self.changed)


def assemble(folder: Path, parts: Path, shards: Shards, choice: Choice, representation: Representation) -> Tally:
    """Write the corpus that the finished shards of the working folder `parts` make; returns what was counted.

    Raises
    ------
    ValueError
        If no piece is kept.
    """
    doubles = _doubles(shards, choice.duplicates)
    splits, total = _splits_and_notes(shards, doubles, choice)
    tally = Tally(reasons=Counter(_kind(reason) for _, reason in _left_out(parts, shards, doubles)))
    if not splits:
        name, reason = next(_left_out(parts, shards, doubles))
        raise ValueError(f"none of {tally.reasons.total():,} files is usable; the first, {name}: {reason}")
    with (folder / NOTES).open("wb") as notes:
        notes.write(_header(total))
        write_pieces(folder / PIECES, _pieces(shards, doubles, splits, notes, tally))
    write_description(folder / CORPUS, representation)
    _write_report(folder / REPORT, tally, _left_out(parts, shards, doubles))
    return tally


def _header(length: int) -> bytes:
    """The beginning of `notes.npy`, so that the notes can follow one after the other."""
    header = io.BytesIO()
    facts = {"descr": NOTE_DTYPE.descr, "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(header, facts)  # type: ignore[no-untyped-call]
    return header.getvalue()


def _doubles(shards: Shards, duplicates: str) -> Doubles:
    """For each file that was read whether it is left out as a double, and of what kind: an index of `_DOUBLES`."""
    if duplicates == DUPLICATES[0]:
        return np.zeros(sum(len(shard.sources) for shard in shards()), np.uint8)
    usable, files, notes = array("B"), array("Q"), array("Q")
    for shard in shards():
        for row in read_rows(shard.file):
            usable.append(not row.reason)
            files.append(int(row.sha256[:16] or "0", 16))
            notes.append(int(row.fingerprint or "0", 16))
    doubles = np.zeros(len(usable), np.uint8)
    left = np.flatnonzero(usable)
    for kind, facts in ((1, files), (2, notes))[: DUPLICATES.index(duplicates)]:
        again = np.ones(len(left), bool)
        again[np.unique(np.asarray(facts, np.uint64)[left], return_index=True)[1]] = False
        doubles[left[again]] = kind
        left = left[~again]
    return doubles


def _splits_and_notes(shards: Shards, doubles: Doubles, choice: Choice) -> tuple[list[str], int]:
    """The split of each piece that is kept, and how many notes all of them have."""
    total = 0
    works, fingerprints = array("Q"), array("Q")
    listed: list[str] = []
    for source, row, reason in _outcomes(shards, doubles):
        if reason:
            continue
        total += row.length
        if choice.listed is not None:
            listed.append(choice.listed.get(source.name) or choice.listed[""])
        else:
            works.append(short_hash(source.work or work_of(source.name, choice.work_pattern)))
            fingerprints.append(int(row.fingerprint, 16))
    if choice.listed is not None or not works:
        return listed, total
    columns = np.asarray(works, np.uint64), np.asarray(fingerprints, np.uint64)
    return draw_splits(*columns, choice.shares, choice.seed), total


def _pieces(shards: Shards, doubles: Doubles, splits: Sequence[str], notes: BinaryIO, tally: Tally) -> Iterator[Piece]:
    """The rows of the pieces that are kept; their notes are written on the way."""
    left = iter(splits)
    for shard, part in _parts(shards, doubles):
        table = read_notes(shard.file)
        if any(reason and row.length for _, row, reason in part):
            table = table[np.repeat([not reason for _, _, reason in part], [row.length for _, row, _ in part])]
        notes.write(table.data)
        for source, row, reason in part:
            if not reason:
                piece = _piece(source, row, tally.kept_notes, next(left))
                tally.keep(piece, row)
                yield piece


def _piece(source: Source, row: Row, offset: int, split: str) -> Piece:
    return Piece(
        name=source.name,
        offset=offset,
        length=row.length,
        beats=row.beats,
        instruments=row.instruments,
        split=split,
        source=source.source,
        licence=source.licence,
        sha256=row.sha256,
        composer=source.composer,
    )


def _parts(shards: Shards, doubles: Doubles) -> Iterator[tuple[Shard, list[tuple[Source, Row, str]]]]:
    """Of each shard, of each of its files: source, row, and why it is left out, "" if it is kept."""
    first = 0
    for shard in shards():
        kinds = doubles[first : first + len(shard.sources)]
        first += len(shard.sources)
        rows = zip(shard.sources, read_rows(shard.file), kinds, strict=True)
        yield shard, [(source, row, row.reason or _DOUBLES[kind]) for source, row, kind in rows]


def _outcomes(shards: Shards, doubles: Doubles) -> Iterator[tuple[Source, Row, str]]:
    return (outcome for _, part in _parts(shards, doubles) for outcome in part)


def _left_out(parts: Path, shards: Shards, doubles: Doubles) -> Iterator[tuple[str, str]]:
    """(name, reason) of each file that is left out, first those that were not even read."""
    yield from ((source.name, reason) for reason, source in listed_sources(parts) if reason)
    yield from ((source.name, reason) for source, _, reason in _outcomes(shards, doubles) if reason)


def _kind(reason: str) -> str:
    """What files may have in common in the reason why they are left out: a reader's last words, without numbers."""
    return re.sub(r"\d[\d,]*", "…", reason.split(": ")[-1])[:100] if ": " in reason else reason


def _write_report(path: Path, tally: Tally, left_out: Iterator[tuple[str, str]]) -> None:
    report = {
        "files": {"kept": tally.kept, "reasons": dict(tally.reasons.most_common()), "skipped": {}},
        "pieces": dict(tally.splits),
        "notes": {
            "read": tally.read_notes,
            "kept": tally.kept_notes,
            "dropped": dict(tally.dropped),
            "changed": dict(tally.changed),
        },
        "licences": dict(tally.licences),
    }
    # The files left out may be many: their names and reasons go in one by one.
    head, tail = json.dumps(report, indent=1, ensure_ascii=False).split('"skipped": {}')
    with path.open("w", encoding="utf-8") as file:
        file.write(head + '"skipped": {')
        separator = "\n"
        for name, reason in left_out:
            file.write(f"{separator}   {_text(name)}: {_text(reason)}")
            separator = ",\n"
        file.write(("}" if separator == "\n" else "\n  }") + tail + "\n")


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
