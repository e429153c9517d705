"""The working folder of a preparation, `.NAME-parts` beside its output: locked while in use, kept if the work stops."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

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
    lock = _locked(parts, output)
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
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            f"the disk of {output} is full ({error.strerror}); free some space and call again: "
            f"what is finished is kept in {parts}"
        ) from error
    else:
        shutil.rmtree(parts, ignore_errors=True)
    finally:
        # Delete the file while it is locked: a process that waits for it notices, and opens a new one.
        with suppress(OSError):
            (parts / _LOCK).unlink(missing_ok=True)
        if lock is not None:
            lock.release()


def _locked(parts: Path, output: Path) -> BaseFileLock | None:
    """Create the folder and lock it; the operating system releases the lock when this process ends, however it ends."""
    while True:
        parts.mkdir(parents=True, exist_ok=True)
        lock = FileLock(parts / _LOCK)
        try:
            lock.acquire(timeout=0.2, poll_interval=0.05)
        except FileNotFoundError:
            continue  # another preparation has just finished and removed the folder
        except Timeout:
            raise BlockingIOError(
                f"another preparation of {output} is at work; wait until it has ended, or give another folder"
            ) from None
        except OSError:  # some network file systems do not support locks
            return None
        return lock
