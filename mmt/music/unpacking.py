"""Unpack zip archives and streams that may be hostile: no more than is asked for, in steps no larger than what is read."""

from __future__ import annotations

import bz2
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterable
from copy import copy
from typing import IO, TYPE_CHECKING, Any

from mmt.music.bounded import LARGEST, TooLargeError, brief, read_at_most, size_text

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CHUNK = 2**16
# Everything that zipfile and the decompressors raise for damage, encryption and unknown methods.
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, NotImplementedError)


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int = LARGEST) -> bytes:
    """The content of a zip member: at most `limit` bytes, and no more than its header says.

    `zipfile` unpacks bzip2 and LZMA in steps that can be gigabytes, so only the packed bytes are read through it.

    A `ValueError` refuses a member that is larger, damaged, encrypted, or packed by an unknown method.
    """
    if member.file_size > limit:
        raise TooLargeError(f"it holds more than {size_text(limit)}")
    packed = copy(member)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, member.compress_size
    packed.CRC = None  # type: ignore[assignment]  # do not check it for the packed bytes
    try:
        with archive.open(packed) as file:
            content = read_at_most(_unpack(file, member), member.file_size)
    except DAMAGED as error:
        raise ValueError(brief(error) or "it is damaged") from error
    except TooLargeError:
        raise TooLargeError("it holds more than its header says") from None
    if len(content) < member.file_size or zlib.crc32(content) != member.CRC:
        raise ValueError(f"Bad CRC-32 for file {brief(member.filename)!r}: it is damaged")
    return content


def _unpack(file: IO[bytes], member: zipfile.ZipInfo) -> IO[bytes] | Unpacked:
    match member.compress_type:
        case zipfile.ZIP_STORED:
            return file
        case zipfile.ZIP_DEFLATED:
            return Unpacked(file, [zlib.decompressobj(-zlib.MAX_WBITS)])
        case zipfile.ZIP_BZIP2:
            return Unpacked(file, [bz2.BZ2Decompressor()])
        case zipfile.ZIP_LZMA:
            return Unpacked(file, [_lzma(file, member)])
    raise ValueError(f"it is packed by method {member.compress_type}, which mmt does not support; pack it with deflate")


def _lzma(file: IO[bytes], member: zipfile.ZipInfo) -> lzma.LZMADecompressor:
    """The decompressor of an LZMA member, which begins with its settings."""
    head = file.read(9)
    if len(head) < 9 or head[2:4] != b"\5\0" or head[4] >= 225:
        raise ValueError("its LZMA header is damaged")
    rest, lc = divmod(head[4], 9)
    pb, lp = divmod(rest, 5)
    # The header may ask for a dictionary of 4 GB, but no more is used than is unpacked.
    dictionary = min(int.from_bytes(head[5:], "little"), max(member.file_size, 2**12))
    kind = {"id": lzma.FILTER_LZMA1, "dict_size": max(dictionary, 2**12), "lc": lc, "lp": lp, "pb": pb}
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[kind])


class Unpacked(io.RawIOBase):
    """A binary file that unpacks another, in steps no larger than what is read.

    `decompressors` gives one of zlib, bz2 or lzma for each of the concatenated streams of the file; what follows the last is
    ignored.
    """

    def __init__(self, file: IO[bytes], decompressors: Iterable[Any]) -> None:
        self._file, self._others = file, iter(decompressors)
        self._machine = next(self._others)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        while True:
            # zlib leaves what it has not unpacked yet; bz2 and lzma keep it, and say whether they need more.
            packed = getattr(self._machine, "unconsumed_tail", b"")
            if self._machine.eof:
                packed = self._machine.unused_data or self._file.read(_CHUNK)
                following = next(self._others, None) if packed.strip(b"\0") else None
                if following is None:
                    return 0
                self._machine = following
            elif not packed and getattr(self._machine, "needs_input", True):
                packed = self._file.read(_CHUNK)
            data = self._machine.decompress(packed, len(view))
            if data:
                view[: len(data)] = data
                return len(data)
            # Without input, zlib may still have data, or find that it is at the end.
            if not packed and not self._machine.eof:
                raise EOFError("it is cut off")
