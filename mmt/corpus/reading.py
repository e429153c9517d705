"""Read one file of a corpus: the result is a note table, or the reason why the file is left out."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmt.corpus.pieces import names_of_instruments
from mmt.corpus.splits import fingerprint
from mmt.music.atomic import is_named, naming
from mmt.music.files import MIDI_SUFFIXES, read
from mmt.music.reading.abc import UnreadWarning
from mmt.music.reading.midi import read_midi_notes
from mmt.representation.arguments import finite, whole
from mmt.representation.codes import Representation
from mmt.representation.notes import NOTE_DTYPE, NoteTable, RawNotes, note_table, raw_notes


@dataclass(frozen=True)
class PieceFilters:
    """Limits outside of which pieces are left out; by default only pieces without usable notes are."""

    min_notes: int = 1
    """Smallest number of usable notes."""
    min_beats: int = 1
    """Smallest length in beats."""
    max_beats: int | None = None
    """Largest length in beats; None for no limit."""
    min_instruments: int = 1
    """Smallest number of instruments; 2 leaves out pieces for a single instrument."""
    max_drums: float = 1.0
    """Largest share of drum notes, 0 to 1; 0 leaves out every piece with drums."""

    def __post_init__(self) -> None:
        for name in ("min_notes", "min_beats", "min_instruments"):
            object.__setattr__(self, name, whole(name, getattr(self, name), least=1))
        if self.max_beats is not None:
            object.__setattr__(self, "max_beats", whole("max_beats", self.max_beats))
        object.__setattr__(self, "max_drums", finite("max_drums", self.max_drums))
        if self.max_beats is not None and self.max_beats < self.min_beats:
            raise ValueError(f"max_beats is {self.max_beats}; give at least {self.min_beats}, or None for any length")
        if not 0 <= self.max_drums <= 1:
            raise ValueError(f"max_drums is {self.max_drums}; give a share of the notes, 0 to 1")

    def reason_against(self, table: NoteTable, drum_share: float) -> str:
        """The reason why a piece with these usable notes is left out; "" if it is kept.

        `drum_share` is the share of drum notes among all notes of its file, 0 to 1.
        """
        if len(table) < self.min_notes:
            return f"fewer than {self.min_notes} usable notes"
        beats = 1 + int(table["beat"][-1])
        if beats < self.min_beats:
            return f"shorter than {self.min_beats} beats"
        if self.max_beats is not None and beats > self.max_beats:
            return f"longer than {self.max_beats} beats"
        if self.min_instruments > 1 and len(np.unique(table["instrument"])) < self.min_instruments:
            return (
                "only one instrument" if self.min_instruments == 2 else f"fewer than {self.min_instruments} instruments"
            )
        if drum_share > self.max_drums:
            return "with drums" if self.max_drums == 0 else f"more than {self.max_drums:.0%} of its notes are drums"
        return ""


@dataclass(frozen=True)
class Row:
    """The result of reading one file, without its notes."""

    reason: str = ""
    """The reason why the file is left out; "" if it is kept."""
    sha256: str = ""
    fingerprint: str = ""
    length: int = 0
    """Number of notes that are kept."""
    beats: int = 0
    instruments: str = ""
    read: int = 0
    """Number of notes in the file."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Numbers of notes that were left out, by reason."""
    changed: Mapping[str, int] = field(default_factory=dict)


# The suffix of a file, which selects its reader, and its content or the error of loading it.
File = tuple[str, bytes | Exception]
# What reading gives: the facts, and the notes if they are kept.
Outcome = tuple[Row, NoteTable]
_NO_NOTES: NoteTable = np.empty(0, NOTE_DTYPE)


def left_out(reason: str) -> Outcome:
    """The outcome of a file that could not be read."""
    return Row(reason), _NO_NOTES


def read_piece(file: File, *, representation: Representation, filters: PieceFilters) -> Outcome:
    """Read the notes of a file; the row gives the reason if it is unreadable or filtered out.

    An `OSError` says that the folder of temporary files is full.
    """
    suffix, content = file
    try:
        if isinstance(content, Exception):
            raise content
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UnreadWarning)
            raw = _raw_notes(suffix, content)
            table, report = note_table(raw, representation)
    except Exception as error:  # a broken file can make a reader raise anything
        if isinstance(error, OSError) and is_named(error):
            raise  # the temporary folder is full: not the file's fault
        return left_out(_one_line(error))
    if any(issubclass(one.category, UnreadWarning) for one in caught):
        report.changed["ABC tunes with passages that cannot be read"] += 1
    reason = filters.reason_against(table, raw.is_drum.sum() / max(len(raw), 1))
    table = _NO_NOTES if reason else table
    row = Row(
        reason,
        hashlib.sha256(content).hexdigest(),
        "" if reason else fingerprint(table, representation.drums_code),
        length=len(table),
        beats=1 + int(table["beat"][-1]) if len(table) else 0,
        instruments=names_of_instruments(table, representation),
        read=report.notes,
        dropped=dict(report.dropped),
        changed=dict(report.changed),
    )
    return row, table


def _raw_notes(suffix: str, content: bytes) -> RawNotes:
    if suffix in MIDI_SUFFIXES:
        return read_midi_notes(content)
    with naming(Path("a temporary folder")):
        temporary = tempfile.TemporaryDirectory(prefix="mmt-")
    with temporary as folder:
        path = Path(folder) / f"piece{suffix}"
        with naming(path):
            path.write_bytes(content)
        try:
            return raw_notes(read(path))
        except Exception as error:
            # Remove the temporary path, so that the message is always the same.
            text = _one_line(error).replace(f"cannot read {path}: ", "").replace(folder, "")
            raise ValueError(text) from error


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()).removeprefix("cannot read MIDI data: ")
    if isinstance(error, (ValueError, OSError)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
