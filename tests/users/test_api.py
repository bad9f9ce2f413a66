"""Listing, creating, changing and deleting users."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import Entry
from tests.support.api.client import APIClient
from tests.support.api.sending import send, validation_fields
from tests.support.concurrency import await_announcements
from tests.support.factories import PASSWORD, make_key, make_robot, make_user
from tests.support.processes import wait_for
from tokens.models import APIKey
from users.models import User

pytestmark = pytest.mark.django_db
NEW = {"email": "new@example.com", "username": "newcomer", "password": "a-quite-good-one"}


def test_first_user_becomes_an_owner_once(anonymous: APIClient) -> None:
    assert anonymous.get("/api/v2/users/first").status_code == 404

    made = send(anonymous, "POST", "/users/first", NEW)
    bodies = (NEW | {"username": "other"}, b"{", None)
    again = [send(anonymous, "POST", "/users/first", body) for body in bodies]

    assert [answer.status_code for answer in (made, *again)] == [201, 409, 409, 409]
    assert set(made.json()) == {"user_id", "organization_id"}
    assert User.objects.get().roles == ["owner"]
    assert anonymous.get("/api/v2/users/first").status_code == 200


def test_user_in_the_documented_shape(owner: APIClient) -> None:
    user = owner.get("/api/v2/users/me").json()

    assert list(user) == [
        "id", "username", "avatar_url", "name", "email", "created_at", "updated_at",
        "last_seen_at", "status", "login_type", "theme_preference", "organization_ids", "roles",
    ]  # fmt: skip
    assert user["roles"] == [{"name": "owner", "display_name": "Owner"}]
    assert user["last_seen_at"] == "0001-01-01T00:00:00Z"
    assert [uuid.UUID(i) for i in user["organization_ids"]]

    # The coderd wire omits empty members.
    coderd = owner.get("/api/v2/users/me", headers={"Coderapi-Wire-Format": "coderd"}).json()
    assert {"name", "avatar_url", "theme_preference"}.isdisjoint(coderd)


def test_list_is_searched_and_paged(owner: APIClient, django_assert_num_queries: Any) -> None:
    make_user(username="zelda", name="Princess Z")
    make_user("auditor", username="zorro", status=User.Status.SUSPENDED)

    def found(query: str) -> tuple[list[str], int]:
        page = owner.get("/api/v2/users", dict(part.split("=") for part in query.split("&"))).json()
        return [user["username"] for user in page["users"]], page["count"]

    assert found("q=Z")[0] == ["zelda", "zorro"]
    assert found("q=princess") == (["zelda"], 1)
    assert found("q=status:suspended") == (["zorro"], 1)
    assert found("q=role:auditor status:suspended") == (["zorro"], 1)
    assert found("q=role:member,auditor")[1] == found("q=role:member")[1] == 3
    assert found("q=z&limit=1&offset=1") == (["zorro"], 2)
    assert found("limit=1&offset=9") == ([], 3)
    with django_assert_num_queries(2):  # the key, the page with all users
        assert found("limit=1000")[1] == 3


def test_users_are_counted_again_when_their_number_changes(
    connected: None, owner: APIClient, django_assert_num_queries: Any
) -> None:
    def count() -> int:
        return int(owner.get("/api/v2/users?limit=1").json()["count"])

    new = make_user()
    await_announcements()
    assert count() == 2
    with django_assert_num_queries(1):  # the page
        assert count() == 2
    make_user()
    wait_for(lambda: count() == 3)
    new.delete()
    wait_for(lambda: count() == 2)


@pytest.mark.parametrize(
    ("make", "password", "problem"),
    [
        (make_user, "abc", "A password must have 8 to 64 characters."),
        (make_user, "x" * 65, "A password must have 8 to 64 characters."),
        (make_user, "password", "This password is too common."),
        (make_user, PASSWORD, "This is the current password."),
        (make_robot, "abc", "A service account has no password."),
    ],
)
def test_password_is_refused_for_one_reason(
    make: Callable[[], User], password: str, problem: str, owner: APIClient
) -> None:
    answer = send(owner, "PUT", f"/users/{make().id}/password", {"password": password})

    assert [each["detail"] for each in answer.json()["validations"]] == [problem]


SEARCHES = {
    'last_seen_after:"{now}"': [],
    'last_seen_before:"{now}"': ["never", "old", "recent"],
    'last_seen_before:"{week_ago}"': ["never", "old"],
    "last_seen_after:{week_ago}": ["recent"],
    'last_seen_after:"0001-01-01T00:00:00Z"': ["old", "recent"],
    'last_seen_before:"9999-12-31T23:59:59Z"': ["never", "old", "recent"],
    'last_seen_before:"{now}" status:suspended': ["old"],
    'created_before:"{now}"': [],
    'created_after:"{week_ago}" q': [],
    "login_type:none": ["recent"],
    "login_type:password": ["never", "old"],
    "login_type:none,password": ["never", "old", "recent"],
    "login_type:oidc": [],
    "login_type:oidc,github login_type:oidc,github": [],
    '"ada lovelace"': ["old"],
    '"lovelace ada"': [],
    "lovelace ada": ["old"],
    '"status:suspended"': [],
}


def test_users_are_found_by_times_login_type_and_phrases() -> None:
    now = timezone.now()
    make_user(username="never", created_at=now)
    old = {"username": "old", "name": "Ada Lovelace", "status": "suspended", "created_at": now}
    make_user(**old, last_seen_at=now - timedelta(days=9))
    make_robot(username="recent", created_at=now, last_seen_at=now - timedelta(days=1))
    boss = make_user("owner", username="q", created_at=now + timedelta(days=1), last_seen_at=now)
    client = APIClient(token=make_key(boss).token)

    times = {"now": now - timedelta(seconds=1), "week_ago": now - timedelta(days=7)}
    found = {}
    for query in SEARCHES:
        words = query.format(**{name: at.isoformat() for name, at in times.items()})
        users = client.get("/api/v2/users", {"q": words}).json()["users"]
        found[query] = [user["username"] for user in users if user["username"] != "q"]

    assert found == SEARCHES


@pytest.mark.parametrize(
    "query",
    [
        "q=colour:red",
        "q=login_type:magic",
        "q=last_seen_before:yesterday",
        "q=last_seen_before:2026-01-01T00:00:00",
        "q=last_seen_before:",
        "q=created_after:2026-W01-1T00:00Z",
        "q=created_after:2026-01-01T24:00Z",
        'q=created_after:"0001-01-01T00:00:00%2B23:59"',
        'q=last_seen_after:"9999-12-31T23:59:59-23:59"',
        'q=last_seen_before:"2026-01-01T00:00:00Z',
        "q=status:happy",
        "q=%00",
        "limit=-1",
        "limit=x",
        "limit=1001",
        "offset=9e9",
        "q=" + "+".join(f"x{number}" for number in range(21)),
    ],
)
def test_invalid_search_is_400(query: str, owner: APIClient) -> None:
    answer = owner.get(f"/api/v2/users?{query}")

    assert answer.status_code == 400
    assert validation_fields(answer)


def test_repeated_values_of_a_search_are_dropped(owner: APIClient) -> None:
    repeated = {"q": 20 * f"role:{','.join(300 * ['owner'])} "}

    with CaptureQueriesContext(connection) as queries:
        page = owner.get("/api/v2/users", repeated).json()

    assert page["count"] == 1
    assert max(query["sql"].count("ANY (roles)") for query in queries) == 1


def test_user_is_created_dormant_and_without_roles(user_admin: APIClient) -> None:
    path = "/api/v2/users?limit=1"
    page = user_admin.get(path)
    again = {"If-None-Match": page.headers["ETag"]}
    assert page.headers["Cache-Control"] == "private, no-cache"
    same = user_admin.get(path, headers=again)
    assert (same.status_code, same.content) == (304, b"")
    coderd = again | {"Coderapi-Wire-Format": "coderd"}
    assert user_admin.get(path, headers=coderd).status_code == 200

    answer = send(user_admin, "POST", "/users", NEW | {"roles": ["owner"]})

    assert answer.status_code == 201
    assert (answer.json()["status"], answer.json()["roles"]) == ("dormant", [])
    assert Entry.objects.get(action="user.create").target_name == "newcomer"
    assert user_admin.get(path, headers=again).status_code == 200


INVALID_NAMES: list[Any] = [
    "a b",
    "a--b",
    "a/b",
    "Me",
    "x" * 33,
    "x" * 300,
    "nul\0",
    5,
    "00000000-0000-4000-8000-000000000000",
]


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"username": "Taken"}, 409, "username"),
        ({"email": "TAKEN@example.com"}, 409, "email"),
        *(({"username": name}, 400, "username") for name in INVALID_NAMES),
        *(({"email": text}, 400, "email") for text in ("nothing", '"ada b"@example.com')),
        *(({"password": text}, 400, "password") for text in ("short", "p" * 65, "newcomer", None)),
        ({"user_status": "happy"}, 400, "user_status"),
    ],
)
def test_error_names_the_invalid_field(
    change: dict[str, Any], status: int, field: str, owner: APIClient
) -> None:
    make_user(username="taken")

    answer = send(owner, "POST", "/users", NEW | change)

    assert (answer.status_code, validation_fields(answer)) == (status, [field])


def test_suspended_user_is_rejected_until_activated(owner: APIClient) -> None:
    user = make_user()
    token = make_key(user).token

    suspended = send(owner, "PUT", f"/users/{user.username}/status/suspend").json()
    refused = APIClient(token=token).get("/api/v2/users/me")
    activated = send(owner, "PUT", f"/users/{user.id}/status/activate").json()

    assert (suspended["status"], activated["status"]) == ("suspended", "active")
    assert (refused.status_code, refused.json()["message"]) == (401, "User is not active.")
    assert APIClient(token=token).get("/api/v2/users/me").status_code == 200
    trail = Entry.objects.filter(action="user.status").order_by("id")
    assert [(e.before, e.after) for e in trail] == [
        ({"status": "active"}, {"status": "suspended"}),
        ({"status": "suspended"}, {"status": "active"}),
    ]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("DELETE", "/users/me", None, 403),
        ("PUT", "/users/me/status/suspend", None, 400),
        ("PUT", "/users/me/roles", {"roles": []}, 400),
    ],
)
def test_user_cannot_delete_suspend_or_demote_themselves(
    method: str, path: str, body: Any, status: int, owner: APIClient
) -> None:
    make_user("owner")

    assert send(owner, method, path, body).status_code == status


def test_roles_are_replaced_and_member_may_be_among_them(owner: APIClient) -> None:
    user = make_user("auditor")

    path, repeated = f"/users/{user.id}/roles", ["user-admin", "member", "user-admin"]
    answer = send(owner, "PUT", path, {"roles": repeated})
    unknown = send(owner, "PUT", path, {"roles": ["king"]})

    assert [role["name"] for role in answer.json()["roles"]] == ["user-admin"]
    assert (unknown.status_code, validation_fields(unknown)) == (400, ["roles"])
    assert Entry.objects.get(action="user.roles").before == {"roles": ["auditor"]}


def test_own_password_needs_the_old_one_and_deletes_other_keys(member: APIClient) -> None:
    make_key(member.user)
    path, new = "/users/me/password", "another-horse-battery"

    none = send(member, "PUT", path, {"password": new})
    wrong = send(member, "PUT", path, {"old_password": "wrong", "password": new})
    same = send(member, "PUT", path, {"old_password": PASSWORD, "password": PASSWORD})
    right = send(member, "PUT", path, {"old_password": PASSWORD, "password": new})

    assert validation_fields(none) == validation_fields(wrong) == ["old_password"]
    assert validation_fields(same) == ["password"]
    assert right.status_code == 204
    assert APIKey.objects.filter(user=member.user).count() == 1
    assert member.get("/api/v2/users/me").status_code == 200
    assert new not in str(list(Entry.objects.values()))


def test_deleted_user_is_unknown_and_signed_out(owner: APIClient) -> None:
    user = make_user()
    token = make_key(user).token

    assert send(owner, "DELETE", f"/users/{user.username}").status_code == 200

    assert APIClient(token=token).get("/api/v2/users/me").status_code == 401
    assert owner.get(f"/api/v2/users/{user.id}").status_code == 400


@pytest.mark.parametrize(
    "reference", ["nobody", "a%00b", "%25", "x@example.com", "%F0%9F%A6%84", "x" * 300, "%ff"]
)
@pytest.mark.parametrize("path", ["", "/keys/tokens/tokenconfig"])
def test_unknown_user_is_400(reference: str, path: str, owner: APIClient) -> None:
    answer = owner.get(f"/api/v2/users/{reference}{path}")

    assert answer.status_code == 400
    assert "must be an existing uuid or username" in answer.json()["message"]


@pytest.mark.parametrize("word", ["login", "logout", "authmethods", "first", "roles"])
def test_route_names_are_not_usernames(word: str, owner: APIClient) -> None:
    assert send(owner, "DELETE", f"/users/{word}").status_code == 405


def test_authcheck_answers_each_check(member: APIClient, owner: APIClient) -> None:
    def check(kind: str, action: str, **more: str) -> dict[str, Any]:
        return {"object": {"resource_type": kind, **more}, "action": action}

    checks = {
        "mine": check("api_key", "create", owner_id="me"),
        "me": check("user", "read", owner_id=str(member.user.id)),
        "all": check("user", "read"),
        "config": check("deployment_config", "read"),
        "template": check("template", "create"),
    }

    for_member = send(member, "POST", "/authcheck", {"checks": checks}).json()
    for_owner = send(owner, "POST", "/authcheck", {"checks": checks}).json()
    unknown = send(owner, "POST", "/authcheck", {"checks": {"x": check("spaceship", "fly")}})

    assert for_member == {
        "mine": True, "me": True, "all": False, "config": False, "template": False,
    }  # fmt: skip
    assert set(for_owner.values()) == {True}
    assert unknown.status_code == 400
    empty_bodies: list[Any] = [{}, {"checks": None}, {"checks": {}}]
    for body in empty_bodies:
        assert send(member, "POST", "/authcheck", body).json() == {}
