"""Where the work of a preparation is done: this machine's cores, or a cluster, through joblib's backends."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

import joblib

BACKENDS = ("threading", "loky", "dask", "ray")
_CLUSTERS = {"dask": "distributed", "ray": "ray"}
_INSTALL = {"dask": "multitrack-music-transformer[cluster]", "ray": "ray"}

# What workers do takes tasks and gives back their results as they come, in any order.
Work = Callable[[Iterator[Any]], Generator[Any, None, None]]

# So many tasks for each worker at a time, where results come back by the list.
_TURN = 4


@contextmanager
def workers(jobs: int, backend: str | None, scheduler: str | None) -> Iterator[Work]:
    """Where joblib's tasks are done; it takes new ones as results are taken.

    Parameters
    ----------
    jobs : int
        How many at a time; -1 for one a core. A cluster uses what it has.
    backend : str, optional
        One of `BACKENDS`. Default: what `joblib.parallel_config` says around the call, else "threading" (each thread has
        a process of its own that reads files, so that this uses all cores).
    scheduler : str, optional
        The address of a cluster's scheduler. Default: the client that this process has; for ray also `RAY_ADDRESS`, or
        else this machine.

    Raises
    ------
    ValueError
        If a backend is unknown or its package is not installed; if there is no such cluster.
    """
    if backend is not None and backend not in BACKENDS:
        raise ValueError(f"backend {backend!r} is unknown; choose of {', '.join(BACKENDS)}")
    if scheduler is not None and backend not in _CLUSTERS:
        raise ValueError(
            f"scheduler {scheduler} is of no use to {backend or 'this machine'}; choose a backend of {', '.join(_CLUSTERS)}"
        )
    if jobs == 0:
        raise ValueError("jobs is 0; give at least 1, or -1 for one for each core")
    if backend is None:
        yield _as_they_come(jobs, prefer="threads")
        return
    with _cluster(backend, scheduler), joblib.parallel_config(backend=backend):
        yield _as_they_come(-1 if backend in _CLUSTERS else jobs)


def _as_they_come(jobs: int, **hints: str) -> Work:
    try:
        work: Work = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, **hints)
    except ValueError:
        # Ray's backend knows lists only.
        return partial(
            _in_turns, joblib.Parallel(n_jobs=jobs, batch_size=1, **hints), _TURN * joblib.effective_n_jobs(jobs)
        )
    return work


def _in_turns(parallel: joblib.Parallel, most: int, tasks: Iterator[Any]) -> Generator[Any, None, None]:
    while turn := list(islice(tasks, most)):
        yield from parallel(turn)


@contextmanager
def _cluster(backend: str, scheduler: str | None) -> Iterator[None]:
    if backend not in _CLUSTERS:
        yield
        return
    try:
        package = importlib.import_module(_CLUSTERS[backend])
    except ModuleNotFoundError as error:
        raise ValueError(f"backend {backend!r} needs a package: pip install '{_INSTALL[backend]}'") from error
    if backend == "ray":
        importlib.import_module("ray.util.joblib").register_ray()
        if package.is_initialized():
            yield
            return
        try:
            package.init(address=scheduler)
        except ConnectionError as error:
            raise ValueError(f"no ray cluster at {scheduler}: {error}") from error
        try:
            yield
        finally:
            package.shutdown()
    elif scheduler is None:
        try:
            package.get_client()
        except ValueError as error:
            raise ValueError("backend 'dask' has no cluster; give the address of its scheduler") from error
        yield
    else:
        with package.Client(scheduler):
            yield
