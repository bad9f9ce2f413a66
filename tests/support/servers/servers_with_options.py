"""Servers that start with given options."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.support.processes import own_database
from tests.support.servers.live import Answer, Server

OWNER, EMAIL = "owner", "owner@example.com"
_addresses = itertools.count()
PASSWORD = "correct-horse-battery-staple"


class Obeying:
    """A running server. Its log is in `directory`, and its first owner can sign in."""

    def __init__(self, server: Server, directory: Path, database: str, *, pages: str) -> None:
        self.server = server
        self.pages = pages
        self.directory = directory
        self.database = database
        self._token = ""

    @property
    def log(self) -> str:
        return self.server.log.read_text()

    def port(self, scheme: str = "http") -> int:
        return self.server.port_of(scheme)

    def ask(self, path: str, **more: Any) -> Answer:
        """Sends the request from a new address, in the header that a trusted proxy sets."""
        more.setdefault("X_Real_Ip", f"198.51.100.{next(_addresses) % 250}")
        return self.server.ask(path, **more)

    def sign_in(self, **headers: Any) -> Answer:
        body = {"email": EMAIL, "password": PASSWORD}
        return self.ask("/api/v2/users/login", method="POST", body=body, **headers)

    @property
    def token(self) -> str:
        """Signs the owner in once, and returns the session token."""
        if not self._token:
            self._token = self.sign_in().json["session_token"]
        return self._token

    def admin_cookies(self, **headers: str) -> str:
        """Signs the owner in to the admin. Returns the cookies that a browser then sends."""
        form = self.ask(f"{self.pages}login", **headers)
        (cookie,) = [text for text in form.cookies if "coderapi_csrf=" in text]
        token = cookie.partition(";")[0]
        fields = {"name": OWNER, "password": PASSWORD}
        body = urlencode({**fields, "csrfmiddlewaretoken": token.partition("=")[2]}).encode()
        headers |= {"Cookie": token, "Content_Type": "application/x-www-form-urlencoded"}
        answer = self.ask(f"{self.pages}login", method="POST", body=body, **headers)
        assert answer.status == 302, answer.status
        return "; ".join(text.partition(";")[0] for text in answer.cookies)

    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.ask_as_owner("/api/v2/deployment/config").json["config"]
        return config

    def ask_as_owner(self, path: str, **more: Any) -> Answer:
        return self.ask(path, token=self.token, **more)


@contextmanager
def obeying(*flags: str, **options: str) -> Iterator[Obeying]:
    """Starts a server with its own database."""
    with ExitStack() as stack:
        database = stack.enter_context(own_database())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coderapi-obey-")))
        server = Server(
            *flags,
            log=directory / "log",
            **{
                "DATABASE_URL": database,
                "CODERAPI_FIRST_OWNER_USERNAME": OWNER,
                "CODERAPI_FIRST_OWNER_EMAIL": EMAIL,
                "CODERAPI_FIRST_OWNER_PASSWORD": PASSWORD,
                **options,
            },
        )
        stack.callback(server.kill_all)
        server.wait_for_log(" answers\n")
        yield Obeying(server, directory, database, pages=options.get("CODERAPI_PAGES_PATH", "/"))
