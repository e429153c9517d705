"""mmt-attention: the tables, arrays and plots that it writes, and errors."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import mmt
from mmt.analysis.attention.nulls import COMPARED
from mmt.analysis.attention.plots import draw_codes, draw_gain, stands_out
from mmt.analysis.intervals import FewPiecesWarning
from mmt.analysis.ledger import fingerprint
from mmt.cli import attention
from mmt.corpus.prepare import prepare
from mmt.representation.codes import FIELDS, Representation

TINY = Path(__file__).resolve().parents[2] / "data" / "tiny"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model and two corpora: one with its representation, one with that of the talk."""
    home = tmp_path_factory.mktemp("attention")
    mmt.new_model("tiny", seed=1).save(home / "model")
    music = [TINY / "franz_fuer_einen.mid", TINY / "lehmann_in_april_mood.mid"]
    prepare(music, home / "corpus", shares={"valid": 0.0, "test": 0.0})
    prepare(music[:1], home / "slides", representation=Representation.slides())
    return home


def run(folder: Path, out: Path, *more: str) -> int:
    given = ["--checkpoint", f"{folder}/model", "--corpus", f"{folder}/corpus", "--split", "all", "-o", str(out)]
    return attention.main([*given, "--device", "cpu", *more])


@pytest.fixture(scope="module")
def report(folder: Path) -> Path:
    assert run(folder, folder / "new" / "report", "--quiet") == 0
    return folder / "new" / "report"


def test_report_has_tables_arrays_and_plots(report: Path) -> None:
    names = {path.name for path in report.iterdir()}
    wanted = {"nulls.csv", "figure3_null_moments.png", "figure3_null_events.png", "figure3_null_beats.png"}
    assert wanted <= names
    wanted = {"relative.csv", "absolute.csv", "statistics.npz", "figure3_row_gain.png", "figure3_gain_layer1.png"}
    assert wanted <= names
    assert {f"heads_{field}.png" for field in FIELDS} <= names
    for name in names:
        if name.endswith(".png"):
            assert (report / name).read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in report.parent.iterdir()] == ["report"]


def test_tables_match_the_library(folder: Path, report: Path) -> None:
    model, corpus = mmt.load_model(folder / "model"), mmt.Corpus(folder / "corpus")
    found = mmt.attention.relative(model, corpus)
    with (report / "relative.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["field"] for row in rows} == set(FIELDS)
    with pytest.warns(FewPiecesWarning):
        low, high = found["pitch"].confidence(0.95, "row_gain")
    for row in rows:
        if row["field"] == "pitch" and row["head"] == "1":
            where = (int(row["layer"]), 1, int(row["difference"]) + 127)
            assert float(row["gain"]) == pytest.approx(found["pitch"].gain[where], rel=1e-5, abs=1e-9)
            assert float(row["row_gain_low"]) == pytest.approx(low[where], rel=1e-5, abs=1e-9)
            assert float(row["row_gain_high"]) == pytest.approx(high[where], rel=1e-5, abs=1e-9)
    with (report / "absolute.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if row["field"] == "duration" and row["gain_low"] != "nan")
    found = mmt.attention.absolute(model, corpus, "duration")
    where = int(row["layer"]), int(row["head"]), int(row["query_code"]) - 1, int(row["key_code"]) - 1
    with pytest.warns(FewPiecesWarning):
        low, high = found.confidence(0.95, "gain")
    assert float(row["gain_low"]) == pytest.approx(low[where], rel=1e-5, abs=1e-9)
    assert float(row["gain_high"]) == pytest.approx(high[where], rel=1e-5, abs=1e-9)
    merged = [float(row["gamma"]) for row in rows if (row["field"], row["layer"], row["head"]) == ("beat", "0", "all")]
    assert sum(merged) == pytest.approx(1, abs=1e-5)


def test_null_models_in_the_report_match_the_library(folder: Path, report: Path) -> None:
    model, corpus = mmt.load_model(folder / "model"), mmt.Corpus(folder / "corpus")
    with (report / "nulls.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["field"], row["null"]) for row in rows} == set(COMPARED)
    for head in ("1", "all"):
        found = mmt.attention.contrast(model, corpus, "pitch", "moments")
        found = found.merged() if head == "all" else found
        with pytest.warns(FewPiecesWarning):
            low, high = found.bands()
        chosen = [row for row in rows if (row["field"], row["null"], row["head"]) == ("pitch", "moments", head)]
        assert chosen
        for row in chosen:
            where = int(row["layer"]), 0 if head == "all" else 1, int(row["difference"]) + 127
            written = [float(row[name]) for name in ("gain", "gain_low", "gain_high")]
            assert written == pytest.approx([found.gain[where], low[where], high[where]], rel=1e-5, abs=1e-9)


def test_the_report_says_what_it_was_made_with(folder: Path, report: Path) -> None:
    found = json.loads((report / "provenance.json").read_text())
    assert found["software"]["mmt"] == mmt.__version__
    assert found["command"].startswith(f"mmt-attention --checkpoint {folder}/model --corpus {folder}/corpus")
    assert {"commit", "torch", "numpy", "python"} <= set(found["software"])
    assert found["model"]["fingerprint"] == fingerprint(mmt.load_model(folder / "model"))
    corpus = mmt.Corpus(folder / "corpus")
    assert found["corpus"] == {
        "folder": f"{folder}/corpus", "split": "all", "pieces": len(corpus), "sha256": corpus.sha256
    }  # fmt: skip
    assert (found["seed"], found["level"]) == (0, 0.95)


def test_the_command_warns_of_few_pieces_once(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out in (tmp_path / "one", tmp_path / "two"):
        assert run(folder, out, "-n", "2", "--format", "svg") == 0
        assert capsys.readouterr().err.count("2 pieces are few") == 1


def test_arrays_round_trip(folder: Path, report: Path, tmp_path: Path) -> None:
    model, corpus = mmt.load_model(folder / "model"), mmt.Corpus(folder / "corpus")
    direct, read = mmt.attention.measure(model, corpus), mmt.attention.read_statistics(report)
    for field in FIELDS:
        np.testing.assert_array_equal(read.relative[field].attention, direct.relative[field].attention)
        np.testing.assert_array_equal(read.absolute[field].row_gain, direct.absolute[field].row_gain)
        np.testing.assert_array_equal(read.relative[field].differences, direct.relative[field].differences)
    for key, sums in direct.expected.items():
        np.testing.assert_array_equal(read.contrast(*key).expected, sums)
    with pytest.raises(ValueError, match="no comparison of 'beat' with the null model 'beats'; there are: beat events"):
        read.contrast("beat", "beats")
    with np.load(report / "statistics.npz") as arrays:
        np.savez(tmp_path / "old.npz", **{name: arrays[name] for name in arrays if not name.startswith("expected")})
    with pytest.raises(ValueError, match="as an older mmt wrote it; run mmt-attention --overwrite again"):
        mmt.attention.read_statistics(tmp_path / "old.npz")
    with pytest.raises(ValueError, match="mmt-attention makes one"):
        mmt.attention.read_statistics(folder)


def test_only_a_report_is_overwritten_and_only_on_request(
    folder: Path, report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, report) == 1
    assert "exists already" in capsys.readouterr().err
    assert run(folder, report, "--overwrite", "-n", "1", "--format", "svg") == 0
    assert "figure3_row_gain.svg" in capsys.readouterr().out
    assert not (report / "figure3_row_gain.png").exists()
    assert len(mmt.attention.read_statistics(report).relative["beat"].attention) == 1
    assert run(folder, folder / "model", "--overwrite") == 1
    assert "not a report of mmt-attention" in capsys.readouterr().err
    assert mmt.load_model(folder / "model")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--corpus", "SLIDES"], "not the model's"),
        (["--corpus", "nowhere"], "mmt-prepare"),
        (["--split", "test"], "no piece in its test split"),
        (["--level", "95"], "level is 95"),
        (["--format", "gif"], "choose png, svg or pdf"),
        (["-n", "0"], "at least one piece"),
        (["--checkpoint", "nowhere"], "nowhere"),
    ],
)
def test_errors_are_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    arguments = [str(folder / "slides") if part == "SLIDES" else part for part in arguments]
    assert run(folder, tmp_path / "out", *arguments) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not list(tmp_path.iterdir())


def test_panel_shows_the_gain_of_its_layer(folder: Path) -> None:
    found = mmt.attention.relative(mmt.load_model(folder / "model"), mmt.Corpus(folder / "corpus"))
    figure = draw_gain(found, layers=[1], head=0, fields=["pitch"], level=None)
    _, bars, *_ = figure.axes[0].collections
    inside = np.abs(found["pitch"].differences) <= 24
    corners = np.array([path.vertices[:4] for path in bars.get_paths()])
    np.testing.assert_allclose(corners[:, 1, 1], 100 * found["pitch"].row_gain[1, 0, inside])
    np.testing.assert_allclose(corners[:, :, 0].mean(axis=1), found["pitch"].differences[inside])
    np.testing.assert_array_equal(bars.get_facecolors()[:, 0] > bars.get_facecolors()[:, 2], corners[:, 1, 1] >= 0)
    assert stands_out("pitch", [-19, -13, 1, 16]).tolist() == [True, False, False, True]
    for wrong in ({"layers": [2]}, {"head": 2}, {"fields": ["velocity"]}):
        with pytest.raises(ValueError, match=r"there (is|are) no"):
            draw_gain(found, **wrong)


def test_codes_that_occur_are_named(folder: Path) -> None:
    found = mmt.attention.absolute(mmt.load_model(folder / "model"), mmt.Corpus(folder / "corpus"), "instrument")
    axes = draw_codes(found, layer=0, head=1).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["piano", "voices"]


def test_what_is_measured_is_printed_after_the_arguments_are_checked(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in (
        ("-n", "0"),
        ("--level", "2"),
        ("--format", "gif"),
        ("--corpus", f"{folder}/slides"),
        ("--split", "odd"),
    ):
        assert run(folder, tmp_path / "out", *wrong) == 1
        assert not capsys.readouterr().out
    (tmp_path / "out").mkdir()
    assert run(folder, tmp_path / "out", "-n", "100") == 0
    assert "over 2 pieces of" in capsys.readouterr().out
