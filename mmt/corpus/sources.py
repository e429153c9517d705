"""Find and load the sources of a corpus: files, folders, zip and tar archives.

A folder or archive may contain a `manifest.csv` with a `path` column and any of `work`, `source`, `licence` and `composer`,
whose values go into the corpus. (Another column can hold the work.) Archives inside a folder are read, archives inside
archives are not. Members of an archive are read without unpacking them to the disk, so a malicious path is harmless. An ABC
file with several tunes is one piece per tune. Sources are found and loaded one by one; only the manifest and the member
list of a zip archive are held in memory. What exceeds a limit (`LARGEST`, `RATIO`) is left out with the reason.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from os import PathLike
from pathlib import Path

from mmt.corpus.archives import RATIO, SUFFIXES, UNREADABLE, is_archive, member_reader, members, unpacked_limit
from mmt.music.bounded import LARGEST, TooLargeError, escaped, read_file, read_table
from mmt.music.files import READABLE
from mmt.music.reading.abc import tunes

MANIFEST, WORK_COLUMN = "manifest.csv", "work"


class _DamagedError(ValueError):
    """An archive is damaged or cut off."""


class ManifestError(ValueError):
    """A manifest cannot be read."""


@dataclass(frozen=True, slots=True)
class Source:
    """One piece of music: a file in a folder, a member of an archive, or a tune of such a file."""

    name: str
    """The path below `root`, or the full path if two sources share a name. The name of a tune ends with its number:
    `reels.abc/2`."""
    root: str
    """The path that the user gave."""
    path: str
    """The path below a folder or in an archive; "" if the user gave the file itself."""
    member: int = -1
    """Index among the members of an archive; -1 outside an archive."""
    tune: int = 0
    """Number among the tunes of the file, from 1; 0 for the whole file."""
    size: int = 0
    """Size in bytes."""
    modified: int = 0
    """Modification time of the file or its archive, in nanoseconds."""
    work: str = ""
    """The work, from the manifest."""
    source: str = ""
    licence: str = ""
    composer: str = ""
    problem: str = ""
    """Why it cannot be read, if that was found while the sources were listed."""


def find_sources(paths: Sequence[str | PathLike[str]], work_column: str = WORK_COLUMN) -> Iterator[Source]:
    """Find every readable piece of music in files, folders (recursively) and archives.

    Sources of a folder or zip archive are sorted by name; those of a tar archive are in the order of the archive. The work of a
    file is in the `work_column` of a manifest; only the column "work" may be missing.

    A `ValueError` refuses a file that is neither music nor an archive, a damaged archive that is the only path, and a manifest
    that is not a table or lacks a column.
    """
    for path in dict.fromkeys(map(Path, paths)):
        if path.is_dir():
            yield from _in_folder(path, work_column)
        elif not path.exists():
            raise FileNotFoundError(f"{path} does not exist")
        elif not path.is_file():
            raise ValueError(f"{path} is neither a file nor a folder but a pipe or a device")
        elif path.suffix.lower() in READABLE:
            found = path.stat()
            name = escaped(path.name)
            whole = Source(name, str(path), "", size=found.st_size, modified=found.st_mtime_ns, source=name)
            yield from _by_tune(whole, partial(read_file, path, LARGEST))
        elif is_archive(path):
            try:
                yield from _in_archive(path, work_column)
            except (TooLargeError, _DamagedError) as error:
                if isinstance(error, _DamagedError) and len(paths) == 1:
                    raise
                # The members before the damage are kept, and the archive itself is counted as unreadable.
                name = escaped(path.name)
                yield Source(name, str(path), "", source=name, problem=str(error))
        else:
            raise ValueError(
                f"{path} is neither music that can be read ({' '.join(sorted(READABLE))}) nor a folder, zip or tar archive"
            )


def read_sources(sources: Iterable[Source]) -> Iterator[bytes | Exception]:
    """The content of each source, or the error of reading it; sources must be in the order of `find_sources`."""
    changed = ValueError("the file was changed while it was read")
    for root, below in groupby(sources, key=lambda source: source.root):
        with _reader(Path(root)) as read:
            for _, group in groupby(below, key=lambda source: (source.path, source.member)):
                first = next(group)
                content = _attempt(first, read)
                if first.tune and isinstance(content, bytes):
                    parts = dict(enumerate(tunes(content), 1))
                    yield from (parts.get(source.tune, changed) for source in (first, *group))
                else:
                    yield from (content for _ in (first, *group))


def stem(name: str) -> str:
    """A file name without its suffix, if the suffix is a known one.

    >>> stem("songs.tar.gz"), stem("K. 464.mid"), stem("K. 464")
    ('songs', 'K. 464', 'K. 464')
    """
    known = [suffix for suffix in (*SUFFIXES, *READABLE) if name.lower().endswith(suffix)]
    return name[: -max(map(len, known))] if known else name


def full_name(source: Source) -> str:
    """The name of a source, preceded by the path that the user gave."""
    parts = (Path(source.root).as_posix(), source.path, str(source.tune or ""))
    return escaped("/".join(filter(None, parts)))


@contextmanager
def _reader(root: Path) -> Generator[Callable[[Source], bytes]]:
    """A function that reads the sources found in `root`, each once and in order."""
    if root.is_dir() or root.suffix.lower() in READABLE:
        yield lambda source: read_file(root / source.path, LARGEST)
    elif not root.exists():
        # A disk that was removed must stop the preparation, which would else leave out all of its files.
        raise FileNotFoundError(f"{root} does not exist any more; call again when it is back")
    else:
        with member_reader(root) as read:
            yield lambda source: read(source.member)


def _in_folder(folder: Path, work_column: str) -> Iterator[Source]:
    manifest = folder / MANIFEST
    rows = _Manifest(read_file(manifest, LARGEST) if manifest.is_file() else b"", folder, work_column)
    for file, found in _walk(str(folder)):
        path = Path(os.path.relpath(file, folder)).as_posix()
        problem = ""
        if _names_archive(file):
            try:
                for member in _in_archive(Path(file), work_column):
                    yield replace(member, name=escaped(f"{path}/{member.name}"))
                continue
            except _DamagedError:
                problem = "this archive is damaged or cut off; get it again"
            except ValueError as error:
                problem = str(error)
            # The members before the damage are kept, and the archive itself is counted as unreadable.
        origin = rows.of(path, escaped(os.path.basename(file)))
        whole = Source(escaped(path), str(folder), path, -1, 0, found.st_size, found.st_mtime_ns, *origin, problem)
        yield from _by_tune(whole, partial(read_file, file, LARGEST))


def _by_tune(whole: Source, read: Callable[[], bytes]) -> Iterator[Source]:
    """The file, or each of its tunes if it is an ABC file with several."""
    content = b""
    if whole.name.lower().endswith(".abc") and not whole.problem:
        with suppress(*UNREADABLE):  # reading the piece later reports the error
            content = read()
    if len(found := tunes(content)) < 2:
        yield whole
        return
    for place, tune in enumerate(found, 1):
        yield replace(whole, name=f"{whole.name}/{place}", tune=place, size=len(tune))


def _walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """All music below a folder, sorted by name; links to folders are not followed, so that there are no cycles."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif _names_music(entry.name) or _names_archive(entry.name):
            with suppress(OSError):  # a broken link, or a link to itself
                found = entry.stat()
                if stat.S_ISREG(found.st_mode):
                    yield entry.path, found


def _names_music(name: str) -> bool:
    # macOS stores metadata of a file NAME in `._NAME`.
    return os.path.splitext(name)[1].lower() in READABLE and not os.path.basename(name).startswith("._")


def _names_archive(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not os.path.basename(name).startswith("._")


def _in_archive(path: Path, work_column: str) -> Iterator[Source]:
    found = path.stat()
    place, budget = -1, unpacked_limit(path)
    try:
        rows = _Manifest(_manifest_in(path), path, work_column)
        for place, name, size, read in members(path):
            if not (_names_music(name) or _names_archive(name)):
                continue
            problem = ""
            if _names_archive(name):
                problem = "an archive in an archive; unpack it, and name the folder"
            elif budget < size <= LARGEST:
                problem = f"its archive unpacks to more than {RATIO} times its size"
            elif size <= LARGEST:
                budget -= size
            origin = rows.of(name, escaped(path.name))
            whole = Source(escaped(name), str(path), name, place, 0, size, found.st_mtime_ns, *origin, problem)
            yield from _by_tune(whole, read)
    except TooLargeError as error:
        raise TooLargeError(f"{path}: {error} (after member {place + 1:,})") from error
    except ManifestError:
        raise
    except UNREADABLE as error:
        raise _DamagedError(
            f"{path} is damaged or cut off after member {place + 1:,} ({error}); get it again"
        ) from error


def _attempt(source: Source, read: Callable[[Source], bytes]) -> bytes | Exception:
    """The content of a source, or the reason why it cannot be read."""
    if source.problem:
        return ValueError(source.problem)
    if source.size > LARGEST:
        return ValueError(f"larger than {LARGEST // 2**20} MiB")
    try:
        return read(source)
    except UNREADABLE as error:
        return error


class _Manifest:
    """The entries of a `manifest.csv` by path: work, source, licence, composer."""

    def __init__(self, content: bytes, place: Path, work_column: str) -> None:
        shared: dict[str, str] = {}  # equal licences and sources share one string
        self._rows: dict[str, tuple[str, ...]] = {}
        if not content:
            return
        needed = ["path", *([work_column] if work_column != WORK_COLUMN else [])]
        wanted = (work_column, "source", "source_repo", "licence", "license", "composer")
        try:
            for row in read_table(content, f"{MANIFEST} in {place}", needed, wanted):
                work, source, repository, licence, license_, composer = map(escaped, row[len(needed) :])
                values = (work, source or repository, licence or license_, composer)
                self._rows[row[0]] = tuple(shared.setdefault(value, value) for value in values)
        except ValueError as error:
            raise ManifestError(str(error)) from error

    def of(self, path: str, origin: str) -> tuple[str, str, str, str]:
        """(work, source, licence, composer) of a path; the source is `origin` if the manifest has none."""
        work, source, licence, composer = self._rows.get(path, ("", "", "", ""))
        return work, source or origin, licence, composer


def _manifest_in(archive: Path) -> bytes:
    """The bytes of an archive's manifest.csv; empty if the archive has no manifest."""
    found = members(archive)
    try:
        read = next((read for _, name, _, read in found if name == MANIFEST), bytes)
    except UNREADABLE:
        return b""  # reported when the members are listed
    try:
        return read()
    except UNREADABLE as error:
        raise ManifestError(f"{MANIFEST} in {archive} cannot be read: {error}") from error
