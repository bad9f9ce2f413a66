"""Requests to a site without a server."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from coderapi.steps import STEPS
from coderapi.web import routes
from kernel.http.body import Body
from kernel.http.call import Call, single_slashed
from kernel.http.exchange import Request, Site
from kernel.http.responses import Answer
from kernel.http.threads import Threads
from tests.support.api.asking import ask_in_loop


def request_to(
    path: str,
    *,
    method: str = "GET",
    query: str = "",
    token: str = "",
    headers: dict[str, str] | None = None,
) -> Request:
    sent = {"host": "testserver", **({"coder-session-token": token} if token else {})}
    named = {name.lower(): value for name, value in {**sent, **(headers or {})}.items()}
    call = Call(method, single_slashed(path), query, named, "127.0.0.1", "http", "testserver")
    return Request(call, call.peer)


def arrived(content: bytes) -> Body:
    """Returns a body that has arrived."""
    body = Body(len(content), lambda: None)
    body.add(content)
    body.complete()
    return body


def site(
    django: Any, sign_ins: Any = None, *, steps: Any = STEPS, **more: Any
) -> tuple[Site, Callable[[], None]]:
    """Returns a site whose threads run WSGI applications, and a function that ends them."""
    threads, others = Threads(django, 1), Threads(sign_ins or django, 1)
    paths = frozenset({"/api/v2/users/login", "/login"})
    urlconf = "coderapi.urls"
    found = Site(steps, routes(urlconf), urlconf, threads, others, paths, **more)

    def stop() -> None:
        threads.stop()
        others.stop()

    return found, stop


def answered(site: Site, request: Request) -> Answer:
    """Returns the response of a site, in an event loop."""
    return ask_in_loop(site.exchange(request), partial(site.submit, request))


def answered_by(path: str, query: str = "", *, steps: Any = STEPS, **headers: str) -> str:
    """Returns which of the two answers a GET request: the front or Django.

    Underscores in names of headers become hyphens.
    """
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return "django" if ran_by(path, query=query, steps=steps, headers=sent) else "front"


def ran_by(path: str, *, steps: Any = STEPS, **more: Any) -> str:
    """Returns which threads run Django for a request: "sign-ins" or "others", or "" for none."""
    names: list[str] = []

    def running(name: str) -> Any:
        def django(_environ: Any, start_response: Any) -> list[bytes]:
            names.append(name)
            start_response("200 OK", [])
            return [b""]

        return django

    found, stop = site(running("others"), running("sign-ins"), steps=steps)
    answered(found, request_to(path, **more))
    stop()
    return "".join(names)
