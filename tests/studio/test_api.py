"""The operations of the API, against the shipped model."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from limited import full_disk
from studio_client import TOKEN, Studio, studio_of

import mmt
from mmt.cli.generate import main as generate_main
from mmt.model.checkpoint import Checkpoint
from mmt.model.config import NetworkConfig
from mmt.model.network import Network
from mmt.representation.codes import Representation
from mmt.sampling.model import Model

Rows = list[list[int]]


@pytest.fixture(scope="module")
def trio(studio: Studio) -> Any:
    """A kept piece of 16 beats; tests that change it make their own."""
    return studio.written("violin", "viola", "cello", beats=16)


def outside(notes: Rows, first: int, stop: int, codes: tuple[int, ...] = (25, 26, 27)) -> Rows:
    """The notes that are not of these parts in these beats."""
    return sorted(row for row in notes if not (12 * first <= row[0] < 12 * stop and row[3] in codes))


def test_alternatives_are_streamed_and_one_is_kept(studio: Studio) -> None:
    piece = studio.new("string trio")
    messages = studio.write(piece, beats=8, seed=5, alternatives=3)
    assert messages[0] == {"type": "begin", "seeds": [5, 6, 7]}
    assert messages[-1]["type"] == "done"
    streamed: list[Rows] = [[], [], []]
    for message in messages:
        if message["type"] == "notes":
            streamed[message["alternative"]] += message["notes"]
    found = studio.get(f"pieces/{piece}")
    assert [one["notes"] for one in found["alternatives"]] == streamed
    assert found["score"]["notes"] == []
    kept = studio.post(f"pieces/{piece}/keep", alternative=2)
    assert kept["score"]["notes"] == streamed[2]
    assert kept["alternatives"] == []
    assert [part["name"] for part in kept["score"]["parts"]] == ["violin", "viola", "cello"]
    assert kept["history"][1]["seed"] == 7


def test_the_same_seed_writes_the_same_notes(studio: Studio, trio: Any) -> None:
    again = studio.written("violin", "viola", "cello", beats=16)
    assert again["score"]["notes"] == trio["score"]["notes"]


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("write", {"beats": 8, "boldness": 75, "scale": "D minor"}),
        ("write", {"beats": 8, "own_ranges": {"violin": "G3..E6"}, "top_p": 0.95}),
        ("compose", {"form": "ABA", "section": 5, "scale": "D minor"}),
        ("continue", {"beat": 8, "beats": 4}),
        ("rewrite", {"from_beat": 4, "to_beat": 8}),
        ("rewrite", {"from_beat": 4, "to_beat": 8, "parts": ["cello"]}),
        ("add-part", {"instrument": "flute", "from_beat": 0, "to_beat": 4}),
        ("give", {"from_beat": 0, "to_beat": 16, "instruments": ["flute", "bassoon"], "ranges": False}),
    ],
)
def test_the_command_writes_the_same_notes(
    studio: Studio, trio: Any, tmp_path: Path, operation: str, body: dict[str, Any]
) -> None:
    content = studio.client.get(f"/{TOKEN}/api/pieces/{trio['id']}/download/mid").content
    (tmp_path / "piece.mid").write_bytes(content)
    studio.write(trio["id"], operation, alternatives=2, seed=3, **body)
    alternative = studio.get(f"pieces/{trio['id']}")["alternatives"][1]
    words = shlex.split(alternative["made"]["command"].replace("piece.mid", f"{tmp_path}/piece.mid"))
    assert words[0] == "mmt-generate"
    assert generate_main([*words[1:-1], str(tmp_path / "new.mid"), "--quiet"]) == 0
    written = mmt.encode(mmt.read(tmp_path / "new.mid"))
    theirs = [[12 * (row[1] - 1) + row[2] - 1, row[3] - 1, row[5]] for row in written.tolist() if row[0] == 3]
    assert sorted(theirs) == sorted([row[0], row[2], row[3]] for row in alternative["notes"])
    studio.post(f"pieces/{trio['id']}/discard")


def test_sections_of_a_letter_have_the_same_notes(studio: Studio) -> None:
    piece = studio.new("violin", "cello")
    studio.write(piece, "compose", form="ABA", section=6, seed=1, alternatives=2)
    alternatives = studio.get(f"pieces/{piece}")["alternatives"]
    for one in alternatives:
        sections: list[Rows] = [[], [], []]
        for onset, _, pitch, code in one["notes"]:
            sections[onset // 72].append([onset % 72, pitch, code])
        assert sections[0] == sections[2] != sections[1]
    assert alternatives[0]["notes"] != alternatives[1]["notes"]
    assert alternatives[0]["made"]["what"] == "written as ABA"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"form": "A-B"}, "form is 'A-B'; give letters from A to Z"),
        ({"section": 257}, "section is 257 beats, but the model reads at most 256 at once"),
        ({"form": "ABACA", "section": 128}, "5 sections of 128 beats are 640 beats; a piece may get up to 512"),
    ],
)
def test_a_form_that_cannot_be_written_is_refused(studio: Studio, body: dict[str, Any], message: str) -> None:
    response = studio.client.post(f"/{TOKEN}/api/pieces/{studio.new('violin')}/compose", json=body)
    assert response.status_code == 400
    assert message in response.json()["error"]


@pytest.mark.parametrize("parts", [[], ["violin", "cello"]])
def test_rewriting_leaves_every_other_note(studio: Studio, trio: Any, parts: list[str]) -> None:
    codes = (25, 27) if parts else (25, 26, 27)
    messages = studio.write(trio["id"], "rewrite", from_beat=4, to_beat=8, parts=parts, seed=1, alternatives=2)
    written = [message["notes"] for message in messages if message["type"] == "alternative"]
    before = trio["score"]["notes"]
    assert written[0] != written[1]
    for notes in written:
        assert notes != before
        assert outside(notes, 4, 8, codes) == outside(before, 4, 8, codes)


def test_continuing_keeps_the_earlier_notes(studio: Studio, trio: Any) -> None:
    studio.write(trio["id"], "continue", beat=8, beats=8, seed=2, alternatives=1)
    notes = studio.get(f"pieces/{trio['id']}")["alternatives"][0]["notes"]
    assert [row for row in notes if row[0] < 96] == [row for row in trio["score"]["notes"] if row[0] < 96]
    assert 96 <= max(row[0] for row in notes) < 192


def test_adding_a_part_does_not_change_the_others(studio: Studio, trio: Any) -> None:
    studio.write(trio["id"], "add-part", instrument="flute", from_beat=4, to_beat=8, seed=2, alternatives=1)
    notes = studio.get(f"pieces/{trio['id']}")["alternatives"][0]["notes"]
    flute = [row for row in notes if row[3] not in (25, 26, 27)]
    assert flute
    assert all(48 <= row[0] < 96 for row in flute)
    assert [row for row in notes if row not in flute] == trio["score"]["notes"]


def test_given_notes_keep_pitch_and_time(studio: Studio, trio: Any) -> None:
    studio.write(trio["id"], "give", from_beat=0, to_beat=8, parts=["violin"], instruments=["flute"], ranges=False)
    notes = studio.get(f"pieces/{trio['id']}")["alternatives"][0]["notes"]
    assert sorted(row[:3] for row in notes) == sorted(row[:3] for row in trio["score"]["notes"])
    assert not [row for row in notes if row[0] < 96 and row[3] == 25]
    studio.post(f"pieces/{trio['id']}/discard")


def test_a_job_can_be_stopped_and_its_notes_kept(studio: Studio) -> None:
    piece = studio.new("piano")
    job = studio.post(f"pieces/{piece}/write", beats=512, alternatives=4, seed=1)
    while not any(message["type"] == "notes" for message in studio.context.worker.get(job["id"]).messages):
        pass
    studio.post(f"jobs/{job['id']}/stop")
    assert studio.follow(job)[-1]["type"] == "stopped"
    kept = studio.post(f"pieces/{piece}/keep", alternative=0)
    assert kept["score"]["notes"]


def test_keeping_one_while_the_others_are_written(studio: Studio) -> None:
    piece = studio.new("piano")
    job = studio.post(f"pieces/{piece}/write", beats=512, alternatives=2, seed=1)
    while not any(message["type"] == "notes" for message in studio.context.worker.get(job["id"]).messages):
        pass
    kept = studio.post(f"pieces/{piece}/keep", alternative=1)
    assert kept["job"] is None
    assert kept["score"]["notes"]


def test_jobs_of_two_pieces_are_independent(studio: Studio) -> None:
    one, other = studio.new("flute"), studio.new("cello")
    jobs = [studio.post(f"pieces/{piece}/write", beats=8, seed=1, alternatives=2) for piece in (one, other)]
    for job in jobs:
        assert studio.follow(job)[-1]["type"] == "done"
    for piece, code in ((one, 50), (other, 27)):
        for alternative in studio.get(f"pieces/{piece}")["alternatives"]:
            assert {row[3] for row in alternative["notes"]} == {code}


def test_notes_are_changed_by_hand_and_undone(studio: Studio) -> None:
    piece = studio.written("violin", "cello", beats=4)
    notes = piece["score"]["notes"]
    changed = studio.post(
        f"pieces/{piece['id']}/notes", revision=piece["revision"], remove=[0], add=[[6, 12, 72, 25], [0, 12, 48, 27]]
    )
    assert sorted(changed["score"]["notes"]) == sorted([*notes[1:], [6, 12, 72, 25], [0, 12, 48, 27]])
    undone = studio.post(f"pieces/{piece['id']}/go", version=1)
    assert undone["score"]["notes"] == notes
    assert studio.post(f"pieces/{piece['id']}/go", version=2)["score"]["notes"] == changed["score"]["notes"]


def test_a_change_of_an_older_state_is_refused(studio: Studio) -> None:
    piece = studio.written("violin", beats=4)
    studio.post(f"pieces/{piece['id']}/details", revision=piece["revision"], tempo=60)
    body = {"revision": piece["revision"], "remove": [0]}
    response = studio.client.post(f"/{TOKEN}/api/pieces/{piece['id']}/notes", json=body)
    assert response.status_code == 409
    assert "another tab" in response.json()["error"]


@pytest.mark.parametrize(
    "row", [[0, 0, 60, 25], [-1, 12, 60, 25], [0, 12, 128, 25], [0, 12, 60, 66], [0, 12, 60, 0], [0, 12, 60]]
)
def test_a_row_that_is_no_note_is_refused(studio: Studio, trio: Any, row: list[int]) -> None:
    body = {"revision": studio.get(f"pieces/{trio['id']}")["revision"], "add": [row]}
    assert studio.client.post(f"/{TOKEN}/api/pieces/{trio['id']}/notes", json=body).status_code == 400


def test_all_notes_can_be_deleted(studio: Studio) -> None:
    piece = studio.written("violin", beats=4)
    count = len(piece["score"]["notes"])
    empty = studio.post(f"pieces/{piece['id']}/notes", revision=piece["revision"], remove=list(range(count)))
    assert empty["score"]["notes"] == []
    assert [part["name"] for part in empty["score"]["parts"]] == ["violin"]
    assert studio.get(f"pieces/{piece['id']}/surprise") == {"nats": []}
    assert (
        studio.write(piece["id"], "rewrite", from_beat=0, to_beat=4)[-1]["text"]
        == "the piece has no notes yet; write it first"
    )


@pytest.mark.parametrize("kind", ["mid", "musicxml"])
def test_a_download_has_the_notes(studio: Studio, trio: Any, tmp_path: Path, kind: str) -> None:
    response = studio.client.get(f"/{TOKEN}/api/pieces/{trio['id']}/download/{kind}")
    assert response.headers["content-disposition"].startswith("attachment;")
    (tmp_path / f"piece.{kind}").write_bytes(response.content)
    events = mmt.encode(mmt.read(tmp_path / f"piece.{kind}"))
    notes = np.array([row for row in events.tolist() if row[0] == 3])
    assert sorted(zip(notes[:, 1] * 12 + notes[:, 2] - 13, notes[:, 3] - 1, notes[:, 5], strict=True)) == sorted(
        (row[0], row[2], row[3]) for row in trio["score"]["notes"]
    )


def test_sound_and_page_can_be_downloaded(studio: Studio, trio: Any) -> None:
    sound = studio.client.get(f"/{TOKEN}/api/pieces/{trio['id']}/download/wav").content
    assert sound[:4] == b"RIFF"
    page = studio.client.get(f"/{TOKEN}/api/pieces/{trio['id']}/download/html")
    assert b"<!DOCTYPE html>" in page.content[:20]
    assert page.headers["content-disposition"].startswith("attachment;")


def test_a_title_with_markup_is_text(studio: Studio) -> None:
    title = '<img src=x onerror=alert(1)>"; filename=evil.exe \u202e\r\nX: y'
    piece = studio.post("pieces", instruments=["piano"], title=title)
    assert piece["title"] == title
    header = studio.client.get(f"/{TOKEN}/api/pieces/{piece['id']}/download/mid").headers["content-disposition"]
    assert "<" not in header
    assert header.count('"') == 2
    assert "\n" not in header


def test_a_full_disk_and_half_a_character_are_answered_with_one_line(studio: Studio) -> None:
    piece, known = studio.new("piano"), len(studio.get("pieces"))
    with full_disk(0):
        answers = [studio.client.post(f"/{TOKEN}/api/pieces", json={"instruments": ["piano"]})]
        answers.append(studio.client.get(f"/{TOKEN}/api/pieces/{piece}/download/mid"))
    assert [answer.status_code for answer in answers] == [507, 507]
    assert "the disk is full" in answers[0].json()["error"]
    body = b'{"instruments": ["piano"], "title": "\\ud800"}'
    answer = studio.client.post(f"/{TOKEN}/api/pieces", content=body)
    assert answer.status_code == 400
    assert "the body is not JSON" in answer.json()["error"]
    assert len(studio.get("pieces")) == known
    assert len(list(studio.context.store.folder.iterdir())) == known


def test_surprise_and_attention_equal_those_of_the_library(studio: Studio, trio: Any) -> None:
    notes = trio["score"]["notes"]
    nats = studio.get(f"pieces/{trio['id']}/surprise")["nats"]
    assert len(nats) == len(notes)
    assert all(value >= 0 for value in nats)
    attends = studio.get(f"pieces/{trio['id']}/attention/12")["attends"]
    assert all(note < 12 for note, _ in attends)
    assert sum(share for _, share in attends) <= 1.001
    events = studio.context.store.get(trio["id"]).events()
    row = int(np.flatnonzero(events[:, 0] == 3)[12])
    layers = mmt.attention.weights(studio.context.model, events[: row + 1])
    weights = np.mean([layer[:, -1].mean(0) for layer in layers], axis=0)[row - 12 : row]
    assert next(note for note, _ in attends) == int(weights.argmax())
    assert attends[0][1] == pytest.approx(weights.max() / weights.sum(), abs=1e-3)


def test_the_error_of_originality_without_a_corpus_says_what_to_do(studio: Studio, trio: Any) -> None:
    response = studio.client.post(f"/{TOKEN}/api/pieces/{trio['id']}/originality")
    assert response.status_code == 400
    assert "--corpus" in response.json()["error"]


def test_missing_things_are_404(studio: Studio) -> None:
    for path in ("pieces/0123456789abcdef", "jobs/0123456789abcdef", "jobs/x/events", "pieces/x/download/mid"):
        assert studio.client.get(f"/{TOKEN}/api/{path}").status_code == 404


@pytest.mark.parametrize("body", ["", "{", "[]", '{"beats": 1e999}', '{"beats": NaN}', "[" * 100_000])
def test_a_body_that_is_not_a_json_object_is_refused(studio: Studio, trio: Any, body: str) -> None:
    response = studio.client.post(f"/{TOKEN}/api/pieces/{trio['id']}/keep", content=body)
    assert response.status_code == 400
    assert set(response.json()) == {"error"}


def test_the_description_lists_every_address(studio: Studio) -> None:
    document = studio.get("openapi.json")
    assert document["openapi"].startswith("3.1")
    assert {"/pieces/{piece}/rewrite", "/jobs/{job}/events", "/pieces/{piece}/download/{kind}"} <= set(
        document["paths"]
    )
    operations = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert len(operations) == len(set(operations))
    assert all(one["summary"] for methods in document["paths"].values() for one in methods.values())
    page = studio.client.get(f"/{TOKEN}/api").text
    assert "/api/pieces/{piece}/rewrite" in page


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio with an untrained model that has given notes, lengths and drums."""
    representation = Representation(beats=64, given=True, length=True, drums=True)
    yield from studio_of(untrained(representation), tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio with an untrained model that has none of them."""
    yield from studio_of(untrained(Representation(beats=64)), tmp_path_factory.mktemp("plain"))


def untrained(representation: Representation) -> Model:
    config = NetworkConfig(representation.sizes, dim=32, layers=1, heads=2, head_dim=16, context=256)
    return Model(Checkpoint(Network(config).eval(), representation))


def test_a_model_with_given_notes_rewrites_by_them(full: Studio) -> None:
    piece = full.written("electric-guitar", "electric-bass", "drums", beats=8, boldness=0)
    bass = [part["code"] for part in piece["score"]["parts"] if part["name"] == "electric-bass"]
    messages = full.write(
        piece["id"], "rewrite", from_beat=2, to_beat=4, parts=["electric-bass"], seed=1, alternatives=1
    )
    written = next(message["notes"] for message in messages if message["type"] == "alternative")
    assert outside(written, 2, 4, tuple(bass)) == outside(piece["score"]["notes"], 2, 4, tuple(bass))
    made = full.get(f"pieces/{piece['id']}")["alternatives"][0]["made"]
    assert "--rewrite" in made["command"]


def test_drums_are_offered_if_the_model_has_them(full: Studio, plain: Studio) -> None:
    for one, drums in ((full, True), (plain, False)):
        band = next(e for e in one.get("instruments")["ensembles"] if e["name"] == "Rock band")
        assert ("drums" in band["instruments"]) == drums
        assert ("drums" in band["missing"]) != drums


def test_recordings_cover_the_range_of_an_instrument(studio: Studio, full: Studio) -> None:
    sound = studio.get("sounds/violin")
    pitches = [one["pitch"] for one in sound["recordings"]]
    assert min(pitches) <= 60
    assert max(pitches) >= 95
    assert {35, 38, 42} <= {one["pitch"] for one in full.get("sounds/drums")["recordings"]}
