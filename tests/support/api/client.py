"""Django's test client with a session token."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.test import Client

from kernel.http.wire import WireFormat
from tests.support.api.schema_validation import check_answer
from tests.support.factories import PASSWORD
from users.models import User


class APIClient(Client):
    """Sends a session token in the header. If a view raises an exception, the answer is a 500.

    It validates each answer against the OpenAPI document of its wire.
    """

    def __init__(self, *, user: User | None = None, token: str = "") -> None:
        super().__init__(raise_request_exception=False)
        self._user = user
        self.token = token

    @property
    def user(self) -> User:
        assert self._user is not None, "an anonymous client has no user"
        return self._user

    def request(self, **environ: Any) -> Any:
        if self.token:
            environ.setdefault("HTTP_CODER_SESSION_TOKEN", self.token)
        answer = super().request(**environ)
        check_answer(
            answer,
            method=environ["REQUEST_METHOD"],
            path=environ["PATH_INFO"],
            wire=_wire_of(environ.get("HTTP_CODERAPI_WIRE_FORMAT", "")),
        )
        return answer

    def post_json(self, path: str, body: bytes | str, **more: Any) -> Any:
        """Sends these bytes, valid JSON or not."""
        return self.post(path, body, content_type="application/json", **more)


def browser_of(user: User) -> Client:
    """Returns a browser in which the user is signed in to the admin."""
    browser = Client()
    browser.force_login(user)
    return browser


def signed_in(user: User) -> Client:
    """Returns a browser in which the user has signed in."""
    browser = Client()
    answer = browser.post("/login", {"name": user.username, "password": PASSWORD})
    assert answer.status_code == 302, answer.content
    return browser


def _wire_of(header: str) -> WireFormat:
    """Returns the wire of the answer. The error for an unknown wire is the same in both wires."""
    return WireFormat(header) if header in list(WireFormat) else WireFormat(settings.WIRE_FORMAT)
