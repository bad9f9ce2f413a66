from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from csp.importing import Line, import_reports


class Command(BaseCommand):
    help = (
        "Takes in CSP reports from a file of JSON lines, each as any browser sends it, with a "
        "received_at beside it if it is known. Given the same file again, goes on where it ended."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="The file, or - for standard input.")
        parser.add_argument(
            "--bad-lines", type=Path, help="Where bad lines go; beside FILE by default."
        )

    def handle(self, *args: Any, file: str, bad_lines: Path | None, **options: Any) -> str:
        with ExitStack() as stack:
            source, size = _opened(file, stack)
            bar = stack.enter_context(
                tqdm(total=size, unit="B", unit_scale=True, disable=None, file=sys.stderr)
            )
            aside = _SetAside(bad_lines or _beside(file), stack)
            counts = import_reports(
                source, clock=timezone.now, advance=bar.update, set_aside=aside.add
            )
        return str(counts) + (f" The bad lines are in {aside.path}." if counts.bad else "")


def _opened(file: str, stack: ExitStack) -> tuple[BinaryIO, int | None]:
    if file == "-":
        return sys.stdin.buffer, None
    try:
        source = stack.enter_context(Path(file).open("rb"))  # noqa: SIM115 - the stack closes it
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from None
    return source, Path(file).stat().st_size


def _beside(file: str) -> Path:
    return Path("bad-csp-reports.jsonl" if file == "-" else f"{file}.bad")


class _SetAside:
    """A file of bad lines as they stand, made when the first one comes."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        self._stack = stack
        self._file: BinaryIO | None = None

    def add(self, line: Line, why: str) -> None:
        if self._file is None:
            self._file = self._stack.enter_context(self.path.open("wb"))
        self._file.write(line.text.rstrip(b"\n") + b"\n")
        sys.stderr.write(f"line {line.number}: {why}\n")
