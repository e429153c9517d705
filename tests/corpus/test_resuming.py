"""A preparation that was stopped, or whose reader crashed, resumes to the corpus of an undisturbed one."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import planted
import pytest
from limited import full_disk

import mmt
from mmt.corpus import assembly, shards
from mmt.corpus import prepare as preparation
from mmt.corpus.isolated import end_idle
from mmt.corpus.storage import Corpus

prepare = preparation.prepare


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """400 MIDI files, some of them broken: seven shards."""
    folder = tmp_path_factory.mktemp("many") / "music"
    folder.mkdir()
    files = [file.read_bytes() for file in sorted(tiny.glob("*.mid"))]
    for number in range(400):
        # Texts after the last track make them differ.
        whole = files[number % len(files)] + b"XXXX\0\0\0\3%03d" % number
        (folder / f"{number:03d}.mid").write_bytes(whole if number % 11 else whole[:200])
    return folder


@pytest.fixture(scope="module")
def undisturbed(many: Path) -> dict[str, bytes]:
    output = many.parent / "undisturbed"
    prepare([many], output)
    return content(output)


def test_the_corpus_does_not_depend_on_the_number_of_jobs(
    many: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    for backend in (None, "loky"):
        prepare([many], tmp_path / "corpus", jobs=2, backend=backend, overwrite=True)
        assert content(tmp_path / "corpus") == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_a_killed_preparation_resumes_with_its_finished_shards(
    many: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    output, parts = tmp_path / "corpus", tmp_path / ".corpus-parts"
    command = [sys.executable, "-c", "import sys, mmt; mmt.prepare([sys.argv[1]], sys.argv[2])", str(many), str(output)]
    killed = 0
    for finished in (1, 3, 5):
        process = subprocess.Popen(command)
        while process.poll() is None and len(list(parts.glob("*.shard"))) < finished:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        assert not output.exists()
    assert killed == 3
    before = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.shard")}
    assert len(before) >= 5
    written = []
    write = preparation.write_shard
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "write_shard", lambda file, *rest: (written.append(file.name), write(file, *rest)))
        prepare([many], output, jobs=2)
    # Only the missing shards were made.
    assert not set(written) & set(before)
    assert len(written) + len(before) == 7
    assert content(output) == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_a_second_preparation_of_the_same_output_is_refused(
    many: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    output = tmp_path / "corpus"
    with shards.working_folder(output) as parts:
        (parts / "its.shard").touch()
        with pytest.raises(BlockingIOError, match=r"another preparation of .+corpus is at work"):
            prepare([many], output)
        assert (parts / "its.shard").exists()
    assert not list(tmp_path.iterdir())
    prepare([many], output)
    assert content(output) == undisturbed


def test_a_working_folder_removed_by_its_last_user_is_created_and_locked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, lock = tmp_path / ".corpus-parts", fcntl.flock

    def lose_the_first(file: int, kind: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        shutil.rmtree(parts)
        lock(file, kind)

    monkeypatch.setattr(fcntl, "flock", lose_the_first)
    with (
        shards.working_folder(tmp_path / "corpus"),
        pytest.raises(BlockingIOError),
        shards.working_folder(tmp_path / "corpus"),
    ):
        pass


def test_a_preparation_stopped_during_assembly_resumes(
    many: Path, tmp_path: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(many.parent / "undisturbed", tmp_path / "corpus")
    (tmp_path / "corpus" / "mine").write_text("of the former corpus")
    for name in ("write_pieces", "write_description", "_write_report"):
        with monkeypatch.context() as patch:
            patch.setattr(assembly, name, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                prepare([many], tmp_path / "corpus", overwrite=True)
        assert (tmp_path / "corpus" / "mine").exists()
    replace = os.replace

    def fail_in_the_end(source: Path, target: Path) -> None:
        if Path(source).name == "corpus" and Path(target) == tmp_path / "corpus" and ".former" not in str(source):
            raise OSError("no")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail_in_the_end)
        with pytest.raises(OSError, match="no"):
            prepare([many], tmp_path / "corpus", overwrite=True)
    assert (tmp_path / "corpus" / "mine").exists()
    prepare([many], tmp_path / "corpus", overwrite=True)
    assert content(tmp_path / "corpus") == undisturbed


def test_a_shard_is_reused_only_if_its_inputs_are_the_same(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    music = Path(shutil.copytree(many, tmp_path / "music"))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "assemble", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare([music], tmp_path / "corpus")
    # A finished shard that a power failure truncated, a changed file, and another filter.
    cut = sorted((tmp_path / ".corpus-parts").glob("*.shard"))[0]
    cut.write_bytes(cut.read_bytes()[:1000])
    shutil.copy(music / "001.mid", music / "004.mid")  # of the same size
    for settings in ({}, {"min_notes": 700}):
        prepare([music], tmp_path / "fresh", overwrite=True, **settings)
        prepare([music], tmp_path / "corpus", overwrite=True, **settings)
        assert content(tmp_path / "corpus") == content(tmp_path / "fresh")


def test_files_that_crash_or_hang_their_reader_are_skipped(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    music = tmp_path / "music"
    music.mkdir()
    for number in range(1, 11):
        shutil.copy(many / f"{number:03d}.mid", music)
    prepare([music], tmp_path / "sound")
    reasons = {
        planted.HANGS: "took longer than 4 s",
        planted.HANGS_IN_C: "took longer than 4 s",
        planted.ABORTS: "its reader was killed by SIGABRT",
        planted.CRASHES: "its reader was killed by SIGSEGV",
        planted.EXITS: "its reader ended with status 3",
    }
    for place, mark in enumerate(reasons):
        (music / f"00{2 * place}-{mark.decode()}.mid").write_bytes(mark)
    monkeypatch.setattr(preparation, "read_piece", planted.read)
    outcome = prepare([music], tmp_path / "corpus", time_limit=4, jobs=2)
    assert sorted(outcome.skipped.values()) == sorted(reasons.values())
    assert outcome.reasons["took longer than 4 s"] == 2
    names = [piece.name for piece in Corpus(tmp_path / "corpus").pieces]
    assert names == [piece.name for piece in Corpus(tmp_path / "sound").pieces]
    assert content(tmp_path / "corpus")["notes.npy"] == content(tmp_path / "sound")["notes.npy"]
    assert "took longer than 4 s" in str(outcome)


@pytest.mark.parametrize("where", ["shards", "assembly"])
def test_a_full_disk_is_a_one_line_error_and_the_next_call_resumes(
    many: Path, tmp_path: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "replace") if where == "shards" else (assembly, "write_pieces")), full)
        with pytest.raises(
            OSError, match=r"the disk of .*corpus is full .* call again: what is finished is kept in"
        ) as caught:
            prepare([many], tmp_path / "corpus")
    assert "\n" not in str(caught.value)
    left = list((tmp_path / ".corpus-parts").iterdir())
    assert {path.suffix for path in left} == ({".jsonl"} if where == "shards" else {".jsonl", ".json", ".shard"})
    assert not (tmp_path / "corpus").exists()
    prepare([many], tmp_path / "corpus")
    assert content(tmp_path / "corpus") == undisturbed


def test_a_full_temporary_folder_is_an_error_and_not_counted_as_a_broken_file(tiny: Path, tmp_path: Path) -> None:
    mmt.write(tmp_path / "a.json", mmt.read(min(tiny.glob("*.mid"))))
    end_idle()  # the limit is that of a new process
    with full_disk(5000), pytest.raises(OSError, match=r"cannot write .*piece.json") as caught:
        prepare([tmp_path / "a.json"], tmp_path / "corpus")
    end_idle()
    assert "\n" not in str(caught.value)
    prepare([tmp_path / "a.json"], tmp_path / "corpus")
    assert len(Corpus(tmp_path / "corpus")) == 1


def test_memory_does_not_grow_with_the_number_of_files(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most a few dozen shards are held at a time, for any number of files (`itertools.tee` frees 57 at once)."""
    held = 0
    most = 0
    shard = shards._shard

    class Counted(shards.Shard):
        def __init__(self, *args: object) -> None:
            nonlocal held, most
            super().__init__(*args)  # type: ignore[arg-type]
            held += 1
            most = max(most, held)

        def __del__(self) -> None:
            nonlocal held
            held -= 1

    monkeypatch.setattr(shards, "_FILES", 1)
    monkeypatch.setattr(shards, "_shard", lambda *args: Counted(*vars(shard(*args)).values()))
    prepare([many], tmp_path / "corpus")
    assert len(json.loads((tmp_path / "corpus" / "report.json").read_text())["files"]["skipped"]) == 37
    assert 10 < most < 2 * 57 + 10 < 400
