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
from mmt.corpus.manifests import WORK_COLUMN
from mmt.corpus.pieces import Patterns
from mmt.corpus.reading import Outcome, PieceFilters, left_out, read_piece
from mmt.corpus.shards import Shard, list_sources, shards, suffix, working_folder, write_shard
from mmt.corpus.sources import Source, find_sources, read_sources
from mmt.corpus.splits import named_splits
from mmt.corpus.storage import CORPUS, REPORT
from mmt.music.atomic import is_taken, replacing
from mmt.music.files import READABLE
from mmt.representation.arguments import described, finite, path_of, whole
from mmt.representation.codes import PAPER, Representation
from mmt.representation.notes import Report
from mmt.representation.origin import check_representation

DEFAULT_SHARES = {"valid": 0.05, "test": 0.05}

Item = tuple[str, bytes | Exception]
Reader = Callable[[Item], Outcome]


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
    """Prepare a corpus from music files.

    The corpus is the same, byte for byte, for any number of jobs, and whether or not the preparation was stopped and resumed.

    Parameters
    ----------
    sources : path or sequence of paths
        Files, folders (searched recursively), zip and tar archives of MIDI, MusicXML, ABC or muspy's JSON and YAML.
    output : path
        The folder of the new corpus. It appears when it is complete.
    representation : Representation
        Gives the grid and the instruments; drum notes are kept if it has drums.
    min_notes, min_beats, max_beats, min_instruments, max_drums
        Limits outside of which pieces are left out; see `PieceFilters`.
    duplicates : "keep", "files" or "notes"
        "files" keeps only the first of files with the same content; "notes" keeps only the first of pieces with the same
        notes, up to transposition, instruments and initial silence.
    exclude : sequence of str
        Patterns (`*` matches anything, case is ignored). Files whose name, source, licence or composer matches one are not
        read. (Source, licence and composer come from a manifest.)
    work_column : str
        The column of the manifest that holds the work of a file. Without it, each file is a separate work.
    work_pattern : str, optional
        A regular expression that is matched against the work in the manifest, or else against the file name without suffix.
        The first group that matches is the work.
    works : mapping, optional
        Additional works, by file name (as in `pieces.csv`). Files that share a work, directly or through other files, go
        into the same split.
    shares : mapping
        The shares of works in "valid" and "test".
    splits : mapping, optional
        File names (as in `pieces.csv`) for "valid" and "test", instead of random splits. All other files are "train"; if
        "train" is given too, files in no list are left out.
    draw_rest : bool
        Draw splits for the files that share no work with a file in `splits`. Files that do share one join its split.
    seed : int
        Seed of the random splits.
    jobs, backend, scheduler
        Number of processes, -1 for one per core; "dask" and the address of its scheduler use a cluster.
    time_limit : float
        Seconds after which reading a file is aborted.
    overwrite, progress : bool
        Whether to replace an existing corpus, and to show a progress bar.

    Raises
    ------
    FileExistsError
        If `output` exists, is no empty folder, and `overwrite` is false; or if it is not a corpus.
    ValueError
        If the sources hold no usable music, `splits` names an unknown file, `works` no known file, a pattern excludes nothing,
        two files of one work are listed in different splits with `draw_rest`, or a manifest lacks the work column.
    OSError
        If the disk is full (the next call continues), or another call is writing the same output (`BlockingIOError`).

    Examples
    --------
    >>> import mmt
    >>> outcome = mmt.prepare(["midi/", "scores.zip"], "data/mine", jobs=-1)  # doctest: +SKIP
    >>> print(outcome)  # doctest: +SKIP
    """
    output = path_of("output", output, "give the folder to write")
    if isinstance(sources, Mapping) or not isinstance(sources, str | PathLike | Iterable):
        raise ValueError(f"sources is {described(sources)}; give paths of files, folders and archives")
    sources = [sources] if isinstance(sources, str | PathLike) else sources
    sources = [path_of("a source", source, "give paths of files, folders and archives") for source in sources]
    check_representation(representation)
    seed, jobs, time_limit = whole("seed", seed), whole("jobs", jobs), finite("time_limit", time_limit)
    filters = PieceFilters(min_notes, min_beats, max_beats, min_instruments, max_drums)
    _check_output(output, overwrite)
    if not time_limit > 0:
        raise ValueError(f"time_limit is {time_limit:g}; give seconds, more than 0")
    if draw_rest and splits is None:
        raise ValueError("draw_rest is set, but no split has a list of names; give one, or leave draw_rest out")
    listed = named_splits(splits, draw_rest) if splits is not None else None
    choice = Choice(duplicates, work_pattern, shares, seed, listed, works or {})
    settings = [representation.to_dict(), asdict(filters), time_limit]
    with working_folder(output) as parts:
        count = _list_files(parts, find_sources(sources, work_column), sources, exclude, choice)
        planned = partial(shards, parts, settings)
        read = partial(read_piece, representation=representation, filters=filters)
        with workers(jobs, backend, scheduler) as parallel:
            _read_missing_shards(planned, read, parallel, time_limit, count if progress else 0)
        with replacing(output) as folder:
            folder.mkdir()
            tally = assemble(folder, parts, planned, choice, representation)
    return Preparation(output, tally.kept, tally.reasons, tally.notes)


def _check_output(output: Path, overwrite: bool) -> None:
    if not is_taken(output):
        return
    if not overwrite:
        raise FileExistsError(f"{output} exists; give another folder, or overwrite it")
    if not (output / CORPUS).exists():
        raise FileExistsError(f"{output} is not a corpus (it has no {CORPUS}), so it is not overwritten; give another")


def _list_files(
    parts: Path, sources: Iterator[Source], paths: Sequence[str | PathLike[str]], exclude: Sequence[str], choice: Choice
) -> int:
    """Write the list of all sources to the working folder; return the number of files to read."""
    patterns = Patterns(exclude)
    listed = choice.listed
    unseen = dict.fromkeys(name for name in listed or () if name)
    unseen_works = set(choice.works)

    def reason_against(source: Source) -> str:
        unseen.pop(source.name, None)
        unseen_works.discard(source.name)
        if patterns.match(source):
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
    if choice.works and len(unseen_works) == len(choice.works):
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
        items = [(suffix(source), content) for source, content in zip(shard.sources, contents, strict=False)]
        yield joblib.delayed(_read_shard)(shard.file, items, read, time_limit)


def _read_shard(file: Path, items: Sequence[Item], read: Reader, time_limit: float) -> tuple[Path, list[Outcome]]:
    answers = call_each(read, items, time_limit=time_limit)
    return file, [left_out(answer.reason) if isinstance(answer, Lost) else answer for answer in answers]
