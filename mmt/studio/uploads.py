"""Files from a client: read in another process with limits of time and memory, by the readers of `mmt.read`."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Semaphore

from mmt.corpus.isolated import Lost, call_each
from mmt.music.files import MIDI_SUFFIXES, read
from mmt.music.pictures.colors import given_title
from mmt.representation.codes import Events, Representation
from mmt.representation.encode import encode
from mmt.studio.requests import MOST_NOTES

SUFFIXES = frozenset({*MIDI_SUFFIXES, ".musicxml", ".xml", ".mxl", ".abc"})
PROCESSOR_TIME = 20.0  # seconds; a processor that is busy with other work does not count
TIME_LIMIT = 120.0  # seconds, for a native reader that hangs, and for systems without timers of processor time
MEMORY_LIMIT = 2 * 2**30  # bytes of address space beyond what the process has at its start
# Reading takes a core and memory: more at once are refused.
_AT_ONCE = Semaphore(2)


@dataclass(frozen=True)
class Upload:
    """A file as a piece begins from it."""

    title: str
    events: Events
    report: str
    """What was kept, left out and simplified."""
    signatures: bytes
    """Its tempos, time and key signatures, as a muspy JSON file without notes."""


class UploadError(ValueError):
    """A file that is not music, is too large or takes too long to read."""


def read_upload(name: str, content: bytes, representation: Representation) -> Upload:
    """Read a file; `name` serves for its suffix and title only. An `UploadError` says what is wrong."""
    plain = Path(name.replace("\\", "/")).name
    suffix = Path(plain).suffix.lower()
    if suffix not in SUFFIXES:
        raise UploadError(f"{plain or 'the file'} cannot be read: give a MIDI, MusicXML or ABC file")
    if not content:
        raise UploadError(f"{plain} is empty")
    if not _AT_ONCE.acquire(blocking=False):
        raise UploadError("two files are being read already; try again in a moment")
    try:
        read_one = partial(_read, suffix, representation, PROCESSOR_TIME)
        found = call_each(read_one, [content], time_limit=TIME_LIMIT)[0]
    finally:
        _AT_ONCE.release()
    if isinstance(found, Lost):
        raise UploadError(f"{plain} cannot be read: {found.reason}")
    if isinstance(found, str):
        raise UploadError(found.replace("FILE", plain))
    title, events, report, signatures = found
    return Upload(title or Path(plain).stem or "Untitled", events, report, signatures)


def _read(
    suffix: str, representation: Representation, seconds: float, content: bytes
) -> tuple[str, Events, str, bytes] | str:
    """In the other process: title, events, report and signatures; a text says what is wrong."""
    try:
        with limited_time(seconds):
            return _read_music(suffix, representation, content)
    except TooSlow:
        return f"FILE cannot be read: took longer than {seconds:g} s"


def _read_music(suffix: str, representation: Representation, content: bytes) -> tuple[str, Events, str, bytes] | str:
    _limit_memory()
    with tempfile.TemporaryDirectory(prefix="mmt-studio-") as folder:
        path = Path(folder) / f"FILE{suffix}"
        path.write_bytes(content)
        try:
            music = read(path)
            notes = sum(len(track.notes) for track in music.tracks)
            if notes > MOST_NOTES:
                return f"FILE has {notes:,} notes; the studio takes up to {MOST_NOTES:,}"
            events, report = encode(music, report=True, representation=representation)
        except (ValueError, OSError) as error:
            return " ".join(str(error).split()).replace(str(path), "FILE").replace(path.name, "FILE")[:500]
        except MemoryError:
            return "FILE cannot be read: it takes too much memory"
    if not report.kept:
        return f"FILE has no notes for the model's instruments: {report}"
    music.tracks = []
    title = given_title(music)
    music.metadata = type(music.metadata)()
    plain = {
        name: value
        for name, value in music.to_ordered_dict(deepcopy=False).items()
        if name in ("metadata", "resolution", "tempos", "key_signatures", "time_signatures", "tracks")
    }
    signatures = json.dumps(plain, default=lambda value: value.item() if hasattr(value, "item") else str(value))
    return " ".join(title.split())[:200], events, str(report), signatures.encode()


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # on Windows; the limit of time stays
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY and (statm := Path("/proc/self/statm")).exists():
        size = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY_LIMIT, hard))


class TooSlow(BaseException):
    """The processor time is used up. Not an `Exception`, so that no reader takes it for an error of the file."""


@contextmanager
def limited_time(seconds: float) -> Iterator[None]:
    """Raise `TooSlow` in the main thread after `seconds` of processor time of this process."""
    if not hasattr(signal, "setitimer"):  # on Windows
        yield
        return

    def end(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGPROF, end)
    # Again after each further second, in case a reader has caught the exception.
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
