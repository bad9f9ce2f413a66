"""The fast lane answers as Django does: a server with it and one without it get equal requests."""

from __future__ import annotations

import itertools
import random
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coderapi import lane
from kernel import memory
from tests.support.client import APIClient
from tests.support.factories import make_key, make_user
from tests.support.live import Server
from tests.support.processes import own_database, wait_for

API = "/api/v2"
TOKEN_CONFIG = "/users/{}/keys/tokens/tokenconfig"
DOCUMENTS = [
    *("", "/", "/buildinfo", "/updatecheck", "/experiments", "/experiments/available"),
    *("/deployment/config", "/deployment/ssh", "/deployment/stats", TOKEN_CONFIG.format("me")),
    "/deployment/stats/history",
]
REPORTS = "/csp/reports"
OTHER = ["/users/me", TOKEN_CONFIG.format("member"), "/nowhere", "/deployment/ssh/", "//buildinfo"]
ROLES = ("owner", "auditor", "member")
LIMITED: dict[str, Any] = {
    "narrow scope": {"scopes": ["deployment_stats:read"]},
    "narrow allow list": {"allow_list": [f"user:{uuid.UUID(int=1)}", "deployment_config:*"]},
}
REPORT = b'{"csp-report": {"document-uri": "https://a.example/", "blocked-uri": "inline"}}'
BODIES = [
    *(REPORT, b"[]", b"{}", b"null", b"", b"nonsense", b'{"csp-report": 3}', b"[" * 100),
    b'[{"type": "csp-violation", "age": 1, "body": {"effectiveDirective": "img-src"}}]',
]
# These depend on the request or on the clock.
NEVER_EQUAL = {
    *("x-coder-request-id", "date", "retry-after"),
    *("x-ratelimit-reset", "x-ratelimit-remaining"),
}


@dataclass
class Pair:
    """A server with the lane, one without, and session tokens by role."""

    servers: tuple[Server, Server]
    tokens: dict[str, str]

    def answers(self, *requests: Any) -> list[Any]:
        """Sends each request to both. Returns the statuses, or fails at the first difference."""
        statuses = []
        with ExitStack() as stack:
            connections = [
                stack.enter_context(closing(HTTPConnection("127.0.0.1", server.port, timeout=30)))
                for server in self.servers
            ]
            for request in requests:
                first, second = (ask(each, *request) for each in connections)
                assert first == second, request
                statuses.append(first[0])
        return statuses


def ask(
    to: HTTPConnection, method: str, path: str, headers: dict[str, str], body: bytes | None
) -> Any:
    to.request(method, path, body, headers)
    answer = to.getresponse()
    content = answer.read()
    named = sorted(
        (name.lower(), value)
        for name, value in answer.getheaders()
        if name.lower() not in NEVER_EQUAL
    )
    return answer.status, named, content


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with own_database() as url, ExitStack() as stack:
        servers = []
        for lane_is_on in ("true", "false"):
            server = Server(
                "--web-only",
                log=tmp_path_factory.mktemp("server") / "log",
                DATABASE_URL=url,
                CODERAPI_FAST_LANE=lane_is_on,
                CODERAPI_FIRST_OWNER_USERNAME="owner",
                # The two servers must not share their rate limit counters.
                CODERAPI_SECRET_KEY=f"{lane_is_on}-{'0123456789' * 6}",
                CODER_API_RATE_LIMIT="100000",
                CODER_ACCESS_URL="http://coder.example.com",
            )
            servers.append(stack.enter_context(server))
        owner = servers[0].owner_token
        yield Pair((servers[0], servers[1]), {"owner": owner, **members(servers[0], owner, url)})


def members(server: Server, owner: str, url: str) -> dict[str, str]:
    """Makes a user for every role except owner, and returns their session tokens."""
    tokens = {}
    for role in ROLES[1:]:
        person = {"username": role, "email": f"{role}@example.com", "password": "long-enough-9"}
        made = server.ask(f"{API}/users", method="POST", token=owner, body=person)
        assert made.status == 201, made.body
        if role != "member":
            path = f"{API}/users/{role}/roles"
            server.ask(path, method="PUT", token=owner, body={"roles": [role]})
        entered = {"email": person["email"], "password": person["password"]}
        signed_in = server.ask(f"{API}/users/login", method="POST", body=entered)
        tokens[role] = signed_in.json["session_token"]
    for name, limits in LIMITED.items():
        path = f"{API}/users/me/keys/tokens"
        tokens[name] = server.ask(path, method="POST", token=owner, body=limits).json["key"]
    expired = server.ask(f"{API}/users/member/keys", method="POST", token=owner).json["key"]
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(
            "UPDATE tokens_apikey SET expires_at = now() - interval '1 day' WHERE id = %s",
            [expired[:10]],
        )
    return {**tokens, "expired": expired, "unknown": f"{'a' * 10}-{'b' * 22}", "malformed": "x-y"}


def token_headers(token: str) -> list[dict[str, str]]:
    return [
        {"Coder-Session-Token": token},
        {"Authorization": f"Bearer {token}"},
        {"Authorization": f"token {token}"},
        {"Cookie": f"a=b; coder_session_token={token}; coder_session_token=second"},
    ]


CONDITIONS: list[dict[str, str]] = [
    {},
    {"Accept-Encoding": "gzip"},
    {"Accept-Encoding": "gzip;q=0, *"},
    {"If-None-Match": "*"},
    {"If-None-Match": 'W/"x", "y"'},
    {"Coder-Wire": "coderd"},
    {"Coder-Wire": "documented", "If-None-Match": "*", "Accept-Encoding": "gzip"},
    {"Coder-Wire": "other"},
    {"Host": "evil.example"},
    {"Host": "["},
    {"Origin": "https://elsewhere.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"X-Coder-Bypass-Ratelimit": "true"},
    {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "x"},
]


def matrix(tokens: dict[str, str]) -> Iterator[tuple[str, str, dict[str, str], bytes | None]]:
    callers = [{}, *(header for token in tokens.values() for header in token_headers(token))]
    for path, caller, condition in itertools.product(DOCUMENTS, callers, CONDITIONS):
        yield "GET", API + path, {**caller, **condition}, None
    short = [{}, *({"Coder-Session-Token": token} for token in tokens.values())]
    for method, path, caller in itertools.product(
        ("HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"), [*DOCUMENTS, *OTHER, REPORTS], short
    ):
        yield method, API + path, caller, None
    for path, caller in itertools.product(OTHER, short):
        yield "GET", API + path, caller, None
    for body, caller, condition in itertools.product(BODIES, short, CONDITIONS):
        yield "POST", API + REPORTS, {**caller, **condition}, body
    for query in ("coder_session_token=", "access_token=", "key=", "a=b&coder_session_token="):
        for path, token in itertools.product(DOCUMENTS, tokens.values()):
            yield "GET", f"{API}{path}?{query}{token}", {}, None
        yield "POST", f"{API}{REPORTS}?{query}cik_{'a' * 28}", {}, REPORT


def test_answers_are_equal_with_and_without_the_lane(pair: Pair) -> None:
    """Sends a third of the requests, in a random order, so that each run has other caches."""
    requests = random.sample(list(matrix(pair.tokens)), 2_500)
    statuses = set(pair.answers(*requests))
    assert statuses >= {200, 304, 400, 401, 403, 404, 405}


PIECES = st.sampled_from(
    ["", "/", "//", "%2f", "deployment", "ssh", "config", "buildinfo", "..", "?"]
)


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "get", "OPTIONS", "TRACE"]),
    path=st.lists(PIECES, max_size=5).map("/".join),
    name=st.sampled_from(
        [
            "Accept-Encoding",
            "If-None-Match",
            "Coder-Wire",
            "Host",
            "Cookie",
            "Authorization",
            "Origin",
        ]
    ),
    value=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
    caller=st.sampled_from(["owner", "member", "expired"]),
    body=st.one_of(st.none(), st.binary(max_size=20)),
)
def test_no_request_is_answered_differently(
    pair: Pair, method: str, path: str, name: str, value: str, caller: str, body: bytes | None
) -> None:
    headers = {"Coder-Session-Token": pair.tokens[caller], name: value}
    pair.answers((method, f"{API}/{path}", headers, body))


def test_every_request_counts_once(pair: Pair) -> None:
    for server in pair.servers:
        wait_for(lambda server=server: counts_by_one(server, pair.tokens["member"]))  # type: ignore[misc]


def counts_by_one(server: Server, token: str) -> bool:
    """Asserts that each request counts as one. Returns False if a new minute began meanwhile."""
    paths = ["/deployment/ssh", "/deployment/config", "/experiments", "/users/me"]
    answers = [server.ask(API + path, token=token) for path in 2 * paths]
    if len({answer.headers["X-RateLimit-Reset"] for answer in answers}) > 1:
        return False
    left = [int(answer.headers["X-RateLimit-Remaining"]) for answer in answers]
    assert left == list(range(left[0], left[0] - len(left), -1))
    return True


# --- In this process --------------------------------------------------------------------------


def environ(path: str, **more: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "SERVER_NAME": "testserver",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        **more,
    }


def answered_by(request: dict[str, Any]) -> str:
    """Returns which of the two answers the request: the lane or Django."""
    by = ["lane"]

    def django(_environ: Any, _start: Any) -> list[bytes]:
        by.append("django")
        return []

    list(lane.fast(django)(request, lambda _status, _headers: None))  # type: ignore[arg-type]
    return by[-1]


def test_remembered_document_is_answered_by_the_lane(owner: APIClient) -> None:
    memory.clear_all()
    assert answered_by(environ(f"{API}/buildinfo")) == "django"
    owner.get(f"{API}/buildinfo")
    assert answered_by(environ(f"{API}/buildinfo")) == "lane"
    assert answered_by(environ(f"{API}/buildinfo", HTTP_ORIGIN="https://a.example")) == "lane"
    assert answered_by(environ(f"{API}/deployment/ssh")) == "django"


def test_lane_answers_with_the_document_of_the_parameters(connected: None) -> None:
    call_command("collect_deployment_stats")
    token = make_key(make_user("owner")).token
    for path, query, by in (
        ("/deployment/stats", "", "lane"),
        ("/deployment/stats", "at=2026-01-01T00:00:00Z", "django"),
        ("/deployment/stats/history", "step=1h", "lane"),
        ("/deployment/stats/history", "step=x", "django"),
    ):
        APIClient(token=token).get(f"{API}{path}?{query}")
        asked = environ(API + path, QUERY_STRING=query, HTTP_CODER_SESSION_TOKEN=token)
        assert answered_by(asked) == by, (path, query)


def test_first_use_of_a_key_is_answered_by_the_lane(
    connected: None, django_assert_num_queries: Any
) -> None:
    user = make_user()
    first, *others = (make_key(user).token for _ in range(3))
    path = f"{API}/deployment/ssh"
    APIClient(token=first).get(path)
    second, third = (environ(path, HTTP_CODER_SESSION_TOKEN=other) for other in others)

    with django_assert_num_queries(1):
        assert answered_by(second) == "lane"
    connection.close()
    assert answered_by(third) == "lane"
    assert connection.connection is None


def test_rejected_key_is_looked_up_once(connected: None, django_assert_num_queries: Any) -> None:
    path, token = f"{API}/deployment/ssh", f"{'a' * 10}-{'b' * 22}"
    with django_assert_num_queries(1):
        assert answered_by(environ(path, HTTP_CODER_SESSION_TOKEN=token)) == "django"
        assert APIClient(token=token).get(path).status_code == 401


def test_error_in_the_lane_is_logged_once_and_left_to_django(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "_logged", set())
    for _ in range(3):
        broken = environ(f"{API}/deployment/ssh", HTTP_COOKIE=object())
        assert answered_by(broken) == "django"
    (record,) = [record for record in caplog.records if record.name == lane.__name__]
    assert record.exc_info
    assert record.exc_info[0] is AttributeError


def test_every_document_of_the_api_is_a_route_of_the_lane() -> None:
    assert set(lane.routes("coderapi.urls")) == {API + path for path in [*DOCUMENTS, REPORTS]}
