"""The cards on the admin's home page that concern the whole service."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.conf import settings
from django.urls import reverse
from django.utils.html import format_html

from coderapi.readiness import USABLE, readiness
from kernel.admin import Line, State, register
from kernel.db.replicas import Replica, misfit, replicas
from kernel.db.sql import fetch_rows
from kernel.release import REPOSITORY
from kernel.text import humanize

MAX_REPLICAS = 12
COUNTED_APART = (
    "Each host counts requests for the rate limits separately. If several hosts serve requests, "
    "set CODERAPI_REDIS_URL."
)

MIGRATIONS = {"ok": "all applied", "newer": "of a newer release, which this one can use"}


def _service(now: datetime) -> list[Line]:
    return [
        Line("version", settings.BUILD_VERSION),
        Line("wire format", str(settings.WIRE_FORMAT)),
        Line("access URL", settings.ACCESS_URL),
    ]


def _database(now: datetime) -> list[Line]:
    [(version, size, read_only, started)] = fetch_rows(
        "SELECT current_setting('server_version'), pg_database_size(current_database()),"
        " pg_is_in_recovery(), pg_postmaster_start_time()"
    )
    state = readiness()
    migrations, reason = state.get("migrations", "unknown"), state.get("reason", "")
    return [
        *([Line("problem", reason, State.BAD)] if reason else []),
        Line("reachable", "read-only" if read_only else "yes", _good(not read_only)),
        Line("PostgreSQL", version.partition(" ")[0]),
        Line("size", humanize.size(size)),
        Line("started", humanize.since(started, now)),
        Line("migrations", MIGRATIONS.get(migrations, migrations), _good(migrations in USABLE)),
    ]


def _good(yes: bool) -> State:
    return State.GOOD if yes else State.BAD


def _replicas(now: datetime) -> list[Line]:
    connected = replicas()
    lines = [Line("problem", text, State.BAD) for text in _problems(connected)]
    lines += [Line(replica.name, _summary(replica, now)) for replica in connected[:MAX_REPLICAS]]
    if len(connected) > MAX_REPLICAS:
        lines.append(Line("and", f"{len(connected) - MAX_REPLICAS} more"))
    return lines


def _problems(connected: list[Replica]) -> Iterator[str]:
    if warning := misfit(connected):
        yield warning
    if not settings.REDIS_URL and len({each.host for each in connected if each.listens}) > 1:
        yield COUNTED_APART


def _summary(replica: Replica, now: datetime) -> str:
    connections = humanize.plural(replica.connections, "connection")
    notified = ", notifications on" if replica.listens else ""
    return format_html(
        "{}{}; connected {}", connections, notified, humanize.since(replica.since, now)
    )


def _help(now: datetime) -> list[Line]:
    documents = f"{REPOSITORY}/tree/v{settings.VERSION}/docs"
    links = [("documentation of coderapi", documents)] if REPOSITORY else []
    links += [("documentation of Coder", str(settings.CONFIGURATION["docs_url"]))]
    links += [("API in Swagger UI", reverse("swagger"))] if settings.SWAGGER_ENABLE else []
    links += [(own["name"], own["target"]) for own in settings.CONFIGURATION["support.links"] or ()]
    return [Line(name, target, link=target) for name, target in links]


register("Service", _service, order=0)
register("Database", _database, order=10)
register("Processes on this database", _replicas, order=20)
register("Help", _help, order=90)
