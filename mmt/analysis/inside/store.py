"""Read the activations of a corpus from disk: `ActivationStore`, and a PyTorch dataset over it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from mmt.analysis.inside.labels import LABELS
from mmt.analysis.intervals import Floats
from mmt.music.bounded import LARGEST_JSON, brief, parse_json, read_file

JOB = "job.json"


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
        self.job: dict[str, Any] = read_job(self.folder / JOB)
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
        """A label of all rows, (rows,); the names are in `mmt.analysis.inside.labels`."""
        if name not in LABELS:
            raise ValueError(f"there is no label {name!r}; choose among {', '.join(LABELS)}")
        if name == "chord" and self.job.get("format_version") == 1:
            raise ValueError(f"{self.folder} is of an older version of mmt, which recorded no chords; record it again")
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
        # HDF5 reads ascending rows without duplicates.
        unique, inverse = np.unique(wanted, return_inverse=True)
        parts = np.searchsorted(self._starts, unique, side="right") - 1
        found: list[npt.NDArray[Any]] = [self._dataset(self.paths[0], place)[:0]]
        for part in np.unique(parts):
            found.append(self._dataset(self.paths[part], place)[unique[parts == part] - self._starts[part]])
        return np.asarray(np.concatenate(found)[inverse])

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
            if not found.shape or len(found) != len(file["labels/piece"]):
                raise ValueError(f"{name} does not have a number for each row")
        except (OSError, LookupError, AttributeError, RuntimeError, ValueError) as error:
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


def read_job(path: Path) -> dict[str, Any]:
    """What the activations of a folder depend on, of its `job.json`."""
    try:
        job = parse_json(read_file(path, LARGEST_JSON))
        if not all(isinstance(job[name], list) for name in ("places", "names")):
            raise TypeError("places and names are lists")
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} does not describe a recording ({brief(error)})") from error
    return dict(job)
