"""Read the members of zip and tar archives without extraction to disk, with limits on what they unpack to."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

from mmt.music.bounded import DAMAGED, LARGEST, TooLargeError, Unpacked, read_at_most, read_member

_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
SUFFIXES = (".zip", *_TAR_SUFFIXES)
# All files of an archive together are at most this many bytes for each of its own, and some more.
RATIO, _MORE = 200, LARGEST
# The largest header of a tar member with a long name or attributes, and of one for all members, in bytes.
_HEADER, _GLOBAL_HEADER = 2**20, 2**16
_XZ_MEMORY = 256 * 2**20
# Everything that reading a damaged archive or a member raises.
UNREADABLE = (*DAMAGED, tarfile.TarError, ValueError)


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive, or has the name of a tar archive."""
    return zipfile.is_zipfile(path) or path.name.lower().endswith(_TAR_SUFFIXES)


def unpacked_limit(path: Path) -> int:
    """The most bytes that all files of an archive may have together."""
    return RATIO * path.stat().st_size + _MORE


def members(path: Path) -> Iterator[tuple[int, str, int, Callable[[], bytes]]]:
    """(index, name, size, reader) of every file in an archive; call the reader before the next file is requested."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            for place in sorted(range(len(entries)), key=lambda place: entries[place].filename):
                if not (member := entries[place]).is_dir():
                    yield place, member.filename, member.file_size, partial(read_member, archive, member, LARGEST)
        return
    with _open_tar(path) as tar:
        place = 0
        while (entry := _next(tar)) is not None:
            if entry.isfile():
                yield place, entry.name.removeprefix("./"), entry.size, partial(_whole_member, tar, entry)
            place += 1


@contextmanager
def member_reader(path: Path) -> Generator[Callable[[int], bytes]]:
    """A function from the index of a member to its content; call it in the order of `members`, at most once for each."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            yield lambda index: read_member(archive, entries[index], LARGEST)
        return
    with _open_tar(path) as tar:
        position = -1

        def read(index: int) -> bytes:
            nonlocal position
            member = None
            while position < index:
                position, member = position + 1, _next(tar)
            return _whole_member(tar, member)

        yield read


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
        limited = _Limited(plain, unpacked_limit(path))
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
            raise TooLargeError(f"it unpacks to more than {RATIO} times its size")
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


def _whole_member(archive: tarfile.TarFile, member: tarfile.TarInfo | None) -> bytes:
    file = archive.extractfile(member) if member is not None else None
    if file is None:
        raise ValueError("the archive was changed while it was read")
    return read_at_most(file, LARGEST)
