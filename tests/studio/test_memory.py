"""Memory of freed arrays goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from mmt.studio.memory import return_free_memory, return_large_arrays

_SCRIPT = """
import os, sys
from pathlib import Path
import numpy as np
from mmt.studio.memory import return_free_memory, return_large_arrays

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

if "before" in sys.argv:
    return_large_arrays()
np.ones(3 * 2**20)  # freed at once: from now on, glibc would take arrays of up to 24 MiB from the heap
started = resident()
# Small objects between the arrays hold the heap at its size.
arrays, small = zip(*[(np.ones(2**17), bytes(60_000)) for _ in range(100)])
del arrays
if "after" in sys.argv:
    return_free_memory()
print(resident() - started)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.parametrize(("when", "returns"), [("before", True), ("after", True), ("never", False)])
def test_freed_arrays_go_back_to_the_system(when: str, returns: bool) -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT, when], capture_output=True, text=True, check=True)
    assert (float(done.stdout) < 20) == returns, done.stdout


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmt.studio.memory._glibc", lambda: None)
    return_large_arrays()
    return_free_memory()
