"""In the admin, user admins can change only users, except owners. They see nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from tests.support.api.client import browser_of
from tests.support.browsers.markup import text_in
from tests.support.factories import make_key, make_user
from users.models import User

pytestmark = pytest.mark.django_db
LIST = "/admin/users/user/"


@pytest.fixture
def browser() -> Client:
    return browser_of(make_user("user-admin", username="ursula"))


def page(user: User, rest: str = "change/") -> str:
    return f"{LIST}{user.pk}/{rest}"


def change(client: Client, user: User, **fields: Any) -> Any:
    body = {"username": user.username, "email": user.email, "status": str(user.status)}
    return client.post(page(user), body | fields)


def test_home_page_has_only_users(browser: Client) -> None:
    text = text_in(browser.get("/admin/"))

    assert "Users" in text
    for absent in ("CSP", "Charts", "Recent actions", "Jobs", "Session tokens"):
        assert absent not in text, absent
    for model in admin.site._registry:
        path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        assert browser.get(path).status_code == (200 if model is User else 403), path


def test_user_is_created_changed_and_deleted(browser: Client) -> None:
    password = {"password1": "a-quite-good-one", "password2": "a-quite-good-one"}
    body = {"username": "newcomer", "email": "new@example.com", **password}
    assert browser.post(f"{LIST}add/", body).status_code == 302
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
    password = {"password1": "another-horse-battery", "password2": "another-horse-battery"}

    assert "Save" not in text_in(browser.get(page(boss)))
    assert change(browser, boss, status="suspended").status_code == 403
    assert browser.post(page(boss, "delete/"), {"post": "yes"}).status_code == 403
    assert browser.post(page(boss, "password/"), password).status_code == 403
    stored = User.objects.get(pk=boss.pk)
    assert (stored.status, stored.password) == ("active", boss.password)


def test_password_of_an_auditor_is_not_reset(browser: Client) -> None:
    """An auditor has rights that a user admin lacks. The API has the same rule."""
    auditor = make_user("auditor")
    make_key(auditor)
    password = {"password1": "another-horse-battery", "password2": "another-horse-battery"}

    assert change(browser, auditor, email="other@example.com").status_code == 302
    assert browser.post(page(auditor, "password/"), password).status_code == 403
    assert User.objects.get(pk=auditor.pk).password == auditor.password


def test_own_roles_and_status_stay(browser: Client) -> None:
    ursula = User.objects.get(username="ursula")

    assert b"cannot suspend yourself" in change(browser, ursula, status="suspended").content
    assert change(browser, ursula, roles=["owner"]).status_code == 302
    ursula.refresh_from_db()
    assert (ursula.status, ursula.roles) == ("active", ["user-admin"])
