"""Every kind of error has the same shape."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from django.db import OperationalError
from django.urls import path as route
from hypothesis import given
from hypothesis import strategies as st

from coderapi.urls import handler400, handler403, handler404, handler500
from kernel.http.body import parse_json
from kernel.http.errors import APIError
from kernel.http.views.base import PublicAPIView
from tests.support.api.calls import assert_one_shape
from tests.support.api.client import APIClient

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

pytestmark = pytest.mark.django_db


SSH = "/api/v2/deployment/ssh"
HISTORY = "/api/coderapi/v1/stats/history"
UNKNOWN = (
    *("/api/v2/nothing", "/api/v2/buildinfo/", "/api/v3/", "/nothing", "/api/v2/csp"),
    *("/api/coderapi/v1", "/api/coderapi/v1/nothing", f"{HISTORY}/", "/api/v2/csp/groups"),
)
# Paths outside of the admin have no pages, and Swagger is disabled.
NO_PAGES = ("/administrator", "/admin-x", "/adminer/", "/swagger", "/swagger?script", "/swagger/x")


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
        ("anonymous", "get", "/api/v2/experiments", 401, ""),
        ("anonymous", "get", HISTORY, 401, ""),
        ("member", "get", "/api/v2/deployment/config", 403, "Forbidden"),
        ("member", "get", HISTORY, 403, "Forbidden"),
    ],
)
def test_every_error_has_the_same_shape(
    request: pytest.FixtureRequest, role: str, method: str, path: str, status: int, text: str
) -> None:
    answer = getattr(request.getfixturevalue(role), method)(path)
    assert answer.status_code == status
    assert text in assert_one_shape(answer)["message"]
    assert status != 405 or answer.headers["Allow"] == "GET, HEAD"


NOT_JSON = [b"", b"{", b"nul", b"\xff", b'{"a": NaN}', b"{} x", b"[" * 100_000, b'"\\ud800"']
NO_OBJECT = [b"[]", b"1", b'"x"', b"null", b"true"]


@pytest.mark.parametrize(
    ("body", "text"),
    [(body, "JSON") for body in NOT_JSON] + [(body, "JSON object") for body in NO_OBJECT],
)
def test_body_must_be_a_json_object(body: bytes, text: str, anonymous: APIClient) -> None:
    answer = anonymous.post_json("/api/v2/users/first", body)
    assert answer.status_code == 400
    assert text in assert_one_shape(answer)["message"]


def test_missing_fields_are_400_with_one_entry_each(anonymous: APIClient) -> None:
    answer = anonymous.post_json("/api/v2/users/first", b'{"email": 5}')
    assert answer.status_code == 400
    fields = [v["field"] for v in assert_one_shape(answer)["validations"]]
    assert sorted(fields) == ["email", "password", "username"]


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


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_a_400(body: bytes) -> None:
    status = 400
    try:
        parse_json(body)
    except APIError as error:
        status = error.status
    assert status == 400
