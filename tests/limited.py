"""Limits on the time and memory of a process, which a hostile file may exceed, and on the size of files."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# The limit counts virtual memory, which imported libraries reserve, so it is set after the imports.
_LIMIT = """
import resource, sys
def limit(memory, seconds):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
"""


def in_limits(code: str, *arguments: str, imports: str = "", seconds: float, memory: int) -> str:
    """The output of Python code; fails on an error, or beyond the limits in bytes and seconds of processor time."""
    script = "\n".join([_LIMIT, imports, f"limit({memory}, {seconds:.0f})", code])
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Limit the size of files to `size` bytes, so that writing fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
