"""The last step of a preparation: assemble the corpus from the finished shards, in two passes.

The first pass collects a few numbers per file, which decide on duplicates and splits. The second pass writes the table, the
notes and the list of skipped files.
"""

from __future__ import annotations

import io
import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np
import numpy.typing as npt

from mmt.corpus.shards import Row, Shard, listed_sources, read_notes, read_rows, short_hash
from mmt.corpus.sources import Source
from mmt.corpus.splits import SPLITS, check_shares, draw_splits, work_of
from mmt.corpus.storage import CORPUS, NOTES, PIECES, REPORT, Piece, write_description, write_pieces
from mmt.model.provenance import write_provenance
from mmt.representation.codes import Representation
from mmt.representation.notes import NOTE_DTYPE, NoteTable, Report

DUPLICATES = ("keep", "files", "notes")
_DUPLICATE_REASONS = ("", "the same file as an earlier one", "the same notes as an earlier one, transposed or not")

Shards = Callable[[], Iterator[Shard]]
Hashes = npt.NDArray[np.uint64]
Repeats = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Choice:
    """Options that decide which pieces are kept, and in which split."""

    duplicates: str
    """One of `DUPLICATES`: keep all, or only the first of equal files, or also only the first of equal notes."""
    work_pattern: str | None
    shares: Mapping[str, float]
    seed: int
    listed: Mapping[str, str] | None
    """The split of each name; the key "" is for all other names, and the value "" means a random split."""
    works: Mapping[str, str]
    """An additional work of each name."""

    def __post_init__(self) -> None:
        if self.duplicates not in DUPLICATES:
            raise ValueError(f"duplicates is {self.duplicates!r}; choose one of {', '.join(DUPLICATES)}")
        check_shares(self.shares)
        if self.work_pattern is None:
            return
        try:
            groups = re.compile(self.work_pattern).groups
        except re.error as error:
            raise ValueError(f"work_pattern {self.work_pattern!r} is not a regular expression: {error}") from error
        if not groups:
            raise ValueError(
                f"work_pattern {self.work_pattern!r} has no group; put the part that names the work in parentheses"
            )

    @property
    def draws(self) -> bool:
        """Whether random splits are drawn, for all names or for those that are not listed."""
        return self.listed is None or self.listed.get("") == ""


@dataclass
class Tally:
    """Counts of a corpus while it is written."""

    kept: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    notes: Report = field(default_factory=Report)
    """The report of the notes of all kept pieces."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Number of skipped files for each reason, without details of the single file."""

    def keep(self, piece: Piece, row: Row) -> None:
        """Count a kept piece."""
        self.kept += 1
        self.splits[piece.split] += 1
        self.licences[piece.licence] += 1
        self.notes += Report(row.read, row.length, Counter(row.dropped), Counter(row.changed))


def assemble(folder: Path, parts: Path, shards: Shards, choice: Choice, representation: Representation) -> Tally:
    """Write the corpus from the finished shards in the working folder `parts`; return its counts.

    Raises
    ------
    ValueError
        If no piece is kept.
    """
    survey = _survey(shards, choice)
    repeats = _find_duplicates(survey, choice.duplicates)
    kept = survey.usable & (repeats == 0)
    tally, skipped = Tally(), parts / "skipped.jsonl"
    with (folder / NOTES).open("wb") as notes, skipped.open("w", encoding="utf-8") as left_out:
        notes.write(_header(int(survey.lengths[kept].sum())))
        for reason, source in listed_sources(parts):
            if reason:
                _skip(source, reason, left_out, tally)
        outcomes = _outcomes(shards, repeats, left_out, tally)
        write_pieces(folder / PIECES, _pieces(outcomes, _splits(survey, kept, choice), notes, tally))
    if not tally.kept:
        name, reason = next(_read_skipped(skipped))
        raise ValueError(f"none of {tally.reasons.total():,} files is usable; the first, {name}: {reason}")
    write_description(folder / CORPUS, representation)
    write_provenance(folder, {"seed": choice.seed, "shares": dict(choice.shares), "duplicates": choice.duplicates})
    _write_report(folder / REPORT, tally, _read_skipped(skipped))
    return tally


def _header(length: int) -> bytes:
    """The header of `notes.npy`; the notes are appended piece by piece."""
    header = io.BytesIO()
    facts = {"descr": NOTE_DTYPE.descr, "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(header, facts)  # type: ignore[no-untyped-call]
    return header.getvalue()


@dataclass(frozen=True)
class _Survey:
    """Facts about all files that were read, which are needed before the first is written: arrays, one number per file."""

    usable: npt.NDArray[np.bool_]
    lengths: npt.NDArray[np.int64]
    contents: Hashes
    fingerprints: Hashes
    works: Hashes
    also: Hashes
    """A second work, or the same as in `works`."""
    listed: npt.NDArray[np.uint8]
    """Index of its split in `SPLITS`, if no splits are drawn."""
    fixed: Mapping[int, tuple[str, str]]
    """If the other splits are drawn: the name and split of each listed file, by the index of the file."""


def _survey(shards: Shards, choice: Choice) -> _Survey:
    usable, listed = array("B"), array("B")
    lengths, contents, fingerprints, works, also = array("q"), array("Q"), array("Q"), array("Q"), array("Q")
    fixed: dict[int, tuple[str, str]] = {}
    for shard in shards():
        for source, row in zip(shard.sources, read_rows(shard.file), strict=True):
            usable.append(not row.reason)
            lengths.append(row.length)
            contents.append(int(row.sha256[:16] or "0", 16))
            fingerprints.append(int(row.fingerprint or "0", 16))
            if choice.draws:
                work = work_of(source.name, choice.work_pattern, source.work)
                works.append(short_hash(work))
                also.append(short_hash(choice.works.get(source.name, work)))
                if split := (choice.listed or {}).get(source.name):
                    fixed[len(works) - 1] = source.name, split
            elif choice.listed is not None:
                listed.append(SPLITS.index(choice.listed.get(source.name) or choice.listed[""]))
    return _Survey(
        np.asarray(usable, bool),
        np.asarray(lengths, np.int64),
        np.asarray(contents, np.uint64),
        np.asarray(fingerprints, np.uint64),
        np.asarray(works, np.uint64),
        np.asarray(also, np.uint64),
        np.asarray(listed, np.uint8),
        fixed,
    )


def _find_duplicates(survey: _Survey, duplicates: str) -> Repeats:
    """For each file that was read, the index of a reason in `_DUPLICATE_REASONS`; 0 if it is not a duplicate."""
    repeats = np.zeros(len(survey.usable), np.uint8)
    left = np.flatnonzero(survey.usable)
    for kind, facts in ((1, survey.contents), (2, survey.fingerprints))[: DUPLICATES.index(duplicates)]:
        again = np.ones(len(left), bool)
        again[np.unique(facts[left], return_index=True)[1]] = False
        repeats[left[again]] = kind
        left = left[~again]
    return repeats


def _splits(survey: _Survey, kept: npt.NDArray[np.bool_], choice: Choice) -> Iterator[str]:
    """The split of each kept piece."""
    if not kept.any():
        return iter(())
    if not choice.draws:
        return (SPLITS[place] for place in survey.listed[kept])
    places = np.cumsum(kept) - 1
    fixed = {int(places[file]): named for file, named in survey.fixed.items() if kept[file]}
    works, also, fingerprints = survey.works[kept], survey.also[kept], survey.fingerprints[kept]
    return iter(draw_splits(works, fingerprints, choice.shares, choice.seed, also=also, fixed=fixed))


def _outcomes(
    shards: Shards, repeats: Repeats, skipped: TextIO, tally: Tally
) -> Iterator[tuple[Source, Row, NoteTable]]:
    """The kept files with their notes; files that are left out are written to `skipped`."""
    kinds = iter(repeats)
    for shard in shards():
        table, end = read_notes(shard.file), 0
        for source, row in zip(shard.sources, read_rows(shard.file), strict=True):
            end += row.length
            reason = _DUPLICATE_REASONS[next(kinds)] or row.reason
            if reason:
                _skip(source, reason, skipped, tally)
            else:
                yield source, row, table[end - row.length : end]


def _pieces(
    outcomes: Iterator[tuple[Source, Row, NoteTable]], splits: Iterator[str], notes: BinaryIO, tally: Tally
) -> Iterator[Piece]:
    """The rows of the kept pieces; also writes their notes."""
    for source, row, table in outcomes:
        piece = _piece(source, row, tally.notes.kept, next(splits))
        notes.write(table.data)
        tally.keep(piece, row)
        yield piece


def _skip(source: Source, reason: str, skipped: TextIO, tally: Tally) -> None:
    tally.reasons[_kind(reason)] += 1
    skipped.write(json.dumps([source.name, reason]) + "\n")


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


def _read_skipped(skipped: Path) -> Iterator[tuple[str, str]]:
    """(name, reason) of each skipped file."""
    with skipped.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _kind(reason: str) -> str:
    """The part of a reason that files may share: the last clause of a reader's message, without numbers."""
    last = re.split(r": (?![^(]*\))", reason)[-1]  # not within parentheses
    return re.sub(r"\d[\d,]*", "…", last)[:100] if last != reason else reason


def _write_report(path: Path, tally: Tally, skipped: Iterator[tuple[str, str]]) -> None:
    report = {
        "files": {"kept": tally.kept, "reasons": dict(tally.reasons.most_common()), "skipped": {}},
        "pieces": dict(tally.splits),
        "notes": {
            "read": tally.notes.notes,
            "kept": tally.notes.kept,
            "dropped": dict(tally.notes.dropped),
            "changed": dict(tally.notes.changed),
        },
        "licences": dict(tally.licences),
    }
    # There may be many skipped files: write their names and reasons one by one.
    head, tail = json.dumps(report, indent=1, ensure_ascii=False).split('"skipped": {}')
    text = partial(json.dumps, ensure_ascii=False)
    with path.open("w", encoding="utf-8") as file:
        file.write(head + '"skipped": {')
        separator = "\n"
        for name, reason in skipped:
            file.write(f"{separator}   {text(name)}: {text(reason)}")
            separator = ",\n"
        file.write(("}" if separator == "\n" else "\n  }") + tail + "\n")
