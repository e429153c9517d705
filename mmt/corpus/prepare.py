"""Prepare a corpus once: read every file, put its notes on the grid, and write them all into one folder.

The way is file → notes → note table, without muspy objects for MIDI. A file that cannot be read is counted with its
reason, and the rest go on.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import joblib
import numpy as np
from tqdm import tqdm

from mmt.corpus.sources import Source, find_sources, writable
from mmt.corpus.splits import check_shares, draw_splits, fingerprint, named_splits, work_of
from mmt.corpus.storage import CORPUS, NOTES, PIECES, REPORT, Piece, write_description, write_pieces
from mmt.music.files import MIDI_SUFFIXES, read
from mmt.music.midi import read_midi_notes
from mmt.representation.codes import PAPER, Representation
from mmt.representation.notes import NOTE_DTYPE, NoteTable, RawNotes, Report, note_table, raw_notes

DEFAULT_SHARES = {"valid": 0.05, "test": 0.05}

# Files that one job takes at a time.
_CHUNK = 64


@dataclass(frozen=True)
class _Prepared:
    """What became of one file: its notes, or why there are none."""

    sha256: str
    table: NoteTable | None
    report: Report
    problem: str = ""


@dataclass(frozen=True)
class Preparation:
    """What `prepare` did: files kept, files skipped with their reasons, and the report of all notes."""

    kept: int
    skipped: dict[str, str]
    notes: Report

    def __str__(self) -> str:
        lines = [f"{self.kept:,} of {self.kept + len(self.skipped):,} files kept; {self.notes}"]
        reasons = Counter(reason.split(":")[-1].strip() for reason in self.skipped.values())
        lines += [f"skipped {count:,}: {reason}" for reason, count in reasons.most_common(10)]
        return "\n".join(lines)


def prepare(
    sources: Sequence[str | PathLike[str]],
    output: str | PathLike[str],
    *,
    representation: Representation = PAPER,
    min_notes: int = 1,
    work_pattern: str | None = None,
    shares: Mapping[str, float] = DEFAULT_SHARES,
    splits: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
    jobs: int = 1,
    overwrite: bool = False,
    progress: bool = False,
) -> Preparation:
    """Make a corpus of music files.

    Parameters
    ----------
    sources : sequence of paths
        Files, folders (with all below them) and zip archives of MIDI, MusicXML, ABC or muspy's JSON.
    output : path
        The folder to make. It appears whole or not at all.
    representation : Representation
        Whose grid and instruments the notes are put on.
    min_notes : int
        Pieces with fewer usable notes are skipped.
    work_pattern : str, optional
        A regular expression; its first group, matched against a file's name without suffix, is the work that the file
        is a version of. Default: a manifest's `work` column, else each file a work of its own.
    shares : mapping
        The shares of the works in "valid" and "test".
    splits : mapping, optional
        Instead of a draw: the names of the files (as in `pieces.csv`) of "valid" and "test". All others are "train"; if
        "train" is listed too, files in no list are skipped.
    seed : int
        Of the draw of the splits.
    jobs : int
        Processes; -1 for one a core.
    overwrite : bool
        Whether an existing corpus `output` is replaced.
    progress : bool
        Whether to show a bar.

    Raises
    ------
    FileExistsError
        If `output` exists and `overwrite` is false, or it is no corpus.
    ValueError
        If there is no music in the sources, or none of it is usable; if a split names a file that is not there.
    """
    output = Path(output)
    _check_room(output, overwrite)
    check_shares(shares)
    if work_pattern is not None:
        _check_pattern(work_pattern)
    found = find_sources(sources)
    listed = named_splits(splits, [source.name for source in found]) if splits is not None else {}
    skipped = {source.name: "in no split" for source in found if splits is not None and source.name not in listed}
    found = [source for source in found if source.name not in skipped]
    prepared = _prepare_all(found, representation, min_notes, jobs, progress)
    kept = [(source, result) for source, result in zip(found, prepared, strict=True) if result.table is not None]
    skipped |= {source.name: result.problem for source, result in zip(found, prepared, strict=True) if result.problem}
    if not kept:
        name, reason = next(iter(skipped.items()))
        raise ValueError(f"none of {len(skipped)} files is usable; the first, {name}: {reason}")
    drawn = [listed[source.name] for source, _ in kept] if listed else _draw(kept, work_pattern, shares, seed)
    pieces = _pieces(kept, drawn, representation)
    outcome = Preparation(len(kept), skipped, sum((result.report for _, result in kept), Report()))
    tables = [result.table for _, result in kept if result.table is not None]
    _write_folder(output, tables, pieces, outcome, representation)
    return outcome


def _prepare_all(
    sources: Sequence[Source], representation: Representation, min_notes: int, jobs: int, progress: bool
) -> list[_Prepared]:
    chunks = [sources[first : first + _CHUNK] for first in range(0, len(sources), _CHUNK)]
    results = joblib.Parallel(n_jobs=jobs, return_as="generator")(
        joblib.delayed(_prepare_chunk)(chunk, representation, min_notes) for chunk in chunks
    )
    prepared: list[_Prepared] = []
    with tqdm(total=len(sources), unit=" files", desc="Preparing", disable=not progress, delay=2) as bar:
        for chunk in results:
            prepared += chunk
            bar.update(len(chunk))
    return prepared


def _check_room(output: Path, overwrite: bool) -> None:
    if not output.exists():
        return
    if not overwrite:
        raise FileExistsError(f"{output} exists; give another folder, or overwrite it")
    if not (output / CORPUS).exists():
        raise FileExistsError(f"{output} is no corpus (it has no {CORPUS}), and so is not overwritten; give another")


def _check_pattern(pattern: str) -> None:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"work_pattern {pattern!r} is no regular expression: {error}") from error
    if not groups:
        raise ValueError(f"work_pattern {pattern!r} has no group; put the part that names the work in parentheses")


def _prepare_chunk(sources: Sequence[Source], representation: Representation, min_notes: int) -> list[_Prepared]:
    return [_prepare_one(source, representation, min_notes) for source in sources]


def _prepare_one(source: Source, representation: Representation, min_notes: int) -> _Prepared:
    digest = ""
    try:
        content = source.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        table, report = note_table(_read_notes(source, content), representation)
    except Exception as error:  # whatever a broken file makes a reader raise, the others go on
        reason = str(error) if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {error}"
        return _Prepared(digest, None, Report(), reason or type(error).__name__)
    if len(table) < max(min_notes, 1):
        return _Prepared(digest, None, report, f"fewer than {max(min_notes, 1)} usable notes")
    return _Prepared(digest, table, report)


def _read_notes(source: Source, content: bytes) -> RawNotes:
    suffix = Path(source.name).suffix.lower()
    if suffix in MIDI_SUFFIXES:
        return read_midi_notes(content)
    if source.member is None:
        return raw_notes(read(source.file))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"piece{suffix}"
        path.write_bytes(content)
        return raw_notes(read(path))


def _draw(
    kept: Sequence[tuple[Source, _Prepared]], work_pattern: str | None, shares: Mapping[str, float], seed: int
) -> list[str]:
    works = [source.manifest.get("work") or work_of(source.name, work_pattern) for source, _ in kept]
    fingerprints = [fingerprint(result.table) for _, result in kept if result.table is not None]
    return draw_splits(works, fingerprints, shares, seed)


def _pieces(
    kept: Sequence[tuple[Source, _Prepared]], splits: Sequence[str], representation: Representation
) -> list[Piece]:
    tables = [result.table for _, result in kept if result.table is not None]
    offsets = np.cumsum([0] + [len(table) for table in tables])
    return [
        Piece(
            name=source.name,
            offset=int(offset),
            length=len(table),
            beats=1 + int(table["beat"].max()),
            instruments=" ".join(representation.names[code - 1] for code in np.unique(table["instrument"])),
            split=split,
            source=source.manifest.get("source") or source.manifest.get("source_repo") or writable(source.file.name),
            licence=source.manifest.get("licence", ""),
            sha256=result.sha256,
            composer=source.manifest.get("composer", ""),
        )
        for (source, result), table, offset, split in zip(kept, tables, offsets, splits, strict=False)
    ]


def _write_folder(
    output: Path,
    tables: Sequence[NoteTable],
    pieces: Sequence[Piece],
    outcome: Preparation,
    representation: Representation,
) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    try:
        notes = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
            folder / NOTES, mode="w+", dtype=NOTE_DTYPE, shape=(sum(map(len, tables)),)
        )
        np.concatenate(tables, out=notes)
        notes.flush()
        write_pieces(folder / PIECES, pieces)
        write_description(folder / CORPUS, representation)
        (folder / REPORT).write_text(
            json.dumps(_report(pieces, outcome), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        folder.chmod(0o755)
        if output.exists():
            shutil.rmtree(output)
        os.replace(folder, output)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _report(pieces: Sequence[Piece], outcome: Preparation) -> dict[str, object]:
    return {
        "files": {"kept": outcome.kept, "skipped": outcome.skipped},
        "pieces": dict(Counter(piece.split for piece in pieces)),
        "notes": {
            "read": outcome.notes.notes,
            "kept": outcome.notes.kept,
            "dropped": dict(outcome.notes.dropped),
            "changed": dict(outcome.notes.changed),
        },
        "licences": dict(Counter(piece.licence for piece in pieces)),
    }
