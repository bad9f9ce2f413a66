"""Gives all commands the same help, the same `--json` and the same end.

A command ends with status 0 when it did what it was asked, 1 when it could not or found something
wrong, and 2 when the command line is wrong. A signal ends it with 128 and the signal's number; a
reader who leaves early, as `head` does, counts as the signal SIGPIPE.
"""

from __future__ import annotations

import argparse
import errno
import os
import select
import signal
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Any, ClassVar

import orjson
from django.core.management.base import BaseCommand as DjangoCommand
from django.core.management.base import (
    CommandError,
    CommandParser,
    OutputWrapper,
    SystemCheckError,
)

FAILED, MISUSED = 1, 2
READER_LEFT = 128 + signal.SIGPIPE

JSON_OPTIONS = orjson.OPT_UTC_Z


class UsageError(Exception):
    """The command line is wrong; the message says how."""


class HelpFormatter(argparse.HelpFormatter):
    """Wraps sentences, and keeps lines that begin with spaces, such as examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(
            line if line.startswith(" ") else textwrap.fill(line, width)
            for line in text.splitlines()
        )


class BaseCommand(DjangoCommand):
    """A command with examples in its help, without the options that only Django's authors need."""

    # What follows the command's name, an example a line.
    examples: ClassVar[str] = ""
    suppressed_base_arguments = {
        *("--version", "--verbosity", "--settings", "--pythonpath", "--traceback"),
        *("--no-color", "--force-color"),
    }

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        shown = "\n".join(f"  %(prog)s {line}".rstrip() for line in self.examples.splitlines())
        parser = super().create_parser(
            prog_name,
            subcommand,
            **{"formatter_class": HelpFormatter, "epilog": shown and f"Examples:\n{shown}"}
            | {"allow_abbrev": False}
            | kwargs,
        )
        for action in parser._actions:
            if "--skip-checks" in action.option_strings:
                # Django does not look for it among those to suppress.
                action.help = argparse.SUPPRESS
        self._parser = parser
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            said: str | None = super().execute(*args, **options)
        except UsageError as error:
            self._parser.error(str(error))
        except CommandError as error:
            # Its class, which Django would name, says nothing to who runs it.
            if not self._parser.called_from_command_line or isinstance(error, SystemCheckError):
                raise
            self.stderr.write(f"{self._parser.prog}: {error}")
            sys.exit(error.returncode)
        return said


class ListingCommand(BaseCommand):
    """A command that lists: a line a row for people, or with `--json` an object a line.

    With `--json`, whatever else it says goes to standard error.
    """

    _rows: OutputWrapper | None = None

    def add_arguments(self, parser: CommandParser) -> None:
        add_json_argument(parser)

    def execute(self, *args: Any, **options: Any) -> str | None:
        if options.get("json"):
            self._rows = OutputWrapper(options.get("stdout") or sys.stdout)
            options["stdout"] = options.get("stderr") or sys.stderr
        return super().execute(*args, **options)

    @property
    def as_json(self) -> bool:
        return self._rows is not None

    def row(self, line: str, /, **members: Any) -> None:
        """Writes one row: the line for people, or the members as JSON."""
        if self._rows is None:
            self.stdout.write(line)
        else:
            self._rows.write(orjson.dumps(members, default=str, option=JSON_OPTIONS).decode())


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="write one JSON object a line")


# Ends the help of each argument that `moment` reads.
MOMENT = "a day or a time, of UTC unless it says so"


def moment(text: str) -> datetime:
    """Reads an argument that is a day or a time, of UTC unless it says so. Returns it in UTC."""
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a day nor a time, such as 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None


@contextmanager
def ending_with_the_reader(program: str) -> Iterator[None]:
    """Ends the process without a word once nobody reads its output, as in `… | head`."""
    try:
        try:
            yield
        finally:
            # Python itself flushes when it is too late to be quiet about a failure.
            sys.stdout.flush()
    except BrokenPipeError:
        lost = [stream for stream in (sys.stdout, sys.stderr) if _is_lost(stream)]
        if not lost:
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in lost:
            os.dup2(nowhere, stream.fileno())
        sys.exit(READER_LEFT)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.exit(f"{program}: the output cannot be written: {error.strerror}")


def _is_lost(stream: IO[str]) -> bool:
    """Tells whether nobody reads the stream any more."""
    look = select.poll()
    look.register(stream.fileno(), 0)
    return any(events & select.POLLERR for _, events in look.poll(0))
