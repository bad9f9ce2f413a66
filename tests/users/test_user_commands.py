"""The commands create_user, list_users, set_roles and erase_user."""

from __future__ import annotations

import json
from functools import partial

import pytest
from django.core.management import CommandError
from django.test import Client

from audit.models import Entry
from tests.support.api.client import APIClient
from tests.support.api.sending import send
from tests.support.commands import run
from tests.support.factories import PASSWORD, make_key, make_user
from tokens.models import APIKey, TokenConfig
from users.models import User

pytestmark = pytest.mark.django_db

create, listed, set_roles, erase = (
    partial(run, name) for name in ("create_user", "list_users", "set_roles", "erase_user")
)
ALICE = ("--username", "Alice", "--email", "alice@example.com")


def test_user_with_roles_is_created_and_recorded() -> None:
    made = create(*ALICE, "--role", "auditor", "--role", "member", typed=f"{PASSWORD}\n")
    assert made == "Created the user alice."

    user = User.objects.get(username="alice")
    assert user.check_password(PASSWORD)
    assert (user.roles, user.status) == (["auditor"], "dormant")
    assert Entry.objects.get(action="user.create").target_name == "alice"


def test_service_account_is_created_without_a_password() -> None:
    shown = json.loads(create(*ALICE, "--service-account", "--json"))

    assert (shown["username"], shown["login_type"]) == ("alice", "none")
    assert not User.objects.get(username="alice").has_usable_password()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((*ALICE, "--role", "root"), "--role: invalid choice: 'root'"),
        (("--username", "a b", "--email", "a@example.com"), "^username: A username must"),
        (("--username", "boss", "--email", "a@example.com"), "already in use"),
    ],
)
def test_wrong_values_are_rejected(arguments: tuple[str, ...], problem: str) -> None:
    make_user("owner", username="boss")

    with pytest.raises(CommandError, match=problem):
        create(*arguments, typed=f"{PASSWORD}\n")
    with pytest.raises(CommandError, match="8 to 64"):
        create(*ALICE, typed="short\n")

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
    shown = json.loads(set_roles("alice@example.com", "member", "--json"))
    assert shown == {"username": "alice", "roles": []}

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


# --- Erasing ----------------------------------------------------------------------------------


def make_alice() -> User:
    make_user("owner")
    user = make_user("auditor", username="alice", name="Alice Adams")
    client = APIClient(token=make_key(user, token_name="ci").token)
    TokenConfig.objects.create(user=user, max_live_tokens=2)
    send(client, "POST", "/users/me/keys/tokens", {})
    Client().force_login(user)
    return user


def test_user_is_erased_with_all_related_rows_after_a_confirmation() -> None:
    user = make_alice()
    output = erase("alice", "--dry-run")
    assert "2\tsession tokens\terased" in output
    assert "1\ttoken policies\terased" in output
    assert "1\tadmin sessions\terased" in output
    assert "audit entries\tkept until" in output
    for typed, error in (("", "cannot be undone. Add --yes"), ("no\n", "Nothing is changed")):
        with pytest.raises(CommandError, match=error):
            erase("alice", typed=typed)
    before = Entry.objects.count()
    assert User.objects.filter(pk=user.pk).exists()
    assert not Entry.objects.filter(action="user.erase").exists()

    assert "Erased alice." in erase("alice", typed="yes\n")

    assert not User.objects.filter(pk=user.pk).exists()
    assert not APIKey.objects.filter(user_id=user.pk).exists()
    assert not TokenConfig.objects.exists()
    assert Entry.objects.count() == before + 1
    row = Entry.objects.get(action="user.erase")
    assert (row.target_id, row.target_name) == (str(user.pk), "")
    assert "alice" not in str(row.after)
    make_user(username="bob")
    assert "Erased bob." in erase("bob", "--yes")


def test_last_owner_and_unknown_user_are_not_erased() -> None:
    owner = make_user("owner")
    for arguments in ([owner.username], [owner.username, "--dry-run"]):
        with pytest.raises(CommandError, match="last active owner"):
            erase(*arguments, "--yes")
    with pytest.raises(CommandError, match="no user 'nobody'"):
        erase("nobody")
    assert User.objects.count() == 1
