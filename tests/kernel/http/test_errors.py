"""Every kind of error has the same shape, also for hostile requests. The root, and the health."""

from __future__ import annotations

import logging
import uuid
from typing import Any, NoReturn

import pytest
from django.db import OperationalError, connection
from django.urls import path as route
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from coderapi.urls import handler400, handler403, handler404, handler500
from kernel.http.body import parse_json
from kernel.http.errors import APIError
from kernel.http.views.base import PublicAPIView
from tests.support.api.calls import assert_one_shape
from tests.support.api.client import APIClient

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]
# When a response is closed, Django checks its connections. So all these tests need database access.
pytestmark = pytest.mark.django_db
SSH = "/api/v2/deployment/ssh"
HISTORY = "/api/coderapi/v1/stats/history"
TOKENS, LOGIN = "/api/v2/users/me/keys/tokens", "/api/v2/users/login"
UNKNOWN = (
    *("/api/v2/nothing", "/api/v2/buildinfo/", "/api/v3/", "/nothing", "/api/v2/csp"),
    *("/api/coderapi/v1", "/api/coderapi/v1/nothing", f"{HISTORY}/", "/api/v2/csp/groups"),
)
# Paths outside of the admin have no pages, and Swagger is disabled.
NO_PAGES = ("/administrator", "/admin-x", "/adminer/", "/swagger", "/swagger?script", "/swagger/x")
MALFORMED = (
    *("/api/v2/users/%00", "/api/v2/users/%ff", "/api/v2/users/%ed%a0%80", "/api/v2/nothing/%00"),
    *("/api/v2/users/me/keys/%00", f"{TOKENS}/%00", f"{TOKENS}/%ff", f"{TOKENS}?include_all=%00"),
    *("/api/v2/users?q=%00", "/api/v2/users?limit=9223372036854775808"),
    *("/api/v2/users/../buildinfo", "/static/%2e%2e/%2e%2e/manage.py"),
    "/api/v2/experiments?" + "&".join(f"a{n}=1" for n in range(1001)),
)


@pytest.mark.parametrize(
    ("role", "method", "path", "status", "text"),
    [
        *[("anonymous", "get", path, 404, "not found") for path in UNKNOWN + NO_PAGES],
        *[
            ("anonymous", method, path, 405, "not allowed")
            for path in (SSH, HISTORY)
            for method in ("post", "put", "patch", "delete", "options")
        ],
        *[("anonymous", "post", path, 405, "") for path in ("/healthz", "/livez", "/readyz")],
        *[("anonymous", "get", path, 401, "") for path in ("/api/v2/experiments", HISTORY)],
        *[("member", "get", path, 403, "Forbidden") for path in (f"{SSH[:-3]}config", HISTORY)],
    ],
)
def test_every_error_has_the_same_shape(
    request: pytest.FixtureRequest, role: str, method: str, path: str, status: int, text: str
) -> None:
    answer = getattr(request.getfixturevalue(role), method)(path)
    assert answer.status_code == status
    assert text in assert_one_shape(answer)["message"]
    assert status != 405 or answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", MALFORMED)
def test_malformed_paths_and_queries_are_errors_of_the_same_shape(
    path: str, owner: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = owner.get(path)
    assert answer.status_code in {400, 404}
    assert_one_shape(answer)
    assert "Traceback" not in caplog.text


def listed(item: bytes, times: int) -> bytes:
    return b"[" + b", ".join([item] * times) + b"]"


NOT_JSON = [b"", b"{", b"nul", b"\xff", b'{"a": NaN}', b"{} x", b"[" * 100_000, b'"\\ud800"']
NO_OBJECT = [b"[]", b"1", b'"x"', b"null", b"true"]
CHECKS = b'{"checks": {' + b", ".join(b'"%d": 1' % n for n in range(501)) + b"}}"


FIRST = "/api/v2/users/first"


@pytest.mark.parametrize(
    ("role", "path", "body", "text", "fields"),
    [
        *[("anonymous", FIRST, body, "JSON", []) for body in NOT_JSON],
        *[("anonymous", FIRST, body, "JSON object", []) for body in NO_OBJECT],
        ("anonymous", FIRST, b'{"email": 5}', "", ["email", "password", "username"]),
        # Too many values are rejected before they are parsed.
        *[
            ("anonymous", LOGIN, b'{"email": ' + listed(item, 20_001) + b"}", "", [])
            for item in (b"[]", b"{}", b"1")
        ],
        # A long list is one error, and not one for each item.
        *[
            ("member", TOKENS, b'{"scopes": ' + listed(b"[]", times) + b"}", "", ["scopes"])
            for times in (65, 1000)
        ],
        ("member", "/api/v2/authcheck", CHECKS, "", ["checks"]),
    ],
)
def test_wrong_body_is_400_with_an_entry_for_each_field(
    request: pytest.FixtureRequest, role: str, path: str, body: bytes, text: str, fields: list[str]
) -> None:
    answer = request.getfixturevalue(role).post_json(path, body)
    found = assert_one_shape(answer)
    assert (answer.status_code, text in found["message"]) == (400, True)
    assert sorted(each["field"] for each in found.get("validations", [])) == fields


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_a_400(body: bytes) -> None:
    status = 400
    try:
        parse_json(body)
    except APIError as error:
        status = error.status
    assert status == 400


@pytest.mark.parametrize("wire", ["morse", ""])
def test_unknown_wire_is_400(wire: str, anonymous: APIClient) -> None:
    answer = anonymous.get("/api/v2/buildinfo", headers={"Coderapi-Wire-Format": wire})
    assert answer.status_code == 400
    [validation] = assert_one_shape(answer)["validations"]
    assert validation["field"] == "Coderapi-Wire-Format"
    assert wire in validation["detail"]


def test_unknown_host_is_400_for_all_paths_but_health(settings: Any, anonymous: APIClient) -> None:
    settings.ALLOWED_HOSTS = ["coder.example.com"]
    answer = anonymous.get("/api/v2/", headers={"Host": "evil.example.com"})
    assert answer.status_code == 400
    assert_one_shape(answer)
    health = anonymous.get("/healthz", headers={"Host": "10.0.0.7"})
    assert (health.status_code, health.content) == (200, b"OK")


def crash(*_: object) -> NoReturn:
    raise RuntimeError("the secret cause")


def away(*_: object) -> NoReturn:
    raise OperationalError("connection refused")


class CrashingView(PublicAPIView):
    get = crash


class AwayView(PublicAPIView):
    get = away


urlpatterns = [
    route("api/v2/crash", CrashingView.as_view()),
    route("api/v2/away", AwayView.as_view()),
    route("crash", crash),
    route("away", away),
]


@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/v2/crash", 500), ("/api/v2/away", 503), ("/away", 503), ("/crash", 500)],
)
def test_failures_have_the_same_shape_everywhere_and_hide_their_cause(
    path: str, status: int, anonymous: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = anonymous.get(path)
    assert answer.status_code == status
    assert int(answer.headers.get("Retry-After", 0)) == (5 if status == 503 else 0)
    body = assert_one_shape(answer)
    if status == 500:
        assert answer.headers["X-Coder-Request-Id"] in body["detail"]
        assert "the secret cause" not in answer.content.decode()
        assert "the secret cause" in caplog.text


@pytest.mark.parametrize(
    ("page", "query", "statuses"),
    [
        ("users_user", "status__exact=%00", {302, 400}),
        *(("csp_report", f"day={day}", {200}) for day in ("2026-02-31", "9999-12-31")),
        *(
            (page, f"{field}__year={year}", {200, 302, 400})
            for page, field in (("csp_group", "first_seen"), ("jobs_jobrun", "started_at"))
            for year in ("9999", "99999999999")
        ),
    ],
)
def test_malformed_filters_of_the_admin_are_never_500(
    page: str, query: str, statuses: set[int], owner: APIClient
) -> None:
    owner.force_login(owner.user)
    address = reverse(f"admin:{page}_changelist")
    assert owner.get(f"{address}?{query}").status_code in statuses


def test_204_has_no_length(member: APIClient) -> None:
    answer = member.delete(f"/api/v2/users/me/keys/{member.token.partition('-')[0]}")
    assert (answer.status_code, "Content-Length" in answer.headers) == (204, False)


@pytest.mark.parametrize("path", ["/users/me", "/users/me/keys/tokens", "/users/nobody"])
def test_answers_other_than_documents_are_not_stored_and_vary_by_wire(
    path: str, member: APIClient
) -> None:
    answer = member.get(f"/api/v2{path}")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Coderapi-Wire-Format" in answer.headers["Vary"]


def test_request_id_is_new_and_never_the_clients(anonymous: APIClient) -> None:
    sent = str(uuid.uuid4())
    headers = {"X-Coder-Request-Id": sent, "X-Request-Id": sent}
    ids = {anonymous.get("/api/v2/", headers=headers)["X-Coder-Request-Id"] for _ in range(2)}
    assert len(ids - {sent}) == 2


def test_other_origins_may_read_answers_only_if_the_option_allows_it(
    settings: Any, anonymous: APIClient
) -> None:
    headers = {
        "Origin": "https://other.example.com",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "coder-session-token",
    }
    answer = anonymous.get("/api/v2/buildinfo", headers=headers)
    assert "Access-Control-Allow-Origin" not in answer.headers
    settings.CORS_ALLOW_ALL_ORIGINS = True
    preflight = anonymous.options(SSH, headers=headers)
    answer = anonymous.get("/api/v2/buildinfo", headers=headers)
    assert preflight.status_code == 200
    assert "coder-session-token" in preflight.headers["Access-Control-Allow-Headers"]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ["/api/v2", "/api/v2/"])
def test_root_greets(path: str, anonymous: APIClient) -> None:
    answer = anonymous.get(path)
    assert (answer.status_code, answer.content.decode()) == (200, '{"message":"👋"}')


def test_health_is_ok_without_the_database(
    anonymous: APIClient, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        assert anonymous.get("/healthz").content == b"OK"
        assert anonymous.get("/livez").json() == {"status": "ok"}


def test_readiness_reports_each_check(anonymous: APIClient) -> None:
    answer = anonymous.get("/readyz")
    state, checks = answer.json(), answer.json()["checks"]
    assert (answer.status_code, state["status"]) == (200, "ok")
    assert (state["database"], state["migrations"]) == ("ok", "ok")
    assert (checks["snapshot"], checks["servers"]) == (None, {"state": "ok"})
    assert "jobs" in checks


def test_service_with_a_missing_migration_is_not_ready(anonymous: APIClient) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
    answer = anonymous.get("/readyz")
    assert (answer.status_code, answer.json()["migrations"]) == (503, "pending")
