"""Kill preparations, trainings and generations while they write; what they write in the end has the same bytes.

A command runs in `dying.py`, which kills it (SIGKILL) at a step of writing: while a file is open and incomplete, or before one is
opened, renamed or removed. The step is drawn from those of a whole run: three times of four a file, and a step within it. A kill
counts as a hit only if a file was incomplete. After a kill the command runs again, to its end or to the next kill. The campaign
fails after five attempts for each hit asked for.

python tests/fuzz/kills.py --kills 20
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_TINY = Path(__file__).resolve().parents[2] / "data" / "tiny"
_DYING = Path(__file__).with_name("dying.py")
# Outputs that say when, or by which command line, they were made.
_DIFFERENT = ("events.out", "metrics.csv", "hparams.yaml", "resume.ckpt", "provenance.json")
# Commands whose files appear complete or not at all.
_WHOLE_OR_NOT_AT_ALL = ("prepare", "generate")
# Most attempts for each hit that is asked for.
_ATTEMPTS = 5


def survives(kind: str, wanted: int, draw: random.Random) -> str:
    """Run a command to its end, and again with kills; returns the counts as text.

    Raises an `AssertionError` if the bytes differ, if a visible file is incomplete after a kill, or if too few kills hit.
    """
    make, runs, hits, ends = KINDS[kind], 0, 0, 0
    with tempfile.TemporaryDirectory(prefix="mmt-kills-") as folder:
        whole, killed = Path(folder) / "a" / "whole", Path(folder) / "b" / "whole"
        whole.parent.mkdir()
        run(make(whole, False), whole.parent)  # fills caches
        before = content(whole.parent)
        shutil.rmtree(whole.parent)
        whole.parent.mkdir()
        steps, _ = run(make(whole, False), whole.parent)
        compare(before, whole)
        files = [range(*found.span()) for found in re.finditer("w+", steps)]
        while hits < wanted:
            if runs == _ATTEMPTS * wanted:
                raise AssertionError(f"{kind}: only {hits} of {runs} attempts hit")
            runs += 1
            killed.parent.mkdir(exist_ok=True)
            step = draw.choice(draw.choice(files)) if draw.random() < 0.75 else draw.randrange(len(steps))
            taken, ended = run(make(killed, True), killed.parent, step)
            if not ended:
                hits += taken[-1] == "w"
                if kind in _WHOLE_OR_NOT_AT_ALL:
                    check_visible(before, content(killed.parent))
            if not ended and (draw.random() < 0.5 or hits == wanted):
                _, ended = run(make(killed, True), killed.parent)
            if ended:
                compare(before, killed)
                ends += 1
    return (
        f"{kind}: {hits} hits of {runs} attempts, at {len(steps)} steps of writing and in {len(files)} files; "
        f"{ends} runs to the end wrote the same bytes"
    )


def command(name: str, *arguments: str) -> list[str]:
    return [name, *arguments, "--quiet"]


def run(command: list[str], folder: Path, step: int = -1) -> tuple[str, bool]:
    """Run a command of mmt and kill it at a step of writing below `folder`; returns its steps, and whether it ended."""
    line = [sys.executable, str(_DYING), str(folder), str(step), *command]
    done = subprocess.run(line, capture_output=True, text=True, timeout=600)
    if done.returncode > 0:
        raise AssertionError(done.stderr[-1000:])
    return done.stderr.split("\n")[-2], done.returncode == 0


def content(folder: Path) -> dict[str, bytes]:
    """The files below a folder, except those with a time or a command line; a hidden folder has no bytes."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() or path.name.startswith("."))
    found = (path for path in found if not path.name.startswith(_DIFFERENT))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in found}


def is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in Path(name).parts)


def check_visible(before: dict[str, bytes], left: dict[str, bytes]) -> None:
    """Check that each file that a user sees after a kill is complete."""
    for name, data in left.items():
        if not is_hidden(name) and before.get(name) != data:
            raise AssertionError(f"{name} is incomplete after a kill")


def compare(before: dict[str, bytes], output: Path) -> None:
    """Compare what a run wrote with what the whole one did, and remove it."""
    after = content(output.parent)
    if before != after:
        different = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        raise AssertionError(f"other bytes in {sorted(different)}")
    shutil.rmtree(output.parent)


def preparing(output: Path, again: bool) -> list[str]:
    music = output.parent.parent / "music"
    if not music.exists():
        music.mkdir()
        files = sorted(_TINY.glob("*.mid"))
        for number in range(300):
            file = files[number % len(files)]
            # Bytes after the last track make them differ.
            (music / f"{number}.mid").write_bytes(file.read_bytes() + b"XXXX\0\0\0\3%03d" % number)
    return command("prepare", str(music), "-o", str(output), "--jobs", "1", *(["--overwrite"] if again else []))


def generating(output: Path, again: bool) -> list[str]:
    flags = ["--png", "--text", "--wav", "--overwrite"]
    return command("generate", "--max-events", "80", "--seed", "3", *flags, "-o", str(output / "piece.mid"))


def training(output: Path, again: bool) -> list[str]:
    corpus = output.parent.parent / "corpus"
    if not corpus.exists():
        run(command("prepare", str(_TINY), "-o", str(corpus), "--valid", "0.3"), corpus.parent)
    state = (output / "resume.ckpt").exists()
    steps = ["trainer.max_steps=40", "trainer.validate_every=8", "trainer.save_every=3", "trainer.samples=false"]
    how = (["--resume"] if state else ["--overwrite"]) if again else []
    return command("train", "tiny", "--corpus", str(corpus), "-o", str(output), *how, *steps)


KINDS = {"prepare": preparing, "generate": generating, "train": training}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--kind", choices=KINDS, action="append")
    chosen = arguments.parse_args()
    for kind in chosen.kind or KINDS:
        print(survives(kind, chosen.kills, random.Random(chosen.seed)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
