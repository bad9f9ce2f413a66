from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandParser

from coderapi.bootstrap import server_flags, status_of
from kernel.commands import ListingCommand, UsageError
from kernel.release import PROGRAM
from options.configuration import ConfigurationError
from options.configuration import check as mistakes_in
from options.rendering import option_value
from options.start import load_for_start
from options.table import option_rows, tables


class Command(ListingCommand):
    help = (
        "Shows the effective values of Coder's options and of coderapi's own settings, and the "
        f"source of each value. Accepts the same flags as `{PROGRAM} server`. With --check, lists "
        "the mistakes in YAML files instead. Needs no database and no running server."
    )
    examples = "--changed\nCODER_ACCESS_URL http-address\n--check coder.yaml"
    requires_system_checks: list[str] = []

    def run_from_argv(self, argv: list[str]) -> None:
        """Runs the command without Django's settings, because they may be invalid.

        Django's own method would load them to close connections.
        """
        self._called_from_command_line = True
        options = vars(self.create_parser(argv[0], argv[1]).parse_args(argv[2:]))
        self.execute(*options.pop("args", ()), **options)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "names",
            nargs="*",
            metavar="NAME",
            help="the options to show, by name, variable, flag or YAML path; with --check, the "
            "YAML files to check",
        )
        parser.add_argument("--changed", action="store_true", help="show only options that are set")
        parser.add_argument("--check", action="store_true", help="list the mistakes in YAML files")
        super().add_arguments(parser)

    def handle(
        self, *args: Any, names: Sequence[str], changed: bool, check: bool, **more: Any
    ) -> str | None:
        try:
            if check and (changed or self.as_json):
                raise UsageError("You cannot use --check with --changed or --json.")
            if check:
                return _checked(names)
            options = load_for_start(os.environ, flags=server_flags)
            rows = option_rows(options, changed=changed, names=names)
        except ConfigurationError as error:
            self._complain(*error.warnings, error)
            sys.exit(status_of(error))
        self._complain(*options.warnings)
        if not self.as_json:
            return tables(rows)
        for row in rows:
            self.row(
                row.value,
                name=row.option.name,
                own=row.option.own,
                value=option_value(row.option, options),
                value_source=row.source,
                set_by=row.place,
            )
        return None

    def _complain(self, *lines: object) -> None:
        for line in lines:
            self.stderr.write(str(line))


def _checked(files: Sequence[str]) -> str:
    if not files:
        raise UsageError("Name the files to check after --check.")
    if errors := mistakes_in(files):
        raise ConfigurationError(errors)
    return "\n".join(f"{file}: no mistakes" for file in files)
