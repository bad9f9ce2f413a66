from __future__ import annotations

import logging
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from coderapi.bootstrap import server_flags
from coderapi.server.address import Address, AddressError, Claim
from coderapi.server.first_owner import make_first_owner
from coderapi.server.lifeline import Orders
from coderapi.server.migrating import MigrationError, bring_up_to_date
from coderapi.server.supervisor import Supervisor

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Migrates the database, serves HTTP and runs the jobs, until SIGTERM or Ctrl-C. Takes "
        "every option of Coder's server as a flag too: `manage.py options` lists them."
    )
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, allow_abbrev=False, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--web-only",
            action="store_true",
            help="Serve HTTP without the jobs; `manage.py worker` runs them elsewhere.",
        )

    def handle(self, *, web_only: bool, **options: Any) -> None:
        try:
            claim = Claim(str(settings.HTTP_ADDRESS))
            bring_up_to_date()
        except (AddressError, MigrationError) as error:
            raise CommandError(str(error)) from error
        make_first_owner(data_dir=settings.DATA_DIR, now=timezone.now())
        logger.info(
            "Starting on http://%s with data directory %s and the %s wire",
            claim.address,
            settings.DATA_DIR,
            settings.WIRE,
        )
        sys.exit(Supervisor(claim.address, roles=roles(claim.address, web_only=web_only)).run())


def roles(address: Address, *, web_only: bool) -> dict[str, tuple[str, Orders]]:
    """The children by name: each one's module, and its orders."""
    http: Orders = {
        "flags": server_flags(),
        "host": address.host,
        "port": address.port,
        "workers": settings.WEB_WORKERS,
        "threads": settings.WEB_THREADS,
        "logging": settings.LOGGING,
    }
    jobs: Orders = {"flags": server_flags()}
    return {
        "HTTP": ("coderapi.server.http", http),
        **({} if web_only else {"jobs": ("coderapi.server.jobs", jobs)}),
    }
