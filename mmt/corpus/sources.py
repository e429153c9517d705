"""Find and load the sources of a corpus: files, folders, zip and tar archives.

A folder or archive may contain a `manifest.csv` with a `path` column and any of `work`, `source`, `licence` and `composer`,
whose values go into the corpus. (Another column can hold the work.) Archives inside a folder are read, archives inside
archives are not. Members of an archive are read without unpacking them to the disk, so a malicious path is harmless. An ABC
file with several tunes is one piece per tune. Sources are found and loaded one by one; only the manifest and the member
list of a zip archive are held in memory. What exceeds a limit (`LARGEST`, `_RATIO`) is left out with the reason.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, repeat
from os import PathLike
from pathlib import Path
from typing import Any

from mmt.music.bounded import (
    DAMAGED,
    LARGEST,
    TooLargeError,
    Unpacked,
    escaped,
    read_at_most,
    read_file,
    read_member,
    read_table,
)
from mmt.music.files import READABLE
from mmt.music.reading.abc import tunes

MANIFEST, WORK_COLUMN = "manifest.csv", "work"

_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_ARCHIVES = (".zip", *_TAR_SUFFIXES)
# All files of an archive together are at most this many bytes for each of its own, and some more.
_RATIO, _MORE = 200, LARGEST
# The largest header of a tar member with a long name or attributes, and of one for all members, in bytes.
_HEADER, _GLOBAL_HEADER = 2**20, 2**16
_XZ_MEMORY = 256 * 2**20
_UNREADABLE = (*DAMAGED, tarfile.TarError, ValueError)


class _DamagedError(ValueError):
    """An archive is damaged or cut off."""


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

    Sources of a folder or zip archive are sorted by name; those of a tar archive are in the order of the archive.

    Parameters
    ----------
    paths : sequence of paths
    work_column : str
        The column of a manifest that holds the work of a file. Only the column "work" may be missing.

    Raises
    ------
    FileNotFoundError
        If a path does not exist.
    ValueError
        If a given file is neither music nor an archive, the only given file is a damaged archive, or a manifest is not a table
        or lacks a column.
    """
    for path in dict.fromkeys(map(Path, paths)):
        if path.is_dir():
            yield from _in_folder(path, work_column)
        elif not path.exists():
            raise FileNotFoundError(f"{path} does not exist")
        elif path.suffix.lower() in READABLE:
            found = path.stat()
            name = writable(path.name)
            whole = Source(name, str(path), "", size=found.st_size, modified=found.st_mtime_ns, source=name)
            yield from _by_tune(whole, partial(read_file, path, LARGEST))
        elif is_archive(path):
            try:
                yield from _in_archive(path, work_column)
            except (TooLargeError, _DamagedError) as error:
                if isinstance(error, _DamagedError) and len(paths) == 1:
                    raise
                # The members before the damage are kept, and the archive itself is counted as unreadable.
                name = writable(path.name)
                yield Source(name, str(path), "", source=name, problem=str(error))
        else:
            raise ValueError(
                f"{path} is neither music that can be read ({' '.join(sorted(READABLE))}) nor a folder, zip or tar archive"
            )


def read_sources(sources: Iterable[Source]) -> Iterator[bytes | Exception]:
    """The content of each source, or the error of reading it; sources must be in the order of `find_sources`."""
    for (root, is_problem), below in groupby(sources, key=lambda source: (source.root, _is_whole_problem(source))):
        if is_problem:
            yield from (ValueError(source.problem) for source in below)
            continue
        with _reader(Path(root)) as read:
            for _, group in groupby(below, key=lambda source: (source.path, source.member)):
                first = next(group)
                whole = _attempt(first, read)
                parts = tunes(whole) if first.tune and isinstance(whole, bytes) else []
                for source in (first, *group):
                    yield _part(source, parts) if source.tune and isinstance(whole, bytes) else whole


def _is_whole_problem(source: Source) -> bool:
    """Whether a source represents a whole archive that cannot be read."""
    return bool(source.problem) and source.member < 0


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive, or has the name of a tar archive."""
    return zipfile.is_zipfile(path) or path.name.lower().endswith(_TAR_SUFFIXES)


def stem(name: str) -> str:
    """A file name without its suffix, if the suffix is a known one.

    >>> stem("songs.tar.gz"), stem("K. 464.mid"), stem("K. 464")
    ('songs', 'K. 464', 'K. 464')
    """
    known = [suffix for suffix in (*_ARCHIVES, *READABLE) if name.lower().endswith(suffix)]
    return name[: -max(map(len, known))] if known else name


def writable(name: str) -> str:
    """A name that can be written as UTF-8 and printed: invalid bytes and control characters are escaped.

    >>> writable("caf\\udce9\\x1b[2J.mid")
    'caf\\\\udce9\\\\x1b[2J.mid'
    """
    return escaped(name.encode("utf-8", "backslashreplace").decode("utf-8"))


def full_name(source: Source) -> str:
    """The name of a source, preceded by the path that the user gave."""
    parts = (Path(source.root).as_posix(), source.path, str(source.tune or ""))
    return writable("/".join(filter(None, parts)))


@contextmanager
def _reader(root: Path) -> Generator[Callable[[Source], bytes]]:
    """A function that reads the sources found in `root`, each once and in order."""
    if root.is_dir() or root.suffix.lower() in READABLE:
        yield lambda source: read_file(root / source.path, LARGEST)
    elif zipfile.is_zipfile(root):
        with zipfile.ZipFile(root) as archive:
            members = archive.infolist()
            yield lambda source: read_member(archive, members[source.member], LARGEST)
    else:
        with _open_tar(root) as tar:
            position = -1

            def read(source: Source) -> bytes:
                nonlocal position
                member = None
                while position < source.member:
                    position, member = position + 1, _next(tar)
                return _whole_member(tar, member)

            yield read


def _in_folder(folder: Path, work_column: str) -> Iterator[Source]:
    manifest = folder / MANIFEST
    rows = _Manifest(read_file(manifest, LARGEST) if manifest.is_file() else b"", folder, work_column)
    for file, found in _walk(str(folder)):
        path = Path(os.path.relpath(file, folder)).as_posix()
        problem = ""
        if _names_archive(file):
            try:
                for member in _in_archive(Path(file), work_column):
                    yield replace(member, name=writable(f"{path}/{member.name}"))
                continue
            except _DamagedError:
                problem = "this archive is damaged or cut off; get it again"
            except ValueError as error:
                problem = str(error)
            # The members before the damage are kept, and the archive itself is counted as unreadable.
        origin = rows.of(path, writable(os.path.basename(file)))
        whole = Source(writable(path), str(folder), path, -1, 0, found.st_size, found.st_mtime_ns, *origin, problem)
        yield from _by_tune(whole, partial(read_file, file, LARGEST))


def _by_tune(whole: Source, read: Callable[[], bytes]) -> Iterator[Source]:
    """The file, or each of its tunes if it is an ABC file with several."""
    content = b""
    if whole.name.lower().endswith(".abc") and not whole.problem:
        with suppress(*_UNREADABLE):  # reading the piece later reports the error
            content = read()
    if len(found := tunes(content)) < 2:
        yield whole
        return
    for place, tune in enumerate(found, 1):
        yield replace(whole, name=f"{whole.name}/{place}", tune=place, size=len(tune))


def _part(source: Source, parts: Sequence[bytes]) -> bytes | Exception:
    return parts[source.tune - 1] if source.tune <= len(parts) else ValueError("the file was changed while it was read")


def _walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """All music below a folder, sorted by name; links to folders are not followed, so that there are no cycles."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif (_names_music(entry.name) or _names_archive(entry.name)) and entry.is_file():
            yield entry.path, entry.stat()


def _names_music(name: str) -> bool:
    # macOS stores metadata of a file NAME in `._NAME`.
    return os.path.splitext(name)[1].lower() in READABLE and not os.path.basename(name).startswith("._")


def _names_archive(name: str) -> bool:
    return name.lower().endswith(_ARCHIVES) and not os.path.basename(name).startswith("._")


def _in_archive(path: Path, work_column: str) -> Iterator[Source]:
    found = path.stat()
    place, budget = -1, _RATIO * found.st_size + _MORE
    try:
        rows = _Manifest(_manifest_in(path), path, work_column)
        for place, name, size, read in _members(path):
            if not (_names_music(name) or _names_archive(name)):
                continue
            problem = ""
            if _names_archive(name):
                problem = "an archive in an archive; unpack it, and name the folder"
            elif budget < size <= LARGEST:
                problem = f"its archive unpacks to more than {_RATIO} times its size"
            elif size <= LARGEST:
                budget -= size
            origin = rows.of(name, writable(path.name))
            whole = Source(writable(name), str(path), name, place, 0, size, found.st_mtime_ns, *origin, problem)
            yield from _by_tune(whole, read)
    except TooLargeError as error:
        raise TooLargeError(f"{path}: {error} (after member {place + 1:,})") from error
    except _ManifestError:
        raise
    except _UNREADABLE as error:
        raise _DamagedError(
            f"{path} is damaged or cut off after member {place + 1:,} ({error}); get it again"
        ) from error


def _members(path: Path) -> Iterator[tuple[int, str, int, Callable[[], bytes]]]:
    """(index, name, size, reader) of every file in an archive; call the reader before the next file is requested."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for place in sorted(range(len(members)), key=lambda place: members[place].filename):
                if not (member := members[place]).is_dir():
                    yield place, member.filename, member.file_size, partial(read_member, archive, member, LARGEST)
        return
    with _open_tar(path) as tar:
        place = 0
        while (entry := _next(tar)) is not None:
            if entry.isfile():
                yield place, entry.name.removeprefix("./"), entry.size, partial(_whole_member, tar, entry)
            place += 1


def _manifest_in(path: Path) -> bytes:
    """The manifest of an archive; empty if there is none, or none before the archive is damaged."""
    try:
        for _, name, _, read in _members(path):
            if name == MANIFEST:
                return _manifest_content(read, path)
    except _ManifestError:
        raise
    except _UNREADABLE:
        pass  # reported when the members are listed
    return b""


def _manifest_content(read: Callable[[], bytes], place: Path) -> bytes:
    try:
        return read()
    except _UNREADABLE as error:
        raise _ManifestError(f"{MANIFEST} in {place} cannot be read: {error}") from error


@contextmanager
def _open_tar(path: Path) -> Generator[tarfile.TarFile]:
    """Open a tar archive as a stream, with limits on what is unpacked at once and in all."""
    with path.open("rb") as file:
        head = file.read(6)
        file.seek(0)
        plain: Any = file
        if head.startswith(b"\x1f\x8b"):
            plain = gzip.GzipFile(fileobj=file)
        elif head.startswith(b"BZh"):
            plain = Unpacked(file, (bz2.BZ2Decompressor() for _ in repeat(None)))
        elif head == b"\xfd7zXZ\0":
            plain = Unpacked(file, (lzma.LZMADecompressor(memlimit=_XZ_MEMORY) for _ in repeat(None)))
        limited = _Limited(plain, _RATIO * path.stat().st_size + _MORE)
        with tarfile.open(fileobj=limited, mode="r|", tarinfo=_Entry) as tar:  # type: ignore[call-overload]
            yield tar


class _Limited:
    """A binary file that raises a `TooLargeError` after `limit` bytes."""

    def __init__(self, file: Any, limit: int) -> None:
        self._file, self._left = file, limit

    def read(self, size: int) -> bytes:
        data: bytes = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise TooLargeError(f"it unpacks to more than {_RATIO} times its size")
        return data


class _Entry(tarfile.TarInfo):
    """A tar header; tarfile would hold headers with a long name or attributes in memory, however large they are."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        limit = {tarfile.XGLTYPE: _GLOBAL_HEADER}.get(self.type, _HEADER)
        names = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, b"X")
        if self.type in names and self.size > limit:
            raise TooLargeError(f"a name or attributes in it have {self.size:,} bytes")
        return super()._proc_member(tar)  # type: ignore[misc,no-any-return]  # the method that subclasses may extend


def _next(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    member = archive.next()
    archive.members = []  # type: ignore[attr-defined]  # else the archive keeps all members in memory
    if sum(map(len, archive.pax_headers.values())) > _HEADER:
        raise TooLargeError("its attributes for all members are too long")
    return member


def _attempt(source: Source, read: Callable[[Source], bytes]) -> bytes | Exception:
    if source.problem:
        return ValueError(source.problem)
    if source.size > LARGEST:
        return ValueError(f"larger than {LARGEST // 2**20} MiB")
    try:
        return read(source)
    except _UNREADABLE as error:
        return error


def _whole_member(archive: tarfile.TarFile, member: tarfile.TarInfo | None) -> bytes:
    file = archive.extractfile(member) if member is not None else None
    if file is None:
        raise ValueError("the archive was changed while it was read")
    return read_at_most(file, LARGEST)


class _ManifestError(ValueError):
    """A manifest cannot be read."""


class _Manifest:
    """The entries of a `manifest.csv` by path: work, source, licence, composer."""

    def __init__(self, content: bytes, place: Path, work_column: str) -> None:
        shared: dict[str, str] = {}  # equal licences and sources share one string
        self._rows: dict[str, tuple[str, str, str, str]] = {}
        if not content:
            return
        needed = ["path", *([work_column] if work_column != WORK_COLUMN else [])]
        wanted = (work_column, "source", "source_repo", "licence", "license", "composer")
        try:
            for row in read_table(content, f"{MANIFEST} in {place}", needed, wanted):
                work, source, repository, licence, license_, composer = map(writable, row[len(needed) :])
                values = (work, source or repository, licence or license_, composer)
                work, source, licence, composer = (shared.setdefault(value, value) for value in values)
                self._rows[row[0]] = work, source, licence, composer
        except ValueError as error:
            raise _ManifestError(str(error)) from error

    def of(self, path: str, origin: str) -> tuple[str, str, str, str]:
        """(work, source, licence, composer) of a path; the source is `origin` if the manifest has none."""
        work, source, licence, composer = self._rows.get(path, ("", "", "", ""))
        return work, source or origin, licence, composer
