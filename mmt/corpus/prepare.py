"""Prepare a corpus: read music files, quantize their notes to the grid, and write all of them into one folder.

MIDI files are read into note tables directly, without muspy objects. A file that cannot be read, takes too long or crashes
its reader is left out and counted with the reason.

This process finds the files, loads their bytes and writes the results; joblib workers, local or on a cluster, receive
bytes and return notes, so that they need no shared disk. Finished shards are kept in `.NAME-parts` next to the output until
the corpus is complete (see `mmt.corpus.shards`), so that the next call continues a preparation that was stopped. Memory
use is a few dozen bytes per file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import tee
from os import PathLike
from pathlib import Path

import joblib
from tqdm import tqdm

from mmt.corpus.assembly import Choice, assemble
from mmt.corpus.backends import Work, workers
from mmt.corpus.isolated import Lost, call_each
from mmt.corpus.pieces import Patterns
from mmt.corpus.reading import File, Outcome, PieceFilters, left_out, read_piece
from mmt.corpus.shards import Shard, list_sources, shards, suffix, working_folder, write_shard
from mmt.corpus.sources import WORK_COLUMN, Source, find_sources, read_sources
from mmt.corpus.storage import CORPUS, REPORT
from mmt.music.atomic import is_taken, replacing
from mmt.music.files import READABLE
from mmt.representation.arguments import described, finite, path_of
from mmt.representation.codes import PAPER, Representation
from mmt.representation.notes import Report
from mmt.representation.origin import check_representation

DEFAULT_SHARES = {"valid": 0.05, "test": 0.05}

AnyPath = str | PathLike[str]
Reader = Callable[[File], Outcome]


@dataclass(frozen=True)
class Preparation:
    """The result of `prepare`: the number of files kept, the number left out for each reason, and the report of the notes."""

    folder: Path
    kept: int
    reasons: Counter[str]
    notes: Report

    @property
    def skipped(self) -> dict[str, str]:
        """The reason for each file that was left out, by name; read from `report.json` of the corpus."""
        skipped: dict[str, str] = json.loads((self.folder / REPORT).read_text(encoding="utf-8"))["files"]["skipped"]
        return skipped

    def __str__(self) -> str:
        skipped, common = self.reasons.total(), self.reasons.most_common(10)
        lines = [f"{self.kept:,} of {self.kept + skipped:,} files kept; {self.notes}"]
        lines += [f"skipped {count:,}: {reason}" for reason, count in common]
        if rest := skipped - sum(count for _, count in common):
            lines.append(f"skipped {rest:,} for other reasons")
        if self.reasons:
            lines.append(f"{self.folder / REPORT} says why each one was")
        return "\n".join(lines)


def prepare(
    sources: AnyPath | Sequence[AnyPath], output: AnyPath, *, representation: Representation = PAPER,
    min_notes: int = 1, min_beats: int = 1, max_beats: int | None = None, min_instruments: int = 1, max_drums: float = 1.0,
    duplicates: str = "keep", exclude: Sequence[str] = (), shares: Mapping[str, float] = DEFAULT_SHARES, seed: int = 0,
    splits: Mapping[str, Sequence[str]] | None = None, draw_rest: bool = False,
    work_column: str = WORK_COLUMN, work_pattern: str | None = None, works: Mapping[str, str] | None = None,
    jobs: int = 1, backend: str | None = None, scheduler: str | None = None, time_limit: float = 60.0,
    overwrite: bool = False, progress: bool = False,
) -> Preparation:  # fmt: skip
    """Prepare a corpus from music files: the same bytes for any number of jobs, and also if it was stopped and resumed.

    Parameters
    ----------
    sources : path or sequence of paths
        Files, folders (searched recursively), zip and tar archives of MIDI, MusicXML, ABC or muspy's JSON and YAML.
    output : path
        The folder of the new corpus. It appears when it is complete.
    representation : Representation
        Gives the grid and the instruments; drum notes are kept if it has drums.
    min_notes, min_beats, max_beats, min_instruments, max_drums
        Limits outside of which pieces are left out: see `mmt.corpus.reading.PieceFilters`.
    duplicates, exclude, shares, seed, splits, draw_rest, work_column, work_pattern, works
        Which files are read, which of equal ones are kept, and in which split: see `mmt.corpus.assembly.Choice`.
    jobs, backend, scheduler : int, str, and str, optional
        Number of processes, -1 for one per core; "dask" and the address of its scheduler use a cluster.
    time_limit : float
        Seconds after which reading a file is aborted.
    overwrite, progress : bool
        Whether to replace an existing corpus, and to show a progress bar.

    Raises
    ------
    ValueError
        If an option is wrong, or the sources hold no usable music or lack what an option names.
    OSError
        If `output` exists and is not an empty folder (`FileExistsError`; with `overwrite`: if it is not a corpus), the disk is
        full (the next call continues), or another call is writing the same output (`BlockingIOError`).

    Examples
    --------
    >>> print(mmt.prepare(["midi/", "scores.zip"], "data/mine", jobs=-1))  # doctest: +SKIP
    """
    output, paths = path_of("output", output, "give the folder to write"), _paths(sources)
    seconds = _seconds(time_limit)
    check_representation(representation)
    filters = PieceFilters(min_notes, min_beats, max_beats, min_instruments, max_drums)
    choice = Choice(duplicates, exclude, shares, seed, splits, draw_rest, work_column, work_pattern, works or {})
    _check_output(output, overwrite)
    with workers(jobs, backend, scheduler) as parallel, working_folder(output) as parts:
        count = _list_files(parts, paths, choice)
        planned = partial(shards, parts, [representation.to_dict(), asdict(filters), seconds])
        read = partial(read_piece, representation=representation, filters=filters)
        _read_missing_shards(planned, read, parallel, seconds, count if progress else 0)
        with replacing(output) as folder:
            tally = assemble(folder, parts, planned, choice, representation)
    return Preparation(output, tally.kept, tally.reasons, tally.notes)


def _paths(sources: object) -> list[Path]:
    instead = "give paths of files, folders and archives"
    if isinstance(sources, str | PathLike):
        return [Path(sources)]
    if isinstance(sources, Mapping) or not isinstance(sources, Iterable):
        raise ValueError(f"sources is {described(sources)}; {instead}")
    return [path_of("a source", source, instead) for source in sources]


def _seconds(time_limit: object) -> float:
    seconds = finite("time_limit", time_limit)
    if seconds <= 0:
        raise ValueError(f"time_limit is {seconds:g}; give seconds, more than 0")
    return seconds


def _check_output(output: Path, overwrite: bool) -> None:
    if not is_taken(output):
        return
    if not overwrite:
        raise FileExistsError(f"{output} exists; give another folder, or overwrite it")
    if not (output / CORPUS).exists():
        raise FileExistsError(f"{output} is not a corpus (it has no {CORPUS}), so it is not overwritten; give another")


def _list_files(parts: Path, paths: Sequence[Path], choice: Choice) -> int:
    """Write the list of all sources to the working folder; return the number of files to read."""
    patterns, splits = Patterns(choice.exclude), choice.listed
    unseen = {*splits, *choice.works} - {""}

    def reason_against(source: Source) -> str:
        unseen.discard(source.name)
        if patterns.match(source):
            return "excluded"
        return "" if source.name in splits or "" in splits else "in no split"

    found, read = list_sources(parts, find_sources(paths, choice.work_column), reason_against)
    if not found:
        raise ValueError(
            f"no music in {', '.join(map(str, paths))}; expected files ending in {' '.join(sorted(READABLE))}, "
            "or folders, zip or tar archives of them"
        )
    for name, split in splits.items():
        if name in unseen:
            raise ValueError(f"{name!r} in the list of {split!r} is not among the {found:,} files")
    if choice.works and unseen.issuperset(choice.works):
        raise ValueError(
            f"works names none of the {found:,} files, but {next(iter(choice.works))!r}; give names as in pieces.csv"
        )
    patterns.check(f"the {found:,} files")
    return read


def _read_missing_shards(
    planned: Callable[[], Iterator[Shard]], read: Reader, parallel: Work, time_limit: float, total: int
) -> None:
    """Read the files of all unfinished shards and write the shards."""
    with tqdm(total=total, unit=" files", desc="Preparing", disable=not total, delay=2) as bar:
        if total:
            bar.update(sum(len(shard.sources) for shard in planned() if shard.is_finished))
        with closing(parallel(_tasks(planned, read, time_limit))) as results:
            for file, outcomes in results:
                write_shard(file, outcomes)
                bar.update(len(outcomes))


def _tasks(planned: Callable[[], Iterator[Shard]], read: Reader, time_limit: float) -> Iterator[object]:
    """A joblib task for each missing shard, with the bytes of its files."""
    missing, wanted = tee(shard for shard in planned() if not shard.is_finished)
    contents = read_sources(source for shard in wanted for source in shard.sources)
    for shard in missing:
        files = [(suffix(source), content) for source, content in zip(shard.sources, contents, strict=False)]
        yield joblib.delayed(_read_shard)(shard.file, files, read, time_limit)


def _read_shard(file: Path, files: Sequence[File], read: Reader, time_limit: float) -> tuple[Path, list[Outcome]]:
    """The shard's file, and the outcome of each of its files; it runs in a worker."""
    answers = call_each(read, files, time_limit=time_limit)
    return file, [left_out(answer.reason) if isinstance(answer, Lost) else answer for answer in answers]
