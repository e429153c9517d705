"""Workers that read the files of a preparation, through joblib: the cores of this machine, or a Dask cluster."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import joblib

BACKENDS = ("threading", "loky", "dask")

# Runs tasks and yields their results as they finish, in any order.
Work = Callable[[Iterator[Any]], Generator[Any, None, None]]


@contextmanager
def workers(jobs: int, backend: str | None, scheduler: str | None) -> Iterator[Work]:
    """A function that runs joblib tasks in parallel; it starts new tasks as results are consumed.

    Without a backend it is that of the surrounding `joblib.parallel_config`, else "threading": each thread has its own process
    that reads files, so threads use all cores. A Dask cluster uses all of its workers, whatever `jobs` is; without the address
    of a scheduler it is that of the current `distributed.Client`.
    """
    if backend is not None and backend not in BACKENDS:
        raise ValueError(f"backend {backend!r} is unknown; choose one of {', '.join(BACKENDS)}")
    if scheduler is not None and backend != "dask":
        raise ValueError(f"scheduler {scheduler} needs backend 'dask', and the backend is {backend!r}; choose 'dask'")
    if jobs == 0:
        raise ValueError("jobs is 0; give at least 1, or -1 for one for each core")
    if backend is None:
        yield _parallel(jobs, prefer="threads")
    elif backend == "dask":
        with _cluster(scheduler), joblib.parallel_config(backend="dask"):
            yield _parallel(-1)
    else:
        with joblib.parallel_config(backend=backend):
            yield _parallel(jobs)


def _parallel(jobs: int, **hints: str) -> Work:
    work: Work = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, **hints)
    return work


@contextmanager
def _cluster(scheduler: str | None) -> Iterator[None]:
    try:
        distributed = importlib.import_module("distributed")
    except ModuleNotFoundError as error:
        raise ValueError("backend 'dask' needs a package: pip install 'dask[distributed]'") from error
    if scheduler is not None:
        with distributed.Client(scheduler):
            yield
        return
    try:
        distributed.get_client()
    except ValueError as error:
        raise ValueError("backend 'dask' has no cluster; give the address of its scheduler") from error
    yield
