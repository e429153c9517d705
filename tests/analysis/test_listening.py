"""Listening tests: blind pages, fair pairs, answers read back, and the page in Chromium where that is installed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from small_corpora import tiny_tables, write_corpus

import mmt
from mmt.analysis.listening import KEY, PAGE, Side, read_answers, write_listening_test
from mmt.cli import evaluate
from mmt.representation.codes import PAPER
from mmt.representation.encode import events_of_notes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pairs of pieces of 8 and of 10 beats: those of `model-x` are a fifth above those of `model-y`."""
    made = tmp_path_factory.mktemp("listening")
    excerpts = []
    for notes in tiny_tables().values():
        for first in (0, 8):
            excerpt = notes[(notes["beat"] >= first) & (notes["beat"] < first + 10) & (notes["pitch"] < 100)].copy()
            excerpts.append(excerpt)
    higher = [notes[notes["beat"] < notes["beat"].min() + 8].copy() for notes in excerpts]
    for notes in higher:
        notes["pitch"] += 7
    sides = (Side("model-x", list(map(events_of_notes, higher))), Side("model-y", list(map(events_of_notes, excerpts))))
    write_listening_test(made, *sides, representation=PAPER, seed=1, settings={"corpus": "corpus-z"})
    return made


def pairs_of(folder: Path) -> dict[str, Any]:
    found = re.search(
        r'<script id="pairs" type="application/json">(.*?)</script>', (folder / PAGE).read_text(), re.DOTALL
    )
    assert found
    return json.loads(found[1])


def answers(path: Path, study: str, choices: list[str | None]) -> Path:
    given = [{"pair": pair, "choice": choice} for pair, choice in enumerate(choices)]
    path.write_text(json.dumps({"study": study, "answers": given, "saved": "2026-01-01"}))
    return path


def test_page_is_blind_and_loads_nothing(folder: Path) -> None:
    text = (folder / PAGE).read_text()
    for name in ("model-x", "model-y", "corpus-z"):
        assert name not in re.sub(r'"data":"[^"]*"', "", text), name
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_both_pieces_of_a_pair_have_the_same_length_and_either_may_come_first(folder: Path) -> None:
    key, pairs = json.loads((folder / KEY).read_text()), pairs_of(folder)["pairs"]
    assert len(key["pairs"]) == len(pairs) == 8
    assert {pair["A"] for pair in key["pairs"]} == {"model-x", "model-y"}
    assert sorted(pair["piece"] for pair in key["pairs"]) == list(range(8))
    assert [pair["piece"] for pair in key["pairs"]] != list(range(8))
    assert key["seed"] == 1
    assert key["software"]["mmt"] == mmt.__version__
    for known, pair in zip(key["pairs"], pairs, strict=True):
        lengths = [max(max(part["notes"][::4]) // 12 for part in song["parts"]) + 1 for song in pair]
        assert max(lengths) <= known["beats"] <= 8
        tempos = [song["tempos"] for song in pair]
        assert tempos[0] == tempos[1]
        pitches = [min(min(part["notes"][2::4]) for part in song["parts"]) for song in pair]
        assert (pitches[0] > pitches[1]) == (known["A"] == "model-x")


def test_answers_are_counted_by_the_key(folder: Path, tmp_path: Path) -> None:
    key, study = json.loads((folder / KEY).read_text()), pairs_of(folder)["study"]
    best = ["A" if pair["A"] == "model-x" else "B" for pair in key["pairs"]]
    found = read_answers([answers(tmp_path / "one.json", study, best)], folder / KEY)
    assert (found.preferred_first, found.preferred_second, found.undecided) == (8, 0, 0)
    assert found.p == pytest.approx(2 * 0.5**8)
    assert found.share.low is not None
    assert 0.6 < found.share.low < 0.75
    two = [answers(tmp_path / "two.json", study, ["none", *best[1:4], None, None, None, None])]
    found = read_answers([tmp_path / "one.json", *two], folder / KEY)
    assert (found.preferred_first, found.preferred_second, found.undecided, found.listeners) == (11, 0, 1, 2)
    assert "not independent" in str(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "holds no answers"),
        ("[1]", "holds no answers"),
        ('{"study": "x", "answers": []}', "answers of test 'x'"),
        ('{"study": "STUDY", "answers": [{"pair": 9, "choice": "A"}]}', "cannot give"),
        ('{"study": "STUDY", "answers": [{"pair": 1, "choice": "A"}, {"pair": 1, "choice": "A"}]}', "cannot give"),
        ('{"study": "STUDY", "answers": [{"pair": 1, "choice": "C"}]}', "cannot give"),
    ],
)
def test_other_files_are_refused(folder: Path, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "answers.json").write_text(text.replace("STUDY", pairs_of(folder)["study"]))
    with pytest.raises(ValueError, match=said):
        read_answers([tmp_path / "answers.json"], folder / KEY)


def test_command_writes_a_test_and_reads_the_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One model against real pieces: each real side is the piece that the prompt was taken from."""
    tables = {
        name: ("valid", notes[np.unique(notes["beat"], return_index=True)[1][:24]])
        for name, notes in tiny_tables().items()
    }
    corpus = write_corpus(tmp_path / "corpus", tables)
    mmt.new_model("tiny", seed=0).save(tmp_path / "a")
    command = ["--checkpoint", str(tmp_path / "a"), "--corpus", str(corpus), "--listening", str(tmp_path / "test")]
    assert evaluate.main([*command, "-n", "3", "--beats", "8", "--max-events", "40", "--device", "cpu"]) == 0
    key = json.loads((tmp_path / "test" / KEY).read_text())
    assert {key["first"], key["second"]} == {"a", "real pieces"}
    assert key["settings"]["corpus_sha256"] == mmt.Corpus(corpus, split="valid").sha256
    assert evaluate.main([*command, "-n", "3"]) == 1
    assert "exists already" in capsys.readouterr().err
    for pair in pairs_of(tmp_path / "test")["pairs"]:
        # The first notes are those of the common prompt.
        first = [sorted(tuple(part["notes"][:3]) for part in song["parts"] if part["notes"][0] == 0) for song in pair]
        assert first[0] == first[1]
    answers(tmp_path / "test" / "answers.json", key["study"], ["A", "none", "B"])
    assert evaluate.main(["--answers", str(tmp_path / "test" / "answers.json")]) == 0
    assert "1 without preference" in capsys.readouterr().out
    assert evaluate.main(["--corpus", str(corpus)]) == 2
    assert evaluate.main([*command, "--mode", "4-beat", "--mode", "16-beat"]) == 2


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_page_asks_once_both_pieces_were_heard_and_saves_the_answers(folder: Path, tmp_path: Path) -> None:
    key = json.loads((folder / KEY).read_text())
    with Browser(tmp_path / "profile") as browser:
        browser.open(folder / PAGE)
        for pair, known in enumerate(key["pairs"]):
            assert browser.run("document.querySelector('#place').textContent") == f"Pair {pair + 1} of 8"
            browser.click("button[data-side='0']")
            assert browser.run("document.querySelector('#choice').disabled && document.querySelector('#next').disabled")
            browser.wait_until("document.querySelector('input[data-side=\"0\"]').value > 0")
            browser.click("button[data-side='1']")
            browser.wait_until("document.querySelector('input[data-side=\"1\"]').value > 0")
            assert browser.run("document.querySelector(\"button[data-side='0']\").textContent") == "Play A"
            assert browser.run("document.querySelector(\"button[data-side='1']\").textContent") == "Pause B"
            browser.click(f"input[value={'A' if known['A'] == 'model-x' else 'B'}]")
            browser.click("#next")
        saved = browser.run("decodeURIComponent(document.querySelector('#save').href.split(',')[1])")
        browser.screenshot(tmp_path / "page.png")
        assert browser.problems() == []
    (tmp_path / "answers.json").write_text(saved)
    found = read_answers([tmp_path / "answers.json"], folder / KEY)
    assert (found.preferred_first, found.preferred_second) == (8, 0)
