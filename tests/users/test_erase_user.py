"""The command erase_user: the data that it deletes and keeps."""

from __future__ import annotations

from functools import partial
from io import StringIO

import pytest
from django.core.management import CommandError
from django.test import Client

from audit.models import Entry
from tests.support.api.client import APIClient
from tests.support.api.sending import send
from tests.support.commands import run
from tests.support.factories import make_key, make_user
from tokens.models import APIKey, TokenConfig
from users.models import User

pytestmark = pytest.mark.django_db


erase = partial(run, "erase_user")


def make_alice() -> User:
    make_user("owner")
    user = make_user("auditor", username="alice", name="Alice Adams")
    client = APIClient(token=make_key(user, token_name="ci").token)
    TokenConfig.objects.create(user=user, max_live_tokens=2)
    send(client, "POST", "/users/me/keys/tokens", {})
    Client().force_login(user)
    return user


def test_dry_run_lists_the_data_and_changes_nothing() -> None:
    user = make_alice()

    output = erase("alice", "--dry-run")

    assert "2\tsession tokens\terased" in output
    assert "1\ttoken policies\terased" in output
    assert "1\tadmin sessions\terased" in output
    assert "audit entries\tkept until" in output
    assert User.objects.filter(pk=user.pk).exists()
    assert not Entry.objects.filter(action="user.erase").exists()


def test_user_is_erased_with_all_related_rows() -> None:
    user = make_alice()
    before = Entry.objects.count()

    assert "Erased alice." in erase("alice", "--yes")

    assert not User.objects.filter(pk=user.pk).exists()
    assert not APIKey.objects.filter(user_id=user.pk).exists()
    assert not TokenConfig.objects.exists()
    assert Entry.objects.count() == before + 1
    row = Entry.objects.get(action="user.erase")
    assert (row.target_id, row.target_name) == (str(user.pk), "")
    assert "alice" not in str(row.after)


def test_erasing_needs_a_confirmation(monkeypatch: pytest.MonkeyPatch) -> None:
    user = make_alice()
    for typed, error in (("", "cannot be undone. Add --yes"), ("no\n", "Nothing is changed")):
        monkeypatch.setattr("sys.stdin", StringIO(typed))
        with pytest.raises(CommandError, match=error):
            erase("alice")
    assert User.objects.filter(pk=user.pk).exists()
    monkeypatch.setattr("sys.stdin", StringIO("yes\n"))
    assert "Erased alice." in erase("alice")


def test_last_owner_and_unknown_user_are_errors() -> None:
    owner = make_user("owner")

    for arguments in ([owner.username], [owner.username, "--dry-run"]):
        with pytest.raises(CommandError, match="last active owner"):
            erase(*arguments, "--yes")
    with pytest.raises(CommandError, match="no user 'nobody'"):
        erase("nobody")
    assert User.objects.count() == 1
