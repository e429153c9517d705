"""Read a data folder that was prepared by the original code.

It contains `notes/NAME.npy` or `notes/NAME.csv`, each (n, 5): beat, position, pitch, duration in steps, MIDI program;
`notes/encoding.json`, of which only the resolution is read; and `train-names.txt`, `valid-names.txt`, `test-names.txt`.
"""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np

from mmt.corpus.pieces import Piece, names_of_instruments
from mmt.corpus.splits import SPLITS, read_names
from mmt.music.bounded import LARGEST_JSON, brief, escaped, map_array, parse_json, read_file
from mmt.representation.codes import Representation
from mmt.representation.notes import LeftOutWarning, NoteTable, RawNotes, Report, note_table

FOLDER, ENCODING = "notes", "encoding.json"
_MOST = 2**31
_COLUMNS = ("beat", "position", "pitch", "duration", "program")


def is_original_folder(folder: Path) -> bool:
    """Whether a folder was prepared by the original code."""
    return (folder / FOLDER).is_dir() and any((folder / f"{split}-names.txt").exists() for split in SPLITS)


def read_original_folder(folder: Path) -> tuple[Representation, NoteTable, list[Piece]]:
    """Read the pieces listed in the `*-names.txt` files; a `LeftOutWarning` reports skipped pieces and dropped notes.

    A `ValueError` says that no piece is usable, or that the encoding is corrupt.
    """
    representation = _representation(folder)
    tables: list[NoteTable] = []
    pieces: list[Piece] = []
    report, skipped, offset = Report(), {}, 0
    for split in SPLITS:
        listed = folder / f"{split}-names.txt"
        # A list may name a file several times: it is one piece of the split.
        names = (Path(name.strip()).as_posix() for name in (read_names(listed) if listed.exists() else ()))
        for name in dict.fromkeys(names):
            try:
                path = _find(folder / FOLDER, name)
                notes, account = _read_notes(path, representation)
            except (ValueError, OSError, EOFError, OverflowError) as error:
                skipped[escaped(name)] = brief(error)
                continue
            report += account
            facts = len(notes), 1 + int(notes["beat"][-1]), names_of_instruments(notes, representation)
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            pieces.append(Piece(escaped(name), offset, *facts, split, folder.name, "", sha256))
            tables.append(notes)
            offset += len(notes)
    if not pieces:
        reason = f"; the first, {brief(min(skipped))}: {skipped[min(skipped)]}" if skipped else ""
        raise ValueError(f"{folder}: none of {len(skipped)} pieces is usable{reason}")
    messages = []
    if skipped:
        name, reason = next(iter(skipped.items()))
        messages.append(f"{len(skipped)} of {len(skipped) + len(pieces)} pieces skipped; the first, {name}: {reason}")
    if report.dropped.total():
        messages.append(str(report))
    if messages:
        warnings.warn(f"{folder}: {'; '.join(messages)}", LeftOutWarning, stacklevel=3)
    return representation, np.concatenate(tables), pieces


def _representation(folder: Path) -> Representation:
    """The paper's representation with the resolution of the folder."""
    path = folder / FOLDER / ENCODING
    if not path.exists():
        return Representation()
    content = read_file(path, LARGEST_JSON)
    try:
        resolution = parse_json(content)["resolution"]
        slides = Representation.slides()
        return slides if resolution == slides.resolution else Representation(resolution=resolution)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is corrupt: it is not JSON with a resolution ({brief(error)})") from error


def _find(folder: Path, name: str) -> Path:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError("a name of a file outside the folder")
    for suffix in (".npy", ".csv"):
        # Not `with_suffix`, which would cut a name that contains a dot.
        if (path := folder / f"{name}{suffix}").exists():
            return path
    raise FileNotFoundError("neither .npy nor .csv")


def _read_notes(path: Path, representation: Representation) -> tuple[NoteTable, Report]:
    if path.suffix == ".npy":
        notes = map_array(path)
    else:
        text = read_file(path).decode("utf-8")
        header = int(not text[:1].lstrip("-").isdigit())
        notes = np.loadtxt(text.splitlines(), np.int64, delimiter=",", skiprows=header, ndmin=2)
    if notes.ndim != 2 or notes.shape[1] != len(_COLUMNS) or notes.dtype.kind not in "iu":
        raise ValueError(f"{notes.dtype} {notes.shape}, not integers (n, 5): {', '.join(_COLUMNS)}")
    if notes.size and (notes.min() < -_MOST or notes.max() > _MOST):
        raise ValueError("a number is not between -2^31 and 2^31")
    beat, position, pitch, duration, program = notes.astype(np.int64).T
    raw = RawNotes(
        resolution=representation.resolution,
        onset=beat * representation.resolution + position,
        duration=duration,
        pitch=pitch,
        program=program,
        is_drum=np.zeros(len(notes), bool),
    )
    table, report = note_table(raw, representation)
    if not len(table):
        raise ValueError(f"no usable notes ({report})")
    return table, report
