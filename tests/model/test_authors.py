"""Networks of the original code compute the same in ours, and their checkpoints load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mmt
from mmt.model.authors import from_authors, read_authors_run

KINDS = ("ape", "rpe", "npe")


@pytest.fixture(params=KINDS)
def reference(request: pytest.FixtureRequest, shared: Path) -> dict[str, Any]:
    """A tiny model of the authors' code, and what it computes."""
    path = shared / "reference" / f"ref_tiny_{request.param}.pt"
    return dict(torch.load(path, weights_only=True))


def run_folder(reference: dict[str, Any], folder: Path) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    torch.save(reference["state_dict"], folder / "checkpoints" / "best_model.pt")
    (folder / "train-args.json").write_text(json.dumps(reference["train_args"]))
    return folder


def test_logits_are_theirs(reference: dict[str, Any]) -> None:
    network = from_authors(reference["state_dict"], reference["train_args"]).network
    with torch.no_grad():
        for ours, theirs in zip(network(reference["seq"][:1]), reference["logits"], strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_attention_is_theirs(reference: dict[str, Any], tmp_path: Path) -> None:
    model = mmt.load_model(run_folder(reference, tmp_path / "run"))
    ours = mmt.attention.weights(model, reference["seq"][0].numpy())
    for layer, theirs in zip(ours, reference["attn"], strict=True):
        np.testing.assert_allclose(layer, theirs[0], atol=1e-5, rtol=0)


def test_logits_of_a_padded_batch_are_theirs_padding_included(reference: dict[str, Any]) -> None:
    network = from_authors(reference["state_dict"], reference["train_args"]).network
    with torch.no_grad():
        for ours, theirs in zip(network(reference["seq"], reference["mask"]), reference["logits_masked"], strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_the_likeliest_continuation_is_theirs(reference: dict[str, Any], tmp_path: Path) -> None:
    model = mmt.load_model(run_folder(reference, tmp_path / "run"))
    prompt = reference["seq"][0, : reference["greedy_prompt_len"]].numpy()
    greedy = reference["greedy"][0].numpy()
    assert (greedy[:, 0] < 4).all()
    written = model.generate(prompt, grammar="paper", top_k=1, max_events=len(prompt) + len(greedy) + 1)[0]
    assert np.array_equal(written[len(prompt) : len(prompt) + len(greedy)], greedy)


def test_the_likeliest_continuation_past_the_context_is_theirs(reference: dict[str, Any], tmp_path: Path) -> None:
    model = mmt.load_model(run_folder(reference, tmp_path / "run"))
    prompt = reference["seq"][0, : reference["greedy_prompt_len"]].numpy()
    greedy = reference["greedy_long"][0].numpy()
    assert len(prompt) + len(greedy) > model.network.config.context
    length = len(prompt) + len(greedy)
    written = model.generate(prompt, grammar="paper", top_k=1, context="slide", max_events=length + 1)[0]
    assert np.array_equal(written[len(prompt) : length], greedy)


def test_a_run_folder_loads(reference: dict[str, Any], tmp_path: Path) -> None:
    model = mmt.load_model(run_folder(reference, tmp_path / "run"))
    assert model.representation.sizes == tuple(reference["config"]["n_tokens"])
    model.save(tmp_path / "ours")
    again = mmt.load_model(tmp_path / "ours")
    with torch.no_grad():
        for first, second in zip(model.network(reference["seq"]), again.network(reference["seq"]), strict=True):
            assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("decoder.net.norm.bias"), "key 'decoder.net.norm.bias' is missing"),
        (lambda state: state.update({"decoder.net.more": torch.zeros(1)}), "unknown key 'decoder.net.more'"),
        (
            lambda state: state.update({"decoder.net.norm.bias": torch.zeros(3)}),
            r"decoder.net.norm.bias make the shape \(3,\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(reference: dict[str, Any], tmp_path: Path, change: Any, message: str) -> None:
    change(reference["state_dict"])
    with pytest.raises(ValueError, match=message):
        read_authors_run(run_folder(reference, tmp_path / "run"))


def test_a_corrupt_file_is_refused(reference: dict[str, Any], tmp_path: Path) -> None:
    folder = run_folder(reference, tmp_path / "run")
    (folder / "checkpoints" / "best_model.pt").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="corrupt"):
        read_authors_run(folder)
