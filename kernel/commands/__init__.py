"""The base classes of commands: the same help, the same `--json` and the same error messages."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from argparse import RawDescriptionHelpFormatter
from datetime import UTC, datetime
from typing import Any, ClassVar

import orjson
from django.core.management.base import BaseCommand as DjangoCommand
from django.core.management.base import CommandError, CommandParser, OutputWrapper
from django.db import connection

from kernel.db.schema_number import check_schema
from kernel.http.errors import APIError

JSON_OPTIONS = orjson.OPT_UTC_Z


class UsageError(Exception):
    """The command line is wrong. The message has the reason."""


class BaseCommand(DjangoCommand):
    """The base class of commands. Shows examples, and hides Django's options for developers."""

    # Each line is one example, without the command's name.
    examples: ClassVar[str] = ""
    # The text after the examples.
    formats: ClassVar[str] = ""
    # The end of the sentence "Exits with status 1 if …" in the help.
    fails_if: ClassVar[str] = ""
    # Exceptions whose message is for the user.
    expected: ClassVar[tuple[type[Exception], ...]] = ()
    # Django checks the code. `bin/check` does so, too, and the checks import all pages.
    requires_system_checks = []
    # Commands that use no database, or that check its schema themselves, set this to False.
    requires_migrations_checks = True
    suppressed_base_arguments = {
        *("--version", "--verbosity", "--settings", "--pythonpath", "--traceback"),
        *("--no-color", "--force-color"),
    }

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        shown = "\n".join(f"  %(prog)s {line}".rstrip() for line in self.examples.splitlines())
        kwargs |= {"formatter_class": RawDescriptionHelpFormatter, "allow_abbrev": False}
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.description = _wrapped(self.about)
        parser.epilog = "\n\n".join(filter(None, [shown and f"Examples:\n{shown}", self.formats]))
        self._parser = parser
        return parser

    @property
    def about(self) -> str:
        """The help, and when the command exits with status 1."""
        return (
            f"{self.help} Exits with status 1 if {self.fails_if}." if self.fails_if else self.help
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            summary = self._run(*args, **options)
        except UsageError as error:
            self._parser.error(str(error))
        except CommandError as error:
            # Django would print the name of the exception's class before the message.
            if not self._parser.called_from_command_line:
                raise
            self.stderr.write(f"{self._parser.prog}: {error}")
            sys.exit(error.returncode)
        return summary

    def _run(self, *args: Any, **options: Any) -> str | None:
        try:
            summary: str | None = super().execute(*args, **options)
        except APIError as error:
            details = [f"{each.field}: {each.detail}" for each in error.validations]
            raise CommandError(" ".join([*error.reasons, *details])) from None
        except self.expected as error:
            raise CommandError(str(error)) from None
        return summary

    def check_migrations(self) -> None:
        """Raises CommandError if a newer release has changed the schema too much for this one."""
        if self._parser.called_from_command_line:
            with connection.cursor() as cursor:
                check_schema(cursor)


def shown_arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Returns the arguments that the help of a command shows, except --help."""
    actions = parser._actions
    return [each for each in actions if each.help != argparse.SUPPRESS and each.dest != "help"]


def _wrapped(text: str) -> str:
    """Wraps the text to the width of the terminal, except lines that begin with spaces."""
    width = max(shutil.get_terminal_size().columns - 2, 11)
    lines = text.splitlines()
    return "\n".join(x if x.startswith(" ") else textwrap.fill(x, width) for x in lines)


class ListingCommand(BaseCommand):
    """The base class of commands that list rows.

    A row is a line of text, or with `--json` a JSON object on one line. With `--json`, all other
    output goes to standard error.
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
        """Writes one row: `line`, or with `--json` the members as a JSON object."""
        if self._rows is None:
            self.stdout.write(line)
        else:
            self._rows.write(orjson.dumps(members, default=str, option=JSON_OPTIONS).decode())


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="write one JSON object per line")


def add_yes_argument(parser: CommandParser, text: str) -> None:
    parser.add_argument("--yes", "--no-input", action="store_true", help=text)


def confirm(warning: str) -> None:
    """Asks for confirmation on standard error. Raises: CommandError if the response is not yes."""
    sys.stderr.write(f"{warning}\nType yes to continue: ")
    sys.stderr.flush()
    try:
        answer = input()
    except EOFError:
        raise CommandError(f"{warning} Add --yes to confirm that.") from None
    if answer.strip().lower() != "yes":
        raise CommandError("Nothing is changed.")


def add_moment_argument(parser: Any, flag: str, text: str, *, required: bool = False) -> None:
    """Adds an argument that is a day or a time to a parser, or to a group of arguments.

    Its help text begins with `text`.
    """
    about = f"{text}. TIME is a day or a time, in UTC unless it has an offset"
    parser.add_argument(flag, type=moment, metavar="TIME", required=required, help=about)


def moment(text: str) -> datetime:
    """Parses an argument that is a day or a time. It is in UTC unless it has an offset."""
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a day nor a time, such as 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None


def whole_number(text: str, *, limit: int, minimum: int = 1) -> int:
    """Parses an argument that is a number from `minimum` to `limit`."""
    if len(text) < 12 and text.isascii() and text.isdecimal() and minimum <= int(text) <= limit:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text[:64]!r} is not a number from {minimum} to {limit:,}")
