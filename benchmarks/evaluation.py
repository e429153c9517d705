"""The paper's tables for a checkpoint: what it writes in each mode beside real pieces, its loss, and whether it copies.

    python benchmarks/evaluation.py --corpus data/NAME -o benchmarks/evaluation.md

The same as `mmt-evaluate --originality`, as one page. An evaluation that was stopped goes on in its folder (`--work`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import mmt
import mmt.analysis.originality

PAGE = """# Evaluation of the shipped model

`mmt-evaluate --corpus {corpus} -n {n} --seed {seed} --max-events {max_events} --stride {stride} --originality -o evaluation`

{n} pieces of each mode, at most {max_events} events each, prompts from {prompts_from} pieces of the {split} split (those that go
on after 16 beats and whose 16-beat prompt is at most half as long); {pieces} real pieces. Means and 95 % intervals over pieces;
in brackets the number of pieces with a value, where it is not all. Pieces of a continuation are measured with their prompts.
"Corrected" groove consistency does without the empty measure that muspy counts where a piece ends on a bar line. Whether a
piece ends by itself and is valid is asked of the whole piece. The speed is that of this run (threads: {threads}).

{table}

Loss on all of the {split} split, over whole pieces: {likelihood}.

Pieces from nothing against real ones, after Yang and Lerch (2020); in brackets what real pieces have with each other:

```
{distributions}
```

Notes shared with the training pieces: what a prompt holds is not counted; real stretches are of validation pieces, of as many
notes. Middle value, 95th percentile and the highest over the pieces. A piece stands out where its richest run has more than half
again as many different steps as 95 % of the real stretches.

{originality}
"""


def main() -> None:
    """Evaluate, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("-n", type=int, default=50)
    parser.add_argument("--max-events", type=int, default=512)
    parser.add_argument("--stride", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("out/evaluation"))
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    found = mmt.evaluate_models(
        [chosen.checkpoint], chosen.corpus, chosen.work, n=chosen.n, seed=chosen.seed, max_events=chosen.max_events,
        stride=chosen.stride, with_originality=True, progress=True,
    )  # fmt: skip
    (name,) = found.likelihoods
    page = PAGE.format(
        threads=torch.get_num_threads(),
        **found.settings | {"corpus": chosen.corpus, "stride": chosen.stride},
        table=found.table(),
        likelihood=found.likelihoods[name],
        distributions=found.distributions[name],
        originality=originality_table({kind.removeprefix(f"{name}, "): one for kind, one in found.originality.items()}),
    )
    chosen.output.write_text(page, encoding="utf-8")
    print(page)


def originality_table(reports: dict[str, mmt.originality.Comparison]) -> str:
    """One line for each mode, for parts and textures, generated and real."""
    heads = ("mode", "in", "whose", "notes of the longest run", "different steps of the richest run", "stand out")
    rows = [heads, ("---",) * len(heads)]
    for mode, report in reports.items():
        for kind, where in (("part", "one part"), ("texture", "the whole texture")):
            for real, whose in ((False, "generated"), (True, "real")):
                spreads = [
                    ", ".join(f"{value:.0f}" for value in (*np.percentile(values, [50, 95]), max(values)))
                    for values in (report.lengths(kind, real=real), report.steps(kind, real=real))
                ]
                pieces = report.real if real else report.pieces
                out = sum(report.stands_out(index, real=real) for index in range(len(pieces)))
                rows.append((mode, where, whose, *spreads, f"{out} of {len(pieces)}"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
