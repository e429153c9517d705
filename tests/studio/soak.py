"""A long run of mmt-studio: compose, edit, undo, export, upload and delete over HTTP for some minutes, and measure the server.

It prints a row every minute: resident memory, threads, open files, child processes, files in the session's folder, actions so
far, and the time of an answer. Run it by hand: `python tests/studio/soak.py --minutes 20`.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import random
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from live import ROOT, Server

ENSEMBLES = ("piano", "string trio", "voice and piano", "flute and harp", "wind quintet", "jazz trio")
FILES = sorted(one for one in (ROOT / "data" / "tiny").iterdir() if one.suffix in (".mid", ".mxl"))
KINDS = ("mid", "musicxml", "wav", "html")
MOST_PIECES = 12
"""So that the folder stays small: older pieces are deleted."""


class Client:
    """Calls of the API, and what a person does, each drawn at random."""

    def __init__(self, url: str, seed: int) -> None:
        self.url, self.random = url, random.Random(seed)
        self.done: collections.Counter[str] = collections.Counter()
        self.refused: collections.Counter[str] = collections.Counter()

    def ask(self, path: str, body: Any = None, method: str | None = None) -> bytes:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}api/{path}", content, method=method)
        with urllib.request.urlopen(request, timeout=300) as answer:
            found: bytes = answer.read()
            return found

    def get(self, path: str) -> Any:
        return json.loads(self.ask(path))

    def post(self, path: str, **body: Any) -> Any:
        return json.loads(self.ask(path, body))

    def act(self) -> None:
        """Do one thing; an answer such as "the part plays already" is counted, an error of the server is raised."""
        action: Callable[[], None] = self.random.choice([
            self.compose, self.rewrite, self.rewrite, self.go_on, self.add_part, self.give, self.step, self.step, self.edit,
            self.export, self.export, self.upload, self.look_inside, self.listen, self.stop, self.leave,
        ])  # fmt: skip
        self.done[action.__name__] += 1
        try:
            action()
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode()
            if error.code >= 500:
                raise RuntimeError(f"{action.__name__}: {error.code} {text}") from None
            self.refused[f"{action.__name__}: {text[:90]}"] += 1

    def piece(self) -> Any:
        """A piece that has notes."""
        known = self.get("pieces")
        for one in known[MOST_PIECES:]:
            self.ask(f"pieces/{one['id']}", method="DELETE")
        found = self.get(f"pieces/{self.random.choice(known[:MOST_PIECES])['id']}") if known else None
        return found if found and found["score"]["notes"] else self.compose()

    def write(self, piece: str, operation: str, **body: Any) -> Any:
        """Write alternatives, and keep or discard them."""
        job = self.post(f"pieces/{piece}/{operation}", alternatives=2, **body)
        self.ask(f"jobs/{job['id']}/events")
        found = self.get(f"pieces/{piece}")
        has_notes = bool(found["score"]["notes"])  # an empty piece gets music
        if not found["alternatives"] or (has_notes and self.random.random() < 0.2):
            return self.post(f"pieces/{piece}/discard")
        return self.post(f"pieces/{piece}/keep", alternative=self.random.choice(found["alternatives"])["number"])

    def compose(self) -> Any:
        piece = self.post("pieces", instruments=[self.random.choice(ENSEMBLES)])["id"]
        return self.write(piece, "write", beats=self.random.choice((4, 8, 16)))

    def span(self, piece: Any) -> dict[str, int]:
        last = piece["score"]["notes"][-1][0] // piece["score"]["resolution"]
        first = self.random.randint(0, max(last - 4, 0))
        return {"from_beat": first, "to_beat": first + 4}

    def rewrite(self) -> None:
        piece = self.piece()
        self.write(piece["id"], "rewrite", **self.span(piece))

    def go_on(self) -> None:
        piece = self.piece()
        self.write(piece["id"], "continue", beat=max(self.span(piece)["from_beat"], 1), beats=4)

    def add_part(self) -> None:
        piece = self.piece()
        self.write(piece["id"], "add-part", instrument="oboe", **self.span(piece))

    def give(self) -> None:
        piece = self.piece()
        self.write(piece["id"], "give", instruments=["flute", "clarinet"], **self.span(piece))

    def step(self) -> None:
        """Undo, redo, or any version."""
        piece = self.piece()
        self.post(f"pieces/{piece['id']}/go", version=self.random.randrange(len(piece["history"])))

    def edit(self) -> None:
        piece = self.piece()
        onset, duration, pitch, code = piece["score"]["notes"][0]
        moved = [onset, duration, min(pitch + 1, 127), code]
        self.post(f"pieces/{piece['id']}/notes", revision=piece["revision"], remove=[0], add=[moved])

    def export(self) -> None:
        content = self.ask(f"pieces/{self.piece()['id']}/download/{self.random.choice(KINDS)}")
        assert len(content) > 100

    def upload(self) -> None:
        file = self.random.choice(FILES)
        self.ask(f"files?name={file.name}", file.read_bytes())

    def look_inside(self) -> None:
        piece = self.piece()["id"]
        self.get(f"pieces/{piece}/surprise")
        self.get(f"pieces/{piece}/attention/0")

    def listen(self) -> None:
        for part in self.piece()["score"]["parts"][:3]:
            self.get(f"sounds/{part['name']}")

    def stop(self) -> None:
        piece = self.piece()["id"]
        job = self.post(f"pieces/{piece}/write", beats=200)["id"]
        time.sleep(self.random.random())
        self.post(f"jobs/{job}/stop")
        self.ask(f"jobs/{job}/events")
        self.post(f"pieces/{piece}/discard")

    def leave(self) -> None:
        """Close the connection while music is written."""
        piece = self.piece()["id"]
        job = self.post(f"pieces/{piece}/write", beats=16)["id"]
        with contextlib.closing(urllib.request.urlopen(f"{self.url}api/jobs/{job}/events", timeout=60)) as answer:
            answer.readline()


def measure(server: Server, client: Client, started: float) -> str:
    """A row of the table, measured while the model is idle, because its work takes memory."""
    for one in client.get("pieces")[:1]:
        client.get(f"pieces/{one['id']}/surprise")  # waits for the jobs before it
    process = Path(f"/proc/{server.process.pid}")
    threads = len(list((process / "task").iterdir()))
    children = sum(len((one / "children").read_text().split()) for one in (process / "task").iterdir())
    files = sum(one.is_file() for one in server.folder.rglob("*"))
    before = time.monotonic()
    client.get("status")
    answer = 1000 * (time.monotonic() - before)
    return (
        f"{(time.monotonic() - started) / 60:6.1f} min  {server.memory() / 2**20:7.0f} MiB  {threads:3} threads  "
        f"{len(list((process / 'fd').iterdir())):3} open  {children:2} children  {files:4} files  "
        f"{client.done.total():5} actions  {answer:6.0f} ms"
    )


def main() -> None:
    """Run for some minutes."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--minutes", type=float, default=20)
    arguments.add_argument("--seed", type=int, default=0)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder), "--port", "0") as server:
        server.wait_until_ready()
        client, started = Client(server.url, chosen.seed), time.monotonic()
        print(measure(server, client, started), flush=True)
        shown = started
        while time.monotonic() - started < 60 * chosen.minutes:
            client.act()
            if time.monotonic() - shown > 60:
                shown = time.monotonic()
                print(measure(server, client, started), flush=True)
        for one in client.get("pieces"):
            client.ask(f"pieces/{one['id']}", method="DELETE")
        time.sleep(12)  # idle threads end
        print(measure(server, client, started), flush=True)
        print(dict(client.done), dict(client.refused), f"Ctrl-C: {server.interrupt()}", sep="\n")


if __name__ == "__main__":
    main()
