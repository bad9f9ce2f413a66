from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from csp.importing.files import import_reports
from kernel.lines import (
    BadLines,
    LinesError,
    Progress,
    beside,
    failures_named,
    opened,
    records,
)


class Command(BaseCommand):
    help = (
        "Takes in CSP reports from a file of JSON lines, each as any browser sends it, with "
        "received_at and coder_version beside it if they are known. Given the same file again, "
        "which may have grown, goes on where it ended."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file",
            metavar="FILE",
            help="The file, unpacked where its name ends in .gz or .zst, or - for standard input.",
        )
        parser.add_argument(
            "--bad-lines",
            type=Path,
            metavar="PATH",
            help="Bad lines and items are added here, with number and reason: by default to "
            f"FILE.rejected, and to {beside('-')} for standard input.",
        )

    def handle(self, *args: Any, file: str, bad_lines: Path | None, **options: Any) -> str:
        try:
            with (
                failures_named(file),
                opened(file) as source,
                BadLines(bad_lines or beside(file), source=source, append=True) as bad,
                Progress(source) as progress,
            ):
                if source.is_csv:
                    raise LinesError("CSP reports are taken in from JSON lines, not from CSV.")
                counts = import_reports(
                    records(source, columns=()),
                    advance=progress.advance,
                    set_aside=bad.add,
                )
        except LinesError as error:
            raise CommandError(str(error)) from None
        return f"{counts} See {bad.path}." if bad.count else str(counts)
