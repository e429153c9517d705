"""Write files and folders atomically, and lock what only one process may use.

Output is written in a hidden folder next to its place, which is locked while in use, and then moved. A process that is killed
leaves that folder; the next call that writes next to it removes it.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

# The names of hidden folders: 12 hexadecimal digits, so that no other hidden folder is taken for one.
_PREFIX, _DIGITS, _LOCK, _FORMER = ".mmt-", 12, ".lock", ".former"
# Errors of a full disk, a quota and a limit on the size of files.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path of the same name to write to; it replaces `path`, a file or a folder, when the context ends without an error.

    Raises
    ------
    OSError
        If the disk is full, or the folder may not be written to; the message names `path`.
    """
    with naming(path), ExitStack() as stack:
        remove_remnants(path.parent)
        folder = _hidden_folder(path, stack)
        partial = folder / path.name
        yield partial
        _put_in_place(partial, path, folder / _FORMER)


def _hidden_folder(path: Path, stack: ExitStack) -> Path:
    """A new hidden folder next to a path, locked and removed at the end of `stack`."""
    while True:
        # Not with tempfile, which ignores the umask: only the owner could read its folders.
        folder = _hidden_name(path.parent)
        folder.mkdir()
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            stack.enter_context(locked(folder / _LOCK, ""))
        except (FileNotFoundError, BlockingIOError):
            continue  # another process has taken it for a remnant
        return folder


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the name of the file that is written to an error of a full disk, which names none."""
    try:
        yield
    except OSError as error:
        if is_named(error):
            raise
        if error.errno in FULL:
            raise OSError(
                error.errno, f"cannot write {path}: {error.strerror}; free some space and try again"
            ) from error
        if error.errno is not None and (error.filename is None or _PREFIX in str(error.filename)):
            raise type(error)(error.errno, f"cannot write {path}: {error.strerror}") from error
        raise


def is_named(error: OSError) -> bool:
    """Whether `naming` has added the name of a file to an error."""
    return str(error.strerror).startswith("cannot write ")


def is_taken(path: Path) -> bool:
    """Whether something is at a path that would have to be replaced, or cannot be: anything but a plain empty folder.

    A link, a mount point and the current folder cannot be moved away.
    """
    if path.is_symlink() or path.is_mount():
        return True
    return path.exists() and (not path.is_dir() or path.samefile(Path.cwd()) or any(path.iterdir()))


def remove_remnants(folder: Path) -> None:
    """Remove what killed processes have left in a folder; a file that such a process had moved away is moved back."""
    with suppress(OSError):
        for remnant in folder.glob(_PREFIX + _DIGITS * "[0-9a-f]"):
            with suppress(OSError):
                _remove_remnant(remnant)


def _remove_remnant(remnant: Path) -> None:
    """Remove a hidden folder, unless it is in use: then a `BlockingIOError` is raised."""
    lock = _acquired(remnant / _LOCK, wait=0)
    try:
        for former in (remnant / _FORMER).glob("*"):
            if not (remnant.parent / former.name).exists():
                os.replace(former, remnant.parent / former.name)
        # Under a new name, since a process that has just made this folder may put a new lock into it meanwhile. The lock moves
        # with the folder, so it is not deleted by its old name, which may be that of the new one.
        condemned = _hidden_name(remnant.parent)
        os.rename(remnant, condemned)
        shutil.rmtree(condemned, ignore_errors=True)
    finally:
        lock.release()


def _hidden_name(folder: Path) -> Path:
    """A name for a new hidden folder."""
    return folder / f"{_PREFIX}{secrets.token_hex(_DIGITS // 2)}"


@contextmanager
def locked(file: Path, refusal: str) -> Iterator[None]:
    """Hold the lock of a file, which is created and deleted; the system also releases it if the process is killed.

    Raises
    ------
    BlockingIOError
        If another process, or another thread, holds it: the message is `refusal`.
    FileNotFoundError
        If the folder does not exist.
    """
    lock = _acquired(file, refusal)
    try:
        yield
    finally:
        # Delete the file while it is locked: a process that waits for it notices, and opens a new one.
        with suppress(OSError):
            file.unlink(missing_ok=True)
        lock.release()


def _acquired(file: Path, refusal: str = "", wait: float = 0.2) -> BaseFileLock:
    """The lock of a file; it is not held if the file system has no locks, as some network file systems."""
    lock = FileLock(file)
    try:
        lock.acquire(timeout=wait, poll_interval=0.05)
    except Timeout:
        raise BlockingIOError(refusal) from None
    except (FileNotFoundError, FileExistsError) as error:
        # filelock makes a missing folder, and fails so if another process removes it at that moment.
        raise FileNotFoundError(errno.ENOENT, "the folder was removed", str(file)) from error
    except OSError as error:
        if error.errno in FULL:
            raise
    return lock


def _put_in_place(partial: Path, target: Path, former: Path) -> None:
    """Rename a file or folder to `target`; an existing folder, which cannot be replaced in one step, waits in `former`."""
    if not target.is_dir() or target.is_symlink():
        os.replace(partial, target)
        return
    former.mkdir()
    os.replace(target, former / target.name)
    try:
        os.replace(partial, target)
    except OSError:
        os.replace(former / target.name, target)
        raise
