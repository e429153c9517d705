"""The flags of mmt-generate that say how events are drawn and what may be played, and what they mean to `Model.generate`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mmt.cli.common import UsageError

_FIELDS = "type, beat, position, pitch, duration, instrument"


def add_sampling(arguments: argparse.ArgumentParser) -> None:
    """Filters, limits and rules."""
    drawing = arguments.add_argument_group(
        "how events are drawn",
        f"Four of these take a number, or FIELD=NUMBER for a single field ({_FIELDS}); give them again for more.",
    )
    drawing.add_argument("-n", type=int, default=1, help="how many pieces")
    drawing.add_argument(
        "--seed",
        type=_seeds,
        help="the same seed gives the same music; 1,2,3: a piece of each (default: another each time)",
    )
    for name, meaning in (
        ("temperature", "above 1 bolder, below 1 tamer"),
        ("top-k", "draw among the K likeliest codes"),
        ("top-p", "draw among the likeliest codes that together have this probability"),
        ("min-p", "draw among codes at least this share as likely as the likeliest"),
    ):
        drawing.add_argument(
            f"--{name}", action="append", metavar="[FIELD=]NUMBER", help=f"{meaning} (default: the model's)"
        )
    drawing.add_argument("--min-beats", type=int, default=0, help="do not end before so many beats")
    drawing.add_argument(
        "--max-beats",
        type=int,
        help="notes begin in the first MAX_BEATS beats, of any number (default: what the model sees at once; with --length, 8 "
        "more than that)",
    )
    drawing.add_argument(
        "--max-events",
        type=int,
        help="at most so many events in all, of any number (default: the model's context; with --length, no limit)",
    )
    drawing.add_argument(
        "--length",
        metavar="BEATS",
        type=int,
        help="tell the model how many beats to write, for models that know lengths; it ends near there by itself",
    )
    drawing.add_argument("--grammar", choices=["strict", "paper"], help="rules of a valid piece (default: strict)")
    drawing.add_argument(
        "--context",
        choices=["anchor", "slide"],
        default="anchor",
        help="how to go on past the model's context. anchor: by the last beats, counted anew; slide: by the last events, "
        "as the original code does (default: anchor)",
    )
    drawing.add_argument(
        "--sampling", choices=["default", "paper"], default="default", help="paper: the authors' setting"
    )


def add_controls(arguments: argparse.ArgumentParser) -> None:
    """Scale, pitches, ranges, and that everyone plays."""
    controls = arguments.add_argument_group(
        "what may be played",
        "Pitches are MIDI numbers, names (C4 is 60) and spans (C3..C6), with commas. New notes alone are bound.",
    )
    controls.add_argument("--scale", help="keep notes within a scale: 'C major', 'f# harmonic minor', 'C,E,G', …")
    controls.add_argument("--allow", metavar="PITCHES", help="only these pitches")
    controls.add_argument("--exclude", metavar="PITCHES", help="none of these pitches")
    controls.add_argument(
        "--ranges",
        nargs="?",
        const="",
        action="append",
        metavar="INSTRUMENT=LOW..HIGH",
        help="keep each instrument to what a real one can play; or some to ranges of your own (give it again for more)",
    )
    controls.add_argument(
        "--use-all", action=argparse.BooleanOptionalAction, default=False, help="each instrument plays at least once"
    )


def per_field(name: str, given: Sequence[str] | None) -> float | dict[str, float] | None:
    """`["0.9", "pitch=0.8"]` as numbers per field; a bare number is for all fields that have none of their own."""
    if given is None:
        return None
    from mmt.representation.codes import FIELDS

    numbers: dict[str, float] = {}
    for item in (part for text in given for part in text.split(",")):
        field, _, number = item.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            raise UsageError(f"--{name.replace('_', '-')} {item}: {number!r} is no number") from None
        if not field:
            numbers = dict.fromkeys(FIELDS, value) | numbers
        numbers |= {field: value} if field else {}
    return numbers


def _seeds(text: str) -> int | list[int]:
    """`3` or `1,2,3`."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number, nor several with commas") from None
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
