from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from csp.import_items import Refused
from csp.import_lines import Line
from csp.importing import ImportRunningError, import_reports


def _beside(file: str) -> Path:
    return Path("bad-csp-reports.jsonl" if file == "-" else f"{file}.bad")


class Command(BaseCommand):
    help = (
        "Takes in CSP reports from a file of JSON lines, each as any browser sends it, with "
        "received_at and coder_version beside it if they are known. Given the same file again, "
        "which may have grown, goes on where it ended."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="The file, or - for standard input.")
        parser.add_argument(
            "--bad-lines",
            type=Path,
            metavar="PATH",
            help="What bad lines and items are added to: FILE.bad by default, and "
            f"{_beside('-')} for standard input.",
        )

    def handle(self, *args: Any, file: str, bad_lines: Path | None, **options: Any) -> str:
        with ExitStack() as stack:
            source, size = _opened(file, stack)
            bar = stack.enter_context(
                tqdm(total=size, unit="B", unit_scale=True, disable=None, file=sys.stderr)
            )
            aside = _SetAside(bad_lines or _beside(file), stack, source=source)
            try:
                counts = import_reports(
                    source, clock=timezone.now, advance=bar.update, set_aside=aside.add
                )
            except ImportRunningError as error:
                raise CommandError(str(error)) from None
        added = f" What was set aside was added to {aside.path}." if counts.invalid else ""
        return f"{counts}{added}"


def _opened(file: str, stack: ExitStack) -> tuple[BinaryIO, int | None]:
    if file == "-":
        return sys.stdin.buffer, None
    try:
        source = stack.enter_context(Path(file).open("rb"))  # noqa: SIM115 - the stack closes it
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from None
    return source, Path(file).stat().st_size


class _SetAside:
    """What could not be taken in, as it stands: added to a file that is opened when it comes."""

    def __init__(self, path: Path, stack: ExitStack, *, source: BinaryIO) -> None:
        self.path = path
        self._stack = stack
        self._source = source
        self._file: BinaryIO | None = None

    def add(self, line: Line, refused: Refused) -> None:
        file = self._file = self._file or self._open()
        if refused.text is None:
            line.write_to(file)
        else:
            file.write(refused.text + b"\n")
        # It must be there before the line is committed, as no later run looks at that again.
        file.flush()
        sys.stderr.write(f"line {line.number}: {refused.why}\n")

    def _open(self) -> BinaryIO:
        try:
            file = self._stack.enter_context(self.path.open("ab"))
        except OSError as error:
            raise CommandError(f"{self.path}: {error.strerror}") from None
        if os.path.sameopenfile(file.fileno(), self._source.fileno()):
            raise CommandError(f"{self.path} is being read; give another file as --bad-lines.")
        return file
