"""Filters and duplicates: which pieces are left out of a corpus, and the counts of the reasons."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import muspy
import numpy as np
import pytest

import mmt
from mmt.corpus.assembly import _kind
from mmt.corpus.prepare import prepare
from mmt.corpus.storage import Corpus


def piece(beats: int, *, instruments: int = 1, drums: int = 0, shift: int = 0, first: int = 60) -> muspy.Music:
    """One note per beat for each instrument, and some drums."""
    tracks = [
        muspy.Track(program, notes=[muspy.Note(12 * beat, first + shift + beat % 7, 12) for beat in range(beats)])
        for program in (0, 40, 42)[:instruments]
    ]
    tracks.append(muspy.Track(0, is_drum=True, notes=[muspy.Note(12 * beat, 36, 6) for beat in range(drums)]))
    return muspy.Music(resolution=12, tracks=tracks)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filters") / "music"
    folder.mkdir()
    mmt.write(folder / "a_short.mid", piece(3))
    mmt.write(folder / "b_duo.mid", piece(10, instruments=2))
    mmt.write(folder / "c_long.mid", piece(100, instruments=3))
    mmt.write(folder / "d_drums.mid", piece(20, instruments=2, drums=60, first=40))
    mmt.write(folder / "e_up.mid", piece(10, instruments=2, shift=5))
    shutil.copy(folder / "b_duo.mid", folder / "f_copy.mid")
    return folder


@pytest.mark.parametrize(
    ("filters", "left_out"),
    [
        ({}, {}),
        ({"min_notes": 4}, {"a": "fewer than 4 usable notes"}),
        ({"min_beats": 4}, {"a": "shorter than 4 beats"}),
        ({"min_beats": 3}, {}),
        ({"max_beats": 99}, {"c": "longer than 99 beats"}),
        ({"max_beats": 100}, {}),
        ({"min_instruments": 2}, {"a": "only one instrument"}),
        ({"min_instruments": 3}, dict.fromkeys("abdef", "fewer than 3 instruments")),
        ({"max_drums": 0.5}, {"d": "more than 50% of its notes are drums"}),
        ({"max_drums": 0.6}, {}),
        ({"max_drums": 0}, {"d": "with drums"}),
        ({"duplicates": "files"}, {"f": "the same file as an earlier one"}),
        (
            {"duplicates": "notes"},
            {
                "e": "the same notes as an earlier one, transposed or not",
                "f": "the same file as an earlier one",
            },
        ),
        ({"exclude": ["*DRUMS*", "?_up.mid"]}, {"d": "excluded", "e": "excluded"}),
    ],
)
def test_each_filter_leaves_out_pieces_beyond_its_limit_and_counts_them(
    music: Path, tmp_path: Path, filters: dict[str, object], left_out: dict[str, str]
) -> None:
    outcome = prepare([music], tmp_path / "corpus", **filters)  # type: ignore[arg-type]
    assert {name[0]: reason for name, reason in outcome.skipped.items()} == left_out
    kept = [one.name[0] for one in Corpus(tmp_path / "corpus").pieces]
    assert kept == sorted(set("abcdef") - set(left_out))
    report = json.loads((tmp_path / "corpus" / "report.json").read_text())
    assert report["files"]["kept"] == outcome.kept == len(kept)
    assert sum(report["files"]["reasons"].values()) == outcome.reasons.total() == len(left_out)
    assert all(reason in str(outcome) for reason in left_out.values())


def test_drums_are_kept_where_the_representation_has_them(music: Path, tmp_path: Path) -> None:
    mmt.write(tmp_path / "drums.mid", piece(0, instruments=0, drums=8))
    drums, paper = mmt.Representation(drums=True), mmt.Representation()
    sources, folders = [music, tmp_path / "drums.mid"], [tmp_path / "plain", tmp_path / "full"]
    plain, full = (
        prepare(sources, folder, representation=representation)
        for folder, representation in zip(folders, (paper, drums), strict=True)
    )
    without, with_drums = map(Corpus, folders)
    assert plain.skipped == {"drums.mid": "fewer than 1 usable notes"}
    assert full.skipped == {}
    assert (plain.notes.dropped["drum notes"], full.notes.dropped["drum notes"]) == (60, 0)
    assert (full.kept, full.notes.kept) == (plain.kept + 1, plain.notes.kept + 60 + 8)
    for index, name in enumerate(one.name for one in with_drums.pieces):
        notes = with_drums.notes(index)
        expected = mmt.encode(mmt.read(tmp_path / name if name == "drums.mid" else music / name), representation=drums)
        np.testing.assert_array_equal(with_drums[index], expected)
        assert ("drums" in with_drums.pieces[index].instruments) == (drums.drums_code in notes["instrument"])
        assert ("drums" in with_drums.pieces[index].instruments) == ("drums" in name)
    splits = {one.name: one.split for one in with_drums.pieces}
    assert {one.name: one.split for one in without.pieces} == {
        name: splits[name] for name in splits if name != "drums.mid"
    }


@pytest.mark.parametrize(
    ("share", "reason"), [(0.5, "more than 50% of its notes are drums"), (0.6, ""), (0, "with drums")]
)
def test_the_drum_share_does_not_depend_on_keeping_drums(
    music: Path, tmp_path: Path, share: float, reason: str
) -> None:
    representation = mmt.Representation(drums=True)
    outcome = prepare([music], tmp_path / "corpus", representation=representation, max_drums=share)
    assert outcome.skipped == ({"d_drums.mid": reason} if reason else {})


def test_pieces_that_differ_only_in_drums_are_duplicates(tmp_path: Path) -> None:
    mmt.write(tmp_path / "a.mid", piece(20, drums=10))
    mmt.write(tmp_path / "b.mid", piece(20, drums=15, shift=2))
    files = [tmp_path / "a.mid", tmp_path / "b.mid"]
    outcome = prepare(files, tmp_path / "corpus", representation=mmt.Representation(drums=True), duplicates="notes")
    assert outcome.skipped == {"b.mid": "the same notes as an earlier one, transposed or not"}


def test_a_duplicate_of_a_skipped_piece_is_kept(music: Path, tmp_path: Path) -> None:
    outcome = prepare([music], tmp_path / "corpus", duplicates="notes", exclude=["b_*"])
    assert {name[0] for name in outcome.skipped} == {"b", "f"}


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (
            "track 1 is damaged: an undefined status byte, 0xf4, at byte 183",
            "an undefined status byte, …xf… at byte …",
        ),
        ("this is not ABC (a tune begins with X: and has a K: for its key)",) * 2,
        ("the file is cut short: the end of track 2 is missing (122 bytes)", "the end of track … is missing (… bytes)"),
    ],
)
def test_a_shortened_reason_consists_of_whole_words(reason: str, kind: str) -> None:
    assert _kind(reason) == kind


def test_reasons_that_differ_in_numbers_are_counted_together(music: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(music, tmp_path / "music"))
    whole = (folder / "c_long.mid").read_bytes()
    for size in (300, 400, 500):
        (folder / f"x{size}.mid").write_bytes(whole[:size])
    outcome = prepare([folder], tmp_path / "corpus")
    assert list(outcome.reasons.values()) == [3]
    assert len(set(outcome.skipped.values())) == 3


def test_patterns_from_a_generator_exclude_and_numbers_of_numpy_are_options(music: Path, tmp_path: Path) -> None:
    plain = prepare([music], tmp_path / "a", exclude=["b_*"], seed=4, min_notes=4)
    same = prepare([music], tmp_path / "b", exclude=(one for one in ["b_*"]), seed=np.int64(4), min_notes=np.int64(4))
    assert (plain.reasons, plain.kept) == (same.reasons, same.kept)
    for wrong in (None, 5, [5]):
        with pytest.raises(ValueError, match=r"exclude is |a pattern is "):
            prepare([music], tmp_path / "c", exclude=wrong)  # type: ignore[arg-type]
