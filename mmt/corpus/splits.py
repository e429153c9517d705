"""Which pieces are trained on, validated on and tested on: drawn by a hash of the work, so that a draw never changes.

Two versions of one work never sit on both sides: they share the work's name, a table says that they belong together, or
they are the same notes, transposed or not.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from mmt.representation.codes import IntArray
from mmt.representation.notes import NoteTable

SPLITS = ("train", "valid", "test")


def work_of(name: str, pattern: str | None = None, told: str = "") -> str:
    """The work that a file is a version of.

    Parameters
    ----------
    name : str
        The name of the file. Without its suffix it is the work of a file for which `told` is empty.
    pattern : str, optional
        A regular expression that is matched with the work so far. The first of its groups that matches is the work.
    told : str
        What a manifest says of the work.

    Examples
    --------
    >>> work_of("freedoom/d_dm04_07041f44.mid", r"(.*)_[0-9a-f]{8}")
    'freedoom/d_dm04'
    >>> work_of("a.mid", r"ftp/(.+?)/|scores/(.+?)/", told="scores/Winterreise/1_Gute_Nacht.mxl")
    'Winterreise'
    """
    text = told or str(PurePosixPath(name).with_suffix(""))
    found = re.match(pattern, text) if pattern else None
    return next(filter(None, found.groups()), text) if found else text


def fingerprint(table: NoteTable, drums_code: int = 0) -> str:
    """A hash of the notes that no transposition, change of instruments or silence at the beginning changes.

    Notes of the instrument code `drums_code` count only where there are no others, so that a piece has the same
    fingerprint with and without its drums.
    """
    pitched = table["instrument"] != drums_code
    if pitched.any():
        table = table[pitched]
    if not len(table):
        return hashlib.sha256().hexdigest()[:16]
    columns = np.empty((4, len(table)), np.int32)
    columns[0] = table["beat"] - table["beat"][0]
    columns[1] = table["position"]
    columns[2] = table["pitch"] - table["pitch"].min()
    columns[3] = table["duration"]
    # The table is in the order of these columns, so that notes that differ in their instrument alone are neighbours.
    new = np.ones(len(table), bool)
    new[1:] = (columns[:, 1:] != columns[:, :-1]).any(axis=0)
    return hashlib.sha256(columns[:, new].tobytes()).hexdigest()[:16]


def draw_splits(
    works: Sequence[str] | IntArray,
    fingerprints: Sequence[str] | IntArray,
    shares: Mapping[str, float],
    seed: int = 0,
    *,
    also: Sequence[str] | IntArray | None = None,
    fixed: Mapping[int, tuple[str, str]] | None = None,
) -> list[str]:
    """The split of each piece.

    Parameters
    ----------
    works, fingerprints : one a piece
        Pieces that share either belong together. Instead of texts, 64-bit integers: any for the works, and for the
        fingerprints their hexadecimal digits.
    shares : mapping
        The share of the works that go to "valid" and to "test", each 0 … 1; the rest go to "train". A small corpus gives
        each split whose share is not 0 at least one work, "valid" before "test", as long as one is left for "train".
    seed : int
        Another seed, another draw.
    also : one a piece, optional
        A second work of each piece, of the kind of `works`; the same as in `works` for a piece that has none.
    fixed : mapping, optional
        From the index of a piece to its name and its split, which is that of all pieces that belong together with it.
        The others are drawn.

    Raises
    ------
    ValueError
        If a share is missing, or they are no shares of a whole; if pieces that belong together are fixed in two splits.

    Examples
    --------
    >>> draw_splits(["a", "b", "c"], ["1", "2", "1"], {"valid": 0.3, "test": 0.0})
    ['valid', 'train', 'valid']
    """
    check_shares(shares)
    known, notes = np.unique(np.asarray(fingerprints), return_inverse=True)
    both = np.unique(np.stack([works, works if also is None else also]), return_inverse=True)[1].reshape(2, -1)
    group = _groups(both[0], both[1], notes)
    # A group is known by the least of its fingerprints, so that neither order nor other groups matter.
    least = np.full(group.max(initial=-1) + 1, len(known))
    np.minimum.at(least, group, notes)
    names = (f"{known[place]:016x}" if known.dtype.kind == "u" else str(known[place]) for place in least)
    numbers = np.array([_number(f"notes {name}", seed) for name in names])
    drawn = _draw(numbers, shares, _fixed_groups(group, fixed or {}))
    return [drawn[place] for place in group]


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise a `ValueError` unless "valid" and "test" have shares of a whole."""
    if set(shares) != {"valid", "test"} or min(shares.values()) < 0 or sum(shares.values()) > 1:
        raise ValueError(f"shares are {dict(shares)}; give 'valid' and 'test', each 0 to 1, together at most 1")


def named_splits(splits: Mapping[str, Sequence[str]], draw_rest: bool = False) -> dict[str, str]:
    """The split of each listed name.

    The name "" stands for all others. They are "train", unless "train" is a list as well; with `draw_rest` their split
    is "", which means drawn.

    >>> named_splits({"valid": ["b.mid"]})
    {'b.mid': 'valid', '': 'train'}

    Raises
    ------
    ValueError
        If a split is unknown, or a name stands in two lists.
    """
    if unknown := sorted(set(splits) - set(SPLITS)):
        raise ValueError(f"split {unknown[0]!r} is unknown; choose of {', '.join(SPLITS)}")
    listed: dict[str, str] = {}
    for split, wanted in splits.items():
        for name in wanted:
            if listed.setdefault(name, split) != split:
                raise ValueError(f"{name!r} is in two lists, {listed[name]!r} and {split!r}; leave it in one")
    if draw_rest:
        return listed | {"": ""}
    return listed if "train" in splits else listed | {"": "train"}


def read_names(file: Path) -> list[str]:
    """The names in a list, one a line; empty lines count for nothing."""
    if not file.is_file():
        raise FileNotFoundError(f"there is no list of names {file}")
    return [line for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]


def read_works(file: Path) -> dict[str, str]:
    """A table with the columns `name` (of a piece) and `work`: the work of each name.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no such table, a column is missing, a row has no work, or a name stands in two rows.
    """
    if not file.is_file():
        raise FileNotFoundError(f"there is no table of works {file}")
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            columns, table = rows.fieldnames or (), list(rows)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file} is no CSV table in UTF-8: {error}") from error
    for column in ("name", "work"):
        if column not in columns:
            raise ValueError(f"{file} has no column {column!r}; its columns are {', '.join(columns) or 'none'}")
    works: dict[str, str] = {}
    for row in table:
        if not row["work"]:
            raise ValueError(f"{row['name']!r} has no work in {file}; give one, or leave out its row")
        if works.setdefault(row["name"], row["work"]) != row["work"]:
            raise ValueError(f"{row['name']!r} stands in two rows of {file}; leave one of them")
    return works


def _groups(works: IntArray, also: IntArray, notes: IntArray) -> IntArray:
    """The group of each piece: pieces that share a work or their notes, directly or through others, are of one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    of_works = max(works.max(initial=-1), also.max(initial=-1)) + 1
    every = of_works + notes.max(initial=-1) + 1
    ends = np.concatenate([works, works]), np.concatenate([also, of_works + notes])
    joined = coo_array((np.ones(len(ends[0]), bool), ends), shape=(every, every))
    # A work that no piece has as its first is a group of no piece; groups count up from 0 without a gap.
    group: IntArray = np.unique(connected_components(joined, directed=False)[1][works], return_inverse=True)[1]
    return group


def _fixed_groups(group: IntArray, fixed: Mapping[int, tuple[str, str]]) -> dict[int, str]:
    """The split of each group that holds a piece whose split is fixed."""
    splits: dict[int, tuple[str, str]] = {}
    for place, (name, split) in fixed.items():
        other, its = splits.setdefault(int(group[place]), (name, split))
        if its != split:
            raise ValueError(
                f"{other!r} is listed in {its!r} and {name!r} in {split!r}, but they belong to one work; "
                "list them in the same split"
            )
    return {place: split for place, (_, split) in splits.items()}


def _draw(numbers: npt.NDArray[np.float64], shares: Mapping[str, float], fixed: Mapping[int, str]) -> list[str]:
    """The split of each group, by its number in [0, 1): "valid" below its share, then "test", then "train".

    The split of a group whose place is in `fixed` is the one that stands there.
    """
    border = shares["valid"], shares["valid"] + shares["test"]
    drawn = ["valid" if n < border[0] else "test" if n < border[1] else "train" for n in numbers]
    for place, split in fixed.items():
        drawn[place] = split
    wanted = [split for split in SPLITS if split == "train" or shares[split] > 0]
    if sum(shares.values()) == 1:
        wanted.remove("train")
    # A small corpus: the first of the splits that nothing fell to takes a work from one that can spare it.
    for place, split in enumerate(wanted):
        if split in drawn:
            continue
        sizes = Counter(drawn)
        loose = (key for key in range(len(drawn)) if key not in fixed)
        spare = [key for key in loose if sizes[drawn[key]] > 1 or drawn[key] in wanted[place + 1 :]]
        if spare:
            # Training gives and takes first; the lowest numbers are nearest to validation, the highest to training.
            ascending = sorted(spare, key=lambda key: (drawn[key] != "train", numbers[key]))
            drawn[ascending[-1 if split == "train" else 0]] = split
    return drawn


def _number(key: str, seed: int) -> float:
    return int.from_bytes(hashlib.sha256(f"{seed} {key}".encode()).digest()[:8], "big") / 2**64
