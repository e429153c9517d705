"""Readers that fail, imported by another process. The first bytes of a file say how its reader fails."""

from __future__ import annotations

import ctypes
import os
import time

from mmt.corpus.reading import Outcome, read_piece

HANGS, HANGS_IN_C, ABORTS, CRASHES, EXITS = b"hangs", b"sleeps", b"aborts", b"crashes", b"exits"


def double(number: int) -> int:
    """Twice the number, with noise; 2 aborts the process, 3 hangs it."""
    print("noise")
    if number == 2:
        os.abort()
    if number == 3:
        time.sleep(100)
    return 2 * number


def die_once(file: str) -> str:
    """The file's text; at the first call, write the file and end the process."""
    if not os.path.exists(file):
        with open(file, "w") as target:
            target.write("alive")
        os._exit(1)
    with open(file) as source:
        return source.read()


def read(named: tuple[str, bytes | Exception], **settings: object) -> Outcome:
    """`read_piece`, except for planted files."""
    content = named[1]
    assert isinstance(content, bytes)
    if content.startswith(HANGS):
        time.sleep(100)
    if content.startswith(HANGS_IN_C):
        ctypes.PyDLL(None).sleep(100)  # holds the interpreter's lock, as a native reader does
    if content.startswith(ABORTS):
        os.abort()
    if content.startswith(CRASHES):
        ctypes.string_at(0)
    if content.startswith(EXITS):
        os._exit(3)
    return read_piece(named, **settings)  # type: ignore[arg-type]


def process(_: object) -> int:
    """The ID of the calling process."""
    return os.getpid()
