"""Read manifests: tables with the work, source, licence and composer of the files of a folder or archive."""

from __future__ import annotations

from pathlib import Path

from mmt.corpus.archives import UNREADABLE, members
from mmt.music.bounded import escaped, read_table

MANIFEST, WORK_COLUMN = "manifest.csv", "work"


class ManifestError(ValueError):
    """A manifest cannot be read."""


class Manifest:
    """The entries of a `manifest.csv` by path: work, source, licence, composer."""

    def __init__(self, content: bytes, place: Path, work_column: str) -> None:
        shared: dict[str, str] = {}  # equal licences and sources share one string
        self._rows: dict[str, tuple[str, str, str, str]] = {}
        if not content:
            return
        needed = ["path", *([work_column] if work_column != WORK_COLUMN else [])]
        wanted = (work_column, "source", "source_repo", "licence", "license", "composer")
        try:
            for row in read_table(content, f"{MANIFEST} in {place}", needed, wanted):
                work, source, repository, licence, license_, composer = map(escaped, row[len(needed) :])
                values = (work, source or repository, licence or license_, composer)
                work, source, licence, composer = (shared.setdefault(value, value) for value in values)
                self._rows[row[0]] = work, source, licence, composer
        except ValueError as error:
            raise ManifestError(str(error)) from error

    def of(self, path: str, origin: str) -> tuple[str, str, str, str]:
        """(work, source, licence, composer) of a path; the source is `origin` if the manifest has none."""
        work, source, licence, composer = self._rows.get(path, ("", "", "", ""))
        return work, source or origin, licence, composer


def manifest_in(path: Path) -> bytes:
    """The content of an archive's manifest; empty if no manifest can be read."""
    try:
        for _, name, _, read in members(path):
            if name == MANIFEST:
                try:
                    return read()
                except UNREADABLE as error:
                    raise ManifestError(f"{MANIFEST} in {path} cannot be read: {error}") from error
    except ManifestError:
        raise
    except UNREADABLE:
        pass  # reported when the members are listed
    return b""
