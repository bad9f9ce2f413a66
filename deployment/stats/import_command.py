"""What the two import commands share: the file, the progress bar, the bad lines set aside."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, TextIO

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from deployment.stats.importing import ImportCounts, import_lines
from deployment.stats.outcome import Rejection

STANDARD_INPUT = "-"


class RejectedLines:
    """The file that bad lines are written to; made when the first one comes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def add(self, rejection: Rejection, text: bytes) -> None:
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8")
        shown = text.decode("utf-8", "replace").rstrip("\r\n")
        entry = {
            "line": rejection.row,
            "field": rejection.field,
            "detail": rejection.detail,
            "text": shown,
        }
        self._file.write(orjson.dumps(entry).decode() + "\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class ImportCommand(BaseCommand):
    kind: ClassVar[str]
    things: ClassVar[str]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="The file of JSON lines, or - for standard input.")
        parser.add_argument(
            "--rejected",
            type=Path,
            help="Where bad lines go, with number and reason; FILE.rejected by default.",
        )

    def handle(self, *, file: str, rejected: Path | None, **options: Any) -> str:
        bad = RejectedLines(rejected or _beside(file))
        try:
            with _opened(file) as source, _bar(file) as bar:
                counts = import_lines(
                    source,
                    kind=self.kind,
                    clock=timezone.now,
                    advance=lambda lines, size: bar.update(lines if bar.total is None else size),
                    set_aside=bad.add,
                )
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.") from None
        finally:
            bad.close()
        return self._summary(counts, bad.path)

    def _summary(self, counts: ImportCounts, rejected: Path) -> str:
        summary = (
            f"{counts.accepted} {self.things} taken in, {counts.duplicate} known already, "
            f"{counts.rejected} bad"
        )
        return f"{summary} (see {rejected})." if counts.rejected else f"{summary}."


def _beside(file: str) -> Path:
    return Path("stdin.rejected" if file == STANDARD_INPUT else f"{file}.rejected")


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    with Path(file).open("rb") as source:
        yield source


def _bar(file: str) -> tqdm[Any]:
    """A progress bar, on a terminal: by bytes where the size is known, else by lines."""
    path = Path(file)
    sized = file != STANDARD_INPUT and path.is_file()
    return tqdm(
        total=path.stat().st_size if sized else None,
        unit="B" if sized else " lines",
        unit_scale=True,
        desc=path.name,
        disable=None,
    )
