"""Signing in, staying signed in by cookie, and signing out."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher

from audit.models import Entry
from tests.support.client import APIClient
from tests.support.factories import PASSWORD, make_key, make_user
from tests.support.sending import send
from tokens.models import APIKey
from users.models import User

pytestmark = pytest.mark.django_db


def log_in(client: APIClient, email: str, password: str = PASSWORD, **more: Any) -> Any:
    return send(client, "POST", "/users/login", {"email": email, "password": password}, **more)


def test_right_password_answers_a_token_and_sets_it_as_a_cookie(anonymous: APIClient) -> None:
    user = make_user()

    answer = log_in(anonymous, user.email.upper())

    assert answer.status_code == 201
    token = answer.json()["session_token"]
    cookie = answer.cookies["coder_session_token"]
    assert cookie.value == token
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == ("/", True, "Lax")
    assert set(answer.cookies) == {"coder_session_token"}
    assert APIClient(token=token).get("/api/v2/users/me").json()["username"] == user.username
    assert not Entry.objects.filter(after__contains={"session_token": token}).exists()
    assert set(Entry.objects.values_list("action", flat=True)) >= {"user.sign_in", "api_key.create"}


def test_unknown_address_and_wrong_password_answer_alike(anonymous: APIClient) -> None:
    user = make_user()

    wrong = log_in(anonymous, user.email, "wrong-password")
    unknown = log_in(anonymous, "nobody@example.com", "wrong-password")

    assert wrong.status_code == unknown.status_code == 401
    assert wrong.content == unknown.content
    failures = Entry.objects.filter(action="user.sign_in_failed").order_by("id")
    assert [entry.target_name for entry in failures] == [user.username, ""]


def test_unknown_address_costs_a_hash_as_a_wrong_password_does(
    anonymous: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    user = make_user()
    argon2 = Argon2PasswordHasher
    for name in ("encode", "verify"):
        real = getattr(argon2, name)

        def counted(*args: Any, real: Any = real, name: str = name, **more: Any) -> Any:
            hashed.append(name)
            return real(*args, **more)

        monkeypatch.setattr(argon2, name, counted)

    log_in(anonymous, user.email, "wrong-password")
    log_in(anonymous, "nobody@example.com", "wrong-password")

    assert hashed == ["verify", "encode"]


def test_suspended_user_learns_it_by_the_right_password_only(anonymous: APIClient) -> None:
    user = make_user(status=User.Status.SUSPENDED)

    assert log_in(anonymous, user.email).json()["message"] == "User is not active."
    assert "not active" not in log_in(anonymous, user.email, "wrong").json()["message"]
    assert not APIKey.objects.exists()


def test_passwords_switched_off_refuse_everybody(settings: Any, anonymous: APIClient) -> None:
    settings.DISABLE_PASSWORD_AUTH = True
    user = make_user("owner")

    answer = log_in(anonymous, user.email)

    assert answer.status_code == 403
    assert "Forbidden" in answer.json()["message"]
    assert anonymous.get("/api/v2/users/authmethods").json()["password"] == {"enabled": False}


def test_61st_try_in_a_minute_is_429(anonymous: APIClient) -> None:
    for _ in range(3):  # A minute that turns meanwhile starts the count anew.
        answers = [send(anonymous, "POST", "/users/login", b"{") for _ in range(61)]
        if answers[-1].status_code == 429:
            break

    assert {answer.status_code for answer in answers[:60]} == {400}
    assert answers[60].status_code == 429
    assert 0 < int(answers[60].headers["Retry-After"]) <= 60


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": "x", "password": "y"},
        {"email": "a@example.com", "password": None},
        {"email": 5},
    ],
)
def test_malformed_sign_in_is_400(body: Any, anonymous: APIClient) -> None:
    answer = send(anonymous, "POST", "/users/login", body)

    assert answer.status_code == 400
    assert answer.json()["validations"]


def test_auth_methods_in_the_documented_shape(anonymous: APIClient) -> None:
    methods = anonymous.get("/api/v2/users/authmethods").json()

    assert methods["password"] == {"enabled": True}
    assert methods["github"] == {"enabled": False, "default_provider_configured": False}
    assert methods["oidc"]["enabled"] is False


def test_sign_out_deletes_the_key_in_use_and_the_cookie(member: APIClient) -> None:
    other = make_key(member.user).key

    answer = send(member, "POST", "/users/logout")

    assert answer.status_code == 200
    assert answer.cookies["coder_session_token"].value == ""
    assert list(APIKey.objects.filter(user=member.user)) == [other]
    assert member.get("/api/v2/users/me").status_code == 401


# --- By cookie --------------------------------------------------------------------------------

OTHER = "https://other.example.com"
OWN = "http://testserver"
ACCESS_URL = "https://coder.example.com"


def cookie_client() -> APIClient:
    client = APIClient()
    client.cookies["coder_session_token"] = make_key(make_user()).token
    return client


@pytest.mark.parametrize(
    ("site", "origin", "passes"),
    [
        ("same-origin", OWN, True),
        ("same-origin", OTHER, True),  # A proxy may have another name than the browser's.
        ("none", "", True),
        ("same-site", OWN, False),
        ("cross-site", OWN, False),
        ("cross-site", "", False),
        ("else", OWN, False),
        ("", "", True),
        ("", OWN, True),
        ("", "HTTP://TESTSERVER", True),
        ("", "https://testserver", True),
        ("", ACCESS_URL, True),
        ("", OTHER, False),
        ("", "http://testserver:8080", False),
        ("", "http://testserver.example.com", False),
        ("", "null", False),
        ("", "http://[", False),
    ],
)
def test_write_by_cookie_must_come_from_our_own_site(
    settings: Any, site: str, origin: str, passes: bool
) -> None:
    settings.CSRF_TRUSTED_ORIGINS = [ACCESS_URL]
    sent = {"Sec-Fetch-Site": site, "Origin": origin}
    headers = {"Host": "testserver"} | {name: text for name, text in sent.items() if text}
    client = cookie_client()

    write = send(client, "POST", "/users/me/keys", headers=headers)
    read = client.get("/api/v2/users/me", headers=headers)

    assert write.status_code == (201 if passes else 400)
    assert read.status_code == 200
    assert not write.cookies
    assert not read.cookies
    if not passes:
        assert (site or origin) in write.json()["detail"]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/users/me/keys", {"Coder-Session-Token": "{}"}, 201),
        ("/users/me/keys?coder_session_token={}", {}, 201),
        ("/users/me/keys", {"Authorization": "Bearer x"}, 201),
        ("/users/me/keys", {"Authorization": "Basic eDp5"}, 400),
        ("/users/me/keys", {"Coder-Session-Token": "other"}, 400),
        ("/users/login", {}, 400),  # Its body is empty: the rule is not asked.
        ("/csp/reports", {}, 400),
    ],
)
def test_only_a_write_by_cookie_alone_is_asked_where_it_comes_from(
    path: str, headers: dict[str, str], status: int
) -> None:
    client = cookie_client()
    token = client.cookies["coder_session_token"].value
    given = {name: value.format(token) for name, value in headers.items()}

    answer = send(
        client, "POST", path.format(token), headers={"Sec-Fetch-Site": "cross-site", **given}
    )

    assert answer.status_code == status
    assert ("site" in answer.text) is (status == 400 and "keys" in path)
