"""Random streams: each piece draws from its own, identified by a seed and the number of the piece."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np

from mmt.representation.arguments import described

Stream = tuple[int, int]


def streams_of(n: int, seed: int | Sequence[int] | None) -> list[Stream]:
    """The stream of each piece: (seed, i) for i in range(n), or (seed, 0) for each of several seeds.

    >>> streams_of(2, 7), streams_of(1, [3, 4])
    ([(7, 0), (7, 1)], [(3, 0), (4, 0)])
    """
    if isinstance(seed, Sequence | np.ndarray) and not isinstance(seed, str):
        if not len(seed):
            raise ValueError("the list of seeds is empty; give at least one seed, or leave it out")
        if n not in (1, len(seed)):
            raise ValueError(f"n is {n} but {len(seed)} seeds were given; leave n out, each seed gives one piece")
        return [(seed_of(one), 0) for one in seed]
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n is {described(n)}; ask for a whole number of pieces, at least 1")
    chosen = secrets.randbits(32) if seed is None else seed_of(seed)
    return [(chosen, number) for number in range(n)]


def generator_of(stream: Stream) -> np.random.Generator:
    """The random generator of a stream, at its start."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(stream)))


def name_of(stream: Stream) -> str:
    """A stream in words: "seed 7", or "seed 7, piece 2" for (7, 1)."""
    return f"seed {stream[0]}" + (f", piece {stream[1] + 1}" if stream[1] else "")


def seed_of(seed: int) -> int:
    """The seed as an int; a `ValueError` unless it is a whole number from 0 to 2**63 - 1, the range of every generator."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise ValueError(f"seed is {described(seed)}; it must be a whole number from 0 to 2**63 - 1")
    return int(seed)
