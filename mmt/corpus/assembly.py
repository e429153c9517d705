"""The last step of a preparation: assemble the corpus from the finished shards, in two passes.

The first pass collects a few numbers per file, which decide on duplicates and splits. The second pass writes the table, the
notes and the list of skipped files.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np
import numpy.typing as npt

from mmt.corpus.pieces import Piece, write_pieces
from mmt.corpus.reading import Row
from mmt.corpus.shards import Shard, listed_sources, read_notes, read_rows, short_hash
from mmt.corpus.sources import Source
from mmt.corpus.splits import SPLITS, check_shares, draw_splits, work_of
from mmt.corpus.storage import CORPUS, NOTES, PIECES, REPORT, write_description
from mmt.model.provenance import write_provenance
from mmt.representation.codes import Representation
from mmt.representation.notes import NOTE_DTYPE, Report

DUPLICATES = ("keep", "files", "notes")
_DUPLICATE_REASONS = ("", "the same file as an earlier one", "the same notes as an earlier one, transposed or not")

Shards = Callable[[], Iterator[Shard]]
Survey = npt.NDArray[np.void]
Repeats = npt.NDArray[np.uint8]

# Whether a file is usable, its number of notes, and hashes; `also` is a second work, or the same as `work`; `listed` is the
# index of its split in `SPLITS`, if no splits are drawn.
_SURVEY = np.dtype(
    [
        ("usable", "?"),
        ("length", "i8"),
        ("content", "u8"),
        ("notes", "u8"),
        ("work", "u8"),
        ("also", "u8"),
        ("listed", "u1"),
    ]
)


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

    A `ValueError` says that no piece is kept.
    """
    survey, fixed = _survey(shards, choice)
    repeats = _find_duplicates(survey, choice.duplicates)
    kept = survey["usable"] & (repeats == 0)
    tally, skipped = Tally(), parts / "skipped.jsonl"
    with (folder / NOTES).open("wb") as notes, skipped.open("w", encoding="utf-8") as left_out:
        # The header of an array; the notes are appended piece by piece.
        shape = (int(survey["length"][kept].sum()),)
        header = {"descr": NOTE_DTYPE.descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(notes, header)  # type: ignore[no-untyped-call]
        for reason, source in listed_sources(parts):
            if reason:
                _skip(source, reason, left_out, tally)
        splits = _splits(survey, fixed, kept, choice)
        write_pieces(folder / PIECES, _pieces(shards, repeats, splits, notes, left_out, tally))
    if not tally.kept:
        name, reason = next(_read_skipped(skipped))
        raise ValueError(f"none of {tally.reasons.total():,} files is usable; the first, {name}: {reason}")
    write_description(folder / CORPUS, representation)
    write_provenance(folder, {"seed": choice.seed, "shares": dict(choice.shares), "duplicates": choice.duplicates})
    _write_report(folder / REPORT, tally, _read_skipped(skipped))
    return tally


def _survey(shards: Shards, choice: Choice) -> tuple[Survey, dict[int, tuple[str, str]]]:
    """What the choice of pieces needs to know of all files; and the name and split of each file in a list, by its index, if
    the other splits are drawn."""
    fixed: dict[int, tuple[str, str]] = {}

    def facts() -> Iterator[tuple[int, ...]]:
        files = (pair for shard in shards() for pair in zip(shard.sources, read_rows(shard.file), strict=True))
        for index, (source, row) in enumerate(files):
            work, listed = source.name, 0
            if choice.draws:
                work = work_of(source.name, choice.work_pattern, source.work)
                if split := (choice.listed or {}).get(source.name):
                    fixed[index] = source.name, split
            elif choice.listed is not None:
                listed = SPLITS.index(choice.listed.get(source.name) or choice.listed[""])
            hashes = int(row.sha256[:16] or "0", 16), int(row.fingerprint or "0", 16)
            works = short_hash(work), short_hash(choice.works.get(source.name, work))
            yield not row.reason, row.length, *hashes, *works, listed

    return np.fromiter(facts(), _SURVEY), fixed


def _find_duplicates(survey: Survey, duplicates: str) -> Repeats:
    """For each file that was read, the index of a reason in `_DUPLICATE_REASONS`; 0 if it is not a duplicate."""
    repeats = np.zeros(len(survey), np.uint8)
    left = np.flatnonzero(survey["usable"])
    for kind, name in ((1, "content"), (2, "notes"))[: DUPLICATES.index(duplicates)]:
        again = np.ones(len(left), bool)
        again[np.unique(survey[name][left], return_index=True)[1]] = False
        repeats[left[again]] = kind
        left = left[~again]
    return repeats


def _splits(
    survey: Survey, fixed: Mapping[int, tuple[str, str]], kept: npt.NDArray[np.bool_], choice: Choice
) -> Iterator[str]:
    """The split of each kept piece."""
    if not kept.any():
        return iter(())
    chosen, places = survey[kept], np.cumsum(kept) - 1
    if not choice.draws:
        return (SPLITS[place] for place in chosen["listed"])
    fixed = {int(places[file]): named for file, named in fixed.items() if kept[file]}
    return iter(
        draw_splits(chosen["work"], chosen["notes"], choice.shares, choice.seed, also=chosen["also"], fixed=fixed)
    )


def _pieces(
    shards: Shards, repeats: Repeats, splits: Iterator[str], notes: BinaryIO, skipped: TextIO, tally: Tally
) -> Iterator[Piece]:
    """The rows of the kept pieces, whose notes are written to `notes`; files that are left out are written to `skipped`."""
    kinds = iter(repeats)
    for shard in shards():
        table, end = read_notes(shard.file), 0
        for source, row in zip(shard.sources, read_rows(shard.file), strict=True):
            end += row.length
            if reason := _DUPLICATE_REASONS[next(kinds)] or row.reason:
                _skip(source, reason, skipped, tally)
                continue
            piece = Piece(
                source.name, tally.notes.kept, row.length, row.beats, row.instruments, next(splits), source.source,
                source.licence, row.sha256, source.composer,
            )  # fmt: skip
            notes.write(table[end - row.length : end].data)
            tally.keep(piece, row)
            yield piece


def _skip(source: Source, reason: str, skipped: TextIO, tally: Tally) -> None:
    tally.reasons[_kind(reason)] += 1
    skipped.write(json.dumps([source.name, reason]) + "\n")


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
