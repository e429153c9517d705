"""Exit status and error messages of commands."""

from __future__ import annotations

import argparse
import errno
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from mmt.cli.common import parser, run
from mmt.representation.notes import LeftOutWarning


def test_an_unexpected_error_is_one_short_line(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(chosen: argparse.Namespace) -> None:
        raise RuntimeError("g++ failed:\n" + "no such header\n" * 10_000)

    assert run(parser("mmt-try", "Fail."), broken, []) == 1
    said = capsys.readouterr().err
    assert said.startswith("mmt-try: error: unexpected RuntimeError: g++ failed: no such header")
    assert said.endswith("(--debug shows the traceback)\n")
    assert len(said) < 600
    assert said.count("\n") == 1


PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COMMANDS = [name.removeprefix("mmt-") for name in PROJECT["scripts"]]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_runs_as_a_module(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"mmt.cli.{name}", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"usage: mmt-{name}")


HOSTILE = "a\x1b[2J\x07\x9b\u202eb\ud800.mid"


def say(command: Callable[[argparse.Namespace], None], *flags: str) -> int:
    return run(parser("mmt-try", "Say."), command, flags)


def test_names_are_printed_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    def prints(chosen: argparse.Namespace) -> None:
        print(f"{HOSTILE}: 3 notes\n\tkept")
        warnings.warn(HOSTILE, LeftOutWarning, stacklevel=1)
        raise ValueError(f"cannot read {HOSTILE}")

    assert say(prints) == 1
    printed = capsys.readouterr()
    clean = r"a\x1b[2J\x07\x9b\u202eb\ud800.mid"
    assert printed.out == f"{clean}: 3 notes\n\tkept\n"
    assert printed.err == f"mmt-try: {clean}\nmmt-try: error: cannot read {clean}\n"


def test_a_traceback_is_printed_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(chosen: argparse.Namespace) -> None:
        raise ValueError(HOSTILE)

    assert say(fails, "--debug") == 1
    said = capsys.readouterr().err
    assert said.splitlines()[-1] == r"ValueError: a\x1b[2J\x07\x9b\u202eb\ud800.mid"
    assert "\x1b" not in said


def test_wrong_arguments_are_printed_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = parser("mmt-try", "Say.")
    with pytest.raises(SystemExit):
        arguments.parse_args([HOSTILE])
    assert "\x1b" not in capsys.readouterr().err


def test_interrupts_are_printed_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    def stops(chosen: argparse.Namespace) -> None:
        raise KeyboardInterrupt(HOSTILE)

    assert say(stops) == 130
    assert "\x1b" not in capsys.readouterr().err


def test_a_full_disk_error_without_a_file_names_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    def writes(chosen: argparse.Namespace) -> None:
        chosen.output = "corpus"
        raise OSError(errno.ENOSPC, "No space left on device")

    assert say(writes) == 1
    assert capsys.readouterr().err == "mmt-try: error: [Errno 28] No space left on device (writing corpus)\n"
