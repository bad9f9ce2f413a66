"""The files that rows are taken in from: opened by their names, and remembered while under way."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, NamedTuple, cast

from deployment.stats.models import FileImport
from deployment.stats.records import FileError

STANDARD_INPUT = "-"
FINGERPRINT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file's contents, and the file itself: how far that is read says how much is left."""

    contents: BinaryIO
    raw: BinaryIO
    size: int | None


@contextmanager
def opened(file: str) -> Iterator[OpenFile]:
    """The file of that name, or standard input; unpacked where its name ends in .gz or .zst.

    Raises: FileError, OSError.
    """
    if file == STANDARD_INPUT:
        own = _standard_input()
        yield OpenFile(own, own, None)
        return
    path = Path(file)
    with path.open("rb") as raw:
        size = path.stat().st_size if path.is_file() else None
        with _unpacked(raw, suffix=path.suffix) as contents:
            yield OpenFile(contents, raw, size)


def _standard_input() -> BinaryIO:
    """A reader of our own: Python waits at its end for who reads its own one, perhaps for ever."""
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except OSError:
        return sys.stdin.buffer  # It is no file of the system's.


def _unpacked(raw: BinaryIO, *, suffix: str) -> BinaryIO:
    if suffix == ".gz":
        return cast("BinaryIO", io.BufferedReader(gzip.GzipFile(fileobj=raw)))
    if suffix == ".zst":
        return _unpacked_zst(raw)
    return raw


def _zstd() -> ModuleType | None:
    """Python has zstd since 3.14; before, a package of the same interface brings it."""
    for module in ("compression.zstd", "backports.zstd"):
        with suppress(ModuleNotFoundError):
            return importlib.import_module(module)
    return None


ZSTD = _zstd()
# What reading raises: there is no file, it ends too soon, it is not packed as its name says.
BROKEN_FILE = (OSError, EOFError, zlib.error, *([ZSTD.ZstdError] if ZSTD else []))


def _unpacked_zst(raw: BinaryIO) -> BinaryIO:
    if ZSTD is None:
        raise FileError("To read .zst files, install backports.zstd.")
    return cast("BinaryIO", io.BufferedReader(ZSTD.ZstdFile(raw)))


def is_csv(file: str) -> bool:
    return ".csv" in Path(file).suffixes


class Mark(NamedTuple):
    """How far a file is in: so many records, and the checksum of these."""

    records: int = 0
    checksum: int = 0


class Progress:
    """How far a file is in: kept, so that an import that stopped goes on from there.

    A file is known by how it begins, so that it may be moved. Standard input is not known.
    """

    def __init__(self, file: str, *, kind: str) -> None:
        self._key = "" if file == STANDARD_INPUT else fingerprint(Path(file), kind=kind)

    def mark(self) -> Mark:
        """How far it came before."""
        known = FileImport.objects.filter(fingerprint=self._key).first()
        return Mark(known.records, known.checksum) if known else Mark()

    def keep(self, mark: Mark, *, now: datetime) -> None:
        if self._key:
            figures = {**mark._asdict(), "updated_at": now}
            FileImport.objects.update_or_create(fingerprint=self._key, defaults=figures)

    def finish(self) -> None:
        FileImport.objects.filter(fingerprint=self._key).delete()


def fingerprint(path: Path, *, kind: str) -> str:
    with path.open("rb") as file:
        beginning = file.read(FINGERPRINT_BYTES) if path.is_file() else b""
    return hashlib.sha256(kind.encode() + beginning).hexdigest()
