from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from coderapi.bootstrap import BASE_DIR, BOUND_URL, ENV_FILE, server_flags, unread_env_file
from coderapi.first_steps import log_first_task, make_first_owner
from coderapi.server.addresses import AddressError, Listener, claim_all
from coderapi.server.certificates import CertificateError
from coderapi.server.children import Roles
from coderapi.server.command import ServerCommand, private_database_watched
from coderapi.server.migrating import MigrationError, bring_up_to_date
from coderapi.server.prometheus import metrics_role
from coderapi.server.supervisor import Supervisor
from deployment.history import record_start, warn_of_options
from experiments.selectors import warn_of_unknown_experiments
from kernel.datadir import DataDirectoryError
from kernel.db.connections import discard_pool
from kernel.release import IS_CHECKOUT, PROGRAM
from options.written_config import yaml_document

logger = logging.getLogger(__name__)


class Command(ServerCommand):
    help = (
        "Migrates the database, serves HTTP and runs the jobs until SIGTERM or Ctrl-C. You can set "
        "every option of Coder's server with a flag, an environment variable or the YAML file of "
        f"--config. `{PROGRAM} options` shows the values of all options and settings."
    )
    examples = (
        "--http-address 0.0.0.0:3000 --access-url https://coder.example.com\n"
        "--config coder.yaml --web-only"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--web-only",
            action="store_true",
            help=f"serve only HTTP; run the jobs in another process with `{PROGRAM} worker`",
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
        _log_start(listeners)
        discard_pool()
        # The default access URL is the bound address. Children cannot determine it themselves.
        os.environ[BOUND_URL] = listeners[-1].url
        sys.exit(_supervise(listeners, roles(listeners, web_only=web_only)))


def _supervise(listeners: Sequence[Listener], children: Roles) -> int:
    """Runs the supervisor until all children have ended. Returns the exit status."""
    try:
        with metrics_role() as metrics, private_database_watched():
            return Supervisor(listeners, roles=children | metrics).run()
    except AddressError as error:
        raise CommandError(f"CODER_PROMETHEUS_ADDRESS: {error}") from error


def _log_start(listeners: Sequence[Listener]) -> None:
    warn_of_options()
    warn_of_unknown_experiments()
    env_file = BASE_DIR / ".env"
    if IS_CHECKOUT and unread_env_file(env_file, os.environ):
        logger.warning(
            "The file %s is not used. To use it, set %s to its path.", env_file, ENV_FILE
        )
    logger.info(
        "Starting on %s with data directory %s and the %s wire format",
        " and ".join(f"{listener.url}{listener.note}" for listener in listeners),
        settings.DATA_DIR,
        settings.WIRE,
    )
    log_first_task(settings.ACCESS_URL if settings.OPTIONS["access_url"] else listeners[-1].url)


def roles(listeners: Sequence[Listener], *, web_only: bool) -> Roles:
    """Returns the children that serve HTTP and run the jobs."""
    jobs = {"flags": server_flags()}
    return {
        **{
            listener.name: ("coderapi.server.http", listener.worker_configuration())
            for listener in listeners
        },
        **({} if web_only else {"jobs": ("coderapi.server.worker", jobs)}),
    }
