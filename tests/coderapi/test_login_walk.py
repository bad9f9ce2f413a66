"""A client's whole life over real HTTP, in both wires: from the first user to a refused key."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit

import pytest

HOUR_NS = 3_600_000_000_000
TOKENS = "/users/me/keys/tokens"
OWNER_LIMIT_NS = 168 * HOUR_NS
PERSON = {"email": "ada@example.com", "username": "ada", "password": "analytical-engine"}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    cookies: SimpleCookie
    body: Any


@dataclass
class HTTP:
    """Sends JSON to a server, in one wire, and as nobody unless a header says who."""

    address: str
    wire: str
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = HTTPConnection(self.address, timeout=30)
        sent = {"Coder-Wire": self.wire} | {k.replace("_", "-"): v for k, v in headers.items()}
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, f"/api/v2{path}", content, sent)
            response = connection.getresponse()
            text = response.read()
            cookies: SimpleCookie = SimpleCookie()
            for line in response.headers.get_all("Set-Cookie", []):
                cookies.load(line)
            found = json.loads(text) if text else None
            headers_found = {k.lower(): v for k, v in response.headers.items()}
            return Answer(response.status, headers_found, cookies, found)
        finally:
            connection.close()


@pytest.mark.parametrize("wire", ["documented", "coderd"])
def test_client_walks_from_the_first_user_to_a_refused_key(live_server: Any, wire: str) -> None:
    call = HTTP(urlsplit(live_server.url).netloc, wire)

    session = sign_up_and_in(call)
    token = make_token(call, session)
    use_everywhere(call, token)
    look_at_limits_and_list(call, session, token)
    expire_and_sign_out(call, session, token)


def sign_up_and_in(call: HTTP) -> str:
    assert call("GET", "/users/first").status == 404
    assert call("POST", "/users/first", PERSON).status == 201
    assert call("POST", "/users/first", PERSON).status == 409
    login = call("POST", "/users/login", {k: PERSON[k] for k in ("email", "password")})
    assert login.status == 201
    session = str(login.body["session_token"])
    assert login.cookies["coder_session_token"].value == session
    return session


def make_token(call: HTTP, session: str) -> str:
    empty: list[Any] | None = None if call.wire == "coderd" else []
    assert call("GET", TOKENS, Coder_Session_Token=session).body == empty
    wanted = {"lifetime": 2 * HOUR_NS, "token_name": "walk", "scope": "all"}
    made = call("POST", TOKENS, wanted, Coder_Session_Token=session)
    assert made.status == 201
    return str(made.body["key"])


def use_everywhere(call: HTTP, token: str) -> None:
    uses = [
        call("GET", "/users/me", Coder_Session_Token=token),
        call("GET", "/users/me", Cookie=f"coder_session_token={token}"),
        call("GET", f"/users/me?coder_session_token={token}"),
        call("GET", "/users/me", Authorization=f"Bearer {token}"),
    ]
    assert [use.body["username"] for use in uses] == ["ada"] * 4
    assert not uses[1].cookies
    assert ("name" in uses[0].body) is (call.wire == "documented")


def look_at_limits_and_list(call: HTTP, session: str, token: str) -> None:
    config = call("GET", f"{TOKENS}/tokenconfig", Coder_Session_Token=token)
    assert config.body == {"max_token_lifetime": OWNER_LIMIT_NS}
    too_long = call("POST", TOKENS, {"lifetime": OWNER_LIMIT_NS + 1}, Coder_Session_Token=token)
    assert "lifetime must be less than 168h0m0s" in too_long.body["detail"]
    listed = call("GET", TOKENS, Coder_Session_Token=session).body
    assert [key["token_name"] for key in listed] == ["walk"]
    everything = {"type": "*", "id": "*"} if call.wire == "documented" else "*:*"
    assert listed[0]["allow_list"] == [everything]
    assert listed[0]["last_used"] != "0001-01-01T00:00:00Z"


def expire_and_sign_out(call: HTTP, session: str, token: str) -> None:
    expired = call("PUT", f"/users/me/keys/{token[:10]}/expire", Coder_Session_Token=session)
    assert expired.status == 204
    refused = call("GET", "/users/me", Coder_Session_Token=token)
    assert refused.status == 401
    assert "session has expired" in refused.body["message"]
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    assert call("POST", "/users/logout", Coder_Session_Token=session).status == 200
    assert call("GET", "/users/me", Coder_Session_Token=session).status == 401
