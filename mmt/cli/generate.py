"""mmt-generate: generate music from nothing, for given instruments or from the beginning of a piece, or edit a piece."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmt.cli.common import UsageError, add_flags, add_habits, add_model, add_switch, parser, run, telling_what_is_kept
from mmt.cli.editing_flags import MODES, add_modes, check_form, compose_piece, edit_piece, mode_of
from mmt.cli.originality import add_originality, check_originality, print_originality
from mmt.cli.sampling_flags import add_controls, add_sampling, options_of

if TYPE_CHECKING:
    import muspy

    from mmt.representation.codes import Events, Representation
    from mmt.representation.prompt import Prompt
    from mmt.sampling.model import Model
    from mmt.sampling.streams import Stream

_EXAMPLES = """examples:
  mmt-generate -o piece.mid
  mmt-generate --instruments "string quartet" -n 4 -o quartets/
  mmt-generate --continue mozart.mid --beats 4 -o continued.mid --png --wav
  mmt-generate --instruments "wind quintet" --form AABA --section 16 -o winds.mid
  mmt-generate --instruments flute,harp --scale "D minor" --ranges --use-all --max-beats 32 -o duo.mid
  mmt-generate --rewrite quartet.mid --from-beat 16 --to-beat 32 --instruments cello -o rewritten.mid
  mmt-generate --reorchestrate quartet.mid --instruments flute,oboe,bassoon --ranges -o winds.mid
  mmt-generate --accompany song.mid --hold voices --instruments violin,cello --ranges -o accompanied.mid
  mmt-generate --reharmonise quartet.mid --part viola -o other_viola.mid
  mmt-generate --fill quartet.mid --from-beat 8 --to-beat 16 -o filled.mid
"""

# An instrument that plays in fewer training pieces is rare: the command says so.
_RARE = 20
# Files that can be written in addition to a piece: flag, suffix and description.
_BESIDE = {
    "png": (".png", "a picture of the piano roll"),
    "wav": (".wav", "sound"),
    "html": (".html", "a self-contained page with the piano roll and a player"),
    "text": (".txt", "the events, as text (.txt)"),
}
_INSTRUMENTS = (
    "write for these: instruments, ensembles (string quartet, voice and piano, …) or MIDI program numbers, separated by "
    "commas"
)
_FORM = (
    "write sections, as ABA or AABA: those of one letter have the same notes, and --use-all is about the first; for models "
    "trained with given notes and lengths"
)
_SOUNDFONT = (
    "the .sf2 file for .wav and .html, played by FluidSynth if it is installed (default: the one that mmt ships)"
)


def main(given: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    # An event takes dozens of short parallel steps. OpenMP's threads spin while they wait for each other, and if the cores are
    # busy, they keep the processor from a thread that has work, for a hundred times as long as a step. So threads spin for
    # at most 0.5 ms, the time between two steps; without spinning, generation takes twice as long. PyTorch reads it on import.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    return run(_parser(), _generate, given)


def _parser() -> argparse.ArgumentParser:
    arguments = parser(
        "mmt-generate",
        "Generate music for many instruments: from nothing, for given instruments, or as the continuation of a piece.",
        _EXAMPLES,
    )
    output = "file to write, by its suffix (.mid, .musicxml, .json, .wav, .png, …), or a folder (its name ends with /)"
    arguments.add_argument("-o", "--output", help=output)
    ways = arguments.add_argument_group("prompt (default: none)")
    ways.add_argument("--instruments", help=_INSTRUMENTS)
    ways.add_argument(
        "--continue", dest="piece", metavar="FILE", type=Path, help="continue this piece (MIDI, MusicXML, …)"
    )
    add_flags(ways, int, {"--beats": "with a FILE: read only its first BEATS beats (default: the whole piece)"})
    ways.add_argument("--list-instruments", action="store_true", help="list the instruments and ensembles, and exit")
    add_flags(ways, str, {"--form LETTERS": _FORM})
    add_flags(ways, int, {"--section BEATS": "with --form: the beats of a section (default: 16)"})
    add_modes(arguments)
    add_sampling(arguments)
    add_controls(arguments)
    beside = arguments.add_argument_group("additional files for each piece")
    for kind, (_, what) in _BESIDE.items():
        add_switch(beside, f"--{kind}", what)
    add_flags(beside, Path, {"--soundfont FILE": _SOUNDFONT})
    tempo = "quarter notes per minute; does not affect the notes (default: as in the FILE, else 100)"
    add_flags(beside, float, {"--tempo BPM": tempo})
    add_originality(arguments)
    add_model(arguments)
    add_habits(arguments)
    return arguments


def _generate(chosen: argparse.Namespace) -> None:
    if chosen.list_instruments:
        _list_instruments(chosen)
        return
    _check_usage(chosen)
    check_originality(chosen)
    outputs = _outputs(chosen)

    from mmt import __version__
    from mmt.analysis.ledger import fingerprint
    from mmt.cli.light_muspy import import_muspy_lightly
    from mmt.model.compiled import telling_of_compiling
    from mmt.sampling.model import load_model
    from mmt.sampling.streams import name_of, streams_of

    import_muspy_lightly()
    streams = streams_of(chosen.n, chosen.seed)
    chosen.seed = streams[0][0] if chosen.seed is None else chosen.seed
    model = load_model(chosen.checkpoint, device=chosen.device, weights=chosen.weights)
    with telling_what_is_kept() as kept:
        with telling_of_compiling(not chosen.quiet):
            pieces, said, like, prompt = _write(chosen, model, streams)
        prompt_beats = (prompt.first_beat or None) if prompt is not None and not mode_of(chosen) else None
        digest = fingerprint(model)
        for files, events, stream, remark in zip(outputs, pieces, streams, said, strict=True):
            made_by = f"mmt-generate {__version__}, {name_of(stream)}, model {digest}"
            music = _save(chosen, files, events, made_by, like, prompt_beats, model.representation)
            kept += map(str, files)
            if not chosen.quiet:
                print(
                    f"{', '.join(map(str, files))}: {_summary(music)}{_silent(events, model.representation)}; {remark}"
                )
        if chosen.originality:
            print_originality(chosen, pieces, prompt, model.representation)


def _write(
    chosen: argparse.Namespace, model: Model, streams: Sequence[Stream]
) -> tuple[list[Events], list[str], muspy.Music | None, Prompt | None]:
    """The pieces, a remark on each, the music of the given file, and the prompt."""
    from mmt.sampling.options import FilterOptions, GenerationOptions
    from mmt.sampling.streams import name_of

    options = options_of(chosen)
    prompt, like = _prompt(chosen, model)
    shown = (*FilterOptions.__annotations__, "loop_guard", "max_rest", "sampling", "grammar")
    given = GenerationOptions(**{name: value for name, value in options.items() if name in shown})
    mode = mode_of(chosen)
    # Of the editing modes, only `rewrite` generates as usual. Silences are not limited where notes are given.
    guard = given.guard(model.sampling) if mode in (None, "rewrite") else 0
    rest = given.rest(model.sampling) if mode is None and chosen.form is None else 0
    if not chosen.quiet:
        filters = given.filters(model.sampling, model.network.config.sizes)
        limits = (f", loop guard {guard:g}" if guard else "") + (f", no silence of {rest} beats" if rest else "")
        print(f"sampling with {filters}{limits}")
    if mode:
        assert prompt is not None
        return edit_piece(mode, model, prompt, chosen, options), [name_of(one) for one in streams], like, prompt
    if chosen.use_all is None and chosen.instruments and "paper" not in (chosen.grammar, chosen.sampling):
        options["use_all"] = True
    if chosen.form is not None:
        return (
            compose_piece(model, prompt, chosen, options),
            [f"{name_of(one)}; form {chosen.form}" for one in streams],
            like,
            prompt,
        )
    pieces, outcomes = model.generate(prompt, report=True, **options)
    return pieces, [str(outcome) for outcome in outcomes], like, prompt


def _save(
    chosen: argparse.Namespace,
    files: Sequence[Path],
    events: Events,
    made_by: str,
    like: muspy.Music | None,
    prompt_beats: int | None,
    representation: Representation,
) -> muspy.Music:
    """Write the files of a piece; they say what made it."""
    from mmt.music.atomic import replacing
    from mmt.music.files import write
    from mmt.representation.decode import decode
    from mmt.representation.text import to_text

    music = decode(events, like=like, tempo=chosen.tempo, representation=representation)
    music.metadata.creators = [made_by]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".txt":
            with replacing(file) as unfinished:
                unfinished.write_text(to_text(events, representation=representation) + "\n", "utf-8")
        else:
            write(file, music, prompt_beats=prompt_beats, soundfont=chosen.soundfont)
    return music


def _check_usage(chosen: argparse.Namespace) -> None:
    if chosen.output is None:
        raise UsageError("say where to write: -o piece.mid")
    mode = mode_of(chosen)
    check_form(chosen)
    if chosen.beats is not None and chosen.piece is None and mode is None:
        raise UsageError("--beats goes with --continue: name the piece to continue")
    if isinstance(chosen.seed, list):
        if mode is not None:
            raise UsageError(f"--{mode} takes one --seed; for several pieces give -n")
        chosen.n = len(chosen.seed) if chosen.n == 1 else chosen.n
    if chosen.piece is not None and chosen.instruments is not None:
        raise UsageError("--instruments and --continue are two different ways to begin; choose one")
    if chosen.tempo is not None and not 4 <= chosen.tempo <= 1000:
        raise UsageError(f"--tempo is {chosen.tempo}; give 4 to 1,000 quarter notes a minute")
    if chosen.n < 1:
        raise UsageError(f"-n is {chosen.n}; ask for at least 1 piece")


def _outputs(chosen: argparse.Namespace) -> list[list[Path]]:
    """The files to write for each piece; an error if one exists and may not be overwritten."""
    from mmt.music.files import WRITABLE

    output = Path(chosen.output)
    is_folder = chosen.output.endswith(("/", os.sep)) or output.is_dir() or not output.suffix
    if is_folder and output.is_file():
        raise FileExistsError(f"{output} is a file; give another folder, or a name that ends in .mid, .musicxml, …")
    if is_folder:
        mains = [output / f"{number}.mid" for number in range(1, chosen.n + 1)]
    elif output.suffix.lower() not in WRITABLE:
        raise ValueError(f"cannot write {output}: mmt writes {', '.join(sorted(WRITABLE))}, or MIDI into a folder")
    elif chosen.n == 1:
        mains = [output]
    else:
        mains = [output.with_name(f"{output.stem}-{number}{output.suffix}") for number in range(1, chosen.n + 1)]
    beside = [suffix for kind, (suffix, _) in _BESIDE.items() if getattr(chosen, kind)]
    outputs = [[main, *(main.with_suffix(s) for s in beside if s != main.suffix)] for main in mains]
    if chosen.soundfont is not None:
        _check_soundfont(chosen.soundfont, outputs[0])
    existing = [file for files in outputs for file in files if file.exists()]
    if existing and not chosen.overwrite:
        raise FileExistsError(f"{existing[0]} exists already; name another, or give --overwrite")
    return outputs


def _check_soundfont(soundfont: Path, files: list[Path]) -> None:
    """Raise an error for an unusable SoundFont before generation starts, which takes long."""
    from mmt.music.audio.soundfont import check_soundfont

    check_soundfont(soundfont)
    if not any(file.suffix.lower() in (".wav", ".html") for file in files):
        raise UsageError("--soundfont applies to sound only: give --wav or --html too, or -o piece.wav")


def _prompt(chosen: argparse.Namespace, model: Model) -> tuple[Prompt | None, muspy.Music | None]:
    """The prompt, or the piece to be edited, and the music that was read for it."""
    from mmt.representation import prompt

    representation = model.representation
    file = next((file for mode in ("piece", *MODES) if (file := getattr(chosen, mode)) is not None), None)
    if file is None:
        if chosen.instruments is None:
            return None, None
        from mmt.representation.ensembles import merged, split_names

        names, repeated = merged(split_names(chosen.instruments, representation), representation)
        if not chosen.quiet:
            _print_notices(names, repeated, model.training.get("data", {}).get("instruments"))
        return prompt.instruments(*names, representation=representation), None

    from mmt.music.files import read
    from mmt.representation.encode import encode

    music = read(file)
    events, report = encode(music, report=True, representation=representation)
    if not report.kept:
        raise ValueError(f"{file} has no usable notes ({report})")
    if not chosen.quiet:
        print(f"{file}: {report}")
    try:
        return prompt.beats(events, chosen.beats, representation=representation), music
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _print_notices(names: list[str], repeated: list[str], seen: Mapping[str, int] | None) -> None:
    """Say which instruments were named repeatedly, and which the model has rarely seen (`seen`: pieces by instrument)."""
    if repeated:
        print(f"{', '.join(repeated)}: named more than once, and one part here")
    rare = [f"{name} ({seen.get(name, 0)} pieces)" for name in names if seen.get(name, 0) < _RARE] if seen else []
    if rare:
        print(f"rare in the model's training data: {', '.join(rare)}")


def _list_instruments(chosen: argparse.Namespace) -> None:
    from mmt.representation.codes import PAPER
    from mmt.representation.ensembles import ENSEMBLES
    from mmt.representation.instruments import DRUMS, GENERAL_MIDI_NAMES

    representation = PAPER
    if chosen.checkpoint is not None:
        from mmt.sampling.model import load_model

        representation = load_model(chosen.checkpoint).representation
    for instrument in representation.instruments:
        programs = ", ".join(f"{program} {GENERAL_MIDI_NAMES[program]}" for program in instrument.programs)
        print(f"{instrument.name:<22} {programs}")
    if representation.drums:
        print(f"{DRUMS:<22} every program of MIDI channel 10")
    print("\nensembles:")
    for name, parts in ENSEMBLES.items():
        print(f"{name:<22} {', '.join(part for part in parts if part != DRUMS or representation.drums)}")


def _silent(events: Events, representation: Representation) -> str:
    """Instruments that were asked for but do not play."""
    from mmt.sampling.outcome import notes_of

    names = [name for name, count in notes_of(events, representation).items() if not count]
    return f"; silent: {', '.join(names)}" if names else ""


def _summary(music: muspy.Music) -> str:
    notes: Any = sum(len(track.notes) for track in music.tracks)
    names = ", ".join(track.name for track in music.tracks)
    # The paper's grammar allows a piece without notes.
    end = max((note.end for track in music.tracks for note in track.notes), default=0)
    return f"{notes:,} notes, {end / music.resolution:.0f} beats, {names}"


if __name__ == "__main__":
    raise SystemExit(main())
