"""The references of the bench start under the HTTP server of the service, and respond."""

from __future__ import annotations

from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from bench.service import reference, status_of
from tests.support.processes import own_database


def test_bare_function_returns_recorded_responses() -> None:
    recorded = {"/healthz": [200, {"Content-Length": "2"}, "{}"]}
    with reference("bare", recorded, DATABASE_URL="") as url:
        port = urlsplit(url).port or 0
        assert (status_of(port, "/healthz"), status_of(port, "/none")) == (200, 404)


@pytest.mark.django_db
def test_plain_django_reads_the_tables_of_the_service() -> None:
    with (
        own_database() as database,
        reference("plain_django", DATABASE_URL=database) as url,
        closing(HTTPConnection(urlsplit(url).netloc, timeout=60)) as client,
    ):
        headers = {"Coder-Session-Token": "unknown-token"}
        client.request("GET", "/api/v2/users/me", headers=headers)
        assert client.getresponse().status == 403
