"""The update check, against a source of releases on this machine."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.utils import timezone

from deployment.models import UpdateCheck
from deployment.updatecheck import UpdateCheckError, check_for_update, is_current, parse_release
from jobs.models import JobRun
from jobs.registry import all_jobs
from jobs.services import run_job
from kernel import memory
from tests.support.client import APIClient
from tests.support.processes import free_port

PATH = "/api/v2/updatecheck"
pytestmark = pytest.mark.django_db


class Releases(ThreadingHTTPServer):
    """Answers each request as the test wants it, and remembers what was asked.

    `trickles` names the part of the answer that comes byte by byte until the test is over.
    """

    status = 200
    body = b""
    etag = '"1"'
    trickles = ""
    redirects = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, str]] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/latest"

    def publish(self, version: str) -> None:
        page = f"https://example.com/{version}"
        self.body = json.dumps({"tag_name": version, "html_url": page}).encode()
        self.etag = f'"{version}"'


class Handler(BaseHTTPRequestHandler):
    server: Releases

    def do_GET(self) -> None:
        self.server.asked.append(dict(self.headers))
        if self.server.trickles == "headers":
            return self._trickle(b"HTTP/1.0 200 OK\r\nX-Slow: ")
        if len(self.server.asked) <= self.server.redirects:
            self.send_response(302)
            self.send_header("Location", "/elsewhere?token=planted-too")
            return self.end_headers()
        known = self.headers.get("If-None-Match") == self.server.etag
        self.send_response(304 if known else self.server.status)
        self.send_header("ETag", self.server.etag)
        self.end_headers()
        if self.server.trickles == "body":
            return self._trickle(b"{")
        if not known:
            self.wfile.write(self.server.body)
        return None

    def _trickle(self, beginning: bytes) -> None:
        self.wfile.write(beginning)
        with contextlib.suppress(OSError):
            while not self.server.over.wait(0.02):
                self.wfile.write(b"x")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests' output is for the tests."""


@pytest.fixture
def releases(settings: Any) -> Iterator[Releases]:
    with Releases() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.UPDATE_CHECK = True
        settings.UPDATE_CHECK_URL = server.url
        yield server
        server.over.set()
        server.shutdown()


@pytest.fixture
def learnt(releases: Releases) -> Releases:
    """A source whose newest release is known here."""
    releases.publish("v2.30.1")
    assert check_for_update(timezone.now()) == 1
    return releases


def answered(client: APIClient) -> Any:
    memory.clear_all()
    return client.get(PATH).json()


def test_own_version_is_current_before_the_first_check(
    releases: Releases, anonymous: APIClient
) -> None:
    found = answered(anonymous)
    assert found["current"] is True
    assert found["version"].startswith("v2.29.0+coderapi.")


def test_newer_release_is_told_unless_the_check_is_disabled(
    settings: Any, learnt: Releases, anonymous: APIClient
) -> None:
    release = {"url": "https://example.com/v2.30.1", "version": "v2.30.1"}
    assert answered(anonymous) == {"current": False, **release}
    settings.UPDATE_CHECK = False
    assert answered(anonymous)["current"] is True


def test_second_check_asks_by_etag_of_the_same_source(settings: Any, learnt: Releases) -> None:
    assert check_for_update(timezone.now()) == 0
    assert learnt.asked[-1]["If-None-Match"] == '"v2.30.1"'
    settings.UPDATE_CHECK_URL = f"{learnt.url}?mirror"
    check_for_update(timezone.now())
    assert "If-None-Match" not in learnt.asked[-1]


def release(**members: object) -> bytes:
    page = {"tag_name": "v2.30.0", "html_url": "https://example.com"}
    return json.dumps({**page, **members}).encode()


BAD_ANSWERS = [
    *[(500, b""), (404, b"{}"), (200, b""), (200, b"<html>"), (200, b"[]")],
    *[(200, release(tag_name=name)) for name in ("latest", 5)],
    *[(200, release(html_url=url)) for url in ("javascript:alert(1)", None)],
    (200, b'{"tag_name": "v2.30.0"}'),
]


@pytest.mark.parametrize(("status", "body"), BAD_ANSWERS)
def test_bad_answer_keeps_what_was_known_and_notes_the_failure(
    learnt: Releases, anonymous: APIClient, status: int, body: bytes
) -> None:
    before, later = UpdateCheck.objects.get(), timezone.now() + timedelta(days=1)
    learnt.status, learnt.body, learnt.etag = status, body, '"other"'
    with pytest.raises(UpdateCheckError):
        check_for_update(later)
    known = UpdateCheck.objects.get()
    assert (known.failed_at, known.succeeded_at) == (later, before.succeeded_at)
    assert known.error
    assert answered(anonymous)["version"] == "v2.30.1"


def test_source_that_does_not_answer_is_a_failure_that_names_it(settings: Any) -> None:
    settings.UPDATE_CHECK_URL = f"http://127.0.0.1:{free_port()}/"
    with pytest.raises(UpdateCheckError, match="cannot be reached"):
        check_for_update(timezone.now())


@pytest.mark.parametrize("part", ["headers", "body"])
def test_source_that_answers_byte_by_byte_gets_one_deadline(releases: Releases, part: str) -> None:
    releases.trickles = part
    begun = time.monotonic()
    with pytest.raises(UpdateCheckError, match=r"did not answer within 0\.3 seconds"):
        check_for_update(timezone.now(), seconds=0.3)
    assert time.monotonic() - begun < 30
    assert "0.3 seconds" in UpdateCheck.objects.get().error


@pytest.mark.parametrize(("redirects", "learnt"), [(3, True), (4, False)])
def test_few_redirects_are_followed(releases: Releases, redirects: int, learnt: bool) -> None:
    releases.publish("v2.30.1")
    releases.redirects = redirects
    if learnt:
        assert check_for_update(timezone.now()) == 1
    else:
        with pytest.raises(UpdateCheckError, match="redirects more than 3 times"):
            check_for_update(timezone.now())


@pytest.mark.parametrize("status", [200, 500])
def test_password_and_query_of_the_url_are_sent_and_kept_nowhere(
    settings: Any, releases: Releases, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level("DEBUG")
    releases.publish("v2.30.1")
    releases.status, releases.redirects = status, 1
    settings.UPDATE_CHECK_URL = f"{releases.url}?token=planted".replace("//", "//me:planted@")
    job = next(job for job in all_jobs() if job.name == "update_check")
    run = run_job(job, timezone.now())
    assert run is not None
    wanted = "Basic " + base64.b64encode(b"me:planted").decode()
    assert [headers.get("authorization") for headers in releases.asked] == [wanted, wanted]
    kept = [UpdateCheck.objects.values().get(), JobRun.objects.filter(pk=run.pk).values().get()]
    assert "planted" not in f"{kept} {caplog.text}"
    assert (status == 200) is (run.error == "")


@pytest.mark.parametrize(
    ("own", "newest", "current"),
    [
        *[("2.29.0", newest, True) for newest in ("v2.29.0", "v2.28.9")],
        *[("2.29.0", newest, False) for newest in ("v2.29.1", "v2.100.0", "v2.30.0-rc.1")],
        *[(own, "v2.29.0", True) for own in ("2.29.0-devel", "2.29.0+meta")],
        ("2.30.0", "v2.30.0-rc.1", True),
    ],
)
def test_current_is_at_least_the_newest_by_semantic_version(
    own: str, newest: str, current: bool
) -> None:
    assert is_current(own, newest) is current


def test_release_is_read() -> None:
    assert parse_release(release(more=1)) == ("v2.30.0", "https://example.com")
