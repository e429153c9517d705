"""Macros of ABC tunes stand for the notes that replace them."""

from __future__ import annotations

from pathlib import Path

import pytest
from abc_tunes import played

import mmt
from mmt.music.reading.abc_macros import Macros


@pytest.mark.parametrize(
    ("macro", "music", "written"),
    [
        ("~G3 = G{A}G{F}G", "~G3 A~G2", "G{A}G{F}G AG2"),  # static: only this exact text
        ("~n3 = n{o}n{m}n", "~G3 ~c3|~B,3", "G{A}G{F}G c{d}c{B}c|B,{C}B,{A,}B,"),  # the standard's example
        ("~n2 = (3o/n/m/ n", "A~A2 B", "A(3B/A/G/ A B"),  # an example of the standard, with a space
        ("On = [nn,]", "OG,OF OG2", "[G,G,,][FF,] G2"),
        ("~n = hz", "~C", "D,A'"),
    ],
)
@pytest.mark.parametrize("place", ["header", "body"])
def test_macros_are_replaced(tmp_path: Path, macro: str, music: str, written: str, place: str) -> None:
    fields = f"m: {macro}\nK:C\n" if place == "header" else f"K:C\nm: {macro}\n"
    head = "U:O=!trill!\n"
    assert played(tmp_path, head + fields + music) == played(tmp_path, f"{head}K:C\n{written}")


def test_macros_before_the_first_tune_hold_for_all(tmp_path: Path) -> None:
    (tmp_path / "a.abc").write_text("m: ~n2 = n/o/n\n\nX:1\nL:1/4\nK:C\n~C2|\n")
    assert [note.pitch for note in mmt.read(tmp_path / "a.abc").tracks[0].notes] == [60, 62, 60]


def test_texts_decorations_and_fields_are_kept() -> None:
    macros = Macros()
    macros.define("C = D")
    assert macros.expand('"C" !C! [K:C] C "C') == '"C" !C! [K:C] D "D'


def test_the_output_of_macros_is_limited() -> None:
    macros = Macros()
    macros.define("C = " + "D" * 200)
    with pytest.raises(ValueError, match="its macros make more than 1,048,576 characters"):
        macros.expand("C" * 10_000)
