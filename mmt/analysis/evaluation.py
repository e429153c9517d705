"""The paper's tables 2 and 3 on any corpus: what models write in each mode, beside real pieces, in one folder.

    evaluation.json     everything, each figure with the length that it was taken over
    table.md, table.csv      the table
    pieces.csv          the measures of every piece
    distributions-….png      pieces from nothing against real ones, feature by feature (see `distributions`)
    work/               what a stopped evaluation goes on with

Modes are those of `sampling_modes`; the pieces of a continuation are measured with their prompts, as in the paper.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from mmt.analysis import likelihood, originality
from mmt.analysis.distributions import Distributions, compare_distributions, picture
from mmt.analysis.ledger import fingerprint
from mmt.analysis.metrics import SHARES, Scores, evaluate
from mmt.analysis.modes import MODES, Samples, choose_prompts, write_samples
from mmt.corpus.storage import Corpus
from mmt.model.recipes import find_checkpoint, shipped
from mmt.sampling.model import Model, load_model

TRUTH = "real pieces"
REPORT = "evaluation.json"
# As in the paper's listening test.
CUT = 64
_SHOWN = {
    "seconds": "mean sample, s",
    "pitch_class_entropy": "pitch-class entropy",
    "scale_consistency": "scale consistency, %",
    "groove_consistency": "groove consistency, %",
    "groove_consistency_corrected": "groove, corrected, %",
    "notes_per_beat": "notes a beat",
    "polyphony": "polyphony",
    "instruments_used": "instruments used, %",
    "ends_by_itself": "ends by itself, %",
    "valid": "valid, %",
}


@dataclass(frozen=True)
class Row:
    """A line of the table: whose pieces, in which mode, and what they measure over one length."""

    model: str
    mode: str
    scores: Scores
    parameters: int | None = None
    notes_per_second: float | None = None
    at_once: int | None = None

    def cells(self) -> list[str]:
        """As text, in the order of `header`."""
        speed = "" if self.notes_per_second is None else f"{self.notes_per_second:.1f} ({self.at_once} at once)"
        size = "" if self.parameters is None else f"{self.parameters / 1e6:.2f} M"
        measured = [self.scores[name].text(100.0 if name in SHARES else 1.0) for name in _SHOWN]
        return [self.model, self.mode, self.scores.length, str(len(self.scores)), size, speed, *measured]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        own = {name: getattr(self, name) for name in ("model", "mode", "parameters", "notes_per_second", "at_once")}
        return own | self.scores.to_dict()


def header() -> list[str]:
    """The heads of the table's columns."""
    return ["model", "mode", "length", "pieces", "parameters", "notes/s", *_SHOWN.values()]


@dataclass
class Evaluation:
    """The rows of the table, and what else was asked for."""

    settings: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    distributions: dict[str, Distributions] = field(default_factory=dict)
    likelihoods: dict[str, likelihood.Likelihood] = field(default_factory=dict)
    originality: dict[str, originality.Report] = field(default_factory=dict)

    def differences(self) -> dict[str, likelihood.Difference]:
        """Of each further model to the first, in nats per note, paired over the pieces."""
        first, *others = self.likelihoods.items() or [("", None)]
        return {
            f"{name} against {first[0]}": likelihood.compare(found, first[1])
            for name, found in others
            if found and first[1]
        }

    def __str__(self) -> str:
        lines = [self.table()]
        lines += [f"{name}: {found}" for name, found in self.distributions.items()]
        lines += [f"{name}: {found}" for name, found in self.likelihoods.items()]
        lines += [f"{name}: {found}" for name, found in self.differences().items()]
        lines += [f"{name}: {found}" for name, found in self.originality.items()]
        return "\n\n".join(lines)

    def table(self) -> str:
        """The table in Markdown."""
        rows = [header(), ["---"] * len(header()), *(row.cells() for row in self.rows)]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "settings": self.settings,
            "rows": [row.to_dict() for row in self.rows],
            "distributions": {name: found.to_dict() for name, found in self.distributions.items()},
            "likelihood": {name: found.to_dict() for name, found in self.likelihoods.items()},
            "differences": {name: found.to_dict() for name, found in self.differences().items()},
            "originality": {name: found.to_dict() for name, found in self.originality.items()},
        }


def evaluate_models(
    checkpoints: Sequence[str | os.PathLike[str] | None],
    corpus: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    split: str = "valid",
    n: int = 50,
    modes: Sequence[str] = MODES,
    seed: int = 0,
    max_events: int | None = None,
    sampling: Literal["default", "paper"] = "default",
    with_likelihood: bool = True,
    with_originality: bool = False,
    stride: int | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> Evaluation:
    """Evaluate models on a corpus, and write what was found into a folder.

    Parameters
    ----------
    checkpoints : sequence of paths
        Checkpoint folders; None is the model that mmt ships.
    corpus : path
        A prepared corpus.
    output : path
        The folder to write; an evaluation that was stopped there goes on.
    split : str
        The split whose pieces are the truth, and give the prompts.
    n : int
        Pieces of each mode and model.
    modes : sequence of str
        Some of `MODES`.
    seed : int
    max_events : int, optional
        Of each piece. Default: the smallest of the models' contexts.
    sampling : "default" or "paper"
        As for `Model.generate`.
    with_likelihood, with_originality : bool
        Whether to measure the loss on the split, and how much is shared with the corpus' training split.
    stride : int, optional
        Of the likelihood's windows.

    Raises
    ------
    ValueError
        If a mode is unknown, `n` less than 1, two models have one name, or a model and the corpus do not go together.
    """
    output, real = Path(output), Corpus(corpus, split=split)
    models = _load(checkpoints, device)
    context = min(model.network.config.context for model in models.values())
    max_events = context if max_events is None else max_events
    _check(n, modes, max_events, context)
    for model in models.values():
        likelihood.check_representations(model, real)
    sources, fit = choose_prompts(real, n, seed=seed, longest=max_events // 2, modes=modes)
    settings = {
        "corpus": str(corpus), "split": split, "pieces": len(real), "n": n, "seed": seed, "max_events": max_events,
        "sampling": sampling, "prompts_from": min(n, fit), "pieces_fit_for_prompts": fit,
        "models": {name: fingerprint(model) for name, model in models.items()},
    }  # fmt: skip
    found = Evaluation(settings)
    found.rows += [Row(TRUTH, "", evaluate(real, beats=beats)) for beats in (None, CUT)]
    index = originality.Index(Corpus(corpus, split="train"), progress=progress) if with_originality else None
    for name, model in models.items():
        for mode in tqdm(modes, desc=name, unit=" modes", disable=not progress):
            ledger = output / "work" / f"{name}-{mode.replace(' ', '-')}.jsonl"
            samples = write_samples(
                model, real, mode, sources, seed=seed, max_events=max_events, sampling=sampling, ledger=ledger,
                progress=progress,
            )  # fmt: skip
            _add_mode(found, name, mode, model, samples, real, index)
        if with_likelihood:
            ledger = output / "work" / f"{name}-likelihood.jsonl"
            found.likelihoods[name] = likelihood.measure(
                model, real, stride=stride, seed=seed, ledger=ledger, progress=progress
            )
    _write(output, found)
    return found


def _check(n: int, modes: Sequence[str], max_events: int, context: int) -> None:
    if unknown := [mode for mode in modes if mode not in MODES]:
        raise ValueError(f"mode {unknown[0]!r} is unknown; choose among {', '.join(MODES)}")
    if n < 1:
        raise ValueError(f"n is {n}; ask for at least 1 piece a mode")
    if not 32 <= max_events <= context:
        raise ValueError(f"max_events is {max_events}; with these models it must be 32 to {context}")


def _load(checkpoints: Sequence[str | os.PathLike[str] | None], device: str) -> dict[str, Model]:
    """The models by their names: that of the folder, with its parent's where two are alike."""
    if not checkpoints:
        raise ValueError("there is no model to evaluate; give at least one checkpoint")
    paths = [
        (shipped("checkpoints", "default") if path is None else find_checkpoint(path)).resolve() for path in checkpoints
    ]
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.parent.name}-{path.name}" for path in paths]
    if len(set(names)) < len(names):
        raise ValueError(f"two checkpoints have the name {max(names, key=names.count)}; give each another folder name")
    return {name: load_model(path, device=device) for name, path in zip(names, paths, strict=True)}


def _add_mode(
    found: Evaluation,
    name: str,
    mode: str,
    model: Model,
    samples: Samples,
    real: Corpus,
    index: originality.Index | None,
) -> None:
    """Measure what a model wrote in a mode: whole pieces and their first beats, their spread, what they share."""
    representation, seed = model.representation, found.settings["seed"]
    size = sum(parameter.numel() for parameter in model.network.parameters())
    for beats in (None, CUT):
        scores = evaluate(
            samples.pieces,
            beats=beats,
            max_events=found.settings["max_events"],
            max_beats=representation.beats,
            representation=representation,
        )
        found.rows.append(Row(name, mode, scores, size, samples.notes_per_second, samples.at_once))
    if mode == "unconditional" and len(samples.pieces) >= 3 and len(real) >= 6:
        found.distributions[name] = compare_distributions(
            samples.pieces, real, beats=CUT, seed=seed, representation=representation
        )
    if index is not None:
        found.originality[f"{name}, {mode}"] = originality.compare(
            samples.pieces, index, first_beats=samples.first_beats, representation=representation, seed=seed
        )


def _write(output: Path, found: Evaluation) -> None:
    """Write every file whole."""
    output.mkdir(parents=True, exist_ok=True)
    _put(output / "table.md", found.table() + "\n")
    _put(output / "table.csv", _csv([header(), *(row.cells() for row in found.rows)]))
    pieces: list[list[str]] = []
    for row in found.rows:
        head, *lines = list(csv.reader(io.StringIO(row.scores.to_csv())))
        pieces = pieces or [["model", "mode", "length", *head]]
        pieces += [[row.model, row.mode, row.scores.length, *line] for line in lines]
    _put(output / "pieces.csv", _csv(pieces))
    for name, distributions in found.distributions.items():
        _put(output / f"distributions-{name}.png", picture(distributions))
    _put(output / REPORT, json.dumps(found.to_dict(), indent=1, allow_nan=False) + "\n")


def _csv(rows: Sequence[Sequence[str]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def _put(path: Path, content: str | bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(partial, path)
