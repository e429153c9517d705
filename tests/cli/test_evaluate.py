"""mmt-evaluate: the files that it writes, continuation after a stop, and errors."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_corpora import tiny_tables, write_corpus

import mmt
from mmt.cli import evaluate
from mmt.corpus.storage import write_description


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One note per beat of the tiny pieces, in several keys: 8 for validation, 4 for training."""
    tables = {}
    for name, notes in tiny_tables().items():
        for shift in (-2, 0, 3):
            moved = notes[np.unique(notes["beat"], return_index=True)[1][:24]]
            moved["pitch"] = moved["pitch"].astype(int) + shift
            tables[f"{name}{shift:+d}"] = ("train" if shift == 3 else "valid", moved)
    return write_corpus(tmp_path_factory.mktemp("evaluate") / "corpus", tables)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate("ab"):
        mmt.new_model("tiny", seed=seed).save(folder / name)
    return [folder / "a", folder / "b"]


@pytest.fixture(scope="module")
def evaluated(corpus: Path, checkpoints: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "evaluation"
    assert evaluate.main([*_command(corpus, checkpoints, out), "--originality"]) == 0
    return out


def _parameters(model: mmt.Model) -> int:
    return sum(parameter.numel() for parameter in model.network.parameters())


def _command(corpus: Path, checkpoints: list[Path], out: Path) -> list[str]:
    given = ["--checkpoint", *map(str, checkpoints), "--corpus", str(corpus), "-o", str(out), "-n", "4"]
    return [*given, "--device", "cpu", "--seed", "3", "--max-events", "48"]


def test_table_has_a_row_per_model_mode_and_length(evaluated: Path) -> None:
    rows = list(csv.DictReader((evaluated / "table.csv").read_text().splitlines()))
    modes = ["unconditional", "instrument-informed", "4-beat continuation", "16-beat continuation"]
    expected = [("real pieces", "")] + [(name, mode) for name in "ab" for mode in modes]
    lengths = ["whole pieces", "the first 64 beats"]
    assert [(row["model"], row["mode"], row["length"]) for row in rows] == [
        (*row, length) for row in expected for length in lengths
    ]
    assert all(row["pieces"] == "4" for row in rows[2:])
    # 8 of the 12 pieces are in the validation split.
    assert rows[0]["pieces"] == "8"
    assert rows[0]["valid, %"].startswith("100.00")
    assert rows[0]["parameters"] == rows[0]["notes/s"] == ""
    assert rows[2]["parameters"] == f"{_parameters(mmt.new_model('tiny')) / 1e6:.2f} M"
    assert float(rows[2]["notes/s"].split(" ")[0]) > 0
    # A batch has no more pieces than were asked for.
    assert [row["notes/s"].split(" ", 1)[1] for row in rows[2:6:2]] == ["(4 at once)", "(4 at once)"]
    assert all(row["valid, %"].startswith("100.00") for row in rows)
    details = (evaluated / "details.md").read_text()
    assert sum(line.startswith("| b | ") for line in details.splitlines()) == 8


def test_evaluation_json_has_all_results(evaluated: Path, corpus: Path) -> None:
    found = json.loads((evaluated / "evaluation.json").read_text())
    assert found["settings"]["n"] == 4
    assert found["settings"]["software"]["mmt"] == mmt.__version__
    provenance = json.loads((evaluated / "provenance.json").read_text())
    assert provenance.pop("command").startswith("mmt-evaluate ")
    assert provenance == found["settings"]
    assert found["settings"]["corpus_sha256"] == mmt.Corpus(corpus, split="valid").sha256
    assert {row["length"] for row in found["rows"]} == {"whole pieces", "the first 64 beats"}
    assert set(found["likelihood"]) == {"a", "b"}
    difference = found["differences"]["b against a"]
    per_note = [found["likelihood"][name]["nats_per_note"] for name in "ab"]
    assert difference["per_note"] == pytest.approx(per_note[1] - per_note[0])
    assert set(found["distributions"]) == {"a", "b"}
    assert found["distributions"]["a"]["length"] == "the first 64 beats"
    assert len(found["originality"]) == 8
    assert len(found["originality"]["a, unconditional"]["pieces"]) == 4
    assert set(found["comparisons"]) == {"a against real pieces", "b against real pieces", "b against a"}
    assert set(found["distances"]) == set(found["originality"])
    assert (evaluated / "differences-b.png").read_bytes().startswith(b"\x89PNG")
    assert (evaluated / "distributions-a.png").read_bytes().startswith(b"\x89PNG")
    pieces = list(csv.DictReader((evaluated / "pieces.csv").read_text().splitlines()))
    assert len(pieces) == 2 * (8 + 2 * 4 * 4)


def test_report_is_short_and_names_what_was_evaluated(evaluated: Path, corpus: Path) -> None:
    """Two pages of 60 lines; models, corpus, seed and versions stand on both pages."""
    for name in ("report.md", "details.md"):
        text = (evaluated / name).read_text()
        for named in ("a (", "b (", str(corpus), "seed 3", f"mmt {mmt.__version__}", "sha256"):
            assert named in text, named
    assert (evaluated / "report.md").read_text().count("\n") < 120


def test_only_listed_pieces_are_real_pieces_and_prompts(
    corpus: Path, checkpoints: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [piece.name for piece in mmt.Corpus(corpus, split="valid").pieces[:3]]
    (tmp_path / "names.txt").write_text("\n".join([*names, "unknown.mid", ""]))
    command = [*_command(corpus, checkpoints[:1], tmp_path / "out"), "--mode", "4-beat", "--no-likelihood"]
    assert evaluate.main([*command, "--pieces", str(tmp_path / "names.txt")]) == 0
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert found["rows"][0]["pieces"] == found["settings"]["pieces"] == 3
    assert names[0] in found["settings"]["only"]
    (tmp_path / "names.txt").write_text("unknown.mid")
    assert evaluate.main([*command, "--pieces", str(tmp_path / "names.txt"), "--overwrite"]) == 1
    assert "none of the 1 names is a piece" in capsys.readouterr().err


def test_continuations_begin_with_pieces_of_the_split(evaluated: Path, corpus: Path) -> None:
    """Each 16-beat continuation begins with the first 16 beats of a validation piece."""
    openings = set()
    for notes in map(mmt.Corpus(corpus, split="valid").notes, range(8)):
        openings.add(tuple(notes["pitch"][notes["beat"] - notes["beat"][0] < 16].tolist()))
    lines = (evaluated / "work" / "a-16-beat-continuation.jsonl").read_text().splitlines()[1:]
    assert len(lines) == 4
    for line in lines:
        kept = json.loads(line)[1]
        events = np.array(kept["events"])
        assert kept["first_beat"] == 16
        assert tuple((events[(events[:, 0] == 3) & (events[:, 1] <= 16), 3] - 1).tolist()) in openings


def test_stopped_evaluation_continues_to_the_same_results(
    evaluated: Path, corpus: Path, checkpoints: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*_command(corpus, checkpoints[:1], tmp_path / "again"), "--mode", "unconditional", "--mode", "4-beat"]
    fewer = [*command, "-n", "3", "--no-likelihood", "--quiet"]
    assert evaluate.main(fewer) == 0
    assert capsys.readouterr().out == ""
    assert evaluate.main([*command, "--no-likelihood"]) == 1
    assert "exists already" in capsys.readouterr().err
    ledger = tmp_path / "again" / "work" / "a-unconditional.jsonl"
    first = ledger.read_text().splitlines()
    assert evaluate.main([*command, "--overwrite"]) == 0
    assert ledger.read_text().splitlines()[:4] == first
    out = capsys.readouterr().out
    assert "nats per note" in out
    assert "intervals of fewer than 30 pieces are rough" in out
    whole, again = (json.loads((folder / "evaluation.json").read_text()) for folder in (evaluated, tmp_path / "again"))
    kept = {(row["mode"], row["length"]): row["measures"] for row in whole["rows"] if row["model"] == "a"}
    for row in again["rows"][2:]:
        assert row["measures"] == kept[row["mode"], row["length"]]
    assert again["likelihood"]["a"] == whole["likelihood"]["a"]
    assert again["distributions"]["a"] == whole["distributions"]["a"]


def test_corpus_of_another_representation_fails_before_writing(
    corpus: Path, checkpoints: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(corpus, tmp_path / "slides")
    write_description(tmp_path / "slides" / "corpus.json", mmt.Representation.slides())
    assert evaluate.main(_command(tmp_path / "slides", checkpoints, tmp_path / "out")) == 1
    assert "slides is not the model's" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_modes_without_beats_accept_short_pieces(
    checkpoints: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = {name: ("valid", notes[notes["beat"] < 8]) for name, notes in tiny_tables().items()}
    given = _command(write_corpus(tmp_path / "corpus", short), checkpoints[:1], tmp_path / "out")
    assert evaluate.main([*given, "--mode", "unconditional", "--mode", "instrument-informed", "-n", "1"]) == 0
    assert evaluate.main([*given, "--mode", "4-beat", "-n", "1", "--overwrite"]) == 1
    assert "goes on after 16 beats" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["-n", "0"], 2, "-n is 0"),
        (["--seed", "-1"], 2, "--seed is -1"),
        (["--corpus", "nowhere"], 1, "nowhere is not a prepared corpus"),
        (["--checkpoint", "nowhere"], 1, "nowhere"),
        (["--max-events", "5000"], 1, "it must be 32 to 128"),
        (["--split", "test"], 1, "no piece in its test split"),
        (["--checkpoint", "SAME", "SAME"], 1, "give each another folder name"),
        (["--stride", "100", "--mode", "unconditional", "-n", "1"], 1, "stride is 100"),
    ],
)
def test_errors_are_one_line(
    corpus: Path,
    checkpoints: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    said: str,
) -> None:
    given = _command(corpus, checkpoints[:1], tmp_path / "out")
    assert evaluate.main([*given, *(str(checkpoints[0]) if one == "SAME" else one for one in arguments)]) == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / "out" / "evaluation.json").exists()
