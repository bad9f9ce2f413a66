"""The server answers as Django does: it and Django's development server get equal requests.

The development server runs only Django, so its requests take the steps in Django's middleware.
"""

from __future__ import annotations

import itertools
import random
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.client import HTTPConnection
from socket import IPPROTO_TCP, TCP_QUICKACK
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.api.paths import API, DOCUMENTS, NEVER_EQUAL, REPORTS, TOKEN_CONFIG, full
from tests.support.processes import DEADLINE_SECONDS, Program, free_port, own_database, wait_for
from tests.support.servers.live import ANY_PORT, Server
from tests.support.servers.proxies import is_open

OTHER = [
    "/users/me",
    TOKEN_CONFIG.format("member"),
    "/nowhere%ff",
    "/deployment/ssh/",
    "//buildinfo",
]
ROLES = ("owner", "auditor", "member")
LIMITED: dict[str, Any] = {
    "narrow scope": {"scopes": ["deployment_stats:read"]},
    "narrow allow list": {"allow_list": [f"user:{uuid.UUID(int=1)}", "deployment_config:*"]},
}
ELSEWHERE = "https://elsewhere.example"
INGEST_KEYS = {name: f"cik_{name[0] * 28}" for name in ("open", "retired", "unknown")}
REPORT = b'{"csp-report": {"document-uri": "https://a.example/", "blocked-uri": "inline"}}'
BODIES = [
    *(REPORT, b"[]", b"{}", b"null", b"", b"nonsense", b'{"csp-report": 3}', b"[" * 100),
    b'[{"type": "csp-violation", "age": 1, "body": {"effectiveDirective": "img-src"}}]',
]


type Headers = dict[str, str] | list[tuple[str, str]]


@dataclass
class Pair:
    """The ports of the server and of Django's development server, and session tokens by role."""

    server: Server
    ports: tuple[int, int]
    tokens: dict[str, str]

    def answers(self, *requests: Any) -> list[Any]:
        """Sends each request to both. Returns the statuses, or fails at the first difference."""
        statuses = []
        with ExitStack() as stack:
            connections = [
                stack.enter_context(
                    closing(HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS))
                )
                for port in self.ports
            ]
            for request in requests:
                first, second = (ask(each, *request) for each in connections)
                assert first == second, request
                statuses.append(first[0])
        return statuses


def ask(to: HTTPConnection, method: str, path: str, headers: Headers, body: bytes | None) -> Any:
    sent = [*(headers.items() if isinstance(headers, dict) else headers)]
    if body is not None or method in {"POST", "PUT", "PATCH"}:
        sent.append(("Content-Length", str(len(body or b""))))
    skipped = {
        f"skip_{name.lower().replace('-', '_')}": name in dict(sent)
        for name in ("Host", "Accept-Encoding")
    }
    to.putrequest(method, path, **skipped)
    for name, value in sent:
        to.putheader(name, value)
    to.endheaders(body)
    # The development server sends a response in parts, and waits 40 ms for a late acknowledgement.
    to.sock.setsockopt(IPPROTO_TCP, TCP_QUICKACK, 1)
    answer = to.getresponse()
    named = [(name.lower(), value) for name, value in answer.getheaders()]
    kept = sorted(each for each in named if each[0] not in NEVER_EQUAL)
    return answer.status, kept, answer.read()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    settings = {
        "CODERAPI_FIRST_OWNER_USERNAME": "owner",
        "CODER_API_RATE_LIMIT": "100000",
        "CODER_ACCESS_URL": "http://coder.example.com",
        "CODER_HTTP_ADDRESS": ANY_PORT,
    }
    directory = tmp_path_factory.mktemp("servers")
    with own_database() as url, ExitStack() as stack:
        log = directory / "log"
        server = Server("--web-only", log=log, address="", DATABASE_URL=url, **settings)
        stack.enter_context(server)
        tokens = members(server, server.owner_token, url)
        plain = Program(
            *("runserver", f"127.0.0.1:{(port := free_port())}", "--noreload"),
            log=directory / "plain.log",
            # The two servers must not share their rate limit counters.
            CODERAPI_SECRET_KEY="0123456789" * 6,
            DATABASE_URL=url,
            **settings,
        )
        stack.callback(plain.kill_all)
        # Not for a line of its log: Python writes the lines of runserver late.
        wait_for(lambda: is_open(port) or plain.process.poll() is not None)
        yield Pair(server, (server.port, port), {"owner": server.owner_token, **tokens})


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
    for token in (owner, expired, *tokens.values()):
        server.ask(f"{API}/users/me", token=token)
    with psycopg.connect(url, autocommit=True) as database:
        # A thread stores the first use of a key, which changes /users/me.
        unused = "SELECT count(*) FROM tokens_apikey WHERE last_used IS NULL"
        wait_for(lambda: database.execute(unused).fetchone() == (0,))
        database.execute(
            "UPDATE tokens_apikey SET expires_at = now() - interval '1 day' WHERE id = %s",
            [expired[:10]],
        )
        for name, retired_at in (("open", None), ("retired", "2026-01-01")):
            database.execute(
                "INSERT INTO csp_ingestkey (name, value, origins, retired_at) "
                "VALUES (%s, %s, %s, %s)",
                [name, INGEST_KEYS[name], [ELSEWHERE], retired_at],
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
    {"Coderapi-Wire-Format": "coderd"},
    {"Coderapi-Wire-Format": "documented", "If-None-Match": "*", "Accept-Encoding": "gzip"},
    {"Coderapi-Wire-Format": "other"},
    {"Host": "evil.example"},
    {"Host": "["},
    {"Origin": ELSEWHERE},
    {"Origin": ELSEWHERE, "Access-Control-Request-Method": "POST"},
    {"Origin": "https://other.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"X-Coder-Bypass-Ratelimit": "true"},
    {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "x"},
]


type Sent = tuple[str, str, dict[str, str], bytes | None]


def matrix(tokens: dict[str, str]) -> Iterator[Sent]:
    callers = [{}, *(header for token in tokens.values() for header in token_headers(token))]
    for path, caller, condition in itertools.product(DOCUMENTS, callers, CONDITIONS):
        yield "GET", full(path), {**caller, **condition}, None
    short = [{}, *({"Coder-Session-Token": token} for token in tokens.values())]
    for method, path, caller in itertools.product(
        ("HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"), [*DOCUMENTS, *OTHER, REPORTS], short
    ):
        yield method, full(path), caller, None
    for path, caller in itertools.product(OTHER, short):
        yield "GET", full(path), caller, None
    for body, caller, condition in itertools.product(BODIES, short, CONDITIONS):
        yield "POST", API + REPORTS, {**caller, **condition}, body
    for query in ("coder_session_token=", "access_token=", "key=", "a=b&coder_session_token="):
        for path, token in itertools.product(DOCUMENTS, tokens.values()):
            yield "GET", f"{full(path)}?{query}{token}", {}, None
    yield from across_origins()


def across_origins() -> Iterator[Sent]:
    for key, method, condition in itertools.product(
        INGEST_KEYS.values(), ("POST", "OPTIONS"), CONDITIONS
    ):
        yield method, f"{API}{REPORTS}?key={key}", condition, REPORT
    for path, condition in itertools.product(("/users/login", "//users//first"), CONDITIONS):
        yield "POST", full(path), condition, b"{}"


def test_answers_are_equal_with_and_without_the_front(pair: Pair) -> None:
    """Sends some of the requests, in a random order, so that each run has other caches."""
    requests = random.sample(list(matrix(pair.tokens)), 2_000)
    probes = itertools.product(("GET", "HEAD", "POST"), ("/healthz", "/livez"), CONDITIONS)
    requests += [(*probe, None) for probe in probes]
    statuses = set(pair.answers(*requests))
    assert statuses >= {200, 304, 400, 401, 403, 404, 405}


HEADERS = (
    *("Accept-Encoding", "If-None-Match", "Coderapi-Wire-Format", "Authorization", "Origin"),
    *("X-Forwarded-For", "X-Forwarded-Host"),
)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
PIECES = st.sampled_from(
    ["", "/", "//", "%2f", "%ff", "deployment", "ssh", "config", "buildinfo", "..", "?"]
)


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "TRACE"]),
    path=st.lists(PIECES, max_size=5).map("/".join),
    name=st.sampled_from(HEADERS),
    # A header may be sent twice.
    values=st.lists(VALUES, min_size=1, max_size=2),
    caller=st.sampled_from(["owner", "member", "expired"]),
    body=st.one_of(st.none(), st.binary(max_size=20)),
)
def test_no_request_is_answered_differently(
    pair: Pair,
    method: str,
    path: str,
    name: str,
    values: list[str],
    caller: str,
    body: bytes | None,
) -> None:
    headers = [("Coder-Session-Token", pair.tokens[caller]), *((name, value) for value in values)]
    pair.answers((method, f"{API}/{path}", headers, body))


@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(["Host", "Cookie"]), value=VALUES)
def test_no_host_or_cookie_is_answered_differently(pair: Pair, name: str, value: str) -> None:
    pair.answers(("GET", f"{API}/deployment/ssh", {name: value}, None))


def test_every_request_counts_once(pair: Pair) -> None:
    paths = 2 * ["/deployment/ssh", "/deployment/config", "/experiments", "/users/me"]

    def counts() -> tuple[list[int], int]:
        """Returns what is left of the limit after each request, and the number of minutes."""
        token = pair.tokens["member"]
        headers = [pair.server.ask(full(path), token=token).headers for path in paths]
        left = [int(each["X-RateLimit-Remaining"]) for each in headers]
        return left, len({each["X-RateLimit-Reset"] for each in headers})

    left, _ = next(found for found in iter(counts, None) if found[1] == 1)
    assert left == list(range(left[0], left[0] - len(left), -1))
