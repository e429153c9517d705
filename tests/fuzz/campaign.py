"""A mutation fuzzer for everything that reads files: reading any file ends with a result or an error of one line.

    python tests/fuzz/campaign.py --seconds 3600 --findings out/fuzz

An input is a finding if reading it raises anything but a `ValueError` or `OSError` of one line, ends its process, or takes more
than 5 seconds of the processor or 1 GB of memory. Each mutation depends on the seed and its number only, so that a finding can be
repeated.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import io
import json
import os
import random
import re
import resource
import sys
import tarfile
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

import mmt
import mmt.sampling.model
import mmt.training.recipe
import mmt.training.stopping
from mmt.corpus.isolated import Lost, call_each, end_idle

# The imports are at the top, so that the process that reads has them before its time begins.
SECONDS, MEMORY = 5.0, 2**30
# Longer than the limit of processor time, for machines with other load.
_WALL_CLOCK = 120.0
# Files between two checks of the clock.
_BATCH = 40
_TINY = Path(__file__).resolve().parents[2] / "data" / "tiny"

Item = tuple[str, bytes]

ABC = b"""%abc-2.1
X:1
T:A tune
C:Trad.
M:6/8
L:1/8
Q:3/8=80
K:Gdor
V:1 clef=treble
V:2 clef=bass
%%MIDI program 40
[V:1] |: "Gm"G2A B2c | d2 (3efg | 1 [GB]2 z A>B c/d/ :|2 ~G3-G3 |]
[V:2] |: G,6 | D,3 z3 | 1 G,,6 :|2 G,,6 |]
w: la la la
"""

SCORE = b"""<?xml version="1.0" encoding="UTF-8"?>
<score-partwise version="4.0"><work><work-title>A</work-title></work>
<part-list><score-part id="P1"><part-name>Violin</part-name>
<midi-instrument id="I1"><midi-program>41</midi-program></midi-instrument></score-part></part-list>
<part id="P1"><measure number="1"><attributes><divisions>4</divisions><key><fifths>-2</fifths><mode>minor</mode></key>
<time><beats>3</beats><beat-type>4</beat-type></time><transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose>
</attributes><barline location="left"><repeat direction="forward"/></barline><sound tempo="90"/>
<note><pitch><step>C</step><alter>1</alter><octave>4</octave></pitch><duration>4</duration><tie type="start"/><voice>1</voice>
<time-modification><actual-notes>3</actual-notes><normal-notes>2</normal-notes></time-modification></note>
<note><chord/><pitch><step>E</step><octave>4</octave></pitch><duration>4</duration></note>
<backup><duration>4</duration></backup><forward><duration>2</duration></forward>
<note><grace slash="yes"/><pitch><step>G</step><octave>5</octave></pitch></note>
<note><rest/><duration>8</duration></note></measure>
<measure number="2"><barline location="left"><ending number="1" type="start"/></barline>
<note><pitch><step>C</step><alter>1</alter><octave>4</octave></pitch><duration>12</duration><tie type="stop"/></note>
<barline location="right"><ending number="1" type="stop"/><repeat direction="backward" times="2"/></barline>
<direction><sound dacapo="yes" tocoda="a" fine="yes"/></direction></measure></part></score-partwise>
"""

CONTAINER = b'<container><rootfiles><rootfile full-path="a.xml"/></rootfiles></container>'


def read_music(path: Path) -> None:
    mmt.encode(mmt.read(path))


def read_archive(path: Path) -> None:
    from mmt.corpus.sources import find_sources, read_sources

    for content in read_sources(list(find_sources([path]))):
        if isinstance(content, Exception):
            raise content


def read_within(parts: dict[str, bytes], name: str, read: Callable[[Path], object]) -> Callable[[Path], None]:
    """A reader of a folder in which one file is the given one."""

    def read_folder(path: Path) -> None:
        folder = path.parent / "folder"
        folder.mkdir()
        for other, content in parts.items():
            (folder / other).write_bytes(content)
        os.replace(path, folder / name)
        read(folder)

    return read_folder


def read_corpus(folder: Path) -> None:
    from mmt.corpus.storage import Corpus

    list(Corpus(folder))


def read_recipe(path: Path) -> None:
    mmt.training.recipe.load_recipe(path)


def read_model(path: Path) -> None:
    mmt.load_model(path)


def read_statistics(path: Path) -> None:
    from mmt.analysis.attention.report import read_statistics

    read_statistics(path)


def read_autoencoder(folder: Path) -> None:
    from mmt.analysis.inside.features import load_autoencoder

    load_autoencoder(folder)


def read_recording(folder: Path) -> None:
    from mmt.analysis.inside.store import ActivationStore

    store = ActivationStore(folder)
    for name in ("piece", "pitch"):
        store.labels(name)
    for place in store.places:
        store.read(place)


def read_answers(folder: Path) -> None:
    from mmt.analysis.listening import read_answers

    read_answers([folder / "answers.json"], folder / "key.json")


def read_lists(folder: Path) -> None:
    from mmt.corpus.splits import read_names, read_works

    read_names(folder / "names.txt")
    read_works(folder / "works.csv")


def read_original(folder: Path) -> None:
    from mmt.corpus.original_folder import read_original_folder

    (folder / "notes").mkdir(exist_ok=True)
    for file in ("a.npy", "b.csv", "encoding.json"):
        if (folder / file).exists():
            os.replace(folder / file, folder / "notes" / file)
    read_original_folder(folder)


def read_state(path: Path) -> None:
    mmt.training.stopping.steps_done(path)


@dataclass(frozen=True)
class Target:
    """Something that is read: the suffix of its file, a reader, and well-formed examples."""

    suffix: str
    read: Callable[[Path], None]
    seeds: tuple[bytes, ...]


@functools.cache
def targets() -> dict[str, Target]:
    """Every reader, by name."""
    midi = sorted((file.read_bytes() for file in _TINY.glob("*.mid")), key=len)[:3]
    folders = {name: tuple(_folder(name).items()) for name in ("model", "corpus")}
    folders |= {name: tuple(parts.items()) for name, parts in _results().items()}
    found = {"midi": Target(".mid", read_music, tuple(midi)), "abc": Target(".abc", read_music, (ABC,))}
    found["musicxml"] = Target(".musicxml", read_music, (SCORE, _written(".musicxml")))
    found["mxl"] = Target(".mxl", read_music, (_zip({"META-INF/container.xml": CONTAINER, "a.xml": SCORE}),))
    found |= {kind: Target(f".{kind}", read_music, (_written(f".{kind}"),)) for kind in ("json", "yaml")}
    members = {"manifest.csv": b"path,work,licence\na.mid,W,CC0\n", "a.mid": midi[0], "b/c.abc": ABC, "d.xml": SCORE}
    found["zip"] = Target(".zip", read_archive, tuple(_zip(members, method) for method in (0, 8, 12, 14)))
    for mode in ("", "gz", "bz2", "xz"):
        suffix = f".tar.{mode}".rstrip(".")
        found[suffix[1:]] = Target(suffix, read_archive, (_tar(members, mode, False), _tar(members, mode, True)))
    readers: dict[str, Callable[[Path], object]] = {"model": read_model, "corpus": read_corpus}
    readers |= {"autoencoder": read_autoencoder, "recording": read_recording, "listening": read_answers}
    readers |= {"lists": read_lists, "original": read_original}
    for kind, parts in folders.items():
        for name, content in parts:
            if not name.endswith((".md", "report.json")):
                reader = read_within(dict(parts), name, readers[kind])
                found[f"{kind}/{name}"] = Target(Path(name).suffix, reader, (content,))
    found["statistics"] = Target(".npz", read_statistics, (_statistics(),))
    found["recipe"] = Target(".yaml", read_recipe, (_recipe(),))
    found["weights"] = Target(".pt", read_model, (_weights(),))
    found["state"] = Target(".ckpt", read_state, (_weights(),))
    return found


def attempt(item: Item) -> str:
    """Read mutated content; returns a description of what went wrong, or an empty string."""
    _limit_memory()
    begun = time.process_time()
    error = attempt_plain(*item)
    taken = time.process_time() - begun
    if error is not None and not isinstance(error, (ValueError, OSError)):
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if "\n" in str(error) or len(str(error)) > 2000:
        return f"a message of {len(str(error))} characters in {str(error).count(chr(10)) + 1} lines"
    return f"{taken:.0f} s of the processor" if taken > SECONDS else ""


def attempt_plain(name: str, content: bytes) -> BaseException | None:
    """Read content as a file of a target; returns the error that it raises."""
    target = targets()[name]
    with tempfile.TemporaryDirectory(prefix="mmt-fuzz-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / f"input{target.suffix}"
        path.write_bytes(content)
        try:
            target.read(path)
        except BaseException as error:
            return error
    return None


@functools.cache
def _limit_memory() -> None:
    targets()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


def mutations(seed: int, names: list[str] | None = None) -> Iterator[Item]:
    """Endless mutated files of all targets in turn."""
    number = 0
    while True:
        for name in names or targets():
            draw = random.Random(f"{seed} {number} {name}")
            content = draw.choice(targets()[name].seeds)
            yield name, _mutated(content, draw, targets()[name].suffix)
        number += 1


_NUMBERS = (
    b"0",
    b"-1",
    b"1e999",
    b"NaN",
    b"99999999999999999999",
    b"0.0000001",
    b"2147483648",
    b"true",
    b"",
    b"[]",
    b"1/0",
)
_BYTES = (
    b"\0",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\x80\0\0\0",
    b"\n",
    b"<",
    b"[",
    b"{",
    b"&a",
    b"*a",
    b'"',
)


def _mutated(content: bytes, draw: random.Random, suffix: str) -> bytes:
    if suffix in (".mxl", ".zip", ".pt", ".ckpt", ".npz") and draw.random() < 0.5:
        return _repacked(content, draw)
    is_text = content[:400].isascii() and b"\0" not in content[:400]
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        kinds = [_flip, _cut, _repeat, _insert, _truncate]
        content = draw.choice([*kinds, *([_number, _number, _line, _number] if is_text else [])])(content, draw)
    return content


def _flip(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content) + 1)
    return content[:place] + bytes([draw.randrange(256)]) + content[place + 1 :]


def _cut(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content) + 1)
    return content[:start] + content[start + draw.choice((1, 4, 16, 200)) :]


def _repeat(content: bytes, draw: random.Random) -> bytes:
    start, size = draw.randrange(len(content) + 1), draw.choice((1, 4, 16, 100))
    return content[:start] + content[start : start + size] * draw.choice((2, 3, 100, 2000)) + content[start + size :]


def _insert(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content) + 1)
    return content[:place] + draw.choice(_BYTES) * draw.choice((1, 1, 1, 3, 5000)) + content[place:]


def _truncate(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content) + 1)] if draw.random() < 0.3 else content


def _number(content: bytes, draw: random.Random) -> bytes:
    found = list(re.finditer(rb"-?\d+(\.\d+)?", content))
    if not found:
        return content
    one = draw.choice(found)
    return content[: one.start()] + draw.choice((*_NUMBERS, str(draw.randrange(10**9)).encode())) + content[one.end() :]


def _line(content: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    draw.shuffle(lines) if draw.random() < 0.1 else lines.insert(draw.randrange(len(lines)), draw.choice(lines))
    return b"\n".join(lines)


def _repacked(content: bytes, draw: random.Random) -> bytes:
    """Mutate a member of a zip archive, rather than the archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
        methods = {member.filename: member.compress_type for member in archive.infolist()}
    name = draw.choice(list(members))
    members[name] = _mutated(members[name], draw, "")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for member, data in members.items():
            archive.writestr(zipfile.ZipInfo(member), data, methods[member])
    return out.getvalue()


def _zip(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def _tar(members: dict[str, bytes], mode: str, pax: bool) -> bytes:
    out = io.BytesIO()
    form = tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT
    with tarfile.open(fileobj=out, mode=f"w:{mode}", format=form) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            entry = tarfile.TarInfo(name if name == "manifest.csv" else "long/" * 30 + name)
            entry.size, entry.pax_headers = len(content), {"comment": "x"} if pax else {}
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _written(suffix: str) -> bytes:
    events = mmt.encode(mmt.read(min(_TINY.glob("*.mid"))))[:60]
    with tempfile.TemporaryDirectory(prefix="mmt-fuzz-") as folder:
        path = Path(folder) / f"a{suffix}"
        mmt.write(path, mmt.decode(events))
        return path.read_bytes()


def _results() -> dict[str, dict[str, bytes]]:
    """Small folders of results, lists and data of the original code."""
    import h5py
    import numpy as np

    from mmt.analysis.inside.features import SparseAutoencoder

    def saved(array: np.ndarray) -> bytes:
        out = io.BytesIO()
        np.save(out, array)
        return out.getvalue()

    with tempfile.TemporaryDirectory(prefix="mmt-fuzz-") as folder:
        SparseAutoencoder(4, 8, 2, place="final").save(Path(folder) / "a")
        autoencoder = {file.name: file.read_bytes() for file in sorted((Path(folder) / "a").iterdir())}
        with h5py.File(Path(folder) / "b", "w") as file:
            file["final"] = np.zeros((8, 4), np.float32)
            for name in ("piece", "pitch"):
                file[f"labels/{name}"] = np.arange(8, dtype=np.int32)
        part = (Path(folder) / "b").read_bytes()
    key = {"study": "s", "first": "a", "second": "b", "pairs": [{"A": "a", "B": "b"}]}
    answers = {"study": "s", "answers": [{"pair": 0, "choice": "A"}]}
    notes = np.array([[0, 0, 60, 12, 40], [1, 6, 64, 6, 40]])
    return {
        "autoencoder": autoencoder,
        "recording": {"job.json": b'{"places": ["final"], "names": ["a"]}', "part-00000.h5": part},
        "listening": {"key.json": json.dumps(key).encode(), "answers.json": json.dumps(answers).encode()},
        "lists": {"names.txt": b"a\nb\n", "works.csv": b"name,work\na,W\nb,V\n"},
        "original": {
            "train-names.txt": b"a\nb\n",
            "a.npy": saved(notes),
            "b.csv": b"beat,position,pitch,duration,program\n0,0,60,12,40\n",
            "encoding.json": b'{"resolution": 12}',
        },
    }


def _statistics() -> bytes:
    from mmt.analysis.attention.measurement import measure
    from mmt.analysis.attention.report import ARRAYS, write_report

    with tempfile.TemporaryDirectory(prefix="mmt-fuzz-") as folder:
        model = mmt.new_model("tiny", seed=0)
        write_report(Path(folder) / "a", measure(model, [mmt.encode(mmt.read(min(_TINY.glob("*.mid"))))[:40]]))
        return (Path(folder) / "a" / ARRAYS).read_bytes()


def _folder(kind: str) -> dict[str, bytes]:
    from mmt.corpus.prepare import prepare
    from mmt.model.checkpoint import Checkpoint, write_checkpoint
    from mmt.model.config import NetworkConfig
    from mmt.model.network import Network
    from mmt.representation.codes import Representation

    with tempfile.TemporaryDirectory(prefix="mmt-fuzz-") as folder:
        path = Path(folder) / kind
        if kind == "corpus":
            prepare(sorted(_TINY.glob("*.mid"))[:2], path)
        else:
            representation = Representation(beats=8, durations=(1, 2, 3))
            config = NetworkConfig(representation.sizes, dim=8, layers=1, heads=1, head_dim=4, context=8)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                write_checkpoint(path, Checkpoint(Network(config), representation, {"min_p": 0.05}, {"steps": 1}))
        return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


def _recipe() -> bytes:
    import yaml

    return yaml.safe_dump(mmt.training.recipe.load_recipe("tiny").to_dict(), sort_keys=False).encode()


def _weights() -> bytes:
    out = io.BytesIO()
    torch.save(
        {"decoder.net.norm.weight": torch.ones(4), "decoder.net.norm.bias": torch.zeros(4), "global_step": 3}, out
    )
    return out.getvalue()


def run(
    seed: int, count: int | None, seconds: float, findings: Path | None, names: list[str] | None = None
) -> list[str]:
    """Read `count` mutations, or as many as `seconds` allow; returns one line for each finding."""
    found: list[str] = []
    done: Counter[str] = Counter()
    source, end = mutations(seed, names), time.monotonic() + seconds
    while (done.total() < count) if count is not None else (time.monotonic() < end):
        batch = [next(source) for _ in range(min(_BATCH, count - done.total()) if count is not None else _BATCH)]
        for (name, content), answer in zip(batch, call_each(attempt, batch, time_limit=_WALL_CLOCK), strict=True):
            done[name] += 1
            problem = answer.reason if isinstance(answer, Lost) else answer
            if problem:
                file = f"{name.replace('/', '-')}-{hashlib.sha256(content).hexdigest()[:12]}{targets()[name].suffix}"
                found.append(f"{name}: {problem} ({file}, {len(content):,} bytes)")
                if findings is not None:
                    findings.mkdir(parents=True, exist_ok=True)
                    (findings / file).write_bytes(content)
                    print(found[-1], flush=True)
    end_idle()
    if findings is not None:
        print(f"{done.total():,} files, {len(found)} findings: {json.dumps(done)}")
    return found


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=60.0, help="how long to go on")
    arguments.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    arguments.add_argument(
        "--findings", type=Path, default=Path("out/fuzz"), help="the folder for inputs that are findings"
    )
    arguments.add_argument("--target", action="append", help="only this reader; may be repeated (default: all)")
    chosen = arguments.parse_args()
    print(f"seed {chosen.seed}; readers: {', '.join(targets())}")
    # The other process imports this module by its name.
    import campaign

    return 1 if campaign.run(chosen.seed, None, chosen.seconds, chosen.findings, chosen.target) else 0


if __name__ == "__main__":
    sys.exit(main())
