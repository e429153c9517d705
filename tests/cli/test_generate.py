"""mmt-generate: the three ways to generate, the files that it writes, and errors of one line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from small_corpora import model_of

import mmt
from mmt.analysis.ledger import fingerprint
from mmt.cli.common import UsageError
from mmt.cli.generate import main
from mmt.cli.sampling_flags import per_field
from mmt.cli.writing import notices, summary
from mmt.music import files
from mmt.music.audio import carried_soundfont
from mmt.representation.codes import FIELDS

TINY = Path(__file__).resolve().parents[2] / "data" / "tiny"
QUARTET = TINY / "mayer_quartet_in_g_minor.mid"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model, which writes valid pieces nevertheless."""
    folder = tmp_path_factory.mktemp("models") / "untrained"
    mmt.new_model("tiny", seed=0).save(folder)
    return folder


def generate(checkpoint: Path, *arguments: object) -> int:
    return main(["--checkpoint", str(checkpoint), "--device", "cpu", *map(str, arguments)])


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_a_piece_is_written_from_nothing(checkpoint: Path, tmp_path: Path) -> None:
    assert generate(checkpoint, "-o", tmp_path / "a.mid", "--seed", 3) == 0
    assert mmt.read(tmp_path / "a.mid").tracks


def test_int8_weights_write_what_the_library_writes_with_them(checkpoint: Path, tmp_path: Path) -> None:
    arguments = ("--seed", 3, "--max-events", 40, "--text", "-o", tmp_path / "a.mid")
    assert generate(checkpoint, "--weights", "int8", *arguments) == 0
    piece = mmt.load_model(checkpoint, weights="int8").generate(seed=3, max_events=40)[0]
    assert (tmp_path / "a.txt").read_text() == mmt.to_text(piece) + "\n"


def test_a_piece_without_notes_is_written_and_reported(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("-o", tmp_path / "a.mid", "--instruments", "violin", "--sampling", "paper", "--top-k", 1)
    assert generate(checkpoint, *arguments) == 0
    assert "0 notes, 0 beats" in capsys.readouterr().out


def test_a_tempo_changes_nothing_but_the_tempo(checkpoint: Path, tmp_path: Path) -> None:
    for name, more in (("a", ()), ("b", ("--tempo", 72))):
        assert (
            generate(checkpoint, "--seed", 3, "--max-events", 40, "--text", "-o", tmp_path / f"{name}.mid", *more) == 0
        )
    assert (tmp_path / "a.txt").read_text() == (tmp_path / "b.txt").read_text()
    assert [[round(t.qpm) for t in mmt.read(tmp_path / f"{name}.mid").tempos] for name in "ab"] == [[100], [72]]


@pytest.mark.parametrize("tempo", [0, -3, "nan", "inf", 1e9, 3.5])
def test_an_impossible_tempo_is_refused(checkpoint: Path, tmp_path: Path, tempo: object) -> None:
    assert generate(checkpoint, "--tempo", tempo, "-o", tmp_path / "a.mid") == 2
    assert not list(tmp_path.iterdir())


def test_a_folder_may_have_a_dot_in_its_name(checkpoint: Path, tmp_path: Path) -> None:
    assert generate(checkpoint, "-o", f"{tmp_path}/version.2/", "--seed", 3, "--max-events", 40) == 0
    assert sorted(file.name for file in (tmp_path / "version.2").iterdir()) == ["1.mid", "provenance.json"]


def test_instruments_have_their_programs_in_the_file(checkpoint: Path, tmp_path: Path) -> None:
    assert (
        generate(checkpoint, "--instruments", "violin, 42, Oboe", "-n", 3, "-o", tmp_path / "trios", "--seed", 1) == 0
    )
    for number in (1, 2, 3):
        assert {track.program for track in mmt.read(tmp_path / "trios" / f"{number}.mid").tracks} <= {40, 42, 68}


def test_continuing_keeps_the_first_beats(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.json"
    assert generate(checkpoint, "--continue", QUARTET, "--beats", 4, "-o", out, "--seed", 1) == 0
    before, after = (mmt.encode(mmt.read(path)) for path in (QUARTET, out))
    first = before[(before[:, 0] == 3) & (before[:, 1] <= 4)]
    assert np.array_equal(after[(after[:, 0] == 3) & (after[:, 1] <= 4)], first)
    assert mmt.read(out).tempos[0].qpm == mmt.read(QUARTET).tempos[0].qpm


def test_notes_of_the_prompt_that_are_left_out_are_printed(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate(checkpoint, "--continue", QUARTET, "--beats", 4, "-o", tmp_path / "c.mid")
    assert "1,820 of 1,824 notes kept; left out: 4 doubled notes" in capsys.readouterr().out


def test_picture_sound_page_and_text_are_written_next_to_the_piece(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.mid"
    assert generate(checkpoint, "-o", out, "--png", "--wav", "--html", "--text", "--seed", 3, "--max-beats", 8) == 0
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    with wave.open(str(out.with_suffix(".wav"))) as sound:
        assert sound.getnframes() > 0
    assert out.with_suffix(".txt").read_text().startswith("(0, 0, 0, 0, 0, 0) Start of song\n")
    assert out.with_suffix(".html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_users_soundfont_is_used_or_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")  # without FluidSynth, mmt plays the SoundFont itself
    piece = ["--seed", 3, "--max-beats", 8, "--quiet"]
    generate(checkpoint, "-o", tmp_path / "a.wav", *piece)
    generate(checkpoint, "-o", tmp_path / "b.mid", "--wav", "--soundfont", carried_soundfont(), *piece)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    (tmp_path / "text.sf2").write_text("this is no SoundFont")
    (tmp_path / "half.sf2").write_bytes(carried_soundfont().read_bytes()[:1000])
    for name, said in (("text.sf2", "not a SoundFont"), ("half.sf2", "cut off")):
        for out in ("c.wav", "c.html"):
            assert generate(checkpoint, "-o", tmp_path / out, "--soundfont", tmp_path / name, *piece) == 1
            assert f"{name} is {said}" in error_of(capsys)


def test_the_same_seed_gives_the_same_file(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("a.mid", "b.mid"):
        generate(checkpoint, "-o", tmp_path / name, "--seed", 7, "--temperature", "1.1", "--temperature", "pitch=0.9")
    assert (tmp_path / "a.mid").read_bytes() == (tmp_path / "b.mid").read_bytes()


def test_several_pieces_are_written_to_numbered_files(checkpoint: Path, tmp_path: Path) -> None:
    generate(checkpoint, "-o", tmp_path / "a.json", "-n", 2, "--quiet")
    assert [json.loads((tmp_path / f"a-{number}.json").read_text())["resolution"] for number in (1, 2)] == [12, 12]


def test_a_file_says_which_version_seed_and_model_made_it(checkpoint: Path, tmp_path: Path) -> None:
    generate(checkpoint, "-o", tmp_path / "a.json", "--seed", 3, "--max-events", 20, "--quiet")
    (made_by,) = json.loads((tmp_path / "a.json").read_text())["metadata"]["creators"]
    assert made_by == f"mmt-generate {mmt.__version__}, seed 3, model {fingerprint(mmt.load_model(checkpoint))}"


def test_a_folder_of_pieces_says_how_they_were_made(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pieces"
    assert generate(checkpoint, "-o", f"{folder}/", "-n", 2, "--seed", 3, "--max-events", 20, "--quiet") == 0
    made = json.loads((folder / "provenance.json").read_text())
    assert made["software"]["mmt"] == mmt.__version__
    assert made["command"].startswith("mmt-generate ")
    assert (made["model"], made["seed"]) == (fingerprint(mmt.load_model(checkpoint)), 3)
    assert list(made["pieces"]) == ["1.mid", "2.mid"]
    # That of another command is not lost.
    for number in (1, 2):
        (folder / f"{number}.mid").unlink()
    assert generate(checkpoint, "-o", f"{folder}/", "-n", 2, "--quiet") == 1
    assert "provenance.json exists already" in error_of(capsys)


def test_a_list_of_seeds_gives_a_piece_for_each(checkpoint: Path, tmp_path: Path) -> None:
    generate(checkpoint, "-o", tmp_path / "a.mid", "--seed", "5,3")
    generate(checkpoint, "-o", tmp_path / "b.mid", "--seed", 3)
    assert (tmp_path / "a-2.mid").read_bytes() == (tmp_path / "b.mid").read_bytes()


def notes_in(file: Path) -> set[tuple[int, int]]:
    """Program and pitch of every note."""
    return {(track.program, note.pitch) for track in mmt.read(file).tracks for note in track.notes}


def test_controls_apply_to_the_written_piece(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    controls = [
        "--scale",
        "C major",
        "--exclude",
        "C4,D4",
        "--ranges",
        "violin=C4..C6",
        "--ranges",
        "cello=36..C4",
        "--use-all",
    ]
    assert generate(checkpoint, "-o", out, "--instruments", "violin,cello", "--seed", 1, *controls) == 0
    for program, pitch in notes_in(out):
        assert pitch % 12 in (0, 2, 4, 5, 7, 9, 11)
        assert pitch not in (60, 62)
        assert 60 <= pitch <= 84 if program == 40 else 36 <= pitch <= 60
    assert {program for program, _ in notes_in(out)} == {40, 42}
    assert generate(checkpoint, "-o", tmp_path / "b.json", "--instruments", "violin", "--ranges", "--seed", 1) == 0
    assert {55 <= pitch <= 105 for _, pitch in notes_in(tmp_path / "b.json")} == {True}


def test_all_instruments_play_unless_use_all_is_off(checkpoint: Path, tmp_path: Path) -> None:
    def written(*flags: str) -> bytes:
        out = tmp_path / "a.json"
        asked = ("--instruments", "violin,cello,flute,tuba", "--seed", 1, "--max-events", 40, "--overwrite", "--quiet")
        assert generate(checkpoint, "-o", out, *asked, *flags) == 0
        return out.read_bytes()

    assert written() == written("--use-all") != written("--no-use-all")
    assert written("--grammar", "paper") == written("--grammar", "paper", "--no-use-all")


def test_every_editing_mode_keeps_the_held_notes(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beats = ["--beats", 4, "--seed", 1]
    before = mmt.prompt.beats(mmt.encode(mmt.read(QUARTET)), 4)
    for name, flags in (
        ("wind", ["--reorchestrate", QUARTET, "--instruments", "flute"]),
        ("viola", ["--reharmonise", QUARTET, "--part", "viola"]),
        ("around", ["--accompany", QUARTET, "--hold", "violin", "--instruments", "harp", "--candidates", 2]),
        (
            "bar",
            ["--accompany", QUARTET, "--hold", "violin", "--from-beat", 1, "--to-beat", 2, "--candidates", 2],
        ),
        ("gap", ["--fill", QUARTET, "--from-beat", 1, "--to-beat", 2, "--candidates", 2]),
    ):
        out = tmp_path / f"{name}.json"
        assert generate(checkpoint, *flags, *beats, "-o", out) == 0
        after = mmt.encode(mmt.read(out))
        held = {"wind": slice(1, 5), "viola": [1, 2, 4], "around": slice(1, 6)}.get(name, slice(1, 6))
        kept = {
            "wind": before,
            "viola": before,
            "around": before[before[:, 5] == 25],
            "bar": before[(before[:, 1] != 2) | (before[:, 5] == 25)],
            "gap": before[before[:, 1] != 2],
        }[name]
        notes = kept[kept[:, 0] == 3][:, held].tolist()
        assert all(note in after[:, held].tolist() for note in notes), name
    assert "notes kept" in capsys.readouterr().out


def test_a_form_is_written_as_the_library_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--instruments", "violin,cello", "--form", "ABA", "--section", "6", "--seed", "3", "-n", "2", "--text"]
    assert main([*flags, "-o", str(tmp_path / "a.mid")]) == 0
    assert "; seed 3, piece 2; form ABA" in capsys.readouterr().out
    model = mmt.load_model()
    duo = mmt.prompt.instruments("violin", "cello")
    pieces = mmt.edit.compose(model, duo, "ABA", 6, n=2, seed=3, use_all=True)
    for number, piece in enumerate(pieces, 1):
        text = (tmp_path / f"a-{number}.txt").read_text("utf-8")
        assert text == mmt.to_text(piece, representation=model.representation) + "\n"


def test_the_seed_that_was_drawn_is_printed_and_stored(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.json", "a.mid"):
        assert generate(checkpoint, "-o", tmp_path / name, "-n", 2, "--max-events", 20) == 0
        lines = capsys.readouterr().out.splitlines()
        seed = re.search(r"; (seed \d+); ", lines[1])[1]  # type: ignore[index]
        assert f"; {seed}, piece 2; " in lines[2]
        stem, suffix = name.split(".")
        assert f", {seed}, piece 2".encode() in (tmp_path / f"{stem}-2.{suffix}").read_bytes()
        number = seed.removeprefix("seed ")
        again = ("-o", tmp_path / f"again.{suffix}", "--seed", number, "--max-events", 20, "--quiet")
        assert generate(checkpoint, *again) == 0
        assert (tmp_path / f"again.{suffix}").read_bytes() == (tmp_path / f"{stem}-1.{suffix}").read_bytes()


def test_the_filters_in_force_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = mmt.new_model("tiny", seed=0)
    model.sampling = {"min_p": 0.01, "loop_guard": 0.3, "max_rest": 8}
    model.save(tmp_path / "model")
    flags = ("--max-events", 20, "--min-p", "beat=0.05", "--temperature", 0.9, "--temperature", "pitch=1")
    assert generate(tmp_path / "model", "-o", tmp_path / "a.mid", *flags) == 0
    assert (
        "sampling with temperature 0.9 (pitch 1), min_p 0.01 (beat 0.05), loop guard 0.3, no silence of 8 beats\n"
        in capsys.readouterr().out
    )


def test_new_beats_are_written_after_the_file(checkpoint: Path, tmp_path: Path) -> None:
    for flags in (("--new-beats", 3), ("--max-beats", 7)):
        out = tmp_path / f"{flags[0]}.json"
        assert generate(checkpoint, "--continue", QUARTET, "--beats", 4, *flags, "-o", out, "--seed", 1, "--quiet") == 0
    assert (tmp_path / "--new-beats.json").read_bytes() == (tmp_path / "--max-beats.json").read_bytes()


def test_quiet_prints_nothing(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(checkpoint, "-o", tmp_path / "a.mid", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("finished", "said"), [(0, "nothing was written"), (1, "1.mid kept"), (5, "1.mid, 2.mid, 3.mid and 2 more kept")]
)
def test_ctrl_c_keeps_finished_pieces_and_says_so(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    finished: int,
    said: str,
) -> None:
    written: list[Path] = []
    write = files.write

    def write_or_stop(path: Path, *music: object, **options: object) -> None:
        if len(written) == finished:
            raise KeyboardInterrupt
        write(path, *music, **options)  # type: ignore[arg-type]
        written.append(path)

    monkeypatch.setattr(files, "write", write_or_stop)
    monkeypatch.chdir(tmp_path)
    assert generate(checkpoint, "-o", ".", "-n", 6, "--max-events", 16, "--quiet") == 130
    assert error_of(capsys) == f"mmt-generate: stopped: {said}"
    assert len(list(tmp_path.glob("*.mid"))) == finished


def test_ensembles_are_expanded_and_an_instrument_named_twice_is_one_part(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = ("--instruments", "string trio, Violin", "--seed", 1, "--max-events", 20)
    assert generate(checkpoint, "-o", tmp_path / "a.json", *two) == 0
    assert "violin: named more than once, and one part here" in capsys.readouterr().out
    assert generate(checkpoint, "-o", tmp_path / "b.json", "--instruments", "violin viola cello", *two[2:]) == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_instruments_that_were_rare_in_training_are_named() -> None:
    assert notices(["violin", "koto"], [], {"violin": 500}) == ["rare in the model's training data: koto (0 pieces)"]
    assert notices(["violin", "koto"], [], None) == []


def test_the_last_of_several_numbers_counts_and_those_of_fields_stay() -> None:
    assert per_field("min_p", ["beat=0.1", "0.2", "0.3", "beat=0.4"]) == dict.fromkeys(FIELDS, 0.3) | {"beat": 0.4}
    assert per_field("min_p", ["beat=0.1,pitch=0.2"]) == {"beat": 0.1, "pitch": 0.2}
    with pytest.raises(UsageError, match=r"--min-p =0\.1: there is no field before =; write pitch=0\.1"):
        per_field("min_p", ["=0.1"])


def test_instruments_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list-instruments"]) == 0
    instruments, ensembles = capsys.readouterr().out.split("\n\n")
    lines = instruments.splitlines()
    assert len(lines) == 65  # the 64 of the paper, and drums
    assert lines[-1].startswith("drums ")
    assert re.search(r"^string quartet +violin, viola, cello$", ensembles, re.MULTILINE)
    assert any(line.startswith("english-horn") and "69 English Horn" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["-o", "a.mid", "--instruments", "violni"], 1, "did you mean violin"),
        (["-o", "a.mid", "--continue", "missing.mid"], 1, "missing.mid"),
        (["-o", "a.mid", "--continue", "empty.mid"], 1, "empty"),
        (["-o", "a.mid", "--continue", "text.mid"], 1, "text.mid"),
        (["-o", "a.mid", "--continue", "cut.mid"], 1, "cut.mid"),
        (["-o", "a.mid", "--continue", "drums.json"], 1, "no usable notes"),
        (["-o", "a.mid", "--continue", str(QUARTET), "--beats", "100000"], 1, "ask for at most"),
        (["-o", "a.mid", "--continue", str(QUARTET), "--beats", "0"], 1, "at least 1"),
        (["-o", "there.mid"], 1, "exists"),
        (["-o", "a.mid", "--temperature", "0"], 1, "above 0"),
        (["-o", "a.mid", "--temperature", "tone=1"], 1, "unknown field 'tone'"),
        (["-o", "a.mid", "--temperature", "warm"], 2, "not a number"),
        (["-o", "a.mid", "--beats", "4"], 2, "--continue"),
        (["-o", "a.mid", "--continue", str(QUARTET), "--instruments", "violin"], 2, "choose one"),
        (["-o", "a.mid", "-n", "0"], 2, "at least 1"),
        (["-o", "a.mp3"], 1, ".mid"),
        (["-o", "a.mid", "--max-events", "3"], 1, "max_events"),
        (["-o", "a.mid", "--device", "abacus"], 1, "abacus"),
        (["-o", "a.mid", "--seed", "1,2", "-n", "3"], 1, "2 seeds"),
        (["-o", "a.mid", "--scale", "H major"], 1, "such as 'C major'"),
        (["-o", "a.mid", "--scale", "C major", "--allow", "C#4"], 1, "leaves no pitch to sample"),
        (["-o", "a.mid", "--instruments", "flute", "--ranges", "--allow", "C1"], 1, "leaves flute no pitch to sample"),
        (["-o", "a.mid", "--ranges", "C1..C2"], 2, "INSTRUMENT=LOW..HIGH"),
        (["-o", "a.mid", "--ranges", "violin"], 2, "INSTRUMENT=LOW..HIGH"),
        (["-o", "a.mid", "--ranges", "violni=C1..C2"], 1, "did you mean violin"),
        (["-o", "a.mid", "--ranges", "violin=C4..C5,violin=C5..C6"], 2, "violin is given twice"),
        (["-o", "a.mid", "--instruments", "flute", "--ranges", "tuba=C1..C2"], 1, "tuba is given a range, and has no"),
        (
            ["-o", "a.mid", "--instruments", "flute,oboe", "--use-all", "--max-events", "5"],
            1,
            "2 instruments that must play",
        ),
        (["-o", "a.mid", "--use-all", "--grammar", "paper"], 1, "grammar='strict' only"),
        (["-o", "a.mid", "--min-beats", "9", "--max-beats", "8"], 1, "min_beats is 9"),
        (["-o", "a.mid", "--continue", str(QUARTET), "--max-beats", "24"], 1, "new_beats from the end of the prompt"),
        (["-o", "a.mid", "--new-beats", "3", "--max-beats", "24"], 1, "give one of them"),
        (["-o", "a.mid", "--fill", str(QUARTET)], 2, "--fill needs --from-beat"),
        (["-o", "a.mid", "--fill", str(QUARTET), "--continue", str(QUARTET)], 2, "choose one"),
        (["-o", "a.mid", "--fill", str(QUARTET), "--from-beat", "9", "--to-beat", "8"], 1, "from_beat < to_beat"),
        (["-o", "a.mid", "--from-beat", "8"], 2, "--from-beat goes with --rewrite or --fill or --accompany"),
        (["-o", "a.mid", "--candidates", "8"], 2, "--candidates goes with"),
        (["-o", "a.mid", "--section", "8"], 2, "--section goes with --form"),
        (["-o", "a.mid", "--form", "ABA", "--length", "64"], 2, "--length does not go with --form"),
        (["-o", "a.mid", "--form", "ABA", "--rewrite", str(QUARTET)], 2, "--form does not go with --rewrite"),
        (["-o", "a.mid", "--form", "ABA", "--loop-guard", "0"], 2, "--loop-guard does not go with --form"),
        (["-o", "a.mid", "--form", ""], 1, "a form needs a model"),
        (["-o", "a.mid", "--form", "ABA"], 1, "a form needs a model with given notes and lengths"),
        (["-o", "a.mid", "--rewrite", str(QUARTET), "--loop-guard", "1"], 2, "--loop-guard does not go with --rewrite"),
        (["-o", "a.mid", "--reorchestrate", str(QUARTET)], 2, "--reorchestrate needs --instruments"),
        (["-o", "a.mid", "--reharmonise", str(QUARTET), "--part", "harp"], 1, "harp does not play in the piece"),
        (
            ["-o", "a.mid", "--accompany", str(QUARTET), "--hold", "violin", "--use-all"],
            2,
            "--use-all does not go with",
        ),
        (["-o", "there"], 1, "there is a file; give another folder, or a name that ends in .mid"),
        (["-o", "a.wav", "--soundfont", "none.sf2"], 1, "there is no SoundFont none.sf2"),
        (["-o", "a.mid", "--wav", "--soundfont", __file__], 1, "is not a SoundFont; name an .sf2 file"),
        (["-o", "a.mid", "--png", "--soundfont", str(carried_soundfont())], 2, "give --wav or --html too"),
        ([], 2, "-o piece.mid"),
    ],
)
def test_errors_of_a_command_are_one_line(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.mid").touch()
    Path("there.mid").touch()
    Path("there").touch()
    Path("text.mid").write_text("this is no music")
    Path("cut.mid").write_bytes(QUARTET.read_bytes()[:500])
    drum = {"time": 0, "pitch": 40, "duration": 1, "velocity": 64}
    Path("drums.json").write_text(
        json.dumps({"resolution": 4, "tracks": [{"program": 0, "is_drum": True, "name": "kit", "notes": [drum]}]})
    )
    before = sorted(tmp_path.iterdir())
    assert main(["--checkpoint", str(checkpoint), *arguments]) == status
    assert said in error_of(capsys)
    assert sorted(tmp_path.iterdir()) == before


def test_a_checkpoint_that_does_not_load_is_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate(tmp_path / "nowhere", "-o", tmp_path / "a.mid") == 1
    assert "nowhere" in error_of(capsys)
    other = tmp_path / "other"
    mmt.load_model(checkpoint).save(other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"format_version": 99}))
    assert generate(other, "-o", tmp_path / "a.mid") == 1
    assert "format version 99" in error_of(capsys)
    (other / "config.json").write_text(json.dumps(config))
    (other / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes()[:1000])
    assert generate(other, "-o", tmp_path / "a.mid") == 1
    assert "corrupt or truncated" in error_of(capsys)


def test_debug_shows_the_traceback(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(checkpoint, "-o", tmp_path / "a.mid", "--instruments", "violni", "--debug") == 1
    said = capsys.readouterr().err
    assert said.startswith("Traceback ")
    assert "did you mean" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--no-such-flag"], "unrecognized arguments: --no-such-flag"),
        (["--seed", "1,x"], "'1,x' is not a whole number"),
    ],
)
def test_an_unknown_flag_exits_with_a_usage_error(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(given)
    assert stop.value.code == 2
    assert said in error_of(capsys)


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_help_imports_no_heavy_library() -> None:
    code = (
        "import sys; from mmt.cli.generate import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'muspy', 'numpy', 'matplotlib', 'lightning') if m in sys.modules])"
    )
    assert run_python(code).splitlines()[-1] == "[]"


def test_writing_a_midi_file_imports_no_library_of_other_formats(checkpoint: Path, tmp_path: Path) -> None:
    flags = ["--checkpoint", str(checkpoint), "-o", str(tmp_path / "a.mid"), "--max-events", "8", "--quiet"]
    absent = ("music21", "pypianoroll", "pretty_midi", "matplotlib", "scipy.stats", "lightning")
    code = f"import sys; from mmt.cli.generate import main; main({flags}); print([m for m in {absent} if m in sys.modules])"
    assert run_python(code) == "[]"
    assert (tmp_path / "a.mid").exists()


def test_muspy_is_complete_after_a_light_import() -> None:
    code = (
        "from mmt.cli.light_muspy import import_muspy_lightly; import_muspy_lightly(); import muspy\n"
        "music = muspy.Music(resolution=12, tracks=[muspy.Track(program=40, notes=[muspy.Note(0, 60, 12)])])\n"
        "kind = type(music.to_pretty_midi()).__name__\n"
        "print(kind, muspy.read_midi.__name__, isinstance(music, muspy.Music), hasattr(muspy, 'nothing'))"
    )
    assert run_python(code) == "PrettyMIDI read_midi True False"


def test_every_example_is_continued(shared: Path, tmp_path: Path) -> None:
    """Real MIDI and MusicXML files, by a model with the size of the tiny one and the context of the shipped one."""
    recipe = tmp_path / "wide.yaml"
    recipe.write_text(
        "representation: {beats: 256}\nnetwork: {dim: 32, layers: 1, heads: 2, head_dim: 16, positions: rotary}\n"
    )
    mmt.new_model(recipe).save(tmp_path / "wide")
    files = sorted(file for folder in ("mid", "mxl") for file in (shared / "data" / "examples" / folder).iterdir())
    assert len(files) == 41
    for file in files:
        out = tmp_path / f"{file.name}.mid"
        assert generate(tmp_path / "wide", "--continue", file, "--beats", 4, "-o", out, "--quiet") == 0, file
        assert mmt.read(out).tracks


def test_drums_are_listed_if_the_model_has_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model_of(mmt.Representation(beats=64, drums=True)).save(tmp_path / "drums")
    assert main(["--list-instruments", "--checkpoint", str(tmp_path / "drums")]) == 0
    instruments, ensembles = capsys.readouterr().out.split("\n\n")
    lines = instruments.splitlines()
    assert len(lines) == 65
    assert re.search(r"^jazz trio +piano, bass, drums$", ensembles, re.MULTILINE)
    assert lines[-1].split() == ["drums", "every", "program", "of", "MIDI", "channel", "10"]


def test_an_instrument_whose_notes_are_given_is_not_silent() -> None:
    representation = mmt.Representation(given=True)
    events = np.array([[0] * 6, [1, 0, 0, 0, 0, 25], [1, 0, 0, 0, 0, 27], [2, 0, 0, 0, 0, 0], [5, 1, 1, 61, 12, 25]])
    music = mmt.decode(events, representation=representation)
    assert summary(music, events, representation) == "1 note, 1 beat, violin; silent: cello"


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ([3, 2, 1, 61, 12, 25], "1 note, 2 beats, violin"),
        ([3, 2, 7, 61, 12, 25], "1 note, 2 beats (the last notes sound for 0.5 more), violin"),
        ([3, 2, 1, 61, 32, 25], "1 note, 2 beats (the last notes sound for 31 more), violin"),
    ],
)
def test_beats_are_counted_as_limits_count_them(last: list[int], said: str) -> None:
    events = np.array([[0] * 6, [1, 0, 0, 0, 0, 25], [2, 0, 0, 0, 0, 0], last])
    assert summary(mmt.decode(events), events, mmt.Representation()) == said


@pytest.mark.parametrize(
    "wrong",
    [
        ("--continue", QUARTET, "--beats", 8, "--max-beats", 4),
        ("--continue", QUARTET, "--beats", 8, "--new-beats", 0),
        ("--continue", QUARTET, "--beats", 8, "--min-beats", 20, "--max-beats", 12),
        ("--continue", QUARTET, "--beats", 99999),
        ("--instruments", "violin,violin,koto", "--max-events", 5),
        ("--instruments", "violin", "--scale", "H"),
        ("--fill", QUARTET, "--from-beat", 4, "--to-beat", 2),
        ("--accompany", QUARTET, "--hold", "flute", "--instruments", "cello"),
        ("--reharmonise", QUARTET, "--part", "flute"),
    ],
)
def test_nothing_is_printed_before_an_error(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: tuple[object, ...]
) -> None:
    assert generate(checkpoint, "-o", tmp_path / "a.mid", *wrong) == 1
    printed = capsys.readouterr()
    assert not printed.out
    assert len(printed.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())
