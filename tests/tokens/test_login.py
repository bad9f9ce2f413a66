"""Signing in by the API, writes by cookie, and signing out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import count as numbers
from itertools import islice
from typing import Any

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.test import Client

from audit.models import Entry
from kernel.http.steps.counters import PROBES, SLOTS
from tests.support.api.client import APIClient
from tests.support.api.sending import after_too_many_sign_ins, count, send
from tests.support.factories import PASSWORD, make_key, make_user
from tokens.models import APIKey
from users import passwords
from users.models import User

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("same_minute")]


def log_in(client: Client, email: str, password: str = PASSWORD, **more: Any) -> Any:
    return send(client, "POST", "/users/login", {"email": email, "password": password}, **more)


def test_right_password_returns_a_token_and_sets_the_cookie(anonymous: APIClient) -> None:
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


def test_unknown_address_and_wrong_password_get_the_same_answer(anonymous: APIClient) -> None:
    user, suspended = make_user(), make_user(status=User.Status.SUSPENDED)

    wrong, unknown, of_suspended = (
        log_in(anonymous, email, "wrong-password")
        for email in (user.email, "nobody@example.com", suspended.email)
    )

    assert wrong.status_code == unknown.status_code == 401
    assert wrong.content == unknown.content == of_suspended.content
    failures = Entry.objects.filter(action="user.sign_in_failed").order_by("id")
    names = [entry.target_name for entry in failures]
    assert names == [user.username, "", suspended.username]
    # Only the right password shows that the user is suspended.
    assert log_in(anonymous, suspended.email).json()["message"] == "User is not active."
    assert not APIKey.objects.exists()


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


def test_sign_in_is_403_while_passwords_are_disabled(settings: Any, anonymous: APIClient) -> None:
    settings.DISABLE_PASSWORD_AUTH = True
    user = make_user("owner")

    answer = log_in(anonymous, user.email)

    assert answer.status_code == 403
    assert "Forbidden" in answer.json()["message"]
    assert anonymous.get("/api/v2/users/authmethods").json()["password"] == {"enabled": False}


def tries() -> int:
    """Returns the sign-ins of this address that count in this minute."""
    return count("sign-in:127.0.0.1")


def test_61st_try_in_a_minute_is_429_in_the_api_and_on_the_page(anonymous: APIClient) -> None:
    form = {"name": "nobody@example.com", "password": PASSWORD}
    answer = after_too_many_sign_ins(lambda: log_in(anonymous, "nobody@example.com"))
    page = after_too_many_sign_ins(lambda: Client().post("/login", form))

    for each in (answer, page):
        assert each.status_code == 429
        assert 0 < int(each.headers["Retry-After"]) <= 60
    assert b"The limit is 60 sign-ins a minute." in page.content


def wrong(client: Client, name: str, address: str) -> int:
    return int(log_in(client, name, "wrong-password", REMOTE_ADDR=address).status_code)


def test_ipv6_network_has_four_times_the_limit(anonymous: APIClient) -> None:
    count("sign-in:2001:db8:1::/48", 4 * passwords.MAX_TRIES_A_MINUTE - 8)
    names = (f"user-{number}@example.com" for number in range(100))
    addresses = [f"2001:db8:1:{subnet}::1" for subnet in range(5) for _ in range(2)]
    found = [wrong(anonymous, next(names), address) for address in addresses]
    assert found == [401] * 8 + [429] * 2
    assert wrong(anonymous, next(names), "2001:db8:2::1") == 401


def test_guesses_of_one_password_from_many_addresses_are_slowed_down(anonymous: APIClient) -> None:
    user = make_user()
    for name in (user.email, "nobody@example.com"):
        count(f"failed-sign-in:{name}", passwords.MAX_FAILURES_A_MINUTE - 10, of_names=True)
        guesses = [wrong(anonymous, name, f"192.0.2.{number}") for number in range(10)]
        # Each address has five more tries, however the name is written.
        guesses += [wrong(anonymous, name.upper(), "192.0.2.50") for _ in range(7)]
        assert guesses == [401] * 15 + [429] * 2
    # The user and other users can still sign in.
    assert log_in(anonymous, user.email, REMOTE_ADDR="192.0.2.60").status_code == 201
    assert log_in(anonymous, make_user().email, REMOTE_ADDR="192.0.2.50").status_code == 201


def colliding(bucket: str) -> Iterator[str]:
    """Yields names whose failures would have the place of the bucket if the hash had no key."""

    def place(text: str) -> int:
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") % (SLOTS - PROBES)

    wanted = place(bucket)
    names = (f"{number}@example.com" for number in numbers())
    return (name for name in names if place(f"failed-sign-in:{name}") == wanted)


def test_chosen_names_do_not_reset_the_count_of_an_address(anonymous: APIClient) -> None:
    names = list(islice(colliding("sign-in:127.0.0.1"), PROBES + 6))
    for name in names[:PROBES]:
        wrong(anonymous, name, "192.0.2.1")
    # One chosen name after every ten guesses.
    tried = [name for chosen in names[PROBES:] for name in [*["owner@example.com"] * 10, chosen]]
    found = [wrong(anonymous, name, "127.0.0.1") for name in tried]
    assert found == [401] * 60 + [429] * 6


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b'{"email": "a@example.com"}'])
@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "cross-site"}])
def test_request_without_a_name_and_a_password_is_not_counted(
    body: bytes, headers: dict[str, str], anonymous: APIClient
) -> None:
    for path in ("/api/v2/users/login", "/login"):
        answer = anonymous.generic("POST", path, body, headers=headers)
        assert answer.status_code == 400, path

    assert tries() == 0
    assert log_in(anonymous, "nobody@example.com").status_code == 401
    assert tries() == 1


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


def test_auth_methods_have_the_documented_shape(anonymous: APIClient) -> None:
    methods = anonymous.get("/api/v2/users/authmethods").json()

    assert methods["password"] == {"enabled": True}
    assert methods["github"] == {"enabled": False, "default_provider_configured": False}
    assert methods["oidc"] == {"enabled": False, "signInText": "", "iconUrl": ""}


def test_sign_out_deletes_the_key_in_use_and_the_cookie(member: APIClient) -> None:
    other = make_key(member.user).key

    answer = send(member, "POST", "/users/logout")

    assert answer.status_code == 200
    assert answer.cookies["coder_session_token"].value == ""
    assert list(APIKey.objects.filter(user=member.user)) == [other]
    assert member.get("/api/v2/users/me").status_code == 401
    assert Entry.objects.get(action="user.sign_out").after == {"by": "api"}


def test_sign_in_of_another_site_is_not_counted_and_changes_nothing(anonymous: APIClient) -> None:
    user = make_user()
    headers = {"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}

    answer = log_in(anonymous, user.email, headers=headers)

    assert (answer.status_code, answer.cookies) == (400, {})
    assert "X-RateLimit-Limit" not in answer.headers
    assert tries() == 0
    assert not APIKey.objects.exists()


@pytest.mark.parametrize(("role", "by"), [("owner", "api"), ("", "api"), ("owner", "page")])
def test_sign_in_ends_the_session_whose_cookies_came_with_it(role: str, by: str) -> None:
    before, after = make_user(*filter(None, [role])), make_user()
    browser = Client()
    browser.post("/login", {"name": before.username, "password": PASSWORD})
    old = browser.cookies["coder_session_token"].value
    assert browser.get("/admin/").status_code == (200 if role else 302)

    form = {"name": after.username, "password": PASSWORD}
    answer = log_in(browser, after.email) if by == "api" else browser.post("/login", form)

    assert answer.status_code == (201 if by == "api" else 302)
    assert "Coderapi-Key-Expires" not in answer.headers
    assert APIClient(token=old).get("/api/v2/users/me").status_code == 401
    assert browser.get("/admin/").status_code == 302
    assert browser.get("/api/v2/users/me").json()["username"] == after.username
    entry = Entry.objects.get(action="user.sign_out")
    assert (entry.actor_id, entry.after) == (before.pk, {"by": by})


def test_sign_in_keeps_a_token_that_came_as_the_cookie() -> None:
    user, browser = make_user(), APIClient()
    token = make_key(user, token_name="ci").token
    browser.cookies["coder_session_token"] = token

    assert log_in(browser, user.email).status_code == 201
    assert APIClient(token=token).get("/api/v2/users/me").status_code == 200


# --- By cookie --------------------------------------------------------------------------------

OTHER = "https://other.example.com"
OWN = "http://testserver"
ACCESS_URL = "https://coder.example.com"
PROXY = "10.0.0.1"


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
        ("", "https://testserver", False),
        ("", ACCESS_URL, True),
        ("", OTHER, False),
        ("", "http://testserver:8080", False),
        ("", "http://testserver.example.com", False),
        ("", "null", False),
        ("", "http://[", False),
    ],
)
def test_writes_by_cookie_and_sign_ins_must_come_from_our_own_site(
    settings: Any, site: str, origin: str, passes: bool
) -> None:
    settings.CSRF_TRUSTED_ORIGINS = [ACCESS_URL]
    sent = {"Sec-Fetch-Site": site, "Origin": origin}
    headers = {"Host": "testserver"} | {name: text for name, text in sent.items() if text}
    client = cookie_client()

    write = send(client, "POST", "/users/me/keys", headers=headers)
    sign_in = send(APIClient(), "POST", "/users/login", {}, headers=headers)
    first = send(APIClient(), "POST", "/users/first", {}, headers=headers)
    read = client.get("/api/v2/users/me", headers=headers)

    assert write.status_code == (201 if passes else 400)
    assert read.status_code == 200
    assert not write.cookies
    assert not read.cookies
    for answer in (sign_in, first):
        assert (answer.json()["message"] == "Another site sent this request.") is not passes
    if not passes:
        for answer in (write, sign_in, first):
            assert (site or origin) in answer.json()["detail"]


@pytest.mark.parametrize(
    ("access_url", "peer", "forwarded", "host", "origin", "passes"),
    [
        ("https://a.test", PROXY, "https", "a.test", "https://a.test", True),
        ("https://a.test", PROXY, "https", "a.test", "http://a.test", False),
        # A proxy that does not forward the scheme, or that is not trusted.
        ("https://a.test", PROXY, "", "a.test:443", "https://a.test", True),
        ("https://a.test", PROXY, "", "a.test", "http://a.test", False),
        ("https://a.test", "192.0.2.1", "http", "a.test", "http://a.test", False),
        # The proxy in front of a trusted proxy terminates TLS.
        ("https://a.test", PROXY, "http", "a.test", "https://a.test", True),
        # Another host than that of the access URL.
        ("https://a.test", PROXY, "HTTPS, http", "b.test", "https://b.test", True),
        ("https://a.test", PROXY, "https", "b.test", "http://b.test", False),
        ("https://a.test", PROXY, "", "localhost:3001", "http://localhost:3001", True),
        # Plain HTTP.
        ("http://a.test", PROXY, "", "a.test", "http://a.test", True),
        ("http://a.test", PROXY, "", "a.test", "https://a.test", False),
        ("http://a.test", "192.0.2.1", "https", "a.test", "https://a.test", False),
    ],
)
def test_origin_has_the_scheme_and_the_host_that_the_client_used(
    settings: Any, access_url: str, peer: str, forwarded: str, host: str, origin: str, passes: bool
) -> None:
    settings.ACCESS_URL, settings.CSRF_TRUSTED_ORIGINS = access_url, [access_url]
    settings.TRUSTED_PROXY_ORIGINS = [PROXY]
    environ: dict[str, Any] = {"HTTP_HOST": host, "HTTP_ORIGIN": origin, "REMOTE_ADDR": peer}
    environ |= {"HTTP_X_FORWARDED_PROTO": forwarded} if forwarded else {}

    write = cookie_client().post("/api/v2/users/me/keys", **environ)
    browser = Client(enforce_csrf_checks=True)
    browser.get("/login", **environ)
    form = {"csrfmiddlewaretoken": browser.cookies["coderapi_csrf"].value}
    page = browser.post("/login", form, HTTP_ACCEPT="text/html", **environ)

    assert (write.status_code, page.status_code) == ((201, 400) if passes else (400, 403))


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/users/me/keys", {"Coder-Session-Token": "{}"}, 201),
        ("/users/me/keys?coder_session_token={}", {}, 201),
        ("/users/me/keys", {"Authorization": "Bearer x"}, 201),
        ("/users/me/keys", {"Authorization": "Basic eDp5"}, 400),
        ("/users/me/keys", {"Coder-Session-Token": "other"}, 400),
    ],
)
def test_write_with_a_token_outside_the_cookie_may_come_from_any_site(
    path: str, headers: dict[str, str], status: int
) -> None:
    client = cookie_client()
    token = client.cookies["coder_session_token"].value
    given = {name: value.format(token) for name, value in headers.items()}

    answer = send(
        client, "POST", path.format(token), headers={"Sec-Fetch-Site": "cross-site", **given}
    )

    assert answer.status_code == status
    assert ("site" in answer.text) is (status == 400)
