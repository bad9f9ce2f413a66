from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from coderapi import generated
from kernel.commands import BaseCommand
from kernel.humanize import plural


class Command(BaseCommand):
    help = (
        "Generates documents from the code, such as docs/openapi.yml. With --check, writes no "
        "files. Instead, compares the files with the code, and fails if they differ."
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
            help="the directory of the project (default: the current directory)",
        )
        parser.add_argument(
            "--check", action="store_true", help="only compare the files with the code"
        )

    def handle(self, *, directory: Path, check: bool, **options: Any) -> str:
        if not check:
            return "\n".join(f"wrote {path}" for path in generated.write(directory))
        if differences := list(generated.differences(directory)):
            self.stdout.write("\n".join(differences))
            raise CommandError("The documents differ from the code. Run `make docs`.")
        return f"{plural(len(generated.DOCUMENTS), 'document')} checked, no differences"
