"""Kill preparations, trainings and generations at random moments; what they write in the end has the same bytes.

python tests/fuzz/kills.py --kills 20
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_TINY = Path(__file__).resolve().parents[2] / "data" / "tiny"
# Outputs that say when they were made.
_TIMED = ("events.out", "metrics.csv", "hparams.yaml", "resume.ckpt")


def command(name: str, *arguments: str) -> list[str]:
    return [
        sys.executable,
        "-c",
        f"import sys; from mmt.cli.{name} import main; sys.exit(main())",
        *arguments,
        "--quiet",
    ]


def content(folder: Path) -> dict[str, bytes]:
    """The files below a folder, also hidden ones, without those that depend on the time."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(_TIMED))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def survives(make: Callable[[Path, bool], list[str]], kills: int, draw: random.Random) -> int:
    """Run a command to its end, and again with kills; returns how many runs had to be begun. Raises if the bytes differ.

    A run that ends before its kill is compared, and then started again, so that every kill hits a process at work.
    """
    with tempfile.TemporaryDirectory(prefix="mmt-kills-") as folder:
        whole, killed = Path(folder) / "a" / "whole", Path(folder) / "b" / "whole"
        whole.parent.mkdir()
        finish(make(whole, False))  # fills caches
        before, taken = content(whole.parent), _renewed(make, whole)
        hit = runs = 0
        while hit < kills:
            if not killed.parent.exists():
                killed.parent.mkdir()
                runs += 1
            process = subprocess.Popen(make(killed, True), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(draw.uniform(0.1, 0.9) * taken)
            process.kill()
            if process.wait() < 0:
                hit += 1
            else:
                compare(before, killed)
        finish(make(killed, True))
        compare(before, killed)
        return runs


def finish(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(done.stderr[-1000:])


def compare(before: dict[str, bytes], output: Path) -> None:
    """Compare what a run wrote with what the whole one did, and remove it."""
    after = content(output.parent)
    if before != after:
        different = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        raise AssertionError(f"other bytes in {sorted(different)}")
    shutil.rmtree(output.parent)


def _renewed(make: Callable[[Path, bool], list[str]], output: Path) -> float:
    """The seconds that a run takes whose caches are full."""
    shutil.rmtree(output.parent)
    output.parent.mkdir()
    command, begun = make(output, False), time.monotonic()
    finish(command)
    return time.monotonic() - begun


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
        subprocess.run(command("prepare", str(_TINY), "-o", str(corpus), "--valid", "0.3"), check=True)
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
        runs = survives(KINDS[kind], chosen.kills, random.Random(chosen.seed))
        print(f"{kind}: {chosen.kills} kills in {runs} runs; the same bytes", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
