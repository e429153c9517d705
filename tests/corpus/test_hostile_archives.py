"""An archive takes bounded time and memory, and its intact members are kept."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
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
from mmt.music.bounded import LARGEST
from mmt.music.unpacking import read_member

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


def test_a_member_is_complete_when_its_last_input_unpacks_to_several_reads(tmp_path: Path) -> None:
    contents = [b"a" * size for size in range(2**16 + 1, 2**16 + 9)]
    path = zip_of(tmp_path / "a.zip", [(f"{len(content)}.mid", content) for content in contents], zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(path) as archive:
        assert [read_member(archive, member) for member in archive.infolist()] == contents


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
    with pytest.raises(ValueError, match="damaged or cut off after member 0"):
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


def tar_of(path: Path, *blocks: bytes) -> Path:
    """A tar archive of these blocks, packed by its suffix."""
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(path.suffix, bytes)
    path.write_bytes(pack(b"".join(blocks)))
    return path


def whole_member(tiny: Path) -> bytes:
    name, content = good(tiny)
    return tar_header(tarfile.REGTYPE, len(content), name.encode()) + content + bytes(-len(content) % 512)


def header_of_size(size: bytes) -> bytes:
    """A tar header with a size in base 256."""
    entry = bytearray(tar_header(tarfile.REGTYPE, 0))
    entry[124:136] = size
    entry[148:156] = b" " * 8
    entry[148:156] = b"%06o\0 " % sum(entry)
    return bytes(entry)


def attributes(content: bytes) -> bytes:
    return tar_header(tarfile.XHDTYPE, len(content)) + content + bytes(-len(content) % 512)


SPARSE_CHAIN = tar_header(tarfile.GNUTYPE_SPARSE, 512) + (b"00000000001\0" * 42 + b"\1".ljust(8, b"\0")) * 100_000


DAMAGED = [
    (".tar", [header_of_size(b"\x80" + b"\x7f" * 11)]),
    (".tar.gz", [header_of_size(b"\x80" + b"\x7f" * 11)]),
    (".tar", [header_of_size(b"\xff" * 12)]),
    (".tar", [attributes(b"15 size=999999\n"), tar_header(b"0", 1)]),
    (".tar", [attributes(b"11 size=-9\n"), tar_header(b"0", 1)]),
    (".tar", [attributes(b"0 size=9\n"), tar_header(b"0", 1)]),
    (".tar.xz", [SPARSE_CHAIN]),
    (".tar", [tar_header(tarfile.GNUTYPE_SPARSE, 512), bytes(1536)]),
    (".tar.gz", [attributes(b"22 GNU.sparse.major=1\n"), tar_header(b"0", 512), bytes(1536)]),
    (".tar.bz2", [attributes(b"9" * 2**20), tar_header(b"0", 0)]),
    (".tar", [b"0" * 1024]),
    (".tar", [tar_header(b"0", 512)[:300]]),
]


def test_a_damaged_tar_archive_is_counted_and_the_files_before_it_are_kept(tiny: Path, tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    for place, (suffix, blocks) in enumerate(DAMAGED):
        name, content = f"{place}.mid", good(tiny)[1] + b"XXXX\0\0\0\1%c" % place
        head = tar_header(b"0", len(content), name.encode())
        tar_of(music / f"{place:02d}{suffix}", head, content, bytes(-len(content) % 512), *blocks)
    code = "import sys; from mmt.corpus.prepare import prepare; print(prepare(sys.argv[1:2], sys.argv[2]))"
    said = in_limits(code, str(music), str(tmp_path / "corpus"), seconds=60, memory=2**30)
    assert said.startswith(f"{len(DAMAGED)} of ")
    skipped = json.loads((tmp_path / "corpus" / "report.json").read_text())["files"]["skipped"]
    assert {path.name for path in music.iterdir()} <= set(skipped)


def test_empty_members_are_limited_by_the_size_of_their_archive(tiny: Path, tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a.tar.xz", whole_member(tiny), tar_header(b"0", 0) * 20_000)
    outcome = prepare([path], tmp_path / "corpus")
    assert outcome.kept == 1
    assert "members" in outcome.skipped["a.tar.xz"]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("mode", ["", "gz", "bz2", "xz"])
def test_names_and_contents_of_a_tar_archive_are_those_of_tarfile(tmp_path: Path, form: int, mode: str) -> None:
    names = ["a.mid", "long/" * 18 + "b.mid", "c d.mid", "./e.mid", *(["ü" * 150 + ".mid"] if form else [])]
    path = tmp_path / f"a.tar.{mode}".rstrip(".")
    with tarfile.open(path, f"w:{mode}", format=form) as archive:  # type: ignore[call-overload]
        for place, name in enumerate(names):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = place * 300, 0.5 if form == tarfile.PAX_FORMAT else 0
            archive.addfile(entry, io.BytesIO(bytes(place * 300)))
            link = tarfile.TarInfo(f"link{place}.mid")
            link.type, link.linkname = tarfile.SYMTYPE, name
            archive.addfile(link)
    found = [(name, size, read()) for _, name, size, read in archives.members(path)]
    expected = [(name.removeprefix("./"), place * 300, bytes(place * 300)) for place, name in enumerate(names)]
    assert found == expected
    with archives.member_reader(path) as read:
        assert [read(1), read(3)] == [expected[1][2], expected[3][2]]


def test_a_tar_archive_that_ends_with_a_zip_archive_is_a_tar_archive(tiny: Path, tmp_path: Path) -> None:
    inner = zip_of(tmp_path / "inner.zip", [good(tiny)], 0).read_bytes()
    path = tar_of(
        tmp_path / "a.tar",
        whole_member(tiny),
        tar_header(b"0", len(inner), b"inner.zip"),
        inner,
        bytes(-len(inner) % 512),
    )
    outcome = prepare([path], tmp_path / "corpus")
    assert (outcome.kept, list(outcome.skipped)) == (1, ["inner.zip"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_pipes_devices_and_circular_links_are_not_read(tiny: Path, tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    (music / "good.mid").write_bytes(good(tiny)[1])
    for name in ("a.zip", "b.tar.gz", "c.mid"):
        os.mkfifo(music / name)
        (music / f"zero-{name}").symlink_to("/dev/zero")
        (music / f"loop-{name}").symlink_to(f"loop-{name}")
        for kind in ("", "zero-"):
            with pytest.raises(ValueError, match="neither a file nor a folder"):
                prepare([music / f"{kind}{name}"], tmp_path / "corpus")
    assert prepare([music], tmp_path / "corpus").kept == 1
