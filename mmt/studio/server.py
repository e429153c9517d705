"""Starting the server: the session's folder, the port, and the end."""

from __future__ import annotations

import errno
import os
import secrets
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout
from starlette.types import ASGIApp

from mmt.sampling.model import Model
from mmt.studio import api
from mmt.studio.app import create_app
from mmt.studio.context import Context
from mmt.studio.memory import return_large_arrays
from mmt.studio.pieces import Store, write_whole
from mmt.studio.security import is_loopback, names_of

PORT = 8642
_PORTS = 50
"""How many ports to try after a busy one."""


def default_folder() -> Path:
    """Where sessions are kept: the user's folder for the state of programs."""
    if given := os.environ.get("MMT_STUDIO_FOLDER"):
        return Path(given)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "mmt-studio"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "mmt-studio"
    return Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "mmt-studio"


def claim_session(folder: Path) -> tuple[Path, FileLock]:
    """The first session in the folder that no other server uses, and the lock that keeps it."""
    for number in range(1, 100):
        session = folder / f"session-{number}"
        session.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(session / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return session, lock
    raise OSError(f"all sessions in {folder} are in use")


def token_of(session: Path) -> str:
    """The session's token, made at its first start; so an open page goes on after a restart."""
    path = session / "token"
    if not path.exists():
        write_whole(path, secrets.token_urlsafe(24).encode())
    return path.read_text(encoding="ascii").strip()


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on the port, or on the next free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for offset in range(_PORTS if port else 1):
        listener = socket.socket(family, socket.SOCK_STREAM)
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port + offset))
            listener.listen(128)
            return listener
        except OSError as error:
            listener.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise OSError(f"cannot listen on {host}: {error.strerror}") from error
    raise OSError(f"ports {port} to {port + _PORTS - 1} of {host} are busy; name another with --port")


def serve(
    model: Model,
    *,
    folder: Path,
    file: Path | None = None,
    host: str = "127.0.0.1",
    port: int = PORT,
    checkpoint: str = "",
    corpus: Path | None = None,
    browser: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the studio until Ctrl-C."""
    return_large_arrays()
    session, lock = claim_session(folder)
    with lock:
        listener = open_socket(host, port)
        taken = listener.getsockname()[1]
        context = Context(model, Store(session), checkpoint, corpus)
        try:
            if file is not None:
                context.first_piece = api.from_file(context, file.name, file.read_bytes())["id"]
            token = token_of(session)
            shown = f"[{host}]" if ":" in host else host
            address = f"http://{shown}:{taken}/{token}/"
            with _ending_by_ctrl_c(context, create_app(context, token, names_of(host))) as server:
                if port and taken != port:
                    say(f"port {port} is busy; using {taken}")
                if not is_loopback(host):
                    say(
                        f"other machines can reach {host}: give the address below only to people who may use this session"
                    )
                say(f"mmt-studio: {address}")
                say(f"Pieces are kept in {session}. Ctrl-C ends the server.")
                if browser and _has_display():
                    webbrowser.open(address)
                server.run(sockets=[listener])
        finally:
            context.is_ending = True
            context.worker.end()
            listener.close()


@contextmanager
def _ending_by_ctrl_c(context: Context, app: ASGIApp) -> Iterator[uvicorn.Server]:
    """A server that ends cleanly by Ctrl-C, even before it runs."""
    # No access log: addresses hold the token.
    config = uvicorn.Config(
        app, log_level="error", access_log=False, server_header=False, timeout_graceful_shutdown=2, lifespan="off"
    )
    server = uvicorn.Server(config)
    ending = server.handle_exit

    def end(*arguments: object) -> None:
        context.is_ending = True  # streams of jobs close
        ending(*arguments)  # type: ignore[arg-type]  # the signal and its frame

    server.handle_exit = end  # type: ignore[assignment,method-assign]
    # uvicorn has handlers of its own while it runs, and repeats the signal for the handlers from before.
    before = signal.signal(signal.SIGINT, end)
    try:
        yield server
    finally:
        signal.signal(signal.SIGINT, before)


def _has_display() -> bool:
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
