"""mmt-generate: generate music from nothing, for given instruments or from the beginning of a piece, or edit a piece."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from mmt.cli.common import Flags, UsageError, add_flags, add_model, check_corpus, parser, run, telling_what_is_kept
from mmt.cli.editing_flags import add_modes, check_form, mode_of
from mmt.cli.sampling_flags import add_controls, add_sampling

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

_INSTRUMENTS: Flags = {
    "--instruments": (str, None, "write for these: instruments, ensembles (string quartet, voice and piano, …) or MIDI "
        "program numbers, separated by commas"),
}  # fmt: skip
_BEATS: Flags = {"--beats": (int, None, "with a FILE: read only its first BEATS beats (default: the whole piece)")}
_FORM: Flags = {
    "--form LETTERS": (str, None, "write sections, such as ABA or AABA: sections with the same letter have the same notes, "
        "and --use-all applies to the first section; for models trained with given notes and lengths"),
    "--section BEATS": (int, None, "with --form: the beats of a section (default: 16)"),
}  # fmt: skip
# The suffixes of the files that can be written in addition to a piece, by their flags.
_SUFFIXES = {"png": ".png", "wav": ".wav", "html": ".html", "text": ".txt"}
_FILES: Flags = {
    "--png": (bool, False, "a picture of the piano roll"),
    "--wav": (bool, False, "sound"),
    "--html": (bool, False, "a self-contained page with the piano roll and a player"),
    "--text": (bool, False, "the events, as text (.txt)"),
    "--soundfont FILE": (Path, None, "the .sf2 file for .wav and .html, played by FluidSynth if it is installed (default: "
        "the one that mmt ships)"),
    "--tempo BPM": (float, None, "quarter notes per minute; does not affect the notes (default: as in the FILE, else 100)"),
}  # fmt: skip
_ORIGINALITY: Flags = {
    "--originality": (bool, False, "print the longest runs of notes that the new music shares with the model's training "
        "pieces"),
    "--corpus": (Path, None, "with --originality: the prepared corpus that the model was trained on (for the model that "
        "mmt ships, its card and data/README.md say how to prepare it)"),
}  # fmt: skip


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
    add_flags(ways, _INSTRUMENTS)
    music = "continue this piece (MIDI, MusicXML, …)"
    ways.add_argument("--continue", dest="piece", metavar="FILE", type=Path, help=music)
    add_flags(ways, _BEATS)
    ways.add_argument("--list-instruments", action="store_true", help="list the instruments and ensembles, and exit")
    add_flags(ways, _FORM)
    add_modes(arguments)
    add_sampling(arguments)
    add_controls(arguments)
    add_flags(arguments.add_argument_group("additional files for each piece"), _FILES)
    add_flags(arguments.add_argument_group("originality"), _ORIGINALITY)
    add_model(arguments)
    return arguments


def _generate(chosen: argparse.Namespace) -> None:
    if chosen.list_instruments:
        _list_instruments(chosen)
        return
    _check_usage(chosen)
    check_corpus(chosen.corpus)
    outputs = _outputs(chosen)

    from mmt.cli.light_muspy import import_muspy_lightly

    import_muspy_lightly()

    from mmt.cli.writing import write_pieces

    with telling_what_is_kept() as kept:
        write_pieces(chosen, outputs, kept)


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
    if chosen.originality and chosen.corpus is None:
        raise UsageError(
            "--originality needs --corpus, the prepared corpus that the model was trained on; for the model that mmt ships, "
            "data/README.md says how to prepare it"
        )
    if chosen.corpus is not None and not chosen.originality:
        raise UsageError("--corpus goes with --originality")


def _outputs(chosen: argparse.Namespace) -> list[list[Path]]:
    """The files to write for each piece; an error if one exists and may not be overwritten."""
    from mmt.model.provenance import PROVENANCE
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
    beside = [suffix for name, suffix in _SUFFIXES.items() if getattr(chosen, name)]
    outputs = [[main, *(main.with_suffix(s) for s in beside if s != main.suffix)] for main in mains]
    if chosen.soundfont is not None:
        _check_soundfont(chosen.soundfont, outputs[0])
    provenance = [output / PROVENANCE] if is_folder else []
    existing = [file for files in [*outputs, provenance] for file in files if file.exists()]
    if existing and not chosen.overwrite:
        raise FileExistsError(f"{existing[0]} exists already; name another, or give --overwrite")
    return outputs


def _check_soundfont(soundfont: Path, files: list[Path]) -> None:
    """Raise an error for an unusable SoundFont before generation starts, which takes long."""
    from mmt.music.audio.soundfont import check_soundfont

    check_soundfont(soundfont)
    if not any(file.suffix.lower() in (".wav", ".html") for file in files):
        raise UsageError("--soundfont applies to sound only: give --wav or --html too, or -o piece.wav")


def _list_instruments(chosen: argparse.Namespace) -> None:
    from mmt.representation.ensembles import ENSEMBLES
    from mmt.representation.instruments import DRUMS, GENERAL_MIDI_NAMES
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


if __name__ == "__main__":
    raise SystemExit(main())
