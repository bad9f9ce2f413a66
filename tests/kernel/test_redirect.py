"""Host names: which are redirected to the access URL, and which are rejected."""

from __future__ import annotations

from typing import Any

import pytest

from kernel.http.hosts import redirect_target
from tests.support.client import APIClient

ACCESS = "https://coder.example.com"
WITH_PORT = "http://coder.example.com:8080"


@pytest.mark.parametrize(
    ("host", "more"),
    [
        *((host, {}) for host in ("coder.example.com", "CODER.example.com", "localhost:3000")),
        *((host, {}) for host in ("coder.example.com:443", "localhost", "coder.localhost")),
        *((host, {}) for host in ("127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:3000")),
        ("localhost", {"is_secure": False}),
        ("one.apps.example.com", {"wildcard": "*.apps.example.com"}),
        ("one-apps.example.com", {"wildcard": "*-apps.example.com"}),
        ("coder.example.com:8080", {"access_url": WITH_PORT}),
    ],
)
def test_access_url_and_local_hosts_and_applications_stay(host: str, more: dict[str, str]) -> None:
    assert target(host, more) is None


@pytest.mark.parametrize(
    ("host", "more"),
    [
        *((host, {}) for host in ("example.com", "evil.example", "coder.example.com:8443", "")),
        *((host, {}) for host in ("coder.example.com.evil.example", "10.0.0.1")),
        *((host, {}) for host in ("[2001:db8::1]", "localhost.evil.example")),
        ("coder.example.com", {"is_secure": False}),
        ("apps.example.com", {"wildcard": "*.apps.example.com"}),
        ("a.b.apps.example.com", {"wildcard": "*.apps.example.com"}),
        ("-apps.example.com", {"wildcard": "*-apps.example.com"}),
        ("apps.example.com", {"wildcard": "*-apps.example.com"}),
        ("coder.example.com", {"access_url": WITH_PORT}),
    ],
)
def test_other_hosts_are_redirected_with_path_and_query(host: str, more: dict[str, str]) -> None:
    assert target(host, more) == f"{more.get('access_url', ACCESS)}/a?b=c"


def target(host: str, more: dict[str, str]) -> str | None:
    usual = {"access_url": ACCESS, "wildcard": "", "is_secure": True}
    return redirect_target(host, "/a?b=c", **{**usual, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "host", ["[", "]", "a]", "[::1", "a b", "::1", "a" * 300, "[:::]:1", "[1:2:3:4:5:6:7:8:9]"]
)
@pytest.mark.parametrize("redirect", [True, False])
def test_malformed_host_is_400(
    anonymous: APIClient, settings: Any, host: str, redirect: bool
) -> None:
    settings.REDIRECT_TO_ACCESS_URL = redirect
    settings.ACCESS_URL = ACCESS
    for path in ("/api/v2/buildinfo", "/login", "/admin/", "/nowhere"):
        answer = anonymous.get(path, headers={"Host": host})
        assert (answer.status_code, "Host" in answer.json()["message"]) == (400, True)
    assert anonymous.get("/healthz", headers={"Host": host}).status_code == 200
