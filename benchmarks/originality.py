"""Time and memory of the search for runs of notes that pieces share with a corpus, compared with reading the notes from disk.

python benchmarks/originality.py --corpus data/NAME -o benchmarks/originality.md
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

import mmt
from mmt.analysis.originality import Index, compare


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("-n", type=int, default=100, help="pieces to look for, of up to 1,000 events")
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    corpus, real = (mmt.Corpus(chosen.corpus, split=split) for split in ("train", "valid"))
    pieces = [real[number % len(real)][:1000] for number in range(chosen.n)]
    times = {}
    since = time.process_time()
    notes = sum(len(np.array(corpus.notes(i))) for i in range(len(corpus)))
    times["reading the notes"] = time.process_time() - since
    since = time.process_time()
    index = Index(corpus)
    times["sorting them, once for a corpus"] = time.process_time() - since
    since = time.process_time()
    index.find(pieces)
    times[f"finding the runs of {len(pieces)} pieces"] = time.process_time() - since
    since = time.process_time()
    compare(pieces, index)
    times[f"the same, and those of {len(real)} real stretches"] = time.process_time() - since
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    lines = [
        "# Originality: time and memory",
        "",
        f"A corpus of {notes:,} notes in {len(corpus):,} pieces, and {sum(map(len, pieces)):,} events to search for. At most "
        f"{memory:.2f} GiB of memory in total. One core. Made by `benchmarks/originality.py`.",
        "",
        "| step | CPU s |",
        "|---|---|",
        *(f"| {name} | {seconds:.1f} |" for name, seconds in times.items()),
    ]
    chosen.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
