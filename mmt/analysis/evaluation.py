"""The paper's tables 2 and 3 for any models and corpus: the metrics of generated pieces beside those of real pieces.

`evaluate_models` writes a folder:

    report.md                    the main results (`mmt.analysis.report`)
    details.md                   the whole table, distributions and originality
    evaluation.json              all results, each with the length of the pieces it was computed on
    table.csv                    the table
    pieces.csv                   the metrics of every piece
    differences-MODEL.png        every metric against the first model, or against real pieces (`mmt.analysis.differences`)
    distributions-MODEL.png      unconditional against real pieces, feature by feature (`mmt.distributions`)
    provenance.json              versions, commit, command, fingerprints of the models, hash of the corpus, seed
    work/                        finished parts, from which a stopped evaluation continues

For the modes see `mmt.analysis.modes`. As in the paper, the prompt of a continuation counts as part of the piece.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from mmt.analysis import differences, likelihood, originality, report
from mmt.analysis.differences import Differences, compare_scores
from mmt.analysis.distance import KernelDistance, kernel_distance
from mmt.analysis.distributions import Distributions, compare_distributions, picture
from mmt.analysis.metrics import METRICS, Scores, evaluate, to_csv
from mmt.analysis.modes import MODES, GeneratedPieces, Plan, plan_pieces
from mmt.analysis.report import REAL
from mmt.corpus.storage import Corpus
from mmt.model.provenance import software, write_provenance
from mmt.music.atomic import replacing

REPORT = "evaluation.json"
# Metrics are computed on whole pieces and on this many beats, as in the paper's listening test.
CUT = 64
CUT_LENGTH = f"the first {CUT} beats"
# The metrics of the table; the length of the pieces first.
_SHOWN = sorted((name for name, metric in METRICS.items() if metric.label), key=lambda name: name != "seconds")


@dataclass(frozen=True)
class TableRow:
    """A row of the table: a model and a mode, and the metrics of its pieces over one length."""

    model: str
    mode: str
    scores: Scores
    parameters: int | None = None
    notes_per_second: float | None = None
    at_once: int | None = None

    def cells(self) -> dict[str, str]:
        """As text, by column."""
        speed = "" if self.notes_per_second is None else f"{self.notes_per_second:.1f} ({self.at_once} at once)"
        size = "" if self.parameters is None else f"{self.parameters / 1e6:.2f} M"
        return {
            "model": self.model, "mode": self.mode, "length": self.scores.length, "pieces": str(len(self.scores)),
            "parameters": size, "notes/s": speed, **{METRICS[name].column: self.scores.text(name) for name in _SHOWN},
        }  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        own = {name: value for name, value in vars(self).items() if name != "scores"}
        return own | self.scores.to_dict()


@dataclass
class Evaluation:
    """The result of `evaluate_models`; the dictionaries are by model, `originality` and `distances` by "model, mode"."""

    settings: dict[str, Any]
    rows: list[TableRow] = field(default_factory=list)
    distributions: dict[str, Distributions] = field(default_factory=dict)
    likelihoods: dict[str, likelihood.Likelihood] = field(default_factory=dict)
    originality: dict[str, originality.Comparison] = field(default_factory=dict)
    comparisons: dict[str, Differences] = field(default_factory=dict)
    """All metrics of each model against real pieces, and of each further model against the first."""
    distances: dict[str, KernelDistance] = field(default_factory=dict)
    """From real pieces."""

    def scores(self, model: str) -> dict[str, Scores]:
        """The metrics of a model by mode, over the first 64 beats."""
        return {row.mode: row.scores for row in self.rows if row.model == model and row.scores.length == CUT_LENGTH}

    def differences(self) -> dict[str, likelihood.Difference]:
        """The difference of each further model to the first, in nats per note, paired over the pieces."""
        first = next(iter(self.likelihoods), "")
        return {
            f"{name} against {first}": likelihood.compare(found, self.likelihoods[first])
            for name, found in self.likelihoods.items()
            if name != first
        }

    def __str__(self) -> str:
        return report.page(self)

    def table(self) -> str:
        """The table in Markdown, of the metrics that any piece has."""
        rows = [row.cells() for row in self.rows]
        columns = [name for name in (rows[0] if rows else ()) if any(row[name] != "undefined" for row in rows)]
        return report.table([columns, *([row[name] for name in columns] for row in rows)])

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        parts: dict[str, Mapping[str, Any]] = {
            "distributions": self.distributions, "likelihood": self.likelihoods, "differences": self.differences(),
            "comparisons": self.comparisons, "distances": self.distances, "originality": self.originality,
        }  # fmt: skip
        return {"settings": self.settings, "rows": [row.to_dict() for row in self.rows]} | {
            kind: {name: found.to_dict() for name, found in part.items()} for kind, part in parts.items()
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
    only: Collection[str] | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> Evaluation:
    """Evaluate models on a corpus and write the results into a folder.

    Parameters
    ----------
    checkpoints : sequence of paths
        Checkpoint folders; None is the model that mmt ships.
    corpus, output : path
        A prepared corpus; and the folder to write, in which a stopped evaluation continues.
    split, only : str; collection of str, optional
        Real pieces and prompts are those of this split; with `only`, those of its pieces that have these names.
    n : int
        Number of pieces per mode and model.
    modes : sequence of str
        Some of `MODES`.
    with_likelihood, with_originality : bool
        Whether to measure the loss on the split, and the runs shared with the corpus's training split.
    seed, max_events, sampling, stride, device, progress
        As for `Model.generate`, `mmt.likelihood.measure` and `mmt.load_model`. `max_events` is at least 32; default: the smallest
        context of the models.

    Raises
    ------
    ValueError
        If an argument is out of range, two models have the same name, or a model cannot read the corpus.
    """
    output, work = Path(output), Path(output) / "work"
    plan = plan_pieces(
        checkpoints, corpus, split=split, only=only, n=n, modes=modes, seed=seed, max_events=max_events,
        sampling=sampling, device=device,
    )  # fmt: skip
    found = Evaluation(plan.settings | {"software": software()}, _real_rows(plan.real, corpus, split))
    index = originality.Index(Corpus(corpus, split="train"), progress=progress) if with_originality else None
    for name, model in plan.models.items():
        for mode in tqdm(modes, desc=name, unit=" modes", disable=not progress):
            _add_mode(found, plan, name, mode, plan.generate(name, mode, work, progress), index)
        if with_likelihood:
            found.likelihoods[name] = likelihood.measure(
                model, plan.real, stride=stride, ledger=work / f"{name}-likelihood.jsonl", progress=progress
            )
    _compare(found, plan)
    _write(output, found)
    return found


def _real_rows(real: Corpus, corpus: str | os.PathLike[str], split: str) -> list[TableRow]:
    """The rows of real pieces, and of those of the test split, a second reference, if the corpus has one."""
    sets = {REAL: real}
    if split != "test":
        with contextlib.suppress(ValueError):
            sets[f"{REAL}, test"] = Corpus(corpus, split="test")
    return [TableRow(name, "", evaluate(pieces, beats=beats)) for name, pieces in sets.items() for beats in (None, CUT)]


def _compare(found: Evaluation, plan: Plan) -> None:
    """Add the comparisons of all models, and their distances from real pieces."""
    truth, first = found.scores(REAL)[""], next(iter(plan.models))
    for name in plan.models:
        scores = found.scores(name)
        found.comparisons[f"{name} against {REAL}"] = compare_scores(
            scores, dict.fromkeys(scores, truth), names=(name, REAL)
        )
        if name != first:
            # Unconditional pieces have no prompt in common.
            count = len(plan.sources)
            prompts = {mode: range(count) if mode == "unconditional" else plan.sources for mode in scores}
            found.comparisons[f"{name} against {first}"] = compare_scores(
                scores, found.scores(first), names=(name, first), prompts=prompts
            )
        for mode, of_mode in scores.items():
            if len(of_mode) >= 2 and len(truth) >= 4:
                found.distances[f"{name}, {mode}"] = kernel_distance(of_mode, truth, seed=plan.seed)


def _add_mode(
    found: Evaluation, plan: Plan, name: str, mode: str, generated: GeneratedPieces, index: originality.Index | None
) -> None:
    """Add the metrics of whole pieces and of their first beats, and the comparisons with real and training pieces."""
    pieces, representation = generated.pieces, plan.models[name].representation
    size = sum(parameter.numel() for parameter in plan.models[name].network.parameters())
    for beats in (None, CUT):
        scores = evaluate(
            pieces,
            beats=beats,
            max_events=plan.max_events,
            max_beats=representation.beats,
            representation=representation,
        )
        found.rows.append(TableRow(name, mode, scores, size, generated.notes_per_second, generated.at_once))
    if mode == "unconditional" and len(pieces) >= 3 and len(plan.real) >= 6:
        found.distributions[name] = compare_distributions(
            pieces, plan.real, beats=CUT, seed=plan.seed, representation=representation
        )
    if index is not None:
        found.originality[f"{name}, {mode}"] = originality.compare(
            pieces, index, first_beats=generated.first_beats, representation=representation, seed=plan.seed
        )


def _write(output: Path, found: Evaluation) -> None:
    output.mkdir(parents=True, exist_ok=True)
    rows = [row.cells() for row in found.rows]
    pieces = [["model", "mode", "length", *found.rows[0].scores.rows()[0]]]
    for row in found.rows:
        pieces += [[row.model, row.mode, row.scores.length, *values] for values in row.scores.rows()[1:]]
    files: dict[str, str | bytes] = {
        "report.md": report.page(found),
        "details.md": report.details(found),
        "table.csv": to_csv([list(rows[0]), *(list(row.values()) for row in rows)]),
        "pieces.csv": to_csv(pieces),
    }
    for name, compared in report.pictured(found).items():
        files[f"differences-{name}.png"] = differences.picture(compared)
    for name, distributions in found.distributions.items():
        files[f"distributions-{name}.png"] = picture(distributions)
    write_provenance(output, {name: value for name, value in found.settings.items() if name != "software"})
    # The last file, which tells that the evaluation is finished.
    files[REPORT] = json.dumps(found.to_dict(), indent=1, allow_nan=False) + "\n"
    for name, content in files.items():
        with replacing(output / name) as unfinished:
            unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
