"""An admin action never causes a server error, whatever fields are sent."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from kernel.admin import ServiceAdmin
from tests.support.browsers.admin_pages import make_rows
from tests.support.factories import PASSWORD, make_key, make_user
from users.models import User

pytestmark = pytest.mark.django_db

STRANGE_IDS = [
    "",
    "-1",
    "1e5",
    "a\0b",
    "\u0661",
    "9" * 19,
    "9" * 5000,
    "x" * 5000,
    "00000000-0000-0000-0000-00000000000g",
    str(uuid.uuid4()),
]


@pytest.fixture
def boss() -> User:
    return make_user("owner")


@pytest.fixture
def pages(boss: User) -> Client:
    make_rows(boss, now=timezone.now())
    client = Client(raise_request_exception=False)
    client.force_login(boss)
    return client


def actions(boss: User) -> list[tuple[str, str]]:
    """Returns the URL of each change list with each of its actions."""
    request = RequestFactory().get("/admin/")
    request.user = boss
    found = []
    for model, of_model in admin.site._registry.items():
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        found += [(address, name) for name in of_model.get_actions(request)]
    return found


def test_every_admin_of_ours_has_the_same_base() -> None:
    assert [a for a in admin.site._registry.values() if not isinstance(a, ServiceAdmin)] == []


def end_export(answer: Any) -> None:
    """Reads an export. Only few may run at once, and an unread one runs until it is freed."""
    b"".join(answer)


@pytest.mark.slow
def test_no_action_is_500_with_any_fields(pages: Client, boss: User) -> None:
    wrong = []
    for address, name in actions(boss):
        for chosen in STRANGE_IDS:
            body: dict[str, Any] = {"action": name, "_selected_action": [chosen], "index": chosen}
            body |= {"post": "yes", "confirmed": "yes", "reason": "\0"}
            answer = pages.post(address, body)
            if answer.status_code >= 500:
                wrong.append((address, name, chosen[:40], answer.status_code))
            end_export(answer)
    assert actions(boss)
    assert not wrong
    assert User.objects.filter(pk=boss.pk).exists()


@pytest.mark.slow
@pytest.mark.parametrize("field", ["action", "index", "select_across", "reason"])
@pytest.mark.parametrize("value", ["", "\0", "9" * 5000])
def test_no_other_field_of_an_action_is_500(
    field: str, value: str, pages: Client, boss: User
) -> None:
    key = make_key(make_user()).key
    for address, name in actions(boss):
        body = {"action": name, "_selected_action": [key.pk], "confirmed": "yes", field: value}
        answer = pages.post(address, body)
        assert answer.status_code < 500, (address, name)
        end_export(answer)


def test_no_user_of_a_token_policy_is_500(pages: Client) -> None:
    page = reverse("admin:tokens_tokenconfig_add")
    for text in STRANGE_IDS:
        assert pages.get(page, {"user": text}).status_code < 500, text
        assert pages.post(page, {"user": text, "role": ""}).status_code < 500, text


@pytest.mark.parametrize("end", ["sign out", "delete", "expire"])
def test_session_of_the_admin_ends_with_its_key(end: str, boss: User) -> None:
    client = Client()
    client.post("/login", {"name": boss.username, "password": PASSWORD})
    assert client.get("/admin/").status_code == 200
    token = client.cookies["coder_session_token"].value
    header = {"Coder-Session-Token": token}
    key = f"/api/v2/users/me/keys/{token[:10]}"
    if end == "sign out":
        client.post("/api/v2/users/logout", headers=header)
    elif end == "delete":
        client.delete(key, headers=header)
    else:
        client.put(f"{key}/expire", headers=header)
    assert client.get("/admin/").status_code == 302
    assert client.get(f"/admin/users/user/{boss.pk}/change/").status_code == 302
