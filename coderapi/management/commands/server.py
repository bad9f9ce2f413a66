from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from coderapi.server.command import ServerCommand
from kernel.release import PROGRAM
from options.written_config import yaml_document


class Command(ServerCommand):
    help = (
        "Migrates the database, serves HTTP and runs the jobs until SIGTERM or Ctrl-C. You can set "
        "every option of Coder's server with a flag, an environment variable or the YAML file of "
        f"--config. `{PROGRAM} options` shows the values of all options and settings."
    )
    examples = (
        "--http-address 0.0.0.0:3000 --access-url https://coder.example.com\n"
        "--config coder.yaml --web-only"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--web-only",
            action="store_true",
            help=f"serve only HTTP; run the jobs in another process with `{PROGRAM} worker`",
        )

    def handle(self, *, web_only: bool, **options: Any) -> str | None:
        if settings.OPTIONS["write_config"]:
            return yaml_document(settings.OPTIONS).rstrip("\n")
        # Imported here, so that `--help` does not import the application.
        from coderapi.server.start import run_server

        sys.exit(run_server(web_only=web_only))
