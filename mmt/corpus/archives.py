"""Read the members of zip and tar archives without extraction to disk, with limits on what they unpack to."""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from mmt.music.bounded import LARGEST, TooLargeError, read_at_most
from mmt.music.unpacking import DAMAGED, Unpacked, read_member

_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
SUFFIXES = (".zip", *_TAR_SUFFIXES)
# All files of an archive together are at most this many bytes for each of its own, and some more.
RATIO, _MORE = 200, LARGEST
# The largest header of a tar member with a long name or attributes, in bytes, and the most of them for one member.
_HEADER, _MOST_HEADERS = 2**20, 8
_ATTRIBUTES = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_HEADERS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE, *_ATTRIBUTES)
_END = bytes(tarfile.BLOCKSIZE)
# The most members of a tar archive: this many, and one for each few bytes of its size, since empty ones pack to almost nothing.
_MEMBERS, _MEMBER_BYTES = 10_000, 32
# By the first bytes of a packed file.
_DECOMPRESSORS: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": partial(zlib.decompressobj, zlib.MAX_WBITS + 16),
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\0": partial(lzma.LZMADecompressor, memlimit=256 * 2**20),
}
# Everything that reading a damaged archive or a member raises.
UNREADABLE = (*DAMAGED, tarfile.TarError, ValueError)


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive, or has the name of a tar archive."""
    return _is_tar(path) or zipfile.is_zipfile(path)


def _is_tar(path: Path) -> bool:
    # By its name, since a tar archive whose last member is a zip archive would also be taken for one.
    return path.name.lower().endswith(_TAR_SUFFIXES)


def unpacked_limit(path: Path) -> int:
    """The most bytes that all files of an archive may have together."""
    return RATIO * path.stat().st_size + _MORE


def members(path: Path) -> Generator[tuple[int, str, int, Callable[[], bytes]]]:
    """(index, name, size, reader) of every file in an archive; call the reader before the next file is requested."""
    if not _is_tar(path):
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            for place in sorted(range(len(entries)), key=lambda place: entries[place].filename):
                if not (member := entries[place]).is_dir():
                    yield place, member.filename, member.file_size, partial(read_member, archive, member, LARGEST)
        return
    with path.open("rb") as file:
        head = file.read(6)
        file.seek(0)
        decompressor = next((new for magic, new in _DECOMPRESSORS.items() if head.startswith(magic)), None)
        # A file may consist of several streams.
        plain = io.BufferedReader(Unpacked(file, iter(decompressor, None)), 2**16) if decompressor else file
        most = _MEMBERS + path.stat().st_size // _MEMBER_BYTES
        for place, (name, size, read) in enumerate(_tar_files(_Limited(plain, unpacked_limit(path)), most)):
            yield place, name, size, read


@contextmanager
def member_reader(path: Path) -> Iterator[Callable[[int], bytes]]:
    """A function from the index of a member to its content; call it in the order of `members`, at most once for each."""
    with closing(members(path)) as found:

        def read(index: int) -> bytes:
            for place, _, _, content in found:
                if place == index:
                    return content()
            raise ValueError("the archive was changed while it was read")

        yield read


def _tar_files(file: _Limited, most: int) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """The files of an unpacked tar archive. (tarfile has no limits, and treats a damaged header as the end.)"""
    given: dict[str, str] = {}  # attributes of the next member
    headers = count = 0
    for entry in _tar_entries(file):
        if entry.type in _HEADERS:
            if (headers := headers + 1) > _MOST_HEADERS or entry.size < 0:
                raise ValueError("a name or attributes in it are damaged")
            if entry.size > _HEADER:
                raise TooLargeError(f"a name or attributes in it have {entry.size:,} bytes")
            part = _Part(file, entry.size)
            given |= _attributes(entry.type, read_at_most(part, _HEADER))
            part.skip()
            continue
        if (count := count + 1) > most:
            raise TooLargeError(f"it has more than {most:,} members")
        size = int(given.get("size", entry.size))
        has_content = entry.isreg() or entry.type not in tarfile.SUPPORTED_TYPES
        if size < 0 or entry.type == tarfile.GNUTYPE_SPARSE or any(name.startswith("GNU.sparse") for name in given):
            raise ValueError("a file in it is sparse or has a negative size")
        part = _Part(file, size if has_content else 0)
        if entry.isreg():
            name = given.get("path", entry.name).removeprefix("./")
            yield name, size, partial(read_at_most, part, LARGEST)
        part.skip()
        given, headers = {}, 0


def _tar_entries(file: _Limited) -> Iterator[tarfile.TarInfo]:
    """Each block that is the header of a member; read the member's content before the next is requested."""
    block = file.read(tarfile.BLOCKSIZE)
    if not block:
        raise EOFError("it is empty")
    while block and block != _END:
        if len(block) < tarfile.BLOCKSIZE:
            raise EOFError("it is cut off")
        yield tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        block = file.read(tarfile.BLOCKSIZE)


def _attributes(kind: bytes, content: bytes) -> dict[str, str]:
    """What a header says of the next member: its path, its size, and whether it is sparse."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return {"path": content.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")}
    if kind not in _ATTRIBUTES:
        return {}
    found, place = {}, 0
    # Each is "LENGTH NAME=VALUE\n", and the length includes itself. Some programs write zeros after the last.
    while place < len(content) and content[place]:
        length = int(content[place : place + 8].split(b" ")[0])
        name, _, value = content[place : place + length].partition(b" ")[2].partition(b"=")
        if length < 5 or not value.endswith(b"\n"):
            raise ValueError("the attributes of a file in it are damaged")
        found[name.decode("utf-8", "replace")] = value[:-1].decode("utf-8", "surrogateescape")
        place += length
    return {name: value for name, value in found.items() if name in ("path", "size") or name.startswith("GNU.sparse")}


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


class _Part(io.RawIOBase):
    """The next `size` bytes of a tar archive; an `EOFError` if there are fewer."""

    def __init__(self, file: _Limited, size: int) -> None:
        self._file, self._left, self._padding = file, size, -size % tarfile.BLOCKSIZE

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, self._left))
        if len(data) < min(size, self._left):
            raise EOFError("it is cut off")
        self._left -= len(data)
        return data

    def skip(self) -> None:
        """Read the rest, and the zeros after it."""
        self._left += self._padding
        self._padding = 0
        while self.read(2**16):
            pass
