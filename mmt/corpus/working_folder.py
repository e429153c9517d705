"""The working folder of a preparation, `.NAME-parts` beside its output: locked while in use, kept if the work stops."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mmt.music.atomic import FULL, locked

_LOCK = "lock"


@contextmanager
def working_folder(output: Path) -> Iterator[Path]:
    """Create and lock the folder of finished shards.

    The folder is removed after success and after a `ValueError` (the user has to change the call), and kept after any other
    error, so that the next call can continue.

    Raises
    ------
    BlockingIOError
        If another preparation of the same output is running.
    OSError
        If the disk is full.
    """
    parts = output.absolute().parent / f".{output.absolute().name}-parts"
    made = [folder for folder in parts.parents if not folder.exists()]
    with _created_and_locked(parts, output):
        try:
            yield parts
        except (ValueError, FileNotFoundError) as error:
            # A misspelt source must not discard the shards of an earlier call.
            if isinstance(error, ValueError) or not any(parts.glob("*.shard")):
                shutil.rmtree(parts, ignore_errors=True)
            for folder in made:
                with suppress(OSError):
                    folder.rmdir()
            raise
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise OSError(
                error.errno,
                f"the disk of {output} is full ({error.strerror}); free some space and call again: "
                f"what is finished is kept in {parts}",
            ) from error
        else:
            shutil.rmtree(parts, ignore_errors=True)


@contextmanager
def _created_and_locked(parts: Path, output: Path) -> Iterator[None]:
    refusal = f"another preparation of {output} is at work; wait until it has ended, or give another folder"
    while True:
        parts.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(parts / _LOCK, refusal))
            except FileNotFoundError:
                continue  # another preparation has just finished and removed the folder
            yield
            return
