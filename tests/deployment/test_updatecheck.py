"""The update check, with a local source of releases."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.utils import timezone

from deployment.models import CoderUpdateCheck
from deployment.updatecheck import check_for_update
from jobs.models import JobRun
from jobs.registry import find
from jobs.services import run_job
from kernel import memory
from kernel.coder.releases import is_current
from tests.support.api.client import APIClient
from tests.support.factories import utc
from tests.support.processes import free_port
from tests.support.servers.local_server import answering
from tests.support.stats_rows import HOUR

PATH = "/api/v2/updatecheck"
pytestmark = pytest.mark.django_db


class Releases(ThreadingHTTPServer):
    """Answers requests as configured by the test, and records their headers.

    `trickles` names the part of the answer that is sent byte by byte until the test ends.
    """

    status = 200
    body = b""
    trickles = ""
    redirects = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, str]] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/latest"

    def publish(self, version: str) -> None:
        page = f"https://example.com/{version}"
        self.body = json.dumps({"tag_name": version, "html_url": page}).encode()


class Handler(BaseHTTPRequestHandler):
    server: Releases

    def do_GET(self) -> None:
        self.server.requests.append(dict(self.headers))
        if self.server.trickles == "headers":
            return self._trickle(b"HTTP/1.0 200 OK\r\nX-Slow: ")
        if len(self.server.requests) <= self.server.redirects:
            self.send_response(302)
            self.send_header("Location", "/elsewhere?token=planted-too")
            return self.end_headers()
        self.send_response(self.server.status)
        self.end_headers()
        if self.server.trickles == "body":
            return self._trickle(b"{")
        self.wfile.write(self.server.body)
        return None

    def _trickle(self, beginning: bytes) -> None:
        self.wfile.write(beginning)
        with contextlib.suppress(OSError):
            while not self.server.over.wait(0.02):
                self.wfile.write(b"x")

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the test output clean."""


@pytest.fixture
def releases(settings: Any) -> Iterator[Releases]:
    with answering(Releases()) as server:
        settings.UPDATE_CHECK = True
        settings.UPDATE_CHECK_URL = server.url
        yield server
        server.over.set()


@pytest.fixture
def known(releases: Releases) -> Releases:
    """A source whose release is known already."""
    releases.publish("v2.35.1")
    assert check_for_update(timezone.now()) == 1
    return releases


def get_update(client: APIClient) -> Any:
    memory.clear_all()
    return client.get(PATH).json()


def test_newer_release_is_shown_unless_the_check_is_disabled(
    settings: Any, releases: Releases, anonymous: APIClient
) -> None:
    own = get_update(anonymous)
    assert own["current"] is True
    assert own["version"].startswith("v2.34.1+coderapi.")
    releases.publish("v2.35.1")
    assert check_for_update(timezone.now()) == 1
    release = {"url": "https://example.com/v2.35.1", "version": "v2.35.1"}
    assert get_update(anonymous) == {"current": False, **release}
    settings.UPDATE_CHECK = False
    assert get_update(anonymous)["current"] is True


def release(**members: object) -> bytes:
    page = {"tag_name": "v2.35.0", "html_url": "https://example.com"}
    return json.dumps({**page, **members}).encode()


BAD_ANSWERS = [
    *[(500, b""), (404, b"{}"), (200, b""), (200, b"<html>"), (200, b"[]")],
    *[(200, release(tag_name=name)) for name in ("latest", 5, f"v2.35.0-{'x' * 64}")],
    *[(200, release(html_url=url)) for url in ("javascript:alert(1)", None, "https://a/\0")],
    (200, b'{"tag_name": "v2.35.0"}'),
]


@pytest.mark.parametrize(("status", "body"), BAD_ANSWERS)
def test_invalid_answer_keeps_the_known_release_and_stores_the_error(
    known: Releases, anonymous: APIClient, status: int, body: bytes
) -> None:
    before, later = CoderUpdateCheck.objects.get(), timezone.now() + timedelta(days=1)
    known.status, known.body = status, body
    assert check_for_update(later) == 0
    after = CoderUpdateCheck.objects.get()
    assert (after.failed_at, after.succeeded_at) == (later, before.succeeded_at)
    assert after.error
    assert get_update(anonymous)["version"] == "v2.35.1"


def test_unreachable_source_is_offline_and_logged_once_a_day(
    settings: Any, releases: Releases, owner: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    releases.publish("v2.35.1")
    settings.UPDATE_CHECK_URL = f"http://127.0.0.1:{free_port()}/"
    job, morning = find("check_for_update"), utc(2026, 5, 4, 6)
    assert job.interval() == timedelta(days=1)
    for now, logged in ((morning, 1), (morning + HOUR, 1), (morning + 24 * HOUR, 2)):
        run = run_job(job, now)
        assert run is not None
        assert run.state == "ok"
        assert caplog.text.count("The update check is offline: http://127.0.0.1") == logged
        assert caplog.text.count("set CODER_UPDATE_CHECK=false.") == logged
    assert job.interval() == HOUR
    owner.force_login(owner.user)
    page = owner.get("/admin/").text
    assert "<dt>offline</dt>" in page
    assert "cannot be reached" in page
    settings.UPDATE_CHECK_URL = releases.url
    assert check_for_update(morning + 25 * HOUR) == 1
    assert job.interval() == timedelta(days=1)
    assert "<dt>offline</dt>" not in owner.get("/admin/").text


@pytest.mark.parametrize("part", ["headers", "body"])
def test_deadline_covers_an_answer_that_comes_byte_by_byte(releases: Releases, part: str) -> None:
    releases.trickles = part
    assert check_for_update(timezone.now(), seconds=0.3) == 0
    assert "did not respond within 0.3 seconds" in CoderUpdateCheck.objects.get().error


@pytest.mark.parametrize(("redirects", "error"), [(3, ""), (4, "redirects more than 3 times")])
def test_three_redirects_are_followed(releases: Releases, redirects: int, error: str) -> None:
    releases.publish("v2.35.1")
    releases.redirects = redirects
    assert check_for_update(timezone.now()) == (not error)
    assert CoderUpdateCheck.objects.get().error.endswith(error)


@pytest.mark.parametrize("status", [200, 500])
def test_credentials_and_query_of_the_url_are_sent_but_not_stored(
    settings: Any, releases: Releases, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level("DEBUG")
    releases.publish("v2.35.1")
    releases.status, releases.redirects = status, 1
    settings.UPDATE_CHECK_URL = f"{releases.url}?token=planted".replace("//", "//me:planted@")
    run = run_job(find("check_for_update"), timezone.now())
    assert run is not None
    expected = "Basic " + base64.b64encode(b"me:planted").decode()
    assert [headers.get("authorization") for headers in releases.requests] == [expected, expected]
    check, stored = CoderUpdateCheck.objects.get(), JobRun.objects.filter(pk=run.pk).values().get()
    assert "planted" not in f"{vars(check)} {stored} {caplog.text}"
    assert (status == 200) is (check.error == "")


@pytest.mark.parametrize(
    ("own", "newest", "current"),
    [
        *[("2.29.0", newest, True) for newest in ("v2.29.0", "v2.28.9")],
        *[("2.29.0", newest, False) for newest in ("v2.29.1", "v2.100.0", "v2.35.0-rc.1")],
        *[(own, "v2.29.0", True) for own in ("2.29.0-devel", "2.29.0+meta")],
        ("2.30.0", "v2.30.0-rc.1", True),
    ],
)
def test_current_is_at_least_the_newest_by_semantic_version(
    own: str, newest: str, current: bool
) -> None:
    assert is_current(own, newest) is current
