"""Time and memory of the search for runs of notes that pieces share with a corpus, compared with reading the notes from disk.

python benchmarks/originality.py --corpus data/NAME -o benchmarks/originality.md
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
from common import write_page

import mmt
from mmt.analysis.originality import Index, compare
from mmt.analysis.report import table


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("-n", type=int, default=100, help="pieces to look for, of up to 1,000 events")
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    corpus, real = (mmt.Corpus(chosen.corpus, split=split) for split in ("train", "valid"))
    pieces = [real[number % len(real)][:1000] for number in range(chosen.n)]
    marks = [time.process_time()]
    notes = sum(len(np.array(corpus.notes(i))) for i in range(len(corpus)))
    marks.append(time.process_time())
    index = Index(corpus)
    marks.append(time.process_time())
    index.find(pieces)
    marks.append(time.process_time())
    compare(pieces, index)
    marks.append(time.process_time())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    steps = (
        "reading the notes",
        "sorting them, once for a corpus",
        f"finding the runs of {len(pieces)} pieces",
        f"the same, and those of {len(real)} real stretches",
    )
    write_page(
        chosen.output,
        "# Originality: time and memory",
        f"A corpus of {notes:,} notes in {len(corpus):,} pieces, and {sum(map(len, pieces)):,} events to search for. At most "
        f"{memory:.2f} GiB of memory in total. One core. Made by `benchmarks/originality.py`.",
        table([["step", "CPU s"], *([step, f"{s:.1f}"] for step, s in zip(steps, np.diff(marks), strict=True))]),
    )


if __name__ == "__main__":
    main()
