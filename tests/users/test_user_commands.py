"""The commands create_user, list_users and set_roles."""

from __future__ import annotations

import io
import json
import sys
from functools import partial

import pytest
from django.core.management import CommandError

from audit.models import Entry
from tests.support.commands import run
from tests.support.factories import PASSWORD, make_user
from users.models import User

pytestmark = pytest.mark.django_db

create, listed, set_roles = (
    partial(run, name) for name in ("create_user", "list_users", "set_roles")
)
ALICE = ("--username", "Alice", "--email", "alice@example.com")


@pytest.fixture
def typed_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n"))


@pytest.mark.usefixtures("typed_password")
def test_user_with_roles_is_created_and_recorded() -> None:
    assert create(*ALICE, "--role", "auditor", "--role", "member") == "Created the user alice."

    user = User.objects.get(username="alice")
    assert user.check_password(PASSWORD)
    assert user.roles == ["auditor"]
    assert Entry.objects.get(action="user.create").target_name == "alice"


def test_service_account_is_created_without_a_password() -> None:
    shown = json.loads(create(*ALICE, "--service-account", "--json"))

    assert (shown["username"], shown["login_type"]) == ("alice", "none")
    assert not User.objects.get(username="alice").has_usable_password()


@pytest.mark.usefixtures("typed_password")
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((*ALICE, "--role", "root"), "'root' is not a role. Roles: owner, auditor"),
        (("--username", "a b", "--email", "a@example.com"), "username"),
        (("--username", "boss", "--email", "a@example.com"), "already in use"),
    ],
)
def test_wrong_values_are_rejected(arguments: tuple[str, ...], problem: str) -> None:
    make_user("owner", username="boss")

    with pytest.raises(CommandError, match=problem):
        create(*arguments)

    assert User.objects.count() == 1


def test_users_are_listed_and_searched() -> None:
    make_user("owner", username="boss")
    make_user(username="carol", status="suspended")
    create(*ALICE, "--service-account")

    lines = listed().splitlines()

    assert lines[0] == "alice\talice@example.com\tdormant\tmember\tservice account\tseen never"
    assert lines[1].startswith("boss\tboss@example.com\tactive\towner\tuser\t")
    assert lines[3] == "3 users."
    assert listed("role:owner", "boss").splitlines()[-1] == "1 user."
    found = [json.loads(line) for line in listed("status:suspended", "--json").splitlines()]
    assert [user["username"] for user in found] == ["carol"]
    with pytest.raises(CommandError, match="You cannot search for 'color'"):
        listed("color:red")


def test_roles_are_replaced_and_recorded() -> None:
    make_user("owner")
    make_user("auditor", username="alice")

    assert set_roles("alice", "user-admin", "template-admin") == (
        "The roles of alice are now: user-admin, template-admin. Before: auditor."
    )
    assert json.loads(set_roles("alice@example.com", "member", "--json")) == {
        "username": "alice",
        "roles": [],
    }

    assert User.objects.get(username="alice").roles == []
    changes = Entry.objects.filter(action="user.roles")
    assert [entry.actor_name for entry in changes] == ["system", "system"]


def test_last_owner_and_unknown_users_are_rejected() -> None:
    make_user("owner", username="boss")

    with pytest.raises(CommandError, match="You cannot remove the last active owner"):
        set_roles("boss", "member")
    with pytest.raises(CommandError, match="There is no user 'nobody'"):
        set_roles("nobody", "owner")
    assert User.objects.get(username="boss").roles == ["owner"]
