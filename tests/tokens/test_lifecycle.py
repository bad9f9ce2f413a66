"""Mails about tokens that expire soon, the expiry calendar, and revoking many keys at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.mail import EmailMessage
from django.core.management import CommandError
from django.test import Client
from django.utils import timezone

from audit.models import Entry
from tests.support.api.client import browser_of
from tests.support.commands import run
from tests.support.factories import DAY_NS, make_key, make_user
from tokens import jobs
from tokens.models import APIKey, TokenConfig
from tokens.selectors import expiry_days
from users.models import User

pytestmark = pytest.mark.django_db


def token(user: User, *, left: timedelta, lifetime_ns: int = 90 * DAY_NS, **more: Any) -> APIKey:
    key = make_key(user, lifetime_ns=lifetime_ns, login_type="token", **more).key
    APIKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() + left)
    return key


def test_digest_is_off_without_a_mail_server(settings: Any) -> None:
    assert not jobs.is_on()


def test_expired_sessions_of_the_admin_are_deleted() -> None:
    browser_of(make_user("owner"))
    Session.objects.create(session_key="old", expire_date=timezone.now())
    run("run_job", "prune_api_keys")
    assert not Session.objects.filter(session_key="old").exists()
    assert Session.objects.count() == 1


def test_owner_and_admins_get_one_mail_for_each_mark_and_day(outbox: list[EmailMessage]) -> None:
    now = timezone.now()
    alice, admin = make_user(username="alice"), make_user("owner", username="boss")
    token(alice, left=timedelta(days=6, hours=12), token_name="deploy")
    token(alice, left=timedelta(days=40), token_name="far")
    counts = [jobs.send_expiry_mails(now + timedelta(days=day)) for day in (0, 0, 1, 5, 6)]
    assert counts == [2, 0, 0, 0, 2]  # At 7 days, and at 1 day.
    recipients = sorted(message.to[0] for message in outbox)
    assert recipients == sorted([alice.email, admin.email] * 2)
    assert "deploy of alice" in outbox[0].body
    assert "far" not in outbox[0].body


@pytest.mark.usefixtures("outbox")
@pytest.mark.parametrize(
    "make",
    [
        lambda user: token(user, left=timedelta(hours=12), lifetime_ns=DAY_NS),
        lambda user: token(user, left=timedelta(hours=-1)),
        lambda user: make_key(user, lifetime_ns=DAY_NS),
    ],
    ids=["short-lived", "expired", "session key"],
)
def test_short_lived_and_expired_keys_and_sessions_cause_no_mail(make: Any) -> None:
    make(make_user())
    assert jobs.send_expiry_mails(timezone.now()) == 0


@pytest.mark.usefixtures("outbox")
def test_next_run_retries_a_mail_that_fails(settings: Any) -> None:
    token(make_user(), left=timedelta(hours=12))
    working = settings.MAILERS
    settings.MAILERS = {
        "default": {
            "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "OPTIONS": {"host": "127.0.0.1", "port": 1, "timeout": 1},
        }
    }
    assert jobs.send_expiry_mails(timezone.now()) == 0
    settings.MAILERS = working
    assert jobs.send_expiry_mails(timezone.now()) == 1


def test_calendar_counts_by_day() -> None:
    user = make_user(username="alice")
    for left in (3, 3, 10, 300):
        token(user, left=timedelta(days=left))
    days = expiry_days(now=timezone.now())
    assert [(day.count, day.owners) for day in days] == [(2, ["alice"]), (1, ["alice"])]


def admin(*roles: str) -> Client:
    return browser_of(make_user(*roles))


@pytest.mark.parametrize(
    ("state", "names"),
    [
        ("live", {"soon", "later"}),
        ("7d", {"soon"}),
        ("1d", set()),
        ("expired", {"over"}),
        ("unknown", set()),
    ],
)
def test_admin_filters_keys_by_expiry(state: str, names: set[str]) -> None:
    user = make_user()
    for name, left in {"soon": 3, "later": 20, "over": -1}.items():
        token(user, left=timedelta(days=left), token_name=name)
    page = admin("auditor").get(f"/admin/tokens/apikey/?state={state}").content.decode()
    assert {name for name in ("soon", "later", "over") if f">{name}</td>" in page} == names


def test_admin_revokes_many_keys_with_a_reason() -> None:
    user, path = make_user(), "/admin/tokens/apikey/"
    keys = [token(user, left=timedelta(days=9)) for _ in range(3)]
    chosen = {"action": "expire", "_selected_action": [key.pk for key in keys[:2]]}
    confirmed = chosen | {"confirmed": "yes", "reason": "a laptop was stolen"}
    # An auditor cannot revoke keys.
    admin("auditor").post(path, confirmed)
    client = admin("owner")
    assert b"2 live keys will be revoked now" in client.post(path, chosen).content
    assert APIKey.objects.live(timezone.now()).tokens().count() == 3
    client.post(path, confirmed)
    assert list(APIKey.objects.live(timezone.now()).tokens()) == [keys[2]]
    entries = Entry.objects.filter(action="api_key.expire")
    assert {entry.after["reason"] for entry in entries if entry.after} == {"a laptop was stolen"}


def test_admin_lists_violations_before_it_saves_a_policy() -> None:
    key = token(make_user(username="alice"), left=timedelta(days=9), token_name="deploy")
    client = admin("owner")
    form = {"role": "", "user": "", "max_lifetime_ns": "7d", "tokens_may_create_tokens": ""}
    first = client.post("/admin/tokens/tokenconfig/add/", form)
    assert first.status_code == 200
    assert b"1 live token, listed below, would violate" in first.content
    assert b"deploy" in first.content
    assert not TokenConfig.objects.exists()
    second = client.post("/admin/tokens/tokenconfig/add/", form | {"on_violation": "shorten"})
    assert second.status_code == 302
    assert TokenConfig.objects.get().max_lifetime_ns == 7 * DAY_NS
    key.refresh_from_db()
    assert key.lifetime_ns == 7 * DAY_NS
    page = client.get(f"/admin/tokens/tokenconfig/{TokenConfig.objects.get().pk}/change/")
    assert b'value="7d"' in page.content


def test_commands_list_and_expire_the_keys_that_match_the_filters() -> None:
    alice, bob = make_user(username="alice"), make_user(username="bob")
    token(alice, left=timedelta(days=9), token_name="deploy")
    token(bob, left=timedelta(days=9), token_name="backup", scopes=["user:read"])
    make_key(bob)
    old = timezone.now() - timedelta(days=100)
    APIKey.objects.filter(token_name="deploy").update(last_used=old, created_at=old)
    assert "3 live keys." in run("list_tokens")
    for arguments in (("--user", "ALICE"), ("--name", "depl"), ("--unused-for", "90d")):
        listed = run("list_tokens", *arguments)
        assert "deploy" in listed, arguments
        assert "1 live key." in listed, arguments
    assert "backup" in run("list_tokens", "--scope", "user:read", "--kind", "token")
    assert "1 live key." in run("list_tokens", "--kind", "session")
    assert "1 live key would be expired" in run("expire_tokens", "--user", "alice", "--dry-run")
    with pytest.raises(CommandError, match="--all"):
        run("expire_tokens", "--reason", "x")
    assert "Expired 1 key." in run("expire_tokens", "--user", "alice", "--reason", "x")
    assert APIKey.objects.live(timezone.now()).filter(user=alice).count() == 0


def test_command_creates_a_session_token() -> None:
    make_user(username="alice")
    made = run(
        "create_token", "--user", "alice", "--name", "ci", "--lifetime", "7d",
        "--scope", "user:read",
    )  # fmt: skip
    key = APIKey.objects.get(pk=made.partition("-")[0])
    assert (key.lifetime_ns, key.token_name, key.scopes) == (7 * DAY_NS, "ci", ["user:read"])
    for wrong in ("--name=ci", "--lifetime=0", "--lifetime=1ms", "--scope=fly", "--name=a/b"):
        with pytest.raises(CommandError):
            run("create_token", "--user", "alice", wrong)
