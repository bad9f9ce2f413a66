from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from coderapi.bootstrap import BOUND_URL, server_flags
from coderapi.server.address import AddressError
from coderapi.server.certificates import CertificateError
from coderapi.server.first_owner import make_first_owner
from coderapi.server.lifeline import Orders
from coderapi.server.listeners import Listener, claim_all
from coderapi.server.migrating import MigrationError, bring_up_to_date
from coderapi.server.parser import SUPPRESSED, with_coders_flags
from coderapi.server.private_database import private_database_watched
from coderapi.server.prometheus import metrics_role
from coderapi.server.supervisor import Supervisor
from deployment.history.recording import record_start, warn_of_options
from kernel.db.connections import discard_pool
from options.written_config import yaml_document

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Migrates the database, serves HTTP and runs the jobs, until SIGTERM or Ctrl-C. Takes "
        "every option of Coder's server as a flag, a variable or from the YAML file of -c."
    )
    requires_system_checks: list[str] = []
    suppressed_base_arguments = SUPPRESSED

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, allow_abbrev=False, **kwargs)
        return with_coders_flags(parser)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--web-only",
            action="store_true",
            help="Serve HTTP without the jobs; `manage.py worker` runs them elsewhere.",
        )

    def handle(self, *, web_only: bool, **options: Any) -> str | None:
        if settings.OPTIONS["write_config"]:
            return yaml_document(settings.OPTIONS).rstrip("\n")
        now = timezone.now()
        try:
            listeners = claim_all(now)
            bring_up_to_date()
        except (AddressError, CertificateError, MigrationError) as error:
            raise CommandError(str(error)) from error
        record_start(settings.CONFIG_SNAPSHOT, now=now)
        make_first_owner(data_dir=settings.DATA_DIR, now=now)
        discard_pool()
        _say_what_starts(listeners)
        # The address that was bound is known only here, and is what an unset access URL means.
        os.environ[BOUND_URL] = listeners[-1].reachable_url
        sys.exit(_supervise(listeners, roles(listeners, web_only=web_only)))


def _supervise(listeners: Sequence[Listener], children: dict[str, tuple[str, Orders]]) -> int:
    """The exit status, once every child has ended."""
    try:
        with metrics_role() as metrics, private_database_watched():
            return Supervisor(listeners, roles=children | metrics).run()
    except AddressError as error:
        raise CommandError(f"CODER_PROMETHEUS_ADDRESS: {error}") from error


def _say_what_starts(listeners: Sequence[Listener]) -> None:
    warn_of_options()
    logger.info(
        "Starting on %s with data directory %s and the %s wire",
        " and ".join(listener.url for listener in listeners),
        settings.DATA_DIR,
        settings.WIRE,
    )


def roles(listeners: Sequence[Listener], *, web_only: bool) -> dict[str, tuple[str, Orders]]:
    """The children by name: each one's module, and its orders."""
    jobs: Orders = {"flags": server_flags()}
    return {
        **{listener.name: ("coderapi.server.http", listener.orders()) for listener in listeners},
        **({} if web_only else {"jobs": ("coderapi.server.jobs", jobs)}),
    }
