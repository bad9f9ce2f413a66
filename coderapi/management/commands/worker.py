from __future__ import annotations

import logging
from threading import Event
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from coderapi.database.checks import check_database
from coderapi.database.migrating import connect_patiently, is_migrated
from coderapi.server.command import ServerCommand, private_database_watched
from coderapi.server.signals import run_until_signalled
from kernel.db.schema_number import record_schema
from kernel.release import PROGRAM

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0
UNMIGRATED = (
    "Jobs wait, because migrations of this release are missing in the database. To apply them, run "
    f"`{PROGRAM} migrate`, or start a server of this release."
)


def wait_until_migrated(stop: Event) -> bool:
    """Waits for the database and the migrations of this release.

    Returns False if the event is set first. Raises: CommandError if the database cannot be used.
    """
    is_told = False
    while not stop.is_set():
        try:
            with connect_patiently(stop) as direct, direct.cursor() as cursor:
                check_database(cursor)
                if is_migrated(cursor):
                    record_schema(cursor)
                    return True
        except CommandError:
            if not stop.is_set():
                raise
        if not is_told:
            logger.warning(UNMIGRATED)
        is_told = True
        stop.wait(POLL_SECONDS)
    return False


class Command(ServerCommand):
    help = (
        "Runs jobs at their scheduled times until SIGTERM or Ctrl-C. Then completes the running "
        f"jobs. You can run several workers. Accepts the same flags as `{PROGRAM} server`."
    )
    examples = "--config coder.yaml"

    def handle(self, **options: Any) -> None:
        # Imported here, so that `--help` does not import the application.
        from deployment.history import record, warn_of_options
        from experiments.selectors import warn_of_unknown_experiments
        from jobs.worker import work

        def run(stop: Event) -> None:
            if wait_until_migrated(stop):
                record(settings.CONFIG_SNAPSHOT, now=timezone.now())
                work(stop)

        warn_of_options()
        warn_of_unknown_experiments()
        with private_database_watched():
            run_until_signalled(run)
