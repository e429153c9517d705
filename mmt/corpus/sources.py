"""Where a corpus comes from: folders, single files, zip and tar archives, each a row of pieces to read.

A folder or archive may hold a `manifest.csv` with a `path` column; its `work`, `source`, `licence` and `composer` columns
(any of them) then go into the corpus. Another column can be named to tell the work. Archives below a folder are read as
well, archives in archives are not. Members of an archive are read where they lie: nothing is ever unpacked to the disk, so
a member's path can do no harm. An ABC file of several tunes is a piece for each. What is found and read comes one by one;
only an archive's own list of members (zip) and the manifest are held in memory.
"""

from __future__ import annotations

import csv
import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from os import PathLike
from pathlib import Path

from mmt.music.files import READABLE
from mmt.music.reading.abc import tunes

MANIFEST, WORK_COLUMN = "manifest.csv", "work"

# No piece of music is larger; what is would only fill the memory.
LARGEST = 256 * 2**20

_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_ARCHIVES = (".zip", *_TAR_SUFFIXES)
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError)
_UNREADABLE = (*_DAMAGED, ValueError, NotImplementedError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Source:
    """One piece of music: a file in a folder, a member of an archive, or a tune of such a file."""

    name: str
    """Its path below what the user named; where two have the same, what the user named is put before it. A tune's name
    ends with its place in its file, as of a file in a folder: `reels.abc/2`."""
    root: str
    """What the user named."""
    path: str
    """Below a folder; in an archive; "" for a file that was named itself."""
    member: int = -1
    """Its place among an archive's members; -1 outside one."""
    tune: int = 0
    """Its place, from 1, among the tunes of its file; 0 where it is the whole file."""
    size: int = 0
    """In bytes."""
    modified: int = 0
    """When it, or its archive, was last written, in nanoseconds."""
    work: str = ""
    """What the manifest's column for the work says."""
    source: str = ""
    licence: str = ""
    composer: str = ""


def find_sources(paths: Sequence[str | PathLike[str]], work_column: str = WORK_COLUMN) -> Iterator[Source]:
    """Every readable piece of music in files, folders (with all below) and archives.

    In a folder or zip archive they come sorted by name, in a tar archive as they lie in it.

    Parameters
    ----------
    paths : sequence of paths
    work_column : str
        The column of a manifest that tells the work of a file. A manifest may lack it only where it is "work".

    Raises
    ------
    FileNotFoundError
        If a path does not exist.
    ValueError
        If a path that was named alone is no music and no archive, an archive is damaged, or a manifest lacks a column.
    """
    for path in dict.fromkeys(map(Path, paths)):
        if path.is_dir():
            yield from _in_folder(path, work_column)
        elif not path.exists():
            raise FileNotFoundError(f"{path} does not exist")
        elif path.suffix.lower() in READABLE:
            found = path.stat()
            whole = Source(writable(path.name), str(path), "", size=found.st_size, modified=found.st_mtime_ns)
            yield from _by_tune(replace(whole, source=_origin(path)), path.read_bytes)
        elif is_archive(path):
            yield from _in_archive(path, work_column)
        else:
            raise ValueError(
                f"{path} is no music that can be read ({' '.join(sorted(READABLE))}), no folder and no zip or tar archive"
            )


def read_sources(sources: Iterable[Source]) -> Iterator[bytes | Exception]:
    """The content of each source, or why it cannot be read; they must be in the order in which they were found."""
    for root, below in groupby(sources, key=lambda source: source.root):
        with _reader(Path(root)) as read:
            for _, group in groupby(below, key=lambda source: (source.path, source.member)):
                first = next(group)
                whole = _attempt(first, read)
                parts = tunes(whole) if first.tune and isinstance(whole, bytes) else []
                for source in (first, *group):
                    yield _part(source, parts) if source.tune and isinstance(whole, bytes) else whole


def is_archive(path: Path) -> bool:
    """Whether this is a zip archive, or a tar archive by its name."""
    return zipfile.is_zipfile(path) or path.name.lower().endswith(_TAR_SUFFIXES)


def stem(name: str) -> str:
    """A file's name without the suffix by which we know it.

    >>> stem("songs.tar.gz"), stem("K. 464.mid"), stem("K. 464")
    ('songs', 'K. 464', 'K. 464')
    """
    known = [suffix for suffix in (*_ARCHIVES, *READABLE) if name.lower().endswith(suffix)]
    return name[: -max(map(len, known))] if known else name


def writable(name: str) -> str:
    """A file's name for a table in UTF-8: a byte that is none is shown by its number.

    >>> writable("caf\\udce9.mid")
    'caf\\\\udce9.mid'
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def full_name(source: Source) -> str:
    """Its name with what the user named before it."""
    parts = (Path(source.root).as_posix(), source.path, str(source.tune or ""))
    return writable("/".join(filter(None, parts)))


@contextmanager
def _reader(root: Path) -> Generator[Callable[[Source], bytes]]:
    """What reads sources that were found where the user named `root`, each once and in order."""
    if root.is_dir() or root.suffix.lower() in READABLE:
        yield lambda source: (root / source.path).read_bytes()
    elif zipfile.is_zipfile(root):
        with zipfile.ZipFile(root) as archive:
            members = archive.infolist()
            yield lambda source: archive.read(members[source.member])
    else:
        with tarfile.open(root, "r|*") as tar:
            passed = -1

            def read(source: Source) -> bytes:
                nonlocal passed
                member = None
                while passed < source.member:
                    passed, member = passed + 1, _next(tar)
                return _whole_member(tar, member)

            yield read


def _in_folder(folder: Path, work_column: str) -> Iterator[Source]:
    manifest = folder / MANIFEST
    rows = _Manifest(manifest.read_bytes() if manifest.is_file() else b"", folder, work_column)
    for file, found in _walk(str(folder)):
        path = Path(os.path.relpath(file, folder)).as_posix()
        if _names_archive(file):
            try:
                for member in _in_archive(Path(file), work_column):
                    yield replace(member, name=writable(f"{path}/{member.name}"))
                continue
            except ValueError:
                # Members before the damage stay; the archive itself is listed, to be counted as one that cannot be read.
                pass
        origin = rows.of(path, writable(os.path.basename(file)))
        whole = Source(writable(path), str(folder), path, -1, 0, found.st_size, found.st_mtime_ns, *origin)
        yield from _by_tune(whole, Path(file).read_bytes)


def _by_tune(whole: Source, read: Callable[[], bytes]) -> Iterator[Source]:
    """The file, or each of its tunes where it is an ABC file of several."""
    content = b""
    if whole.name.lower().endswith(".abc") and whole.size <= LARGEST:
        with suppress(*_UNREADABLE):  # whatever it is, reading the piece will say it
            content = read()
    if len(found := tunes(content)) < 2:
        yield whole
        return
    for place, tune in enumerate(found, 1):
        yield replace(whole, name=f"{whole.name}/{place}", tune=place, size=len(tune))


def _part(source: Source, parts: Sequence[bytes]) -> bytes | Exception:
    return parts[source.tune - 1] if source.tune <= len(parts) else ValueError("the file was changed while it was read")


def _walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """All music below a folder, by name; folders that are links are not entered, so that none can go in a circle."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif (_names_music(entry.name) or _names_archive(entry.name)) and entry.is_file():
            yield entry.path, entry.stat()


def _names_music(name: str) -> bool:
    # What begins so is a Mac's note on the file whose name follows.
    return os.path.splitext(name)[1].lower() in READABLE and not os.path.basename(name).startswith("._")


def _names_archive(name: str) -> bool:
    return name.lower().endswith(_ARCHIVES) and not os.path.basename(name).startswith("._")


def _in_archive(path: Path, work_column: str) -> Iterator[Source]:
    modified = path.stat().st_mtime_ns
    place = -1
    try:
        rows = _Manifest(_manifest_in(path), path, work_column)
        for place, name, size, read in _members(path):
            if _names_music(name) or _names_archive(name):
                origin = rows.of(name, _origin(path))
                yield from _by_tune(Source(writable(name), str(path), name, place, 0, size, modified, *origin), read)
    except _DAMAGED as error:
        raise ValueError(
            f"{path} is damaged or cut off behind its member {place + 1:,} ({error}); get it again"
        ) from error


def _members(path: Path) -> Iterator[tuple[int, str, int, Callable[[], bytes]]]:
    """(place, name, size, what reads it while it is the last one given) of every file in an archive."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for place in sorted(range(len(members)), key=lambda place: members[place].filename):
                if not (member := members[place]).is_dir():
                    yield place, member.filename, member.file_size, partial(archive.read, member)
        return
    with tarfile.open(path, "r|*") as tar:
        place = 0
        while (entry := _next(tar)) is not None:
            if entry.isfile():
                yield place, entry.name.removeprefix("./"), entry.size, partial(_whole_member, tar, entry)
            place += 1


def _manifest_in(path: Path) -> bytes:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return archive.read(MANIFEST) if MANIFEST in archive.namelist() else b""
    with tarfile.open(path, "r|*") as archive:
        while (member := _next(archive)) is not None:
            if member.isfile() and member.name.removeprefix("./") == MANIFEST:
                return _whole_member(archive, member)
    return b""


def _next(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    member = archive.next()
    archive.members = []  # type: ignore[attr-defined]  # it would remember all of them
    return member


def _attempt(source: Source, read: Callable[[Source], bytes]) -> bytes | Exception:
    if _names_archive(source.path):
        inside = source.member >= 0
        return ValueError(
            "an archive in an archive; unpack it, and name the folder"
            if inside
            else "this archive is damaged or cut off; get it again"
        )
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
    return file.read()


def _origin(path: Path) -> str:
    return writable(path.name)


class _Manifest:
    """What a `manifest.csv` says of each path: work, source, licence, composer."""

    def __init__(self, content: bytes, place: Path, work_column: str) -> None:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
        for column in ("path", work_column):
            if content and column not in (rows.fieldnames or ()) and column != WORK_COLUMN:
                raise ValueError(
                    f"{MANIFEST} in {place} has no column {column!r}; its columns are {', '.join(rows.fieldnames or ())}"
                )
        same: dict[str, str] = {}  # licences and sources repeat, and are kept once
        self._rows = {
            row["path"]: tuple(
                same.setdefault(value, value)
                for value in (
                    row.get(work_column) or "",
                    row.get("source") or row.get("source_repo") or "",
                    row.get("licence") or row.get("license") or "",
                    row.get("composer") or "",
                )
            )
            for row in rows
        }

    def of(self, path: str, origin: str) -> tuple[str, ...]:
        """(work, source, licence, composer); the source is `origin` where the manifest names none."""
        work, source, licence, composer = self._rows.get(path, ("", "", "", ""))
        return work, source or origin, licence, composer
