"""A Dask scheduler with two workers on this machine prepares the same corpus as a single process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import joblib
import pytest

from mmt.corpus.prepare import prepare

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two workers, three processes of their own, each in an empty folder."""
    folder = tmp_path_factory.mktemp("cluster")
    facts = folder / "scheduler.json"
    options = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(facts)]
    commands = [[sys.executable, "-m", "distributed.cli.dask_scheduler", *options, "--port", "0"]]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", *options, "--nthreads", "1"]
    commands += [[*worker, "--name", name] for name in ("one", "two")]
    processes = []
    for number, command in enumerate(commands):
        (folder / str(number)).mkdir()
        processes.append(
            subprocess.Popen(command, cwd=folder / str(number), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        while not facts.exists():
            assert processes[0].poll() is None
            time.sleep(0.05)
    yield json.loads(facts.read_text())["address"]
    for process in reversed(processes):
        process.terminate()
        process.wait()


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    folder = tmp_path_factory.mktemp("cluster") / "music"
    folder.mkdir()
    files = [file.read_bytes() for file in sorted(tiny.glob("*.mid"))]
    for number in range(300):
        whole = files[number % len(files)] + b"XXXX\0\0\0\3%03d" % number
        (folder / f"{number:03d}.mid").write_bytes(whole if number % 11 else whole[:200])
    return folder


def test_a_cluster_makes_the_same_corpus(music: Path, tmp_path: Path, scheduler: str) -> None:
    prepare([music], tmp_path / "alone")
    with distributed.Client(scheduler) as client:
        client.wait_for_workers(2, timeout=60)
    prepare([music], tmp_path / "cluster", backend="dask", scheduler=scheduler)
    assert content(tmp_path / "cluster") == content(tmp_path / "alone")
    # Both workers read files, and wrote nothing to their folders.
    with distributed.Client(scheduler) as client:
        worked = client.run(lambda dask_worker: dask_worker.state.executed_count)
    assert len(worked) == 2
    assert all(count > 0 for count in worked.values())


def test_an_existing_client_is_used(music: Path, tmp_path: Path, scheduler: str) -> None:
    prepare([music], tmp_path / "alone")
    with distributed.Client(scheduler):
        prepare([music], tmp_path / "named", backend="dask")
        with joblib.parallel_config(backend="dask"):
            prepare([music], tmp_path / "around", jobs=-1)
    for name in ("named", "around"):
        assert content(tmp_path / name) == content(tmp_path / "alone")


def test_a_missing_cluster_is_a_one_line_error(music: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="backend 'dask' has no cluster; give the address of its scheduler"):
        prepare([music], tmp_path / "corpus", backend="dask")


def test_a_missing_package_is_named(music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r"backend 'dask' needs a package: pip install 'dask"):
        prepare([music], tmp_path / "corpus", backend="dask", scheduler="tcp://127.0.0.1:1")
