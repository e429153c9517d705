"""examples/live.py without clock and sound: the times and the order of events."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import mmt
from mmt.representation.codes import NOTE, PAPER


@pytest.fixture(scope="module")
def live() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "examples" / "live.py"
    spec = importlib.util.spec_from_file_location("live", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_onsets_and_ends_are_in_the_order_of_time(live: ModuleType) -> None:
    events = [
        *mmt.prompt.instruments("violin"),
        [NOTE, 1, 1, 61, 12, 25],
        [NOTE, 1, 1, 65, 18, 25],
        [NOTE, 3, 7, 68, 6, 25],
    ]
    assert list(live.in_time(iter(events), PAPER)) == [
        (0, True, 60, 25), (0, True, 64, 25), (1, False, 60, 25), (2, False, 64, 25), (2.5, True, 67, 25), (3, False, 67, 25),
    ]  # fmt: skip


def test_events_written_ahead_are_the_events(live: ModuleType) -> None:
    assert list(live.ahead(iter(range(1, 1000)), most=7)) == list(range(1, 1000))


def test_notes_sound_at_their_times(live: ModuleType) -> None:
    now, heard = [7.0], []

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def sound(moment: tuple[float, bool, int, int]) -> None:
        heard.append((now[0], moment[0]))
        now[0] += 0.1

    moments = [(4.0, True, 60, 25), (4.0, True, 64, 25), (6.0, False, 60, 25)]
    late = live.play(iter(moments), 120.0, sound, lambda: now[0], sleep)
    assert [when for when, _ in heard] == pytest.approx([7.0, 7.1, 8.0])
    assert late == pytest.approx(0.1)


def test_the_example_prints_notes(live: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mmt.new_model("tiny").save(tmp_path / "tiny")
    live.main(["violin", "--tempo", "1e9", "--seed", "0", "--events", "4", "--checkpoint", str(tmp_path / "tiny")])
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(line.split()[-1] == "violin" for line in lines)


def test_drums_play_on_channel_10_and_are_printed_by_their_key(
    live: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr("mido.open_output", lambda *_, **__: SimpleNamespace(send=sent.append))
    representation = mmt.Representation(drums=True)
    for sound in (live.midi(None, representation), live.text(representation)):
        for code in (25, representation.drums_code, 27):
            sound((0.0, True, 36, code))
    assert [(message.type, message.channel) for message in sent] == [
        ("program_change", 0), ("note_on", 0), ("note_on", 9), ("program_change", 1), ("note_on", 1),
    ]  # fmt: skip
    assert [line.split()[1:] for line in capsys.readouterr().out.splitlines()][:2] == [
        ["C2", "violin"],
        ["36", "drums"],
    ]
