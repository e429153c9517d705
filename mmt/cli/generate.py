"""mmt-generate: write new music, in one of three ways."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmt.cli.common import UsageError, add_habits, parser, run, wants_progress

if TYPE_CHECKING:
    import muspy

    from mmt.representation.codes import Representation
    from mmt.representation.prompt import Prompt

_EXAMPLES = """examples:
  mmt-generate -o piece.mid
  mmt-generate --instruments violin,viola,cello -n 4 -o trios/
  mmt-generate --continue mozart.mid --beats 4 -o continued.mid --png --wav
"""
_FIELDS = "type, beat, position, pitch, duration, instrument"


def main(given: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return run(_parser(), _generate, given)


def _parser() -> argparse.ArgumentParser:
    arguments = parser(
        "mmt-generate",
        "Write music for many instruments: from nothing, for instruments, or on from a piece.",
        _EXAMPLES,
    )
    arguments.add_argument(
        "-o",
        "--output",
        type=Path,
        help="file to write, by its suffix (.mid, .musicxml, .json, .wav, .png, …), or a folder",
    )
    ways = arguments.add_argument_group("what to begin with (default: nothing)")
    ways.add_argument("--instruments", help="write for these instruments: names or MIDI program numbers, with commas")
    ways.add_argument(
        "--continue", dest="piece", metavar="FILE", type=Path, help="go on from this piece (MIDI, MusicXML, …)"
    )
    ways.add_argument(
        "--beats", type=int, help="with --continue: keep the first BEATS beats only (default: the whole piece)"
    )
    ways.add_argument("--list-instruments", action="store_true", help="list the instruments, and stop")
    _add_drawing(arguments)
    beside = arguments.add_argument_group("what else to write beside each piece")
    beside.add_argument(
        "--png", action=argparse.BooleanOptionalAction, default=False, help="a picture of the piano roll"
    )
    beside.add_argument("--wav", action=argparse.BooleanOptionalAction, default=False, help="sound")
    beside.add_argument(
        "--text", action=argparse.BooleanOptionalAction, default=False, help="the events, as text (.txt)"
    )
    model = arguments.add_argument_group("model")
    model.add_argument("--checkpoint", type=Path, help="a checkpoint folder (default: the model that mmt ships)")
    model.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    add_habits(arguments)
    return arguments


def _add_drawing(arguments: argparse.ArgumentParser) -> None:
    drawing = arguments.add_argument_group(
        "how events are drawn",
        f"Four of these take a number, or FIELD=NUMBER for a single field ({_FIELDS}); give them again for more.",
    )
    drawing.add_argument("-n", type=int, default=1, help="how many pieces")
    drawing.add_argument("--seed", type=int, help="the same seed gives the same music (default: another each time)")
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
    drawing.add_argument("--max-beats", type=int, help="at most so many beats (default: what the model knows)")
    drawing.add_argument("--max-events", type=int, help="at most so many events in all (default: the model's context)")
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


def _generate(chosen: argparse.Namespace) -> None:
    if chosen.list_instruments:
        _list_instruments(chosen)
        return
    _check_usage(chosen)
    outputs = _outputs(chosen)

    from mmt.music.files import write
    from mmt.representation.decode import decode
    from mmt.representation.text import to_text
    from mmt.sampling.model import load_model

    model = load_model(chosen.checkpoint, device=chosen.device)
    prompt, like = _prompt(chosen, model.representation)
    pieces = model.generate(
        prompt,
        chosen.n,
        chosen.seed,
        min_beats=chosen.min_beats,
        max_beats=chosen.max_beats,
        max_events=chosen.max_events,
        grammar=chosen.grammar,
        sampling=chosen.sampling,
        context=chosen.context,
        progress=wants_progress(chosen),
        **{name: _per_field(name, getattr(chosen, name)) for name in ("temperature", "top_k", "top_p", "min_p")},
    )
    for files, events in zip(outputs, pieces, strict=True):
        music = decode(events, like=like, representation=model.representation)
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".txt":
                file.write_text(to_text(events, representation=model.representation) + "\n", encoding="utf-8")
            else:
                write(file, music, prompt_beats=prompt.first_beat if prompt is not None and prompt.first_beat else None)
        if not chosen.quiet:
            print(f"{', '.join(map(str, files))}: {_summary(music)}")


def _check_usage(chosen: argparse.Namespace) -> None:
    if chosen.output is None:
        raise UsageError("say where to write: -o piece.mid")
    if chosen.beats is not None and chosen.piece is None:
        raise UsageError("--beats goes with --continue: say which piece to go on from")
    if chosen.piece is not None and chosen.instruments is not None:
        raise UsageError("--instruments and --continue are two different ways to begin; choose one")
    if chosen.n < 1:
        raise UsageError(f"-n is {chosen.n}; ask for at least 1 piece")


def _outputs(chosen: argparse.Namespace) -> list[list[Path]]:
    """The files of each piece; none of them exists yet, unless it may be overwritten."""
    from mmt.music.files import WRITABLE

    output: Path = chosen.output
    if output.is_dir() or not output.suffix:
        mains = [output / f"{number}.mid" for number in range(1, chosen.n + 1)]
    elif output.suffix.lower() not in WRITABLE:
        raise ValueError(f"cannot write {output}: mmt writes {', '.join(sorted(WRITABLE))}, or MIDI into a folder")
    elif chosen.n == 1:
        mains = [output]
    else:
        mains = [output.with_name(f"{output.stem}-{number}{output.suffix}") for number in range(1, chosen.n + 1)]
    beside = [
        suffix for suffix, wanted in ((".png", chosen.png), (".wav", chosen.wav), (".txt", chosen.text)) if wanted
    ]
    outputs = [[main, *(main.with_suffix(s) for s in beside if s != main.suffix)] for main in mains]
    existing = [file for files in outputs for file in files if file.exists()]
    if existing and not chosen.overwrite:
        raise FileExistsError(f"{existing[0]} exists already; name another, or give --overwrite")
    return outputs


def _prompt(chosen: argparse.Namespace, representation: Representation) -> tuple[Prompt | None, muspy.Music | None]:
    """The prompt, and the piece that it was taken from."""
    from mmt.representation import prompt

    if chosen.instruments is not None:
        names = [name.strip() for name in chosen.instruments.split(",") if name.strip()]
        return prompt.instruments(*names, representation=representation), None
    if chosen.piece is None:
        return None, None

    from mmt.music.files import read
    from mmt.representation.encode import encode

    music = read(chosen.piece)
    events, report = encode(music, report=True, representation=representation)
    if not report.kept:
        raise ValueError(f"{chosen.piece} has no usable notes to go on from ({report})")
    if not chosen.quiet:
        print(f"{chosen.piece}: {report}")
    try:
        return prompt.beats(events, chosen.beats, representation=representation), music
    except ValueError as error:
        raise ValueError(f"{chosen.piece}: {error}") from error


def _per_field(name: str, given: Sequence[str] | None) -> float | dict[str, float] | None:
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


def _list_instruments(chosen: argparse.Namespace) -> None:
    from mmt.representation.codes import PAPER
    from mmt.representation.instruments import GENERAL_MIDI_NAMES

    representation = PAPER
    if chosen.checkpoint is not None:
        from mmt.sampling.model import load_model

        representation = load_model(chosen.checkpoint).representation
    for instrument in representation.instruments:
        programs = ", ".join(f"{program} {GENERAL_MIDI_NAMES[program]}" for program in instrument.programs)
        print(f"{instrument.name:<22} {programs}")


def _summary(music: muspy.Music) -> str:
    notes: Any = sum(len(track.notes) for track in music.tracks)
    names = ", ".join(track.name for track in music.tracks)
    end = max(note.end for track in music.tracks for note in track.notes)
    return f"{notes:,} notes, {end / music.resolution:.0f} beats, {names}"
