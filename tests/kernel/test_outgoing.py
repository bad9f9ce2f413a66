"""Outgoing requests: which addresses they may reach, and what ends them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from kernel import outgoing
from kernel.outgoing import MAX_BODY_BYTES, Outgoing, OutgoingError, is_internal
from tests.support.processes import DEADLINE_SECONDS
from tests.support.servers.local_server import answering

send = partial(outgoing.send, seconds=DEADLINE_SECONDS)
LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        # A client that has seen enough disconnects.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._respond()

    def _respond(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            return self.end_headers()
        self.send_response(200)
        while self.path == "/trickle":
            self.send_header("X-More", "x")
            self.flush_headers()
            threading.Event().wait(0.01)
        self.end_headers()
        told = f"{self.command} {self.path} {self.headers['Host']}".encode()
        self.wfile.write(b"x" * 2 * MAX_BODY_BYTES if self.path == "/huge" else told)
        return None

    do_POST = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the test output clean."""


@pytest.fixture
def port() -> Iterator[int]:
    with answering(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield server.server_port


PUBLIC = ("93.184.215.14", "2606:2800:21f::1", "64:ff9b::5db8:d70e")
INTERNAL = (
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fd00:ec2::254"),
    # IPv4 addresses inside IPv6 addresses: mapped, 6to4, NAT64, compatible.
    *("::ffff:169.254.169.254", "2002:7f00:1::", "64:ff9b::a00:1", "::127.0.0.1"),
    *("fec0::1", "168.63.129.16", "ff02::1", "ff0e::1"),
    # Translated (SIIT), segment routing, dummy prefix, and relays of 6to4.
    *("::ffff:0:10.0.0.1", "5f00::1", "100:0:0:1::1", "192.88.99.1"),
)


@pytest.mark.parametrize("address", [*PUBLIC, *INTERNAL])
def test_internal_addresses_are_known(address: str) -> None:
    assert is_internal(ip_address(address)) is (address in INTERNAL)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"]
)
def test_internal_address_is_not_reached(port: int, host: str) -> None:
    url = f"http://me:planted@{host}:{port}/x?planted"
    with pytest.raises(OutgoingError) as error:
        send(Outgoing(url, {}))
    assert "has an internal address" in str(error.value)
    assert "planted" not in str(error.value)


def test_internal_address_is_reached_if_its_network_is_allowed(port: int) -> None:
    url = f"http://localhost:{port}/x?y=z"
    reply = send(Outgoing(url, {}, method="POST", body=b"{}", networks=LOOPBACK))
    assert (reply.status, reply.body) == (200, f"POST /x?y=z localhost:{port}".encode())


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://localhost:{port}/", "redirects to another host"),
        ("http://127.0.0.1:1/", "redirects to another host"),
        ("https://127.0.0.1:{port}/", "redirects to another host"),
        ("file:///etc/passwd", "is not an http or https URL"),
        ("/to//to//to//to//", "redirects more than 3 times"),
    ],
)
def test_redirect_is_refused(port: int, location: str, reason: str) -> None:
    url = f"http://127.0.0.1:{port}/to/{location.format(port=port)}"
    with pytest.raises(OutgoingError, match=reason):
        send(Outgoing(url, {}, networks=LOOPBACK))


def test_redirect_of_a_post_is_the_response_and_a_body_has_a_maximum_size(port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    post = Outgoing(f"{url}/to//x", {}, method="POST", body=b"", networks=LOOPBACK)
    assert send(post).status == 302
    assert len(send(Outgoing(f"{url}/huge", {}, networks=None)).body) == MAX_BODY_BYTES


def test_slow_headers_do_not_occupy_a_thread(port: int) -> None:
    before = set(threading.enumerate())
    with pytest.raises(OutgoingError, match="did not respond within"):
        send(Outgoing(f"http://127.0.0.1:{port}/trickle", {}, networks=None), seconds=0.3)
    for thread in set(threading.enumerate()) - before:
        if thread.name == "outgoing":
            thread.join(timeout=DEADLINE_SECONDS)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        *[(url, "is not an http or https URL") for url in ("ftp://x.com/", "http:///x", "/x")],
        ("http://127.0.0.1:x/", "cannot be reached: ValueError"),
        ("http://127.0.0.1:1/", "cannot be reached: Connection refused"),
        ("https://127.0.0.1:{port}/", "set SSL_CERT_FILE"),
    ],
)
def test_unusable_url_is_an_error(port: int, url: str, reason: str) -> None:
    with pytest.raises(OutgoingError, match=reason):
        send(Outgoing(url.format(port=port), {}, networks=None))


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str, str | None]]]:
    """Sets a proxy in the environment. Yields the requests that it gets: method, target, login."""
    seen: list[tuple[str, str, str | None]] = []

    class Proxy(Handler):
        def handle_any(self) -> None:
            seen.append((self.command, self.path, self.headers["Proxy-Authorization"]))
            self.send_error(403) if self.command == "CONNECT" else super().do_GET()

        do_GET = do_POST = do_CONNECT = handle_any  # noqa: N815 - the names of http.server

    with answering(ThreadingHTTPServer(("127.0.0.1", 0), Proxy)) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://ada:pw@127.0.0.1:{server.server_port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        yield seen


LOGIN = "Basic YWRhOnB3"


def test_request_that_may_leave_goes_through_the_proxy(proxied: list[Any], port: int) -> None:
    # Only the proxy knows this name.
    url = "http://releases.invalid/latest?a=b"
    reply = send(Outgoing(url, {}, networks=None, may_leave=True))
    assert reply.body.endswith(b" releases.invalid")
    with pytest.raises(OutgoingError, match="cannot be reached"):
        send(Outgoing("https://hooks.invalid/secret", {}, networks=None, may_leave=True))
    assert proxied == [
        ("GET", "http://releases.invalid:80/latest?a=b", LOGIN),
        ("CONNECT", "hooks.invalid:443", LOGIN),
    ]
    send(Outgoing(f"http://127.0.0.1:{port}/", {}, networks=None))
    assert len(proxied) == 2


def test_hosts_in_no_proxy_are_reached_directly(
    proxied: list[Any], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "example.com,127.0.0.1")
    reply = send(Outgoing(f"http://127.0.0.1:{port}/x", {}, networks=None, may_leave=True))
    assert reply.status == 200
    assert not proxied


def test_address_is_checked_before_the_proxy_gets_it(proxied: list[Any], port: int) -> None:
    guarded = Outgoing(f"http://localhost:{port}/x", {}, may_leave=True)
    with pytest.raises(OutgoingError, match="internal address"):
        send(guarded)
    assert not proxied
    allowed = Outgoing(
        f"http://127.0.0.1:{port}/x", {}, method="POST", networks=LOOPBACK, may_leave=True
    )
    assert send(allowed).status == 200
    assert proxied == [("POST", f"http://127.0.0.1:{port}/x", LOGIN)]
