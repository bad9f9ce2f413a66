"""The organization, its members and roles, as Coder's command line requests them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kernel.db import paging
from tests.support.api.client import APIClient
from tests.support.api.sending import send
from tests.support.factories import make_key, make_user

pytestmark = pytest.mark.django_db
CODERD = {"Coderapi-Wire-Format": "coderd"}


def get(client: APIClient, path: str) -> Any:
    answer = client.get(f"/api/v2{path}", headers=CODERD)
    assert answer.status_code == 200, (path, answer.content)
    return answer.json()


def test_organization_has_all_names_that_clients_use(member: APIClient) -> None:
    (found,) = get(member, "/organizations")

    assert list(found) == [
        "id", "name", "display_name", "description", "icon", "created_at", "updated_at",
        "is_default",
    ]  # fmt: skip
    assert (found["name"], found["is_default"]) == ("coder", True)
    assert [found["id"]] == get(member, "/users/me")["organization_ids"]
    for name in (found["id"], found["id"].upper(), "coder", "Coder", "default"):
        assert get(member, f"/organizations/{name}") == found
        assert get(member, f"/users/me/organizations/{name}") == found
    assert get(member, "/users/me/organizations") == [found]


@pytest.mark.parametrize("path", ["/organizations", "/users/me/organizations"])
def test_list_of_organizations_has_an_etag(path: str, member: APIClient) -> None:
    answer = member.get(f"/api/v2{path}")
    headers = {"If-None-Match": answer.headers["ETag"]}

    again = member.get(f"/api/v2{path}", headers=headers)

    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["other", "00000000-0000-4000-8000-000000000000", "%00", "%20"])
def test_other_organization_is_404(name: str, owner: APIClient) -> None:
    for path in ("", "/members", "/paginated-members"):
        assert owner.get(f"/api/v2/organizations/{name}{path}").status_code == 404
    assert owner.get(f"/api/v2/users/me/organizations/{name}").status_code == 404


def test_members_are_all_users(owner: APIClient) -> None:
    make_user("auditor", username="zelda", name="Princess Z")

    (first, zelda) = get(owner, "/organizations/coder/members")

    assert (first["username"], zelda["username"]) == (owner.user.username, "zelda")
    assert "name" not in first
    assert zelda["global_roles"] == [{"name": "auditor", "display_name": "Auditor"}]
    assert (zelda["roles"], zelda["name"]) == ([], "Princess Z")
    page = get(owner, "/organizations/coder/paginated-members?limit=1&offset=1")
    assert page == {"members": [zelda], "count": 2}
    assert len(get(owner, "/organizations/coder/paginated-members?limit=0")["members"]) == 2
    assert owner.get("/api/v2/organizations/coder/paginated-members?limit=x").status_code == 400


def test_long_list_of_members_is_streamed(
    owner: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE_ROWS", 2)
    for _ in range(4):
        make_user()

    answer = owner.get("/api/v2/organizations/coder/members")

    names = [one["username"] for one in json.loads(answer.getvalue())]
    assert names == sorted(names)
    assert (len(names), answer.streaming) == (5, True)


def test_allow_list_of_the_key_filters_members() -> None:
    boss, other = make_user("owner"), make_user()
    client = APIClient(token=make_key(boss, allow_list=(("user", str(other.id)),)).token)

    members = client.get("/api/v2/organizations/coder/members")

    # The key cannot read the organization, only its id in the list.
    assert [one["user_id"] for one in members.json()] == [str(other.id)]
    assert client.get("/api/v2/organizations").status_code == 403


def test_roles_have_permissions_and_whether_the_caller_may_assign_them(
    owner: APIClient, member: APIClient
) -> None:
    found = {role["name"]: role for role in get(owner, "/users/roles")}

    assert list(found) == ["owner", "auditor", "user-admin", "template-admin"]
    for role, action, kind in (("owner", "*", "*"), ("template-admin", "read", "user")):
        permission = {"action": action, "negate": False, "resource_type": kind}
        assert found[role]["site_permissions"] == [permission]
    assert {role["assignable"] for role in found.values()} == {True}
    assert {role["assignable"] for role in get(member, "/users/roles")} == {False}


def test_command_lines_requests_edit_the_roles_of_a_user(owner: APIClient) -> None:
    user = make_user("auditor")

    known = {role["name"] for role in get(owner, "/users/roles")}
    before = get(owner, f"/users/{user.username}/roles")
    assert {"user-admin", "auditor"} <= known
    send(owner, "PUT", f"/users/{user.username}/roles", {"roles": ["user-admin"]})

    assert before == {"roles": ["auditor"], "organization_roles": {}}
    assert get(owner, f"/users/{user.username}/roles")["roles"] == ["user-admin"]


def test_command_lines_requests_create_and_show_a_user(owner: APIClient) -> None:
    (organization,) = get(owner, "/users/me/organizations")
    body = {
        "email": "new@example.com",
        "username": "newcomer",
        "name": "",
        "password": "a-quite-good-one",
        "login_type": "password",
        "user_status": None,
        "organization_ids": [organization["id"]],
    }

    made = send(owner, "POST", "/users", body, headers=CODERD)
    shown = get(owner, "/users/newcomer")

    assert (made.status_code, made.json()) == (201, shown)
    names = [get(owner, f"/organizations/{i}")["name"] for i in shown["organization_ids"]]
    assert names == ["coder"]
