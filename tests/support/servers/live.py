"""A real server in separate processes."""

from __future__ import annotations

import itertools
import json
import re
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPMessage, HTTPSConnection
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import pytest

from tests.support.processes import (
    DEADLINE_SECONDS,
    HANG_SECONDS,
    Program,
    command_line,
    own_database,
    wait_for,
)

ANY_PORT = "127.0.0.1:0"
OWNER, EMAIL = "owner", "owner@example.com"
PASSWORD = "correct-horse-battery-staple"
_addresses = itertools.count()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: HTTPMessage
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def cookies(self) -> list[str]:
        return self.headers.get_all("Set-Cookie", [])


def send(
    port: int,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Returns the answer to one request to a port of this machine."""
    with closing(
        HTTPSConnection("localhost", port, timeout=DEADLINE_SECONDS, context=tls)
        if tls
        else HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
    ) as connection:
        connection.request(method, path, body, headers=headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())


class Server(Program):
    """A server on a free port, by default with one web process and its data beside its log.

    An empty address comes from the settings. If the server trusts the header X-Real-Ip, each
    request has an address of its own.

    As a context manager it answers when the block begins, and is killed at its end.
    """

    def __init__(self, *arguments: str, log: Path, address: str = ANY_PORT, **more: str) -> None:
        more = {"CODERAPI_DATA_DIR": str(log.parent), "CODERAPI_WEB_WORKERS": "1", **more}
        flags = ("--http-address", address) if address else ()
        super().__init__("server", *flags, *arguments, log=log, **more)
        self._data_dir = Path(more["CODERAPI_DATA_DIR"])
        self._trusted = more.get("CODER_PROXY_TRUSTED_HEADERS")
        self.pages = more.get("CODERAPI_PAGES_PATH", "/")
        self.database = more.get("DATABASE_URL", "")

    def __enter__(self) -> Self:
        try:
            self.wait_for_log(" answers")
        except BaseException:
            self.kill_all()
            raise
        return self

    @property
    def owner_token(self) -> str:
        """Returns the session token that the first start has made for the first owner."""
        shown = (self._data_dir / "first-owner.txt").read_text()
        return shown.split("session token")[1].split()[0]

    @property
    def port(self) -> int:
        """Waits until the server answers, and returns its port."""
        return self.port_of("http")

    def port_of(self, scheme: str) -> int:
        ready = re.compile(rf"Ready: {scheme}://127\.0\.0\.1:(\d+) answers\n")

        def found() -> str | None:
            match = ready.search(self.log.read_text())
            assert match or self.process.poll() is None, self.log.read_text()
            return match and match[1]

        return int(str(wait_for(found, seconds=HANG_SECONDS)))

    def get(self, path: str = "/healthz") -> int:
        return self.ask(path).status

    def answers(self) -> bool:
        try:
            return self.get() == 200
        except OSError:
            return False

    def processes(self, having: str) -> set[int]:
        return {pid for pid in self.all_processes() if having in command_line(pid)}

    def web_workers(self) -> set[int]:
        return self.processes("coderapi: web")

    def ask(
        self,
        path: str,
        *,
        token: str = "",
        method: str = "GET",
        body: object = None,
        tls: ssl.SSLContext | None = None,
        **headers: str,
    ) -> Answer:
        """Returns the answer to one request. Underscores in names of headers become hyphens.

        A body that is not bytes is sent as JSON.
        """
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        if self._trusted == "X-Real-Ip":
            sent.setdefault("X-Real-Ip", f"198.51.100.{next(_addresses) % 250}")
        if token:
            sent["Coder-Session-Token"] = token
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        port = self.port_of("https") if tls else self.port
        return send(port, path, method=method, body=content, headers=sent, tls=tls)

    def ask_as_owner(self, path: str, **more: Any) -> Answer:
        return self.ask(path, token=self.owner_token, **more)

    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.ask_as_owner("/api/v2/deployment/config").json["config"]
        return config

    def sign_in(self, **headers: Any) -> Answer:
        """Signs in the owner of `obeying` with the API."""
        body = {"email": EMAIL, "password": PASSWORD}
        return self.ask("/api/v2/users/login", method="POST", body=body, **headers)

    def admin_cookies(self, **headers: Any) -> str:
        """Signs the owner in to the admin. Returns the cookies that a browser then sends."""
        form = self.ask(f"{self.pages}login", **headers)
        (cookie,) = [text for text in form.cookies if "coderapi_csrf=" in text]
        fields = {"name": OWNER, "password": PASSWORD}
        answer = self.post_form(f"{self.pages}login", fields, Cookie=cookie, **headers)
        return "; ".join(text.partition(";")[0] for text in answer.cookies)

    def post_form(self, path: str, fields: dict[str, str], **headers: Any) -> Answer:
        """Sends a form that must be accepted. The cookies have the proof of its page."""
        proof = headers["Cookie"].partition("coderapi_csrf=")[2].partition(";")[0]
        body = urlencode({**fields, "csrfmiddlewaretoken": proof}).encode()
        headers["Content_Type"] = "application/x-www-form-urlencoded"
        answer = self.ask(path, method="POST", body=body, **headers)
        assert answer.status == 302, (path, answer.status, answer.body[-3000:])
        return answer


@contextmanager
def own_server(*flags: str, log: Path, **settings: str) -> Iterator[Server]:
    """Starts a server with a database of its own, unless another is given."""
    with (
        own_database() as url,
        Server(*flags, log=log, **{"DATABASE_URL": url, **settings}) as server,
    ):
        yield server


@contextmanager
def obeying(*flags: str, **settings: str) -> Iterator[Server]:
    """Starts a server with a database and a directory of its own. Its first owner can sign in."""
    owner = {"USERNAME": OWNER, "EMAIL": EMAIL, "PASSWORD": PASSWORD}
    first = {f"CODERAPI_FIRST_OWNER_{name}": text for name, text in owner.items()}
    with (
        tempfile.TemporaryDirectory(prefix="coderapi-obey-") as directory,
        own_server(*flags, log=Path(directory) / "log", **{**first, **settings}) as server,
    ):
        yield server


def server_fixture(*flags: str, **settings: str) -> Any:
    """Makes a fixture: the server that the tests of a module share, with a database of its own."""

    @pytest.fixture(scope="module")
    def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
        log = tmp_path_factory.mktemp("server") / "log"
        with own_server(*flags, log=log, **settings) as found:
            yield found

    return server
