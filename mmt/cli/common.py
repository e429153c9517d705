"""What the commands share: their habits, and how they end.

Exit status 0: done; 1: failed; 2: wrong usage; 130: stopped by Ctrl-C, 143: by SIGTERM. An error is one line; `--debug`
shows the traceback.
"""

from __future__ import annotations

import argparse
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

# Of an error that nobody foresaw, so many characters are shown.
_LONGEST = 400


class UsageError(Exception):
    """Arguments that do not go together: exit status 2."""


def parser(name: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """A parser whose help shows every default."""
    return _Parser(prog=name, description=description, epilog=epilog, formatter_class=_HelpFormatter)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # The usage that argparse would put before it has dozens of lines, and hides what is wrong.
        self.exit(2, f"{self.prog}: error: {message}; {self.prog} --help says what there is\n")


def add_habits(arguments: argparse.ArgumentParser) -> None:
    """The arguments that every command has."""
    shared = arguments.add_argument_group("as in every command")
    shared.add_argument(
        "--quiet", action=argparse.BooleanOptionalAction, default=False, help="print nothing but errors"
    )
    shared.add_argument(
        "--debug", action=argparse.BooleanOptionalAction, default=False, help="show where an error arose"
    )
    shared.add_argument(
        "--overwrite", action=argparse.BooleanOptionalAction, default=False, help="replace what exists already"
    )


def run(
    arguments: argparse.ArgumentParser, command: Callable[[argparse.Namespace], None], given: Sequence[str] | None
) -> int:
    """Parse, run the command, and turn whatever goes wrong into one line and an exit status."""
    # Intermixed: flags may stand between a recipe and its overrides.
    chosen = arguments.parse_intermixed_args(given)
    try:
        # Behind the parser: --help does not wait for NumPy.
        from mmt.representation.notes import LeftOutWarning

        with warnings.catch_warnings():
            if not chosen.debug:
                warnings.simplefilter("ignore")
                # Ours is for the user: what is left out is told.
                warnings.filterwarnings("always", category=LeftOutWarning)
                warnings.showwarning = lambda message, *_, **__: print(f"{arguments.prog}: {message}", file=sys.stderr)
            command(chosen)
    except KeyboardInterrupt as stopped:
        print(f"{arguments.prog}: stopped: {str(stopped) or 'nothing was written'}", file=sys.stderr)
        # As shells count it: 128 and the number of the signal, which is Ctrl-C's unless it says another.
        return 128 + int(getattr(stopped, "signal", signal.SIGINT))
    except Exception as error:
        if chosen.debug:
            raise
        print(f"{arguments.prog}: error: {_one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


@contextmanager
def telling_what_is_kept(more: str = "") -> Iterator[list[str]]:
    """If it is stopped within: say `more`, or else which files are kept, of those that were put into the list."""
    kept: list[str] = []
    try:
        yield kept
    except KeyboardInterrupt as stopped:
        if str(stopped):  # it says so itself
            raise
        listed = f"{', '.join(kept[:3])}{f' and {len(kept) - 3:,} more' if len(kept) > 3 else ''}"
        raise KeyboardInterrupt(more or (f"{listed} kept" if kept else "nothing was written")) from None


def wants_progress(chosen: argparse.Namespace) -> bool:
    """Whether to show a bar: on a terminal, unless asked to be quiet."""
    return not chosen.quiet and sys.stderr.isatty()


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, (ValueError, OSError, UsageError)) and text:
        return text
    # Some, such as a compiler's, are as long as a book.
    told = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
    return f"unexpected {type(error).__name__}: {told} (--debug shows all, and where)"


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, but not where a default is "none": the help text says there what that means."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, argparse.SUPPRESS):
            return action.help
        return super()._get_help_string(action)
