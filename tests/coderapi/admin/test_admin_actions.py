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
from tests.support.api.client import signed_in
from tests.support.browsers.admin_pages import make_rows
from tests.support.factories import make_key, make_user
from users.models import User

pytestmark = pytest.mark.django_db


STRANGE_IDS = [
    *("", "-1", "1e5", "a\0b", "\u0661", "9" * 19, "9" * 5000, "x" * 5000),
    *("00000000-0000-0000-0000-00000000000g", str(uuid.uuid4())),
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


def post(pages: Client, address: str, body: dict[str, Any]) -> int:
    """Returns the status. Reads an export, because an unread one runs until it is freed."""
    answer = pages.post(address, body)
    b"".join(answer)
    return answer.status_code


@pytest.mark.slow
def test_no_action_is_500_with_any_fields(pages: Client, boss: User) -> None:
    for address, name in actions(boss):
        for chosen in STRANGE_IDS:
            body = {"action": name, "_selected_action": [chosen], "index": chosen}
            body |= {"post": "yes", "confirmed": "yes", "reason": "\0"}
            assert post(pages, address, body) < 500, (address, name, chosen[:40])
    assert actions(boss)
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
        assert post(pages, address, body) < 500, (address, name)


def test_no_user_of_a_token_policy_is_500(pages: Client) -> None:
    page = reverse("admin:tokens_tokenconfig_add")
    for text in STRANGE_IDS:
        assert pages.get(page, {"user": text}).status_code < 500, text
        assert pages.post(page, {"user": text, "role": ""}).status_code < 500, text


@pytest.mark.parametrize(
    ("method", "path"),
    [("post", "logout"), ("delete", "me/keys/{}"), ("put", "me/keys/{}/expire")],
)
def test_session_of_the_admin_ends_with_its_key(method: str, path: str, boss: User) -> None:
    client = signed_in(boss)
    assert client.get("/admin/").status_code == 200
    token = client.cookies["coder_session_token"].value
    address = f"/api/v2/users/{path.format(token[:10])}"
    getattr(client, method)(address, headers={"Coder-Session-Token": token})
    for page in ("/admin/", f"/admin/users/user/{boss.pk}/change/"):
        assert client.get(page).status_code == 302
