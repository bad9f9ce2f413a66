"""The application of a web worker. `preload` runs before the supervisor starts the workers."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from coderapi import readiness
from coderapi.front import routes
from coderapi.steps import STEPS
from kernel.db import listener
from kernel.db.connections import bound_statements
from kernel.http.exchange import Site
from kernel.http.rendering import complete
from kernel.http.threads import Threads
from kernel.telemetry import metrics
from kernel.telemetry.access import AccessLog

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def preload() -> None:
    """Imports the modules that requests use. Starts no thread and opens no connection."""
    routes(settings.ROOT_URLCONF)
    _django()


@cache
def _django() -> WSGIApplication:
    return complete(get_wsgi_application())


def build() -> Site:
    """Returns the application of this process, and starts its threads."""
    preload()
    bound_statements()
    listener.start()
    readiness.start()
    metrics.start_sampling()
    return Site(
        STEPS,
        routes(settings.ROOT_URLCONF),
        settings.ROOT_URLCONF,
        threads=Threads(_django(), settings.SERVER_THREADS),
        sign_ins=Threads(_django(), settings.SIGN_IN_THREADS),
        # Health checks never wait, also if all other threads wait for the database.
        probes=Threads(_django(), 1),
        sign_in_paths=frozenset({*settings.SIGN_IN_PATHS, f"{settings.PAGES_PATH}login"}),
        log=_access_log(),
        counts=metrics.enabled(),
    )


def _access_log() -> AccessLog | None:
    if not settings.ACCESS_LOG:
        return None
    log = AccessLog(settings.ACCESS_LOG, settings.ACCESS_LOG_FORMAT)
    log.start()
    return log
