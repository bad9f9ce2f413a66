from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import CommandError, CommandParser

from coderapi.startup.bootstrap import server_flags, status_of
from kernel.commands import ListingCommand, UsageError
from kernel.http.headers import SESSION_TOKEN, WIRE_FORMAT
from kernel.outgoing import Outgoing, OutgoingError, redacted, send
from kernel.release import PROGRAM
from kernel.text.humanize import plural
from options.comparison import OTHER_FORM, differences, lines
from options.configuration import ConfigurationError, load
from options.configuration import check as mistakes_in
from options.rendering import option_value
from options.start import load_for_start
from options.table import option_rows, tables

CONFIG = "/api/v2/deployment/config"
TOKEN = "CODER_SESSION_TOKEN"  # noqa: S105  # The name of a variable.
MAX_BYTES = 4 * 1024 * 1024
SECONDS = 10.0


class Command(ListingCommand):
    help = (
        "Shows the effective values of Coder's options and of coderapi's own settings, and the "
        f"source of each value. Accepts the same flags as `{PROGRAM} server`. With --check, lists "
        "the mistakes in YAML files instead. With --compare, prints the differences between the "
        "options of coderapi and those of a Coder server as lines for options/catalogue.toml. "
        "Needs no database and no running server."
    )
    fails_if = "--check finds a mistake, or --compare finds a difference"
    examples = "--changed\n--json\nCODER_ACCESS_URL http-address\n--check coder.yaml\n--compare https://coder.example.com"
    requires_migrations_checks = False

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
        parser.add_argument(
            "--compare",
            metavar="SOURCE",
            help="compare the options with a response of GET /deployment/config of Coder: a file, "
            f"- for standard input, or the URL of a running Coder; for a URL, {TOKEN} must be a "
            "session token of an owner or auditor",
        )
        super().add_arguments(parser)

    def handle(
        self,
        *args: Any,
        names: Sequence[str],
        changed: bool,
        check: bool,
        compare: str | None,
        **more: Any,
    ) -> str | None:
        if check and (changed or self.as_json):
            raise UsageError("You cannot use --check with --changed or --json.")
        if compare is not None and (names or changed or check):
            raise UsageError("You cannot use --compare with --changed, --check or names.")
        try:
            if check:
                return _checked(names)
            if compare is not None:
                return self._compare(compare)
            return self._show(names, changed=changed)
        except ConfigurationError as error:
            self._complain(*error.warnings, error)
            sys.exit(status_of(error))

    def _show(self, names: Sequence[str], *, changed: bool) -> str | None:
        options = load_for_start(os.environ, flags=server_flags)
        rows = option_rows(options, changed=changed, names=names)
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

    def _compare(self, source: str) -> str:
        """Lists the differences. Raises: CommandError if there are any."""
        try:
            answer = orjson.loads(_answer(source))
            found = differences(answer)
        except OTHER_FORM:
            raise CommandError(f"{source} is not a configuration of Coder.") from None
        for each in found:
            self.row("\n".join(lines([each])), **asdict(each))
        if found:
            raise CommandError(f"{plural(len(found), 'difference')} between Coder and coderapi.")
        return f"{plural(len(answer['options']), 'option')}, no differences"

    def _complain(self, *lines: object) -> None:
        for line in lines:
            self.stderr.write(str(line))


def _checked(files: Sequence[str]) -> str:
    if not files:
        raise UsageError("Name the files to check after --check.")
    if errors := mistakes_in(files):
        raise ConfigurationError(errors)
    return "\n".join(f"{file}: no mistakes" for file in files)


def _answer(source: str) -> bytes:
    """Returns the response in a file, on standard input, or from a running Coder."""
    if source.startswith(("http://", "https://")):
        return _requested(source)
    try:
        with sys.stdin.buffer if source == "-" else Path(source).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{source} cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise CommandError(f"{source} is larger than 4 MiB.")
    return content


def _requested(url: str) -> bytes:
    token = os.environ.get(TOKEN) or _own_token(url)
    if not token:
        raise UsageError(f"Set {TOKEN} to a session token of an owner or auditor of Coder.")
    headers = {
        "Accept": "application/json",
        SESSION_TOKEN: token,
        WIRE_FORMAT: "coderd",
    }
    try:
        outgoing = Outgoing(
            url.rstrip("/") + CONFIG,
            headers,
            networks=None,
            max_bytes=MAX_BYTES,
            max_redirects=0,
        )
        reply = send(outgoing, seconds=SECONDS)
    except OutgoingError as error:
        raise CommandError(f"{error}.") from None
    if reply.status != HTTPStatus.OK:
        raise CommandError(f"{redacted(url)} returned status {reply.status} for {CONFIG}.")
    return reply.body


def _own_token(url: str) -> str:
    """Returns CODERAPI_CODER_TOKEN, if the URL is CODERAPI_CODER_URL."""
    options = load(os.environ)
    is_same = url.rstrip("/") == str(options["CODERAPI_CODER_URL"]).rstrip("/")
    return str(options["CODERAPI_CODER_TOKEN"]) if is_same else ""
