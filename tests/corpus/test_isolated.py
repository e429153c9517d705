"""A call that hangs, or that crashes its process, loses one item only."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import planted
import pytest

from mmt.corpus import isolated
from mmt.corpus.isolated import Lost, call_each, end_idle


def test_only_items_that_crash_or_hang_are_lost() -> None:
    answers = call_each(planted.double, [0, 1, 2, 3, 4, 2, 5], time_limit=3)
    aborted = Lost("its reader was killed by SIGABRT")
    assert answers == [0, 2, aborted, Lost("took longer than 3 s"), 8, aborted, 10]


def test_an_item_is_tried_again_after_a_crash(tmp_path: Path) -> None:
    assert call_each(planted.die_once, [str(tmp_path / "a")], time_limit=60) == ["alive"]


def test_a_process_is_reused_until_it_ends() -> None:
    end_idle()
    first, again = (call_each(planted.process, [None], time_limit=60)[0] for _ in range(2))
    assert first == again != os.getpid()
    isolated._idle[0]._process.kill()
    isolated._idle[0]._process.wait()
    assert call_each(planted.process, [None, None], time_limit=60)[0] != first
    end_idle()
    assert isolated._idle == []


def test_a_process_that_cannot_start_raises_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    end_idle()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="the process that reads files ended with status 1 at once; see whether"):
        call_each(planted.double, [1], time_limit=60)


def take_memory(size: int) -> int:
    return len(bytearray(size))


def test_a_reader_that_takes_all_memory_fails_alone() -> None:
    answers = call_each(take_memory, [1000, 2**40, 1000], time_limit=60)
    assert answers[0] == answers[2] == 1000
    assert isinstance(answers[1], Lost)
