"""mmt-studio: compose with a model in a browser, on a local page."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from mmt.cli.common import Flags, UsageError, add_flags, add_model, check_corpus, parser, run

_EXAMPLES = """examples:
  mmt-studio
  mmt-studio quartet.mid
  mmt-studio --checkpoint runs/mine/best --corpus data/mine
"""
_SERVER: Flags = {
    "--port": (int, 8642, "the port; if it is busy, the next free one"),
    "--host": (str, "127.0.0.1", "address to listen on; with any other than 127.0.0.1, other machines that know the "
        "session's token can connect"),
    "--browser": (bool, True, "open the page in the default browser"),
    "--folder": (Path, None, "where pieces are kept (default: the user's folder for program state)"),
}  # fmt: skip
_CORPUS: Flags = {
    "--corpus": (Path, None, "the prepared corpus that the model was trained on, for the originality check")
}


def main(given: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    # As for mmt-generate: threads that wait for each other spin only briefly.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    return run(_parser(), _serve, given)


def _parser() -> argparse.ArgumentParser:
    arguments = parser(
        "mmt-studio", "Compose with a model in a browser: a page on this machine, without the internet.", _EXAMPLES
    )
    arguments.add_argument("file", metavar="FILE", nargs="?", type=Path, help="a MIDI, MusicXML or ABC file to open")
    add_flags(arguments.add_argument_group("server"), _SERVER)
    add_flags(add_model(arguments), _CORPUS)
    return arguments


def _serve(chosen: argparse.Namespace) -> None:
    try:
        import starlette  # noqa: F401 (only to see whether it is installed)
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is missing: pip install starlette uvicorn") from error
    if not 0 <= chosen.port <= 65535:
        raise UsageError(f"--port is {chosen.port}; give 0 (any free port) to 65535")
    if chosen.file is not None and not chosen.file.is_file():
        raise FileNotFoundError(f"there is no file {chosen.file}")
    check_corpus(chosen.corpus)

    from mmt.sampling.model import load_model
    from mmt.studio.server import default_folder, serve

    model = load_model(chosen.checkpoint, device=chosen.device, weights=chosen.weights)
    serve(
        model,
        folder=chosen.folder or default_folder(),
        file=chosen.file,
        host=chosen.host,
        port=chosen.port,
        checkpoint=str(chosen.checkpoint or ""),
        corpus=chosen.corpus,
        browser=chosen.browser,
        say=(lambda text: None) if chosen.quiet else _print_line,
    )


def _print_line(text: str) -> None:
    # The line and its end in one write: a program that reads the output must not find an empty line later.
    print(f"{text}\n", end="", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
