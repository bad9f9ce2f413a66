from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from coderapi.server.signals import run_until_signalled
from jobs.worker import work


class Command(BaseCommand):
    help = (
        "Runs the jobs that are due, until SIGTERM or Ctrl-C; a job under way is finished first. "
        "Any number of workers may run. Takes Coder's flags as `manage.py server` does."
    )
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, allow_abbrev=False, **kwargs)

    def handle(self, **options: Any) -> None:
        run_until_signalled(work)
