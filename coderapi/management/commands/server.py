from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from coderapi.bootstrap import BOUND_URL, server_flags
from coderapi.server.addresses import AddressError, Listener, claim_all
from coderapi.server.certificates import CertificateError
from coderapi.server.children import Orders
from coderapi.server.command import ServerCommand, private_database_watched
from coderapi.server.migrating import MigrationError, bring_up_to_date
from coderapi.server.prometheus import metrics_role
from coderapi.server.supervisor import Supervisor
from deployment.history import record_start, warn_of_options
from experiments.selectors import warn_of_unknown_experiments
from kernel.datadir import DataDirectoryError, write_private
from kernel.db.connections import discard_pool
from kernel.release import PROGRAM
from options.written_config import yaml_document
from tokens.services import ensure_first_owner
from users.selectors import user_exists

if TYPE_CHECKING:
    from tokens.services import FirstOwner

logger = logging.getLogger(__name__)

FIRST_OWNER_FILE = "first-owner.txt"
NOBODY = (
    "Nobody can sign in yet, and whoever sends POST /api/v2/users/first becomes the owner. "
    f"Make one with `{PROGRAM} create_admin_user`, or start with CODERAPI_FIRST_OWNER_USERNAME."
)


class Command(ServerCommand):
    help = (
        "Migrates the database, serves HTTP and runs the jobs, until SIGTERM or Ctrl-C. Takes "
        "every option of Coder's server as a flag, a variable or from the YAML file of -c. "
        f"`{PROGRAM} options` shows their values, and those of this service's own settings."
    )
    examples = (
        "--http-address 0.0.0.0:3000 --access-url https://coder.example.com\n"
        "--config coder.yaml --web-only"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--web-only",
            action="store_true",
            help=f"serve HTTP without the jobs; `{PROGRAM} worker` runs them elsewhere",
        )

    def handle(self, *, web_only: bool, **options: Any) -> str | None:
        if settings.OPTIONS["write_config"]:
            return yaml_document(settings.OPTIONS).rstrip("\n")
        now = timezone.now()
        try:
            listeners = claim_all(now)
            bring_up_to_date()
            make_first_owner(data_dir=settings.DATA_DIR, now=now)
        except (AddressError, CertificateError, MigrationError, DataDirectoryError) as error:
            raise CommandError(str(error)) from error
        record_start(settings.CONFIG_SNAPSHOT, now=now)
        discard_pool()
        _say_what_starts(listeners)
        # The address that was bound is known only here, and is what an unset access URL means.
        os.environ[BOUND_URL] = listeners[-1].reachable_url
        sys.exit(_supervise(listeners, roles(listeners, web_only=web_only)))


def _supervise(listeners: Sequence[Listener], children: dict[str, tuple[str, Orders]]) -> int:
    """Returns the exit status, once every child has ended."""
    try:
        with metrics_role() as metrics, private_database_watched():
            return Supervisor(listeners, roles=children | metrics).run()
    except AddressError as error:
        raise CommandError(f"CODER_PROMETHEUS_ADDRESS: {error}") from error


def _say_what_starts(listeners: Sequence[Listener]) -> None:
    warn_of_options()
    warn_of_unknown_experiments()
    logger.info(
        "Starting on %s with data directory %s and the %s wire",
        " and ".join(listener.url for listener in listeners),
        settings.DATA_DIR,
        settings.WIRE,
    )


def roles(listeners: Sequence[Listener], *, web_only: bool) -> dict[str, tuple[str, Orders]]:
    """Returns the children by name: each one's module, and its orders."""
    jobs: Orders = {"flags": server_flags()}
    return {
        **{listener.name: ("coderapi.server.http", listener.orders()) for listener in listeners},
        **({} if web_only else {"jobs": ("coderapi.server.worker", jobs)}),
    }


@transaction.atomic
def make_first_owner(*, data_dir: Path, now: datetime) -> None:
    """Makes the first owner if one is asked for, and shows name, password and token once.

    Raises: DataDirectoryError when they cannot be kept; then there is no owner either.
    """
    owner = ensure_first_owner(now=now)
    if owner is None:
        if not user_exists():
            logger.warning(NOBODY)
        return
    if sys.stdout.isatty():
        sys.stdout.write(credentials(owner))
        sys.stdout.flush()
        return
    path = data_dir / FIRST_OWNER_FILE
    write_private(path, credentials(owner))
    logger.info("The first owner's password and session token are in %s", path)


def credentials(owner: FirstOwner) -> str:
    return (
        "The first owner, shown once:\n"
        f"  username       {owner.username}\n"
        f"  password       {owner.password}\n"
        f"  session token  {owner.token}\n"
    )
