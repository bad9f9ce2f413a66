"""The child process that serves the metrics of all processes of this server to Prometheus."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from coderapi.server.children import TITLE, Role
from coderapi.server.connection import Application
from coderapi.server.listener import Listener
from coderapi.server.worker import DRAIN_SECONDS, Worker
from coderapi.startup.addresses import AddressError, Claim
from kernel.coder.running import running
from kernel.http.call import environ_of
from kernel.http.exchange import Request
from kernel.http.responses import Answer
from kernel.http.threads import Threads
from kernel.loops import is_alive
from kernel.telemetry import DIRECTORY_VARIABLE

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from prometheus_client import CollectorRegistry, Metric

logger = logging.getLogger(__name__)

# How many scrapes can run at the same time.
THREADS = 4
PROC = Path("/proc")


def metrics_role() -> list[Role]:
    """Returns the role of the child that serves metrics, or no role if metrics are disabled.

    Raises: AddressError if the server cannot listen on the address for metrics.
    """
    if not settings.OPTIONS["prometheus.enable"]:
        return []
    try:
        option = "--prometheus-address or CODER_PROMETHEUS_ADDRESS"
        claim = Claim(str(settings.OPTIONS["prometheus.address"]), option=option)
    except AddressError as error:
        raise AddressError(f"CODER_PROMETHEUS_ADDRESS: {error}") from error
    logger.info("Serving metrics on %s", claim.url)
    listener = Listener(claim.socket, is_inherited=claim.is_inherited)
    worker = Worker(listener, load)
    return [Role("metrics", worker.run, DRAIN_SECONDS, listener)]


class InThreads:
    """A WSGI application in threads, without steps, bodies and a log."""

    def __init__(self, app: WSGIApplication, size: int) -> None:
        self._threads = Threads(app, size)

    def submit[T](self, request: Request, query: Callable[[], T]) -> Future[T]:
        return self._threads.submit(query, request.client, request.request_id)

    async def exchange(self, request: Request) -> Answer:
        if request.refusal:
            return request.refusal.answer()
        environ = environ_of(request.call, b"", port=request.port, version=request.version)
        return await self._threads.respond(environ, request.client, request.request_id)


def load() -> Application:
    """Returns an application that serves the metrics at every path."""
    from prometheus_client import make_wsgi_app

    return InThreads(make_wsgi_app(_registry(os.getppid())), THREADS)


@dataclass(frozen=True, slots=True)
class ThisServer:
    """A collector of the build information, and of the system metrics of each process."""

    supervisor: int
    proc: Path = PROC

    def collect(self) -> Iterable[Metric]:
        from prometheus_client import ProcessCollector
        from prometheus_client.core import GaugeMetricFamily

        labels = ["version", "coder_version", "python_version"]
        build = GaugeMetricFamily(
            "coderapi_build_info", "Always 1; the labels name the running build.", labels=labels
        )
        build.add_metric([settings.VERSION, running(), platform.python_version()], 1)
        families: dict[str, Any] = {build.name: build}
        for pid, role in _descent(self.supervisor, "supervisor", self.proc):
            for read in ProcessCollector(pid=partial(str, pid), registry=None).collect():
                new = type(read)(read.name, read.documentation, labels=["role", "pid"])  # type: ignore[call-arg]
                family = families.setdefault(read.name, new)
                family.add_metric([role, str(pid)], read.samples[0].value)
        return families.values()


def _descent(pid: int, role: str, proc: Path) -> Iterator[tuple[int, str]]:
    """Yields the process ids and roles of a process and its children, while they exist."""
    yield pid, role
    with contextlib.suppress(OSError):
        for child in (proc / f"{pid}/task/{pid}/children").read_text().split():
            # A child that has just ended does not hide the others.
            with contextlib.suppress(OSError):
                title = (proc / child / "cmdline").read_text(errors="replace").strip("\0")
                if title.startswith(TITLE):
                    yield int(child), title.removeprefix(TITLE)


def _current(directory: Path) -> Iterator[str]:
    """Yields the files with metrics. Removes the gauges of dead processes, but no counters."""
    for path in directory.glob("*.db"):
        is_gauge, pid = path.name.startswith("gauge_live"), path.stem.rpartition("_")[2]
        if is_gauge and not is_alive(int(pid)):
            path.unlink(missing_ok=True)
        # Another scrape may remove the file. The file of a new process is empty for a moment.
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size:
                yield str(path)


def _registry(supervisor: int) -> CollectorRegistry:
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    from kernel.telemetry.metrics import DatabaseGauges, discover

    discover()
    directory = Path(os.environ[DIRECTORY_VARIABLE])
    registry = CollectorRegistry()

    class Counts(MultiProcessCollector):
        def collect(self) -> Any:
            """Returns the merged metrics of all processes."""
            return self.merge(list(_current(directory)))  # type: ignore[no-untyped-call]

    Counts(registry, str(directory))  # type: ignore[no-untyped-call]
    registry.register(DatabaseGauges())
    registry.register(ThisServer(supervisor))
    return registry
