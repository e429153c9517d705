"""The sampling flags and controls of mmt-generate, and their values as arguments of `Model.generate`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from mmt.cli.common import Flags, UsageError, add_flags, values_of, wants_progress

_FIELDS = "type, beat, position, pitch, duration, instrument"

_FILTERS = {
    "--temperature": "above 1: more surprising; below 1: more predictable (default: the model's)",
    "--top-k": "draw among the K likeliest codes (default: the model's)",
    "--top-p": "draw among the likeliest codes that together have this probability (default: the model's)",
    "--min-p": "draw among codes at least this share as likely as the likeliest (default: the model's)",
}
_SAMPLING: Flags = {
    "--min-beats": (int, None, "minimum number of beats (default: none; LENGTH - 3)"),
    "--max-beats": (int, None, "notes begin in the first MAX_BEATS beats of the piece, those of the FILE included; may "
        "exceed the model's own (default: the model's beats, or --length)"),
    "--new-beats": (int, None, "the same, counted from the end of what is read of the FILE"),
    "--max-events": (int, None, "maximum number of events of a piece; may exceed the model's context (default: the "
        "context; with --length, no limit)"),
    "--length BEATS": (int, None, "number of beats of the piece, for models with length codes; it ends in the last four of "
        "them"),
    "--max-rest BEATS": (int, None, "silences are shorter than this many beats (default: the model's; 0: of any length)"),
    "--loop-guard RISE": (float, None, "how much the temperature rises for each beat in which the piece repeats itself "
        "(default: the model's; 0: off)"),
    "--grammar": (("strict", "paper"), None, "the grammar of events (default: strict)"),
    "--context": (("anchor", "slide"), "anchor", "what the model reads past its context. anchor: the last beats, counted "
        "from the first of them; slide: the last events, as in the original code"),
    "--sampling": (("default", "paper"), "default", "default: the model's own settings; paper: those of the original code"),
}  # fmt: skip
_PITCHES: Flags = {
    "--scale": (str, None, "keep notes within a scale: 'C major', 'f# harmonic minor', 'C,E,G', …"),
    "--allow PITCHES": (str, None, "only these pitches"),
    "--exclude PITCHES": (str, None, "none of these pitches"),
}
_USE_ALL: Flags = {
    "--use-all": (bool, None, "each instrument plays at least four notes, and is drawn towards half an equal share of the "
        "notes (default: with --instruments, unless --sampling or --grammar is paper)"),
}  # fmt: skip


def add_sampling(arguments: argparse.ArgumentParser) -> None:
    """Add the flags of seeds, filters, limits and grammar."""
    group = arguments.add_argument_group(
        "sampling",
        f"The filters take a number, or FIELD=NUMBER for a single field ({_FIELDS}); repeat a flag for more fields. Other fields "
        "keep the model's default.",
    )
    seed = "the same seed gives the same music; 1,2,3: one piece of each seed (default: a random seed)"
    add_flags(group, {"-n": (int, 1, "number of pieces"), "--seed": (_seeds, None, seed)})
    add_flags(group, {f"{flag} [FIELD=]NUMBER": ([], None, meaning) for flag, meaning in _FILTERS.items()})
    add_flags(group, _SAMPLING)


def add_controls(arguments: argparse.ArgumentParser) -> None:
    """Add the flags of scale, pitches, ranges and --use-all."""
    group = arguments.add_argument_group(
        "controls",
        "Pitches are MIDI numbers, names (C4 is 60) and spans (C3..C6), separated by commas. They apply to new notes only.",
    )
    add_flags(group, _PITCHES)
    kept = "keep each instrument to the range of a real one, or one instrument to a given range (may be repeated)"
    group.add_argument("--ranges", nargs="?", const="", action="append", metavar="INSTRUMENT=LOW..HIGH", help=kept)
    add_flags(group, _USE_ALL)


def options_of(chosen: argparse.Namespace) -> dict[str, Any]:
    """The sampling flags and controls that were given, with n, seed and progress, as arguments of `Model.generate`."""
    given = {"n": chosen.n, "seed": chosen.seed, **values_of(chosen, {**_SAMPLING, **_PITCHES, **_USE_ALL})}
    given |= {name: per_field(name, values) for name, values in values_of(chosen, _FILTERS).items()}
    given |= {"ranges": ranges(chosen.ranges), "progress": wants_progress(chosen)}
    return {name: value for name, value in given.items() if value is not None and value is not False}


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
