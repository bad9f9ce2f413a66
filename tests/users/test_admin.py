"""Users in the admin: the rules and the audit entries of the API."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin import site
from django.test import Client
from django.urls import reverse

from audit.models import Entry
from tests.support.api.client import browser_of
from tests.support.browsers.markup import text_in
from tests.support.factories import PASSWORD, make_key, make_user
from tokens.models import APIKey, TokenConfig
from users.models import User

pytestmark = pytest.mark.django_db
OTHER_PASSWORD = {"password1": "another-horse-battery", "password2": "another-horse-battery"}


@pytest.fixture
def boss() -> User:
    return make_user("owner", username="boss")


@pytest.fixture
def admin(boss: User) -> Client:
    return browser_of(boss)


def page(user: User, rest: str = "change/") -> str:
    return f"/admin/users/user/{user.pk}/{rest}"


def change(client: Client, user: User, **fields: Any) -> Any:
    body: dict[str, Any] = {"username": user.username, "email": user.email, "name": user.name}
    body |= {"status": str(user.status), "roles": user.roles}
    return client.post(page(user), body | fields)


def test_status_and_roles_are_changed_and_recorded(admin: Client) -> None:
    user = make_user("auditor")

    answer = change(admin, user, status="suspended", roles=["user-admin"], name="New Name")

    assert answer.status_code == 302, answer.context["errors"]
    user.refresh_from_db()
    assert (user.status, user.roles, user.name) == ("suspended", ["user-admin"], "New Name")
    actions = ["user.rename", "user.roles", "user.status"]
    entries = Entry.objects.filter(action__in=actions).order_by("action")
    assert [(entry.action, entry.actor_name) for entry in entries] == [(a, "boss") for a in actions]
    # An entry is kept when the user is erased.
    change(admin, user, status="suspended", roles=["user-admin"], email="new@example.com")
    renamed = Entry.objects.filter(action="user.rename").latest("id")
    assert renamed.before == {"username": user.username}
    assert renamed.after == {"username": user.username, "changed": ["email"]}
    assert "new@example.com" not in str(vars(renamed))


def test_owner_cannot_suspend_demote_or_delete_themselves(admin: Client, boss: User) -> None:
    assert b"cannot suspend yourself" in change(admin, boss, status="suspended").content
    assert b"cannot change your own roles" in change(admin, boss, roles=["auditor"]).content
    assert admin.post(page(boss, "delete/"), {"post": "yes"}).status_code == 403
    boss.refresh_from_db()
    assert (boss.status, boss.roles) == ("active", ["owner"])


def test_new_password_deletes_all_keys_and_is_recorded(admin: Client) -> None:
    user = make_user()
    make_key(user)

    def set_password(password: str) -> Any:
        body = {"password1": password, "password2": password}
        return admin.post(page(user, "password/"), body)

    assert b"This is the current password" in set_password(PASSWORD).content
    assert b"8 to 64 characters" in set_password("x" * 65).content
    assert set_password("another-horse-battery").status_code == 302

    assert not APIKey.objects.filter(user=user).exists()
    assert Entry.objects.get(action="user.password").actor_name == "boss"
    user.refresh_from_db()
    assert user.check_password("another-horse-battery")


@pytest.mark.parametrize("role", ["owner", "user-admin"])
def test_own_password_needs_the_current_one(role: str) -> None:
    user = make_user(role)
    browser, path = browser_of(user), page(user, "password/")
    for answer in (browser.get(path), browser.post(path, OTHER_PASSWORD)):
        assert answer.headers["Location"] == "/admin/password_change/"
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_user_is_created_and_deleted(admin: Client) -> None:
    body = {
        "username": "newcomer",
        "email": "new@example.com",
        "password1": "a-quite-good-one",
        "password2": "a-quite-good-one",
    }

    add = "/admin/users/user/add/"

    too_long = admin.post(add, body | {"password1": "x" * 65, "password2": "x" * 65})
    assert b"8 to 64 characters" in too_long.content
    assert admin.post(add, body).status_code == 302
    user = User.objects.get(username="newcomer")
    assert admin.post(page(user, "delete/"), {"post": "yes"}).status_code == 302

    assert not User.objects.filter(pk=user.pk).exists()
    trail = Entry.objects.filter(target_name="newcomer").order_by("id")
    assert [entry.action for entry in trail] == ["user.create", "user.delete"]


def test_deletion_lists_the_data_first(admin: Client) -> None:
    user = make_user("auditor")
    make_key(user)
    make_key(user, login_type="token", token_name="ci")
    TokenConfig.objects.create(user=user, max_live_tokens=5)

    asked = text_in(admin.get(page(user, "delete/")))
    assert "session tokens 2 erased" in asked
    assert "token policies 1 erased" in asked
    assert "audit entries 2 kept until" in asked
    assert admin.post(page(user, "delete/"), {"post": "yes"}).status_code == 302

    assert not APIKey.objects.filter(user_id=user.pk).exists()
    assert not TokenConfig.objects.exists()
    entry = Entry.objects.get(action="user.delete")
    assert (entry.actor_name, entry.target_name) == ("boss", user.username)
    assert entry.after is not None
    assert entry.after["session tokens"] == 2
    assert entry.before == {"roles": ["auditor"], "status": "active"}


def test_page_has_checkboxes_for_roles_and_links_to_the_users_data(
    admin: Client, boss: User
) -> None:
    user = make_user("auditor")
    key = make_key(user).key
    change(admin, user, status="suspended")

    shown = admin.get(page(user)).content.decode()
    assert re.search(r'<input type="checkbox" name="roles" value="auditor"[^>]* checked', shown)
    links = r'href="([^"]+)">(?:audit entries|session tokens|token policies) '
    for link in re.findall(links, shown):
        followed = admin.get(link.replace("&amp;", "&"))
        assert followed.status_code == 200
        assert user.username in followed.content.decode(), link
    back = admin.get(f"/admin/tokens/apikey/{key.pk}/change/").content.decode()
    assert page(user) in back
    assert f"/admin/audit/entry/?target_id={key.pk}" in back
    history = admin.get(page(user, "history/"))
    assert history.headers["Location"] == f"/admin/audit/entry/?person={user.pk}"
    home = admin.get("/admin/").content.decode()
    assert f'href="/admin/audit/entry/?person={boss.pk}"' in home
    assert change(admin, user, roles=["owner", "nobody"]).status_code == 200
    assert User.objects.get(pk=user.pk).roles == ["auditor"]


@pytest.mark.parametrize(
    ("role", "shown"),
    [
        ("owner", {"boss"}),
        ("auditor", {"reader"}),
        ("unknown", set()),
        ("", {"boss", "reader", "neither"}),
    ],
)
def test_users_are_filtered_by_role(admin: Client, role: str, shown: set[str]) -> None:
    make_user("auditor", username="reader")
    make_user(username="neither")
    listed = admin.get("/admin/users/user/", {"role": role})
    assert {user.username for user in listed.context["cl"].result_list} == shown


def test_deleted_user_causes_no_server_error(admin: Client) -> None:
    user = make_user()
    user.delete()

    assert change(admin, user, status="suspended").status_code in {302, 404}
    assert admin.post(page(user, "password/"), {}).status_code == 404


# --- User admins can change only users, except owners. They see nothing else. -----------------


@pytest.fixture
def browser() -> Client:
    return browser_of(make_user("user-admin", username="ursula"))


def test_home_page_has_only_users(browser: Client) -> None:
    text = text_in(browser.get("/admin/"))
    assert "Users" in text
    for absent in ("CSP", "Charts", "Recent actions", "Jobs", "Session tokens"):
        assert absent not in text, absent
    for model in site._registry:
        path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        assert browser.get(path).status_code == (200 if model is User else 403), path


def test_user_is_created_changed_and_deleted(browser: Client) -> None:
    password = {"password1": "a-quite-good-one", "password2": "a-quite-good-one"}
    body = {"username": "newcomer", "email": "new@example.com", **password}
    assert browser.post("/admin/users/user/add/", body).status_code == 302
    user = User.objects.get(username="newcomer")
    shown = text_in(browser.get(page(user)))
    assert "Tokens, limits and audit trail" not in shown
    assert change(browser, user, status="suspended", roles=["owner"]).status_code == 302
    assert browser.post(page(user, "password/"), password).status_code == 200  # The same password.
    user.refresh_from_db()
    assert (user.status, user.roles) == ("suspended", [])
    assert browser.post(page(user, "delete/"), {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=user.pk).exists()


def test_owner_cannot_be_changed(browser: Client) -> None:
    make_user("owner")
    boss = make_user("owner", username="boss")
    assert "Save" not in text_in(browser.get(page(boss)))
    assert change(browser, boss, status="suspended").status_code == 403
    assert browser.post(page(boss, "delete/"), {"post": "yes"}).status_code == 403
    assert browser.post(page(boss, "password/"), OTHER_PASSWORD).status_code == 403
    stored = User.objects.get(pk=boss.pk)
    assert (stored.status, stored.password) == ("active", boss.password)


def test_password_of_an_auditor_is_not_reset(browser: Client) -> None:
    """An auditor has rights that a user admin lacks. The API has the same rule."""
    auditor = make_user("auditor")
    make_key(auditor)
    assert change(browser, auditor, email="other@example.com").status_code == 302
    assert browser.post(page(auditor, "password/"), OTHER_PASSWORD).status_code == 403
    assert User.objects.get(pk=auditor.pk).password == auditor.password


def test_own_roles_and_status_stay(browser: Client) -> None:
    ursula = User.objects.get(username="ursula")
    assert b"cannot suspend yourself" in change(browser, ursula, status="suspended").content
    assert change(browser, ursula, roles=["owner"]).status_code == 302
    ursula.refresh_from_db()
    assert (ursula.status, ursula.roles) == ("active", ["user-admin"])
