"""Sites whose pages have policies, and that forward the reports of a browser to the service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.csp.reports import PATH
from tests.support.processes import DEADLINE_SECONDS
from tests.support.servers.certificates import Authority, Pair
from tests.support.servers.local_server import answering

PASSED = frozenset({"cookie", "content-type", "host", "origin", "sec-fetch-site", "user-agent"})


class Site(BaseHTTPRequestHandler):
    """Serves pages, signs readers in or names an ingest key, and forwards reports.

    `pages` has the headers of each page, by its path. `behind` is the address of the service.
    """

    protocol_version = "HTTP/1.1"
    pages: Mapping[str, Mapping[str, str]] = {}
    page = b""
    code = b""
    behind = ""
    token = ""
    key = ""

    def do_GET(self) -> None:
        headers = self.pages.get(self.path)
        if self.path == "/code.js":
            self._answer(200, self.code, {"Content-Type": "text/javascript"})
        elif headers is None:
            self._answer(404, b"", {})
        elif self.key:
            headers = {n: v.replace(PATH, f"{PATH}?key={self.key}") for n, v in headers.items()}
            self._answer(200, self.page, {"Content-Type": "text/html", **headers})
        else:
            cookie = f"coder_session_token={self.token}; Path=/; Secure; HttpOnly"
            self._answer(
                200, self.page, {"Content-Type": "text/html", "Set-Cookie": cookie, **headers}
            )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        passed = {n: v for n, v in self.headers.items() if n.lower() in PASSED}
        connection = HTTPConnection(self.behind, timeout=DEADLINE_SECONDS)
        connection.request("POST", self.path, body, passed)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self._answer(answer.status, content, {})

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing, to keep the output of the tests short."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], pair: Pair | None) -> Iterator[str]:
    """Serves a site over https, or over http without a certificate."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if pair:
        server.socket = pair.serving().wrap_socket(server.socket, server_side=True)
    with answering(server):
        yield f"{'https' if pair else 'http'}://127.0.0.1:{server.server_port}"


@contextmanager
def forwarding(directory: Path, live_server: Any, **members: Any) -> Iterator[str]:
    """Serves a site over https that forwards reports to the live server. Yields its address."""
    members = {"behind": live_server.url.removeprefix("http://"), **members}
    site = type("ForwardingSite", (Site,), members)
    with serving(site, Authority(directory).pair("site")) as address:
        yield address


POLICY = "Content-Security-Policy"


def by_report_uri(policy: str, *, header: str = POLICY) -> dict[str, str]:
    """Returns the headers of a page with this policy."""
    return {header: f"{policy}; report-uri {PATH}"}


def by_report_to(policy: str, *, header: str = POLICY, url: str = PATH) -> dict[str, str]:
    return {header: f"{policy}; report-to csp", "Reporting-Endpoints": f'csp="{url}"'}
