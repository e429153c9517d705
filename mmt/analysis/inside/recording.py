"""Activations of a corpus on disk: a folder of HDF5 files with a row for each event of each piece, and labels for each row.

The folder holds `job.json` (what the activations depend on, and the names of the pieces) and `part-00000.h5`, … Each part holds
whole pieces: a dataset for each place, (rows, …), and a group `labels` with an int32 dataset (rows,) for each label (see
`mmt.analysis.inside.labels`). `mmt.analysis.inside.store.ActivationStore` reads the folder.

Pieces that exceed the context are read in windows that overlap (see `mmt.analysis.loss_windows`); the row of an event is from
the first window that reads it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from mmt.analysis.inside.labels import labels_of
from mmt.analysis.inside.store import JOB, ActivationStore, read_job
from mmt.analysis.ledger import fingerprint
from mmt.analysis.loss_windows import find_stride, loss_windows
from mmt.analysis.pieces import Pieces, named_pieces
from mmt.corpus.storage import Corpus
from mmt.corpus.windows import collate
from mmt.model.inside import edited
from mmt.model.inside.edits import unknown_place
from mmt.model.inside.places import all_places, is_by_key
from mmt.music.atomic import replacing
from mmt.representation.arguments import whole
from mmt.representation.codes import NOTE, TYPE, Events
from mmt.representation.grammar import check_piece
from mmt.sampling.model import Model

# A part is finished at the end of the piece that brings it to this many rows.
_ROWS = 16384
# Bytes that HDF5 needs beside the numbers, for the file and for each array.
_METADATA = 2**16


@torch.inference_mode()
def read_places(model: Model, codes: Tensor, places: Sequence[str]) -> dict[str, Tensor]:
    """The activations at places for codes (batch, length, 6), with the batch as the first axis."""
    found: dict[str, Tensor] = {}

    def keep(place: str, activation: Tensor) -> Tensor:
        found[place] = activation.clone()
        return activation

    network = edited(model.network, {place: partial(keep, place) for place in places})
    if any(place.startswith("logits.") for place in places):
        network(codes)
    else:
        network.hidden(codes)
    return found


def record(
    model: Model,
    pieces: Pieces,
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
    places, folder, stride = list(places), Path(folder), find_stride(model, stride)
    check = partial(check_piece, complete=False, representation=model.representation)
    names, found = named_pieces(model, pieces, check)
    sha256 = found.sha256 if isinstance(found, Corpus) else _hash_of(found)
    job = {
        "format_version": 2, "model": fingerprint(model), "pieces": sha256, "places": places, "dtype": dtype,
        "stride": stride, "names": names,
    }  # fmt: skip
    _open_job(folder, job)
    finished = ActivationStore(folder)
    parts = len(finished.paths)
    done = int(finished.labels("piece")[-1]) + 1 if len(finished) else 0
    left = (found[index] for index in range(done, len(names)))
    bar = tqdm(left, total=len(names), initial=done, unit=" pieces", desc="Activations", disable=not progress)
    remaining = enumerate(bar, start=done)
    for first in remaining:
        with _new_part(folder / f"part-{parts:05d}.h5") as file:
            part, rows = _Part(file), 0
            for index, events in chain([first], remaining):
                for name, values in _arrays(model, events, index, places, dtype, batch_size, stride):
                    part.append(name, values)
                rows += len(events)
                if rows >= _ROWS:
                    break
            file.attrs["first_piece"], file.attrs["stop_piece"] = first[0], index + 1
        parts += 1
    return ActivationStore(folder)


def _hash_of(pieces: list[Events]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(np.ascontiguousarray(piece).tobytes() + b"|")
    return digest.hexdigest()


def _arrays(
    model: Model, events: Events, index: int, places: list[str], dtype: str, batch_size: int, stride: int
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """The activations of piece `index`, window by window, and its labels, each with the name of its dataset."""
    labels, windows = labels_of(events, index, model.representation), _windows(model, events, stride)
    while batch := list(islice(windows, batch_size)):
        found = read_places(model, collate([row for row, _, _ in batch]).to(model.device).codes, places)
        for number, (_, read, rows) in enumerate(batch):
            for place in places:
                yield place, found[place][number][torch.from_numpy(read)].cpu().numpy().astype(dtype)
            labels["context"][rows] = read
    for name, values in labels.items():
        yield f"labels/{name}", values


@contextmanager
def _new_part(path: Path) -> Iterator[h5py.File]:
    """A file that appears at `path` when the context ends without an error."""
    with replacing(path) as unfinished:
        file = h5py.File(unfinished, "w")
        try:
            yield file
        except BaseException:
            with suppress(RuntimeError):  # HDF5 writes what it holds, for which there may be no room
                file.close()
            raise
        file.close()


@dataclass
class _Part:
    """A file that is being written."""

    file: h5py.File
    reserved: int = _METADATA
    """Bytes of disk for all that is written so far."""

    def append(self, name: str, values: npt.NDArray[Any]) -> None:
        """Append rows to a dataset."""
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
    for window, row in loss_windows(model, events, stride, "the piece", targets=0):
        read = np.arange(window.read_before, len(row))
        yield row, read, window.indices(read)


def _check(model: Model, places: Sequence[str], dtype: str, batch_size: int) -> None:
    known = all_places(model.network)
    for place in places:
        if place not in known:
            raise ValueError(unknown_place(place, model.network))
        if is_by_key(place):
            raise ValueError(
                f"{place} has no fixed size; read it piece by piece: mmt.activations(model, piece, [{place!r}])"
            )
    if dtype not in ("float32", "float16"):
        raise ValueError(f"dtype is {dtype!r}; choose float32 or float16")
    whole("batch_size", batch_size, least=1)


def _open_job(folder: Path, job: dict[str, Any]) -> None:
    path = folder / JOB
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(f"{folder} is not empty and has no {JOB}; give a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished:
            unfinished.write_text(json.dumps(job, indent=1) + "\n", encoding="utf-8")
        return
    found = read_job(path)
    if different := [name for name in job if found.get(name) != job[name]]:
        raise ValueError(f"{folder} holds activations of other {different[0].replace('_', ' ')}; give a new folder")
