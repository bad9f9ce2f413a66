"""Metrics of a web process: its requests, event loop, connections and notifications."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.urls import ResolverMatch
from prometheus_client import Counter, Histogram

from kernel.db import listener
from kernel.db.backend import base as backend
from kernel.http.call import Call
from kernel.http.results import UNKNOWN, Results
from kernel.http.wire import WireFormat
from kernel.telemetry import metrics

REQUESTS = Counter(
    "coderapi_http_requests",
    "Requests that got a response.",
    ["operation", "method", "status", "wire_format"],
)
REQUEST_SECONDS = Histogram(
    "coderapi_http_request_duration_seconds",
    "Time from the start of a request to the start of its response, by operation.",
    ["operation"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
LAG_SECONDS = 0.02
LAG = Histogram(
    "coderapi_event_loop_lag_seconds",
    "How late the event loop of a web process starts callbacks, sampled 50 times a second.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1),
)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


# The results are cached, because looking up the labels takes longer than counting.
@cache
def _measures(
    operation: str, method: str, status: int, wire_format: WireFormat
) -> tuple[Callable[[], None], Callable[[float], None]]:
    counter = REQUESTS.labels(operation, method, str(status), wire_format)
    return counter.inc, REQUEST_SECONDS.labels(operation).observe


def record_request(results: Results, status: int, seconds: float) -> None:
    """Counts a response, and records its time."""
    # A client can choose none of the labels.
    method = method_label(results.call)
    count, observe = _measures(results.operation, method, status, results.wire_format)
    count()
    observe(seconds)


def method_label(call: Call) -> str:
    return call.method if call.method in METHODS else "other"


def operation_of(match: ResolverMatch | None, call: Call) -> str:
    """Returns the app's name, the operation's id in the schema, or the view's name."""
    if match is None:
        return UNKNOWN
    return match.app_name or _name_of(match.func, method_label(call))


@cache
def _name_of(view: Any, method: str) -> str:
    handlers = getattr(view, "cls", None) or getattr(view, "view_class", None)
    if handlers is None:
        return str(getattr(view, "__name__", UNKNOWN))
    # A request with an unsupported method is counted for the first operation that the view has.
    for known in (method.lower(), "get", "post", "put", "patch", "delete"):
        if operation := getattr(getattr(handlers, known, None), "operation_id", ""):
            return str(operation)
    return str(handlers.__name__)


async def measure_lag() -> None:
    """Samples how late the event loop starts callbacks, if metrics are enabled.

    While the loop runs one function, all clients of the process wait. So nothing in the loop may
    take longer than about a millisecond.
    """
    loop = asyncio.get_running_loop()
    while metrics.enabled():
        due = loop.time() + LAG_SECONDS
        await asyncio.sleep(LAG_SECONDS)
        LAG.observe(max(0.0, loop.time() - due))


def pool_stats() -> dict[str, int]:
    """Returns the statistics of the pool, or {} before its first connection."""
    pools: Any = backend.DatabaseWrapper._connection_pools  # type: ignore[attr-defined]
    return pools[DEFAULT_DB_ALIAS].get_stats() if DEFAULT_DB_ALIAS in pools else {}


def _pool_connections() -> metrics.Values:
    stats = pool_stats()
    idle = stats.get("pool_available", 0)
    return {("used",): stats.get("pool_size", 0) - idle, ("idle",): idle}


def waiting_requests() -> metrics.Values:
    stats = pool_stats()
    waiting = backend.connections().waiting if stats else 0
    return {(): waiting + stats.get("requests_waiting", 0)}


metrics.sampled_gauge(
    "coderapi_database_pool_connections",
    "Connections in the pools, by state: used or idle.",
    _pool_connections,
    labels=["state"],
    mode="livesum",
)
metrics.sampled_gauge(
    "coderapi_database_pool_max_connections",
    "The maximum number of connections in the pools.",
    lambda: {(): pool_stats().get("pool_max", 0)},
    mode="livesum",
)
metrics.sampled_gauge(
    "coderapi_database_waiting_requests",
    "Requests that wait for a connection to the database.",
    waiting_requests,
    mode="livesum",
)
metrics.sampled_gauge(
    "coderapi_listener_connected",
    "1 if all web processes receive notifications from the database, 0 if one does not.",
    lambda: {("web",): float(listener.is_connected())} if listener.started() else {},
    labels=["role"],
    mode="livemin",
)
