from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from coderapi import generated
from kernel.commands import BaseCommand


class Command(BaseCommand):
    help = (
        "Makes the documents that follow from the code, such as docs/openapi.yml, in the current "
        "directory or another; with --check, shows how the ones there differ from that and fails "
        "when they do."
    )
    examples = "\n--check"
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "directory",
            nargs="?",
            type=Path,
            default=Path(),
            metavar="DIRECTORY",
            help="where; by default here",
        )
        parser.add_argument("--check", action="store_true", help="write nothing, only compare")

    def handle(self, *, directory: Path, check: bool, **options: Any) -> str:
        if not check:
            return "\n".join(f"wrote {path}" for path in generated.write(directory))
        found = list(generated.differences(directory))
        if found:
            self.stdout.write("\n".join(found))
            raise CommandError(f"{directory} is not what the code makes: run `make docs`.")
        return f"{len(generated.DOCUMENTS)} documents are current"
