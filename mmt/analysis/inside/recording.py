"""Activations of a corpus on disk: a folder of HDF5 files with a row for each event of each piece, and labels for each row.

The folder holds `job.json` (what the activations depend on, and the names of the pieces) and `part-00000.h5`, … Each part holds
whole pieces: a dataset for each place, (rows, …), and a group `labels` with an int32 dataset (rows,) for each label:

| label | |
|---|---|
| `piece`, `event` | index of the piece, and of the event in it |
| `context` | how many earlier events were read before this one |
| `type` | code of the type |
| `beat`, `position` | beat of the piece from 0, and step within the beat from 0 |
| `pitch`, `pitch_class` | MIDI number, and the same modulo 12 (-1 for drums) |
| `duration`, `instrument` | steps, and index in the instruments of the representation |
| `key` | key of the piece: 0 … 11 are C major … B major, 12 … 23 C minor … B minor; see `key_of` |

Labels that an event has not (the pitch of start-of-song) are -1. Pieces that exceed the context are read in windows that overlap
(see `mmt.analysis.loss_windows`); the row of an event is from the first window that reads it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from mmt.analysis.ledger import fingerprint
from mmt.analysis.loss_windows import find_stride, loss_windows
from mmt.analysis.pieces import check_each, check_model, check_same_representation
from mmt.corpus.storage import Corpus
from mmt.model.inside import edited
from mmt.model.inside.places import all_places, is_by_key
from mmt.music.atomic import naming, replacing
from mmt.music.bounded import LARGEST_JSON, brief, parse_json, read_file
from mmt.representation.codes import BEAT, DURATION, INSTRUMENT, NOTE, PITCH, POSITION, TYPE, Events, Representation
from mmt.representation.grammar import check_piece
from mmt.sampling.model import Model

Floats = npt.NDArray[np.float64]
JOB = "job.json"
LABELS = (
    *("piece", "event", "context", "type", "beat", "position"),
    *("pitch", "pitch_class", "duration", "instrument", "key"),
)
# A part is finished at the end of the piece that brings it to this many rows.
_ROWS = 16384
# Bytes that HDF5 needs beside the numbers, for the file and for each array.
_METADATA = 2**16
# Krumhansl and Kessler (1982), ratings of the twelve tones after a key was established, from the tonic.
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


@torch.inference_mode()
def read_places(model: Model, codes: Tensor, places: Sequence[str]) -> dict[str, Tensor]:
    """The activations at places for codes (batch, length, 6), with the batch as the first axis."""
    found: dict[str, Tensor] = {}

    def recorder(place: str) -> Callable[[Tensor], Tensor]:
        def keep(activation: Tensor) -> Tensor:
            found[place] = activation.clone()
            return activation

        return keep

    network = edited(model.network, {place: recorder(place) for place in places})
    if any(place.startswith("logits.") for place in places):
        network(codes)
    else:
        network.hidden(codes)
    return found


def record(
    model: Model,
    pieces: Any,
    places: Sequence[str],
    folder: str | os.PathLike[str],
    *,
    dtype: str = "float32",
    batch_size: int = 8,
    stride: int | None = None,
    progress: bool = False,
) -> ActivationStore:
    """Write the activations of pieces to a folder, or continue there; see `mmt.activations`, which calls this."""
    _check(model, places, dtype, batch_size)
    folder, stride = Path(folder), find_stride(model, stride)
    names, sha256, listed = _listed(model, pieces)
    job = {
        "format_version": 1,
        "model": fingerprint(model),
        "pieces": sha256,
        "places": list(places),
        "dtype": dtype,
        "stride": stride,
        "names": names,
    }
    _open_job(folder, job)
    parts = _finished(folder)
    done = parts[-1][1] if parts else 0
    bar = tqdm(listed(done), total=len(names), initial=done, unit=" pieces", desc="Activations", disable=not progress)
    remaining = enumerate(bar, start=done)
    for piece in remaining:
        path = folder / f"part-{len(_finished(folder)):05d}.h5"
        unfinished = path.with_suffix(".unfinished")
        with naming(path), h5py.File(unfinished, "w") as file:
            part = _Part(file, model, places, dtype, piece[0])
            part.add(*piece, batch_size=batch_size, stride=stride)
            while part.rows < _ROWS and (following := next(remaining, None)):
                part.add(*following, batch_size=batch_size, stride=stride)
            file.attrs["first_piece"], file.attrs["stop_piece"] = part.first, part.stop
        os.replace(unfinished, path)
    return ActivationStore(folder)


def key_of(events: Events, representation: Representation) -> int:
    """The key of a piece by the algorithm of Krumhansl and Schmuckler, -1 without pitched notes.

    The key whose profile r_k (Krumhansl and Kessler 1982, rotated to the tonic) has the largest Pearson correlation with the
    durations d_c of the notes of each pitch class c, summed over the whole piece. 0 … 11: major keys from C; 12 … 23: minor keys.

    Examples
    --------
    >>> from mmt.representation.codes import PAPER
    >>> scale = [[3, 1 + place, 1, 1 + 60 + step, 12, 1] for place, step in enumerate([0, 2, 4, 5, 7, 9, 11, 12])]
    >>> key_of(np.array(scale), PAPER)
    0
    """
    notes = events[(events[:, TYPE] == NOTE) & (events[:, INSTRUMENT] != representation.drums_code)]
    if not len(notes):
        return -1
    lengths = np.array(representation.durations)[notes[:, DURATION] - 1]
    weights = np.bincount((notes[:, PITCH] - 1) % 12, lengths, 12)
    profiles = [np.roll(profile, tonic) for profile in (_MAJOR, _MINOR) for tonic in range(12)]
    if weights.std() == 0:
        return -1
    return int(np.argmax([np.corrcoef(weights, profile)[0, 1] for profile in profiles]))


class ActivationStore:
    """The activations of a folder that `mmt.activations(…, output=folder)` has written.

    `len(store)` is the number of rows; `store.read(place, rows)` reads some of them, `store.labels(name)` a label of all.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if not (self.folder / JOB).exists():
            raise ValueError(
                f"{folder} has no {JOB}; write it with mmt.activations(model, corpus, output={str(folder)!r})"
            )
        self.job: dict[str, Any] = _read_job(self.folder / JOB)
        """What the activations depend on."""
        self.paths = sorted(self.folder.glob("part-*.h5"))
        self._files: dict[Path, h5py.File] = {}
        self._process = os.getpid()
        self._starts = np.cumsum([0, *(len(self._dataset(path, "labels/piece")) for path in self.paths)])

    @property
    def places(self) -> list[str]:
        """The places that were recorded."""
        return list(self.job["places"])

    @property
    def names(self) -> list[str]:
        """The names of the pieces, by the label `piece`."""
        return list(self.job["names"])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_files": {}}

    def labels(self, name: str) -> npt.NDArray[np.int32]:
        """A label of all rows, (rows,); the names are in the docstring of the module."""
        if name not in LABELS:
            raise ValueError(f"there is no label {name!r}; choose among {', '.join(LABELS)}")
        return np.concatenate(
            [self._dataset(path, f"labels/{name}")[:] for path in self.paths] or [np.zeros(0, np.int32)]
        )

    def rows_of(self, pieces: Iterable[int] | None) -> npt.NDArray[np.int64]:
        """The indices of the rows of some pieces; None: of all."""
        return np.arange(len(self)) if pieces is None else np.flatnonzero(np.isin(self.labels("piece"), list(pieces)))

    def read(self, place: str, rows: npt.ArrayLike | slice = slice(None)) -> npt.NDArray[Any]:
        """The activations at a place, (rows, …): of all rows, a slice, or row numbers in any order."""
        if place not in self.places:
            raise ValueError(f"{place!r} was not recorded; {self.folder} has {', '.join(self.places)}")
        if isinstance(rows, slice) and rows == slice(None):
            return np.concatenate([self._dataset(path, place)[:] for path in self.paths])
        wanted = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows, np.int64)
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < len(self)):
            raise ValueError(f"a row of {wanted.min()} … {wanted.max()} is out of range; there are {len(self)}")
        first = self._dataset(self.paths[0], place)
        found = np.empty((len(wanted), *first.shape[1:]), first.dtype)
        # HDF5 reads ascending rows without doubles.
        unique, inverse = np.unique(wanted, return_inverse=True)
        parts = np.searchsorted(self._starts, unique, side="right") - 1
        pieces = [
            self._dataset(self.paths[part], place)[unique[parts == part] - self._starts[part]]
            for part in np.unique(parts)
        ]
        if pieces:
            found[:] = np.concatenate(pieces)[inverse]
        return found

    def mean(self, place: str) -> Floats:
        """The mean activation over all rows, in float64: what `mmt.inside.replace` needs for mean ablation."""
        total = sum(self._dataset(path, place)[:].astype(np.float64).sum(0) for path in self.paths)
        return np.asarray(total / len(self))

    def dataset(
        self, place: str, label: str | None = None, *, pieces: Iterable[int] | None = None
    ) -> ActivationDataset:
        """The rows of some pieces (default: all) as a PyTorch dataset, with a label or without."""
        return ActivationDataset(self, place, label, pieces)

    def _dataset(self, path: Path, name: str) -> h5py.Dataset:
        """An array of a part; one whose numbers are in another file, or are more than the file has, is refused."""
        if os.getpid() != self._process:
            # A worker of a DataLoader must open its own.
            self._files, self._process = {}, os.getpid()
        try:
            if path not in self._files:
                if not path.is_file():
                    raise ValueError("it is not a file")
                self._files[path] = h5py.File(path, "r")
            file = self._files[path]
            found = file[name]
            is_own = found.file == file and not found.is_virtual and found.external is None
            if not is_own or found.dtype.kind not in "fi" or found.nbytes > path.stat().st_size:
                raise ValueError(f"{name} is no array of this file")
        except (OSError, LookupError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} is no part of a recording, or is damaged ({brief(error)})") from error
        return found


class ActivationDataset(Dataset[Any]):
    """Rows of a store for a `torch.utils.data.DataLoader`: activations (…), or pairs of activations and a label."""

    def __init__(self, store: ActivationStore, place: str, label: str | None, pieces: Iterable[int] | None) -> None:
        self.store, self.place = store, place
        self.rows = store.rows_of(pieces)
        self.values = None if label is None else torch.from_numpy(store.labels(label)[self.rows].astype(np.int64))
        store.read(place, slice(0, 0))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """Several rows in one read, which a `DataLoader` asks for."""
        found = torch.from_numpy(self.store.read(self.place, self.rows[indices])).float()
        return list(found) if self.values is None else list(zip(found, self.values[indices], strict=True))


@dataclass
class _Part:
    """A file that is being written."""

    file: h5py.File
    model: Model
    places: Sequence[str]
    dtype: str
    first: int
    rows: int = 0
    stop: int = field(init=False)
    reserved: int = _METADATA
    """Bytes of disk for all that is written so far."""

    def add(self, index: int, events: Events, *, batch_size: int, stride: int) -> None:
        """Add the rows of piece `index`."""
        representation = self.model.representation
        labels = _labels(events, index, representation)
        windows = _windows(self.model, events, stride)
        while batch := list(islice(windows, batch_size)):
            codes = np.zeros((len(batch), max(len(row) for row, _, _ in batch), events.shape[1]), np.int64)
            for number, (row, _, _) in enumerate(batch):
                codes[number, : len(row)] = row
            found = read_places(self.model, torch.from_numpy(codes).to(self.model.device), self.places)
            for number, (_, read, rows) in enumerate(batch):
                for place in self.places:
                    self._append(place, found[place][number][torch.from_numpy(read)].cpu().numpy().astype(self.dtype))
                labels["context"][rows] = read
        for name, values in labels.items():
            self._append(f"labels/{name}", values)
        self.rows, self.stop = self.rows + len(events), index + 1

    def _append(self, name: str, values: npt.NDArray[Any]) -> None:
        if name not in self.file:
            shape = values.shape[1:]
            chunk = max(1, min(1024, 2**18 // max(1, int(np.prod(shape)))))
            # The last chunk is written whole, and chunks are listed.
            self.reserved += chunk * values.dtype.itemsize * int(np.prod(shape)) + _METADATA
            self.file.create_dataset(name, (0, *shape), values.dtype, maxshape=(None, *shape), chunks=(chunk, *shape))
        # HDF5 crashes the process on a full disk, so the disk is reserved before each write.
        self.reserved += values.nbytes + values.nbytes // 64
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self.file.id.get_vfd_handle(), 0, self.reserved)
        dataset = self.file[name]
        dataset.resize(len(dataset) + len(values), axis=0)
        dataset[len(dataset) - len(values) :] = values


def _windows(
    model: Model, events: Events, stride: int
) -> Iterator[tuple[Events, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """The windows of a piece: events, the places of events that no earlier window has read, and their indices in the piece."""
    if events[-1, TYPE] < NOTE:
        yield events, np.arange(len(events)), np.arange(len(events))
        return
    opening, windows, rows = loss_windows(model, events, stride, "the piece", targets=0)
    for window, row in zip(windows, rows, strict=True):
        read = np.arange(opening + window.counted - window.start if window.counted else 0, len(row))
        yield row, read, np.where(read < opening, read, read + window.start)


def _labels(events: Events, index: int, representation: Representation) -> dict[str, npt.NDArray[np.int32]]:
    notes = events[:, TYPE] == NOTE
    pitched = notes & (events[:, INSTRUMENT] != representation.drums_code)
    durations = np.array([-1, *representation.durations])

    def of_notes(values: npt.NDArray[Any], kept: npt.NDArray[np.bool_] = notes) -> npt.NDArray[Any]:
        return np.where(kept, values, -1)

    found = {
        "piece": np.full(len(events), index),
        "event": np.arange(len(events)),
        "context": np.zeros(len(events)),
        "type": events[:, TYPE],
        "beat": of_notes(events[:, BEAT] - 1),
        "position": of_notes(events[:, POSITION] - 1),
        "pitch": of_notes(events[:, PITCH] - 1),
        "pitch_class": of_notes((events[:, PITCH] - 1) % 12, pitched),
        "duration": of_notes(durations[events[:, DURATION]]),
        "instrument": events[:, INSTRUMENT] - 1,
        "key": np.full(len(events), key_of(events, representation)),
    }
    return {name: values.astype(np.int32) for name, values in found.items()}


def _listed(model: Model, pieces: Any) -> tuple[list[str], str, Callable[[int], Iterator[Events]]]:
    """The names of the pieces, a hash of them, and an iterator over those from a given one on."""
    check_model(model)
    if isinstance(pieces, Corpus):
        check_same_representation(model, pieces)
        corpus = pieces
        names = [piece.name for piece in corpus.pieces]
        return names, corpus.sha256, lambda done: (corpus[index] for index in range(done, len(corpus)))
    checked = check_each(pieces, lambda piece: check_piece(piece, complete=False, representation=model.representation))
    digest = hashlib.sha256()
    for piece in checked:
        digest.update(np.ascontiguousarray(piece).tobytes() + b"|")
    return [f"piece {index}" for index in range(len(checked))], digest.hexdigest(), lambda done: iter(checked[done:])


def _check(model: Model, places: Sequence[str], dtype: str, batch_size: int) -> None:
    check_model(model)
    known = all_places(model.network)
    if not places or (unknown := [place for place in places if place not in known]):
        raise ValueError(f"unknown place {(unknown if places else places)[:1]}; this network has {', '.join(known)}")
    if by_key := [place for place in places if is_by_key(place)]:
        raise ValueError(
            f"{by_key[0]} has no fixed size; read it piece by piece: mmt.activations(model, piece, [{by_key[0]!r}])"
        )
    if dtype not in ("float32", "float16"):
        raise ValueError(f"dtype is {dtype!r}; choose float32 or float16")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be at least 1")


def _open_job(folder: Path, job: dict[str, Any]) -> None:
    path = folder / JOB
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(f"{folder} is not empty and has no {JOB}; give a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished:
            unfinished.write_text(json.dumps(job, indent=1) + "\n", encoding="utf-8")
        return
    found = _read_job(path)
    if different := [name for name in job if found.get(name) != job[name]]:
        raise ValueError(f"{folder} holds activations of other {different[0].replace('_', ' ')}; give a new folder")


def _read_job(path: Path) -> dict[str, Any]:
    try:
        job = parse_json(read_file(path, LARGEST_JSON))
        if not all(isinstance(job[name], list) for name in ("places", "names")):
            raise TypeError("places and names are lists")
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} does not describe a recording ({brief(error)})") from error
    return dict(job)


def _finished(folder: Path) -> list[tuple[int, int]]:
    """The pieces of each finished part: first, and after the last."""
    found = []
    for path in sorted(folder.glob("part-*.h5")):
        with h5py.File(path, "r") as file:
            found.append((int(file.attrs["first_piece"]), int(file.attrs["stop_piece"])))
    return found
