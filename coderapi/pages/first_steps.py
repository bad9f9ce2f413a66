"""Creates the first owner, and lists the steps for an operator after the first start.

The database and the settings show which steps are done, so this is not stored. If a user dismisses
the list, a cookie hides it in this browser.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import transaction
from django.dispatch import receiver
from django.urls import reverse

from audit.models import Entry
from coderapi.postgres.datadir import write_private
from csp.access.page_headers import headers_by_origin
from csp.models import IngestKey
from kernel.http.errors import APIError
from kernel.release import PROGRAM
from stats.models import NewestAgentStat, WorkspaceState
from tokens.services import NewKey, ensure_first_owner
from users.models import User
from users.selectors import user_exists
from users.services import password_changed

logger = logging.getLogger(__name__)

FIRST_OWNER_FILE = "first-owner.txt"
_USERNAME_LINE = "  username       {}\n"
# The number of ingest keys whose headers are shown.
MAX_KEYS = 5
DISMISSED_COOKIE = "coderapi_first_steps"
NO_USER = (
    "No user exists yet. The first caller of POST /api/v2/users/first becomes the owner. "
    f"To prevent that, run `{PROGRAM} create_user --role owner`, or set "
    "CODERAPI_FIRST_OWNER_USERNAME and start again."
)

# --- The first owner --------------------------------------------------------------------------


@transaction.atomic
def make_first_owner(*, data_dir: Path, now: datetime) -> None:
    """Creates the first owner with the configured username, and shows the credentials once.

    The password and the session token are printed if the output is a terminal. Otherwise they are
    written to a file in the data directory. Beside a Coder deployment, no owner is created: the
    owners are those of Coder.

    Raises: PostgresError if the file cannot be written, CommandError if a setting of the first
    owner is not valid. In these cases no owner is created.
    """
    if settings.USER_SOURCE == "coder":
        return
    try:
        made = ensure_first_owner(now=now)
    except APIError as error:
        # The fields of a user have the names of the settings.
        problems = (f"{each.field.upper()}: {each.detail}" for each in error.validations)
        raise CommandError("\n".join(f"CODERAPI_FIRST_OWNER_{each}" for each in problems)) from None
    if made is None:
        if not user_exists():
            logger.warning(NO_USER)
        return
    if sys.stdout.isatty():
        sys.stdout.write(_credentials(*made))
        sys.stdout.flush()
        return
    path = data_dir / FIRST_OWNER_FILE
    write_private(path, _credentials(*made))
    given = "" if settings.FIRST_OWNER_PASSWORD else "password and "
    logger.info(
        "The first owner's %ssession token are in %s"
        if given
        else "The first owner's %ssession token is in %s",
        given,
        path,
    )


def _credentials(key: NewKey, password: str) -> str:
    # A given password is not copied to a terminal or file.
    password, owner = password or "as in CODERAPI_FIRST_OWNER_PASSWORD", key.key.user
    return (
        "The first owner's credentials. They are shown only once:\n"
        f"{_USERNAME_LINE.format(owner.username)}"
        f"  e-mail         {owner.email}\n"
        f"  password       {password}\n"
        f"  session token  {key.token}\n"
    )


@receiver(password_changed)
def remove_first_owner_file(user: User, **more: Any) -> None:
    """Removes the file with the user's first credentials, because the password has changed."""
    transaction.on_commit(partial(_remove, settings.DATA_DIR / FIRST_OWNER_FILE, user.username))


def _remove(path: Path, username: str) -> None:
    try:
        if _USERNAME_LINE.format(username) in path.read_text(encoding="utf-8"):
            path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        logger.warning("%s cannot be removed: %s", path, error.strerror)


# --- The steps --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """A step. `page` is the URL name of the page for this step. `lines` are lines to copy.

    Beside a Coder deployment, a step that is `standalone` is left out.
    """

    title: str
    done: bool
    hint: str
    page: str = ""
    lines: Sequence[str] = ()
    standalone: bool = False

    @property
    def link(self) -> str:
        return reverse(self.page) if self.page else ""


def first_steps() -> list[Step]:
    """Returns the steps in the recommended order."""
    has_stats = NewestAgentStat.objects.exists() or WorkspaceState.objects.exists()
    # The first run of the job reads Coder's database.
    has_stats = has_stats or bool(settings.CODER_DATABASE_URL)
    steps = [
        Step(
            "Change the first owner's password",
            _has_own_password(),
            "The password was generated at the first start. Changing it also revokes the session "
            "token that was shown.",
            "admin:password_change",
            standalone=True,
        ),
        Step(
            "Set the access URL",
            bool(str(settings.OPTIONS["access_url"])),
            "Set CODER_ACCESS_URL to the URL that clients use, such as https://coder.example.com, "
            "and restart the server.",
        ),
        _ingest_key(),
        Step(
            "Send data for the deployment stats",
            has_stats,
            "Set CODERAPI_CODER_DATABASE_URL to the URL of Coder's database, or send the data with "
            "POST /api/coderapi/v1/stats/agent-rows.",
        ),
        Step(
            "Open the charts",
            has_stats,
            "The charts show workspaces, sessions, latency and traffic.",
            "admin:stats_snapshot_timelines",
        ),
    ]
    return [step for step in steps if settings.USER_SOURCE == "own" or not step.standalone]


def _ingest_key() -> Step:
    keys = list(IngestKey.objects.filter(retired_at=None).order_by("-created_at")[: MAX_KEYS + 1])
    shown = [(key.value, key.origins) for key in keys[:MAX_KEYS]]
    shown = shown or [("KEY", ["https://coder.example.com"])]
    found = [each for key, origins in shown for each in headers_by_origin(key, origins)]
    lines = []
    for some, headers, _ in found:
        lines += [f"# {', '.join(some)}"] if len(found) > 1 else []
        lines += headers
    hint = (
        "With an ingest key, browsers can report violations without a session. Add these headers "
        "to the pages that you want to monitor."
    )
    notes = list(dict.fromkeys(each.note for each in found if each.note))
    if len(keys) > MAX_KEYS:
        notes.append(f"These are the newest {MAX_KEYS} keys. The others are in the list of keys.")
    return Step(
        "Create an ingest key for CSP reports",
        bool(keys),
        " ".join([hint, *notes]),
        "admin:csp_ingestkey_add",
        lines,
        standalone=True,
    )


def _has_own_password() -> bool:
    """Returns whether the first user's password was chosen, at the first start or later.

    The settings may have changed since the first start, so the audit trail answers this.
    """
    first = User.objects.order_by("created_at").values_list("pk", flat=True).first()
    entries = Entry.objects.filter(target_type="user", target_id=str(first))
    generated = entries.filter(action="user.create", after__contains={"password": "generated"})
    return not generated.exists() or entries.filter(action="user.password").exists()


def log_first_task(address: str) -> None:
    """Logs the first step that is not done. `address` is the URL of this server."""
    if step := next((step for step in first_steps() if not step.done), None):
        what = f"Open {address}{step.link}" if step.page else step.hint
        logger.info("Next step: %s. %s", step.title, what)
