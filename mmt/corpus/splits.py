"""Which pieces are trained on, validated on and tested on: drawn by a hash of the work, so that a draw never changes.

Two versions of one work never sit on both sides: they share the work's name, or they are the same notes, transposed
or not.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath

import numpy as np

from mmt.representation.notes import NoteTable

SPLITS = ("train", "valid", "test")


def work_of(name: str, pattern: str | None = None) -> str:
    """The work that a file is a version of: the first group of `pattern` in its name, or its name without the suffix.

    >>> work_of("freedoom/d_dm04_07041f44.mid", r"(.*)_[0-9a-f]{8}")
    'freedoom/d_dm04'
    """
    stem = str(PurePath(name).with_suffix(""))
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

    Examples
    --------
    >>> draw_splits(["a", "b", "c"], ["1", "2", "1"], {"valid": 0.3, "test": 0.0})
    ['valid', 'train', 'valid']
    """
    leader: dict[str, str] = {}
    for work, same in zip(works, fingerprints, strict=True):
        _join(leader, f"work {work}", f"notes {same}")
    keys = [_find(leader, f"work {work}") for work in works]
    drawn = _draw({key: _number(key, seed) for key in keys}, shares)
    return [drawn[key] for key in keys]


def _draw(numbers: Mapping[str, float], shares: Mapping[str, float]) -> dict[str, str]:
    """The split of each key, by its number in [0, 1): "valid" below its share, then "test", then "train"."""
    border = shares["valid"], shares["valid"] + shares["test"]
    drawn = {key: "valid" if n < border[0] else "test" if n < border[1] else "train" for key, n in numbers.items()}
    ascending = sorted(numbers, key=lambda key: numbers[key])
    for split in ("valid", "test"):
        left = [key for key in ascending if drawn[key] == "train"]
        if shares[split] > 0 and split not in drawn.values() and len(left) > 1:
            drawn[left[0]] = split
    if "train" not in drawn.values() and sum(shares.values()) < 1:
        drawn[ascending[-1]] = "train"
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
