"""The last step of a preparation: assemble the corpus from the finished shards, in two passes.

The first pass collects a few numbers per file, which decide on duplicates and splits. The second pass writes the table, the
notes and the list of skipped files.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np
import numpy.typing as npt

from mmt.corpus.pieces import Piece, write_pieces
from mmt.corpus.reading import Row
from mmt.corpus.shards import Shard, listed_sources, read_notes, read_rows, short_hash
from mmt.corpus.sources import Source
from mmt.corpus.splits import check_shares, draw_splits, named_splits, work_of
from mmt.corpus.storage import CORPUS, NOTES, PIECES, REPORT, write_description
from mmt.model.provenance import write_provenance
from mmt.representation.arguments import whole
from mmt.representation.codes import Representation
from mmt.representation.notes import NOTE_DTYPE, Report

DUPLICATES = ("keep", "files", "notes")
_DUPLICATE_REASONS = ("", "the same file as an earlier one", "the same notes as an earlier one, transposed or not")

Shards = Callable[[], Iterator[Shard]]
Survey = npt.NDArray[np.void]
Repeats = npt.NDArray[np.uint8]

# Whether a file is usable, its number of notes, and hashes; `also` is a second work, or the same as `work`.
_SURVEY = np.dtype(
    [("usable", "?"), ("length", "i8"), ("content", "u8"), ("notes", "u8"), ("work", "u8"), ("also", "u8")]
)


@dataclass(frozen=True)
class Choice:
    """Options of `prepare` that decide which files are read, which pieces are kept, and in which split.

    Files that share a work, directly or through other files, go into the same split. The work of a file stands in a manifest;
    without one, each file is a separate work. Source, licence and composer come from the manifest too.
    """

    duplicates: str
    """"keep"; "files" keeps only the first of files with the same content; "notes" keeps only the first of pieces with the same
    notes, up to transposition, instruments and initial silence."""
    exclude: Sequence[str]
    """Patterns (`*` matches anything, case is ignored). Files whose name, source, licence or composer matches one are not
    read."""
    shares: Mapping[str, float]
    """The shares of works in "valid" and "test"."""
    seed: int
    """Seed of the random splits."""
    splits: Mapping[str, Sequence[str]] | None
    """File names (as in `pieces.csv`) for "valid" and "test", instead of random splits. All other files are "train"; if "train"
    is given too, files in no list are left out."""
    draw_rest: bool
    """Draw splits for the files that share no work with a file in `splits`. Files that do share one join its split."""
    work_column: str
    """The column of the manifest that holds the work of a file."""
    work_pattern: str | None
    """A regular expression that is matched against the work in the manifest, or else against the file name without suffix. The
    first group that matches is the work."""
    works: Mapping[str, str]
    """Additional works, by file name."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", whole("seed", self.seed))
        if self.duplicates not in DUPLICATES:
            raise ValueError(f"duplicates is {self.duplicates!r}; choose one of {', '.join(DUPLICATES)}")
        check_shares(self.shares)
        if self.draw_rest and self.splits is None:
            raise ValueError("draw_rest is set, but no split has a list of names; give one, or leave draw_rest out")
        _ = self.listed  # raises an error if the lists do not fit together
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

    @cached_property
    def listed(self) -> dict[str, str]:
        """The split of each listed name, and of all others: see `named_splits`."""
        return named_splits(self.splits or {}, self.draw_rest or self.splits is None)

    @property
    def draws(self) -> bool:
        """Whether random splits are drawn, for all names or for those that are not listed."""
        return self.listed.get("") == ""


@dataclass
class Tally:
    """Counts of a corpus while it is written."""

    skipped: TextIO
    """The name of each file that is left out and the reason, as the members of an object in JSON."""
    kept: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    notes: Report = field(default_factory=Report)
    """The report of the notes of all kept pieces."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Number of skipped files for each reason, without details of the single file."""
    first: str = ""
    """The first skipped file and its reason."""

    def keep(self, piece: Piece, row: Row) -> None:
        """Count a kept piece."""
        self.kept += 1
        self.splits[piece.split] += 1
        self.licences[piece.licence] += 1
        self.notes += Report(row.read, row.length, Counter(row.dropped), Counter(row.changed))

    def skip(self, source: Source, reason: str) -> None:
        """Count a file that is left out, and write its name and the reason."""
        name, text = (json.dumps(text, ensure_ascii=False) for text in (source.name, reason))
        self.skipped.write(f"{',' if self.reasons else ''}\n   {name}: {text}")
        self.reasons[_kind(reason)] += 1
        self.first = self.first or f"{source.name}: {reason}"


def assemble(folder: Path, parts: Path, shards: Shards, choice: Choice, representation: Representation) -> Tally:
    """Write the corpus into a new folder, from the finished shards in the working folder `parts`; return its counts.

    A `ValueError` says that no piece is kept.
    """
    folder.mkdir()
    survey, fixed = _survey(shards, choice)
    repeats = _find_duplicates(survey, choice.duplicates)
    kept = survey["usable"] & (repeats == 0)
    with (folder / NOTES).open("wb") as notes, (parts / "skipped.json").open("w+", encoding="utf-8") as skipped:
        # The header of an array; the notes are appended piece by piece.
        shape = (int(survey["length"][kept].sum()),)
        header = {"descr": NOTE_DTYPE.descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(notes, header)  # type: ignore[no-untyped-call]
        tally = Tally(skipped)
        for reason, source in listed_sources(parts):
            if reason:
                tally.skip(source, reason)
        splits = _draw(survey, fixed, kept, choice) if choice.draws and kept.any() else repeat("")
        write_pieces(folder / PIECES, _pieces(shards, repeats, splits, choice.listed, notes, tally))
        if not tally.kept:
            raise ValueError(f"none of {tally.reasons.total():,} files is usable; the first, {tally.first}")
        write_description(folder / CORPUS, representation)
        write_provenance(folder, {"seed": choice.seed, "shares": dict(choice.shares), "duplicates": choice.duplicates})
        _write_report(folder / REPORT, tally)
    return tally


def _survey(shards: Shards, choice: Choice) -> tuple[Survey, dict[int, tuple[str, str]]]:
    """The facts on which the choice of pieces depends; and the name and split of listed files by index, if others are drawn."""
    fixed: dict[int, tuple[str, str]] = {}

    def facts() -> Iterator[tuple[int, ...]]:
        files = (pair for shard in shards() for pair in zip(shard.sources, read_rows(shard.file), strict=True))
        for index, (source, row) in enumerate(files):
            if choice.draws and (split := choice.listed.get(source.name)):
                fixed[index] = source.name, split
            hashes = int(row.sha256[:16] or "0", 16), int(row.fingerprint or "0", 16)
            work = work_of(source.name, choice.work_pattern, source.work)
            works = short_hash(work), short_hash(choice.works.get(source.name, work))
            yield not row.reason, row.length, *hashes, *works

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


def _draw(
    survey: Survey, fixed: Mapping[int, tuple[str, str]], kept: npt.NDArray[np.bool_], choice: Choice
) -> Iterator[str]:
    """The split of each kept piece, drawn or fixed by its work."""
    chosen, places = survey[kept], np.cumsum(kept) - 1
    fixed = {int(places[file]): named for file, named in fixed.items() if kept[file]}
    return iter(
        draw_splits(chosen["work"], chosen["notes"], choice.shares, choice.seed, also=chosen["also"], fixed=fixed)
    )


def _pieces(
    shards: Shards, repeats: Repeats, splits: Iterator[str], listed: Mapping[str, str], notes: BinaryIO, tally: Tally
) -> Iterator[Piece]:
    """The rows of the kept pieces, whose notes are written to `notes`; their splits are drawn (`splits`) or listed."""
    kinds = iter(repeats)
    for shard in shards():
        table, end = read_notes(shard.file), 0
        for source, row in zip(shard.sources, read_rows(shard.file), strict=True):
            end += row.length
            if reason := _DUPLICATE_REASONS[next(kinds)] or row.reason:
                tally.skip(source, reason)
                continue
            piece = Piece(
                source.name, tally.notes.kept, row.length, row.beats, row.instruments,
                next(splits) or listed.get(source.name) or listed[""],
                source.source, source.licence, row.sha256, source.composer,
            )  # fmt: skip
            notes.write(table[end - row.length : end].data)
            tally.keep(piece, row)
            yield piece


def _kind(reason: str) -> str:
    """The part of a reason that files may share: the last clause of a reader's message, without numbers."""
    last = re.split(r": (?![^(]*\))", reason)[-1]  # not within parentheses
    return re.sub(r"\d[\d,]*", "…", last)[:100] if last != reason else reason


def _write_report(path: Path, tally: Tally) -> None:
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
    # There may be many skipped files: copy their names and reasons from the file.
    head, tail = json.dumps(report, indent=1, ensure_ascii=False).split('"skipped": {}')
    tally.skipped.seek(0)
    with path.open("w", encoding="utf-8") as file:
        file.write(head + '"skipped": {')
        shutil.copyfileobj(tally.skipped, file)
        file.write(("\n  }" if tally.reasons else "}") + tail + "\n")
