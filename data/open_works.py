"""Find pieces that share their music although their works differ, and write the table for `mmt-prepare --works`.

    python data/open_works.py train.zip train2.zip --corpus data/open -o data/open_works.csv

The corpus may have any splits: its notes are compared. The table joins works by one piece of each. Two works are joined
if a piece of one shares enough melody with a piece of the other, transposed or not (copies, arrangements, versions), if
Polish manuscripts hold works of one composer whose titles begin alike (movements and parts), or if Mutopia and OpenScore
give the same catalogue number. It also tells how many of the pairs that share melody are in different splits of the corpus.
"""

from __future__ import annotations

import argparse
import csv
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmt.corpus.sources import find_sources
from mmt.corpus.splits import work_of
from mmt.corpus.storage import Corpus
from mmt.representation.notes import NoteTable

# The work in the place that a manifest's column `source_path` gives: a manuscript, a tune, or a cycle, opus or opera below
# its composer. Mutopia's M at the end means an arrangement for men's voices.
WORK_PATTERN = r"[^/]+/kern/(.+?--.+?)(?:--|_)|musics/(?:.*/)?(.+)\.mid|[^/]+/([^/]+/(?:_/)?[^/]+?)M?/"

_STEPS = 12
"""Intervals in a stretch of melody."""
_LARGEST_FAMILY = 25
"""A stretch that more pieces have is a formula: scales, broken chords."""
_ENOUGH = (20, 0.15), (60, 0.08)
"""Stretches that two pieces must share: their number, and their share of those of the piece that has fewer. Less is
common among accompaniments."""

_POLISH_TITLE = re.compile(r"polish2?/[^_]+_(?!anonim)(.+?--.{15})")
_COMPOSER = re.compile(r"(?:ftp|scores|data)/([A-Z][a-z]+)")
_CATALOGUE = re.compile(r"[/_](?:O(?:p\.)?(\d+)(?:.*?(?:[Nn]o?\.?_?|op\d+_)(\d))?|(D|KV?|BWV)\.?(?:Anh)?(\d+))")


def stretches(notes: NoteTable) -> npt.NDArray[np.uint64]:
    """Hashes of all stretches of the highest and lowest line of each instrument, without those that hardly move."""
    onset = notes["beat"].astype(np.int64) * 64 + notes["position"]
    found = [np.zeros(0, np.uint64)]
    for instrument in np.unique(notes["instrument"]):
        its = notes["instrument"] == instrument
        first = np.unique(onset[its], return_index=True)[1]
        for extreme in (np.maximum, np.minimum):
            intervals = np.diff(extreme.reduceat(notes["pitch"][its].astype(np.int16), first))
            if len(intervals) < _STEPS:
                continue
            windows = np.lib.stride_tricks.sliding_window_view(intervals, _STEPS)
            ordered = np.sort(windows, axis=1)
            moves = np.count_nonzero(windows, axis=1) >= 7
            varied = 1 + np.count_nonzero(np.diff(ordered, axis=1), axis=1) >= 5
            found.append(_hashes(windows[moves & varied]))
    return np.unique(np.concatenate(found))


def _hashes(windows: npt.NDArray[np.int16]) -> npt.NDArray[np.uint64]:
    hashes = np.zeros(len(windows), np.uint64)
    for column in windows.T:
        hashes = (hashes + column.astype(np.int64).astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
    return hashes


def sharing(corpus: Corpus) -> Iterator[tuple[float, int, int, int]]:
    """(share, number of stretches, piece, piece) of all pairs of pieces that share enough melody."""
    of_pieces = [stretches(corpus.notes(index)) for index in range(len(corpus))]
    sizes = [len(found) for found in of_pieces]
    every, owners = np.concatenate(of_pieces), np.repeat(np.arange(len(sizes)), sizes)
    order = np.argsort(every, kind="stable")
    borders = np.flatnonzero(np.diff(every[order], prepend=every[order][:1] - np.uint64(1), append=np.uint64(0)))
    pairs: Counter[tuple[int, int]] = Counter()
    for first, last in pairwise(borders):
        if 2 <= last - first <= _LARGEST_FAMILY:
            pairs.update(combinations(owners[order[first:last]].tolist(), 2))
    for (one, other), count in pairs.items():
        share = count / min(sizes[one], sizes[other])
        if any(count >= least and share >= least_share for least, least_share in _ENOUGH):
            yield share, count, one, other


def keys(name: str, place: str) -> Iterator[str]:
    """What other works have in common with the work of this piece by its name or place."""
    if found := _POLISH_TITLE.match(name):
        yield found[1]
    if (composer := _COMPOSER.match(_plain(place))) and (number := _CATALOGUE.search(place)):
        yield " ".join([composer[1], *filter(None, number.groups())]).replace("KV", "K")


def _plain(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))


def families(works: Sequence[str], pairs: Sequence[tuple[int, int]]) -> dict[str, list[int]]:
    """By a name: the first piece of each work among those that pairs of pieces join."""
    parents = {work: work for work in works}

    def root(work: str) -> str:
        while parents[work] != work:
            work = parents[work]
        return work

    for one, other in pairs:
        least, greatest = sorted((root(works[one]), root(works[other])))
        parents[greatest] = least
    found = defaultdict(list)
    for index, work in enumerate(works):
        if works.index(work) == index:
            found[root(work)].append(index)
    return {name: members for name, members in sorted(found.items()) if len(members) > 1}


def main() -> None:
    """Compare, tell, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archives", nargs="+", type=Path)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    corpus = Corpus(chosen.corpus)
    places = {source.name: source.work for source in find_sources(chosen.archives, "source_path")}
    names = [piece.name for piece in corpus.pieces]
    works = [work_of(name, WORK_PATTERN, places[name]) for name in names]
    pairs = []
    for share, count, one, other in sorted(sharing(corpus), reverse=True):
        if works[one] != works[other]:
            pairs.append((one, other))
            print(f"{share:.2f} {count:5} {names[one]} {names[other]}")
    torn = sum(corpus.pieces[one].split != corpus.pieces[other].split for one, other in pairs)
    alike: dict[str, int] = {}
    named = [
        (alike.setdefault(key, index), index) for index, name in enumerate(names) for key in keys(name, places[name])
    ]
    rows = [(names[index], name) for name, members in families(works, pairs + named).items() for index in members]
    with chosen.output.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("name", "work"), *rows])
    print(f"{len(pairs)} pairs share melody, {torn} of them are in different splits; {len(rows)} works are joined")


if __name__ == "__main__":
    main()
