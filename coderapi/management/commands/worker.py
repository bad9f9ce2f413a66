from __future__ import annotations

import logging
from threading import Event
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from coderapi.server.command import ServerCommand, private_database_watched
from coderapi.server.migrating import is_migrated
from kernel.db.connections import why_unusable
from kernel.loops import run_until_signalled
from kernel.release import PROGRAM

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0


def wait_until_migrated(stop: Event) -> bool:
    """Waits for the database and the migrations of this release, which a server applies.

    Returns False if the event is set first.
    """
    reason = ""
    while not stop.is_set():
        before, reason = reason, _why_unusable()
        if not reason:
            return True
        if reason != before:
            logger.warning("Jobs wait: %s", reason)
        stop.wait(POLL_SECONDS)
    return False


def _why_unusable() -> str:
    try:
        with connection.cursor() as cursor:
            return "" if is_migrated(cursor) else "a server of this release must migrate first"
    except DatabaseError as error:
        return why_unusable(error) or type(error).__name__


class Command(ServerCommand):
    help = (
        "Runs jobs at their scheduled times until SIGTERM or Ctrl-C. Then completes the running "
        f"jobs. You can run several workers. Accepts the same flags as `{PROGRAM} server`."
    )
    examples = "--config coder.yaml"

    def handle(self, **options: Any) -> None:
        # Imported here, so that `--help` does not import the application.
        from deployment.history import record_start, warn_of_options
        from experiments.selectors import warn_of_unknown_experiments
        from jobs.worker import work

        def run(stop: Event) -> None:
            if wait_until_migrated(stop):
                record_start(settings.CONFIG_SNAPSHOT, now=timezone.now())
                work(stop)

        warn_of_options()
        warn_of_unknown_experiments()
        with private_database_watched():
            run_until_signalled(run)
