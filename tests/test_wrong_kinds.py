"""Arguments of the wrong kind raise a `ValueError` of one line, in all public functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import muspy
import numpy as np
import pytest
import torch
from small_corpora import model_of, write_tiny_corpus

import mmt
from mmt.training.recipe import load_recipe

ALL = mmt.Representation(drums=True, given=True, length=True)
MODEL: Any = model_of(ALL)
MUSIC = muspy.Music(12, tracks=[muspy.Track(40, notes=[muspy.Note(12 * beat, 60 + beat, 12) for beat in range(8)])])
PIECE: Any = mmt.encode(MUSIC, representation=ALL)
CODES = torch.from_numpy(PIECE)[None]

NOT_EVENTS: dict[str, Any] = {
    "None": None, "music": MUSIC, "path": "x.mid", "model": MODEL, "number": 5, "seven fields": PIECE[:, [*range(6), 0]],
    "float tensor": CODES[0].float().requires_grad_(), "float array": PIECE + 0.5, "one event": PIECE[3], "empty": [],
    "several": [PIECE, PIECE], "batch": CODES, "result with a report": mmt.encode(MUSIC, report=True),
    "mapping": {"events": PIECE},
    "generator": iter([PIECE]), "ragged": [[0, 0], [1]], "truths": PIECE.astype(bool), "words": PIECE.astype(str),
}  # fmt: skip
NOT_PATHS: list[Any] = [None, 3, MUSIC, PIECE, ["a.mid"], MODEL]
NOT_WHOLE: list[Any] = ["4", 2.5, [4], (0, 4), True, float("nan")]
NOT_MODELS: list[Any] = [None, "default", MODEL.network, PIECE, [MODEL]]


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(ValueError, match=r".") as found:
        call()
    message = str(found.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


READERS: dict[str, Callable[[Any], Any]] = {
    "decode": mmt.decode,
    "to_text": mmt.to_text,
    "is_valid": mmt.is_valid,
    "beats": mmt.prompt.beats,
    "generate": lambda events: MODEL.generate(events if events is not None else [], max_events=40),
    "next_distribution": MODEL.next_distribution,
    "activations": lambda events: mmt.activations(MODEL, events, ["final"]),
    "weights": lambda events: mmt.attention.weights(MODEL, events),
    "rewrite": lambda events: mmt.edit.rewrite(MODEL, events, (0, 2)),
    "reorchestrate": lambda events: mmt.edit.reorchestrate(MODEL, events, ["flute"]),
    "logit_lens": lambda events: mmt.attribution.logit_lens(MODEL, events),
}


@pytest.mark.parametrize("name", READERS)
def test_what_is_not_a_piece_is_refused(name: str) -> None:
    for kind, given in NOT_EVENTS.items():
        assert "events" in refused(partial(READERS[name], given)) or kind in ("seven fields", "one event")


@pytest.mark.parametrize("given", [None, 5, MODEL], ids=["None", "number", "model"])
def test_what_is_not_a_list_of_pieces_is_refused(given: Any) -> None:
    for call in (
        lambda: mmt.metrics.evaluate(given),
        lambda: mmt.attention.relative(MODEL, given, "beat"),
        lambda: mmt.likelihood.events(MODEL, given),
        lambda: mmt.distributions.compare_distributions(given, [PIECE] * 6),
    ):
        assert "pieces is " in refused(call)


def test_what_is_not_a_path_is_refused(tmp_path: Path) -> None:
    calls: list[Callable[[Any], object]] = [
        mmt.read,
        lambda given: mmt.write(given, MUSIC),
        mmt.new_model,
        MODEL.save,
        mmt.Corpus,
        lambda given: mmt.prepare([given], tmp_path / "c"),
        lambda given: mmt.train("tiny", given, tmp_path / "r"),
        lambda given: mmt.fine_tune(given, [tmp_path], tmp_path / "f"),
        mmt.originality.Index,
    ]
    for given in NOT_PATHS:
        for call in calls:
            refused(partial(call, given))
        if given is not None:
            refused(partial(mmt.load_model, given))
    assert not list(tmp_path.iterdir())


def test_what_is_not_a_whole_number_is_refused() -> None:
    options = ("min_beats", "max_beats", "new_beats", "max_events", "length", "max_rest")
    calls: dict[str, Callable[[Any], object]] = {
        "beats": lambda given: mmt.encode(MUSIC, beats=given),
        "velocity": lambda given: mmt.decode(PIECE, velocity=given),
        "n": lambda given: MODEL.generate(n=given),
        "candidates": lambda given: mmt.edit.fill(MODEL, PIECE, 2, 4, candidates=given),
        "from_beat": lambda given: mmt.edit.fill(MODEL, PIECE, given, 6),
        "section": lambda given: mmt.edit.compose(MODEL, None, "AB", section=given),
    }
    for given in NOT_WHOLE:
        for name, call in calls.items():
            assert f"{name} is " in refused(partial(call, given))
        for name in options:
            assert f"{name} is " in refused(partial(MODEL.generate, **{name: given}))
        assert "beats is " in refused(partial(mmt.prompt.beats, PIECE, given))


def test_what_is_not_a_model_or_a_representation_is_refused() -> None:
    edits: list[Callable[[Any], object]] = [
        lambda given: mmt.edit.rewrite(given, PIECE),
        lambda given: mmt.edit.reorchestrate(given, PIECE, ["flute"]),
        lambda given: mmt.edit.reharmonise(given, PIECE, "violin"),
        lambda given: mmt.edit.accompany(given, PIECE, "violin", ["cello"]),
        lambda given: mmt.edit.fill(given, PIECE, 2, 4),
        lambda given: mmt.edit.compose(given, None, "ABA"),
    ]
    for given in NOT_MODELS:
        for edit in edits:
            assert "model is " in refused(partial(edit, given))
    others: list[Any] = [None, "paper", MODEL, mmt.Representation, 12]
    for other in others:
        assert "representation is " in refused(partial(mmt.encode, MUSIC, representation=other))
        assert "representation is " in refused(partial(mmt.decode, PIECE, representation=other))
        assert "representation is " in refused(partial(mmt.to_text, PIECE, representation=other))


def test_controls_of_the_wrong_kind_are_refused() -> None:
    wrong: list[dict[str, Any]] = [
        {"scale": 2.5}, {"scale": {"C": 1}}, {"allow": 60.5}, {"allow": {60: 1}}, {"exclude": [60.5]}, {"ranges": "violin"},
        {"ranges": [("violin", "C4..C5")]}, {"ranges": {"violin": 5}}, {"ranges": {"violin": None}},
        {"ranges": {"violin": (1.5, 2)}},
    ]  # fmt: skip
    for options in wrong:
        assert next(iter(options)) in refused(partial(MODEL.generate, seed=1, **options))


@pytest.mark.parametrize(
    "edit",
    [
        lambda: mmt.inside.ablate((0, 99)),
        lambda: mmt.inside.ablate((0, -1)),
        lambda: mmt.inside.where(mmt.inside.ablate((1, 2)), mmt.inside.at((500, None))),
        lambda: mmt.inside.knock_out(0, [99]),
        lambda: mmt.inside.knock_out_path((0, 0), (1, 99)),
        lambda: mmt.inside.knock_out_path((0, -1), (1, 0)),
        lambda: mmt.inside.replace("layers.0.heads", 0.0, heads=[77]),
    ],
)
def test_an_edit_of_a_head_that_the_model_lacks_is_refused(edit: Callable[[], Any]) -> None:
    assert "it has 2, counted from 0" in refused(lambda: MODEL.edited(edit()))


def test_edits_of_the_wrong_kind_are_refused() -> None:
    inside: Any = mmt.inside
    assert "has no layer 9; it has 2" in refused(lambda: MODEL.edited(inside.ablate((9, 0))))
    assert "did you mean 'final'" in refused(lambda: MODEL.edited(inside.add("finals", np.ones(32))))
    for call in (
        lambda: inside.add("final", "up"),
        lambda: inside.add("final", [float("nan")] * 32),
        lambda: inside.replace("layers.0.heads", 0.0, heads="0"),
        lambda: inside.replace("layers.0.heads", 0.0, heads=[]),
        lambda: inside.knock_out(0, [0.5]),
        lambda: inside.resample("final", np.zeros((0, 32))),
        lambda: inside.places(PIECE),
        lambda: MODEL.edited(PIECE),
    ):
        refused(call)


@pytest.mark.parametrize("kind", ["float", "bool", "uint8", "numpy", "list", "negative", "too large", "empty"])
def test_codes_of_the_wrong_kind_are_refused_by_a_network(kind: str) -> None:
    codes: Any = {
        "float": CODES.float(), "bool": CODES.bool(), "uint8": CODES.to(torch.uint8), "numpy": CODES.numpy(),
        "list": CODES.tolist(),
        "negative": CODES - 1, "too large": CODES + 5000, "empty": CODES[:, :0],
    }[kind]  # fmt: skip
    refused(lambda: MODEL.network(codes))
    refused(lambda: MODEL.network.hidden(codes))


def test_a_mask_of_the_wrong_kind_is_refused_by_a_network() -> None:
    for mask in (torch.ones(1, 3, dtype=torch.bool), torch.ones(CODES.shape[:2])):
        assert "mask is " in refused(partial(MODEL.network, CODES, mask=mask))


def test_a_string_in_place_of_a_list_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_corpus(tmp_path / "c")
    corpus: Any = mmt.Corpus(folder)
    wrong: Any = "0"
    for call in (
        lambda: corpus.subset(wrong),
        lambda: corpus.subset([]),
        lambda: corpus.subset([True, False]),
        lambda: mmt.Corpus(folder, exclude="*a*"),
        lambda: load_recipe("tiny", "seed=1"),
        lambda: mmt.activations(MODEL, PIECE, []),
        lambda: mmt.evaluate_models("default", folder, tmp_path / "e"),
        lambda: mmt.evaluate_models([None], folder, tmp_path / "e", modes=wrong),
        lambda: mmt.likelihood.compare(wrong, wrong),
        lambda: mmt.likelihood.measure(mmt.new_model("tiny"), corpus, stride=wrong),
        lambda: mmt.prepare([folder], tmp_path / "d", jobs=wrong),
        lambda: mmt.prepare([folder], tmp_path / "d", exclude="*a*"),
    ):
        refused(call)
    with pytest.raises(IndexError, match=r"index is 99; .* has 4 pieces"):
        corpus[99]


def test_numbers_of_numpy_are_shown_as_numbers() -> None:
    assert "seed is -1;" in refused(lambda: MODEL.generate(seed=np.int64(-1)))
    assert "max_events is 20.5;" in refused(lambda: MODEL.generate(max_events=np.float64(20.5)))
    assert "a very large number" in refused(lambda: mmt.decode(PIECE, tempo=10**400))
    assert "min_beats is None;" in refused(lambda: MODEL.generate(min_beats=None))


@pytest.mark.parametrize(
    "place", [5, ("layers", 0), "layers.².stream", "layers.--1.stream", f"layers.{'9' * 5000}.stream"]
)
def test_what_is_not_the_name_of_a_place_is_refused(place: Any) -> None:
    assert "unknown place" in refused(lambda: MODEL.edited({place: lambda activations: activations}))


def test_directions_have_any_layout_and_finite_strengths() -> None:
    direction = np.arange(32.0)
    for same in (np.arange(31.0, -1.0, -1)[::-1], direction.astype(">f8")):
        assert mmt.inside.add("final", same).steps[0].identity == mmt.inside.add("final", direction).steps[0].identity
    for strength in (float("nan"), "2"):
        assert "strength is " in refused(partial(mmt.inside.add, "final", direction, strength))
    assert "single number" in refused(lambda: mmt.inside.patch("final", 0.0))


def test_numpy_integers_are_pitches_and_other_scalars_are_not() -> None:
    assert MODEL.generate(allow=np.int64(60), max_events=20, seed=1)
    assert MODEL.generate(ranges={"violin": np.array([55, 100])}, max_events=20, seed=1)
    for wrong in (np.array(60), b"C4", True):
        assert "allow is " in refused(partial(MODEL.generate, allow=wrong))
