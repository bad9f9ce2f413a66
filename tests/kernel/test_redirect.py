"""Host names: which are redirected to the access URL, and which are rejected."""

from __future__ import annotations

from typing import Any

import pytest

from kernel.http.steps.hosts import check
from tests.support.api.calls import make_call
from tests.support.api.client import APIClient

ACCESS = "https://coder.example.com"
WITH_PORT = "http://coder.example.com:8080"


@pytest.fixture(autouse=True)
def _redirected(settings: Any) -> None:
    settings.REDIRECT_TO_ACCESS_URL = True
    settings.ACCESS_URL = ACCESS


@pytest.mark.parametrize(
    ("host", "more", "stays"),
    [
        *((host, {}, True) for host in ("coder.example.com", "CODER.example.com", "localhost")),
        *((host, {}, True) for host in ("coder.example.com:443", "localhost:3000", "127.0.0.1")),
        *((host, {}, True) for host in ("coder.localhost", "127.9.9.9:80", "[::1]", "[::1]:3000")),
        ("localhost", {"TLS_ENABLE": True}, True),
        ("one.apps.example.com", {"WILDCARD_ACCESS_URL": "*.apps.example.com"}, True),
        ("one-apps.example.com", {"WILDCARD_ACCESS_URL": "*-apps.example.com"}, True),
        ("coder.example.com:8080", {"ACCESS_URL": WITH_PORT}, True),
        *((host, {}, False) for host in ("example.com", "evil.example", "coder.example.com:8443")),
        *((host, {}, False) for host in ("coder.example.com.evil.example", "10.0.0.1", "")),
        *((host, {}, False) for host in ("[2001:db8::1]", "localhost.evil.example")),
        ("coder.example.com", {"TLS_ENABLE": True}, False),
        ("apps.example.com", {"WILDCARD_ACCESS_URL": "*.apps.example.com"}, False),
        ("a.b.apps.example.com", {"WILDCARD_ACCESS_URL": "*.apps.example.com"}, False),
        ("-apps.example.com", {"WILDCARD_ACCESS_URL": "*-apps.example.com"}, False),
        ("apps.example.com", {"WILDCARD_ACCESS_URL": "*-apps.example.com"}, False),
        ("coder.example.com", {"ACCESS_URL": WITH_PORT}, False),
    ],
)
def test_only_the_access_url_local_hosts_and_applications_are_not_redirected(
    settings: Any, host: str, more: dict[str, Any], stays: bool
) -> None:
    for name, value in more.items():
        setattr(settings, name, value)
    found = check(make_call({"host": host}, server="10.1.2.3", query="b=c"), "/a")
    assert found == (None if stays else f"{settings.ACCESS_URL}/a?b=c")


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
    settings.TLS_ENABLE, settings.TRUSTED_PROXY_ORIGINS = True, ["10.0.0.1"]
    headers = {"host": "coder.example.com", "x-forwarded-proto": forwarded}
    found = check(make_call(headers, peer=peer), "/a")
    assert found == (None if stays else f"{ACCESS}/a")


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
