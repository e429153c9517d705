"""Shared parts of the benchmarks: files to read, times measured in turns, the units of the processor, and the page of results."""

from __future__ import annotations

import random
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch


@contextmanager
def midi_files(source: Path, count: int) -> Iterator[list[Path]]:
    """At most `count` MIDI files of a folder or zip archive, drawn at random; always the same ones."""
    with tempfile.TemporaryDirectory() as folder:
        if source.suffix == ".zip":
            zipfile.ZipFile(source).extractall(folder)
            source = Path(folder)
        paths = sorted(source.rglob("*.mid"))
        yield random.Random(0).sample(paths, min(count, len(paths)))


def fastest(jobs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The seconds of each job, the least of several rounds. The jobs take turns, so that other load slows all of them."""
    seconds = dict.fromkeys(jobs, float("inf"))
    for _ in range(rounds):
        for name, job in jobs.items():
            begun = time.perf_counter()
            job()
            seconds[name] = min(seconds[name], time.perf_counter() - begun)
    return seconds


def write_page(path: Path | None, *parts: str) -> None:
    """Print a page in Markdown, paragraphs and tables with an empty line between them; write it if a path is given."""
    page = "\n\n".join(parts) + "\n"
    if path is not None:
        path.write_text(page, encoding="utf-8")
    print(page)


def bf16_units() -> str:
    """The instruction set in which the processor multiplies bfloat16."""
    found: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return next((name for name in ("amx_bf16", "avx512_bf16") if found.get(name)), "no bfloat16 units")
