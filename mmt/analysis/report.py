"""The pages of an evaluation in Markdown: `page` has the main results, `details` the whole table and everything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmt.analysis.differences import Differences
from mmt.analysis.intervals import ENOUGH
from mmt.analysis.metrics import METRICS
from mmt.music.bounded import markdown

if TYPE_CHECKING:
    from mmt.analysis.evaluation import Evaluation

REAL = "real pieces"
# The metrics of the first page.
_FIRST = (
    "pitch_class_entropy", "scale_consistency", "groove_consistency_corrected", "notes_per_beat", "polyphony", "instruments_used",
    "instrument_evenness", "longest_silence", "repetition", "returning", "locked", "long_final_chord", "ends_at_told_length",
    "ends_by_itself", "valid",
)  # fmt: skip


def page(found: Evaluation) -> str:
    """The first page: settings, metrics over the first 64 beats, loss, and the differences that stand."""
    models = list(found.settings["models"])
    few = any(len(row.scores) < ENOUGH for row in found.rows)
    parts = [
        f"# Evaluation of {', '.join(models)}",
        provenance(found),
        *(_metrics(found, name) for name in models),
        *([f"intervals of fewer than {ENOUGH} pieces are rough"] if few else []),
    ]
    if found.likelihoods:
        parts += ["## Loss", *(f"{name}: {loss}" for name, loss in found.likelihoods.items())]
        parts += [f"{name}: {difference}" for name, difference in found.differences().items()]
    parts += ["## Differences", *map(str, found.comparisons.values())]
    parts += [
        f"![{compared.first} minus {compared.second}](<differences-{name}.png>)"
        for name, compared in pictured(found).items()
    ]
    if found.distances:
        rows = [
            [name, f"{one.value:.4f}", f"{one.low:.4f} to {one.high:.4f}", f"{one.floor:.4f}"]
            for name, one in found.distances.items()
        ]
        parts += [
            "## Kernel distance from real pieces",
            table([["model, mode", "distance", "95 % interval", "halves of real pieces stay below"], *rows]),
        ]
    return "\n\n".join(parts) + "\n"


def details(found: Evaluation) -> str:
    """The second page: the whole table, distributions, originality, and all differences."""
    parts = ["# Details", provenance(found), found.table()]
    parts += [f"## Distributions: {name}\n\n```\n{one}\n```" for name, one in found.distributions.items()]
    parts += [f"## Originality: {name}\n\n```\n{one}\n```" for name, one in found.originality.items()]
    for name, compared in found.comparisons.items():
        rows = [
            [one.mode, METRICS[one.metric].label or one.metric, f"{one.difference:.4g}",
             "" if one.low is None else f"{one.low:.4g} to {one.high:.4g}",
             f"{one.effect:.2f}", f"{one.p:.2g}", f"{one.corrected:.2g}", "yes" if one.stands else ""]
            for one in compared.effects
        ]  # fmt: skip
        head = ["mode", "metric", "difference", "95 % interval", "standard deviations", "p", "corrected p", "stands"]
        parts.append(f"## Differences: {name}\n\n{table([head, *rows])}")
    return "\n\n".join(parts) + "\n"


def provenance(found: Evaluation) -> str:
    """What was evaluated: models, corpus, seed, limits and versions."""
    settings = found.settings
    models = ", ".join(f"{name} ({digest})" for name, digest in settings["models"].items())
    versions = ", ".join(f"{name} {version}" for name, version in settings["software"].items() if version)
    listed = "" if settings["only"] is None else " that are listed"
    return "\n".join(
        [
            f"- Models: {models}.",
            f"- Corpus: {markdown(settings['corpus'])} (sha256 {settings['corpus_sha256'][:16]}): {settings['pieces']:,} "
            f"pieces of the {settings['split']} split{listed}.",
            f"- {settings['n']:,} pieces per mode, at most {settings['max_events']:,} events each, prompts from "
            f"{settings['prompts_from']:,} pieces, sampling {settings['sampling']}, seed {settings['seed']}.",
            f"- Versions: {versions}.",
        ]
    )


def pictured(found: Evaluation) -> dict[str, Differences]:
    """The comparisons that have a picture, by model: against the first model; of the first, against real pieces."""
    first, *others = found.settings["models"]
    chosen = {first: f"{first} against {REAL}"} | {name: f"{name} against {first}" for name in others}
    return {name: found.comparisons[key] for name, key in chosen.items() if found.comparisons[key].effects}


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as a table in Markdown, the first row as its head."""
    head, *others = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *others))


def _metrics(found: Evaluation, model: str) -> str:
    """A table with a row for each metric, and a column for real pieces and for each mode."""
    columns = {name: scores for name in (REAL, f"{REAL}, test") for scores in found.scores(name).values()}
    columns |= found.scores(model)
    rows = [["", *columns], ["pieces", *(f"{len(scores):,}" for scores in columns.values())]]
    for name in _FIRST:
        cells = [scores.text(name) for scores in columns.values()]
        if any(cell != "undefined" for cell in cells):
            rows.append([METRICS[name].column, *cells])
    speeds = {row.mode: f"{row.notes_per_second:.0f}" for row in found.rows if row.model == model}
    rows.append(["new notes per second", *(speeds.get(name, "") for name in columns)])
    length = next(iter(columns.values())).length
    return f"## {model}, {length}\n\nMeans and 95 % intervals over pieces.\n\n{table(rows)}"
