"""Versions of a work are in one split; splits depend only on works, notes and seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmt.corpus.splits import check_shares, draw_splits, fingerprint, named_splits, read_works, work_of
from mmt.representation.notes import NOTE_DTYPE, NoteTable

SHARES = {"valid": 0.2, "test": 0.2}
CORPUS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("12345678")), min_size=1, max_size=12)
TRIPLES = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("12345678"), st.sampled_from("abcdefghuv")),
    min_size=1,
    max_size=12,
)


@given(CORPUS, st.integers(0, 5))
def test_pieces_that_share_a_work_or_notes_are_in_one_split(corpus: list[tuple[str, str]], seed: int) -> None:
    drawn = draw_splits([work for work, _ in corpus], [notes for _, notes in corpus], SHARES, seed)
    for column in (0, 1):
        sides: dict[str, set[str]] = {}
        for piece, split in zip(corpus, drawn, strict=True):
            sides.setdefault(piece[column], set()).add(split)
        assert all(len(side) == 1 for side in sides.values())


@given(TRIPLES, st.integers(0, 5))
def test_pieces_that_share_a_second_work_are_in_one_split(corpus: list[tuple[str, str, str]], seed: int) -> None:
    works, notes, also = map(list, zip(*corpus, strict=True))
    sides: dict[str, set[str]] = {}
    for work, other, split in zip(works, also, draw_splits(works, notes, SHARES, seed, also=also), strict=True):
        sides.setdefault(work, set()).add(split)
        sides.setdefault(other, set()).add(split)
    assert all(len(side) == 1 for side in sides.values())


@given(CORPUS, st.integers(0, 5))
def test_a_second_work_equal_to_the_first_changes_nothing(corpus: list[tuple[str, str]], seed: int) -> None:
    works, notes = map(list, zip(*corpus, strict=True))
    assert draw_splits(works, notes, SHARES, seed, also=works) == draw_splits(works, notes, SHARES, seed)


@given(CORPUS, st.integers(0, 5), st.sampled_from(["train", "valid", "test"]))
def test_a_fixed_piece_fixes_the_split_of_its_work(corpus: list[tuple[str, str]], seed: int, split: str) -> None:
    works, notes = map(list, zip(*corpus, strict=True))
    drawn = draw_splits(works, notes, SHARES, seed, fixed={0: ("first", split)})
    assert {its for work, its in zip(works, drawn, strict=True) if work == works[0]} == {split}


def test_a_fixed_piece_does_not_change_the_split_of_others() -> None:
    works = [str(work) for work in range(300)]
    drawn = draw_splits(works, works, SHARES)
    place = drawn.index("train")
    assert draw_splits(works, works, SHARES, fixed={place: ("a", "test")})[place] == "test"
    rest = draw_splits(works, works, SHARES, fixed={place: ("a", "test")})
    assert rest[:place] + rest[place + 1 :] == drawn[:place] + drawn[place + 1 :]


def test_an_empty_split_takes_no_fixed_work() -> None:
    fixed = {0: ("a", "train"), 1: ("b", "train")}
    assert draw_splits(["a", "b", "c"], ["1", "2", "3"], {"valid": 0.01, "test": 0.0}, fixed=fixed) == [
        "train",
        "train",
        "valid",
    ]


def test_one_work_cannot_be_fixed_in_two_splits() -> None:
    with pytest.raises(
        ValueError, match=r"'a\.mid' is listed in 'valid' and 'b\.mid' in 'test', but they belong to one work"
    ):
        draw_splits(["w", "w"], ["1", "2"], SHARES, fixed={0: ("a.mid", "valid"), 1: ("b.mid", "test")})


@given(CORPUS, st.randoms(use_true_random=False))
def test_the_order_of_files_does_not_matter(corpus: list[tuple[str, str]], shuffler: st.randoms) -> None:
    def draw(pieces: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
        return dict(zip(pieces, draw_splits(*map(list, zip(*pieces, strict=True)), SHARES), strict=True))

    shuffled = list(corpus)
    shuffler.shuffle(shuffled)
    assert draw(shuffled) == draw(corpus)


@given(CORPUS, st.integers(0, 5))
def test_hashes_and_texts_give_the_same_splits(corpus: list[tuple[str, str]], seed: int) -> None:
    works, notes = [work for work, _ in corpus], [f"{int(digit):016x}" for _, digit in corpus]
    numbers = (
        np.array([hash(work) % 2**64 for work in works], np.uint64),
        np.array([int(n, 16) for n in notes], np.uint64),
    )
    assert draw_splits(*numbers, SHARES, seed) == draw_splits(works, notes, SHARES, seed)


@given(st.integers(1, 12), st.integers(0, 100), st.sampled_from([0.05, 0.3, 0.5]))
def test_each_split_gets_a_work_if_there_are_enough(count: int, seed: int, share: float) -> None:
    works = [str(work) for work in range(count)]
    drawn = draw_splits(works, works, {"valid": share, "test": share / 2}, seed)
    assert set(drawn) == set(("train", "valid", "test")[:count])


@given(st.integers(1, 12), st.integers(0, 20))
def test_a_split_without_a_share_gets_nothing(count: int, seed: int) -> None:
    works = [str(work) for work in range(count)]
    assert "test" not in draw_splits(works, works, {"valid": 0.3, "test": 0.0}, seed)
    assert set(draw_splits(works, works, {"valid": 0.0, "test": 1.0}, seed)) == {"test"}


def test_a_large_corpus_meets_the_shares_and_depends_on_the_seed() -> None:
    works = [str(work) for work in range(4000)]
    drawn = draw_splits(works, works, {"valid": 0.1, "test": 0.2})
    counts = Counter(drawn)
    assert counts["valid"] == pytest.approx(400, abs=80)
    assert counts["test"] == pytest.approx(800, abs=110)
    assert draw_splits(works, works, {"valid": 0.1, "test": 0.2}, seed=1) != drawn


def test_adding_works_does_not_change_the_splits_of_others() -> None:
    works = [str(work) for work in range(300)]
    assert draw_splits([*works, "new"], [*works, "new"], SHARES)[:-1] == draw_splits(works, works, SHARES)


@pytest.mark.parametrize("shares", [{"valid": 0.1}, {"valid": 0.6, "test": 0.6}, {"valid": -0.1, "test": 0.1}])
def test_invalid_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="give 'valid' and 'test', each 0 to 1, together at most 1"):
        check_shares(shares)


def test_a_fingerprint_ignores_transposition_offset_and_instruments(long_table: NoteTable) -> None:
    other = long_table.copy()
    other["pitch"] += 5
    other["beat"] += 7
    other["instrument"] = 3
    # Two notes may become one when they have the same instrument; the fingerprint stays the same.
    assert fingerprint(np.unique(other)) == fingerprint(long_table)


@pytest.mark.parametrize("field", ["beat", "position", "pitch", "duration"])
def test_different_pieces_have_different_fingerprints(long_table: NoteTable, field: str) -> None:
    other = long_table.copy()
    other[field][500] = (other[field][500] + 1) % 12
    assert fingerprint(np.unique(other)) != fingerprint(long_table)


def test_a_fingerprint_is_the_same_with_and_without_drums(long_table: NoteTable) -> None:
    drums = long_table[::3].copy()
    drums["instrument"], drums["beat"][0], drums["pitch"] = 65, 0, 20
    both = np.unique(np.concatenate([long_table, drums]))
    assert fingerprint(both, drums_code=65) == fingerprint(long_table)
    assert fingerprint(both) != fingerprint(long_table)


def test_different_drum_pieces_have_different_fingerprints(long_table: NoteTable) -> None:
    drums = long_table.copy()
    drums["instrument"] = 65
    other = drums[1:]
    assert fingerprint(np.unique(drums), drums_code=65) != fingerprint(np.unique(other), drums_code=65)


def test_an_empty_table_has_a_fingerprint() -> None:
    assert fingerprint(np.zeros(0, NOTE_DTYPE)) == fingerprint(np.zeros(0, NOTE_DTYPE))


def test_the_work_of_a_file_is_its_path_or_the_group_of_a_pattern() -> None:
    assert work_of("a/b.c.mid") == "a/b.c"
    assert work_of("a/tune_0123abcd.mid", r"(.*)_[0-9a-f]{8}") == "a/tune"
    assert work_of("a/other.mid", r"(.*)_[0-9a-f]{8}") == "a/other"


def test_the_work_in_the_manifest_precedes_the_name() -> None:
    assert work_of("a.mid", listed="Symphony No.5") == "Symphony No.5"
    assert work_of("a.mid", r"(.*), mov", listed="Symphony No.5, mov. 1") == "Symphony No.5"
    assert work_of("a.mid", r"a|(b)", listed="a") == "a"


def test_the_first_group_that_matches_is_the_work() -> None:
    pattern = r"songs/(.+)/|.+/(.+)_\d"
    assert work_of("songs/cycle/1.mid", pattern) == "cycle"
    assert work_of("other/tune_2.mid", pattern) == "tune"


def test_a_table_of_works_is_read_or_refused(tmp_path: Path) -> None:
    (tmp_path / "works.csv").write_text("work,name\nSonnets,a.mid\nSonnets,b.mid\n")
    assert read_works(tmp_path / "works.csv") == {"a.mid": "Sonnets", "b.mid": "Sonnets"}
    (tmp_path / "twice.csv").write_text("name,work\na,b\na,c\n")
    with pytest.raises(ValueError, match=r"'a' is in two rows of .*twice.csv; leave one of them"):
        read_works(tmp_path / "twice.csv")
    (tmp_path / "wrong.csv").write_text("piece,work\na,b\n")
    with pytest.raises(ValueError, match="has no column 'name'; its columns are piece, work"):
        read_works(tmp_path / "wrong.csv")
    (tmp_path / "short.csv").write_text("name,work\na,b\nc\n")
    with pytest.raises(ValueError, match=r"'c' has no work in .*short.csv; give one, or leave out its row"):
        read_works(tmp_path / "short.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"bytes\.csv is not a CSV table in UTF-8"):
        read_works(tmp_path / "bytes.csv")
    with pytest.raises(FileNotFoundError, match="there is no table of works"):
        read_works(tmp_path / "nowhere.csv")


def test_lists_of_names_replace_the_draw() -> None:
    assert named_splits({"valid": ["b"], "test": ["c"]}) == {"b": "valid", "c": "test", "": "train"}
    assert named_splits({"valid": ["b"], "train": ["c"]}) == {"b": "valid", "c": "train"}
    assert named_splits({"valid": ["b"], "train": ["c"]}, draw_rest=True) == {"b": "valid", "c": "train", "": ""}


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ({"validation": ["a"]}, "split 'validation' is unknown; choose one of train, valid, test"),
        ({"valid": ["a"], "test": ["a"]}, "'a' is in two lists, 'valid' and 'test'"),
    ],
)
def test_wrong_lists_are_refused(splits: dict[str, list[str]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        named_splits(splits)
