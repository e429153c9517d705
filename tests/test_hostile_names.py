"""Names from files and folders in every output: they stay text in terminals, Markdown, HTML, pictures and scores."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import muspy
import pytest
from small_corpora import TINY, model_of, tiny_tables, write_corpus

import mmt
import mmt.cli.attention
import mmt.cli.evaluate
import mmt.cli.generate
import mmt.cli.prepare
import mmt.cli.train
from mmt.music.bounded import markdown

# Control characters, a change of direction, line ends, and the signs of HTML, Markdown, CSV, YAML and formulas.
HOSTILE = "a\x1b[2J\u202e\r\n\x9b\u2028\"'|`$x_{$ <script>alert(1)<b>[x](j:a)![y](z),;=1: #&amp;*_"
NOT_UTF8 = os.fsdecode(b"\xff\xfe")
RAW = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this name with a model and a corpus of this name."""
    folder = tmp_path_factory.mktemp("made") / HOSTILE
    model_of(mmt.Representation()).save(folder / HOSTILE)
    tables = zip(tiny_tables().items(), ["train", "train", "valid", "valid"], strict=True)
    write_corpus(folder / "corpus", {name: (split, notes) for (name, notes), split in tables})
    table = (folder / "corpus" / "pieces.csv").read_text()
    hostile = '"' + HOSTILE.replace('"', '""') + '"'
    # The composer is the last column.
    rows = table.replace(",here,CC0-1.0,", f",{hostile},{hostile},").replace(",\n", f",{hostile}\n")
    (folder / "corpus" / "pieces.csv").write_text(rows, newline="")
    return folder


def check_texts(folder: Path) -> None:
    """Check the texts in a folder of results."""
    for path in folder.rglob("*"):
        if path.suffix in (".md", ".json", ".csv", ".html", ".yaml", ".svg"):
            text = path.read_bytes().decode()
            assert not RAW.search(text), path.name
            if path.suffix in (".md", ".html", ".svg"):
                assert not re.search(r"(?<!\\)<(script>alert|b>)", text), path.name
            if path.suffix == ".md":
                check_markdown(text)


def check_markdown(text: str) -> None:
    assert not re.search(r"(?<!\\)\[[xy](?<!\\)\]\(", text)
    columns: list[int] = []
    for line in text.splitlines():
        columns = [*columns, len(re.findall(r"(?<!\\)\|", line))] if line.startswith("|") else []
        assert len(set(columns)) < 2, line


@pytest.mark.parametrize("command", ["train", "evaluate", "listening", "attention"])
def test_results_and_the_terminal_have_names_as_text(
    made: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output, which = tmp_path / "out", ["--checkpoint", str(made / HOSTILE), "--corpus", str(made / "corpus")]
    of_split = [*which, "--split", "valid", "-n", "2"]
    steps = ["trainer.max_steps=1", "trainer.validate_every=1", "trainer.samples=false"]
    commands: dict[str, Any] = {
        "train": (mmt.cli.train, ["tiny", *which[2:], "-o", str(output), *steps]),
        "evaluate": (mmt.cli.evaluate, [*of_split, "-o", str(output), "--mode", "4-beat"]),
        "listening": (mmt.cli.evaluate, [*of_split, "--listening", str(output)]),
        "attention": (mmt.cli.attention, [*of_split, "-n", "1", "-o", str(output), "--format", "svg"]),
    }
    module, arguments = commands[command]
    assert module.main(arguments) == 0
    said = capsys.readouterr()
    assert not RAW.search(said.out + said.err)
    check_texts(output)


def test_music_is_written_with_any_text(tmp_path: Path) -> None:
    notes = [muspy.Note(0, 60, 12)]
    for text in (HOSTILE, "half of a pair: \ud800", f"{NOT_UTF8}.mid", "long " * 50_000):
        music = muspy.Music(resolution=12, tracks=[muspy.Track(40, name=text, notes=notes)])
        music.metadata = muspy.Metadata(title=text, creators=[text], copyright=text, source_filename=text)
        music.lyrics, music.annotations = [muspy.Lyric(0, text)], [muspy.Annotation(0, text)]
        for suffix in (".mid", ".musicxml", ".mxl", ".json", ".yaml"):
            mmt.write(tmp_path / f"a{suffix}", music)
            assert mmt.encode(mmt.read(tmp_path / f"a{suffix}")).tolist() == mmt.encode(music).tolist()
        for suffix in (".html", ".png"):
            mmt.write(tmp_path / f"a{suffix}", music)
        check_texts_of_page((tmp_path / "a.html").read_bytes().decode())


def check_texts_of_page(page: str) -> None:
    assert "<script>alert" not in page
    assert not RAW.search(page.split("<script", 1)[0])


def test_files_whose_names_are_not_utf8_are_prepared_and_continued(tmp_path: Path) -> None:
    source = tmp_path / NOT_UTF8
    source.mkdir()
    for number, file in enumerate(sorted(TINY.glob("*.mid"))):
        shutil.copy(file, source / f"{number}{HOSTILE[:40].replace('/', '')}{NOT_UTF8}.mid")
    corpus, piece = tmp_path / f"corpus{NOT_UTF8}", next(source.iterdir())
    assert mmt.cli.prepare.main([str(source), "-o", str(corpus), "--jobs", "1", "--valid", "0.4"]) == 0
    check_texts(corpus)
    steps = ["trainer.max_steps=1", "trainer.validate_every=1", "trainer.samples=false"]
    assert mmt.cli.train.main(["tiny", "--corpus", str(corpus), "-o", str(tmp_path / "run"), *steps]) == 0
    check_texts(tmp_path / "run")
    few = ["--max-events", "60", "--beats", "1", "--checkpoint", str(tmp_path / "run" / "last")]
    for suffix in ("mid", "json", "html"):
        output = tmp_path / f"{NOT_UTF8}.{suffix}"
        assert mmt.cli.generate.main(["--continue", str(piece), *few, "-o", str(output)]) == 0
        assert output.exists()


def test_a_checkpoint_whose_path_is_not_utf8_is_refused_as_such(tmp_path: Path) -> None:
    model_of(mmt.Representation()).save(tmp_path / NOT_UTF8)
    with pytest.raises(ValueError, match="is not UTF-8; rename"):
        mmt.load_model(tmp_path / NOT_UTF8)


def test_a_name_in_markdown_is_text() -> None:
    assert markdown("Bach, J. S. (1685-1750): CC-BY 4.0, a_b & c") == "Bach, J. S. (1685-1750): CC-BY 4.0, a_b & c"
    assert markdown("# a|b\n<i>_c_</i>") == r"\# a\|b\n\<i\>\_c\_\</i\>".replace(r"b\n", r"b\\n")
