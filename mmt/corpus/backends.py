"""Workers that read the files of a preparation, through joblib: the cores of this machine, or a Dask cluster."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import joblib

from mmt.representation.arguments import whole

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
    if (jobs := whole("jobs", jobs)) == 0:
        raise ValueError("jobs is 0; give at least 1, or -1 for one for each core")
    options: dict[str, Any] = {"return_as": "generator_unordered", "batch_size": 1}
    if backend is None:
        yield joblib.Parallel(jobs, prefer="threads", **options)
    else:
        cluster = _cluster(scheduler) if backend == "dask" else nullcontext()
        with cluster, joblib.parallel_config(backend=backend):
            yield joblib.Parallel(-1 if backend == "dask" else jobs, **options)


def _cluster(scheduler: str | None) -> AbstractContextManager[object]:
    """The connection to a Dask cluster while the context lasts."""
    try:
        distributed = importlib.import_module("distributed")
    except ModuleNotFoundError as error:
        raise ValueError("backend 'dask' needs a package: pip install 'dask[distributed]'") from error
    if scheduler is not None:
        connection: AbstractContextManager[object] = distributed.Client(scheduler)
        return connection
    try:
        distributed.get_client()
    except ValueError as error:
        raise ValueError("backend 'dask' has no cluster; give the address of its scheduler") from error
    return nullcontext()
