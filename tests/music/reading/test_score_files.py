"""Opening MusicXML files and archives."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from scores import attributes, note, part, score, score_part

from mmt.music.reading.musicxml import read_musicxml

SCORE = score(part(attributes() + note("C", 8)), part_list=score_part("小提琴"))
BODY = SCORE.encode()
CONTAINER = '<container><rootfiles><rootfile full-path="{}"/></rootfiles></container>'


def is_read(folder: Path, content: bytes, name: str = "") -> None:
    path = folder / "score.musicxml"
    path.write_bytes(content)
    music = read_musicxml(path)
    assert [(n.time, n.pitch, n.duration) for n in music.tracks[0].notes] == [(0, 60, 8)]
    if name:
        assert (music.tracks[0].name, music.tracks[0].program) == (name, 40)


def archive(folder: Path, members: dict[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    path = folder / "score.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("UTF-8", "小提琴"), ("UTF-16", "小提琴"), ("GB2312", "小提琴"), ("gbk", "小提琴"), ("Big5", "小提琴"),
        ("Shift_JIS", "ヴァイオリン"), ("EUC-JP", "ヴァイオリン"), ("EUC-KR", "바이올린"), ("windows-1251", "Скрипка"),
        ("KOI8-R", "Скрипка"), ("ISO-8859-1", "Violín"), ("windows-1252", "Violín"), ("macintosh", "Violín"),
        ("UTF-32", "小提琴"), ("windows-31j", "ヴァイオリン"), ("x-sjis", "ヴァイオリン"), ("x-gbk", "小提琴"),
    ],
)  # fmt: skip
def test_declared_encodings_are_read(tmp_path: Path, encoding: str, name: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n' + SCORE.replace("小提琴", name)
    codecs = {"macintosh": "mac_roman", "windows-31j": "cp932", "x-sjis": "cp932", "x-gbk": "gbk"}
    is_read(tmp_path, text.encode(codecs.get(encoding, encoding)), name)


def test_empty_lines_before_the_declaration_are_skipped(tmp_path: Path) -> None:
    is_read(tmp_path, b'\n\n <?xml version="1.0" encoding="UTF-8"?>' + BODY, "小提琴")


@pytest.mark.parametrize(
    "declared", ["UTF-16", "utf-16le", "UCS-2", "klingon", "rot13", "zlib", "idna", "unicode_escape"]
)
def test_utf8_that_declares_another_encoding_is_read(tmp_path: Path, declared: str) -> None:
    is_read(tmp_path, f'<?xml version="1.0" encoding="{declared}"?>'.encode() + BODY, "小提琴")


def test_undeclared_encodings_are_read(tmp_path: Path) -> None:
    is_read(tmp_path, b"\xef\xbb\xbf" + BODY, "小提琴")
    is_read(tmp_path, SCORE.encode("utf-16-le"), "小提琴")
    is_read(tmp_path, SCORE.replace("小提琴", "Violín").encode("latin-1"), "Violín")


def test_namespaces_are_read(tmp_path: Path) -> None:
    is_read(
        tmp_path, BODY.replace(b"<score-partwise>", b'<score-partwise xmlns="http://www.musicxml.org/xsd/MusicXML">')
    )
    prefixed = BODY.replace(b"</", b"</m:").replace(b"<", b"<m:").replace(b"<m:/m:", b"</m:")
    is_read(tmp_path, prefixed.replace(b"<m:score-partwise>", b'<m:score-partwise xmlns:m="urn:x">'))


@pytest.mark.parametrize(
    "members",
    [
        {"score.xml": BODY},
        {"__MACOSX/._score.xml": b"\0\5\26\7", "score.xml": BODY},
        {"._score.xml": b"\0\5\26\7", "score.xml": BODY},
        {"META-INF/container.xml": "<container><rootfiles><rootfile full-path=", "score.xml": BODY},
        {"META-INF/container.xml": "<container/>", "score.xml": BODY},
        {"META-INF/container.xml": CONTAINER.format("missing.xml"), "SCORE.XML": BODY},
        {"META-INF/container.xml": CONTAINER.format("a%20b.xml"), "a b.xml": BODY},
        {"META-INF/container.xml": CONTAINER.format("./in\\b.xml"), "in/b.xml": BODY},
        {"META-INF/container.xml": CONTAINER.format("other"), "a.xml": b"<html/>", "other": BODY},
        {"a.xml": b"<html/>", "b.musicxml": BODY},
        {
            "META-INF/container.xml": '<?xml version="1.0" encoding="klingon"?>' + CONTAINER.format("score"),
            "score": BODY,
        },
    ],
)
def test_odd_archives_are_read(tmp_path: Path, members: dict[str, bytes | str]) -> None:
    is_read(tmp_path, archive(tmp_path, members))


@pytest.mark.parametrize(
    ("members", "method", "message"),
    [
        ({"notes.txt": b"x"}, zipfile.ZIP_DEFLATED, "the archive holds no score"),
        ({"a.xml": b"<html/>"}, zipfile.ZIP_DEFLATED, "not a MusicXML score"),
        ({"a.xml": BODY}, zipfile.ZIP_BZIP2, "another method"),
        ({"a.xml": BODY}, zipfile.ZIP_LZMA, "another method"),
    ],
)
def test_archives_without_a_readable_score_are_refused(
    tmp_path: Path, members: dict[str, bytes | str], method: int, message: str
) -> None:
    path = tmp_path / "bad.mxl"
    path.write_bytes(archive(tmp_path, members, method))
    with pytest.raises(ValueError, match=message):
        read_musicxml(path)


def test_too_many_elements_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.mxl"
    path.write_bytes(archive(tmp_path, {"a.xml": b"<score-partwise>" + b"<a/>" * 3_000_001 + b"</score-partwise>"}))
    with pytest.raises(ValueError, match="more than 3,000,000 elements"):
        read_musicxml(path)


def test_deep_and_empty_scores_are_read(tmp_path: Path) -> None:
    path = tmp_path / "deep.musicxml"
    for content in (b"<a>" * 100_000 + b"</a>" * 100_000, b"<part/>" * 10, b""):
        path.write_bytes(b"<score-partwise>" + content + b"</score-partwise>")
        assert not read_musicxml(path).tracks
