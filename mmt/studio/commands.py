"""The `mmt-generate` line that writes an alternative again.

For an edit, and to continue, `piece.mid` stands for the version before, downloaded as MIDI.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from mmt.studio.requests import Compose, Continue, Sampling

_PIECE = "piece.mid"


def generate(request: Sampling, names: Sequence[str], seed: int, options: Mapping[str, Any], model: str) -> str:
    """The line for a piece that was written, in a form or not, or continued.

    `names` are the instruments, `options` are keywords of `Model.generate`.
    """
    line: list[str] = []
    if isinstance(request, Continue):
        line += ["--continue", _PIECE, "--beats", str(request.beat)]
    elif names:
        line += ["--instruments", ",".join(names)]
    if isinstance(request, Compose):
        line += ["--form", request.form, "--section", str(request.section)]
    return _line([*line, *_flags(options)], seed, model)


def edit(function: str, arguments: Mapping[str, Any], seed: int, options: Mapping[str, Any], model: str) -> str:
    """The line for an edit; `function` is a name in `mmt.edit`, `arguments` and `options` are its keywords."""
    line = [f"--{function}", _PIECE]
    given = dict(arguments)
    if "beats" in given:
        given["from_beat"], given["to_beat"] = given.pop("beats")
    return _line([*line, *_flags({**given, **options})], seed, model)


def _flags(options: Mapping[str, Any]) -> list[str]:
    flags = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            flags.append(flag)
        elif isinstance(value, Mapping):
            flags += [word for key, one in value.items() for word in (flag, f"{key}={one}")]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            flags += [flag, ",".join(map(str, value))]
        else:
            flags += [flag, str(value)]
    return flags


def _line(words: Sequence[str], seed: int, model: str) -> str:
    checkpoint = ["--checkpoint", model] if model else []
    return shlex.join(["mmt-generate", *words, "--seed", str(seed), *checkpoint, "-o", "new.mid"])
