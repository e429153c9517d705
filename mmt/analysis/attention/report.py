"""The folder that `mmt-attention` writes: attention statistics as tables, arrays and plots.

`relative.csv`: a row per field, layer, head and difference, with confidence intervals. `nulls.csv`: the same over null models,
with bands that hold for all differences, layers and heads at once. `absolute.csv`: a row per pair of codes of the type, the
duration or the instrument that occurs, with confidence intervals. `statistics.npz`: the sums of all six fields, for
`read_statistics`. `provenance.json`: versions, commit, command, model, corpus, seed.

Layers and heads count from 0, as in the arrays; "all" is all heads of a layer merged.
"""

from __future__ import annotations

import csv
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmt.analysis.attention.measurement import Statistics, measure
from mmt.analysis.attention.pairs import Sums
from mmt.analysis.attention.plots import draw_codes, draw_gain, draw_heads
from mmt.analysis.attention.statistics import Absolute, Relative, Which
from mmt.analysis.intervals import check_level, warn_of_few
from mmt.analysis.ledger import fingerprint
from mmt.analysis.pieces import check_same_representation
from mmt.analysis.plotting import code_labels
from mmt.corpus.archives import RATIO
from mmt.corpus.storage import Corpus
from mmt.model.provenance import write_provenance
from mmt.music.atomic import is_taken, replacing
from mmt.music.bounded import LARGEST, brief, escaped
from mmt.representation.arguments import whole
from mmt.representation.codes import PAPER, Representation
from mmt.sampling.model import load_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ARRAYS = "statistics.npz"
_GAINS: tuple[Which, Which] = ("gain", "row_gain")
_DRAWN, _LABELLED = ("beat", "position", "pitch"), ("type", "duration", "instrument")
_RELATIVE = ["field", "layer", "head", "difference", "gamma"]
_RELATIVE += [of + end for of in _GAINS for end in ("", "_low", "_high")]
_ABSOLUTE = ["field", "layer", "head", "query", "key", "query_code", "key_code", *_RELATIVE[4:]]
_NULLS = ("field", "null", "layer", "head", "difference", "gain", "gain_low", "gain_high")


def study_corpus(
    output: str | os.PathLike[str],
    corpus: str | os.PathLike[str],
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    split: str | None = "test",
    n: int | None = None,
    seed: int = 0,
    level: float = 0.95,
    format: str = "png",
    device: str = "auto",
    overwrite: bool = False,
    progress: bool = False,
    say: Callable[[str], None] | None = None,
) -> list[str]:
    """Compute the attention statistics of a model over a corpus and write them, as `mmt-attention` does.

    `checkpoint` is by default the model that mmt ships, `split` "train", "valid", "test" or None for all, `n` the number of
    pieces, drawn with `seed` (default: all). `say` is called with a line about what is measured, when the arguments have been
    checked. The other parameters, the result and the errors are those of `write_report`.
    """
    _check_arguments(Path(output), level, format, overwrite)
    model, pieces = load_model(checkpoint, device=device), Corpus(corpus, split=split)
    check_same_representation(model, pieces)
    if n is not None:
        if whole("n", n) < 1:
            raise ValueError(f"n is {n}; it must be at least one piece")
        chosen = np.random.default_rng(seed).permutation(len(pieces))[:n]
        pieces = pieces.subset(sorted(chosen.tolist()))
    # Those that are measured: a piece of one note has no pair.
    count = sum(piece.length >= 2 for piece in pieces.pieces)
    if say is not None and count:
        drawn = f"{count:,} piece{'s' * (count != 1)} of {corpus}, split {split or 'all'}"
        say(f"attention of {checkpoint or 'the shipped model'} over {drawn}")
    statistics = measure(model, pieces, progress=progress)
    warn_of_few(count)
    provenance = {
        "model": {"checkpoint": str(checkpoint or "default"), "fingerprint": fingerprint(model)},
        "corpus": {"folder": str(corpus), "split": split or "all", "pieces": count, "sha256": pieces.sha256},
        "seed": seed,
        "level": level,
    }
    return write_report(
        output, statistics, level=level, format=format, representation=model.representation, provenance=provenance,
        overwrite=overwrite,
    )  # fmt: skip


def write_report(
    folder: str | os.PathLike[str],
    statistics: Statistics,
    *,
    level: float = 0.95,
    format: str = "png",
    representation: Representation = PAPER,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write attention statistics as tables, arrays and plots into a new folder, which appears whole or not at all.

    Parameters
    ----------
    folder : path
    statistics : Statistics
        From `mmt.attention.measure`.
    level : float
        Level of the confidence intervals, in (0, 1); a single piece has none.
    format : "png", "svg" or "pdf"
        Of the plots.
    representation : Representation
        The model's, for the names of the codes.
    provenance : mapping, optional
        Stored in `provenance.json`, besides the command and the versions of mmt and its libraries: model, corpus, seed.
    overwrite : bool
        Whether to replace a folder that this function wrote.

    Returns
    -------
    list of str
        The names of the files.

    Raises
    ------
    FileExistsError
        If the folder exists and `overwrite` is false, or the folder is not a report.
    ValueError
        If an argument is out of range.
    """
    target = Path(folder)
    _check_arguments(target, level, format, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    made_with = dict(provenance or {})
    with replacing(target) as new:
        new.mkdir()
        _write_table(new / "relative.csv", _RELATIVE, _relative_rows(statistics, level))
        _write_table(new / "absolute.csv", _ABSOLUTE, _absolute_rows(statistics, representation, level))
        _write_table(new / "nulls.csv", _NULLS, _null_rows(statistics, level))
        np.savez_compressed(new / ARRAYS, **_arrays(statistics))  # type: ignore[arg-type]
        _draw_all(new, statistics, level, format, representation, _of_what(made_with))
        write_provenance(new, made_with)
    return sorted(path.name for path in target.iterdir())


def read_statistics(path: str | os.PathLike[str]) -> Statistics:
    """Read the statistics that `write_report` wrote, from its folder or its `statistics.npz`.

    Raises
    ------
    ValueError
        If the file does not exist, or an older mmt wrote it.
    """
    path = Path(path) / ARRAYS if Path(path).is_dir() else Path(path)
    if not path.exists():
        raise ValueError(f"there is no {path}; mmt-attention makes one")
    found: dict[str, dict[str, dict[str, np.ndarray]]] = {"relative": {}, "absolute": {}, "expected": {}}
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST + RATIO * path.stat().st_size:
                raise ValueError(f"it unpacks to more than {RATIO} times its size")
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                kind, field, part = name.split(".")
                found[kind].setdefault(field, {})[part] = arrays[name]
        relative = {field: Relative(field, **parts) for field, parts in found["relative"].items()}
        absolute = {field: Absolute(field, **parts) for field, parts in found["absolute"].items()}
    except OSError:
        raise
    except Exception as error:  # NumPy and zipfile raise many types for damaged files
        raise ValueError(f"{path} is not a file of mmt-attention, or is damaged ({brief(error)})") from error
    if not found["expected"]:
        raise ValueError(f"{path} has no null models, as an older mmt wrote it; run mmt-attention --overwrite again")
    expected = {(field, null): sums for field, parts in found["expected"].items() for null, sums in parts.items()}
    return Statistics(relative, absolute, expected)


def _check_arguments(target: Path, level: float, format: str, overwrite: bool) -> None:
    check_level(level)
    if format not in ("png", "svg", "pdf"):
        raise ValueError(f"format is {format!r}; choose png, svg or pdf")
    if is_taken(target) and not overwrite:
        raise FileExistsError(f"{target} exists already; choose another folder, or pass --overwrite (overwrite=True)")
    if is_taken(target) and not (target / ARRAYS).exists():
        raise FileExistsError(f"{target} is not a report of mmt-attention (no {ARRAYS}); choose another folder")


def _arrays(statistics: Statistics) -> dict[str, np.ndarray]:
    """The arrays of `statistics.npz` by name."""
    arrays: dict[str, np.ndarray] = {}
    for kind in ("relative", "absolute"):
        for field, found in getattr(statistics, kind).items():
            arrays |= {f"{kind}.{field}.{part}": array for part, array in vars(found).items() if part != "field"}
    return arrays | {f"expected.{field}.{null}": sums for (field, null), sums in statistics.expected.items()}


def _write_table(path: Path, columns: Sequence[str], rows: Iterator[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([f"{x:.7g}" if isinstance(x, float) else x for x in row] for row in rows)


def _relative_rows(statistics: Statistics, level: float) -> Iterator[tuple[object, ...]]:
    for field, each in statistics.relative.items():
        for found in (each, each.merged()):
            unknown = np.full((2, *found.gamma.shape), np.nan)
            gain, row_gain = (found.interval(level, of) if found.pieces > 1 else unknown for of in _GAINS)
            columns = np.stack([found.gamma, found.gain, *gain, found.row_gain, *row_gain], axis=-1)
            yield from _rows_by_head((field,), columns, each, is_merged=found is not each)


def _rows_by_head(
    start: tuple[str, ...], columns: Sums, found: Relative, *, is_merged: bool
) -> Iterator[tuple[object, ...]]:
    """A row for each layer, head and difference of the columns (layer, head, K, C); none for differences without any pair."""
    for layer, head in np.ndindex(*columns.shape[:2]):
        for place in np.flatnonzero(found.pairs.any(axis=0)).tolist():
            values = columns[layer, head, place].tolist()
            yield *start, layer, "all" if is_merged else head, int(found.differences[place]), *values


def _absolute_rows(
    statistics: Statistics, representation: Representation, level: float
) -> Iterator[tuple[object, ...]]:
    for field in _LABELLED:
        found, names = statistics.absolute[field], code_labels(field, representation)
        gain, row_gain = (found.interval(level, of) for of in _GAINS)
        columns = np.stack([found.gamma, found.gain, *gain, found.row_gain, *row_gain], axis=-1)
        for layer, head in np.ndindex(*columns.shape[:2]):
            for query, key in np.argwhere(found.pairs.any(axis=0)):
                codes = int(found.codes[query]), int(found.codes[key])
                labels = names[codes[0]], names[codes[1]]
                yield field, layer, head, *labels, *codes, *columns[layer, head, query, key].tolist()


def _null_rows(statistics: Statistics, level: float) -> Iterator[tuple[object, ...]]:
    for field, null in statistics.expected:
        each = statistics.contrast(field, null)
        for found in (each, each.merged()):
            ends = found.interval(level) if found.pieces > 1 else np.full((2, *found.gain.shape), np.nan)
            columns = np.stack([found.gain, *ends], axis=-1)
            yield from _rows_by_head((field, null), columns, statistics.relative[field], is_merged=found is not each)


def _of_what(made_with: Mapping[str, Any]) -> str:
    """Name the model and the corpus, for the titles; empty if they are unknown."""
    model, corpus = made_with.get("model"), made_with.get("corpus")
    if not model or not corpus:
        return ""
    # A dollar sign would begin a formula.
    names = (escaped(Path(str(path)).name).replace("$", r"\$") for path in (model["checkpoint"], corpus["folder"]))
    return "model {} ({}), corpus {} ({})".format(next(names), model["fingerprint"], next(names), corpus["split"])


def _draw_all(
    folder: Path, statistics: Statistics, level: float, format: str, representation: Representation, of_what: str
) -> None:
    layers = next(iter(statistics.relative.values())).attention.shape[1]
    for of in _GAINS:
        for shown, name in ((None, ""), *(([layer], f"_layer{layer}") for layer in range(layers))):
            figure = draw_gain(statistics.relative, of=of, layers=shown, level=level, of_what=of_what)
            _save(figure, folder / f"figure3_{of}{name}.{format}")
    for null in dict.fromkeys(null for _, null in statistics.expected):
        fields = [field for field in _DRAWN if (field, null) in statistics.expected]
        compared = {field: statistics.contrast(field, null) for field in fields}
        figure = draw_gain(compared, fields=fields, level=level, of_what=of_what)
        _save(figure, folder / f"figure3_null_{null}.{format}")
    for field, found in statistics.relative.items():
        _save(draw_heads(found, of_what=of_what), folder / f"heads_{field}.{format}")
    for field in _LABELLED:
        # Gamma would mostly show how frequent the codes are.
        figure = draw_codes(statistics.absolute[field], of="row_gain", representation=representation, of_what=of_what)
        _save(figure, folder / f"codes_{field}.{format}")


def _save(figure: Figure, path: Path) -> None:
    # The layout is computed once: otherwise `savefig` draws the figure an extra time for it.
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    figure.set_layout_engine("none")
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
