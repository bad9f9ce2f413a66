"""A real browser, over https, whose violations are found in the admin."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from csp.models import Group, Report
from tests.support.browser import browsing, needs_browser
from tests.support.certificates import Authority, Pair
from tests.support.client import APIClient
from tests.support.commands import run
from tests.support.csp_reports import PATH, fresh_writer, in_admin
from tests.support.local_server import answering
from tests.support.processes import wait_for

DEADLINE_SECONDS = 60.0
VISITS = 5
FLAGS = ("--ignore-certificate-errors", "--short-reporting-delay")

pytestmark = [pytest.mark.django_db(transaction=True), needs_browser]

PAGE = b"""<!doctype html><title>page</title>
<script src="https://blocked.example.net/lib.js"></script>
<script>document.title = "inline code ran"</script>"""

HEADERS = {
    "/by-report-uri": {"Content-Security-Policy": f"script-src 'none'; report-uri {PATH}"},
    "/by-report-uri-only": {
        "Content-Security-Policy-Report-Only": f"script-src 'none'; report-uri {PATH}"
    },
    "/by-report-to": {
        "Content-Security-Policy": "script-src 'none'; report-to csp",
        "Reporting-Endpoints": f'csp="{PATH}"',
    },
    "/by-report-to-only": {
        "Content-Security-Policy-Report-Only": "script-src 'none'; report-to csp",
        "Reporting-Endpoints": f'csp="{PATH}"',
    },
}


class Site(BaseHTTPRequestHandler):
    """Serves pages with policies, signs readers in, and forwards reports to the service."""

    protocol_version = "HTTP/1.1"
    behind = ""
    token = ""
    key = ""

    def do_GET(self) -> None:
        policy = HEADERS.get(self.path)
        if policy is None:
            self._answer(404, b"", {})
            return
        if self.key:
            policy = {n: v.replace(PATH, f"{PATH}?key={self.key}") for n, v in policy.items()}
        else:
            cookie = f"coder_session_token={self.token}; Path=/; Secure; HttpOnly"
            policy = {"Set-Cookie": cookie, **policy}
        self._answer(200, PAGE, {"Content-Type": "text/html", **policy})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        passed = {n: v for n, v in self.headers.items() if n.lower() in PASSED}
        connection = HTTPConnection(self.behind, timeout=DEADLINE_SECONDS)
        connection.request("POST", self.path, body, passed)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self._answer(answer.status, content, {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing, to keep the output of the tests short."""


PASSED = frozenset({"cookie", "content-type", "user-agent", "origin"})


@pytest.fixture
def site(
    live_server: Any, owner: APIClient, tmp_path: Path, transactional_db: None
) -> Iterator[str]:
    """The https address of a site whose reader is signed in."""
    handler = type(
        "SignedInSite",
        (Site,),
        {"behind": live_server.url.removeprefix("http://"), "token": owner.token},
    )
    with fresh_writer(), serving(handler, Authority(tmp_path).pair("site")) as address:
        yield address


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], pair: Pair | None) -> Iterator[str]:
    """Serves a site over https, or over http without a certificate."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if pair:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with answering(server):
        yield f"{'https' if pair else 'http'}://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("path", "format", "disposition"),
    [
        ("/by-report-uri", "report-uri", "enforce"),
        ("/by-report-uri-only", "report-uri", "report"),
        ("/by-report-to", "reporting-api", "enforce"),
        ("/by-report-to-only", "reporting-api", "report"),
    ],
)
def test_reports_of_chromium_are_shown_in_the_admin(
    site: str, tmp_path: Path, path: str, format: str, disposition: str
) -> None:
    with browsing(tmp_path / "profile", flags=FLAGS) as browser:
        browser.open(f"{site}{path}")
        wait_for(lambda: Report.objects.count() >= 2, seconds=DEADLINE_SECONDS)
    reports = {report.blocked_uri: report for report in Report.objects.all()}
    assert set(reports) == {"https://blocked.example.net/lib.js", "inline"}
    for report in reports.values():
        assert (report.format, report.disposition) == (format, disposition)
        assert report.document_uri == f"{site}{path}"
        assert report.effective_directive == "script-src-elem"
        assert report.browser.startswith("Chrome ")
    shown = in_admin("owner").get(reverse("admin:csp_report_changelist")).content.decode()
    assert "blocked.example.net" in shown


# Security software adds such a script to pages. The policy of the page blocks the script.
INJECTION = """
const script = document.createElement("script");
script.src = "https://gc.kis.v2.scr.kaspersky-labs.com/x.js";
document.head.append(script);
"""


def test_each_site_of_chromium_has_its_own_groups(
    live_server: Any, tmp_path: Path, settings: Any, transactional_db: None
) -> None:
    """Three sites: two over https with both ways of reporting, and one over http."""
    pair = Authority(tmp_path).pair("site")
    behind = live_server.url.removeprefix("http://")
    handlers: list[Any] = [type("KeyedSite", (Site,), {"behind": behind}) for _ in range(3)]
    with (
        fresh_writer(),
        serving(handlers[0], pair) as portal,
        serving(handlers[1], pair) as shop,
        serving(handlers[2], None) as old,
        browsing(tmp_path / "profile", flags=FLAGS) as browser,
    ):
        settings.ACCESS_URL = portal
        origins = [text for site in (portal, shop, old) for text in ("--origin", site)]
        key = run("create_ingest_key", *origins).split()[0]
        for handler in handlers:
            handler.key = key
        pages = {portal: "/by-report-to", shop: "/by-report-uri", old: "/by-report-uri"}
        for _ in range(VISITS):
            for site, path in pages.items():
                browser.open(f"{site}{path}")
                browser.run(INJECTION)
        expected = {
            (site, directive, blocked): VISITS
            for site in pages
            for directive, blocked in (
                ("script-src", "blocked.example.net"),
                ("script-src-elem", "inline"),
                ("script-src", "gc.kis.v2.scr.kaspersky-labs.com"),
            )
        }
        wait_for(
            lambda: sum(Group.objects.values_list("count", flat=True)) >= sum(expected.values()),
            seconds=DEADLINE_SECONDS,
        )
    groups = Group.objects.values_list("site", "directive", "blocked", "count")
    assert {(*cause, count) for *cause, count in groups} == {
        (*cause, count) for cause, count in expected.items()
    }
    noise = Group.objects.filter(rule__isnull=False).values_list("blocked", flat=True)
    assert set(noise) == {"gc.kis.v2.scr.kaspersky-labs.com"}
