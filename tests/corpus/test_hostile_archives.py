"""An archive takes bounded time and memory, and its intact members are kept."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from limited import in_limits

from mmt.corpus import archives
from mmt.corpus.prepare import prepare
from mmt.corpus.storage import Corpus
from mmt.music.bounded import LARGEST, read_member

METHODS = {"stored": 0, "deflate": 8, "bzip2": 12, "lzma": 14}


def good(tiny: Path) -> tuple[str, bytes]:
    file = min(tiny.glob("*.mid"))
    return file.name, file.read_bytes()


def zip_of(path: Path, members: list[tuple[str, bytes]], method: int, lie: int | None = None) -> Path:
    """A zip archive; with `lie`, the headers state this size for the first member."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    if lie is not None:
        data = bytearray(path.read_bytes())
        for place in (data.index(b"PK\3\4") + 22, data.index(b"PK\1\2") + 24):
            data[place : place + 4] = struct.pack("<I", lie)
        path.write_bytes(data)
    return path


def tar_header(kind: bytes, size: int, name: bytes = b"x.mid") -> bytes:
    entry = tarfile.TarInfo(name.decode())
    entry.type, entry.size = kind, size
    return entry.tobuf(tarfile.GNU_FORMAT)


def zeros_in(suffix: str, head: bytes, size: int) -> bytes:
    """`head` and `size` zero bytes, packed without holding them in memory."""
    out = io.BytesIO()
    opened: dict[str, Callable[[], io.BufferedIOBase]] = {
        ".tar.gz": lambda: gzip.GzipFile(fileobj=out, mode="wb"),
        ".tar.bz2": lambda: bz2.BZ2File(out, "wb"),
        ".tar.xz": lambda: lzma.LZMAFile(out, "wb"),  # noqa: SIM115 (closed below)
    }
    with opened[suffix]() as file:
        file.write(head)
        for _ in range(size >> 22):
            file.write(bytes(2**22))
    return out.getvalue()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_packing_method_is_read(tmp_path: Path, method: int) -> None:
    content = bytes(range(256)) * 3000
    path = zip_of(tmp_path / "a.zip", [("a.mid", content), ("b.mid", b"")], method)
    with zipfile.ZipFile(path) as archive:
        assert [read_member(archive, member) for member in archive.infolist()] == [content, b""]


@pytest.mark.parametrize("method", list(METHODS.values())[1:], ids=list(METHODS)[1:])
@pytest.mark.parametrize("lie", [100, 2**31])
def test_a_member_with_a_wrong_size_is_counted_and_the_others_are_kept(
    tiny: Path, tmp_path: Path, method: int, lie: int
) -> None:
    bomb = ("a.mid", bytes(2**25))
    path = zip_of(tmp_path / "a.zip", [bomb, ("b.mid", good(tiny)[1])], method, lie)
    outcome = prepare([path], tmp_path / "corpus")
    assert [piece.name for piece in Corpus(tmp_path / "corpus").pieces] == ["b.mid"]
    said = "it holds more than its header says" if lie == 100 else f"larger than {LARGEST >> 20} MiB"
    assert outcome.skipped == {"a.mid": said}


def test_members_that_share_their_bytes_are_limited_together(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_MORE", 2**20)
    path = zip_of(tmp_path / "a.zip", [(f"{place}.mid", bytes(2**20)) for place in range(9)], 12)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("z.mid", good(tiny)[1])
    outcome = prepare([path], tmp_path / "corpus")
    assert [piece.name for piece in Corpus(tmp_path / "corpus").pieces] == ["z.mid"]
    assert sum("times its size" in reason for reason in outcome.skipped.values()) >= 6


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        (".tar.bz2", tarfile.GNUTYPE_LONGNAME),
        (".tar.gz", tarfile.XHDTYPE),
        (".tar.xz", tarfile.XGLTYPE),
        (".tar.gz", tarfile.REGTYPE),
        (".tar.xz", tarfile.REGTYPE),
    ],
)
def test_a_tar_bomb_is_counted_and_the_files_before_it_are_kept(
    tiny: Path, tmp_path: Path, suffix: str, kind: bytes
) -> None:
    name, content = good(tiny)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
        before = out.tell()
    size = 2**28
    path = tmp_path / f"a{suffix}"
    packed = size if kind == tarfile.REGTYPE else 2**24
    path.write_bytes(zeros_in(suffix, out.getvalue()[:before] + tar_header(kind, size), packed))
    code = "import sys; from mmt.corpus.prepare import prepare; print(prepare([sys.argv[1]], sys.argv[2]))"
    said = in_limits(code, str(path), str(tmp_path / "corpus"), seconds=60, memory=2**30)
    assert said.startswith(("1 of 2 files kept", "1 of 3 files kept"))
    assert [piece.name for piece in Corpus(tmp_path / "corpus").pieces] == [name]


def test_a_chain_of_tar_headers_is_treated_as_damage(tiny: Path, tmp_path: Path) -> None:
    chain = (tar_header(tarfile.XHDTYPE, 11) + b"11 a=bbbbb\n".ljust(512, b"\0")) * 3000
    (tmp_path / "a.tar").write_bytes(chain + tar_header(tarfile.REGTYPE, 0) + bytes(1024))
    with pytest.raises(ValueError, match="damaged or cut off"):
        prepare([tmp_path / "a.tar"], tmp_path / "corpus")
    (tmp_path / "good.mid").write_bytes(good(tiny)[1])
    assert prepare([tmp_path / "a.tar", tmp_path / "good.mid"], tmp_path / "corpus").kept == 1


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("path,composer\na.mid,Dvořák\n".encode("iso-8859-2"), "not a CSV table in UTF-8"),
        (b"path,composer\na.mid," + b"x" * 200_000, "field larger than field limit"),
        (b"name,composer\na.mid,A\n", "has no column 'path'"),
    ],
)
@pytest.mark.parametrize("form", ["folder", "zip", "tar", "zip in a folder"])
def test_a_manifest_that_is_not_a_table_is_named(
    tiny: Path, tmp_path: Path, manifest: bytes, said: str, form: str
) -> None:
    members = [("a.mid", good(tiny)[1]), ("manifest.csv", manifest)]
    music = tmp_path / "music"
    music.mkdir()
    if form == "folder":
        for name, content in members:
            (music / name).write_bytes(content)
        path = music
    elif form == "tar":
        path = music / "a.tar"
        with tarfile.open(path, "w") as archive:
            for name, content in members:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    else:
        path = zip_of(music / "a.zip", members, 8)
    if form == "zip in a folder":
        (music / "b.mid").write_bytes(good(tiny)[1])
        assert said in prepare([music], tmp_path / "corpus").skipped["a.zip"]
        return
    with pytest.raises(ValueError, match=said) as caught:
        prepare([path], tmp_path / "corpus")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_control_characters_of_names_and_manifests_are_escaped(tiny: Path, tmp_path: Path) -> None:
    hostile = "a\x1b[2J\u202e\nb.mid"
    manifest = f'path,composer,licence,source\n"{hostile}","A\x07","B\nC","D\r"\n'.encode()
    path = zip_of(tmp_path / "a.zip", [(hostile, good(tiny)[1]), ("manifest.csv", manifest)], 8)
    prepare([path], tmp_path / "corpus")
    (piece,) = Corpus(tmp_path / "corpus").pieces
    assert (piece.name, piece.composer, piece.licence, piece.source) == (
        "a\\x1b[2J\\u202e\\nb.mid",
        "A\\x07",
        "B\\nC",
        "D\\r",
    )
