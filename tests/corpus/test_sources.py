"""Folders, files and archives: all music in them is found in a fixed order, and read without extraction to disk."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from mmt.corpus import sources
from mmt.corpus.prepare import prepare
from mmt.corpus.sources import Source, find_sources, read_sources
from mmt.corpus.storage import Corpus

MODES = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}


def found_in(*paths: Path) -> dict[str, bytes | Exception]:
    listed = list(find_sources(paths))
    return {source.name: content for source, content in zip(listed, read_sources(listed), strict=True)}


def write_tar(path: Path, members: list[tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Files of several suffixes whose content is their name, links, and a folder with a suffix."""
    folder = tmp_path / "music"
    for name in ("b/z.mid", "b/a.KAR", "b.mid", "c/d/x.abc", "m.mxl", "j.json", "y.yaml", "no.txt", "x.musicxml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "b" / "link.mid").symlink_to(folder / "b.mid")
    (folder / "b" / "gone.mid").symlink_to(folder / "nowhere.mid")
    (folder / "c" / "again").symlink_to(folder)
    (folder / "folder.mid").mkdir()
    return folder


def test_a_folder_is_read_in_order_of_names_without_following_links(music: Path) -> None:
    names = ["b/a.KAR", "b/link.mid", "b/z.mid", "b.mid", "c/d/x.abc", "j.json", "m.mxl", "x.musicxml", "y.yaml"]
    found = found_in(music)
    assert list(found) == names
    assert found["b/link.mid"] == b"b.mid"
    assert all(found[name] == name.encode() for name in names if "link" not in name)


@pytest.mark.parametrize("suffix", [".zip", *MODES])
def test_an_archive_gives_the_sources_of_its_folder(music: Path, tmp_path: Path, suffix: str) -> None:
    members = [(str(path.relative_to(music)), path.read_bytes()) for path in music.rglob("*") if path.is_file()]
    path = tmp_path / f"all{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members:
                archive.writestr(name, content)
        assert list(found_in(path)) == sorted(found_in(path))
    else:
        write_tar(path, members, MODES[suffix])
    assert found_in(path) == found_in(music)


def test_archives_in_a_folder_are_read_and_nested_ones_are_reported(tiny: Path, tmp_path: Path) -> None:
    files, music = sorted(tiny.glob("*.mid")), tmp_path / "music"
    (music / "deep").mkdir(parents=True)
    shutil.copy(files[0], music)
    inner = tmp_path / "inner.zip"
    for path, member, name in ((inner, files[2], "c.mid"), (music / "deep" / "b.zip", files[1], "b.mid")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(member, name)
    with zipfile.ZipFile(music / "deep" / "b.zip", "a") as archive:
        archive.write(inner, "inner.zip")
        archive.writestr("__MACOSX/._b.mid", files[1].read_bytes())
    (music / "broken.zip").write_bytes(inner.read_bytes()[:-30])
    (music / "._x.mid").write_bytes(b"a Mac's note")
    outcome = prepare([music], tmp_path / "corpus")
    assert [piece.name for piece in Corpus(tmp_path / "corpus").pieces] == ["deep/b.zip/b.mid", files[0].name]
    assert outcome.reasons == {
        "an archive in an archive; unpack it, and name the folder": 1,
        "this archive is damaged or cut off; get it again": 1,
    }
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(music / "deep" / "b.zip", alone)
    assert prepare([alone], tmp_path / "other").kept == 1


def test_intact_members_of_a_damaged_archive_in_a_folder_are_kept(tiny: Path, tmp_path: Path) -> None:
    one, other = sorted(tiny.glob("*.mid"))[:2]
    music = tmp_path / "music"
    music.mkdir()
    # If its manifest comes first, the archive is read up to the damage.
    members = [("manifest.csv", b"path\n"), (one.name, one.read_bytes()), (other.name, other.read_bytes())]
    write_tar(music / "cut.tar", members, "w")
    whole = (music / "cut.tar").read_bytes()
    (music / "cut.tar").write_bytes(whole[: whole.index(other.read_bytes()) + 1000])
    outcome = prepare([music], tmp_path / "corpus")
    assert [piece.name for piece in Corpus(tmp_path / "corpus").pieces] == [f"cut.tar/{one.name}"]
    assert set(outcome.skipped) == {"cut.tar", f"cut.tar/{other.name}"}


TUNES = b"%abc-2.1\nM:3/4\nX:1\nL:1/4\nK:C\nCDE|\n\nX:2\nL:1/4\nK:C\n\nX:3\nL:1/4\nK:G\nGAB|c3|\n"


@pytest.mark.parametrize("form", ["alone", "folder", "zip", "tar", "zip in a folder"])
def test_each_tune_of_an_abc_file_is_a_piece(tmp_path: Path, form: str) -> None:
    music = tmp_path / "music"
    music.mkdir()
    (music / "three.abc").write_bytes(TUNES)
    (music / "one.abc").write_bytes(b"X:7\nL:1/4\nK:C\nGEC|\n")
    if form in ("zip", "zip in a folder"):
        path = music / "all.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(music.glob("*.abc")):
                archive.write(file, file.name)
                file.unlink()
        path = path if form == "zip" else music
    elif form == "tar":
        path = write_tar(tmp_path / "all.tgz", [(file.name, file.read_bytes()) for file in music.iterdir()], "w:gz")
    else:
        path = music if form == "folder" else music / "three.abc"
    outcome = prepare(path, tmp_path / "corpus", shares={"valid": 0.0, "test": 0.5})
    names = {piece.name.removeprefix("all.zip/"): piece for piece in Corpus(tmp_path / "corpus").pieces}
    assert set(names) == {"three.abc/1", "three.abc/3"} | ({"one.abc"} if form != "alone" else set())
    assert names["three.abc/3"].length == 4
    assert names["three.abc/3"].beats == 4  # its metre is in the head of the file
    assert sorted(piece.split for piece in names.values()).count("test") == 1  # each tune is a work
    assert [name.removeprefix("all.zip/") for name in outcome.skipped] == ["three.abc/2"]


def test_excluding_an_abc_file_excludes_all_its_tunes(tmp_path: Path) -> None:
    for name in ("a.abc", "b.abc"):
        (tmp_path / name).write_bytes(TUNES)
    assert prepare(tmp_path, tmp_path / "corpus", exclude=["a.abc"]).reasons["excluded"] == 3
    assert {piece.name for piece in Corpus(tmp_path / "corpus").pieces} == {"b.abc/1", "b.abc/3"}


def test_files_folders_and_archives_can_be_mixed(tiny: Path, tmp_path: Path) -> None:
    files = sorted(tiny.glob("*.mid"))
    (tmp_path / "one").mkdir()
    shutil.copy(files[0], tmp_path / "one")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.write(files[1], files[1].name)
    manifest = f"path,licence,composer\n{files[0].name},CC0-1.0,Ada\n".encode()
    write_tar(
        tmp_path / "three.tgz", [(f"./{files[0].name}", files[0].read_bytes()), ("./manifest.csv", manifest)], "w:gz"
    )
    prepare([tmp_path / "one", tmp_path / "two.zip", tmp_path / "three.tgz", files[2]], tmp_path / "corpus")
    pieces = Corpus(tmp_path / "corpus").pieces
    # If a name occurs twice, pieces are named by the full path.
    assert [piece.name for piece in pieces] == [
        f"{tmp_path}/one/{files[0].name}",
        files[1].name,
        f"{tmp_path}/three.tgz/{files[0].name}",
        files[2].name,
    ]
    assert [piece.source for piece in pieces] == [files[0].name, "two.zip", "three.tgz", files[2].name]
    assert [piece.composer for piece in pieces] == ["", "", "Ada", ""]
    assert [piece.licence for piece in pieces] == ["", "", "CC0-1.0", ""]


def test_member_paths_never_write_to_the_disk(tiny: Path, tmp_path: Path) -> None:
    content = next(tiny.glob("*.mid")).read_bytes()
    names = ["../../outside.mid", "/absolute.mid", "a\\b.mid"]
    (tmp_path / "in").mkdir()
    path = write_tar(tmp_path / "in" / "tricks.tar", [(name, content) for name in names])
    with tarfile.open(path, "a") as archive:
        for kind, target in (
            (tarfile.SYMTYPE, "/etc/passwd"),
            (tarfile.LNKTYPE, "/etc/passwd"),
            (tarfile.FIFOTYPE, ""),
        ):
            member = tarfile.TarInfo("link.mid")
            member.type, member.linkname = kind, target
            archive.addfile(member)
    before = sorted(tmp_path.rglob("*"))
    prepare([path], tmp_path / "out")
    assert [piece.name for piece in Corpus(tmp_path / "out").pieces] == names
    shutil.rmtree(tmp_path / "out")
    assert sorted(tmp_path.rglob("*")) == before
    assert not (tmp_path / "outside.mid").exists()


def test_members_with_the_same_name_are_separate_pieces(tiny: Path, tmp_path: Path) -> None:
    files = sorted(tiny.glob("*.mid"))
    path = write_tar(tmp_path / "two.tar", [("a.mid", file.read_bytes()) for file in files[:2]])
    outcome = prepare([path], tmp_path / "corpus")
    assert outcome.kept == 1
    assert outcome.reasons == {"another member of its archive has the same name": 1}


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar", ".tar.xz"])
def test_a_truncated_archive_is_named_in_the_error(tiny: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    members = [(file.name, file.read_bytes()) for file in sorted(tiny.glob("*.mid"))]
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members:
                archive.writestr(name, content)
    else:
        write_tar(path, members, MODES[suffix])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    said = "is damaged or cut off after member" if suffix != ".zip" else "is neither music that can be read"
    with pytest.raises(ValueError, match=said) as caught:
        prepare([path], tmp_path / "corpus")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_or_encrypted_member_is_skipped(tiny: Path, tmp_path: Path) -> None:
    files = sorted(tiny.glob("*.mid"))
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            archive.writestr(file.name, file.read_bytes())
        damaged = archive.infolist()[1].header_offset + 60
    data = bytearray(path.read_bytes())
    data[damaged] ^= 0xFF
    path.write_bytes(data)
    outcome = prepare([path], tmp_path / "corpus")
    assert outcome.kept == len(files) - 1
    assert "Bad CRC-32" in outcome.skipped[files[1].name]


def test_files_above_the_size_limit_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "large.mid").write_bytes(b"MThd" * 100)
    monkeypatch.setattr(sources, "LARGEST", 399)
    content = found_in(tmp_path)["large.mid"]
    assert isinstance(content, ValueError)


def test_an_unreadable_or_deleted_file_is_skipped(tmp_path: Path) -> None:
    gone = Source("a.mid", str(tmp_path), "a.mid")
    (content,) = read_sources([gone])
    assert isinstance(content, FileNotFoundError)


@pytest.mark.parametrize("name", ["music", "music.zip", "music.tar.gz"])
def test_a_folder_or_archive_that_is_gone_stops_the_preparation(music: Path, tmp_path: Path, name: str) -> None:
    for form in ("zip", "gztar"):
        shutil.make_archive(str(tmp_path / "music"), form, music)
    listed = list(find_sources([tmp_path / name]))
    (tmp_path / name).rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match="does not exist any more"):
        list(read_sources(listed))


@pytest.mark.skipif(os.name == "nt", reason="there are no such links")
def test_the_given_folder_may_be_a_link(music: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(music)
    assert found_in(tmp_path / "link") == found_in(music)
