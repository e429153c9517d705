"""What mmt-generate does after its flags are checked: generate or edit, write the files, and print what they hold.

Imported only then, because the libraries take seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import muspy

from mmt import __version__
from mmt.analysis.ledger import fingerprint
from mmt.cli.common import wants_progress
from mmt.cli.editing_flags import MODES, mode_of
from mmt.cli.sampling_flags import options_of
from mmt.model.compiled import compiling
from mmt.model.provenance import write_provenance
from mmt.music import files as music_files
from mmt.music.atomic import replacing
from mmt.representation import prompt as prompts
from mmt.representation.codes import BEAT, Events, Representation, is_note
from mmt.representation.decode import decode
from mmt.representation.encode import encode
from mmt.representation.ensembles import merged, split_names
from mmt.representation.prompt import Prompt
from mmt.representation.text import to_text
from mmt.sampling.model import Model, load_model
from mmt.sampling.options import FilterOptions, GenerationOptions, Options
from mmt.sampling.outcome import notes_of
from mmt.sampling.streams import Stream, name_of, streams_of

# An instrument that plays in fewer training pieces is rare: the command says so.
_RARE = 20


def write_pieces(chosen: argparse.Namespace, outputs: Sequence[Sequence[Path]], kept: list[str]) -> None:
    """Generate the pieces and write the files of each, which are added to `kept`."""
    streams = streams_of(chosen.n, chosen.seed)
    chosen.seed = streams[0][0] if chosen.seed is None else chosen.seed
    model = load_model(chosen.checkpoint, device=chosen.device, weights=chosen.weights)
    with compiling(notice=not chosen.quiet):
        pieces, said, like, prompt = _generate(chosen, model, streams)
    prompt_beats = (prompt.first_beat or None) if prompt is not None and not mode_of(chosen) else None
    digest = fingerprint(model)
    for files, events, stream, remark in zip(outputs, pieces, streams, said, strict=True):
        music = decode(events, like=like, tempo=chosen.tempo, representation=model.representation)
        music.metadata.creators = [f"mmt-generate {__version__}, {name_of(stream)}, model {digest}"]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".txt":
                with replacing(file) as unfinished:
                    unfinished.write_text(to_text(events, representation=model.representation) + "\n", "utf-8")
            else:
                music_files.write(file, music, prompt_beats=prompt_beats, soundfont=chosen.soundfont)
        kept += map(str, files)
        if not chosen.quiet:
            print(f"{', '.join(map(str, files))}: {summary(music, events, model.representation)}; {remark}")
    if (folder := Path(chosen.output)).is_dir():
        names = {files[0].name: name_of(stream) for files, stream in zip(outputs, streams, strict=True)}
        write_provenance(folder, {"model": digest, "seed": chosen.seed, "pieces": names})
    if chosen.originality and not chosen.quiet:
        _print_originality(chosen, pieces, prompt, model.representation)


def _print_originality(
    chosen: argparse.Namespace, pieces: Sequence[Events], prompt: Events | None, representation: Representation
) -> None:
    """Print the runs that the notes of each piece after the prompt share with the corpus."""
    from mmt.analysis.originality import compare, without_prompt

    new = pieces if prompt is None else [without_prompt(events, prompt) for events in pieces]
    found = compare(
        new, chosen.corpus, representation=representation, seed=chosen.seed or 0, progress=wants_progress(chosen)
    )
    for number, finding in enumerate(found.pieces, start=1):
        for line in str(finding).splitlines():
            print(f"piece {number}, {line}")
    print(found)


def _generate(
    chosen: argparse.Namespace, model: Model, streams: Sequence[Stream]
) -> tuple[list[Events], list[str], muspy.Music | None, Prompt | None]:
    """The pieces, a remark on each, the music of the given file, and the prompt."""
    options, mode = options_of(chosen), mode_of(chosen)
    # What is told about the prompt is printed only when everything that was asked for is known to be possible.
    told: list[str] = []
    prompt, like = _prompt(chosen, model, told)
    told.append(f"sampling with {_setting(chosen, model, options)}")
    is_paper = "paper" in (chosen.grammar, chosen.sampling)
    if mode is None and chosen.use_all is None and chosen.instruments and not is_paper:
        options["use_all"] = True
    if mode or chosen.form is not None:
        pieces = _edit(mode or "form", model, prompt, chosen, options, told)
        _say(chosen, told)
        form = "" if mode else f"; form {chosen.form}"
        return pieces, [f"{name_of(one)}{form}" for one in streams], like, prompt
    known = {name: value for name, value in options.items() if name in Options.__annotations__}
    GenerationOptions(**known).resolve(prompt, model.network.config, model.representation, model.sampling)
    _say(chosen, told)
    pieces, outcomes = model.generate(prompt, report=True, **options)
    return pieces, [str(outcome) for outcome in outcomes], like, prompt


def _say(chosen: argparse.Namespace, told: Sequence[str]) -> None:
    if not chosen.quiet:
        print(*told, sep="\n", flush=True)


def _setting(chosen: argparse.Namespace, model: Model, options: Mapping[str, Any]) -> str:
    """The filters in force, the loop guard and the limit of silences."""
    shown = (*FilterOptions.__annotations__, "loop_guard", "max_rest", "sampling", "grammar")
    given = GenerationOptions(**{name: value for name, value in options.items() if name in shown})
    # Of the editing modes, only `rewrite` generates as usual. Silences are not limited where notes are given, nor between the
    # sections of a form.
    mode = mode_of(chosen)
    guard = given.guard(model.sampling) if mode in (None, "rewrite") else 0
    rest = given.rest(model.sampling) if mode is None and chosen.form is None else 0
    limits = (f", loop guard {guard:g}" if guard else "") + (f", no silence of {rest} beats" if rest else "")
    return f"{given.filters(model.sampling, model.network.config.sizes)}{limits}"


def _edit(
    mode: str,
    model: Model,
    events: Events | None,
    chosen: argparse.Namespace,
    given: Mapping[str, Any],
    told: list[str],
) -> list[Events]:
    """Call the `mmt.edit` function of a mode or of --form; `given` are the sampling flags. Its report is added to `told`."""
    from mmt.sampling import editing
    from mmt.sampling.editing.parts import EditOptions

    options: Any = {name: value for name, value in given.items() if name in EditOptions.__annotations__}
    if mode == "form":
        section = {} if chosen.section is None else {"section": chosen.section}
        return editing.compose(model, events, chosen.form, use_all=given.get("use_all", False), **section, **options)
    assert events is not None
    names = _names_in(chosen.instruments)
    candidates = {} if chosen.candidates is None else {"candidates": chosen.candidates}
    span = (chosen.from_beat or 0, int(events[:, BEAT].max()) if chosen.to_beat is None else chosen.to_beat)
    if mode == "rewrite":
        return editing.rewrite(model, events, span, names or None, **options)
    if mode == "reorchestrate":
        pieces, report = editing.reorchestrate(model, events, names, report=True, **options)
        told.append(str(report))
        return pieces
    if mode == "reharmonise":
        return editing.reharmonise(model, events, chosen.part, **options)
    if mode == "accompany":
        beats = None if chosen.from_beat is None and chosen.to_beat is None else span
        hold = _names_in(chosen.hold)
        return editing.accompany(model, events, hold, names or None, beats=beats, **options, **candidates)
    return editing.fill(model, events, chosen.from_beat, chosen.to_beat, **options, **candidates)


def _names_in(text: str | None) -> list[str]:
    """The names in a list that is separated by commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _prompt(chosen: argparse.Namespace, model: Model, told: list[str]) -> tuple[Prompt | None, muspy.Music | None]:
    """The prompt, or the piece to be edited, and the music that was read for it; what to tell the user is added to `told`."""
    representation = model.representation
    file = next((file for mode in ("piece", *MODES) if (file := getattr(chosen, mode)) is not None), None)
    if file is None:
        if chosen.instruments is None:
            return None, None
        names, repeated = merged(split_names(chosen.instruments, representation), representation)
        told += notices(names, repeated, model.training.get("data", {}).get("instruments"))
        return prompts.instruments(*names, representation=representation), None
    music = music_files.read(file)
    events, report = encode(music, report=True, representation=representation)
    if not report.kept:
        raise ValueError(f"{file} has no usable notes ({report})")
    told.append(f"{file}: {report}")
    try:
        return prompts.beats(events, chosen.beats, representation=representation), music
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def notices(names: list[str], repeated: list[str], seen: Mapping[str, int] | None) -> list[str]:
    """Lines on instruments that were named repeatedly, or that the model has rarely seen (`seen`: pieces by instrument)."""
    told = []
    if repeated:
        told.append(f"{', '.join(repeated)}: named more than once, and one part here")
    rare = [f"{name} ({seen.get(name, 0)} pieces)" for name in names if seen.get(name, 0) < _RARE] if seen else []
    if rare:
        told.append(f"rare in the model's training data: {', '.join(rare)}")
    return told


def summary(music: muspy.Music, events: Events, representation: Representation) -> str:
    """The numbers of notes and beats, the instruments, and those that were asked for but do not play."""
    notes: Any = sum(len(track.notes) for track in music.tracks)
    names = ", ".join(track.name for track in music.tracks)
    # The paper's grammar allows a piece without notes.
    end = max((note.end for track in music.tracks for note in track.notes), default=0) / music.resolution
    silent = [name for name, count in notes_of(events, representation).items() if not count]
    not_heard = f"; silent: {', '.join(silent)}" if silent else ""
    # As limits count them: the beats in which notes begin. The last notes may sound longer.
    beats = int(events[is_note(events), BEAT].max(initial=0))
    longer = f" (the last notes sound for {end - beats:.4g} more)" if end > beats else ""
    counts = f"{notes:,} note{'s' * (notes != 1)}, {beats:,} beat{'s' * (beats != 1)}{longer}"
    return f"{counts}, {names}{not_heard}"
