"""Read files that may be hostile, with limits on their size, the depth of nesting and the size of numbers.

Everything that exceeds a limit, or is damaged, raises a `ValueError` of one line. The limits are far above what music needs.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

# Largest file, bare or unpacked, in bytes. A symphony has 30 MB as MusicXML.
LARGEST = 128 * 2**20
# Largest JSON and YAML files: a list in memory is 30 times as large as its text, and YAML takes 60 times as long to read.
LARGEST_JSON, LARGEST_YAML = 16 * 2**20, 8 * 2**20
# Nested sections of YAML, and its events (brackets, keys and values): muspy's files have 12 for each note.
_DEPTH, _YAML_EVENTS = 32, 400_000
# Characters of an unquoted value in YAML, which may be a number: parsing numbers takes quadratic time.
LONGEST_PLAIN = 1000
# A tag (`!!name`) gives a value another type than its form has; "!" alone gives none.
_YAML_TAGS = (None, "!")
# Numbers from here up are neither times nor codes.
_LARGEST_NUMBER = 2**31
_CHUNK = 2**16
# Control characters, line separators, marks and overrides of direction, surrogates.
_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_MARKUP = re.compile(r"[\\`*\[\]<>|$~]|&(?=[#\w])|(?<!\w)_|_(?!\w)|^[#+-]")


class TooLargeError(ValueError):
    """A file or a member of an archive exceeds a limit."""


def read_file(path: str | os.PathLike[str], limit: int = LARGEST) -> bytes:
    """The content of a regular file of at most `limit` bytes; a pipe or device, which may never end, is refused.

    The `ValueError` names the file.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"cannot read {path}: it is not a regular file but a folder, a pipe or a device")
    with path.open("rb") as file:
        try:
            return read_at_most(file, limit)
        except TooLargeError as error:
            raise TooLargeError(f"cannot read {path}: {error}") from error


def read_at_most(file: IO[bytes] | io.RawIOBase, limit: int) -> bytes:
    """The rest of a binary file; a `ValueError` if that is more than `limit` bytes."""
    chunks, size = [], 0
    while chunk := file.read(min(_CHUNK, limit + 1 - size)):
        chunks.append(chunk)
        if (size := size + len(chunk)) > limit:
            raise TooLargeError(f"it holds more than {size_text(limit)}")
    return b"".join(chunks)


def parse_json(content: bytes | str) -> Any:
    """Parse JSON in UTF-8; a `ValueError` for anything else, deep nesting, and for numbers that are no finite ones."""
    try:
        return json.loads(content.decode("utf-8") if isinstance(content, bytes) else content, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("its lists and mappings are nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON in UTF-8 ({error})") from error


def json_bytes(plain: Any, **options: Any) -> bytes:
    """JSON in UTF-8, in which halves of surrogate pairs, as in a file name that is not UTF-8, are escaped."""
    return json.dumps(plain, ensure_ascii=False, **options).encode("utf-8", "backslashreplace")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def parse_yaml(content: bytes | str, loader: Any = None) -> Any:
    """Parse YAML in UTF-8 by a `yaml.SafeLoader` class, by default PyYAML's in C, where it is installed.

    A `ValueError` refuses aliases (`*name`), by which a short file can hold a huge value, tags (`!!name`), and what exceeds a
    limit.
    """
    import yaml

    # The loaders follow nested sections by recursion, in C without a limit, but parsing into events does not.
    quick = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = content.decode("utf-8") if isinstance(content, bytes) else content
    try:
        _check_events(yaml.parse(text, quick))
        return yaml.load(text, loader or quick)
    except (yaml.YAMLError, ArithmeticError) as error:  # a number in base 60 may be too large
        raise ValueError(f"it is not YAML: {brief(' '.join(str(error).split()))}") from error


def _check_events(events: Iterator[Any]) -> None:
    import yaml

    depth = 0
    for count, event in enumerate(events):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH:
            raise ValueError(f"its sections are nested more than {_DEPTH} deep")
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"it has an alias (*{brief(event.anchor)}); write the value out instead")
        if getattr(event, "tag", None) not in _YAML_TAGS:
            raise ValueError(f"it has a tag ({brief(event.tag)}), which is not read; write the value without it")
        if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and len(event.value) > LONGEST_PLAIN:
            raise ValueError(f"a value without quotes has more than {LONGEST_PLAIN:,} characters")
        if count > _YAML_EVENTS:
            raise ValueError(f"it has more than {_YAML_EVENTS:,} keys and values; write JSON instead")


def check_numbers(plain: Any) -> None:
    """Raise a `ValueError` unless all numbers in nested lists and mappings are finite and below 2^31, up or down."""
    left = [plain]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
        elif isinstance(value, int | float) and not -_LARGEST_NUMBER < value < _LARGEST_NUMBER:
            raise ValueError("a number in it is not between -2^31 and 2^31")


def map_array(path: Path) -> npt.NDArray[Any]:
    """Map a .npy file into memory, so that its header cannot ask for more memory than the file has bytes.

    A `ValueError` refuses what is no such file, or is truncated.
    """
    import numpy as np

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        return np.lib.format.open_memmap(path, mode="r")  # type: ignore[no-any-return,no-untyped-call]
    except OSError:
        raise
    except Exception as error:  # NumPy parses the header as Python, without running it, and lets many errors pass
        raise ValueError(f"{path} is corrupt or truncated ({' '.join(str(error).split())[:200]})") from error


def read_table(
    content: bytes, where: str, needed: Sequence[str], wanted: Sequence[str] = (), *, limit: int = 2_000_000
) -> Iterator[list[str]]:
    """At most `limit` rows of a CSV table in UTF-8: cells of the needed and the wanted columns, "" where there is none.

    If it is no such table, or a needed column is missing, a `ValueError` names `where` it was read.
    """
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    rows = csv.reader(lines)
    try:
        columns = next(rows, [])
        for name in needed:
            if name not in columns:
                known = brief(", ".join(columns)) or "none"
                raise ValueError(f"{where} has no column {name!r}; its columns are {known}")
        places = [columns.index(name) if name in columns else len(columns) for name in (*needed, *wanted)]
        for count, row in enumerate(rows):
            if count == limit:
                raise ValueError(f"{where} has more than {limit:,} rows")
            if row:
                yield [row[place] if place < len(row) else "" for place in places]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{where} is not a CSV table in UTF-8: {error} (line {rows.line_num + 1:,})") from error


def brief(text: object, longest: int = 300) -> str:
    """A text for a part of an error's message: escaped, and cut after `longest` characters.

    >>> brief("x" * 1000, 5)
    'xxxx…'
    """
    line = escaped(str(text))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def escaped(text: str) -> str:
    """A text for one line of a terminal: control characters, those that change the direction of writing, and halves of
    surrogate pairs are escaped.

    >>> escaped("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def check_utf8(path: Path) -> None:
    """Raise a `ValueError` for a path that is not UTF-8, which safetensors and TensorBoard do not open."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        raise ValueError(f"the path {path} is not UTF-8; rename the file or its folders") from None


def markdown(text: object) -> str:
    """A text as it is in a line of Markdown: escaped, also the signs that would be markup, HTML or a formula.

    >>> print(markdown("a_b|c <script>"))
    a_b\\|c \\<script\\>
    """
    return _MARKUP.sub(r"\\\g<0>", escaped(str(text)))


def printable(text: str) -> str:
    """A text with a space in place of each character that cannot be printed."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def size_text(limit: int) -> str:
    """A size in bytes as text: in MiB from one on."""
    return f"{limit >> 20} MiB" if limit >= 2**20 else f"{limit:,} bytes"
