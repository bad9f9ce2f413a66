"""The service under test, and the measures that the groups of scenarios use."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

from bench.harness import Measure, Scenario
from bench.load import CONNECTIONS, Figures, pgbench, wrk
from bench.service import Service, running

# The two workers together can cache all keys.
READERS = 40_000
SSH = "/api/v2/deployment/ssh"

type Batches = Generator[list[Scenario], None, None]
type Group = Callable[[Bench], Batches]


@dataclass
class Bench:
    """The settings of a run, and the service that most groups share.

    `is_full` adds amounts of data that would make a usual run too long.
    """

    stack: ExitStack
    is_full: bool = False

    @cached_property
    def service(self) -> Service:
        """Returns the shared service. The first group that needs it starts it."""
        return self.stack.enter_context(running(readers=READERS))


def load(
    name: str,
    url: str,
    script: str | Callable[[], str],
    *,
    connections: int = CONNECTIONS,
    prepare: Callable[[], None] | None = None,
    needs_warm_up: bool = True,
) -> Measure:
    """Returns a measure with wrk. `prepare` runs before each load."""

    def run(seconds: int) -> Figures:
        if prepare:
            prepare()
        text = script if isinstance(script, str) else script()
        return wrk(url, script=text, seconds=seconds, connections=connections)

    return Measure(name, run, needs_warm_up)


def bare(url: str, path: str, script: str) -> Measure:
    """Returns a measure of a recorded response."""
    return load("bare function", url + path, script, needs_warm_up=False)


def transactions(name: str, service: Service, script: str, *, clients: int) -> Measure:
    """Returns a measure with pgbench."""

    def run(seconds: int) -> Figures:
        return pgbench(
            service.binaries, service.database_url, script=script, clients=clients, seconds=seconds
        )

    return Measure(name, run, needs_warm_up=False)


def recorded(service: Service, path: str, **headers: str) -> tuple[str, list[tuple[str, str]], str]:
    """Returns the service's response for `bench.references.bare`.

    The HTTP server adds the headers `date` and `server` itself.
    """
    status, found, body = service.request("GET", path, **headers)
    kept = [(name, value) for name, value in found if name.lower() not in {"date", "server"}]
    return f"{status} {'OK' if status == 200 else 'Not Modified'}", kept, body.decode("latin-1")
