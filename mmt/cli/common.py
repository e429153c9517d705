"""What all commands share: the parser, common flags, errors and exit statuses.

Exit status 0: done; 1: failed; 2: wrong usage; 130: stopped by Ctrl-C; 143: stopped by SIGTERM. An error is one line; `--debug`
shows the traceback.
"""

from __future__ import annotations

import argparse
import io
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NoReturn, TextIO

# The number of characters of an error that are shown. Some messages, such as a compiler's, have thousands.
_LONGEST, _LONGEST_UNEXPECTED = 2000, 400

# A table of flags. Keys: "--flag", "--flag METAVAR" or "-f --flag". Values: type, default and meaning. The type may also be
# `bool` (on or off, with an opposite `--no-flag`), a tuple of choices, or a list of choices for a flag that may be repeated
# (empty: any text). The default is `...` for a flag that is required.
Flags = Mapping[str, tuple[Any, Any, str]]
DEVICE: Flags = {"--device": (str, "auto", "auto, cpu, cuda or mps")}
_MODEL: Flags = {
    "--checkpoint": (Path, None, "a checkpoint folder (default: the model that mmt ships)"),
    **DEVICE,
    "--weights": (("float32", "int8"), "float32", "int8: faster on a CPU, for next to no loss"),
}
_EVERY_COMMAND: Flags = {
    "--quiet": (bool, False, "print only errors"),
    "--debug": (bool, False, "show where an error arose"),
    "--overwrite": (bool, False, "replace what exists already"),
}


class UsageError(Exception):
    """Wrong usage of a command: exit status 2."""


def parser(name: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """A parser whose help shows every default."""
    return _Parser(prog=name, description=description, epilog=epilog, formatter_class=_HelpFormatter)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # argparse would print the usage first, dozens of lines that hide the error.
        self.exit(2, f"{self.prog}: error: {_printable(message)}; {self.prog} --help lists all flags\n")


def add_flags(arguments: argparse._ActionsContainer, flags: Flags) -> None:
    """Add the flags of a table."""
    for flag, (kind, default, meaning) in flags.items():
        names = [part for part in flag.split() if part.startswith("-")]
        options: dict[str, Any] = {"help": meaning, "default": default}
        if metavar := flag.split()[len(names) :]:
            options["metavar"] = metavar[0]
        if default is ...:
            options |= {"default": None, "required": True}
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif isinstance(kind, list):
            options |= {"action": "append", "choices": kind or None}
        elif isinstance(kind, tuple):
            options["choices"] = kind
        else:
            options["type"] = kind
        arguments.add_argument(*names, **options)


def values_of(chosen: argparse.Namespace, flags: Iterable[str]) -> dict[str, Any]:
    """The values of flags by name: that of "--max-rest BEATS" is `max_rest`."""
    names = [flag.split()[0].removeprefix("--").replace("-", "_") for flag in flags]
    return {name: getattr(chosen, name) for name in names}


def add_model(arguments: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the flags of the model that generates; returns their group."""
    model = arguments.add_argument_group("model")
    add_flags(model, _MODEL)
    return model


def run(
    arguments: argparse.ArgumentParser, command: Callable[[argparse.Namespace], None], given: Sequence[str] | None
) -> int:
    """Add the flags that every command has, parse, and run; an error becomes one line on stderr and an exit status."""
    add_flags(arguments.add_argument_group("flags of every command"), _EVERY_COMMAND)
    # Intermixed: flags may come between a recipe and its overrides.
    chosen = arguments.parse_intermixed_args(given)
    try:
        # Imported after parsing, so that --help does not wait for NumPy.
        from mmt.model.provenance import of_command
        from mmt.representation.notes import LeftOutWarning

        with warnings.catch_warnings():
            if not chosen.debug:
                warnings.simplefilter("ignore")
                # This warning is for the user: it says which notes were left out.
                warnings.filterwarnings("always", category=LeftOutWarning)
                warnings.showwarning = lambda message, *_, **__: print(
                    f"{arguments.prog}: {_printable(str(message))}", file=sys.stderr
                )
            # Names from files may hold control characters. (Progress bars on stderr need theirs.)
            written = sys.argv[1:] if given is None else given
            with redirect_stdout(_Printable(sys.stdout)), of_command(arguments.prog, written):
                command(chosen)
    except KeyboardInterrupt as stopped:
        print(f"{arguments.prog}: stopped: {_printable(str(stopped) or 'nothing was written')}", file=sys.stderr)
        # The convention of shells: 128 plus the number of the signal. Without a number it was Ctrl-C.
        return 128 + int(getattr(stopped, "signal", signal.SIGINT))
    except Exception as error:
        if chosen.debug:
            print(_printable("".join(traceback.format_exception(error))), file=sys.stderr, end="")
        else:
            print(f"{arguments.prog}: error: {_one_line(error)}{_place_of(error, chosen)}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


def check_corpus(folder: Path | None) -> None:
    """Raise an error if a folder was given that is not a corpus with training and validation pieces."""
    if folder is not None:
        from mmt.corpus.storage import Corpus

        for split in ("train", "valid"):
            Corpus(folder, split=split)


def is_override(part: str) -> bool:
    """Whether an argument changes an entry of a recipe, SECTION.ENTRY=VALUE, and is not a file."""
    return re.match(r"[a-z_]+(\.[a-z_]+)*=", part) is not None and not Path(part).exists()


@contextmanager
def telling_what_is_kept(more: str = "") -> Iterator[list[str]]:
    """On Ctrl-C within the context, say `more`, or else which of the files in the yielded list are kept."""
    kept: list[str] = []
    try:
        yield kept
    except KeyboardInterrupt as stopped:
        if str(stopped):  # it has a message of its own
            raise
        listed = f"{', '.join(kept[:3])}{f' and {len(kept) - 3:,} more' if len(kept) > 3 else ''}"
        raise KeyboardInterrupt(more or (f"{listed} kept" if kept else "nothing was written")) from None


def wants_progress(chosen: argparse.Namespace) -> bool:
    """Whether to show a progress bar: on a terminal, unless --quiet is given."""
    return not chosen.quiet and sys.stderr.isatty()


def _one_line(error: Exception) -> str:
    text = _printable(" ".join(str(error).split()))
    expected = isinstance(error, (ValueError, OSError, UsageError)) and text
    limit = _LONGEST if expected else _LONGEST_UNEXPECTED
    text = text if len(text) <= limit else f"{text[:limit]} …"
    return text if expected else f"unexpected {type(error).__name__}: {text} (--debug shows the traceback)"


def _place_of(error: Exception, chosen: argparse.Namespace) -> str:
    """The output of the command, for an error of a full disk that names no file."""
    from mmt.music.atomic import FULL, is_named

    is_nameless = isinstance(error, OSError) and error.errno in FULL and not (error.filename or is_named(error))
    output = getattr(chosen, "output", None)
    return f" (writing {_printable(str(output))})" if is_nameless and output and str(output) not in str(error) else ""


def _printable(text: str) -> str:
    """A text without control characters, but line ends and tabs; those and invalid characters are escaped."""
    from mmt.music.bounded import escaped

    return re.sub(r"[^\n\t]+", lambda part: escaped(part[0]), text)


class _Printable(io.TextIOBase):
    """A text stream that writes what is printable to another."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._stream.write(_printable(text).encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, except None, which the help text explains, and empty lists."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, [], argparse.SUPPRESS):
            return action.help
        return super()._get_help_string(action)
