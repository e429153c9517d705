"""The paper's tables for a checkpoint: what it writes in each mode beside real pieces, its loss, and whether it copies.

    python benchmarks/evaluation.py --corpus data/NAME -o benchmarks/evaluation.md

The same as `mmt-evaluate --originality`, as one page. An evaluation that was stopped goes on in its folder (`--work`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mmt

PAGE = """# Evaluation of the shipped model

`mmt-evaluate --corpus {corpus} -n {n} --seed {seed} --max-events {max_events} --stride {stride} --originality -o evaluation`

{n} pieces of each mode, at most {max_events} events each, prompts from {prompts_from} pieces of the {split} split (those that go
on after 16 beats and whose 16-beat prompt is at most half as long); {pieces} real pieces. Means and 95 % intervals over pieces;
in brackets the number of pieces with a value, where it is not all. Pieces of a continuation are measured with their prompts.
"Corrected" groove consistency does without the empty measure that muspy counts where a piece ends on a bar line. The speed is
that of this run, on a machine that had other work to do.

{table}

Loss on all of the {split} split, over whole pieces: {likelihood}.

{distributions_length}; a feature's overlap with real pieces, and in brackets what real pieces have with each other:

```
{distributions}
```

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
    lines = ["Notes shared with the training pieces; what a prompt holds is not counted.", ""]
    for kind, report in found.originality.items():
        lines += [f"- {kind.removeprefix(name + ', ')}: {'; '.join(str(report).splitlines())}"]
    distributions = found.distributions[name]
    page = PAGE.format(
        **found.settings | {"corpus": chosen.corpus, "stride": chosen.stride},
        table=found.table(),
        likelihood=found.likelihoods[name],
        distributions_length=f"Pieces from nothing against real ones, {distributions.length}",
        distributions=distributions,
        originality="\n".join(lines),
    )
    chosen.output.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
