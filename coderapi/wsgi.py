"""The WSGI application of a web worker. `preload` runs before the supervisor starts the workers.

A request passes the access log, the limits on request bodies, the fast lane and then Django.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import base

from coderapi.lane import fast, routes
from kernel.db import listener
from kernel.db.connections import bound_statements
from kernel.http import body
from kernel.http.call import from_environ
from kernel.http.hosts import address_of, rate_limit_bucket
from kernel.http.rendering import complete
from kernel.http.responses import common_headers
from kernel.http.steps import new_request_id
from kernel.telemetry import metrics
from kernel.telemetry.access import AccessLog, logged

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment


def preload() -> None:
    """Imports the modules that requests use, and makes a part of Django faster.

    Starts no thread and opens no connection.
    """
    # Django's storage for the URL prefix and the urlconf also supports event loops. It uses locks
    # that each request acquires several times. With many threads, waiting for these locks more than
    # doubled the duration of a request. This process runs no event loop.
    base._prefixes = threading.local()  # type: ignore[attr-defined]
    base._urlconfs = threading.local()  # type: ignore[attr-defined]
    routes(settings.ROOT_URLCONF)
    _django()


@cache
def _django() -> WSGIApplication:
    return complete(get_wsgi_application())


def build() -> WSGIApplication:
    """Returns the application of this process, and starts its threads."""
    preload()
    bound_statements()
    listener.start()
    metrics.start_sampling()
    application = body.bounded(
        fast(_django()) if settings.OPTIONS["CODERAPI_FAST_LANE"] else _django(),
        readers=body.readers(settings.MAX_BODY_READERS),
        caps=settings.BODY_CAPS,
        address_of=lambda environ: rate_limit_bucket(_address_of(environ)),
        headers=lambda: common_headers(new_request_id()),
    )
    if not settings.ACCESS_LOG:
        return application
    log = AccessLog(settings.ACCESS_LOG, settings.ACCESS_LOG_FORMAT)
    log.start()
    return logged(application, log=log, address_of=_address_of)


def _address_of(environ: WSGIEnvironment) -> str:
    return address_of(from_environ(environ, ""))
