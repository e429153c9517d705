"""Prepare a corpus once: read every file, put its notes on the grid, and write them all into one folder.

The way is file → notes → note table, without muspy objects for MIDI. A file that cannot be read, that takes too long or
with which its reader crashes is counted with its reason, and the rest go on.

This process finds the files, reads their bytes and writes to the disk; joblib's workers, of this machine or a cluster,
get bytes and give back notes, so that they need no disk in common. Shards of the work that are finished lie in
`.NAME-parts` beside the output until it is whole (see `mmt.corpus.shards`): a preparation that was stopped, in whatever
way, goes on with the next call. What is held in memory is a few dozen bytes a file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import tee
from os import PathLike
from pathlib import Path

import joblib
from tqdm import tqdm

from mmt.corpus.assembly import DUPLICATES, Choice, Tally, assemble
from mmt.corpus.backends import Work, workers
from mmt.corpus.isolated import Lost, call_each
from mmt.corpus.reading import Filters, Outcome, read_piece
from mmt.corpus.shards import Shard, list_sources, shards, suffix, write_shard
from mmt.corpus.sources import WORK_COLUMN, Source, find_sources, read_sources
from mmt.corpus.splits import check_shares, named_splits
from mmt.corpus.storage import CORPUS, REPORT, Patterns
from mmt.corpus.working_folder import working_folder
from mmt.music.files import READABLE
from mmt.representation.codes import PAPER, Representation
from mmt.representation.notes import Report

DEFAULT_SHARES = {"valid": 0.05, "test": 0.05}

Item = tuple[str, bytes | Exception]
Reader = Callable[[Item], Outcome]


@dataclass(frozen=True)
class Preparation:
    """What `prepare` did: how many files were kept, why how many others were not, and the report of all notes."""

    folder: Path
    kept: int
    reasons: Counter[str]
    notes: Report

    @property
    def skipped(self) -> dict[str, str]:
        """Why each file that is not in the corpus was left out, by its name; read from the corpus's report."""
        skipped: dict[str, str] = json.loads((self.folder / REPORT).read_text(encoding="utf-8"))["files"]["skipped"]
        return skipped

    def __str__(self) -> str:
        lines = [f"{self.kept:,} of {self.kept + self.reasons.total():,} files kept; {self.notes}"]
        lines += [f"skipped {count:,}: {reason}" for reason, count in self.reasons.most_common(10)]
        if rest := self.reasons.total() - sum(count for _, count in self.reasons.most_common(10)):
            lines.append(f"skipped {rest:,} for other reasons")
        if self.reasons:
            lines.append(f"{self.folder / REPORT} says why each one was")
        return "\n".join(lines)


def prepare(
    sources: str | PathLike[str] | Sequence[str | PathLike[str]],
    output: str | PathLike[str],
    *,
    representation: Representation = PAPER,
    min_notes: int = 1,
    min_beats: int = 1,
    max_beats: int | None = None,
    min_instruments: int = 1,
    max_drums: float = 1.0,
    duplicates: str = "keep",
    exclude: Sequence[str] = (),
    work_column: str = WORK_COLUMN,
    work_pattern: str | None = None,
    works: Mapping[str, str] | None = None,
    shares: Mapping[str, float] = DEFAULT_SHARES,
    splits: Mapping[str, Sequence[str]] | None = None,
    draw_rest: bool = False,
    seed: int = 0,
    jobs: int = 1,
    backend: str | None = None,
    scheduler: str | None = None,
    time_limit: float = 60.0,
    overwrite: bool = False,
    progress: bool = False,
) -> Preparation:
    """Make a corpus of music files.

    The corpus is the same, byte for byte, however many jobs there are, and wherever the work was stopped in between.

    Parameters
    ----------
    sources : path or sequence of paths
        Files, folders (with all below them), zip and tar archives of MIDI, MusicXML, ABC or muspy's JSON and YAML.
    output : path
        The folder to make. It appears whole or not at all.
    representation : Representation
        Whose grid and instruments the notes are put on; drum notes are kept if it has drums.
    min_notes, min_beats, max_beats, min_instruments, max_drums
        Which pieces are left out; see `Filters`.
    duplicates : "keep", "files" or "notes"
        With "files", of files with the same content only the first is kept; with "notes", also of those with the same
        notes, transposed, on other instruments or later.
    exclude : sequence of str
        Patterns (`*` for anything, capitals or not); a file whose name, source, licence or composer matches one is not
        read. (Source, licence and composer are known where a manifest names them.)
    work_column : str
        The column of a manifest that tells the work of a file. Where there is none, each file is a work of its own.
    work_pattern : str, optional
        A regular expression that is matched with what the manifest tells of the work, or with the file's name without
        suffix. The first of its groups that matches is the work.
    works : mapping, optional
        From the names of files (as in `pieces.csv`) to a work that they belong to as well. All files that share a work
        go into the same split, and so do all files that share their works with them.
    shares : mapping
        The shares of the works in "valid" and "test".
    splits : mapping, optional
        Instead of a draw: the names of the files (as in `pieces.csv`) of "valid" and "test". All others are "train"; if
        "train" is listed too, files in no list are skipped.
    draw_rest : bool
        Draw the splits of all files that share no work with one that `splits` names. Those that do go with it.
    seed : int
        Of the draw of the splits.
    jobs : int
        Processes; -1 for one a core.
    backend, scheduler : str, optional
        "dask" and the address of its scheduler use a cluster; see `mmt.corpus.backends.workers`.
    time_limit : float
        Seconds after which a file is given up.
    overwrite : bool
        Whether an existing corpus `output` is replaced.
    progress : bool
        Whether to show a bar.

    Raises
    ------
    FileExistsError
        If `output` exists and `overwrite` is false, or it is no corpus.
    ValueError
        If there is no music in the sources, or none of it is usable; if a split names a file that is not there, `works`
        none that is there, or a pattern excludes nothing; if two files of one work are listed in different splits, and
        the rest is drawn; if a manifest lacks the column of the work.
    OSError
        If the disk is full: the next call goes on. If another call with the same output is at work (`BlockingIOError`).

    Examples
    --------
    >>> import mmt
    >>> outcome = mmt.prepare(["midi/", "scores.zip"], "data/mine", jobs=-1)  # doctest: +SKIP
    >>> print(outcome)  # doctest: +SKIP
    """
    output = Path(output)
    sources = [sources] if isinstance(sources, str | PathLike) else sources
    filters = Filters(min_notes, min_beats, max_beats, min_instruments, max_drums)
    _check(output, overwrite, duplicates, work_pattern, shares, time_limit)
    if draw_rest and splits is None:
        raise ValueError("draw_rest is set, but no split has a list of names; give one, or leave draw_rest out")
    listed = named_splits(splits, draw_rest) if splits is not None else None
    choice = Choice(duplicates, work_pattern, shares, seed, listed, works or {})
    settings = [representation.to_dict(), asdict(filters), time_limit]
    with working_folder(output) as parts:
        count = _list(parts, find_sources(sources, work_column), sources, exclude, choice)
        planned = partial(shards, parts, settings)
        read = partial(read_piece, representation=representation, filters=filters)
        with workers(jobs, backend, scheduler) as parallel:
            _finish(planned, read, parallel, representation, time_limit, count if progress else 0)
        tally = _publish(output, parts, planned, choice, representation)
    return Preparation(output, tally.kept, tally.reasons, tally.notes())


def _check(
    output: Path,
    overwrite: bool,
    duplicates: str,
    work_pattern: str | None,
    shares: Mapping[str, float],
    time_limit: float,
) -> None:
    if output.exists():
        if not overwrite:
            raise FileExistsError(f"{output} exists; give another folder, or overwrite it")
        if not (output / CORPUS).exists():
            raise FileExistsError(
                f"{output} is no corpus (it has no {CORPUS}), and so is not overwritten; give another"
            )
    if duplicates not in DUPLICATES:
        raise ValueError(f"duplicates is {duplicates!r}; choose of {', '.join(DUPLICATES)}")
    if not 0 < time_limit < float("inf"):
        raise ValueError(f"time_limit is {time_limit}; give seconds, more than 0")
    check_shares(shares)
    if work_pattern is not None:
        _check_pattern(work_pattern)


def _check_pattern(pattern: str) -> None:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"work_pattern {pattern!r} is no regular expression: {error}") from error
    if not groups:
        raise ValueError(f"work_pattern {pattern!r} has no group; put the part that names the work in parentheses")


def _list(
    parts: Path, sources: Iterator[Source], paths: Sequence[str | PathLike[str]], exclude: Sequence[str], choice: Choice
) -> int:
    """List all sources in the working folder; returns how many are to be read."""
    patterns = Patterns(exclude)
    listed = choice.listed
    unseen = dict.fromkeys(name for name in listed or () if name)
    strangers = bool(choice.works)

    def reason_against(source: Source) -> str:
        nonlocal strangers
        unseen.pop(source.name, None)
        strangers = strangers and source.name not in choice.works
        if patterns.match(source.name, source.source, source.licence, source.composer):
            return "excluded"
        return "in no split" if listed is not None and source.name not in listed and "" not in listed else ""

    found, read = list_sources(parts, sources, reason_against)
    if not found:
        raise ValueError(
            f"no music in {', '.join(map(str, paths))}; expected files ending in {' '.join(sorted(READABLE))}, "
            "or folders, zip or tar archives of them"
        )
    for name in unseen:
        raise ValueError(f"{name!r} in the list of {(listed or {})[name]!r} is not among the {found:,} files")
    if strangers:
        raise ValueError(
            f"works names none of the {found:,} files, but {next(iter(choice.works))!r}; give names as in pieces.csv"
        )
    patterns.check(f"the {found:,} files")
    return read


def _finish(
    planned: Callable[[], Iterator[Shard]],
    read: Reader,
    parallel: Work,
    representation: Representation,
    time_limit: float,
    total: int,
) -> None:
    """Make all shards that are not there yet."""
    with tqdm(total=total, unit=" files", desc="Preparing", disable=not total, delay=2) as bar:
        if total:
            bar.update(sum(len(shard.sources) for shard in planned() if shard.is_finished))
        with closing(parallel(_tasks(planned, read, time_limit))) as results:
            for file, outcomes in results:
                write_shard(file, outcomes, representation)
                bar.update(len(outcomes))


def _tasks(planned: Callable[[], Iterator[Shard]], read: Reader, time_limit: float) -> Iterator[object]:
    """What joblib's workers are to do for each missing shard, with the bytes to do it with."""
    missing, wanted = tee(shard for shard in planned() if not shard.is_finished)
    contents = read_sources(source for shard in wanted for source in shard.sources)
    for shard in missing:
        items = [(suffix(source), content) for source, content in zip(shard.sources, contents, strict=False)]
        yield joblib.delayed(_read_shard)(shard.file, items, read, time_limit)


def _read_shard(file: Path, items: Sequence[Item], read: Reader, time_limit: float) -> tuple[Path, list[Outcome]]:
    answers = call_each(read, items, time_limit=time_limit)
    return file, [Outcome(answer.reason) if isinstance(answer, Lost) else answer for answer in answers]


def _publish(
    output: Path, parts: Path, planned: Callable[[], Iterator[Shard]], choice: Choice, representation: Representation
) -> Tally:
    """Assemble the corpus in the working folder, and put it in its place."""
    folder, former = parts / "corpus", parts / "former"
    if former.exists() and not output.exists():  # stopped between the last two steps
        os.replace(former, output)
    for left in (folder, former):
        shutil.rmtree(left, ignore_errors=True)
    folder.mkdir()
    try:
        tally = assemble(folder, parts, planned, choice, representation)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if output.exists():
        os.replace(output, former)
    try:
        os.replace(folder, output)
    except BaseException:
        if former.exists():
            os.replace(former, output)
        raise
    return tally
