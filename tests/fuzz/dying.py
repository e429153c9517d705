"""Run a command of mmt and kill it (SIGKILL) at a step of writing below a folder.

The steps are the last line of stderr. A step is `w` if a file is open and incomplete: after a call of its `write`, and before
it is closed. It is `.` before a file or folder is opened for writing, made, renamed or removed. Writes by libraries in C are not
seen.

python tests/fuzz/dying.py FOLDER STEP generate -o FOLDER/piece.mid    # no kill: -1
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from types import FrameType
from typing import Any

_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink")
_WRITES = ("write", "writelines", "tofile", "savetxt")
_CLOSES = ("close", "__exit__")


def die_at(folder: str, fatal: int) -> list[str]:
    """Collect the steps of this process below a folder, and kill it at step `fatal`, counted from 0."""
    steps, process = [], os.getpid()

    def step(kind: str) -> None:
        if os.getpid() != process:
            return
        steps.append(kind)
        if len(steps) == fatal + 1:
            print("".join(steps), file=sys.stderr, flush=True)
            os.kill(process, signal.SIGKILL)

    def profile(frame: FrameType, event: str, called: Any) -> None:
        name = getattr(called, "__name__", "")
        if event == "c_return" and name in _WRITES:
            step("w")
        elif event == "c_call" and name in _CLOSES:
            step("w")
            sys.setprofile(None)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" and event not in _CHANGES:
            return
        path, writes = arguments[0], event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR)
        # shutil.rmtree removes names relative to an open folder.
        below = isinstance(path, str | os.PathLike) and (not os.path.isabs(path) or str(path).startswith(folder))
        if writes and below:
            step(".")
            if event == "open" and not str(path).endswith(".lock"):
                sys.setprofile(profile)

    sys.addaudithook(hook)
    return steps


def main() -> int:
    folder, step, name, *arguments = sys.argv[1:]
    run = importlib.import_module(f"mmt.cli.{name}").main
    steps = die_at(os.path.abspath(folder), int(step))
    status = run(arguments)
    print("".join(steps), file=sys.stderr)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
