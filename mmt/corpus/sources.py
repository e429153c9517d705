"""Find and load the sources of a corpus: files, folders, zip and tar archives.

A folder or archive may contain a `manifest.csv` with a `path` column and any of `work`, `source`, `licence` and `composer`,
whose values go into the corpus. (Another column can hold the work.) Archives inside a folder are read, archives inside
archives are not. Members of an archive are read without unpacking them to the disk, so a malicious path is harmless. An ABC
file with several tunes is one piece per tune. Sources are found and loaded one by one; only the manifest and the member
list of a zip archive are held in memory.
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

# Largest file to read, in bytes. No piece of music is larger.
LARGEST = 256 * 2**20

_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_ARCHIVES = (".zip", *_TAR_SUFFIXES)
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError)
_UNREADABLE = (*_DAMAGED, ValueError, NotImplementedError, RuntimeError)


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
        If a given file is neither music nor an archive, an archive is damaged, or a manifest lacks a column.
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
    """The content of each source, or the error of reading it; sources must be in the order of `find_sources`."""
    for root, below in groupby(sources, key=lambda source: source.root):
        with _reader(Path(root)) as read:
            for _, group in groupby(below, key=lambda source: (source.path, source.member)):
                first = next(group)
                whole = _attempt(first, read)
                parts = tunes(whole) if first.tune and isinstance(whole, bytes) else []
                for source in (first, *group):
                    yield _part(source, parts) if source.tune and isinstance(whole, bytes) else whole


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
    """A file name that can be written as UTF-8: invalid bytes are escaped.

    >>> writable("caf\\udce9.mid")
    'caf\\\\udce9.mid'
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def full_name(source: Source) -> str:
    """The name of a source, preceded by the path that the user gave."""
    parts = (Path(source.root).as_posix(), source.path, str(source.tune or ""))
    return writable("/".join(filter(None, parts)))


@contextmanager
def _reader(root: Path) -> Generator[Callable[[Source], bytes]]:
    """A function that reads the sources found in `root`, each once and in order."""
    if root.is_dir() or root.suffix.lower() in READABLE:
        yield lambda source: (root / source.path).read_bytes()
    elif zipfile.is_zipfile(root):
        with zipfile.ZipFile(root) as archive:
            members = archive.infolist()
            yield lambda source: archive.read(members[source.member])
    else:
        with tarfile.open(root, "r|*") as tar:
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
    rows = _Manifest(manifest.read_bytes() if manifest.is_file() else b"", folder, work_column)
    for file, found in _walk(str(folder)):
        path = Path(os.path.relpath(file, folder)).as_posix()
        if _names_archive(file):
            try:
                for member in _in_archive(Path(file), work_column):
                    yield replace(member, name=writable(f"{path}/{member.name}"))
                continue
            except ValueError:
                # Keep the members before the damage, and list the archive itself, so that it is counted as unreadable.
                pass
        origin = rows.of(path, writable(os.path.basename(file)))
        whole = Source(writable(path), str(folder), path, -1, 0, found.st_size, found.st_mtime_ns, *origin)
        yield from _by_tune(whole, Path(file).read_bytes)


def _by_tune(whole: Source, read: Callable[[], bytes]) -> Iterator[Source]:
    """The file, or each of its tunes if it is an ABC file with several."""
    content = b""
    if whole.name.lower().endswith(".abc") and whole.size <= LARGEST:
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
    modified = path.stat().st_mtime_ns
    place = -1
    try:
        rows = _Manifest(_manifest_in(path), path, work_column)
        for place, name, size, read in _members(path):
            if _names_music(name) or _names_archive(name):
                origin = rows.of(name, _origin(path))
                yield from _by_tune(Source(writable(name), str(path), name, place, 0, size, modified, *origin), read)
    except _DAMAGED as error:
        raise ValueError(f"{path} is damaged or cut off after member {place + 1:,} ({error}); get it again") from error


def _members(path: Path) -> Iterator[tuple[int, str, int, Callable[[], bytes]]]:
    """(index, name, size, reader) of every file in an archive; call the reader before the next file is requested."""
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
    archive.members = []  # type: ignore[attr-defined]  # else the archive keeps all members in memory
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
    """The entries of a `manifest.csv` by path: work, source, licence, composer."""

    def __init__(self, content: bytes, place: Path, work_column: str) -> None:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
        for column in ("path", work_column):
            if content and column not in (rows.fieldnames or ()) and column != WORK_COLUMN:
                raise ValueError(
                    f"{MANIFEST} in {place} has no column {column!r}; its columns are {', '.join(rows.fieldnames or ())}"
                )
        shared: dict[str, str] = {}  # equal licences and sources share one string
        self._rows = {
            row["path"]: tuple(
                shared.setdefault(value, value)
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
        """(work, source, licence, composer) of a path; the source is `origin` if the manifest has none."""
        work, source, licence, composer = self._rows.get(path, ("", "", "", ""))
        return work, source or origin, licence, composer
