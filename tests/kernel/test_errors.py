"""Every way in which an error can arise, and the one shape that it has."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.http.body import parse_json
from kernel.http.errors import APIError
from tests.support.client import APIClient

pytestmark = pytest.mark.django_db


def assert_one_shape(answer: Any) -> dict[str, Any]:
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert uuid.UUID(answer.headers["X-Coder-Request-Id"]).version == 4
    assert answer.headers["X-Coder-Build-Version"].startswith("v")
    body: dict[str, Any] = answer.json()
    assert set(body) <= {"message", "detail", "validations"}
    assert body["message"]
    for validation in body.get("validations", []):
        assert set(validation) == {"field", "detail"}
    return body


SSH = "/api/v2/deployment/ssh"
UNKNOWN = (
    "/api/v2/nothing",
    "/api/v2/buildinfo/",
    "/api/v3/",
    "/nothing",
    "/api/v2/csp",
)
# Only the admin's own paths are answered by pages, and Swagger is off.
NO_PAGES = ("/administrator", "/admin-x", "/adminer/", "/swagger", "/swagger?script", "/swagger/x")


@pytest.mark.parametrize(
    ("role", "method", "path", "status", "said"),
    [
        *[("anonymous", "get", path, 404, "not found") for path in UNKNOWN + NO_PAGES],
        *[
            ("anonymous", method, SSH, 405, "not allowed")
            for method in ("post", "put", "patch", "delete", "options")
        ],
        *[("anonymous", "post", path, 405, "") for path in ("/healthz", "/livez", "/readyz")],
        ("anonymous", "get", "/api/v2/experiments", 401, ""),
        ("member", "get", "/api/v2/deployment/config", 403, "Forbidden"),
    ],
)
def test_every_refusal_has_the_one_shape(
    request: pytest.FixtureRequest, role: str, method: str, path: str, status: int, said: str
) -> None:
    answer = getattr(request.getfixturevalue(role), method)(path)
    assert answer.status_code == status
    assert said in assert_one_shape(answer)["message"]
    assert status != 405 or answer.headers["Allow"] == "GET, HEAD"


NOT_JSON = [b"", b"{", b"nul", b"\xff", b'{"a": NaN}', b"{} x", b"[" * 100_000, b'"\\ud800"']


@pytest.mark.parametrize("body", NOT_JSON)
def test_body_that_is_not_json_is_400(body: bytes, anonymous: APIClient) -> None:
    answer = anonymous.post_json("/api/v2/users/first", body)

    assert answer.status_code == 400
    assert "JSON" in assert_one_shape(answer)["message"]


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null", b"true"])
def test_body_that_is_no_object_is_400_and_says_what_it_is(
    body: bytes, anonymous: APIClient
) -> None:
    answer = anonymous.post_json("/api/v2/users/first", body)

    assert answer.status_code == 400
    assert assert_one_shape(answer)["detail"].startswith("It is ")


def test_missing_fields_are_400_with_one_entry_each(anonymous: APIClient) -> None:
    answer = anonymous.post_json("/api/v2/users/first", b'{"email": 5}')

    assert answer.status_code == 400
    fields = [v["field"] for v in assert_one_shape(answer)["validations"]]
    assert sorted(fields) == ["email", "password", "username"]


def test_unknown_wire_is_400(anonymous: APIClient) -> None:
    answer = anonymous.get("/api/v2/buildinfo", headers={"Coder-Wire": "morse"})

    assert answer.status_code == 400
    body = assert_one_shape(answer)
    assert body["validations"][0]["field"] == "Coder-Wire"
    assert "morse" in body["validations"][0]["detail"]


def test_host_that_is_not_ours_is_400(settings: Any, anonymous: APIClient) -> None:
    settings.ALLOWED_HOSTS = ["coder.example.com"]

    answer = anonymous.get("/api/v2/", headers={"Host": "evil.example.com"})

    assert answer.status_code == 400
    assert_one_shape(answer)


def test_health_answers_for_any_host(settings: Any, anonymous: APIClient) -> None:
    settings.ALLOWED_HOSTS = ["coder.example.com"]

    answer = anonymous.get("/healthz", headers={"Host": "10.0.0.7"})

    assert (answer.status_code, answer.content) == (200, b"OK")


@pytest.mark.urls("tests.support.failing_urls")
def test_crash_is_500_that_names_the_request_and_nothing_else(
    anonymous: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = anonymous.get("/api/v2/crash")

    assert answer.status_code == 500
    body = assert_one_shape(answer)
    assert answer.headers["X-Coder-Request-Id"] in body["detail"]
    assert "the secret cause" not in answer.content.decode()
    assert "the secret cause" in caplog.text


@pytest.mark.urls("tests.support.failing_urls")
@pytest.mark.parametrize(
    ("path", "status"), [("/api/v2/away", 503), ("/away", 503), ("/crash", 500)]
)
def test_failures_have_the_shape_outside_of_the_api_too(
    path: str, status: int, anonymous: APIClient
) -> None:
    answer = anonymous.get(path)
    assert answer.status_code == status
    assert int(answer.headers.get("Retry-After", 0)) == (5 if status == 503 else 0)
    assert_one_shape(answer)


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_a_400(body: bytes) -> None:
    assert outcome(body) in {"a value", 400}


def outcome(body: bytes) -> object:
    try:
        parse_json(body)
    except APIError as error:
        return error.status
    return "a value"
