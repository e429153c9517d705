"""Originality: inserted copies are found, random pieces do not stand out, real pieces set the threshold; errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_corpora import write_corpus

import mmt
from mmt.analysis.originality import Index, compare
from mmt.representation.codes import BEAT, DURATION, INSTRUMENT, PITCH, POSITION
from mmt.representation.encode import events_of_notes
from mmt.representation.notes import NOTE_DTYPE, NoteTable


def random_piece(seed: int, notes: int = 600, instruments: tuple[int, ...] = (1, 25, 27)) -> NoteTable:
    """Random notes on eighths, in parts with leaps of up to two octaves."""
    random = np.random.default_rng(seed)
    onset = np.sort(random.integers(0, notes // 2, notes)) * 6
    table = np.empty(notes, NOTE_DTYPE)
    table["beat"], table["position"] = np.divmod(onset, 12)
    table["pitch"] = random.integers(48, 73, notes)
    table["duration"] = random.choice([6, 12, 24], notes)
    table["instrument"] = random.choice(instruments, notes)
    return np.unique(table)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = {f"train-{seed}": ("train", random_piece(seed)) for seed in range(12)}
    names |= {f"valid-{seed}": ("valid", random_piece(100 + seed)) for seed in range(12)}
    return write_corpus(tmp_path_factory.mktemp("random") / "corpus", names)


@pytest.fixture(scope="module")
def index(folder: Path) -> Index:
    return Index(mmt.Corpus(folder, split="train"))


def with_copy(
    source: NoteTable, first: int, notes: int, *, at: int, up: int = 0, instrument: int | None = None, seed: int = 50
) -> np.ndarray:
    """A random piece whose beats from `at` on hold `notes` notes of another piece, from its note `first` on."""
    host = random_piece(seed)
    copied = source[first : first + notes].copy()
    copied["beat"] += at - copied["beat"][0]
    copied["pitch"] += np.uint8(up % 256)
    if instrument is not None:
        copied["instrument"] = instrument
    outside = (host["beat"] < at) | (host["beat"] > copied["beat"][-1])
    return events_of_notes(np.concatenate([host[outside], copied]))


def test_inserted_copy_is_found_at_its_position(folder: Path, index: Index) -> None:
    """60 notes from the middle of a training piece, inserted in the middle of another."""
    corpus = mmt.Corpus(folder, split="train")
    source = corpus.notes(7)
    first = int(np.searchsorted(source["beat"], 20))
    run = index.find([with_copy(source, first, 60, at=31)])[0].texture
    assert run is not None
    # Two instruments with the same pitch and onset give one note of the texture.
    onset = source["beat"][first : first + 60] * 12 + source["position"][first : first + 60]
    different = len(np.unique(np.stack([onset, source["pitch"][first : first + 60]]), axis=1).T)
    assert (run.piece, run.part, run.piece_part) == ("train-7", "whole texture", "whole texture")
    assert different <= run.notes <= different + 3
    assert (run.beat, run.piece_beat, run.transposition) == (31 + source["position"][first] / 12, onset[0] / 12, 0)


@pytest.mark.parametrize(("up", "durations"), [(0, False), (5, False), (-7, False), (0, True), (3, True)])
def test_copy_is_found_in_any_key_duration_and_instrument(folder: Path, index: Index, up: int, durations: bool) -> None:
    """40 notes of a part of a training piece, inserted as the flute part of a piece for other instruments."""
    corpus = mmt.Corpus(folder, split="train")
    part = corpus.notes(3)[corpus.notes(3)["instrument"] == 25]
    first = 50
    events = with_copy(part, first, 40, at=60, up=up, instrument=54)
    if durations:
        events[events[:, INSTRUMENT] == 54, DURATION] = np.where(
            events[events[:, INSTRUMENT] == 54, DURATION] > 0, 3, 0
        )
    run = index.find([events])[0].part
    assert run is not None
    flute = events[(events[:, INSTRUMENT] == 54) & (events[:, PITCH] > 0)]
    assert run.notes == 40 == len(flute)
    assert (run.piece, run.piece_part, run.part) == ("train-3", "violin", mmt.Representation().names[53])
    assert run.transposition == up
    assert run.piece_beat == pytest.approx(part["beat"][first] + part["position"][first] / 12, abs=1e-3)
    assert run.beat == pytest.approx(flute[0, BEAT] - 1 + (flute[0, POSITION] - 1) / 12, abs=1e-3)
    assert run.beats == pytest.approx(
        part["beat"][first + 39]
        - part["beat"][first]
        + (int(part["position"][first + 39]) - part["position"][first]) / 12,
        abs=1e-3,
    )


def test_run_of_a_whole_copy_is_the_whole_piece(folder: Path, index: Index) -> None:
    corpus = mmt.Corpus(folder, split="train")
    finding = index.find([corpus[4]])[0]
    assert finding.texture is not None
    assert finding.part is not None
    onset = corpus.notes(4)["beat"] * 12 + corpus.notes(4)["position"]
    assert finding.texture.notes == len(np.unique(np.stack([onset, corpus.notes(4)["pitch"]]), axis=1).T)
    assert finding.texture.piece == finding.part.piece == "train-4"


def test_runs_end_with_their_sequence(index: Index, folder: Path) -> None:
    """Neither the end of one piece and the beginning of the next in the corpus nor two parts form a run."""
    corpus = mmt.Corpus(folder, split="train")
    end, beginning = corpus.notes(0)[-20:].copy(), corpus.notes(1)[:20].copy()
    beginning["beat"] += end["beat"][-1] + 1
    run = index.find([np.concatenate([end, beginning])])[0].texture
    assert run is not None
    assert run.notes <= 24


def test_runs_do_not_cross_pieces_of_the_corpus(tmp_path: Path) -> None:
    """The second training piece continues the first; a piece with both shares a run with only one of them."""
    whole = random_piece(5, instruments=(1,))
    whole = whole[np.unique(whole["beat"], return_index=True)[1]]  # one note a beat
    first, second = whole[:40], whole[40:90]
    tables = {"first": ("train", first), "second": ("train", second)}
    index = Index(mmt.Corpus(write_corpus(tmp_path / "corpus", tables), split="train"))
    finding = index.find([whole[:90]])[0]
    assert finding.part is not None
    assert finding.part.notes == 50
    assert finding.part.piece == "second"


def test_another_rhythm_is_not_a_copy(folder: Path, index: Index) -> None:
    slower = mmt.Corpus(folder, split="train").notes(4).copy()
    slower["beat"] = slower["beat"] * 2 + slower["position"] // 6
    slower["position"] = 0
    for finding in index.find([slower]):
        assert finding.part is not None
        assert finding.texture is not None
        assert max(finding.part.notes, finding.texture.notes) < 12  # chords are shared


def test_copies_stand_out_and_random_pieces_do_not(folder: Path, index: Index) -> None:
    corpus = mmt.Corpus(folder, split="train")
    pieces = [events_of_notes(random_piece(seed)) for seed in range(200, 206)]
    report = compare([*pieces, with_copy(corpus.notes(2), 100, 30, at=60)], index)
    assert [report.stands_out(i) for i in range(7)] == [False] * 6 + [True]
    assert max(report.lengths("texture")[:6]) < 8
    assert "1 of 7 stand out (piece 7); by the same rule 0 of 12 real stretches" in str(report)
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert told["pieces"][6]["stands_out"]
    assert len(told["real"]) == 12


def test_a_long_run_of_repeated_notes_does_not_stand_out(folder: Path, tmp_path: Path) -> None:
    """A shared tremolo of 100 notes is the longest run but does not stand out; 30 shared notes of a melody do."""
    tremolo = np.zeros(100, NOTE_DTYPE)
    tremolo["beat"], tremolo["position"] = np.divmod(np.arange(100) * 3, 12)
    tremolo["pitch"], tremolo["duration"], tremolo["instrument"] = 60, 3, 60
    names = {"tremolo": ("train", tremolo), "melody": ("train", random_piece(1))}
    names |= {f"valid-{seed}": ("valid", random_piece(100 + seed)) for seed in range(12)}
    index = Index(mmt.Corpus(write_corpus(tmp_path / "corpus", names), split="train"))
    melody = random_piece(1)[100:130].copy()
    melody["beat"] += 200
    report = compare([events_of_notes(np.concatenate([tremolo, rest])) for rest in (melody[:0], melody)], index)
    assert report.lengths("part") == [100, 100]
    assert [report.stands_out(0), report.stands_out(1)] == [False, True]
    assert report.pieces[0].richest_part == report.pieces[0].part
    richest = report.pieces[1].richest_texture
    assert richest is not None
    assert (richest.piece, richest.beat) == ("melody", melody["beat"][0] + melody["position"][0] / 12)


def test_prompts_are_not_compared(folder: Path, index: Index) -> None:
    """In a continuation of a training piece only the notes after the prompt are compared."""
    corpus = mmt.Corpus(folder, split="train")
    events = with_copy(corpus.notes(6), 0, 60, at=0)
    last = int(corpus.notes(6)["beat"][59])
    whole, later = index.find([events])[0].texture, index.find([events], first_beats=last + 1)[0].texture
    assert whole is not None
    assert later is not None
    assert whole.notes > 50
    assert later.notes < 8
    assert index.find([events], first_beats=np.int64(last + 1))[0].texture == later
    with pytest.raises(ValueError, match="there are 1 pieces and 2 first beats"):
        index.find([events], first_beats=[0, 0])
    nothing = index.find([events[:4], events], first_beats=[10**6, 0])
    assert (nothing[0].part, nothing[0].texture) == (None, None)
    assert nothing[1].texture == whole
    assert index.find([]) == []


def test_same_seed_draws_the_same_stretches(index: Index) -> None:
    pieces = [events_of_notes(random_piece(300, notes=50))]
    first, again, other = (compare(pieces, index, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.real != other.real


def test_piece_shares_everything_with_itself_and_little_with_others(tiny_folder: Path) -> None:
    """A song and a quartet share a scale or so; the song and itself share everything."""
    index = Index(mmt.Corpus(tiny_folder, split="train"))
    song = index.corpus[0]
    report = compare([song, mmt.Corpus(tiny_folder, split="valid")[0]], index)
    assert report.lengths("texture")[0] > 100
    assert max(report.lengths("texture")[1], *report.lengths("texture", real=True)) < 30
    assert report.pieces[0].texture is not None
    assert report.pieces[0].texture.different_steps > 20


def test_invalid_pieces_and_corpora_raise(index: Index, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="steps a beat"):
        index.find([], representation=mmt.Representation.slides())
    only = write_corpus(tmp_path / "only", {"a": ("train", random_piece(0))})
    with pytest.raises(ValueError, match="no piece in its valid split"):
        compare([events_of_notes(random_piece(1))], Index(mmt.Corpus(only, split="train")))
    with pytest.raises(ValueError, match="not a prepared corpus"):
        compare([], tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no pieces to compare"):
        compare([], index)


def test_drums_and_given_notes_are_not_compared(folder: Path, index: Index) -> None:
    """A copied part is found with or without drums; copied drums and copied given notes are not found."""
    representation = mmt.Representation(drums=True, given=True)
    corpus = mmt.Corpus(folder, split="train")
    copy, host = corpus.notes(3), random_piece(60)
    hits = corpus.notes(5).copy()
    hits["instrument"] = representation.drums_code
    together = events_of_notes(np.concatenate([copy, hits]), representation)
    alone, beside = index.find([events_of_notes(copy), together], representation=representation)
    assert alone == beside
    copied = events_of_notes(np.concatenate([host, hits]), representation)
    table = np.concatenate([host, copy])
    lent = events_of_notes(table, representation, given=np.arange(len(table)) >= len(host))
    own, with_copied_drums, with_given_copy = index.find(
        [events_of_notes(host), copied, lent], representation=representation
    )
    assert own.texture == with_copied_drums.texture
    assert own.part is not None
    assert with_given_copy.part is not None
    assert with_given_copy.part.notes <= own.part.notes


def test_real_stretches_have_only_pitched_notes(tmp_path: Path) -> None:
    representation = mmt.Representation(drums=True)
    tables = {f"train-{seed}": ("train", random_piece(seed)) for seed in range(2)}
    only_drums = random_piece(7)
    only_drums["instrument"] = representation.drums_code
    tables |= {"valid-0": ("valid", random_piece(5)), "valid-1": ("valid", np.unique(only_drums))}
    corpus = mmt.Corpus(write_corpus(tmp_path / "corpus", tables, representation), split="train")
    found = compare([events_of_notes(random_piece(8), representation)], Index(corpus))
    assert len(found.real) == 1
