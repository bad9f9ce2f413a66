from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from coderapi import __version__
from coderapi.bootstrap import BASE_DIR, server_flags
from kernel.release import PROGRAM, is_development
from options.configuration import Configuration, ConfigurationError, check
from options.rendering import option_value
from options.start import load_for_start
from options.table import Row, option_rows, tables


class Command(BaseCommand):
    help = (
        "Shows Coder's options as they are in force here, then this service's own settings, and "
        f"where each value comes from. Takes Coder's flags as `{PROGRAM} server` does. With "
        "--check, says instead what is wrong with YAML files. Neither needs a database or a server."
    )
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, allow_abbrev=False, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "names",
            nargs="*",
            metavar="NAME",
            help="Only these options, by name, variable, flag or YAML path; files with --check.",
        )
        parser.add_argument("--changed", action="store_true", help="Only what somebody has set.")
        parser.add_argument("--json", action="store_true", help="JSON instead of a table.")
        parser.add_argument("--check", action="store_true", help="Check YAML files.")

    def handle(
        self, *args: Any, names: Sequence[str], changed: bool, json: bool, **more: Any
    ) -> str:
        try:
            if more["check"]:
                return _checked(names)
            options = load_for_start(
                os.environ,
                flags=server_flags(),
                development=is_development(BASE_DIR, __version__),
            )
            rows = option_rows(options, changed=changed, names=names)
        except ConfigurationError as error:
            self._complain(*error.warnings, error)
            sys.exit(1)
        self._complain(*options.warnings)
        return _as_json(rows, options) if json else tables(rows)

    def _complain(self, *lines: object) -> None:
        for line in lines:
            self.stderr.write(str(line))


def _checked(files: Sequence[str]) -> str:
    if not files:
        raise CommandError("Name the files to check.")
    if errors := check(files):
        raise ConfigurationError(errors)
    return "\n".join(f"{file}: nothing is wrong" for file in files)


def _as_json(rows: Sequence[Row], options: Configuration) -> str:
    found = [
        {
            "name": row.option.name,
            "own": row.option.own,
            "value": option_value(row.option, options),
            "value_source": row.source,
            "set_by": row.place,
        }
        for row in rows
    ]
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()
