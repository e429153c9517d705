"""Files and folders are written completely or not at all, and leftovers of killed processes are removed."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import muspy
import pytest
from limited import full_disk

import mmt
from mmt.music.atomic import is_taken, locked, remove_remnants, replacing

MUSIC = muspy.Music(
    resolution=12, tracks=[muspy.Track(40, name="x", notes=[muspy.Note(12 * beat, 60, 12) for beat in range(400)])]
)


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("suffix", [".mid", ".musicxml", ".mxl", ".json", ".yaml", ".wav", ".png", ".html"])
def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path: Path, suffix: str, existing: bool) -> None:
    path = tmp_path / f"piece{suffix}"
    if existing:
        path.write_bytes(b"old")
    with full_disk(500), pytest.raises(OSError, match=r"cannot write .*piece") as caught:
        mmt.write(path, MUSIC)
    assert caught.value.errno == errno.EFBIG
    assert [file.name for file in tmp_path.iterdir()] == ([path.name] if existing else [])
    assert not existing or path.read_bytes() == b"old"


def test_folders_and_files_replace_each_other(tmp_path: Path) -> None:
    target = tmp_path / "it"
    for content in ("a", "b"):
        with replacing(target) as partial:
            partial.mkdir()
            (partial / "inside").write_text(content)
        assert (target / "inside").read_text() == content
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with replacing(tmp_path / "it") as partial:
            partial.write_text("half")
            raise RuntimeError("half written")

    with pytest.raises(RuntimeError, match="half written"):
        fail()
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from mmt.music import atomic
target = Path(sys.argv[1])
move, calls = os.replace, []
def die(source, destination):
    calls.append(source)
    if len(calls) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    move(source, destination)
atomic.os.replace = die
with atomic.replacing(target) as partial:
    partial.mkdir()
    (partial / "inside").write_text("new")
"""


@pytest.mark.parametrize("step", [1, 2])
def test_leftovers_of_a_killed_process_are_removed_and_moved_folders_restored(tmp_path: Path, step: int) -> None:
    target = tmp_path / "it"
    target.mkdir()
    (target / "inside").write_text("old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(target), str(step)], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert list(tmp_path.glob(".mmt-*"))
    assert target.exists() == (step == 1)
    remove_remnants(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
    assert (target / "inside").read_text() == "old"


def test_folders_of_other_programs_are_not_removed(tmp_path: Path) -> None:
    (tmp_path / ".mmt-corpus-parts").mkdir()
    (tmp_path / ".mmt-mine").mkdir()
    with replacing(tmp_path / "one") as one:
        with replacing(tmp_path / "other") as other:
            other.write_text("b")
        one.write_text("a")
    assert {path.name for path in tmp_path.iterdir()} == {".mmt-corpus-parts", ".mmt-mine", "one", "other"}


def test_many_processes_can_write_to_one_folder(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for _ in range(20):
                with replacing(tmp_path / f"{number}") as partial:
                    partial.write_text("whole")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {f"{number}": "whole" for number in range(6)}


def test_a_lock_is_held_by_one_process(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "lock", "in use"),
        pytest.raises(BlockingIOError, match="in use"),
        locked(tmp_path / "lock", "in use"),
    ):
        pass
    assert not (tmp_path / "lock").exists()


@pytest.mark.slow
def test_killed_generations_leave_complete_files_or_none(tmp_path: Path) -> None:
    code = "import sys; from mmt.cli.generate import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["--max-events", "60", "--seed", "1", "--png", "--text", "--overwrite", "-o"]
    command = [sys.executable, "-c", code, *arguments]
    begun = time.monotonic()
    subprocess.run([*command, str(tmp_path / "whole" / "piece.mid")], check=True, capture_output=True)
    taken = time.monotonic() - begun
    output = tmp_path / "killed"
    for part in range(4):
        process = subprocess.Popen([*command, str(output / "piece.mid")], stdout=subprocess.DEVNULL)
        time.sleep(taken * (0.7 + 0.08 * part))
        process.kill()
        process.wait()
    subprocess.run([*command, str(output / "piece.mid")], check=True, capture_output=True)
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert {path.name: path.read_bytes() for path in output.iterdir()} == expected


def test_only_a_plain_empty_folder_is_free(tmp_path, monkeypatch):
    empty, link = tmp_path / "empty", tmp_path / "link"
    empty.mkdir()
    link.symlink_to(empty)
    assert not is_taken(empty)
    assert not is_taken(tmp_path / "absent")
    assert is_taken(link)
    assert is_taken(tmp_path)
    monkeypatch.chdir(empty)
    assert is_taken(empty)
    assert is_taken(Path("../empty"))
