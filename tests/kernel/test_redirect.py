"""Who is sent on to the access URL."""

from __future__ import annotations

from typing import Any

import pytest

from kernel.http.hosts import redirect_target
from tests.support.client import APIClient

ACCESS = "https://coder.example.com"


def target(host: str, *, access: str = ACCESS, wildcard: str = "", secure: bool = True) -> str:
    found = redirect_target(host, "/a?b=c", access_url=access, wildcard=wildcard, is_secure=secure)
    return found or ""


@pytest.mark.parametrize(
    "host",
    [
        *("coder.example.com", "CODER.example.com", "coder.example.com:443"),
        *("localhost", "localhost:3000", "coder.localhost", "127.0.0.1", "127.9.9.9:80"),
        *("[::1]", "[::1]:3000"),
    ],
)
def test_right_names_and_local_ones_stay(host: str) -> None:
    assert target(host) == ""


@pytest.mark.parametrize(
    "host",
    [
        *("example.com", "evil.example", "coder.example.com.evil.example", "", "10.0.0.1"),
        *("coder.example.com:8443", "[2001:db8::1]", "localhost.evil.example"),
    ],
)
def test_others_are_sent_on_with_path_and_query(host: str) -> None:
    assert target(host) == "https://coder.example.com/a?b=c"


def test_plain_request_is_sent_on_where_we_serve_https() -> None:
    assert target("coder.example.com", secure=False) == "https://coder.example.com/a?b=c"
    assert target("localhost", secure=False) == ""


@pytest.mark.parametrize(
    ("wildcard", "host", "stays"),
    [
        ("*.apps.example.com", "one.apps.example.com", True),
        ("*.apps.example.com", "apps.example.com", False),
        ("*.apps.example.com", "a.b.apps.example.com", False),
        ("*-apps.example.com", "one-apps.example.com", True),
        ("*-apps.example.com", "-apps.example.com", False),
        ("*-apps.example.com", "apps.example.com", False),
    ],
)
def test_hosts_of_applications_stay(wildcard: str, host: str, stays: bool) -> None:
    assert (target(host, wildcard=wildcard) == "") is stays


def test_port_of_the_access_url_counts() -> None:
    access = "http://coder.example.com:8080"
    assert target("coder.example.com:8080", access=access) == ""
    assert target("coder.example.com", access=access) == "http://coder.example.com:8080/a?b=c"


@pytest.mark.parametrize("host", ["[", "]", "a]", "[::1", "a b", "::1", "a" * 300])
@pytest.mark.parametrize("redirect", [True, False])
def test_host_that_is_not_a_host_is_400(
    anonymous: APIClient, settings: Any, host: str, redirect: bool
) -> None:
    settings.REDIRECT_TO_ACCESS_URL = redirect
    settings.ACCESS_URL = ACCESS
    for path in ("/api/v2/buildinfo", "/login", "/admin/", "/nowhere"):
        answer = anonymous.get(path, headers={"Host": host})
        assert (answer.status_code, "Host" in answer.json()["message"]) == (400, True)
    assert anonymous.get("/healthz", headers={"Host": host}).status_code == 200
