"""Service accounts: users without a password, who only have tokens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api.client import APIClient
from tests.support.api.sending import send, validation_fields
from tests.support.factories import PASSWORD, make_key, make_robot
from users.models import User

pytestmark = pytest.mark.django_db
ROBOT = {"email": "robot@example.com", "username": "robot"}


@pytest.mark.parametrize(
    "body",
    [
        {"login_type": "none"},
        {"disable_login": True},
        # The body that Coder's CLI sends for `users create --login-type none`.
        {"login_type": "none", "password": "", "name": "", "organization_ids": ["x"]},
    ],
)
def test_service_account_is_created_without_a_password(
    body: dict[str, Any], user_admin: APIClient
) -> None:
    answer = send(user_admin, "POST", "/users", ROBOT | body)

    assert (answer.status_code, answer.json()["login_type"]) == (201, "none")
    shown = user_admin.get("/api/v2/users/robot").json()
    assert shown["login_type"] == "none"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"login_type": "none", "password": PASSWORD}, "password"),
        ({"disable_login": True, "password": PASSWORD}, "password"),
        ({"login_type": "password"}, "password"),
        ({"disable_login": False}, "password"),
        ({"login_type": "oidc"}, "login_type"),
        ({"login_type": "none", "disable_login": "perhaps"}, "disable_login"),
    ],
)
def test_contradiction_is_400_with_the_field(
    body: dict[str, Any], field: str, user_admin: APIClient
) -> None:
    answer = send(user_admin, "POST", "/users", ROBOT | body)

    assert (answer.status_code, validation_fields(answer)) == (400, [field])


@pytest.mark.parametrize("password", ["!", PASSWORD])
def test_service_account_cannot_sign_in(password: str, anonymous: APIClient) -> None:
    robot = make_robot("owner")
    entered = {"email": robot.email, "password": password}

    api = send(anonymous, "POST", "/users/login", entered)
    page = anonymous.post("/login", {"name": robot.username, "password": password})

    assert [answer.status_code for answer in (api, page)] == [401, 401]


def test_only_an_owner_creates_its_tokens(owner: APIClient, user_admin: APIClient) -> None:
    robot = make_robot()
    path = f"/users/{robot.username}/keys/tokens"

    assert send(user_admin, "POST", path, {}).status_code == 403
    token = send(owner, "POST", path, {}).json()["key"]

    client = APIClient(token=token)
    assert client.get("/api/v2/users/me").json()["id"] == str(robot.id)
    assert client.get("/api/v2/users/me/login-type").json() == {"login_type": "none"}


def test_service_account_cannot_get_a_password(owner: APIClient) -> None:
    robot = make_robot()
    itself, page = APIClient(token=make_key(robot).token), f"/admin/users/user/{robot.id}"
    new = {"password": "another-horse-battery", "old_password": "x"}

    answer = send(itself, "PUT", "/users/me/password", new)
    owner.force_login(owner.user)
    form = dict.fromkeys(("password1", "password2"), new["password"])
    shown = owner.post(f"{page}/password/", form)

    assert (answer.status_code, validation_fields(answer)) == (400, ["password"])
    assert b"A service account has no password" in shown.content
    assert owner.get(f"{page}/change/").status_code == 200


def test_service_account_does_not_count_as_the_last_owner(owner: APIClient) -> None:
    robot = make_robot()
    assert send(owner, "PUT", f"/users/{robot.id}/roles", {"roles": ["owner"]}).status_code == 200
    client = APIClient(token=make_key(User.objects.get(pk=robot.pk)).token)

    answer = send(client, "DELETE", f"/users/{owner.user.id}")

    assert (answer.status_code, "last active owner" in answer.json()["message"]) == (400, True)
