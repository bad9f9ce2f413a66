"""The check that clients cannot choose their address with a header such as `X_Forwarded_For`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from kernel.forged_headers import forgeable
from tests.support.live import own_server
from tests.support.local_server import answering


class Service(ThreadingHTTPServer):
    """Limits requests by address, and trusts the headers in `trusted`."""

    def __init__(self, *, trusted: str = "", limit: int | None = 100) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.trusted, self.limit = trusted, limit
        self.counts: Counter[str] = Counter()
        self.minutes = iter(range(60, 60_000, 60))
        self.turns = False
        self.minute = 60

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        service = self.server
        address = self.headers.get(service.trusted, "127.0.0.1")
        service.counts[address] += 1
        self.send_response(401)
        if service.limit is not None:
            remaining = max(0, service.limit - service.counts[address])
            self.send_header("X-RateLimit-Remaining", str(remaining))
            self.send_header("X-RateLimit-Reset", str(service.minute))
        self.send_header("Content-Length", "0")
        self.end_headers()
        if service.turns and sum(service.counts.values()) == 2:
            service.minute += 60
            service.counts.clear()

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the test output clean."""


@contextmanager
def service(**options: Any) -> Iterator[Service]:
    with answering(Service(**options)) as found:
        yield found


NAMES = ("X-Forwarded-For", "X-Real-IP", "Forwarded")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, []),
        ({"trusted": "X_Forwarded_For"}, ["X_Forwarded_For"]),
        ({"trusted": "X_Real_IP"}, ["X_Real_IP"]),
        # Without a limit, or with one that is used up, the address cannot be seen.
        ({"limit": None}, None),
        ({"limit": 1}, None),
    ],
)
def test_header_that_sets_the_address_is_found(options: Any, found: list[str] | None) -> None:
    with service(**options) as running:
        assert forgeable(running.url, NAMES) == found


def test_new_minute_during_the_check_is_no_new_address() -> None:
    with service() as running:
        running.turns = True
        assert forgeable(running.url, NAMES) == []


def test_command_fails_if_the_proxy_passes_the_header_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CommandError, match="CODER_PROXY_TRUSTED_HEADERS is not set"):
        call_command("options", "--check", "--proxy-url=http://127.0.0.1:1")
    monkeypatch.setenv("CODER_PROXY_TRUSTED_HEADERS", "X-Forwarded-For")
    with service() as good, service(trusted="X_Forwarded_For") as bad, service(limit=None) as dumb:
        call_command("options", "--check", f"--proxy-url={good.url}/")
        assert "clients cannot choose their address" in capsys.readouterr().out
        with pytest.raises(CommandError, match="with the header X_Forwarded_For"):
            call_command("options", "--check", f"--proxy-url={bad.url}")
        with pytest.raises(CommandError, match="without a rate limit"):
            call_command("options", "--check", f"--proxy-url={dumb.url}")
    with pytest.raises(CommandError, match="cannot be reached"):
        call_command("options", "--check", f"--proxy-url={good.url}")


def test_service_shows_whose_address_arrives(tmp_path: Any) -> None:
    """Without a proxy, the address is that of the connection."""
    with own_server("--web-only", log=tmp_path / "log", CODER_API_RATE_LIMIT="512") as server:
        assert forgeable(f"http://127.0.0.1:{server.port}", NAMES) == []
