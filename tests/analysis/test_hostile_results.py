"""Files of results (answers, statistics, autoencoders, recordings) are read, or refused with an error of one line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from limited import in_limits

from mmt.analysis.attention.report import read_statistics
from mmt.analysis.inside.autoencoder import CONFIG, WEIGHTS, SparseAutoencoder, load_autoencoder
from mmt.analysis.inside.store import JOB, ActivationStore
from mmt.analysis.ledger import Ledger
from mmt.analysis.listening import read_answers

DEEP = "[" * 100_000


def refused(read: Callable[[], object], path: Path) -> str:
    with pytest.raises(ValueError, match=path.name) as caught:
        read()
    message = str(caught.value)
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < 1000
    return message


KEY = {"study": "s", "first": "a", "second": "b", "pairs": [{"A": "a", "B": "b"}, {"A": "b", "B": "a"}]}


def test_answers_are_counted(tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text(json.dumps(KEY))
    given = [{"pair": 0, "choice": "A"}, {"pair": 1, "choice": "A"}]
    (tmp_path / "a.json").write_text(json.dumps({"study": "s", "answers": given}))
    found = read_answers([tmp_path / "a.json"], tmp_path / "key.json")
    assert (found.preferred_first, found.preferred_second) == (1, 1)


@pytest.mark.parametrize("pair", [1.0, True, [1], None, 10**30, -1, "0"])
def test_answers_of_no_pair_are_refused(tmp_path: Path, pair: Any) -> None:
    (tmp_path / "key.json").write_text(json.dumps(KEY))
    (tmp_path / "a.json").write_text(json.dumps({"study": "s", "answers": [{"pair": pair, "choice": "A"}]}))
    refused(lambda: read_answers([tmp_path / "a.json"], tmp_path / "key.json"), tmp_path / "a.json")


@pytest.mark.parametrize("content", [DEEP, "null", '{"study": "\\u001b[2J%s", "answers": []}' % ("x" * 9000), "\0"])
def test_answers_of_another_form_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "key.json").write_text(json.dumps(KEY))
    (tmp_path / "a.json").write_text(content)
    refused(lambda: read_answers([tmp_path / "a.json"], tmp_path / "key.json"), tmp_path / "a.json")


@pytest.mark.parametrize(
    "change", [DEEP, {"pairs": 5}, {"pairs": [5]}, {"pairs": [{"A": "a", "B": "c"}]}, {"first": [1]}]
)
def test_an_invalid_key_is_refused(tmp_path: Path, change: Any) -> None:
    (tmp_path / "key.json").write_text(change if isinstance(change, str) else json.dumps(KEY | change))
    refused(lambda: read_answers([], tmp_path / "key.json"), tmp_path / "key.json")


@pytest.mark.parametrize(
    "change",
    [
        DEEP,
        "null",
        {"d_in": 10**5, "d_sae": 10**5},
        {"d_in": 2**70},
        {"k": 1.5},
        {"k": 10**9},
        {"metadata": [1]},
        {"architecture": "\x1b[2J" * 1000},
        lambda weights: {name: value.to(torch.int64) for name, value in weights.items()},
        lambda weights: {name: value * torch.nan for name, value in weights.items()},
        lambda weights: weights | {"x\n\x1b" * 2000: torch.zeros(1)},
    ],
)
def test_an_invalid_autoencoder_is_refused(tmp_path: Path, change: Any) -> None:
    folder = tmp_path / "autoencoder"
    SparseAutoencoder(8, 16, 4, place="x").save(folder)
    load_autoencoder(folder)
    if callable(change):
        safetensors.torch.save_file(change(safetensors.torch.load_file(folder / WEIGHTS)), folder / WEIGHTS)
    else:
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(change if isinstance(change, str) else json.dumps(config | change))
    refused(lambda: load_autoencoder(folder), folder)


@pytest.mark.parametrize(
    "arrays",
    [
        b"",
        b"PK\3\4",
        b"\x80\4K.",
        {"a": np.zeros(1)},
        {"relative.beat.x": np.zeros(1), "expected.a.b": np.zeros(1)},
        {"relative.beat.x": np.array([{}], object)},
        {"relative.beat.x": np.zeros(2**25)},
    ],
)
def test_invalid_statistics_are_refused(tmp_path: Path, arrays: Any) -> None:
    path = tmp_path / "statistics.npz"
    if isinstance(arrays, bytes):
        path.write_bytes(arrays)
    else:
        np.savez_compressed(path, **arrays)
    refused(lambda: read_statistics(path), path)


@pytest.mark.parametrize("content", [DEEP + "\n", '{"a": 1}\n[[1], 2]\n', "5\n", "\xff\n", "my notes", "\0"])
def test_a_file_that_is_no_ledger_is_refused_and_kept(tmp_path: Path, content: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(content, encoding="latin-1")
    refused(lambda: Ledger(path, {"a": 1}), path)
    assert path.read_text(encoding="latin-1") == content


def test_a_ledger_whose_first_line_is_incomplete_begins_again(tmp_path: Path) -> None:
    for content in ("", '{"a": '):
        (tmp_path / "a").write_text(content)
        Ledger(tmp_path / "a", {"a": 1}).add("k", 2)
        assert Ledger(tmp_path / "a", {"a": 1})["k"] == 2


def external(file: h5py.File, secret: Path) -> None:
    file.create_dataset("labels/piece", (4,), np.int32, external=[(str(secret), 0, 16)])


def link(file: h5py.File, secret: Path) -> None:
    file["labels/piece"] = h5py.ExternalLink(str(secret), "d")


def link_of_the_group(file: h5py.File, secret: Path) -> None:
    file["labels"] = h5py.ExternalLink(str(secret), "labels")


def virtual(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout((4,), np.int32)
    layout[:] = h5py.VirtualSource(str(secret), "d", (4,))
    file.create_virtual_dataset("labels/piece", layout)


def huge(file: h5py.File, secret: Path) -> None:
    file.create_dataset("labels/piece", (10**10,), np.int32, chunks=(1000,), fillvalue=0)


def text(file: h5py.File, secret: Path) -> None:
    file.create_dataset("labels/piece", (4,), h5py.string_dtype())


def nothing(file: h5py.File, secret: Path) -> None:
    file.create_group("labels/piece")


@pytest.mark.parametrize("make", [external, link, link_of_the_group, virtual, huge, text, nothing])
def test_a_recording_cannot_read_other_files_or_reserve_memory(tmp_path: Path, make: Callable[..., None]) -> None:
    secret, folder = tmp_path / "secret.h5", tmp_path / "recording"
    with h5py.File(secret, "w") as file:
        file["d"] = file["labels/piece"] = np.arange(4, dtype=np.int32)
    folder.mkdir()
    (folder / JOB).write_text('{"places": ["x"], "names": ["a"]}')
    with h5py.File(folder / "part-000000.h5", "w") as file:
        make(file, secret)
    refused(lambda: ActivationStore(folder), folder / "part-000000.h5")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(folder / JOB, other)
    shutil.copy(secret, other / "part-000000.h5")
    assert len(ActivationStore(other)) == 4


def cycle(file: h5py.File) -> None:
    file["x"], file["y"] = h5py.SoftLink("/y"), h5py.SoftLink("/x")


def fewer(file: h5py.File) -> None:
    file["x"] = np.zeros((3, 2), np.float32)


def single(file: h5py.File) -> None:
    file["x"] = 1.0


@pytest.mark.parametrize("make", [cycle, fewer, single])
def test_a_recording_without_numbers_for_each_row_is_refused(tmp_path: Path, make: Callable[..., None]) -> None:
    (tmp_path / JOB).write_text('{"places": ["x"], "names": ["a"]}')
    with h5py.File(tmp_path / "part-000000.h5", "w") as file:
        file["labels/piece"] = np.zeros(4, np.int32)
        make(file)
    refused(lambda: ActivationStore(tmp_path).read("x"), tmp_path / "part-000000.h5")


@pytest.mark.parametrize("content", [DEEP, "[]", '{"places": 5, "names": []}', "\0"])
def test_an_invalid_description_of_a_recording_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / JOB).write_text(content)
    refused(lambda: ActivationStore(tmp_path), tmp_path / JOB)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the disk cannot be reserved")
def test_a_full_disk_ends_a_recording_with_one_line(tmp_path: Path) -> None:
    code = """
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
# The first leaves no room for the head of the file.
for size in (1200, 2**19):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        mmt.activations(mmt.new_model("tiny"), corpus, output=sys.argv[1] + "/recording")
    except OSError as error:
        print(error)
"""
    imports = "import mmt; from mmt.corpus.prepare import prepare\n"
    imports += "from mmt.corpus.storage import Corpus; from pathlib import Path; import sys; tiny = Path('data/tiny')\n"
    imports += "prepare(sorted(tiny.glob('*.mid')), sys.argv[1] + '/corpus'); corpus = Corpus(sys.argv[1] + '/corpus')"
    lines = in_limits(code, str(tmp_path), imports=imports, seconds=60, memory=2**31).splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        f"[Errno 27] cannot write {tmp_path}/recording/part-00000.h5"
    ] * 2
    assert [path.name for path in (tmp_path / "recording").iterdir()] == [JOB]
