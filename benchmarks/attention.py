"""Time of attention statistics: sums compared with two nested Python loops, and the command with a forward pass.

    python benchmarks/attention.py --corpus data/NAME -o benchmarks/attention.md

The loops follow the original code: for each field and head of the last layer, the weights of all pairs are added to a table of
code pairs, and again to a table of differences; pairs are counted too. Neither time includes the forward pass. Both results must
agree; for the loops, which add all pairs, the weights of keys that are not earlier are set to 0.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import fastest, write_page

import mmt
from mmt.analysis.attention.pairs import Pairs, by_difference
from mmt.analysis.pieces import windows_of
from mmt.analysis.report import table
from mmt.corpus.windows import Limits, cut_window

LOOP_EVENTS = 512


def looped(events: np.ndarray, weights: np.ndarray, sizes: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each field: attention by difference (head, 2 * size), and from code to code (head, size, size)."""
    places = range(len(events))
    found = []
    for field, size in enumerate(sizes):
        relative, absolute = np.zeros((len(weights), 2 * size)), np.zeros((len(weights), size, size))
        counts = np.zeros(2 * size)
        for head in range(len(weights)):
            for query in places:
                for key in places:
                    if field > 0 and not events[query, 0] == events[key, 0] == 3:
                        continue
                    absolute[head, events[query, field], events[key, field]] += weights[head, query, key]
            for query in places:
                for key in places:
                    if field > 0 and not events[query, 0] == events[key, 0] == 3:
                        continue
                    difference = events[key, field] - events[query, field]
                    relative[head, difference + size] += weights[head, query, key]
                    if head == 0:
                        counts[difference + size] += 1
        found.append((relative, absolute))
    return found


def ours(events: np.ndarray, weights: np.ndarray, sizes: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same by the library, with the counts and sums of both baselines."""
    pairs = Pairs(events, sizes, range(6))
    for baseline in pairs.baselines():
        for field, joint in enumerate(baseline):
            by_difference(joint, field)
    joints = pairs.sums(np.ascontiguousarray(weights.transpose(1, 2, 0)))
    return [(by_difference(joint, field).T, np.moveaxis(joint, -1, 0)) for field, joint in enumerate(joints)]


def check(theirs: list[Any], found: list[Any], sizes: tuple[int, ...]) -> float:
    """The greatest difference between the two results."""
    worst = 0.0
    for field, size in enumerate(sizes):
        first, width = int(field > 0), found[field][0].shape[-1]
        lowest = size - (size - 1 - first)
        relative = theirs[field][0][:, lowest : lowest + width]
        absolute = theirs[field][1][:, first:, first:]
        assert np.isclose(relative.sum(), theirs[field][0].sum())
        worst = max(worst, np.abs(relative - found[field][0]).max(), np.abs(absolute - found[field][1]).max())
    return float(worst)


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("-n", type=int, default=24, help="pieces for the command")
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    corpus, model = mmt.Corpus(chosen.corpus), mmt.load_model()
    sizes, beats = model.network.config.sizes, model.representation.beats
    long = [place for place, piece in enumerate(corpus.pieces) if piece.length >= 2 * LOOP_EVENTS]
    piece = cut_window(corpus.notes(long[0]), 0, Limits(LOOP_EVENTS, beats), corpus.representation)[0]

    weights = np.tril(mmt.attention.weights(model, piece)[-1], -1)
    start = time.perf_counter()
    theirs = looped(piece, weights, sizes)
    loop = time.perf_counter() - start
    fast = fastest({"ours": lambda: ours(piece, weights, sizes)}, 15)["ours"]
    worst = check(theirs, ours(piece, weights, sizes), sizes)
    print(f"loops {loop:.2f} s, ours {1000 * fast:.1f} ms, {loop / fast:.0f} times", flush=True)

    corpus = mmt.Corpus(chosen.corpus, split="test")
    drawn = sorted(np.random.default_rng(0).permutation(len(corpus))[: chosen.n].tolist())
    read = [window for place in drawn for window in windows_of(model, corpus[place])]
    with tempfile.TemporaryDirectory() as folder:
        arguments = study(chosen, Path(folder) / "attention")
        command = processor_seconds(lambda: subprocess.run(arguments, check=True), resource.RUSAGE_CHILDREN)
    forward = processor_seconds(lambda: [model.network.hidden(torch.from_numpy(one)[None]) for one in read])
    heads, events = model.network.config.heads, sum(map(len, read))
    sums = [
        [f"six fields, {heads} heads of one layer, {LOOP_EVENTS} events, no forward pass", "seconds"],
        ["two nested loops over query and key: relative and absolute sums", f"{loop:.2f}"],
        ["`mmt`: the same, and both baselines (best of 15)", f"{fast:.4f}"],
        ["ratio", f"**{loop / fast:.0f}**"],
    ]
    what = f"{len(drawn)} pieces, {len(read)} windows with {events:,} events in total"
    commands = [
        [f"`mmt-attention -n {chosen.n}` of the shipped model: {what}", "seconds of processor time"],
        ["the whole command: imports, six fields, null models, intervals, tables and 26 plots", f"{command:.1f}"],
        ["a forward pass over the same windows, without attention weights", f"{forward:.1f}"],
        ["ratio", f"**{command / forward:.1f}**"],
    ]
    write_page(
        chosen.output,
        "# Attention statistics: time",
        f"Made by `benchmarks/attention.py` on {platform.machine()} with {os.cpu_count()} cores, "
        f"PyTorch on {torch.get_num_threads()} thread(s).",
        table(sums),
        f"The largest difference between the two results is {worst:.1e}.",
        table(commands),
        f"Other processes were running (load {os.getloadavg()[0]:.0f}), which makes both times longer.",
    )


def study(chosen: argparse.Namespace, folder: Path) -> list[str]:
    """The command, as a process of its own."""
    code = "import sys; from mmt.cli.attention import main; sys.exit(main())"
    arguments = ["--corpus", str(chosen.corpus), "-n", str(chosen.n), "-o", str(folder), "--device", "cpu", "--quiet"]
    return [sys.executable, "-c", code, *arguments]


def processor_seconds(job: Callable[[], object], of: int = resource.RUSAGE_SELF) -> float:
    """The time that processors work on a job, in user and system mode."""
    before = resource.getrusage(of)
    job()
    after = resource.getrusage(of)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    with torch.inference_mode():
        main()
