"""mmt-evaluate: metrics of generated and real pieces, loss, originality, comparisons of models, and listening tests."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmt.cli.common import DEVICE, Flags, UsageError, add_flags, parser, run, telling_what_is_kept, wants_progress

_EXAMPLES = """examples:
  mmt-evaluate --corpus data/mine -o evaluation
  mmt-evaluate --checkpoint runs/a/best runs/b/best --corpus data/mine --originality -o evaluation
  mmt-evaluate --corpus data/mine --split test -n 100 --mode unconditional --sampling paper -o evaluation
  mmt-evaluate --checkpoint runs/a/best runs/b/best --corpus data/mine --mode 4-beat --listening test
  mmt-evaluate --answers anna.json ben.json --listening test
To continue a stopped evaluation, run the same command again.
"""
_MODES = ["unconditional", "instrument-informed", "4-beat", "16-beat"]
_FOLDERS: Flags = {
    "--corpus": (Path, None, "the folder of a prepared corpus"),
    "-o --output": (Path, None, "the folder to write"),
}
_PIECES: Flags = {
    "--split": (("train", "valid", "test"), "valid", "the split that real pieces and prompts are taken from"),
    "--pieces": (Path, None, "file of names, one per line: take real pieces and prompts only from these pieces of the split"),
    "-n": (int, None, "number of pieces per mode (default: 512), or pairs to listen to (default: 12)"),
    "--mode": (_MODES, None, "only this mode; repeat the flag for more (default: all)"),
    "--seed": (int, 0, "the same seed gives the same results, except the speed"),
    "--max-events": (int, None, "maximum number of events per piece (default: the smallest context of the models)"),
    "--sampling": (("default", "paper"), "default", "default: the models' own settings; paper: those of the original code"),
    "--likelihood": (bool, True, "measure the loss on the split"),
    "--stride": (int, None, "number of notes by which the windows of the loss advance (default: a quarter of the context)"),
    "--originality": (bool, False, "find runs of notes shared with the corpus's training split, for models trained on it"),
}  # fmt: skip
_LISTENING: Flags = {
    "--listening FOLDER": (Path, None, "write a page with pairs of pieces: of two models, or of a model and real music "
        "(default mode: 4-beat)"),
    "--beats": (int, 32, "maximum number of beats that are played of a piece"),
}  # fmt: skip
_ANSWERS = (
    "read the answers that the page saved, a file per listener; the key is in --listening (default: next to them)"
)


def main(given: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return run(_parser(), _evaluate, given)


def _parser() -> argparse.ArgumentParser:
    arguments = parser(
        "mmt-evaluate",
        "Compute metrics of the pieces that models generate in each mode and of real pieces, and the loss on real pieces.",
        _EXAMPLES,
    )
    add_flags(arguments, _FOLDERS)
    several = "checkpoint folders, one or more (default: the model that mmt ships)"
    arguments.add_argument("--checkpoint", type=Path, nargs="+", help=several)
    add_flags(arguments, _PIECES)
    test = arguments.add_argument_group("blind listening test, instead of an evaluation")
    add_flags(test, _LISTENING)
    test.add_argument("--answers", type=Path, nargs="+", metavar="FILE", help=_ANSWERS)
    add_flags(arguments, DEVICE)
    return arguments


def _evaluate(chosen: argparse.Namespace) -> None:
    if chosen.answers:
        _read_answers(chosen)
        return
    folder = chosen.listening or chosen.output
    chosen.n = chosen.n if chosen.n is not None else 12 if chosen.listening else 512
    if chosen.n < 1:
        raise UsageError(f"-n is {chosen.n}; it must be at least 1 piece")
    if not 0 <= chosen.seed < 2**63:
        raise UsageError(f"--seed is {chosen.seed}; it must be 0 to 2**63 - 1")
    if chosen.corpus is None or folder is None:
        raise UsageError("give --corpus, and -o or --listening for the folder to write")
    if chosen.listening and len(chosen.mode or ["4-beat"]) != 1:
        raise UsageError("--listening takes one --mode")
    from mmt.analysis.evaluation import REPORT
    from mmt.analysis.listening import PAGE
    from mmt.corpus.splits import read_names

    written = folder / (PAGE if chosen.listening else REPORT)
    if written.exists() and not chosen.overwrite:
        raise FileExistsError(f"{written} exists already; name another folder, or give --overwrite")
    shared = {
        "split": chosen.split, "n": chosen.n, "seed": chosen.seed, "max_events": chosen.max_events,
        "sampling": chosen.sampling, "device": chosen.device, "progress": wants_progress(chosen),
        "only": None if chosen.pieces is None else read_names(chosen.pieces),
    }  # fmt: skip
    with telling_what_is_kept(f"finished parts are kept in {folder}; run the same command to continue"):
        told = (_write_listening_test if chosen.listening else _write_report)(chosen, shared)
    if not chosen.quiet:
        print(told)


def _write_report(chosen: argparse.Namespace, shared: dict[str, Any]) -> str:
    from mmt.analysis.evaluation import REPORT, evaluate_models
    from mmt.analysis.modes import MODES

    found = evaluate_models(
        chosen.checkpoint or [None],
        chosen.corpus,
        chosen.output,
        modes=MODES if chosen.mode is None else [mode for mode in MODES if mode.split(" ")[0] in chosen.mode],
        with_likelihood=chosen.likelihood,
        with_originality=chosen.originality,
        stride=chosen.stride,
        **shared,
    )
    pictures = " and pictures" if any(chosen.output.glob("*.png")) else ""
    return f"{found}\n{chosen.output}: report.md, details.md, {REPORT}, table.csv, pieces.csv{pictures}"


def _write_listening_test(chosen: argparse.Namespace, shared: dict[str, Any]) -> str:
    from mmt.analysis.listening import KEY, make_listening_test
    from mmt.analysis.modes import MODES

    (mode,) = (mode for mode in MODES if mode.split(" ")[0] == (chosen.mode or ["4-beat"])[0])
    page = make_listening_test(
        chosen.checkpoint or [None], chosen.corpus, chosen.listening, mode=mode, beats=chosen.beats, **shared
    )
    return f"{page}: send it to listeners, but not {chosen.listening / KEY}; read their answers with --answers"


def _read_answers(chosen: argparse.Namespace) -> None:
    from mmt.analysis.listening import KEY, read_answers

    print(read_answers(chosen.answers, (chosen.listening or chosen.answers[0].parent) / KEY))


if __name__ == "__main__":
    raise SystemExit(main())
