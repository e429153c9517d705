"""A studio in a process of its own, and a Chromium that opens it."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmt

ROOT = Path(__file__).resolve().parents[2]
QUARTET = ROOT / "data" / "tiny" / "mayer_quartet_in_g_minor.mid"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_START = "import sys; from mmt.cli.studio import main; sys.exit(main())"


class Server:
    """An `mmt-studio` process with these arguments; a context manager."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder, self.arguments = folder, arguments
        self.lines: list[str] = []
        self.start()

    def start(self, *more: str) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        command = [sys.executable, "-c", _START, "--no-browser", "--folder", str(self.folder), *self.arguments, *more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
        text = self._read_until("Ctrl-C ends")
        self.lines = text.splitlines()
        found = re.search(r"mmt-studio: (http://\S+)", text)
        assert found is not None, text
        self.url = found.group(1)

    @property
    def port(self) -> int:
        return int(self.url.split(":")[2].split("/")[0])

    def wait_until_ready(self) -> None:
        """Wait until the model is prepared, which includes compiling on the first run."""
        for _ in range(600):
            with urllib.request.urlopen(f"{self.url}api/status", timeout=60) as answer:
                if json.load(answer)["ready"]:
                    return
            time.sleep(0.5)
        raise AssertionError("the model is not ready after five minutes")

    def kill(self) -> None:
        """End it at once, like a crash."""
        self.process.kill()
        self.end()

    def interrupt(self) -> tuple[int, str]:
        """Press Ctrl-C; returns the exit status and the output since the start."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(20)
        assert self.process.stdout is not None
        printed = self.process.stdout.read().decode()
        self.end()
        return status, printed

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def memory(self) -> int:
        """Its resident memory in bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _read_until(self, text: str, time_limit: float = 120) -> str:
        output, deadline = self.process.stdout, time.monotonic() + time_limit
        assert output is not None
        read = b""
        while text.encode() not in read:
            ready, _, _ = select.select([output], [], [], max(deadline - time.monotonic(), 0))
            part = os.read(output.fileno(), 65536) if ready else b""
            assert part, f"the server printed {read.decode()!r}, not {text!r}"
            read += part
        return read.decode()


class Tab:
    """A page of the studio with the actions of a person; for anything else use Playwright's `page`."""

    def __init__(self, context: Any, url: str) -> None:
        self.page, self.url = context.new_page(), url
        self.page.set_default_timeout(120_000)
        self.troubles: list[str] = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", self._hear)
        self.open()

    def _hear(self, message: Any) -> None:
        # The page itself shows requests that fail, also while the server is down.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.troubles.append(message.text)

    def open(self, address: str = "") -> None:
        self.page.goto(self.url + address)
        self.page.locator("body.ready").wait_for()

    @property
    def id(self) -> str:
        return str(self.page.url.split("#")[1])

    def button(self, name: str, *, exact: bool = True) -> Any:
        return self.page.get_by_role("button", name=name, exact=exact)

    def piece(self) -> Any:
        """The piece as the API gives it."""
        return self.page.context.request.get(f"{self.url}api/pieces/{self.id}").json()

    def notes(self) -> list[list[int]]:
        notes: list[list[int]] = self.piece()["score"]["notes"]
        return notes

    def choose(self, ensemble: str, beats: int = 8, alternatives: int = 2, seed: int | None = 1) -> None:
        """Fill the start page."""
        self.button(ensemble, exact=False).first.click()
        self.page.get_by_label("Length (beats)").fill(str(beats))
        self.page.locator("#start").get_by_label("Alternatives").fill(str(alternatives))
        if seed is not None:
            self.page.locator("#start").get_by_text("More settings").click()
            self.page.locator("#start").get_by_label("Seed").fill(str(seed))

    def compose(
        self, ensemble: str = "String trio", beats: int = 8, alternatives: int = 1, seed: int | None = 1
    ) -> None:
        """Write and keep a piece."""
        self.choose(ensemble, beats, alternatives, seed)
        self.button("Write music").click()
        self.wait_for_alternatives(alternatives)
        self.keep(1)

    def wait_for_alternatives(self, count: int) -> None:
        self.page.locator(".choose-head p", has_text="keep the one you like").wait_for()
        assert self.page.locator(".card").count() == count

    def keep(self, number: int) -> None:
        self.button(f"Keep alternative {number}").click()
        self.page.locator("#choose").wait_for(state="hidden")

    def select_bars(self, first: int, last: int) -> None:
        self.page.get_by_label("First bar").fill(str(first))
        self.page.get_by_label("Last bar").fill(str(last))
        self.page.get_by_label("Last bar").press("Enter")

    def selected(self) -> str:
        return str(self.page.locator("#selection").inner_text())

    def place(self, beat: float, pitch: float) -> tuple[float, float]:
        """Where a beat and pitch are on the screen."""
        box = self.page.locator("#roll .roll > svg").first.bounding_box()
        view = self.page.locator("#roll .roll > svg").first.get_attribute("viewBox").split()
        return box["x"] + box["width"] * beat / float(view[2]), box["y"] + box["height"] * (
            self.high() - pitch
        ) / float(view[3])

    def high(self) -> float:
        """The pitch at the upper edge of the roll, from the place of a C on the keyboard."""
        label = self.page.locator("#roll .keys span").first
        view = self.page.locator("#roll .roll > svg").first.get_attribute("viewBox").split()
        share = float(label.evaluate("(one) => parseFloat(one.style.top)")) / 100
        return 12 * (int(label.inner_text()[1:]) + 1) + share * float(view[3])

    def wait_for_revision(self, revision: int) -> Any:
        """The piece, once it has changed after a revision."""
        for _ in range(400):
            piece = self.piece()
            if piece["revision"] > revision:
                return piece
            time.sleep(0.02)
        raise AssertionError("the piece did not change")


Open = Callable[..., Tab]


def saved(tab: Tab, link: str, folder: Path) -> Path:
    """The file of a download."""
    if not tab.page.locator("#save").evaluate("(one) => one.open"):
        tab.page.locator("#save summary").click()
    with tab.page.expect_download() as waiting:
        tab.page.get_by_role("link", name=link, exact=True).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def sounding(notes: list[list[int]]) -> list[tuple[int, int, int]]:
    """Onset, pitch and instrument code of the notes that the API gives, sorted."""
    return sorted((onset, pitch, code) for onset, _, pitch, code in notes)


def read_notes(path: Path) -> list[tuple[int, int, int]]:
    """Onset, pitch and instrument code of the notes of a file, sorted."""
    events = mmt.encode(mmt.read(path)).tolist()
    return sorted((12 * (row[1] - 1) + row[2] - 1, row[3] - 1, row[5]) for row in events if row[0] == 3)
