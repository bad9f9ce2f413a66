from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from coderapi.server.command import ServerCommand, private_database_watched
from kernel.loops import run_until_signalled
from kernel.release import PROGRAM

logger = logging.getLogger(__name__)


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

        warn_of_options()
        warn_of_unknown_experiments()
        try:
            record_start(settings.CONFIG_SNAPSHOT, now=timezone.now())
        except DatabaseError as error:
            # Start the worker even if the database is unavailable or not migrated, because the jobs
            # wait for the database and its migrations.
            logger.warning("The configuration was not recorded: %s", type(error).__name__)
        with private_database_watched():
            run_until_signalled(work)
