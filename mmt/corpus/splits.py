"""Which pieces are trained on, validated on and tested on: drawn by a hash of the work, so that a draw never changes.

Two versions of one work never sit on both sides: they share the work's name, or they are the same notes, transposed
or not.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

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
    first = table["beat"].min(initial=np.iinfo(np.int32).max)
    columns = np.stack(
        [
            table["beat"] - first,
            table["position"].astype(np.int32),
            table["pitch"].astype(np.int32) - int(table["pitch"].min(initial=127)),
            table["duration"],
        ]
    )
    return hashlib.sha256(np.unique(columns, axis=1).tobytes()).hexdigest()[:16]


def draw_splits(
    works: Sequence[str], fingerprints: Sequence[str], shares: Mapping[str, float], seed: int = 0
) -> list[str]:
    """The split of each piece.

    Parameters
    ----------
    works, fingerprints : sequences of str, one a piece
        Pieces that share either belong together.
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
    leader: dict[str, str] = {}
    for work, same in zip(works, fingerprints, strict=True):
        _join(leader, f"work {work}", f"notes {same}")
    keys = [_find(leader, f"work {work}") for work in works]
    drawn = _draw({key: _number(key, seed) for key in keys}, shares)
    return [drawn[key] for key in keys]


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise a `ValueError` unless "valid" and "test" have shares of a whole."""
    if set(shares) != {"valid", "test"} or min(shares.values()) < 0 or sum(shares.values()) > 1:
        raise ValueError(f"shares are {dict(shares)}; give 'valid' and 'test', each 0 to 1, together at most 1")


def named_splits(splits: Mapping[str, Sequence[str]], names: Sequence[str]) -> dict[str, str]:
    """The split of each name by lists of names; what is in no list is "train", unless "train" is a list as well.

    >>> named_splits({"valid": ["b.mid"]}, ["a.mid", "b.mid"])
    {'a.mid': 'train', 'b.mid': 'valid'}

    Raises
    ------
    ValueError
        If a split or a name is unknown, or a name stands in two lists.
    """
    if unknown := sorted(set(splits) - set(SPLITS)):
        raise ValueError(f"split {unknown[0]!r} is unknown; choose of {', '.join(SPLITS)}")
    known = set(names)
    found = {} if "train" in splits else dict.fromkeys(names, "train")
    listed: dict[str, str] = {}
    for split, wanted in splits.items():
        for name in wanted:
            if name not in known:
                raise ValueError(f"{name!r} in the list of {split!r} is not among the {len(names)} files")
            if listed.setdefault(name, split) != split:
                raise ValueError(f"{name!r} is in two lists, {listed[name]!r} and {split!r}; leave it in one")
    return found | listed


def _draw(numbers: Mapping[str, float], shares: Mapping[str, float]) -> dict[str, str]:
    """The split of each key, by its number in [0, 1): "valid" below its share, then "test", then "train"."""
    border = shares["valid"], shares["valid"] + shares["test"]
    drawn = {key: "valid" if n < border[0] else "test" if n < border[1] else "train" for key, n in numbers.items()}
    wanted = [split for split in SPLITS if split == "train" or shares[split] > 0]
    if sum(shares.values()) == 1:
        wanted.remove("train")
    # A small corpus: the first of the splits that nothing fell to takes a work from one that can spare it.
    for place, split in enumerate(wanted):
        if split in drawn.values():
            continue
        sizes = Counter(drawn.values())
        spare = [key for key in numbers if sizes[drawn[key]] > 1 or drawn[key] in wanted[place + 1 :]]
        if spare:
            # Training gives and takes first; the lowest numbers are nearest to validation, the highest to training.
            ascending = sorted(spare, key=lambda key: (drawn[key] != "train", numbers[key]))
            drawn[ascending[-1 if split == "train" else 0]] = split
    return drawn


def _number(key: str, seed: int) -> float:
    return int.from_bytes(hashlib.sha256(f"{seed} {key}".encode()).digest()[:8], "big") / 2**64


def _find(leader: dict[str, str], name: str) -> str:
    while leader.setdefault(name, name) != name:
        leader[name] = name = leader[leader[name]]
    return name


def _join(leader: dict[str, str], one: str, other: str) -> None:
    # The smaller name leads, so that the order of the files does not matter.
    small, large = sorted((_find(leader, one), _find(leader, other)))
    leader[large] = small
