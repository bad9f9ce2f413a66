"""What the two import commands share: the progress bar, the bad records set aside, going on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, ClassVar

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from deployment.stats.import_files import STANDARD_INPUT, OpenFile, Progress, is_csv, opened
from deployment.stats.importing import (
    ImportCounts,
    import_records,
    seldom_collecting_and_soon_switching,
)
from deployment.stats.ingest import MEMBERS
from deployment.stats.outcome import Rejection
from deployment.stats.records import FileError, Record, csv_records, json_records


class RejectedRecords:
    """The file that bad records are written to; made when the first one comes."""

    def __init__(self, path: Path, *, append: bool) -> None:
        self.path = path
        self._append = append
        self._file: IO[str] | None = None

    def add(self, rejection: Rejection, text: bytes) -> None:
        if self._file is None:
            self._file = self.path.open("a" if self._append else "w", encoding="utf-8")
        entry = {
            "line": rejection.row,
            "field": rejection.field,
            "detail": rejection.detail,
            "text": text.decode("utf-8", "replace").rstrip("\r\n"),
        }
        self._file.write(orjson.dumps(entry).decode() + "\n")

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class ImportCommand(BaseCommand):
    kind: ClassVar[str]
    things: ClassVar[str]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file",
            help="JSON lines, or CSV with a header where the name says .csv; unpacked where it "
            "ends in .gz or .zst; - is standard input.",
        )
        parser.add_argument(
            "--rejected",
            type=Path,
            help="Where bad lines go, with number and reason; FILE.rejected by default.",
        )
        parser.add_argument(
            "--restart",
            action="store_true",
            help="Begins anew, though the file was taken in up to some line before.",
        )

    def handle(self, *, file: str, rejected: Path | None, restart: bool, **options: Any) -> str:
        try:
            progress = Progress(file, kind=self.kind)
            done = 0 if restart else progress.done()
            bad = RejectedRecords(rejected or _beside(file), append=done > 0)
            with opened(file) as source:
                counts = self._import(source, file, progress=progress, done=done, bad=bad)
        except FileError as error:
            raise CommandError(f"{file}: {error}") from None
        except (OSError, EOFError) as error:
            raise CommandError(f"{file}: {getattr(error, 'strerror', None) or error}.") from None
        summary = self._summary(counts, bad.path, done=done)
        if counts.rejected and not counts.accepted and not counts.duplicate:
            raise CommandError(f"Nothing was taken in. {summary}")
        return summary

    def _import(
        self,
        source: OpenFile,
        file: str,
        *,
        progress: Progress,
        done: int,
        bad: RejectedRecords,
    ) -> ImportCounts:
        with _bar(source, file) as bar:

            def advance(records: int) -> None:
                nonlocal done
                done += records
                bad.flush()
                progress.keep(done, now=timezone.now())
                bar.update(records if source.size is None else source.raw.tell() - bar.n)

            try:
                with seldom_collecting_and_soon_switching():
                    counts = import_records(
                        itertools.islice(self._records(source, file), done, None),
                        kind=self.kind,
                        clock=timezone.now,
                        advance=advance,
                        set_aside=bad.add,
                    )
            finally:
                bad.close()
        progress.finish()
        return counts

    def _records(self, source: OpenFile, file: str) -> Iterator[Record]:
        if is_csv(file):
            return csv_records(source.contents, members=MEMBERS[self.kind])
        return json_records(source.contents)

    def _summary(self, counts: ImportCounts, rejected: Path, *, done: int) -> str:
        before = f"{done} lines were in before. " if done else ""
        summary = (
            f"{before}{counts.accepted} {self.things} taken in, "
            f"{counts.duplicate} known already, {counts.rejected} bad"
        )
        return f"{summary} (see {rejected})." if counts.rejected else f"{summary}."


def _beside(file: str) -> Path:
    return Path("stdin.rejected" if file == STANDARD_INPUT else f"{file}.rejected")


def _bar(source: OpenFile, file: str) -> tqdm[Any]:
    """A progress bar, on a terminal: by bytes where the size is known, else by records."""
    return tqdm(
        total=source.size,
        unit=" lines" if source.size is None else "B",
        unit_scale=True,
        desc=Path(file).name,
        disable=None,
    )
