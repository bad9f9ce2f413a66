"""Shows the credentials of the first owner once, to whoever starts the server."""

from __future__ import annotations

import logging
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tokens.services import ensure_first_owner

if TYPE_CHECKING:
    from tokens.services import FirstOwner

logger = logging.getLogger(__name__)

FILE_NAME = "first-owner.txt"


def make_first_owner(*, data_dir: Path, now: datetime) -> None:
    """Makes the first owner where one is asked for, and shows name, password and token."""
    owner = ensure_first_owner(now=now)
    if owner is None:
        return
    if sys.stdout.isatty():
        sys.stdout.write(credentials(owner))
        sys.stdout.flush()
        return
    path = data_dir / FILE_NAME
    write_private(path, credentials(owner))
    logger.info("The first owner's password and session token are in %s", path)


def credentials(owner: FirstOwner) -> str:
    return (
        "The first owner, shown once:\n"
        f"  username       {owner.username}\n"
        f"  password       {owner.password}\n"
        f"  session token  {owner.token}\n"
    )


def write_private(path: Path, text: str) -> None:
    """Writes a file that only this user can read, whatever was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
