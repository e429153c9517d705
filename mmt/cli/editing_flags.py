"""The editing flags of mmt-generate, and which flags go together."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmt.cli.common import Flags, UsageError, add_flags

# Each mode, and the flags that it requires.
MODES: dict[str, tuple[str, ...]] = {
    "rewrite": (),
    "reorchestrate": ("instruments",),
    "reharmonise": ("part",),
    "accompany": ("hold",),
    "fill": ("from_beat", "to_beat"),
}
# The modes that each flag goes with.
_OF_MODES: dict[str, tuple[str, ...]] = {
    "part": ("reharmonise",),
    "hold": ("accompany",),
    "from_beat": ("rewrite", "fill", "accompany"),
    "to_beat": ("rewrite", "fill", "accompany"),
    "candidates": ("accompany", "fill"),
}
# Flags of plain generation, which neither an editing mode nor a form takes.
_ONLY_GENERATE = (
    *("min_beats", "max_beats", "new_beats", "max_events", "length"),
    *("grammar", "sampling", "context", "loop_guard", "max_rest"),
)
# The defaults of those that are not None.
_DEFAULTS = {"sampling": "default", "context": "anchor", "use_all": False}

_FLAGS: Flags = {
    "--rewrite FILE": (Path, None, "rewrite --instruments (default: all) from --from-beat to --to-beat (default: the whole "
        "piece) and keep all other notes; for models trained with given notes"),
    "--reorchestrate FILE": (Path, None, "keep the notes and give them to --instruments"),
    "--reharmonise FILE": (Path, None, "draw new pitches for one --part and keep everything else"),
    "--accompany FILE": (Path, None, "keep the parts of --hold and write --instruments around them"),
    "--fill FILE": (Path, None, "rewrite the beats from --from-beat to --to-beat (counted from 0; the beat --to-beat is "
        "kept)"),
    "--part INSTRUMENT": (str, None, "with --reharmonise: the instrument whose pitches are drawn"),
    "--hold INSTRUMENTS": (str, None, "with --accompany: the instruments whose parts stay (default of --instruments: the "
        "others)"),
    "--from-beat": (int, None, "with --rewrite, --fill and --accompany: the first new beat"),
    "--to-beat": (int, None, "with --rewrite, --fill and --accompany: the first beat after the new ones"),
    "--candidates": (int, None, "with --accompany and --fill: number of candidates to choose from (default: 16)"),
}  # fmt: skip


def add_modes(arguments: argparse.ArgumentParser) -> None:
    """Add the flags of the editing modes."""
    group = arguments.add_argument_group(
        "edit a piece instead: keep a part of it and write the rest (mmt.edit)",
        "With --beats, only the first BEATS beats are read.",
    )
    add_flags(group, _FLAGS)


def mode_of(chosen: argparse.Namespace) -> str | None:
    """The selected editing mode, or None; a `UsageError` if a flag that it requires is missing or does not go with it."""
    modes = [mode for mode in MODES if getattr(chosen, mode) is not None]
    if len(modes) + (chosen.piece is not None) > 1:
        raise UsageError(f"--continue, {', '.join(map(_flag, MODES))}: choose one")
    mode = modes[0] if modes else None
    for name, owners in _OF_MODES.items():
        if getattr(chosen, name) is not None and mode not in owners:
            raise UsageError(f"{_flag(name)} goes with {' or '.join(map(_flag, owners))}")
    if mode is None:
        return None
    for name in MODES[mode]:
        if getattr(chosen, name) is None:
            raise UsageError(f"--{mode} needs {_flag(name)}")
    unused = [*_ONLY_GENERATE, "use_all", "form", *(("scale", "allow", "exclude") if mode == "reorchestrate" else ())]
    unused += ["instruments"] if mode in ("reharmonise", "fill") else []
    _refuse(chosen, unused, mode)
    return mode


def check_form(chosen: argparse.Namespace) -> None:
    """Raise a `UsageError` if --section stands alone, or a flag does not go with --form."""
    if chosen.form is not None:
        _refuse(chosen, _ONLY_GENERATE, "form")
    elif chosen.section is not None:
        raise UsageError("--section goes with --form")


def _refuse(chosen: argparse.Namespace, names: Sequence[str], mode: str) -> None:
    """Raise a `UsageError` if one of these flags was given."""
    for name in names:
        if getattr(chosen, name) not in (None, _DEFAULTS.get(name)):
            raise UsageError(f"{_flag(name)} does not go with --{mode}")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
