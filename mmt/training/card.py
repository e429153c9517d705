"""The model card of a checkpoint: size, losses, and the sources, composers and licences of its training data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from mmt.corpus.storage import Corpus
from mmt.model.checkpoint import Checkpoint
from mmt.music.bounded import escaped, markdown
from mmt.representation.codes import FIELDS

# Largest number of composers and sources in a card, and in config.json; the others are summed up.
_LISTED, _KEPT = 30, 1000
_OTHERS = "(others)"


def describe(corpus: Corpus, exclude: Iterable[str] = ()) -> dict[str, Any]:
    """Describe a training split, without pieces that match the patterns in `exclude`, for `config.json`."""

    def most(name: str) -> dict[str, int]:
        return _most(Counter(escaped(getattr(piece, name)) for piece in corpus.pieces), _KEPT)

    return {
        "name": escaped(corpus.folder.name),
        "pieces": len(corpus),
        "notes": sum(piece.length for piece in corpus.pieces),
        "sha256": corpus.sha256,
        "excluded": list(exclude),
        "composers": most("composer"),
        "sources": most("source"),
        "licences": most("licence"),
        # In how many pieces each instrument plays.
        "instruments": dict(
            Counter(escaped(name) for piece in corpus.pieces for name in piece.instruments.split()).most_common()
        ),
    }


def model_card(checkpoint: Checkpoint) -> str:
    """The text of `MODEL_CARD.md`."""
    training, network = checkpoint.training, checkpoint.network
    validation, data = training["validation"], training["data"]
    size = sum(parameter.numel() for parameter in network.parameters())
    lines = [
        "# Model card",
        "",
        f"A Multitrack Music Transformer of {size:,} parameters, trained for {training['steps']:,} steps.",
        *_origin(data.get("base")),
        "",
        _loss_line(training),
        "",
        "| " + " | ".join(FIELDS) + " |",
        "|" + "---|" * len(FIELDS),
        "| " + " | ".join(f"{validation[name]:.3f}" for name in FIELDS) + " |",
        "",
        "## Data",
        "",
        *_data(data),
    ]
    return "\n".join(lines)


def _loss_line(training: Mapping[str, Any]) -> str:
    loss = training["validation"]["loss"]
    if training["recipe"].get("compat") == "authors":
        return (
            "Validation loss as the original code takes it, over beginnings of pieces with padding and zeros counted: "
            f"{loss:.3f}, the sum of the fields' means:"
        )
    return (
        f"Loss on {windows_measured(training)} of the validation split: {loss:.3f} nats per note. "
        "Mean nats per counted target of each field:"
    )


def windows_measured(training: Mapping[str, Any]) -> str:
    """The windows that the validation losses of a checkpoint are of, in words: all of the split, or a subset of them."""
    measured = training.get("validated_on")
    if measured is None:
        return "windows"
    count, total = measured["windows"], measured["all_windows"]
    return f"all {total:,} windows" if count == total else f"{count:,} of the {total:,} windows, spread evenly,"


def _origin(base: Mapping[str, Any] | None) -> list[str]:
    if base is None:
        return []
    lines = ["", f"It began with the weights of {markdown(base['name'])}."]
    if learned := base.get("data"):
        lines += ["", "That model had learned from this:", "", *_data(learned)[:-1], *_origin(learned.get("base"))]
    return lines


def _data(data: Mapping[str, Any]) -> list[str]:
    lines = [f"{data.get('pieces', 0):,} pieces, {data.get('notes', 0):,} notes in the training split.", ""]
    if excluded := data.get("excluded"):
        lines += [f"Left out on purpose: {', '.join(map(markdown, excluded))}.", ""]
    for title, name in (("Licences", "licences"), ("Composers", "composers"), ("Sources", "sources")):
        counts: Mapping[str, int] = data.get(name, {})
        if set(counts) - {""}:
            lines += [f"{title}:", "", *_counts(counts), ""]
        elif name == "licences":
            lines += ["No licence is stated for any of them: ask whose music it is before you pass the model on.", ""]
    if seen := data.get("instruments"):
        listed = ", ".join(f"{markdown(name)} {count:,}" for name, count in seen.items())
        lines += [f"Pieces in which each instrument plays (all others: none): {listed}.", ""]
    return lines


def _counts(counts: Mapping[str, int]) -> list[str]:
    return [
        f"- {markdown(name or 'not stated')}: {count:,} {'piece' if count == 1 else 'pieces'}"
        for name, count in _most(counts, _LISTED).items()
    ]


def _most(counts: Mapping[str, int], limit: int) -> dict[str, int]:
    """The `limit` largest counts, and the sum of the others."""
    ranked = sorted(counts.items(), key=lambda item: (item[0] == _OTHERS, -item[1], item[0]))
    kept, rest = dict(ranked[:limit]), ranked[limit:]
    return kept | ({_OTHERS: sum(count for _, count in rest) + kept.pop(_OTHERS, 0)} if rest else {})
