"""What the two import commands share: the progress bar, the bad records set aside, going on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import IO, Any, ClassVar

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from deployment.stats.import_files import (
    BROKEN_FILE,
    STANDARD_INPUT,
    Mark,
    OpenFile,
    Progress,
    is_csv,
    opened,
)
from deployment.stats.importing import (
    ImportCounts,
    import_records,
    seldom_collecting_and_soon_switching,
)
from deployment.stats.ingest import MEMBERS
from deployment.stats.outcome import Rejection
from deployment.stats.reading_ahead import checksum
from deployment.stats.records import FileError, Record, csv_records, json_records


class AnotherFileError(Exception):
    """A file that no longer begins with what was taken in of it."""


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
        if rejected and not rejected.parent.is_dir():
            raise CommandError(f"{rejected}: there is no directory {rejected.parent}.")
        aside = rejected or _beside(file)
        try:
            progress = Progress(file, kind=self.kind)
            mark = Mark() if restart else progress.mark()
            try:
                return self._import(file, aside, progress=progress, mark=mark)
            except AnotherFileError:
                self.stderr.write(f"{file} has changed since an import stopped: it begins anew.")
                return self._import(file, aside, progress=progress, mark=Mark())
        except KeyboardInterrupt:
            raise CommandError("Stopped. Given once more, a file goes on from there.") from None
        except FileError as error:
            raise CommandError(f"{file}: {error}") from None
        except BROKEN_FILE as error:
            name = getattr(error, "filename", None) or file
            raise CommandError(f"{name}: {getattr(error, 'strerror', None) or error}.") from None

    def _import(self, file: str, aside: Path, *, progress: Progress, mark: Mark) -> str:
        """Takes in what is after the mark; what became of it. Raises: AnotherFileError."""
        bad = RejectedRecords(aside, append=mark.records > 0)
        with opened(file) as source, closing(bad):
            records = self._records(source, file)
            if mark.records and checksum(islice(records, mark.records)) != mark.checksum:
                raise AnotherFileError
            counts = self._take_in(records, source, file, progress=progress, mark=mark, bad=bad)
        summary = self._summary(counts, aside, done=mark.records)
        if counts.rejected and not counts.accepted and not counts.duplicate:
            raise CommandError(f"Nothing was taken in. {summary}")
        return summary

    def _take_in(
        self,
        records: Iterator[Record],
        source: OpenFile,
        file: str,
        *,
        progress: Progress,
        mark: Mark,
        bad: RejectedRecords,
    ) -> ImportCounts:
        done = mark.records
        with _bar(source, file) as bar:

            def advance(number: int, checksum: int) -> None:
                nonlocal done
                done += number
                bad.flush()
                progress.keep(Mark(done, checksum), now=timezone.now())
                bar.update(number if source.size is None else source.raw.tell() - bar.n)

            with seldom_collecting_and_soon_switching():
                counts = import_records(
                    records,
                    kind=self.kind,
                    clock=timezone.now,
                    advance=advance,
                    set_aside=bad.add,
                    checksum=mark.checksum,
                )
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
