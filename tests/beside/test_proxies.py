"""Coder and this service behind nginx or Caddy, with the configuration of docs/beside-coder.md."""

from __future__ import annotations

import re
import secrets
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, replace
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.support.browsers.browser import Browser, browsing, needs_browser
from tests.support.coder.releases import RELEASES, Release
from tests.support.coder.stand_in import Key, Person, StandInCoder
from tests.support.commands import manage
from tests.support.processes import DEADLINE_SECONDS, PROJECT, free_port, wait_for
from tests.support.servers.live import Answer, Server, obeying
from tests.support.servers.proxies import caddy, make_certificate, needs_caddy, needs_nginx, nginx

pytestmark = needs_nginx

GUIDE = (PROJECT / "docs" / "beside-coder.md").read_text()
# Each path of the table, and the service that gets it in each setup.
TABLE = {
    path: (few, everything)
    for text, few, everything in re.findall(r"^\| (`.*) \| (\w+) \| (\w+) \|$", GUIDE, re.MULTILINE)
    for path in re.findall(r"`(/[^`]*)`", text)
}
ADMIN = "/coderapi/admin/"
# The cookies of Coder, by name.
CODERS = {"coder_session_token", "csrf_token"}
PROFILE = """
const proof = document.querySelector("meta[name=csrf-token]").content;
return fetch("/api/v2/users/me/profile",
    {method: "PUT", headers: {"X-CSRF-TOKEN": proof}, body: "{}"}).then(answer => answer.status);
"""


SETTINGS = {
    "CODERAPI_USER_SOURCE": "coder",
    "CODERAPI_PAGES_PATH": "/coderapi/",
    "CODERAPI_WIRE_FORMAT": "coderd",
    "CODER_SECURE_AUTH_COOKIE": "true",
    "CODER_PROXY_TRUSTED_HEADERS": "X-Forwarded-For",
    "CODER_PROXY_TRUSTED_ORIGINS": "127.0.0.1",
}
PROXIES = {"nginx": nginx, "caddyfile": caddy}
every_proxy = pytest.mark.parametrize(
    "proxy", ["nginx", pytest.param("caddyfile", marks=needs_caddy)], indirect=True
)


def documented_configuration(language: str, location: str, places: dict[str, str]) -> str:
    """Returns the configuration of the guide, with this location and these places."""
    found = re.search(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert found
    text = re.sub(r"\^\(\(/api\S+", lambda _: location, found[1])
    for old, new in places.items():
        text = text.replace(old, new)
    return text


FEW, ALL = (
    next(re.finditer(pattern, GUIDE))[1]
    for pattern in (r"location ~ (\S+) \{", r"expression instead:\n\n```\n(\S+)\n```")
)


@dataclass
class Pair:
    """Both services, and the port of the proxy in front of them."""

    coder: StandInCoder
    ours: Server
    port: int
    tls: ssl.SSLContext
    directory: Path

    proxy: str = "nginx"

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def connection(self) -> HTTPSConnection:
        return HTTPSConnection("localhost", self.port, timeout=DEADLINE_SECONDS, context=self.tls)

    def ask(
        self, path: str, *, cookie: str = "", method: str = "GET", body: str = "", **headers: str
    ) -> Answer:
        sent = {"Cookie": cookie} if cookie else {}
        with closing(self.connection()) as connection:
            connection.request(method, path, body or None, headers=sent | headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def behind_proxy(self, location: str, directory: Path) -> AbstractContextManager[None]:
        tls = self.directory
        places = {
            "443": str(self.port),
            "/etc/ssl/coder": str(tls),
            "coder.example.com {": f"{self.url} {{\ntls {tls}/fullchain.pem {tls}/privkey.pem",
            "127.0.0.1:3000": f"127.0.0.1:{self.coder.server_port}",
            "127.0.0.1:3001": f"127.0.0.1:{self.ours.port}",
        }
        text = documented_configuration(self.proxy, location, places)
        return PROXIES[self.proxy](text, directory, port=self.port)

    def signed_in(self, *roles: str) -> str:
        """Makes a user with these roles in Coder. Returns the cookie of a session of the user."""
        key = self.coder.add(Key(Person(f"user-{secrets.token_hex(4)}", roles)))
        return f"coder_session_token={key.token}"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory, port = tmp_path_factory.mktemp("pair"), free_port()
    make_certificate(directory)
    tls = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    with ExitStack() as stack:
        coder = stack.enter_context(StandInCoder())
        coder.dashboard = f"https://localhost:{port}"
        ours = stack.enter_context(
            obeying(
                CODERAPI_CODER_URL=coder.url,
                CODER_ACCESS_URL=coder.dashboard,
                CODER_SWAGGER_ENABLE="true",
                **SETTINGS,
            )
        )
        made = Pair(coder, ours, port, tls, directory)
        stack.enter_context(made.behind_proxy(ALL, directory))
        yield made


@pytest.fixture
def proxy(request: pytest.FixtureRequest, pair: Pair) -> Pair:
    """The pair behind a proxy of its own, which does not run yet."""
    return replace(pair, proxy=request.param, port=free_port())


def names_of(answer: Answer) -> set[str]:
    return {text.partition("=")[0] for text in answer.cookies}


# --- The proxy --------------------------------------------------------------------------------


def is_ours(answer: Answer) -> bool:
    return "+coderapi." in (answer.headers["X-Coder-Build-Version"] or "")


@every_proxy
@pytest.mark.parametrize(("location", "column"), [(FEW, 0), (ALL, 1)], ids=["few", "all"])
def test_paths_and_coders_requests_pass_the_proxy(
    proxy: Pair, tmp_path: Path, location: str, column: int
) -> None:
    with proxy.behind_proxy(location, tmp_path):
        found = {path: "coderapi" if is_ours(proxy.ask(path)) else "Coder" for path in TABLE}
        assert found == {path: services[column] for path, services in TABLE.items()}
        check_uploads_streams_and_websockets(proxy)


def check_uploads_streams_and_websockets(pair: Pair) -> None:
    body = f'"{"x" * 12_000_000}"'
    assert pair.ask("/api/v2/files", method="POST", body=body).json == {"size": 12_000_000}
    pair.coder.may_go_on.clear()
    with closing(pair.connection()) as connection:
        connection.request("GET", "/api/v2/workspacebuilds/1/logs")
        response = connection.getresponse()
        # The line arrives before the response is complete.
        assert response.readline() == b"first\n"
        pair.coder.may_go_on.set()
        assert response.readline() == b"last\n"
    with closing(pair.connection()) as connection:
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
        connection.request("GET", "/api/v2/workspaceagents/1/pty", headers=upgrade)
        assert connection.sock.recv(4096).startswith(b"HTTP/1.1 101 ")
        connection.sock.sendall(b"hello")
        assert connection.sock.recv(4096) == b"hello"


@pytest.mark.parametrize("identity", ["own", "coder"])
def test_all_operations_accept_one_cookie(pair: Pair, identity: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        if identity == "own":
            ours = stack.enter_context(obeying(**SETTINGS | {"CODERAPI_USER_SOURCE": "own"}))
            pair = replace(pair, ours=ours, port=free_port())
            stack.enter_context(pair.behind_proxy(ALL, tmp_path))
            cookie = f"coder_session_token={ours.owner_token}"
        else:
            cookie = pair.signed_in("owner")
        check_operations(pair, cookie)


def check_operations(pair: Pair, cookie: str) -> None:
    # Only the second setup sends these paths to coderapi.
    paths = [path for path, services in TABLE.items() if services == ("Coder", "coderapi")]
    found = {path: pair.ask(path, cookie=cookie) for path in paths}
    assert len(paths) == 9
    assert all(map(is_ours, found.values()))
    wait_for(lambda: pair.ask("/api/v2/deployment/stats", cookie=cookie).status == 200)
    assert {answer.status for path, answer in found.items() if "stats" not in path} == {200}
    body, json = '{"csp-report": {"document-uri": "https://x/"}}', "application/csp-report"
    sent = pair.ask("/api/v2/csp/reports", cookie=cookie, method="POST", body=body, accept=json)
    assert (sent.status, sent.json) == (200, "ok")


# --- The admin --------------------------------------------------------------------------------


def test_admin_accepts_the_session_of_coder(pair: Pair) -> None:
    owner, auditor, member = (pair.signed_in(*roles) for roles in (["owner"], ["auditor"], []))
    rules = f"{ADMIN}csp/noiserule/add/"

    for cookie, path, status in (
        (owner, ADMIN, 200),
        (owner, rules, 200),
        (auditor, ADMIN, 200),
        (auditor, rules, 403),
        (owner.replace("coder_", "__Host-coder_"), ADMIN, 200),
    ):
        assert pair.ask(path, cookie=cookie).status == status, (cookie, path)
    for cookie, status, location in (
        (member, 403, None),
        ("", 302, f"{pair.url}/login?redirect=/api/v2{ADMIN}csp/"),
        (f"x_{owner}", 302, f"{pair.url}/login?redirect=/api/v2{ADMIN}csp/"),
    ):
        answer = pair.ask(f"{ADMIN}login/?next={ADMIN}csp/", cookie=cookie)
        assert (answer.status, answer.headers["Location"]) == (status, location)
    page = pair.ask(f"{ADMIN}login/", cookie=member, Accept="text/html").body.decode()
    assert f'<a href="{pair.url}">' in page
    token = owner.partition("=")[2]
    assert pair.ask(f"{ADMIN}?coder_session_token={token}").status == 302
    assert pair.ask("/coderapi").headers["Location"] == "/coderapi/"
    # Coder's sign-in page would send a browser back at once, again and again.
    back = pair.ask(f"/api/v2{ADMIN}", Accept="text/html")
    assert back.status == 401
    # A path of the API that returns a page has the headers of pages.
    assert "frame-ancestors 'none'" in back.headers["Content-Security-Policy"]
    assert back.headers["X-Frame-Options"] == "DENY"

    pair.coder.keys.pop(token)
    wait_for(lambda: pair.ask(ADMIN, cookie=owner).status == 302, seconds=15)


def test_admin_action_is_recorded_under_the_user_of_coder(pair: Pair) -> None:
    cookie = pair.signed_in("owner")
    form = pair.ask(f"{ADMIN}csp/ingestkey/add/", cookie=cookie)
    name = "__Secure-coderapi_csrf="
    (csrf,) = [text.partition(";")[0] for text in form.cookies if text.startswith(name)]
    fields = {"name": "by a form", "csrfmiddlewaretoken": csrf.partition("=")[2]}
    sent = pair.ask(
        f"{ADMIN}csp/ingestkey/add/",
        method="POST",
        body=urlencode({**fields, "origins": "https://site.example.com"}),
        cookie=f"{cookie}; {csrf}",
        **{"Content-Type": "application/x-www-form-urlencoded", "Referer": pair.url},
    )
    assert sent.status == 302
    username = pair.coder.keys[cookie.partition("=")[2]].person.username
    page = pair.ask(f"{ADMIN}audit/entry/", cookie=cookie).body.decode()
    assert re.search(rf"csp\.ingest_key.*?{username}", page, re.DOTALL)


def test_coder_that_does_not_respond_is_named(pair: Pair) -> None:
    pair.coder.fault = "500"
    try:
        answer = pair.ask(f"{ADMIN}login/", cookie=pair.signed_in("owner"))
    finally:
        pair.coder.fault = ""
    assert answer.status == 503
    assert b"Coder returned status 500. Coder has not responded as expected since" in answer.body
    assert b"check_coder" in answer.body


def test_no_answer_sets_a_cookie_of_coder(pair: Pair) -> None:
    cookie = pair.signed_in("owner")
    pages = ("", "login", "logout", "account", "swagger", "nothing", "favicon.ico", "admin")
    targets = [f"/coderapi/{page}" for page in (*pages, "admin/", "admin/logout/", "admin/login/")]
    targets += [f"/api/v2/users/{name}" for name in ("login", "logout", "me", "first")]
    for cookies in ("", cookie, "coder_session_token=x; csrf_token=y"):
        for path in targets:
            for method in ("GET", "POST"):
                answer = pair.ours.ask(path, method=method, body=b"{}", Cookie=cookies)
                assert names_of(answer).isdisjoint(CODERS), (method, path)
                assert all("Path=/coderapi/" in text for text in answer.cookies), answer.cookies
                assert answer.status < 500


# --- A browser --------------------------------------------------------------------------------


@needs_browser
def test_browser_uses_both_in_turns_with_one_session(pair: Pair, tmp_path: Path) -> None:
    pair.coder.add(Key(Person("ada", ("owner",))))

    with browsing(tmp_path, flags=["--ignore-certificate-errors"]) as browser:
        browser.open(f"{pair.url}{ADMIN}csp/report/?all=1")
        assert browser.address.startswith(f"{pair.url}/login?redirect=")
        browser.type_into("#email", "ada@example.com")
        browser.click("button")
        wait_for(lambda: browser.address == f"{pair.url}{ADMIN}csp/report/?all=1")
        before = cookies_of_coder(browser)
        assert set(before) == CODERS

        # Chromium reports the script that Coder's own policy blocks.
        browser.open(f"{pair.url}/workspaces")
        wait_for(lambda: has_report(browser, pair))
        browser.open(f"{pair.url}{ADMIN}csp/ingestkey/add/")
        browser.type_into("#id_name", "site")
        browser.type_into("#id_origins", "https://site.example.com")
        browser.click("[name=_save]")
        # Otherwise the page after the form may replace the next one.
        wait_for(lambda: browser.address == f"{pair.url}{ADMIN}csp/ingestkey/")
        browser.open(f"{pair.url}/coderapi/swagger")
        wait_for(lambda: browser.run("return document.querySelector('.opblock') !== null"))
        browser.open(f"{pair.url}/workspaces")
        assert cookies_of_coder(browser) == before
        assert browser.run(PROFILE) == 200


def cookies_of_coder(browser: Browser) -> dict[str, str]:
    found = browser.command("Network.getAllCookies", {})["cookies"]
    assert all(each["path"] == "/coderapi/" for each in found if each["name"] not in CODERS)
    return {each["name"]: each["value"] for each in found if each["name"] in CODERS}


def has_report(browser: Browser, pair: Pair) -> bool:
    browser.open(f"{pair.url}{ADMIN}csp/report/")
    return bool(browser.run("return document.body.innerText.includes('cdn.example.net')"))


# --- The command ------------------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES, ids=str)
def test_check_finds_no_fault(pair: Pair, release: Release) -> None:
    with pair.coder.playing(release):
        checked = manage(
            "check_coder",
            SSL_CERT_FILE=str(pair.directory / "ca.pem"),
            DATABASE_URL=pair.ours.database,
            CODERAPI_CODER_URL=pair.coder.url,
            CODER_ACCESS_URL=pair.url,
            **SETTINGS,
        )
    assert (checked.returncode, checked.stderr) == (0, "")
    lines = checked.stdout.splitlines()
    assert {line.split()[0] for line in lines} == {"ok"}
    assert len(lines) == 12
