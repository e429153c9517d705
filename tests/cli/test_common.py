"""How commands end."""

from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

from mmt.cli.common import add_habits, parser, run


def test_an_unforeseen_error_is_one_line_that_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(chosen: argparse.Namespace) -> None:
        raise RuntimeError("g++ failed:\n" + "no such header\n" * 10_000)

    def made() -> argparse.ArgumentParser:
        arguments = parser("mmt-try", "Fail.")
        add_habits(arguments)
        return arguments

    assert run(made(), broken, []) == 1
    said = capsys.readouterr().err
    assert said.startswith("mmt-try: error: unexpected RuntimeError: g++ failed: no such header")
    assert said.endswith("(--debug shows the traceback)\n")
    assert len(said) < 600
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", ["attention", "convert", "evaluate", "generate", "prepare", "train"])
def test_each_command_runs_as_a_module(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"mmt.cli.{name}", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"usage: mmt-{name}")
