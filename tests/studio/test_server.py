"""The command: its port, its end, and the pieces after a crash."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live import QUARTET, Server
from studio_client import ROOT


def ask(server: Server, path: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"{server.url}api/{path}", data=data, timeout=60) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("sessions"), "--port", "0") as running:
        yield running


def test_a_busy_port_is_replaced_by_the_next_and_sessions_are_separate(server: Server) -> None:
    ask(server, "pieces", {"title": "Mine", "instruments": ["piano"]})
    with Server(server.folder, "--port", str(server.port)) as second:
        assert second.lines[0].startswith(f"port {server.port} is busy; using ")
        assert second.port > server.port
        assert ask(second, "pieces") == []
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(second.url.replace(str(second.port), str(server.port)), timeout=10)


def test_ctrl_c_ends_it_cleanly_and_pieces_survive_a_kill(tmp_path: Path) -> None:
    with Server(tmp_path, str(QUARTET), "--port", "0") as server:
        first = ask(server, "status")["first"]
        assert "notes kept" in ask(server, f"pieces/{first}")["report"]
        notes = ask(server, f"pieces/{first}")["score"]["notes"]
        url, port = server.url, server.port
        server.kill()
        server.arguments = ("--port", str(port))
        server.start()
        assert server.url == url, "an open page finds its session again"
        assert ask(server, f"pieces/{first}")["score"]["notes"] == notes
        job = ask(server, f"pieces/{first}/continue", {"beat": 8, "beats": 500, "alternatives": 4})
        assert job["status"] in ("waiting", "running")
        status, printed = server.interrupt()
        assert (status, printed) == (0, "")


def test_ctrl_c_right_after_the_start_prints_nothing(tmp_path: Path) -> None:
    with Server(tmp_path, "--port", "0") as server:
        assert server.interrupt() == (0, "")


def test_the_session_is_private(server: Server) -> None:
    session = next(server.folder.iterdir())
    assert (session / "token").stat().st_mode & 0o077 == 0
    assert session.stat().st_mode & 0o077 == 0
    assert (session / "token").read_text() in server.url


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nowhere.mid"], 1, "there is no file nowhere.mid"),
        (["--port", "70000"], 2, "--port is 70000; give 0 (any free port) to 65535"),
        (["--corpus", "nowhere"], 1, "nowhere is not a prepared corpus"),
        ([str(ROOT / "README.md"), "--port", "0"], 1, "README.md cannot be read"),
        (["--host", "192.0.2.1", "--port", "0"], 1, "cannot listen on 192.0.2.1"),
    ],
)
def test_a_wrong_argument_is_an_error_of_one_line(
    tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    command = [sys.executable, "-c", "import sys; from mmt.cli.studio import main; sys.exit(main())", *arguments]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path), "--no-browser"], capture_output=True, text=True, timeout=120, cwd=ROOT
    )
    assert done.returncode == status
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
