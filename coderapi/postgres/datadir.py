"""The data directory: it contains the private database and the secrets of this host."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from coderapi.postgres.account import PostgresError
from kernel.release import PROGRAM

VARIABLE = "CODERAPI_DATA_DIR"
SYSTEM_WIDE = Path("/var/lib/coderapi")

# The prefixes of the names of this service's files.
OURS = ("postgres.", "secret_key", "first-owner.txt", "embedded-postgres-")

# If this process runs as root, PostgreSQL runs as another account. This account may enter the
# directory, but not list it.
PRIVATE, PASSABLE = 0o700, 0o711


def data_dir(environ: Mapping[str, str]) -> Path:
    """Returns the absolute path of the data directory. The directory may not exist yet.

    Raises: PostgresError if the path depends on the home directory, and it is unknown.
    """
    shared = Path(environ.get("XDG_DATA_HOME", ""))
    try:
        if named := environ.get(VARIABLE):
            return Path(named).expanduser().absolute()
        if os.geteuid() == 0:
            return SYSTEM_WIDE
        # The XDG specification says to ignore relative paths.
        return (shared if shared.is_absolute() else Path.home() / ".local/share") / "coderapi"
    except RuntimeError as error:
        raise PostgresError(
            f"The home directory for the data is unknown. Set {VARIABLE} to a directory."
        ) from error


def ensure(path: Path) -> Path:
    """Returns the directory. If it is missing, creates it with mode PRIVATE, or PASSABLE for root.

    Raises: PostgresError if the directory cannot be created or written, or if it has the files
    of another program.
    """
    mode = PASSABLE if os.geteuid() == 0 else PRIVATE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=mode)
            path.chmod(mode)
    except OSError as error:
        raise PostgresError(_unusable(path, f"cannot be created ({error.strerror})")) from error
    _check(path)
    return path


def existing(path: Path) -> Path:
    """Returns the directory. Raises: PostgresError unless it has data of this service."""
    if os.path.lexists(path) and _check(path):
        return path
    raise PostgresError(
        f"Data directory: {path} does not exist, or is empty. `{PROGRAM} server` or `{PROGRAM} "
        f"migrate` makes one there. If the data are elsewhere, set {VARIABLE}, or DATABASE_URL for "
        "your own database."
    )


def _check(path: Path) -> bool:
    """Returns whether the directory has data of this service.

    Raises: PostgresError if the directory is unusable.
    """
    if not path.is_dir():
        raise PostgresError(_unusable(path, "is not a directory"))
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        raise PostgresError(_unusable(path, "cannot be written by this user"))
    names = sorted(file.name for file in path.iterdir())
    if any(f"{name}.".startswith(OURS) for name in names):
        return True
    for name in names:
        if not name.startswith(".") and name != "lost+found":
            why = f"holds other files, such as {name}, and no data of this service"
            raise PostgresError(_unusable(path, why))
    return False


def secret(path: Path, name: str, make: Callable[[], str] | None) -> str:
    """Returns the secret in the file `name`. If the file does not exist, calls `make` to create it.

    Raises: PostgresError if the file is missing and `make` is None, if it is empty or is not
    UTF-8, or if it cannot be read or written.
    """
    file = path / name
    try:
        if not file.exists():
            if make is None:
                raise PostgresError(
                    f"{file} is missing. Restore it from a backup, or run `{PROGRAM} server` to "
                    "create a new one. All users must then sign in to the admin again."
                )
            _publish(file, f"{make()}\n")
        kept = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise PostgresError(_unusable(file, f"fails ({error.strerror})")) from error
    except UnicodeDecodeError:
        kept = ""
    if not kept:
        raise PostgresError(f"{file} is empty or not UTF-8. Remove it to get a new secret.")
    return kept


def give_to_owner(path: Path, descriptor: int) -> None:
    """Gives an open file to the owner of its directory if this process runs as root."""
    if os.geteuid() == 0:
        owner = path.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def write_private(file: Path, text: str) -> None:
    """Writes or replaces a file that only this user can read. Raises: PostgresError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _publish(file, text, replaces=True)
    except OSError as error:
        raise PostgresError(_unusable(file, f"fails ({error.strerror})")) from error


def _publish(file: Path, text: str, *, replaces: bool = False) -> None:
    """Creates the file with its complete text and the mode 0600.

    If `replaces` is false, does nothing if another process has created the file first.
    """
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        give_to_owner(file.parent, descriptor)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if replaces:
            draft.replace(file)
            return
        # A link never replaces an existing file. A rename would replace the secret, which another
        # process may already use.
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink(missing_ok=True)


def _unusable(path: Path, why: str) -> str:
    return f"Data directory: {path} {why}. Correct this, or set {VARIABLE} to another directory."
