"""Training, validation and test splits, drawn from a hash of the notes, so that they are reproducible.

Versions of one work never end up in different splits: pieces are grouped if they share a work (by name, or by a table of
works) or the same notes up to transposition.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from mmt.music.bounded import brief, read_file, read_table
from mmt.representation.codes import IntArray
from mmt.representation.notes import NoteTable

SPLITS = ("train", "valid", "test")


def work_of(name: str, pattern: str | None = None, listed: str = "") -> str:
    """The work of a file: the one that is `listed` in a manifest, else the file's name without its suffix.

    If `pattern`, a regular expression, matches it, the first group that matches is the work.

    >>> work_of("freedoom/d_dm04_07041f44.mid", r"(.*)_[0-9a-f]{8}")
    'freedoom/d_dm04'
    >>> work_of("a.mid", r"ftp/(.+?)/|scores/(.+?)/", listed="scores/Winterreise/1_Gute_Nacht.mxl")
    'Winterreise'
    """
    text = listed or str(PurePosixPath(name).with_suffix(""))
    found = re.match(pattern, text) if pattern else None
    return next(filter(None, found.groups()), text) if found else text


def fingerprint(table: NoteTable, drums_code: int = 0) -> str:
    """A hash of the notes that is invariant to transposition, instruments and initial silence; 16 hexadecimal digits.

    Drums (instrument code `drums_code`) are ignored unless there are no other notes, so that a piece has the same
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
    # The table is sorted by these columns, so that notes that differ in the instrument only are adjacent.
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
    """Draw the split of each piece.

    Parameters
    ----------
    works, fingerprints : sequences of str or arrays of int, (pieces,)
        Pieces that share a work or a fingerprint are in the same split. Both may be given as 64-bit integers: hashes of the
        works, and the fingerprints read as hexadecimal numbers.
    shares : mapping
        The shares of works in "valid" and "test", each 0 to 1; the rest is "train". In a small corpus, each split with a
        share above 0 gets at least one work, first "valid", then "test", as long as one remains for "train".
    seed : int
        Seed of the draw.
    also : like `works`, optional
        A second work of each piece; equal to `works` for pieces that have none.
    fixed : mapping, optional
        From the index of a piece to its name and its split. Pieces in the same group follow; the others are drawn.

    A `ValueError` refuses pieces of one group that are fixed in different splits.

    Examples
    --------
    >>> draw_splits(["a", "b", "c"], ["1", "2", "1"], {"valid": 0.3, "test": 0.0})
    ['valid', 'train', 'valid']
    """
    known, notes = np.unique(np.asarray(fingerprints), return_inverse=True)
    both = np.unique(np.stack([works, works if also is None else also]), return_inverse=True)[1].reshape(2, -1)
    group = _groups(both[0], both[1], notes)
    # A group is identified by its smallest fingerprint, so that neither order nor other groups matter.
    least = np.full(group.max(initial=-1) + 1, len(known))
    np.minimum.at(least, group, notes)
    names = (f"{known[place]:016x}" if known.dtype.kind == "u" else str(known[place]) for place in least)
    numbers = np.array([_number(f"notes {name}", seed) for name in names])
    drawn = _draw(numbers, shares, _fixed_groups(group, fixed or {}))
    return [drawn[place] for place in group]


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise a `ValueError` unless the shares of "valid" and "test" are at least 0 and sum to at most 1."""
    if set(shares) != {"valid", "test"} or min(shares.values()) < 0 or sum(shares.values()) > 1:
        raise ValueError(f"shares are {dict(shares)}; give 'valid' and 'test', each 0 to 1, together at most 1")


def named_splits(splits: Mapping[str, Sequence[str]], draw_rest: bool = False) -> dict[str, str]:
    """The split of each listed name, and of all other names, under the key "".

    Other names are "train"; there is no key "" if "train" is listed too. With `draw_rest`, the split of other names is "",
    which means that it is drawn.

    >>> named_splits({"valid": ["b.mid"]})
    {'b.mid': 'valid', '': 'train'}

    A `ValueError` refuses an unknown split, and a name in two lists.
    """
    if unknown := sorted(set(splits) - set(SPLITS)):
        raise ValueError(f"split {unknown[0]!r} is unknown; choose one of {', '.join(SPLITS)}")
    listed: dict[str, str] = {}
    for split, wanted in splits.items():
        for name in wanted:
            if listed.setdefault(name, split) != split:
                raise ValueError(f"{brief(name)!r} is in two lists, {listed[name]!r} and {split!r}; leave it in one")
    if draw_rest:
        return listed | {"": ""}
    return listed if "train" in splits else listed | {"": "train"}


def read_names(file: Path) -> list[str]:
    """Read a list of names, one per line; empty lines are ignored."""
    if not file.is_file():
        raise FileNotFoundError(f"there is no list of names {file}")
    try:
        text = read_file(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not a list of names in UTF-8: {error}") from error
    return [line for line in text.splitlines() if line.strip()]


def read_works(file: Path) -> dict[str, str]:
    """Read a CSV table with the columns `name` (of a piece) and `work`; return the work of each name.

    A `ValueError` refuses a row without a work, and a name with two.
    """
    if not file.is_file():
        raise FileNotFoundError(f"there is no table of works {file}")
    works: dict[str, str] = {}
    for name, work in read_table(read_file(file), str(file), ("name", "work")):
        if not work:
            raise ValueError(f"{brief(name)!r} has no work in {file}; give one, or leave out its row")
        if works.setdefault(name, work) != work:
            raise ValueError(f"{brief(name)!r} is in two rows of {file}; leave one of them")
    return works


def _groups(works: IntArray, also: IntArray, notes: IntArray) -> IntArray:
    """The group of each piece: pieces that share a work or notes, directly or through other pieces, form a group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    of_works = max(works.max(initial=-1), also.max(initial=-1)) + 1
    every = of_works + notes.max(initial=-1) + 1
    ends = np.concatenate([works, works]), np.concatenate([also, of_works + notes])
    joined = coo_array((np.ones(len(ends[0]), bool), ends), shape=(every, every))
    # Renumber without gaps: a work that is no piece's first one forms an empty group.
    group: IntArray = np.unique(connected_components(joined, directed=False)[1][works], return_inverse=True)[1]
    return group


def _fixed_groups(group: IntArray, fixed: Mapping[int, tuple[str, str]]) -> dict[int, str]:
    """The split of each group that contains a fixed piece."""
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
    """The split of each group: "valid" if its number in [0, 1) is below the share, then "test", then "train".

    Groups in `fixed` keep their split.
    """
    border = shares["valid"], shares["valid"] + shares["test"]
    drawn = ["valid" if n < border[0] else "test" if n < border[1] else "train" for n in numbers]
    for place, split in fixed.items():
        drawn[place] = split
    wanted = [split for split in SPLITS if split == "train" or shares[split] > 0]
    if sum(shares.values()) == 1:
        wanted.remove("train")
    # Small corpora: the first empty split takes a group from a split that can spare one.
    for place, split in enumerate(wanted):
        if split in drawn:
            continue
        sizes = Counter(drawn)
        loose = (key for key in range(len(drawn)) if key not in fixed)
        spare = [key for key in loose if sizes[drawn[key]] > 1 or drawn[key] in wanted[place + 1 :]]
        if spare:
            # Take from training first: the lowest number for validation and test, the highest for training.
            ascending = sorted(spare, key=lambda key: (drawn[key] != "train", numbers[key]))
            drawn[ascending[-1 if split == "train" else 0]] = split
    return drawn


def _number(key: str, seed: int) -> float:
    """A random number in [0, 1)."""
    return int.from_bytes(hashlib.sha256(f"{seed} {key}".encode()).digest()[:8], "big") / 2**64
