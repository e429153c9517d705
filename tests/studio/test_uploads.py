from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from studio_client import ROOT, TOKEN, Studio

import mmt
from mmt.representation.codes import PAPER
from mmt.studio import uploads
from mmt.studio.uploads import TooSlow, UploadError, limited_time, read_upload


@pytest.mark.parametrize("name", ["mayer_quartet_in_g_minor.mid", "parry_good_night.mxl"])
def test_an_upload_equals_the_file_read_by_the_library(name: str) -> None:
    path = ROOT / "data" / "tiny" / name
    found = read_upload(name, path.read_bytes(), PAPER)
    music = mmt.read(path)
    events, report = mmt.encode(music, report=True)
    assert (found.events == events).all()
    assert found.report == str(report)


def test_an_uploaded_piece_keeps_title_tempo_and_signatures(studio: Studio, tmp_path: Path) -> None:
    piece = studio.open("parry_good_night.mxl")
    original = mmt.read(ROOT / "data" / "tiny" / "parry_good_night.mxl")
    content = studio.client.get(f"/{TOKEN}/api/pieces/{piece['id']}/download/mid").content
    (tmp_path / "copy.mid").write_bytes(content)
    copy = mmt.read(tmp_path / "copy.mid")
    assert piece["title"] == original.metadata.title
    assert piece["report"]
    signatures = [[(s.numerator, s.denominator) for s in music.time_signatures] for music in (original, copy)]
    assert signatures == [[], [(4, 4)]]  # MIDI files always have a signature
    assert [round(t.qpm) for t in copy.tempos] == [round(t.qpm) for t in original.tempos]


@pytest.mark.parametrize("name", ["a.exe", "a", "", "../../etc/passwd", "a.yaml", "a.json", "a.zip", "a.mid\0.txt"])
def test_other_kinds_of_files_are_refused(name: str) -> None:
    with pytest.raises(UploadError, match="cannot be read: give a MIDI, MusicXML or ABC file"):
        read_upload(name, b"MThd", PAPER)


@pytest.mark.parametrize(
    ("name", "content"), [("a.mid", b""), ("a.mid", b"MThd"), ("a.xml", b"<a>"), ("a.mxl", b"PK"), ("a.abc", b"x")]
)
def test_a_broken_file_is_refused_in_one_line(name: str, content: bytes) -> None:
    with pytest.raises(UploadError) as error:
        read_upload(name, content, PAPER)
    assert "\n" not in str(error.value)
    assert name in str(error.value)
    assert "/tmp" not in str(error.value)


def work() -> None:
    """Use ten seconds of processor time, so that a test of a limit that never ends the work fails and does not hang."""
    end = time.process_time() + 10
    while time.process_time() < end:
        pass


def test_waiting_does_not_use_up_the_processor_time() -> None:
    with limited_time(0.2):
        time.sleep(0.5)
    with pytest.raises(TooSlow), limited_time(0.1):
        work()


def test_a_swallowed_interruption_comes_again() -> None:
    def swallow() -> None:
        with contextlib.suppress(BaseException):
            work()
        work()

    with pytest.raises(TooSlow), limited_time(0.05):
        swallow()


@pytest.mark.parametrize("limit", ["PROCESSOR_TIME", "TIME_LIMIT"])
def test_reading_a_file_has_a_time_limit(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(uploads, limit, 0.3)
    tune = "X:1\nK:C\n" + "C D E F G A B c |" * 30_000
    with pytest.raises(UploadError, match=r"took longer than 0\.3 s"):
        read_upload("long.abc", tune.encode(), PAPER)


def test_too_many_uploads_at_once_are_refused() -> None:
    with uploads._AT_ONCE, uploads._AT_ONCE, pytest.raises(UploadError, match="try again in a moment"):
        read_upload("a.mid", b"MThd", PAPER)


def test_too_many_notes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = "C" * 50_001
    with pytest.raises(UploadError, match="the studio takes up to 50,000"):
        read_upload("long.abc", f"X:1\nL:1/8\nK:C\n{notes}\n".encode(), PAPER)


@pytest.mark.parametrize(
    ("name", "readable"),
    [
        ("bomb_1499_bytes.mxl", False),
        ("container_bomb.mxl", True),
        ("container_broken.mxl", True),
        ("abc_native_native_3_201.abc", False),
    ],
)
def test_hostile_files_leave_the_studio_usable(studio: Studio, shared: Path, name: str, readable: bool) -> None:
    """An archive with a faulty list of files is still read, since its score is found without the list."""
    content = (shared / "cases" / "files" / name).read_bytes()
    response = studio.client.post(f"/{TOKEN}/api/files", params={"name": name}, content=content)
    assert response.status_code == (200 if readable else 422)
    assert readable or name in response.json()["error"]
    assert studio.get("status")["ready"]
