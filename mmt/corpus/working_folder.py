"""The folder beside a corpus in which it grows, `.NAME-parts`: one preparation at a time has it, and a stopped one leaves it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a Unix: there two preparations are not kept apart
    fcntl = None  # type: ignore[assignment]


@contextmanager
def working_folder(output: Path) -> Iterator[Path]:
    """The folder of finished shards: it stays if the work is stopped, not if the user has to ask for something else.

    Raises
    ------
    BlockingIOError
        If another preparation of the same output is at work.
    OSError
        If the disk is full.
    """
    parts = output.absolute().parent / f".{output.absolute().name}-parts"
    made = [folder for folder in parts.parents if not folder.exists()]
    lock = _locked(parts, output)
    try:
        yield parts
    except (ValueError, FileNotFoundError) as error:
        # A source that is misspelt must not cost what an earlier call has finished.
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
        if lock is not None:
            os.close(lock)


def _locked(parts: Path, output: Path) -> int | None:
    """Make the folder and lock it; the operating system takes the lock off when this process ends, in whatever way."""
    while True:
        parts.mkdir(parents=True, exist_ok=True)
        if fcntl is None:
            return None
        lock = -1
        try:
            lock = os.open(parts, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), parts.stat()):
                return lock
        except FileNotFoundError:
            pass  # another preparation has just ended, and taken the folder away
        except BlockingIOError:
            os.close(lock)
            raise BlockingIOError(
                f"another preparation of {output} is at work; wait until it has ended, or give another folder"
            ) from None
        except OSError:  # some file systems of networks know no such locks
            if lock >= 0:
                os.close(lock)
            return None
        if lock >= 0:
            os.close(lock)
