"""The host name and the address of a client: redirects, rejections, and trusted proxies."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.http.responses import headers_of
from kernel.http.results import Results
from kernel.http.steps.hosts import address_of, check_host, client_of, network_of, parse_address
from tests.support.api.calls import make_call
from tests.support.api.client import APIClient

ACCESS, WITH_PORT = "https://coder.example.com", "http://coder.example.com:8080"
STAYING = (
    *("coder.example.com", "CODER.example.com", "localhost", "coder.example.com:443", "[::1]"),
    *("localhost:3000", "127.0.0.1", "coder.localhost", "127.9.9.9:80", "[::1]:3000"),
)
REDIRECTED = (
    *("example.com", "evil.example", "coder.example.com:8443", "10.0.0.1", ""),
    *("coder.example.com.evil.example", "[2001:db8::1]", "localhost.evil.example"),
)
DOTTED, DASHED = (
    {"WILDCARD_ACCESS_URL": f"*{separator}apps.example.com"} for separator in (".", "-")
)


@pytest.fixture(autouse=True)
def _configured(settings: Any) -> None:
    settings.REDIRECT_TO_ACCESS_URL, settings.ACCESS_URL = True, ACCESS
    settings.TRUSTED_PROXY_HEADERS = ["X-Forwarded-For"]
    settings.TRUSTED_PROXY_ORIGINS = ["10.0.0.0/8", "fd00::/8"]


def redirect(*headers: Any, **more: Any) -> str | None:
    """Returns the URL to which a request for /a is redirected."""
    call = make_call(*headers, path="/a", **more)
    found = check_host(call, Results(call, ""))
    return headers_of(found.lines)["Location"] if found else None


@pytest.mark.parametrize(
    ("host", "more", "stays"),
    [
        *((host, {}, True) for host in STAYING),
        *((host, {}, False) for host in REDIRECTED),
        ("localhost", {"TLS_ENABLE": True}, True),
        ("one.apps.example.com", DOTTED, True),
        ("one-apps.example.com", DASHED, True),
        ("-apps.example.com", DASHED, False),
        ("apps.example.com", DOTTED, False),
        ("a.b.apps.example.com", DOTTED, False),
        ("apps.example.com", DASHED, False),
        ("coder.example.com", {"TLS_ENABLE": True}, False),
        ("coder.example.com:8080", {"ACCESS_URL": WITH_PORT}, True),
        ("coder.example.com", {"ACCESS_URL": WITH_PORT}, False),
    ],
)
def test_only_the_access_url_local_hosts_and_applications_are_not_redirected(
    host: str, more: dict[str, Any], stays: bool
) -> None:
    with override_settings(**more):
        found = redirect({"host": host}, server="10.1.2.3", query="b=c")
    assert found == (None if stays else f"{more.get('ACCESS_URL', ACCESS)}/a?b=c")


@pytest.mark.parametrize(
    ("peer", "forwarded", "stays"),
    [
        *(("10.0.0.1", scheme, True) for scheme in ("https", "HTTPS", "https, http")),
        *(("10.0.0.1", scheme, False) for scheme in ("", "http", "http, https")),
        ("192.0.2.1", "https", False),
    ],
)
def test_scheme_of_a_trusted_proxy_prevents_the_redirect_to_https(
    settings: Any, peer: str, forwarded: str, stays: bool
) -> None:
    settings.TLS_ENABLE = True
    headers = {"host": "coder.example.com", "x-forwarded-proto": forwarded}
    assert redirect(headers, peer=peer) == (None if stays else f"{ACCESS}/a")


@pytest.mark.parametrize(
    "host", ["[", "]", "a]", "[::1", "a b", "::1", "a" * 300, "[:::]:1", "[1:2:3:4:5:6:7:8:9]"]
)
@pytest.mark.parametrize("redirect", [True, False])
def test_malformed_host_is_400(
    anonymous: APIClient, settings: Any, host: str, redirect: bool
) -> None:
    settings.REDIRECT_TO_ACCESS_URL = redirect
    for path in ("/api/v2/buildinfo", "/login", "/admin/", "/nowhere"):
        answer = anonymous.get(path, headers={"Host": host})
        assert (answer.status_code, "Host" in answer.json()["message"]) == (400, True)
    assert anonymous.get("/healthz", headers={"Host": host}).status_code == 200


def address(peer: str, forwarded: str) -> str:
    return address_of(make_call({"x-forwarded-for": forwarded}, peer=peer))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # not a trusted proxy
        *(("10.0.0.1", text, "10.0.0.1") for text in ("", "nonsense", "203.0.113.9, nonsense")),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),  # the client wrote 1.1.1.1
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.1"),  # proxies only, so the peer counts
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("fd00::1", "[2001:db8::7]", "2001:db8::7"),
        ("fd00::1", "fe80::7%eth0", "fe80::7"),  # a zone means nothing on another machine
        ("", "203.0.113.9", ""),
    ],
)
def test_forwarded_address_counts_only_from_a_trusted_proxy(
    settings: Any, peer: str, forwarded: str, expected: str
) -> None:
    assert address(peer, forwarded) == expected
    settings.TRUSTED_PROXY_HEADERS = []
    assert address("10.0.0.1", forwarded) == "10.0.0.1"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_any_header_gives_an_address(forwarded: str) -> None:
    assert parse_address(address("10.0.0.1", forwarded)) is not None


@pytest.mark.parametrize(
    ("address", "client", "network"),
    [
        *((f"{prefix}192.0.2.1", "192.0.2.1", "192.0.2.0/24") for prefix in ("", "::ffff:")),
        ("10.1.2.3", "10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48", "2001:db8:1::/48"),
        ("", "", ""),
    ],
)
def test_client_is_an_ipv4_address_or_an_ipv6_network(
    address: str, client: str, network: str
) -> None:
    assert (client_of(address), network_of(address)) == (client, network)
