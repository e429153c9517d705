"""Readers that go wrong, to be imported by another process. What a file begins with says what happens to its reader."""

from __future__ import annotations

import ctypes
import os
import time

from mmt.corpus.reading import Outcome, read_piece

HANGS, HANGS_IN_C, ABORTS, CRASHES, EXITS = b"hangs", b"sleeps", b"aborts", b"crashes", b"exits"


def double(number: int) -> int:
    """Twice the number, with noise; 2 ends the process, 3 stops it."""
    print("noise")
    if number == 2:
        os.abort()
    if number == 3:
        time.sleep(100)
    return 2 * number


def die_once(file: str) -> str:
    """The file's text, but for the first time: then it is written, and the process ends."""
    if not os.path.exists(file):
        with open(file, "w") as target:
            target.write("alive")
        os._exit(1)
    with open(file) as source:
        return source.read()


def read(named: tuple[str, bytes | Exception], **settings: object) -> Outcome:
    """`read_piece`, but for files that are planted."""
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
    """The number of the process that this is called in."""
    return os.getpid()
