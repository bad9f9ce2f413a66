"""The address of a client, as a trusted proxy forwards it."""

from __future__ import annotations

import json
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.http.steps.hosts import address_of, client_of, network_of, parse_address
from tests.support.api.calls import make_call
from tests.support.processes import wait_for
from tests.support.servers.live import own_server


@pytest.fixture(autouse=True)
def _proxies(settings: Any) -> None:
    settings.TRUSTED_PROXY_HEADERS = ["X-Forwarded-For"]
    settings.TRUSTED_PROXY_ORIGINS = ["10.0.0.0/8", "fd00::/8"]


def address(peer: str, forwarded: str) -> str:
    return address_of(make_call({"x-forwarded-for": forwarded}, peer=peer))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # not a trusted proxy
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),  # the client wrote 1.1.1.1
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.1"),  # proxies only, so the peer counts
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, nonsense", "10.0.0.1"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("fd00::1", "[2001:db8::7]", "2001:db8::7"),
        ("fd00::1", "fe80::7%eth0", "fe80::7"),  # a zone means nothing on another machine
        ("", "203.0.113.9", ""),
    ],
)
def test_forwarded_address_counts_only_from_a_trusted_proxy(
    peer: str, forwarded: str, expected: str
) -> None:
    assert address(peer, forwarded) == expected


def test_only_a_trusted_header_is_read(settings: Any) -> None:
    settings.TRUSTED_PROXY_HEADERS = []
    assert address("10.0.0.1", "203.0.113.9") == "10.0.0.1"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_any_header_gives_an_address(forwarded: str) -> None:
    assert parse_address(address("10.0.0.1", forwarded)) is not None


@pytest.mark.parametrize(
    ("address", "client", "network"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.0/24"),
        ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.0/24"),
        ("10.1.2.3", "10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48", "2001:db8:1::/48"),
        ("", "", ""),
    ],
)
def test_client_is_an_ipv4_address_or_an_ipv6_network(
    address: str, client: str, network: str
) -> None:
    assert (client_of(address), network_of(address)) == (client, network)


def test_header_with_an_underscore_does_not_change_the_address(tmp_path: Path) -> None:
    """The address in the access log is the one of the rate limit and of sign-in attempts, too."""
    written = tmp_path / "access"
    trusted = {
        "CODERAPI_ACCESS_LOG_PATH": str(written),
        "CODERAPI_ACCESS_LOG_FORMAT": "json",
        "CODER_PROXY_TRUSTED_HEADERS": "X-Forwarded-For",
        "CODER_PROXY_TRUSTED_ORIGINS": "127.0.0.1",
    }
    proxied, forged = {"X-Forwarded-For": "203.0.113.9"}, {"X_Forwarded_For": "203.0.113.1"}
    with own_server("--web-only", log=tmp_path / "log", **trusted) as server:
        connection = HTTPConnection("127.0.0.1", server.port)
        with closing(connection):
            # The first path is handled in the event loop, and the second one by Django.
            for path in ("/api/v2/buildinfo", "/login"):
                for headers in (forged, proxied, proxied | forged, forged | proxied):
                    connection.request("GET", path, headers=headers)
                    assert connection.getresponse().read()
        wait_for(lambda: written.exists() and len(written.read_text().splitlines()) >= 8)
    lines = map(json.loads, written.read_text().splitlines())
    found = [line["client"] for line in lines if line["path"] != "/healthz"]
    assert found == ["127.0.0.1", *["203.0.113.9"] * 3] * 2
