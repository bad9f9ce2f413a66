"""The feed of coderapi's own releases."""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deployment.models import NewCoderapiRelease
from deployment.own_releases import check_for_own_release, newer_release, parse_feed
from jobs.registry import find
from kernel.outgoing import OutgoingError
from tests.support.api.client import signed_in
from tests.support.csp.groups import NOW
from tests.support.factories import make_user
from tests.support.servers.local_server import answering

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def running_release(settings: Any) -> None:
    """The release that runs, so that the releases of the feeds stay newer than it."""
    settings.VERSION = "0.1.0"


def entry(version: str, *, is_security: bool = False, summary: str = "") -> dict[str, Any]:
    url = f"https://git.example.com/releases/{version}"
    return {"version": version, "url": url, "is_security": is_security, "summary": summary}


def feed(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"releases": entries}).encode()


OLD, MINOR = entry("0.0.9", is_security=True), entry("0.2.0", summary="Charts.")
FIX = entry("0.1.1", is_security=True, summary="A leak.")


@pytest.fixture
def file(tmp_path: Path, settings: Any) -> Path:
    """The file of the feed."""
    file = tmp_path / "feed.json"
    settings.RELEASE_FEED = str(file)
    return file


@pytest.mark.parametrize(
    ("entries", "found", "version", "is_security", "summary"),
    [
        ([OLD], 0, "", False, ""),
        ([OLD, entry("0.1.0")], 0, "", False, ""),
        ([MINOR, OLD], 1, "0.2.0", False, "Charts."),
        ([FIX], 1, "0.1.1", True, "A leak."),
        ([FIX, MINOR], 1, "0.2.0", True, "A leak."),
        ([entry("0.1.10"), entry("0.1.9")], 1, "0.1.10", False, ""),
        ([entry("0.3.0-rc.1", is_security=True)], 0, "", False, ""),
        ([entry("0.3.0-rc.1", is_security=True), MINOR], 1, "0.2.0", False, "Charts."),
    ],
)
def test_newest_release_is_stored(
    file: Path, entries: list[Any], found: int, version: str, is_security: bool, summary: str
) -> None:
    file.write_bytes(feed(*entries))
    assert check_for_own_release(NOW) == found
    known = NewCoderapiRelease.objects.get()
    assert (known.version, known.is_security, known.summary) == (version, is_security, summary)
    assert known.succeeded_at == NOW
    assert (newer_release() is not None) is bool(version)


def test_only_a_pre_release_hears_of_pre_releases(file: Path, settings: Any) -> None:
    file.write_bytes(feed(MINOR, entry("0.3.0-rc.2")))
    settings.VERSION = "0.3.0-rc.1"
    assert check_for_own_release(NOW) == 1
    assert NewCoderapiRelease.objects.get().version == "0.3.0-rc.2"
    file.write_bytes(feed(entry("0.3.0-rc.2"), entry("0.3.0")))
    assert check_for_own_release(NOW) == 1
    assert NewCoderapiRelease.objects.get().version == "0.3.0"
    settings.VERSION = "0.2.0"
    NewCoderapiRelease.objects.update(version="0.3.0-rc.2")
    assert newer_release() is None


def test_feed_is_read_from_a_server(settings: Any) -> None:
    class Feed(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(feed(FIX))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Feed)
    with answering(server):
        settings.RELEASE_FEED = f"http://127.0.0.1:{server.server_port}/feed.json"
        assert check_for_own_release(NOW) == 1
    assert NewCoderapiRelease.objects.get().url == FIX["url"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"releases": 1}',
        b'{"releases": [{}]}',
        feed(entry("new")),
        feed({**FIX, "url": "javascript:alert(1)"}),
        feed({**FIX, "summary": 1}),
        feed({**FIX, "summary": ["A leak."]}),
        feed({**FIX, "summary": "A leak.\0"}),
        feed({**FIX, "url": "https://git.example.com/\0"}),
        feed(entry("0.2.0-" + 60 * "a")),
    ],
)
def test_other_content_is_no_feed(body: bytes) -> None:
    with pytest.raises(OutgoingError, match="not a feed of releases"):
        list(parse_feed(body))


def test_unreadable_feed_keeps_the_known_release(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_bytes(feed(FIX))
    check_for_own_release(NOW)
    file.unlink()
    assert check_for_own_release(NOW) == 0
    known = NewCoderapiRelease.objects.get()
    assert (known.version, known.error) == ("0.1.1", f"{file}: No such file or directory")
    assert "The feed of CODERAPI_RELEASE_FEED cannot be used" in caplog.text


@pytest.mark.parametrize("url", ["ftp://u:secret@host/feed", "http://u:secret@[::1/feed"])
def test_invalid_url_is_an_error_without_its_secret(settings: Any, url: str) -> None:
    settings.RELEASE_FEED = url
    assert check_for_own_release(NOW) == 0
    error = NewCoderapiRelease.objects.get().error
    assert error
    assert "secret" not in error


def test_named_pipe_is_no_feed(file: Path) -> None:
    os.mkfifo(file)
    # A reader that opens the pipe would wait for this writer, and read an invalid feed from it.
    writer = threading.Thread(target=file.write_bytes, args=[b""], daemon=True)
    writer.start()
    assert check_for_own_release(NOW) == 0
    assert NewCoderapiRelease.objects.get().error == f"{file} is not a file"
    file.read_bytes()


def test_withdrawn_release_is_no_longer_shown(file: Path) -> None:
    for entries, found in (([FIX], 1), ([OLD], 0)):
        file.write_bytes(feed(*entries))
        assert check_for_own_release(NOW) == found
    assert newer_release() is None


def test_without_a_feed_nobody_is_asked(settings: Any) -> None:
    NewCoderapiRelease.objects.create(version="0.1.1", is_security=True)
    assert not settings.RELEASE_FEED
    assert not find("check_for_own_release").enabled()
    assert newer_release() is None


def test_first_page_shows_the_news(file: Path) -> None:
    browser = signed_in(make_user("owner"))
    for entries, shown in (
        ([OLD], "0.1.0 is current"),
        ([MINOR], "0.2.0 is available"),
        ([MINOR, FIX], "0.2.0 fixes a vulnerability"),
    ):
        file.write_bytes(feed(*entries))
        check_for_own_release(NOW)
        assert shown in browser.get("/admin/").text
