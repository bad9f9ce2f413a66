"""Coder and this service share a host name in a real browser, and neither breaks the other."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browser, browsing, needs_browser
from tests.support.csp_reports import fresh_writer
from tests.support.factories import PASSWORD, make_key, make_user
from tests.support.processes import DEADLINE_SECONDS, free_port, wait_for
from tests.support.proxies import NGINX, is_open, needs_nginx
from tokens.models import APIKey
from users.models import User

pytestmark = [pytest.mark.django_db(transaction=True), needs_browser, needs_nginx]

# This token is longer than Django's tokens, so Django would replace it.
CODERS_COOKIE = "JXm9hOUdZctWt0ZZGAy9xiS/gxMKYOThdxjjMUMUyn4="

SEND = """
const [method, path, csrf] = arguments;
const headers = csrf ? {"X-CSRF-TOKEN": csrf} : {};
return fetch(path, {method, headers, body: method === "GET" ? undefined : "{}"})
    .then(answer => answer.status);
"""
SIGN_IN = """
const form = document.body.appendChild(document.createElement("form"));
form.method = "POST";
form.enctype = "text/plain";
form.action = arguments[0];
const field = form.appendChild(document.createElement("input"));
field.name = `{"email": "${arguments[1]}", "password": "${arguments[2]}", "x": "`;
field.value = '"}';
form.submit();
"""
SUBMIT = """
const form = document.body.appendChild(document.createElement("form"));
form.method = "POST";
form.action = arguments[0];
form.submit();
"""
COOKIE = "return document.cookie.split('; ').find(c => c.startsWith('csrf_token=')).slice(11);"


class Coder(BaseHTTPRequestHandler):
    """Acts as Coder's dashboard: a page that sets cookies, and a write that needs one."""

    session_token = ""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header(
            "Set-Cookie", f"coder_session_token={self.session_token}; Path=/; HttpOnly"
        )
        self.send_header("Set-Cookie", f"csrf_token={CODERS_COOKIE}; Path=/")
        self.end_headers()

    def do_POST(self) -> None:
        has_header = self.headers.get("X-CSRF-TOKEN") == CODERS_COOKIE
        has_cookie = f"csrf_token={CODERS_COOKIE}" in self.headers.get("Cookie", "")
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if has_header and has_cookie else 400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing."""


@contextmanager
def serving_coder(session_token: str) -> Iterator[int]:
    handler = type("SignedIn", (Coder,), {"session_token": session_token})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextmanager
def one_host_name(directory: Path, *, coder: int, ours: str) -> Iterator[int]:
    """Starts nginx, which sends /api/v2/ here and the rest to Coder. Yields its port."""
    port = free_port()
    scratch = "\n".join(
        f"{kind}_temp_path {directory}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        f"""
        daemon off; pid {directory}/pid; error_log stderr crit; events {{}}
        http {{
            {scratch}
            access_log off;
            server {{
                listen 127.0.0.1:{port};
                proxy_set_header Host $http_host;
                location / {{ proxy_pass http://127.0.0.1:{coder}; }}
                location /api/v2/ {{ proxy_pass {ours}; }}
            }}
        }}
        """
    )
    assert NGINX
    process = subprocess.Popen([NGINX, "-c", str(directory / "nginx.conf"), "-e", "stderr"])
    try:
        wait_for(lambda: is_open(port))
        yield port
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)


@pytest.fixture
def member(transactional_db: None) -> User:
    return make_user()


@pytest.fixture
def port(live_server: Any, member: User, tmp_path: Path) -> Iterator[int]:
    with (
        fresh_writer(),
        serving_coder(make_key(member).token) as coder,
        one_host_name(tmp_path, coder=coder, ours=live_server.url) as port,
    ):
        yield port


@pytest.fixture
def browser(port: int, tmp_path: Path) -> Iterator[Browser]:
    with browsing(tmp_path / "profile") as window:
        window.open(f"http://127.0.0.1:{port}/")
        yield window


def test_coders_writes_go_on_after_any_answer_of_ours(browser: Browser) -> None:
    before = browser.run(COOKIE)
    for method, path, status in (
        ("GET", "/api/v2/buildinfo", 200),
        ("GET", "/api/v2/users/me", 200),
        ("POST", "/api/v2/users/me/keys", 201),
        ("POST", "/api/v2/csp/reports", 400),
        ("POST", "/api/v2/users/login", 400),
        ("POST", "/api/v2/users/logout", 200),
    ):
        assert browser.run(SEND, method, path) == status
        assert browser.run(COOKIE) == before
        assert browser.run(SEND, "POST", "/coders/write", before) == 200


def test_another_sites_form_writes_nothing_and_does_not_sign_in(
    browser: Browser, port: int, member: User
) -> None:
    """A form with enctype text/plain can send a body that is valid JSON."""
    attacker = make_user()
    before = APIKey.objects.count()
    for script, path, *more in (
        (SUBMIT, "users/me/keys"),
        (SIGN_IN, "users/login", attacker.email, PASSWORD),
    ):
        target = f"http://127.0.0.1:{port}/api/v2/{path}"
        # For the browser, localhost is another site. It still sends a new cookie.
        browser.open(f"http://localhost:{port}/")
        browser.run(script, target, *more)
        wait_for(lambda target=target: browser.address == target)  # type: ignore[misc]
        assert "Another site sent this request" in browser.run("return document.body.innerText")
    assert APIKey.objects.count() == before
    browser.open(f"http://127.0.0.1:{port}/api/v2/users/me")
    assert member.username in browser.run("return document.body.innerText")
