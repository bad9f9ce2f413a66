"""Our own environment variables: what each accepts, and what a refusal says."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from coderapi.own_settings import allowed_hosts, read

PASSWORD = "hunter2-hunter2"

REFUSED = [
    ("DATABASE_URL", f"host=db password={PASSWORD}", "must be a URL"),
    ("DATABASE_URL", f"postgresql://u:{PASSWORD}@db:port/x", "a port is a number"),
    ("CODERAPI_PG_DIRECT_URL", f"mysql://u:{PASSWORD}@db/x", "must be a URL"),
    ("CACHE_URL", f"memcached://{PASSWORD}", "redis://"),
    ("CODERAPI_WIRE", "morse", "documented, coderd"),
    ("CODERAPI_HTTP_ADDRESS", "3000", "host:port"),
    ("CODERAPI_HTTP_ADDRESS", "[::1]:99999", "host:port"),
    ("CODERAPI_HTTP_ADDRESS", "::1:80", "host:port"),
    ("CODERAPI_CODER_VERSION", "v2.29", "semantic version"),
    ("CODERAPI_WEB_WORKERS", "0", "from 1 to 64"),
    ("CODERAPI_WEB_THREADS", "many", "whole number"),
    ("CODERAPI_CSP_RETENTION", "-1d", "negative"),
    ("CODERAPI_CSP_RETENTION", "90", "unit"),
    ("CODERAPI_CSP_ACCESS", "everybody", "ingest-key"),
    ("CODERAPI_UPDATE_CHECK_URL", "ftp://example.com", "http"),
    ("CODERAPI_WIER", "coderd", "did you mean CODERAPI_WIRE?"),
]


@pytest.mark.parametrize(("name", "value", "said"), REFUSED)
def test_bad_value_is_refused_by_name_and_no_secret_is_repeated(
    name: str, value: str, said: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        read({name: value})

    assert name in str(refused.value)
    assert said in str(refused.value)
    assert PASSWORD not in str(refused.value)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        read({"CODERAPI_WIRE": "morse", "CODERAPI_WEB_WORKERS": "x", "CODERAPI_NEW": "1"})

    assert len(str(refused.value).splitlines()) == 3


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@db/x",
        "postgres://u:p@db:5432/x",
        "postgresql://u@[::1]:5432/x",
        "postgresql://u:p@one:1,two:2/x?target_session_attrs=read-write",
        "postgresql://u:p%40@/x?host=%2Frun%2Fpg",
    ],
)
def test_database_url_may_name_hosts_ports_and_sockets(url: str) -> None:
    assert read({"DATABASE_URL": url})["DATABASE_URL"] == url


def test_secret_may_come_from_a_file_and_loses_its_last_line_break(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("of-the-file\n")

    found = read({"CODERAPI_SECRET_KEY_FILE": str(tmp_path / "key")})

    assert found["CODERAPI_SECRET_KEY"] == "of-the-file"


def test_file_of_a_secret_that_is_not_there_is_named() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"CODERAPI_SECRET_KEY.*nowhere"):
        read({"CODERAPI_SECRET_KEY_FILE": "/nowhere"})


def test_values_have_their_types() -> None:
    found = read({"CODERAPI_CSP_RETENTION": "1w2d", "CODERAPI_ALLOWED_HOSTS": "a, b"})

    assert found["CODERAPI_CSP_RETENTION"] == timedelta(days=9)
    assert found["CODERAPI_ALLOWED_HOSTS"] == ["a", "b"]


@pytest.mark.parametrize(
    ("chosen", "access_url", "wildcard", "hosts"),
    [
        (["x"], "https://coder.example.com", "", ["x"]),
        (None, "", "", ["*"]),
        (
            None,
            "https://coder.example.com:8443",
            "*.apps.example.com",
            ["coder.example.com", "localhost", "127.0.0.1", "[::1]", ".apps.example.com"],
        ),
    ],
)
def test_hosts_follow_from_the_access_url(
    chosen: list[str] | None, access_url: str, wildcard: str, hosts: list[str]
) -> None:
    assert allowed_hosts(chosen, access_url=access_url, wildcard=wildcard) == hosts
