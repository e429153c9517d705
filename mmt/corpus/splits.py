"""Which pieces are trained on, validated on and tested on: drawn by a hash of the work, so that a draw never changes.

Two versions of one work never sit on both sides: they share the work's name, or they are the same notes, transposed
or not.
"""

from __future__ import annotations

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


def work_of(name: str, pattern: str | None = None) -> str:
    """The work that a file is a version of: the first group of `pattern` in its name, or its name without the suffix.

    >>> work_of("freedoom/d_dm04_07041f44.mid", r"(.*)_[0-9a-f]{8}")
    'freedoom/d_dm04'
    """
    stem = str(PurePosixPath(name).with_suffix(""))
    found = re.match(pattern, stem) if pattern else None
    return found[1] if found and found.re.groups else stem


def fingerprint(table: NoteTable) -> str:
    """A hash of the notes that no transposition, change of instruments or silence at the beginning changes."""
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
    works: Sequence[str] | IntArray, fingerprints: Sequence[str] | IntArray, shares: Mapping[str, float], seed: int = 0
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

    Raises
    ------
    ValueError
        If a share is missing, or they are no shares of a whole.

    Examples
    --------
    >>> draw_splits(["a", "b", "c"], ["1", "2", "1"], {"valid": 0.3, "test": 0.0})
    ['valid', 'train', 'valid']
    """
    check_shares(shares)
    known, notes = np.unique(np.asarray(fingerprints), return_inverse=True)
    group = _groups(np.unique(np.asarray(works), return_inverse=True)[1], notes)
    # A group is known by the least of its fingerprints, so that neither order nor other groups matter.
    least = np.full(group.max(initial=-1) + 1, len(known))
    np.minimum.at(least, group, notes)
    names = (f"{known[place]:016x}" if known.dtype.kind == "u" else str(known[place]) for place in least)
    numbers = np.array([_number(f"notes {name}", seed) for name in names])
    drawn = _draw(numbers, shares)
    return [drawn[place] for place in group]


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise a `ValueError` unless "valid" and "test" have shares of a whole."""
    if set(shares) != {"valid", "test"} or min(shares.values()) < 0 or sum(shares.values()) > 1:
        raise ValueError(f"shares are {dict(shares)}; give 'valid' and 'test', each 0 to 1, together at most 1")


def named_splits(splits: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The split of each listed name; "" for all others, which are "train", unless "train" is a list as well.

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
    return listed if "train" in splits else listed | {"": "train"}


def read_names(file: Path) -> list[str]:
    """The names in a list, one a line; empty lines count for nothing."""
    if not file.is_file():
        raise FileNotFoundError(f"there is no list of names {file}")
    return [line for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]


def _groups(works: IntArray, notes: IntArray) -> IntArray:
    """The group of each piece: pieces that share a work or their notes, directly or through others, are of one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    both = works.max(initial=-1) + 1 + notes.max(initial=-1) + 1
    joined = coo_array((np.ones(len(works), bool), (works, works.max(initial=-1) + 1 + notes)), shape=(both, both))
    group: IntArray = connected_components(joined, directed=False)[1][works]
    return group


def _draw(numbers: npt.NDArray[np.float64], shares: Mapping[str, float]) -> list[str]:
    """The split of each group, by its number in [0, 1): "valid" below its share, then "test", then "train"."""
    border = shares["valid"], shares["valid"] + shares["test"]
    drawn = ["valid" if n < border[0] else "test" if n < border[1] else "train" for n in numbers]
    wanted = [split for split in SPLITS if split == "train" or shares[split] > 0]
    if sum(shares.values()) == 1:
        wanted.remove("train")
    # A small corpus: the first of the splits that nothing fell to takes a work from one that can spare it.
    for place, split in enumerate(wanted):
        if split in drawn:
            continue
        sizes = Counter(drawn)
        spare = [key for key in range(len(drawn)) if sizes[drawn[key]] > 1 or drawn[key] in wanted[place + 1 :]]
        if spare:
            # Training gives and takes first; the lowest numbers are nearest to validation, the highest to training.
            ascending = sorted(spare, key=lambda key: (drawn[key] != "train", numbers[key]))
            drawn[ascending[-1 if split == "train" else 0]] = split
    return drawn


def _number(key: str, seed: int) -> float:
    return int.from_bytes(hashlib.sha256(f"{seed} {key}".encode()).digest()[:8], "big") / 2**64
