"""Hostile or careless requests, and answers that a cache may see."""

from __future__ import annotations

import logging

import pytest
from django.urls import reverse

from tests.support.api.calls import assert_one_shape
from tests.support.api.client import APIClient
from tests.support.csp.reports import in_admin

pytestmark = pytest.mark.django_db

SSH = "/api/v2/deployment/ssh"
TOO_MANY_PARAMETERS = "&".join(f"a{n}=1" for n in range(1001))


def test_204_has_no_length(member: APIClient) -> None:
    answer = member.delete(f"/api/v2/users/me/keys/{member.token.partition('-')[0]}")
    assert answer.status_code == 204
    assert "Content-Length" not in answer.headers


@pytest.mark.parametrize("path", ["/users/me", "/users/me/keys/tokens", "/users/nobody"])
def test_answers_other_than_documents_are_not_stored_and_vary_by_wire(
    path: str, member: APIClient
) -> None:
    answer = member.get(f"/api/v2{path}")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Coderapi-Wire-Format" in answer.headers["Vary"]


def test_too_many_parameters_are_400_without_a_traceback_in_the_log(
    anonymous: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = anonymous.get(f"/api/v2/experiments?{TOO_MANY_PARAMETERS}")
    assert answer.status_code == 400
    assert_one_shape(answer)
    assert "Traceback" not in caplog.text


def test_answer_to_a_thousand_mistakes_names_at_most_a_hundred(member: APIClient) -> None:
    body = b'{"scopes": [' + b", ".join([b"[]"] * 1000) + b"]}"
    answer = member.post_json("/api/v2/users/me/keys/tokens", body)
    assert answer.status_code == 400
    assert len(assert_one_shape(answer)["validations"]) <= 100


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2/users/%00",
        "/api/v2/users/%ff",
        "/api/v2/users/%ed%a0%80",
        "/api/v2/users/me/keys/%00",
        "/api/v2/users/me/keys/tokens/%00",
        "/api/v2/users/me/keys/tokens/%ff",
        "/api/v2/users?q=%00",
        "/api/v2/users?limit=9223372036854775808",
        "/api/v2/users/me/keys/tokens?include_all=%00",
        "/api/v2/nothing/%00",
        "/api/v2/users/../buildinfo",
        "/static/%2e%2e/%2e%2e/manage.py",
    ],
)
def test_malformed_paths_and_queries_are_errors_of_the_same_shape(
    path: str, owner: APIClient
) -> None:
    answer = owner.get(path)
    assert answer.status_code in {400, 404}
    assert_one_shape(answer)


def test_long_list_is_one_error_and_not_one_for_each_item(member: APIClient) -> None:
    scopes = b'{"scopes": [' + b", ".join([b"[]"] * 65) + b"]}"
    checks = b'{"checks": {' + b", ".join(b'"%d": 1' % n for n in range(501)) + b"}}"
    for path, body in (("users/me/keys/tokens", scopes), ("authcheck", checks)):
        answer = member.post_json(f"/api/v2/{path}", body)
        assert answer.status_code == 400
        assert len(assert_one_shape(answer)["validations"]) == 1


@pytest.mark.parametrize("item", [b"[]", b"{}", b"1"])
def test_body_of_very_many_values_is_refused_before_it_is_parsed(
    item: bytes, anonymous: APIClient
) -> None:
    body = b'{"email": [' + b",".join([item] * 20_001) + b"]}"
    answer = anonymous.post_json("/api/v2/users/login", body)
    assert answer.status_code == 400
    assert_one_shape(answer)


@pytest.mark.parametrize(
    ("query", "statuses"),
    [
        ("users/user/?status__exact=%00", {302, 400}),
        ("csp/report/?day=2026-02-31", {200}),
        ("csp/report/?day=9999-12-31", {200}),
        # A filter must not help to guess the digests of secrets.
        ("tokens/apikey/?hashed_secret__startswith=a", {400}),
    ],
)
def test_malformed_filters_of_the_admin_are_never_500(
    query: str, statuses: set[int], owner: APIClient
) -> None:
    owner.force_login(owner.user)
    assert owner.get(f"/admin/{query}").status_code in statuses


@pytest.mark.parametrize("year", ["9999", "99999999999"])
def test_year_that_no_date_can_have_is_400_in_the_admin(db: None, year: str) -> None:
    pages = in_admin("owner")
    for name, field in (("csp_group", "first_seen"), ("jobs_jobrun", "started_at")):
        url = reverse(f"admin:{name}_changelist")
        assert pages.get(url, {f"{field}__year": year}).status_code in {200, 302, 400}
