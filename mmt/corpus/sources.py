"""Where a corpus comes from: folders, single files and zip archives, each a list of pieces to read.

A zip archive or folder may hold a `manifest.csv` with a `path` column; its `licence`, `work` and `source` columns
(any of them) then go into the corpus.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

from mmt.music.files import READABLE

MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class Source:
    """One file of music: in a folder, or a member of a zip archive.

    `name` is its path below what the user named; where two have the same, what the user named is put before it.
    """

    name: str
    file: Path
    member: str | None = None
    manifest: dict[str, str] = field(default_factory=dict)

    def read_bytes(self) -> bytes:
        """The file's content."""
        if self.member is None:
            return self.file.read_bytes()
        with zipfile.ZipFile(self.file) as archive:
            return archive.read(self.member)


def find_sources(paths: Sequence[str | PathLike[str]]) -> list[Source]:
    """Every readable piece of music in files, folders (with all below) and zip archives; sorted by name within each.

    Raises
    ------
    FileNotFoundError
        If a path does not exist.
    ValueError
        If a path that was named alone is no music and no archive, or nothing readable was found at all.
    """
    roots = dict.fromkeys(map(Path, paths))
    found = [(root, source) for root in roots for source in _sources_of(root)]
    if not found:
        raise ValueError(
            f"no music in {', '.join(map(str, paths))}; expected files ending in {' '.join(sorted(READABLE))}, "
            "or folders or zip archives of them"
        )
    times = Counter(source.name for _, source in found)
    return [
        source if times[source.name] == 1 else replace(source, name=writable(_full_name(root, source)))
        for root, source in found
    ]


def writable(name: str) -> str:
    """A file's name for a table in UTF-8: a byte that is none is shown by its number.

    >>> writable("caf\\udce9.mid")
    'caf\\\\udce9.mid'
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _full_name(root: Path, source: Source) -> str:
    return root.as_posix() if root == source.file and source.member is None else f"{root.as_posix()}/{source.name}"


def _sources_of(path: Path) -> Iterator[Source]:
    if path.is_dir():
        manifest = path / MANIFEST
        rows = _manifest_rows(manifest.read_bytes()) if manifest.exists() else {}
        for file in sorted(path.rglob("*")):
            name = writable(file.relative_to(path).as_posix())
            if file.suffix.lower() in READABLE and file.is_file():
                yield Source(name, file, manifest=rows.get(name, {}))
    elif not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    elif zipfile.is_zipfile(path) and path.suffix.lower() not in READABLE:
        yield from _members(path)
    elif path.suffix.lower() in READABLE:
        yield Source(writable(path.name), path)
    else:
        raise ValueError(
            f"{path} is no music that can be read ({' '.join(sorted(READABLE))}), no folder and no zip archive"
        )


def _members(path: Path) -> Iterator[Source]:
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if Path(name).suffix.lower() in READABLE)
        rows = _manifest_rows(archive.read(MANIFEST)) if MANIFEST in archive.namelist() else {}
    for name in names:
        yield Source(name, path, name, rows.get(name, {}))


def _manifest_rows(content: bytes) -> dict[str, dict[str, str]]:
    rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
    if "path" not in (rows.fieldnames or ()):
        raise ValueError(f"{MANIFEST} has no column 'path'; its columns are {', '.join(rows.fieldnames or ())}")
    return {row["path"]: row for row in rows}
