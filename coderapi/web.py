"""The application of a web worker, with the routes that need no Django.

These routes are cached documents, CSP reports and health checks. Without them, Django handles the
same requests. A test compares the responses of both. `preload` runs before the supervisor starts
the workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from coderapi import readiness
from coderapi.steps import STEPS
from coderapi.views import PROBES
from csp.collection import collect_reports
from csp.counting import counts
from csp.views import ReportView
from jobs.registry import all_jobs
from kernel.db import listener
from kernel.db.connections import bound_statements
from kernel.http import is_api_path
from kernel.http.body import Read
from kernel.http.errors import APIError
from kernel.http.exchange import Route, Site
from kernel.http.responses import Answer
from kernel.http.results import Ask, Results
from kernel.http.routes import views_by_path
from kernel.http.threads import Threads
from kernel.http.views import documents
from kernel.http.views.base import DocumentView
from kernel.telemetry import metrics
from kernel.telemetry.access import AccessLog
from users.selectors import ME

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


READS = frozenset({"GET", "HEAD"})

# Functions that return an error for a caller who may not read a document.
type Refusals = Sequence[Callable[[Any], APIError | None]]


@cache
def routes(urlconf: str) -> dict[str, Route]:
    """Returns the routes of `urlconf` that need no Django, as a mapping from path to route."""
    found = {}
    for path, view in views_by_path(urlconf).items():
        if issubclass(view, ReportView):
            operation = view.post.operation_id
            found[path] = Route(frozenset({"POST"}), operation, collect_reports, view.max_body)
        elif issubclass(view, DocumentView) and is_api_path(path):
            # Only the document of the caller, whose path contains `me`, is cached.
            respond = partial(_cached_document, view, view.refusals())
            found[path.replace("<user:user>", ME)] = Route(READS, view.get.operation_id, respond)
    for path, probe in PROBES.items():
        found[path] = Route(READS, probe.__name__, partial(_probed, probe))
    return found


async def _probed(probe: Callable[[], Answer], results: Results, read: Read) -> Answer:
    """Returns the response to a health check. It must not wait for a thread."""
    return probe()


async def _cached_document(
    view: type[DocumentView], refusals: Refusals, results: Results, read: Read
) -> Answer | None:
    """Returns the document if it is cached and the caller may read it, or None.

    A thread compresses it first if that may be necessary, because compressing takes milliseconds.
    """
    call, identity = results.call, results.caller.identity
    for refused in refusals:
        if identity is None or refused(identity):
            return None
    try:
        rendered = view.peek(call, results.wire_format, identity)
    except APIError:  # Django sends it, with the headers of a view.
        rendered = None
    if rendered is None:
        return None
    if not rendered.is_final and "accept-encoding" in call.headers:
        return await Ask(partial(documents.answer, rendered, call))
    return documents.answer(rendered, call)


def preload() -> None:
    """Imports the modules that requests use. Starts no thread and opens no connection."""
    routes(settings.ROOT_URLCONF)
    all_jobs()
    _django()


@cache
def _django() -> WSGIApplication:
    return get_wsgi_application()


def build() -> Site:
    """Returns the application of this process, and starts its threads."""
    preload()
    bound_statements()
    listener.start()
    readiness.start()
    metrics.start_sampling()
    counts.write_at_exit()
    return Site(
        STEPS,
        routes(settings.ROOT_URLCONF),
        settings.ROOT_URLCONF,
        threads=Threads(_django(), settings.SERVER_THREADS),
        sign_ins=Threads(_django(), settings.SIGN_IN_THREADS),
        sign_in_paths=frozenset({*settings.SIGN_IN_PATHS, f"{settings.PAGES_PATH}login"}),
        log=_access_log(),
        counts=metrics.enabled(),
    )


def _access_log() -> AccessLog | None:
    if not settings.ACCESS_LOG_PATH:
        return None
    log = AccessLog(settings.ACCESS_LOG_PATH, settings.ACCESS_LOG_FORMAT)
    log.start()
    return log
