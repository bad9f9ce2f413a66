"""The pages of a user: sign-in, a token for the command line, and the account."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import Entry
from kernel.text.durations import format_duration
from tests.support.api.client import APIClient, signed_in
from tests.support.browsers.markup import forbidden_in, unlabelled_in
from tests.support.factories import DAY_NS, PASSWORD, expire, make_key, make_user
from tokens.models import APIKey, TokenConfig
from tokens.signin import is_own_page
from users.models import User

pytestmark = pytest.mark.django_db

COOKIE = "coder_session_token"
ME = "/api/v2/users/me"
TOKEN = re.compile(r'value="([A-Za-z0-9]{10}-[A-Za-z0-9]{22})"')


def sign_in(browser: Client, user: User, *, password: str = PASSWORD, **more: Any) -> Any:
    form = {"name": user.username, "password": password, **more}
    return browser.post("/login", form)


def whose(token: str) -> str:
    """Returns the username that the API has for the token, or ""."""
    return str(APIClient(token=token).get(ME).json().get("username", ""))


def token_on(answer: Any) -> str:
    found = TOKEN.search(answer.content.decode())
    assert found, answer.content.decode()
    return found[1]


@pytest.mark.parametrize("name", ["email", "username"])
def test_sign_in_sets_the_session_cookie_of_the_api(name: str, settings: Any) -> None:
    settings.SECURE_COOKIES, settings.SAMESITE = True, "Strict"
    user = make_user()
    form = {"name": getattr(user, name).upper(), "password": PASSWORD}

    answer = Client().post("/login", form)

    cookie = answer.cookies[COOKIE]
    assert answer.headers["Location"] == "/"
    assert (cookie["path"], cookie["httponly"], cookie["secure"]) == ("/", True, True)
    assert cookie["samesite"] == "Strict"
    assert whose(cookie.value) == user.username
    assert APIKey.objects.get(user=user).lifetime_ns == settings.SESSION_DURATION_NS
    assert Entry.objects.get(action="user.sign_in").target_name == user.username


@pytest.mark.parametrize("path", ["/account", "/cli-auth", "/cli-auth?a=b&c=%2F", "/logout"])
def test_sign_in_returns_to_the_page(path: str) -> None:
    browser, user = Client(), make_user()

    to_login = browser.get(path).headers["Location"]
    after = re.search(r'name="next" value="([^"]*)"', browser.get(to_login).content.decode())
    assert after
    answer = sign_in(browser, user, next=after[1].replace("&amp;", "&"))

    assert to_login.startswith("/login?next=")
    assert answer.headers["Location"] == path
    assert browser.get(path).status_code == 200
    assert browser.get(to_login).headers["Location"] == path


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "http:///evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "",
        "https://testserver.evil.example/",
    ],
)
def test_sign_in_never_redirects_to_another_site(elsewhere: str) -> None:
    browser = Client()
    query = {"next": elsewhere}

    assert sign_in(browser, make_user(), next=elsewhere).headers["Location"] == "/"
    assert browser.get("/login", query).headers["Location"] == "/"
    admin = browser.get("/admin/login/", query)
    assert admin.headers["Location"] == "/account"


@pytest.mark.parametrize("name", ["known", "stranger"])
def test_wrong_password_and_unknown_name_get_the_same_page(name: str) -> None:
    make_user(username="known")

    answer = sign_in(Client(), User(username=name), password="wrong-password")

    assert (answer.status_code, COOKIE in answer.cookies) == (401, False)
    assert b"The e-mail address or the password is wrong." in answer.content
    assert b"wrong-password" not in answer.content
    failure = Entry.objects.get(action="user.sign_in_failed")
    assert failure.target_name == ("known" if name == "known" else "")
    # Somebody may have entered a password as the name.
    assert "stranger" not in str(list(Entry.objects.values()))


def test_suspended_user_gets_a_message_and_loses_the_session() -> None:
    user = make_user()
    browser = signed_in(user)
    User.objects.filter(pk=user.pk).update(status=User.Status.SUSPENDED)

    answer = sign_in(Client(), user)

    assert (answer.status_code, b"User is not active." in answer.content) == (401, True)
    assert browser.get("/account").status_code == 302


@pytest.mark.parametrize(("role", "status"), [("owner", 302), ("auditor", 403), ("", 403)])
def test_only_owners_sign_in_while_passwords_are_disabled(
    settings: Any, role: str, status: int
) -> None:
    settings.DISABLE_PASSWORD_AUTH = True
    user = make_user(*filter(None, [role]))

    answer = sign_in(Client(), user)

    assert answer.status_code == status
    assert (COOKIE in answer.cookies) is (status == 302)
    assert sign_in(Client(), user, password="wrong-password").status_code == 401
    assert b"Only owners can sign in here." in Client().get("/login").content


@pytest.mark.parametrize(
    "path", ["/login", "/logout", "/cli-auth", "/account/tokens", "/account/tokens/{key}/rename"]
)
def test_form_of_another_site_is_rejected(path: str) -> None:
    user = make_user()
    browser = Client(enforce_csrf_checks=True)
    key = make_key(user, token_name="old")
    browser.cookies[COOKIE] = key.token

    form = {"name": user.username, "password": PASSWORD, "token_name": "new"}
    answer = browser.post(path.format(key=key.key.id), form, headers={"Accept": "text/html"})

    assert answer.status_code == 403
    assert answer.headers["Content-Type"].startswith("text/html")
    assert APIKey.objects.get().token_name == "old"


@pytest.mark.parametrize(
    ("role", "home"),
    [("owner", "/admin/"), ("auditor", "/admin/"), ("user-admin", "/admin/"), ("", "/account")],
)
def test_home_redirects_to_the_admin_the_account_or_the_sign_in(role: str, home: str) -> None:
    browser = signed_in(make_user(*filter(None, [role])))

    assert browser.get("/").headers["Location"] == home
    assert browser.get(home).status_code == 200
    assert Client().get("/").headers["Location"] == "/login"


@pytest.mark.parametrize("role", ["owner", ""])
def test_sign_out_ends_the_session_everywhere(role: str) -> None:
    user = make_user(*filter(None, [role]))
    browser = signed_in(user)
    token = browser.cookies[COOKIE].value
    make_key(user)

    answer = browser.post("/logout")

    assert answer.headers["Location"] == "/login"
    assert answer.cookies[COOKIE]["max-age"] == 0
    assert whose(token) == ""
    assert APIKey.objects.count() == 1
    assert browser.get("/account").status_code == browser.get("/admin/").status_code == 302
    assert Entry.objects.get(action="user.sign_out").after == {"by": "page"}


def test_command_line_gets_a_session_token_of_its_own(settings: Any) -> None:
    user = make_user()
    browser = signed_in(user)

    asked = browser.get("/cli-auth")
    made = APIKey.objects.count()
    token = token_on(browser.post("/cli-auth"))

    assert (asked.status_code, made) == (200, 1)
    assert whose(token) == user.username
    key = APIKey.objects.get(id=token.partition("-")[0])
    assert key.lifetime_ns == settings.DEFAULT_TOKEN_LIFETIME_NS
    assert "no-store" in browser.post("/cli-auth").headers["Cache-Control"]
    assert token not in browser.get("/account").content.decode()


def test_token_in_the_cookie_does_not_bypass_the_policy() -> None:
    user = make_user()
    TokenConfig.objects.create(user=user, tokens_may_create_tokens=False)
    browser = Client()
    browser.cookies[COOKIE] = make_key(user, login_type=APIKey.LoginType.TOKEN).token

    answers = [browser.post("/cli-auth"), browser.post("/account/tokens", {})]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert all(b"A token cannot create keys" in answer.content for answer in answers)
    assert APIKey.objects.count() == 1


def test_scopes_of_the_session_apply() -> None:
    user = make_user()
    browser = Client()
    browser.cookies[COOKIE] = make_key(user, scopes=["api_key:read"]).token

    assert browser.get("/account").status_code == 200
    other = make_key(user).key.id
    for path in ("/cli-auth", "/account/tokens", "/account/password"):
        assert browser.post(path).status_code == 404, path
    assert browser.post(f"/account/tokens/{other}/revoke").status_code == 404
    assert APIKey.objects.live(timezone.now()).count() == 2


def test_expired_session_and_a_token_elsewhere_lead_to_the_sign_in() -> None:
    user = make_user()
    token, browser = make_key(user).token, signed_in(user)

    assert Client().get(f"/account?{COOKIE}={token}").status_code == 302
    assert Client(headers={"Coder-Session-Token": token}).get("/account").status_code == 302
    APIKey.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    assert browser.get("/account").headers["Location"] == "/login?next=/account"


def test_account_shows_live_keys_and_limits_with_the_rules_that_set_them() -> None:
    user = make_user("auditor")
    TokenConfig.objects.create(role="auditor", max_lifetime_ns=7 * DAY_NS)
    make_key(user, token_name="laptop", lifetime_ns=3 * DAY_NS + DAY_NS // 24)
    make_key(user, token_name="narrow", scopes=["api_key:read"])
    expire(make_key(user, token_name="long-gone"))
    make_key(make_user(), token_name="of-somebody-else")

    page = signed_in(user).get("/account").content.decode()

    assert "laptop" in page
    assert 'data-label="Scopes">Full access</td>' in page
    assert ">in 3 days</time>" in page
    assert "api_key:read</td>" in page
    assert "this session" in page
    assert "long-gone" not in page
    assert "of-somebody-else" not in page
    assert re.search(
        r"maximum lifetime</th>\s*<td[^>]*>7 days</td>\s*<td[^>]*>role auditor</td>", page
    )
    assert "CODER_MAX_TOKEN_LIFETIME: 100 years" in page
    assert re.search(r"<td[^>]*>no limit</td>\s*<td[^>]*>default</td>\s*<td[^>]*>none</td>", page)
    assert "h0m0s" not in page


def test_token_is_created_as_requested() -> None:
    user = make_user()
    form = {"token_name": "ci", "lifetime": "12h", "scopes": ["user:read", "api_key:read"]}

    token = token_on(signed_in(user).post("/account/tokens", form))

    key = APIKey.objects.get(token_name="ci")
    assert token.startswith(key.id)
    assert format_duration(key.lifetime_ns) == "12h0m0s"
    assert sorted(key.scopes) == ["api_key:read", "user:read"]
    assert key.login_type == APIKey.LoginType.TOKEN


@pytest.mark.parametrize(
    ("form", "status", "text"),
    [
        ({"lifetime": "8d"}, 400, "lifetime must be at most 7 days (set by user"),
        ({"lifetime": "soon"}, 400, "soon"),
        ({"lifetime": "1ms"}, 400, "is less than a second"),
        ({"token_name": "a/b"}, 400, "must not contain slashes"),
        pytest.param(
            {"token_name": "taken"},
            409,
            "already have a token named",
            marks=pytest.mark.django_db(transaction=True),
        ),
        ({"scopes": ["everything"]}, 400, "everything"),
        ({"token_name": "x" * 300}, 400, "at most 255 characters"),
    ],
)
def test_rejected_token_shows_the_reason(form: dict[str, Any], status: int, text: str) -> None:
    user = make_user()
    TokenConfig.objects.create(user=user, max_lifetime_ns=7 * DAY_NS)
    make_key(user, token_name="taken")

    answer = signed_in(user).post("/account/tokens", form)

    assert answer.status_code == status
    assert text in answer.content.decode()
    assert APIKey.objects.filter(user=user).count() == 2


def test_token_is_revoked_after_one_question() -> None:
    user = make_user()
    browser, other = signed_in(user), make_key(user, token_name="old")
    path = f"/account/tokens/{other.key.id}/revoke"

    assert f'href="{path}"' in browser.get("/account").content.decode()
    assert b"Revoke the token old?" in browser.get(path).content
    assert whose(other.token) == user.username
    page = browser.post(path, follow=True)

    assert b"You have revoked the token old." in page.content
    assert whose(other.token) == ""
    assert browser.get("/account").status_code == 200


def test_token_is_renamed() -> None:
    user = make_user()
    make_key(make_user(), token_name="new <i>")
    browser, token = signed_in(user), make_key(user, token_name="old")
    path = f"/account/tokens/{token.key.id}/rename"

    form = browser.get(path)
    # Its own name changes nothing.
    assert browser.post(path, {"token_name": "old"}).headers["Location"] == "/account"
    page = browser.post(path, {"token_name": " new <i> "}, follow=True)

    assert 'value="old"' in form.content.decode()
    assert "The token old is now called new &lt;i&gt;." in page.content.decode()
    assert whose(token.token) == user.username
    named = APIClient(token=token.token).get(f"{ME}/keys/tokens").json()
    assert [one["token_name"] for one in named] == ["new <i>"]
    entry = Entry.objects.get(action="api_key.rename")
    assert (entry.before, entry.after) == ({"token_name": "old"}, {"token_name": "new <i>"})
    assert (entry.actor_id, entry.target_id) == (user.pk, token.key.id)


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("", 400, "This field is required."),
        ("a/b", 400, "must not contain slashes"),
        ("a\u200bb", 400, "must not contain slashes"),
        ("a\0b", 400, "Null characters are not allowed."),
        ("TokenConfig", 400, "You cannot use the name TokenConfig"),
        ("x" * 65, 400, "1 to 64 characters."),
        ("x" * 300, 400, "at most 255 characters"),
        ("taken", 409, "You already have a token named &#x27;taken&#x27;."),
        ("taken-before", 409, "already have a token"),
    ],
)
def test_rejected_name_shows_the_reason(name: str, status: int, text: str) -> None:
    user = make_user()
    token = make_key(user, token_name="old").key.id
    make_key(user, token_name="taken")
    expire(make_key(user, token_name="taken-before"))

    answer = signed_in(user).post(f"/account/tokens/{token}/rename", {"token_name": name})

    assert answer.status_code == status
    assert text in answer.content.decode()
    assert APIKey.objects.get(id=token).token_name == "old"
    assert not Entry.objects.filter(action="api_key.rename").exists()


@pytest.mark.parametrize("role", ["owner", ""])
def test_only_the_users_own_live_tokens_are_renamed_and_revoked(role: str) -> None:
    user = make_user(*filter(None, [role]))
    expired = make_key(user, token_name="expired")
    expire(expired)
    strange = make_key(make_user(), token_name="strange")
    unknown = ["0000000000", "nul%00"]
    browser = signed_in(user)

    for one in (expired.key.id, strange.key.id, make_key(user).key.id, *unknown):
        path = f"/account/tokens/{one}/rename"
        assert browser.get(path).status_code == 404, one
        assert browser.post(path, {"token_name": "new"}).status_code == 404, one
    # An owner may revoke the tokens of others.
    for one in unknown if role else [strange.key.id, *unknown]:
        refused = browser.post(f"/account/tokens/{one}/revoke")
        assert refused.status_code == 404, one
        assert refused.headers["Content-Type"].startswith("text/html")
    assert not APIKey.objects.filter(token_name="new").exists()
    assert whose(strange.token)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"scopes": ["api_key:read", "api_key:update"]}, 302),
        ({"scopes": ["api_key:read", "api_key:create", "api_key:delete"]}, 404),
        ({"allow_list": (("api_key", "0000000000"),)}, 404),
    ],
)
def test_renaming_and_revoking_need_the_same_scopes(fields: dict[str, Any], status: int) -> None:
    user = make_user()
    token = make_key(user, token_name="old").key.id
    browser = Client()
    browser.cookies[COOKIE] = make_key(user, **fields).token

    paths = [f"/account/tokens/{token}/{what}" for what in ("rename", "revoke")]
    answers = [browser.post(path, {"token_name": "new"}) for path in paths]

    assert [answer.status_code for answer in answers] == [status, status]
    assert APIKey.objects.filter(token_name="new").exists() == (status == 302)


@pytest.mark.parametrize("role", ["owner", ""])
def test_password_is_changed_and_other_sessions_end(role: str) -> None:
    user = make_user(*filter(None, [role]))
    browser, other = signed_in(user), make_key(user)
    form = {"old_password": PASSWORD, "password": "another-good-password"}

    page = browser.post("/account/password", form, follow=True)

    assert b"Your password was changed." in page.content
    assert whose(other.token) == ""
    assert browser.get("/").headers["Location"] == ("/admin/" if role else "/account")
    assert browser.get(browser.get("/").headers["Location"]).status_code == 200
    assert sign_in(Client(), user).status_code == 401


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("wrong-password", "another-good-password", "This is not your current password."),
        (PASSWORD, "short", "8 to 64 characters"),
        (PASSWORD, PASSWORD, "This is the current password."),
        ("", "another-good-password", "This field is required."),
    ],
)
def test_rejected_password_shows_the_reason(old: str, new: str, text: str) -> None:
    user = make_user()

    answer = signed_in(user).post("/account/password", {"old_password": old, "password": new})

    assert answer.status_code == 400
    assert text in answer.content.decode()
    assert sign_in(Client(), user).status_code == 302


def test_forms_count_as_requests_to_the_api(settings: Any) -> None:
    settings.API_RATE_LIMIT = 1
    user = make_user()
    rename = f"/account/tokens/{make_key(user, token_name='old').key.id}/rename"
    browser = signed_in(user)
    statuses = [browser.post(path).status_code for path in ("/cli-auth", rename) * 2]

    assert statuses.count(429) >= 2
    assert browser.get("/account").status_code == 200


def test_pages_obey_their_content_policy_and_label_their_fields() -> None:
    user = make_user()
    browser = signed_in(user)
    invalid = {"lifetime": "soon", "token_name": "a/b"}
    token = f"/account/tokens/{make_key(user, token_name='old').key.id}"
    pages = {
        "login": Client().get("/login"),
        "wrong password": sign_in(Client(), user, password="wrong-password"),
        "logout": browser.get("/logout"),
        "cli-auth": browser.get("/cli-auth"),
        "token": browser.post("/cli-auth"),
        "account": browser.get("/account"),
        "account invalid": browser.post("/account/tokens", invalid),
        "rename": browser.get(f"{token}/rename"),
        "rename invalid": browser.post(f"{token}/rename", invalid),
        "revoke": browser.get(f"{token}/revoke"),
        "error": browser.post("/account/tokens/none/revoke"),
    }
    for name, page in pages.items():
        assert forbidden_in(page) == [], name
        assert unlabelled_in(page) == [], name
        assert "no-store" in page.headers["Cache-Control"], name


@pytest.mark.parametrize(
    ("target", "is_own"),
    [
        ("/coderapi/", True),
        ("/coderapi/admin/csp/group/?q=a/../b&next=//x", True),
        ("/coderapi", False),
        ("/workspaces", False),
        ("/coderapi/../@eve/x", False),
        ("/coderapi/%2e%2E/@eve/x", False),
        ("/coderapi/..\\@eve/x", False),
        ("/coderapi/a/./b", False),
        ("/../../@eve/x", False),
        ("//coderapi/x", False),
        ("https://testserver/coderapi/", False),
        ("", False),
    ],
)
def test_targets_of_a_sign_in_are_below_the_path_of_the_pages(
    settings: Any, target: str, is_own: bool
) -> None:
    settings.PAGES_PATH = "/coderapi/"
    assert is_own_page(target) is is_own
