"""Health for load balancers and people: does the process live, is it ready to serve."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from coderapi.bootstrap import PRIVATE_DATABASE_URL
from kernel import postgres
from kernel.db.connections import deadline
from kernel.http.errors import JSON_CONTENT_TYPE, APIError
from kernel.http.handlers import error_response
from kernel.http.rendering import render_json

# A probe is answered within two seconds, whatever the database does.
LOOK_SECONDS = 1.2

log = logging.getLogger(__name__)


type Page = Callable[[HttpRequest], HttpResponse]


def only(*methods: str) -> Callable[[Page], Page]:
    """Makes a decorator: another method is 405 in the one shape, whoever sends it."""

    def decorate(view: Page) -> Page:
        @csrf_exempt
        @wraps(view)
        def answer(request: HttpRequest) -> HttpResponse:
            if request.method in methods:
                return view(request)
            allow = {"Allow": ", ".join(methods)}
            return error_response(APIError(405, "Method not allowed.", headers=allow))

        return answer

    return decorate


# To every origin, and with a header of its own: Coder's dashboard measures so how far we are.
ANY_ORIGIN = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Timing-Allow-Origin": "*",
    "Cache-Control": "no-store",
}


@only("GET", "HEAD", "OPTIONS")
def latency_check(request: HttpRequest) -> HttpResponse:
    return _ok(**ANY_ORIGIN)


@only("GET", "HEAD")
def healthz(request: HttpRequest) -> HttpResponse:
    """Answers `OK`, which any process that runs can do."""
    return _ok()


def _ok(**headers: str) -> HttpResponse:
    return HttpResponse("OK", content_type="text/plain; charset=utf-8", headers=headers)


@only("GET", "HEAD")
def livez(request: HttpRequest) -> HttpResponse:
    return _json({"status": "ok"}, ready=True)


@only("GET", "HEAD")
def readyz(request: HttpRequest) -> HttpResponse:
    """Answers 200 when the database answers and no migration waits, else 503; and the findings."""
    state = readiness()
    return _json(state, ready=state["status"] == "ok")


def _json(state: dict[str, Any], *, ready: bool) -> HttpResponse:
    return HttpResponse(
        render_json(state), status=200 if ready else 503, content_type=JSON_CONTENT_TYPE
    )


def readiness() -> dict[str, Any]:
    """Looks at the database, the migrations and the apps.

    Shape: {"status": "ok"|"unready", "database": "ok"|"unreachable",
    "reason"?: why it is away, "migrations"?: "ok"|"pending", "parts"?: what the apps report}.
    """
    try:
        with deadline(LOOK_SECONDS):
            pending = _pending_migrations()
            parts = {} if pending else _parts()
    except Error as error:
        log.warning("not ready: the database does not answer: %s", type(error).__name__)
        return {"status": "unready", "database": "unreachable", **_reason()}
    return {
        "status": "unready" if pending else "ok",
        "database": "ok",
        "migrations": "pending" if pending else "ok",
        "parts": parts,
    }


def _reason() -> dict[str, str]:
    """Says why a private PostgreSQL is away, if that can be told."""
    if PRIVATE_DATABASE_URL not in os.environ:
        return {}
    reason = postgres.why_away(settings.DATA_DIR)
    return {"reason": reason} if reason else {}


_known_migrated: set[str] = set()


def _pending_migrations() -> bool:
    """Tells whether a migration waits. A complete database stays so, but must still answer."""
    name = str(connection.settings_dict["NAME"])
    if name in _known_migrated:
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return False
    executor = MigrationExecutor(connection)
    pending = bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    if not pending:
        _known_migrated.add(name)
    return pending


def _parts() -> dict[str, Any]:
    from jobs.selectors import jobs_state
    from stats.selectors import snapshot_state

    return {"snapshot": snapshot_state(), "jobs": jobs_state()}
