"""Provenance of results: versions of mmt and its libraries, the commit of mmt if it is known, and the command line."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from mmt.music.atomic import replacing

PROVENANCE = "provenance.json"
_COMMAND: ContextVar[str | None] = ContextVar("command", default=None)
_PACKAGE = "multitrack-music-transformer"
_LIBRARIES = ("numpy", "torch")


def write_provenance(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write `provenance.json`: the software, the command line (None: called from Python) and facts, such as a seed and hashes."""
    made_with = {"software": software(), "command": _COMMAND.get(), **facts}
    with replacing(folder / PROVENANCE) as unfinished:
        unfinished.write_text(json.dumps(made_with, indent=1) + "\n", encoding="utf-8")


@contextmanager
def of_command(name: str, arguments: Sequence[str]) -> Iterator[None]:
    """Within this context, `write_provenance` notes this command line."""
    token = _COMMAND.set(shlex.join([name, *arguments]))
    try:
        yield
    finally:
        _COMMAND.reset(token)


@cache
def software() -> dict[str, str | None]:
    """Versions of mmt, Python and libraries; and the commit ("-dirty": with changes), None if it is unknown.

    >>> sorted(software())
    ['commit', 'mmt', 'numpy', 'python', 'torch']
    """
    # Not imported: modules of a package do not import the whole of it.
    own = sys.modules[__name__.partition(".")[0]].__version__
    versions = {"mmt": own, "commit": _commit(), "python": platform.python_version()}
    return versions | {name: version(name) for name in _LIBRARIES}


def _commit() -> str | None:
    """The commit, or None if it is unknown."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / ".git").exists():
        git = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        try:
            return subprocess.run(git, capture_output=True, text=True, timeout=10, check=True).stdout.strip() or None
        except (OSError, subprocess.SubprocessError):
            return None
    try:
        # pip writes this file when it installs from a repository (PEP 610).
        origin = distribution(_PACKAGE).read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    commit = json.loads(origin or "{}").get("vcs_info", {}).get("commit_id")
    return None if commit is None else str(commit)
