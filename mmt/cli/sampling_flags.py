"""The sampling flags and controls of mmt-generate, and their values as arguments of `Model.generate`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from mmt.cli.common import UsageError, add_flags, add_switch, wants_progress

_FIELDS = "type, beat, position, pitch, duration, instrument"

_FILTERS = {
    "--temperature": "above 1: more surprising; below 1: more predictable",
    "--top-k": "draw among the K likeliest codes",
    "--top-p": "draw among the likeliest codes that together have this probability",
    "--min-p": "draw among codes at least this share as likely as the likeliest",
}
_LIMITS = {
    "--min-beats": "minimum number of beats (default: none; LENGTH - 3)",
    "--max-beats": "notes begin in the first MAX_BEATS beats of the piece, those of the FILE included; may exceed the model's "
    "own (default: the model's beats, or --length)",
    "--new-beats": "the same, counted from the end of what is read of the FILE",
    "--max-events": "maximum number of events of a piece; may exceed the model's context (default: the context; with --length, "
    "no limit)",
    "--length BEATS": "number of beats of the piece, for models with length codes; it ends in the last four of them",
    "--max-rest BEATS": "silences are shorter than this many beats (default: the model's; 0: of any length)",
}
_CONTEXT = (
    "what the model reads past its context. anchor: the last beats, counted from the first of them; slide: the last events, as "
    "in the original code"
)


def add_sampling(arguments: argparse.ArgumentParser) -> None:
    """Add the flags of seeds, filters, limits and grammar."""
    group = arguments.add_argument_group(
        "sampling",
        f"The filters take a number, or FIELD=NUMBER for a single field ({_FIELDS}); repeat a flag for more fields. Other fields "
        "keep the model's default.",
    )
    group.add_argument("-n", type=int, default=1, help="number of pieces")
    seed = "the same seed gives the same music; 1,2,3: one piece of each seed (default: a random seed)"
    group.add_argument("--seed", type=_seeds, help=seed)
    for name, meaning in _FILTERS.items():
        said = f"{meaning} (default: the model's)"
        group.add_argument(name, action="append", metavar="[FIELD=]NUMBER", help=said)
    add_flags(group, int, _LIMITS)
    guard = (
        "how much the temperature rises for each beat in which the piece repeats itself (default: the model's; 0: off)"
    )
    add_flags(group, float, {"--loop-guard RISE": guard})
    group.add_argument("--grammar", choices=["strict", "paper"], help="the grammar of events (default: strict)")
    group.add_argument("--context", choices=["anchor", "slide"], default="anchor", help=_CONTEXT)
    setting = "default: the model's own settings; paper: those of the original code"
    group.add_argument("--sampling", choices=["default", "paper"], default="default", help=setting)


def add_controls(arguments: argparse.ArgumentParser) -> None:
    """Add the flags of scale, pitches, ranges and --use-all."""
    group = arguments.add_argument_group(
        "controls",
        "Pitches are MIDI numbers, names (C4 is 60) and spans (C3..C6), separated by commas. They apply to new notes only.",
    )
    pitches = {
        "--scale": "keep notes within a scale: 'C major', 'f# harmonic minor', 'C,E,G', …",
        "--allow PITCHES": "only these pitches",
        "--exclude PITCHES": "none of these pitches",
    }
    add_flags(group, str, pitches)
    kept = "keep each instrument to the range of a real one, or one instrument to a given range (may be repeated)"
    group.add_argument("--ranges", nargs="?", const="", action="append", metavar="INSTRUMENT=LOW..HIGH", help=kept)
    everyone = (
        "each instrument plays at least four notes, and is drawn towards half an equal share of the notes (default: with "
        "--instruments, unless --sampling or --grammar is paper)"
    )
    add_switch(group, "--use-all", everyone, default=None)


def options_of(chosen: argparse.Namespace) -> dict[str, Any]:
    """The sampling flags and controls that were given, with n, seed and progress, as arguments of `Model.generate`."""
    same = ("n", "seed", "grammar", "sampling", "context", "loop_guard", "scale", "allow", "exclude", "use_all")
    given: dict[str, Any] = {name: getattr(chosen, name) for name in (*same, *map(_name_of, _LIMITS))}
    given |= {name: per_field(name, getattr(chosen, name)) for name in map(_name_of, _FILTERS)}
    given |= {"ranges": ranges(chosen.ranges), "progress": wants_progress(chosen)}
    return {name: value for name, value in given.items() if value is not None and value is not False}


def _name_of(flag: str) -> str:
    """The name of the value of a flag: `max_rest` for "--max-rest BEATS"."""
    return flag.split()[0].removeprefix("--").replace("-", "_")


def per_field(name: str, given: Sequence[str] | None) -> float | dict[str, float] | None:
    """`["0.9", "pitch=0.8"]` as numbers per field; a bare number applies to all other fields. The last of several counts."""
    if given is None:
        return None
    from mmt.representation.codes import FIELDS

    everywhere: dict[str, float] = {}
    numbers: dict[str, float] = {}
    for item in (part for text in given for part in text.split(",")):
        field, equals, number = item.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            raise UsageError(f"--{name.replace('_', '-')} {item}: {number!r} is not a number") from None
        if equals and not field:
            raise UsageError(f"--{name.replace('_', '-')} {item}: there is no field before =; write pitch={number}")
        if equals:
            numbers[field] = value
        else:
            everywhere = dict.fromkeys(FIELDS, value)
    return everywhere | numbers


def _seeds(text: str) -> int | list[int]:
    """`3` or `1,2,3`."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number or a list such as 1,2,3") from None
    return numbers if len(numbers) > 1 else numbers[0]


def ranges(given: Sequence[str] | None) -> bool | dict[str, str]:
    """`["violin=G3..E6"]` as a mapping; `[""]`: the ranges of real instruments."""
    if given is None or given == [""]:
        return given is not None
    ranges: dict[str, str] = {}
    for item in (part for text in given for part in text.split(",")):
        instrument, equals, span = item.partition("=")
        if not equals:
            raise UsageError(
                f"--ranges {item!r}: give INSTRUMENT=LOW..HIGH, or --ranges alone for what real instruments can play"
            )
        if (instrument := instrument.strip()) in ranges:
            raise UsageError(f"--ranges: {instrument} is given twice; give one range")
        ranges[instrument] = span
    return ranges
