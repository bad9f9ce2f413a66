"""Starts the service: migrates the database, and runs the child processes."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connections
from django.utils import timezone

from coderapi import web
from coderapi.database.capacity import fit_pools
from coderapi.database.migrating import bring_up_to_date, connect_patiently
from coderapi.pages.first_steps import log_first_task, make_first_owner
from coderapi.postgres import PostgresError
from coderapi.server.children import Role
from coderapi.server.listener import Listener
from coderapi.server.prometheus import metrics_role
from coderapi.server.signals import run_until_signalled
from coderapi.server.supervisor import Supervisor
from coderapi.server.worker import DRAIN_SECONDS, Worker
from coderapi.startup.addresses import AddressError, Claim
from coderapi.startup.bootstrap import claims
from deployment.history import record, warn_of_options
from experiments.selectors import warn_of_unknown_experiments
from jobs.worker import work
from kernel.db.connections import leave_pool
from kernel.http.metrics import measure_lag
from kernel.telemetry.metrics import start_sampling

if TYPE_CHECKING:
    from ssl import SSLContext

logger = logging.getLogger(__name__)


def run_server(*, web_only: bool) -> int:
    """Runs the service until a signal arrives. Returns the exit status.

    Raises: CommandError if the service cannot start.
    """
    now = timezone.now()
    # A pool would start threads, but a process should fork before it starts threads.
    leave_pool()
    try:
        workers = web_roles(now)
        bring_up_to_date()
        _divide_connections(processes=len(workers))
        make_first_owner(data_dir=settings.DATA_DIR, now=now)
        metrics = metrics_role()
    except (AddressError, PostgresError) as error:
        raise CommandError(str(error)) from error
    record(settings.CONFIG_SNAPSHOT, now=now)
    _log_start(claims)
    connections.close_all()
    web.preload()
    roles = [*workers, *([] if web_only else [Role("jobs", run_jobs)]), *metrics]
    return Supervisor(roles, delay=settings.SHUTDOWN_DELAY).run()


def _divide_connections(*, processes: int) -> None:
    with connect_patiently() as direct, direct.cursor() as cursor:
        if warning := fit_pools(cursor, processes=processes):
            logger.warning(warning)


def _log_start(reserved: Sequence[Claim]) -> None:
    if os.geteuid() == 0:
        logger.warning("The server runs as root. Run it as an ordinary user.")
    warn_of_options()
    warn_of_unknown_experiments()
    logger.info(
        "Starting on %s with data directory %s and the %s wire format",
        " and ".join(f"{claim.url}{claim.note}" for claim in reserved),
        settings.DATA_DIR,
        settings.WIRE_FORMAT,
    )
    log_first_task(settings.ACCESS_URL if settings.OPTIONS["access_url"] else reserved[-1].url)


def web_roles(now: datetime) -> list[Role]:
    """Returns the roles of the web workers, one for each worker.

    Raises: AddressError if a file for TLS is not usable.
    """
    roles = []
    for claim in claims:
        tls = _tls(now) if claim.scheme == "https" else None
        listener = Listener(claim.socket, is_inherited=claim.is_inherited)
        for number in range(settings.WEB_WORKERS):
            url = "" if number else claim.url
            worker = Worker(
                listener,
                web.build,
                tls=tls,
                delay=settings.SHUTDOWN_DELAY,
                url=url,
                tasks=[measure_lag],
            )
            seconds = settings.SHUTDOWN_DELAY + DRAIN_SECONDS
            roles.append(Role("web", worker.run, seconds, listener))
    return roles


def _tls(now: datetime) -> SSLContext:
    # Imported here, because most servers do not need it.
    from coderapi.server.certificates import tls_context

    return tls_context(settings.OPTIONS, now=now)


def run_jobs() -> None:
    start_sampling()
    run_until_signalled(work)
