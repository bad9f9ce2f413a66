from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from jobs import registry
from jobs.services import run_job
from kernel.commands import BaseCommand
from kernel.text.humanize import plural


class Command(BaseCommand):
    help = "Runs one job now, even if it is not due, and records the run."
    examples = "prune_api_keys"

    def add_arguments(self, parser: CommandParser) -> None:
        names = [job.name for job in registry.all_jobs()]
        about = f"one of {', '.join(names)}"
        parser.add_argument("name", metavar="NAME", choices=names, help=about)

    def handle(self, *, name: str, **options: Any) -> str:
        run = run_job(registry.find(name), timezone.now())
        if run is None:
            raise CommandError(f"Job {name} is already running.")
        if run.failed:
            raise CommandError(f"Job {name} failed: {run.error}")
        rows = "done" if run.affected_rows is None else plural(run.affected_rows, "row")
        return f"Job {name}: {rows}. {run.summary}".rstrip()
