"""Coder and this service share a host name in a real browser, and neither breaks the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.browsers.browser import Browser, browsing, needs_browser
from tests.support.coder.stand_in import StandInCoder
from tests.support.csp.reports import fresh_writer
from tests.support.factories import PASSWORD, make_key, make_user
from tests.support.processes import free_port, wait_for
from tests.support.servers.proxies import needs_nginx, nginx
from tokens.models import APIKey
from tokens.verification.extraction import COOKIE
from users.models import User

pytestmark = [pytest.mark.django_db(transaction=True), needs_browser, needs_nginx]

SEND = """
const [method, path] = arguments;
return fetch(path, {method, body: method === "GET" ? undefined : "{}"}).then(it => it.status);
"""

# Without more arguments, the form is empty.
SUBMIT = """
const form = document.body.appendChild(document.createElement("form"));
form.method = "POST";
form.action = arguments[0];
if (arguments[1]) {
    form.enctype = "text/plain";
    const field = form.appendChild(document.createElement("input"));
    field.name = `{"email": "${arguments[1]}", "password": "${arguments[2]}", "x": "`;
    field.value = '"}';
}
form.submit();
"""


@contextmanager
def one_host_name(directory: Path, *, coder: str, ours: str) -> Iterator[int]:
    """Starts nginx, which sends /api/v2/ here and the rest to Coder. Yields its port."""
    port = free_port()
    servers = f"""
        server {{
            listen 127.0.0.1:{port};
            proxy_set_header Host $http_host;
            location / {{ proxy_pass {coder}; }}
            location /api/v2/ {{ proxy_pass {ours}; }}
        }}
    """
    with nginx(servers, directory, port=port):
        yield port


@pytest.fixture
def member(transactional_db: None) -> User:
    return make_user()


@pytest.fixture
def port(live_server: Any, tmp_path: Path) -> Iterator[int]:
    with (
        fresh_writer(),
        StandInCoder() as coder,
        one_host_name(tmp_path, coder=coder.url, ours=live_server.url) as port,
    ):
        yield port


@pytest.fixture
def browser(port: int, member: User, tmp_path: Path) -> Iterator[Browser]:
    with browsing(tmp_path / "profile") as window:
        window.open(f"http://127.0.0.1:{port}/")
        cookie = {"name": COOKIE, "value": make_key(member).token, "httpOnly": True}
        window.command("Network.setCookie", cookie | {"domain": "127.0.0.1"})
        yield window


def test_csrf_cookie_of_coder_stays_after_each_answer(browser: Browser) -> None:
    before = proof_in(browser)
    for method, path, status in (
        ("GET", "/api/v2/buildinfo", 200),
        ("GET", "/api/v2/users/me", 200),
        ("POST", "/api/v2/users/me/keys", 201),
        ("POST", "/api/v2/csp/reports", 400),
        ("POST", "/api/v2/users/login", 400),
        ("POST", "/api/v2/users/logout", 200),
    ):
        assert browser.run(SEND, method, path) == status, path
        assert proof_in(browser) == before


def proof_in(browser: Browser) -> str:
    """Returns the cookie `csrf_token`. Without it, Coder rejects writes of its dashboard."""
    cookies = browser.command("Network.getAllCookies", {})["cookies"]
    (proof,) = [each["value"] for each in cookies if each["name"] == "csrf_token"]
    return str(proof)


def test_another_sites_form_writes_nothing_and_does_not_sign_in(
    browser: Browser, port: int, member: User
) -> None:
    """A form with enctype text/plain can send a body that is valid JSON."""
    attacker = make_user()
    before = APIKey.objects.count()
    for path, *more in (("users/me/keys",), ("users/login", attacker.email, PASSWORD)):
        target = f"http://127.0.0.1:{port}/api/v2/{path}"
        # For the browser, localhost is another site. It still sends a new cookie.
        browser.open(f"http://localhost:{port}/")
        browser.run(SUBMIT, target, *more)
        wait_for(lambda target=target: browser.address == target)  # type: ignore[misc]
        assert "Another site sent this request" in browser.run("return document.body.innerText")
    assert APIKey.objects.count() == before
    browser.open(f"http://127.0.0.1:{port}/api/v2/users/me")
    assert member.username in browser.run("return document.body.innerText")
