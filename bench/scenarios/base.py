"""The service under test, and the measures that the groups of scenarios use."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from http.cookiejar import CookieJar
from urllib.parse import urlencode

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


def recorded(service: Service, path: str, **headers: str) -> tuple[int, list[tuple[str, str]], str]:
    """Returns the service's response for `bench.references.bare`.

    The HTTP server adds the header `date` itself.
    """
    status, found, body = service.request("GET", path, **headers)
    kept = [(name, value) for name, value in found if name.lower() != "date"]
    return status, kept, body.decode("latin-1")


def signed_in(service: Service) -> urllib.request.OpenerDirector:
    """Signs in as the owner, whose password is in the data directory."""
    shown = (service.directory / "first-owner.txt").read_text(encoding="utf-8")
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    login = f"{service.url}/login"
    form = browser.open(login).read().decode()
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
    fields = {
        "csrfmiddlewaretoken": found[1] if found else "",
        "name": "owner",
        "password": shown.split("password")[1].split()[0],
    }
    request = urllib.request.Request(  # noqa: S310 - ours
        login, urlencode(fields).encode(), {"Origin": service.url, "Referer": login}
    )
    browser.open(request).close()
    return browser


def page(browser: urllib.request.OpenerDirector, url: str) -> Figures:
    """Requests a page. Returns the time in ms, and an error if the browser is not signed in."""
    begun = time.perf_counter()
    with browser.open(url) as answer:
        answer.read()
    return {"ms": 1000 * (time.perf_counter() - begun), "errors": int("/login" in answer.url)}
