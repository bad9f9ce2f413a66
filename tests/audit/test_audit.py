"""The audit trail: recorded, never changed, exported as JSON lines."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError
from django.core.management.color import no_style
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from audit.models import Entry
from audit.services import ACTIONS, Actor, Target, drop_old_entries, record
from tests.support.api.client import APIClient, browser_of
from tests.support.api.sending import send
from tests.support.browsers.markup import text_in
from tests.support.commands import run
from tests.support.factories import make_key, make_user
from tests.support.processes import PACKAGES, PROJECT

pytestmark = pytest.mark.django_db


def note(action: str = "thing.done", **more: Any) -> Entry:
    now = more.pop("now", timezone.now())
    return record(action, actor=Actor(name="x"), target=Target("thing", "1"), now=now, **more)


@pytest.mark.parametrize("change", [{"action": "other"}, None])
def test_postgresql_rejects_changes_and_deletions_of_entries(change: dict[str, str] | None) -> None:
    entry = note()
    entries = Entry.objects.filter(pk=entry.pk)

    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        entries.update(**change) if change else entries.delete()

    assert entries.get().action == "thing.done"


@pytest.mark.django_db(transaction=True)
def test_only_flush_may_truncate_entries() -> None:
    note()
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM audit_entry")
        for table in ("audit_entry", cursor.fetchone()[0]):
            with pytest.raises(IntegrityError, match="append-only: TRUNCATE refused"):
                cursor.execute(f"TRUNCATE {table}")
        assert Entry.objects.count() == 1
    connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), ["audit_entry"]))
    assert not Entry.objects.exists()


def test_entry_has_actor_target_change_and_request(owner: APIClient) -> None:
    user = make_user()

    answer = send(owner, "PUT", f"/users/{user.id}/roles", {"roles": ["auditor"]})

    entry = Entry.objects.get(action="user.roles")
    assert (entry.actor_id, entry.actor_name) == (owner.user.id, owner.user.username)
    assert (entry.target_id, entry.target_name) == (str(user.id), user.username)
    assert (entry.before, entry.after) == ({"roles": []}, {"roles": ["auditor"]})
    assert (entry.ip_address, entry.request_id) == ("127.0.0.1", answer["X-Coder-Request-Id"])


@pytest.mark.django_db(transaction=True)
def test_old_entries_are_dropped_with_their_partition() -> None:
    now = timezone.now()
    drop_old_entries(retention=timedelta(days=365), now=now)  # those of earlier tests
    note(now=now - timedelta(days=400))
    recent = note()

    assert drop_old_entries(retention=timedelta(0), now=now) == 0
    assert drop_old_entries(retention=timedelta(days=365), now=now) == 1
    assert list(Entry.objects.all()) == [recent]


def export(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("export_audit", *arguments).splitlines()]


def test_export_has_every_entry_oldest_first() -> None:
    now = timezone.now()
    note("user.create", now=now - timedelta(days=3))
    note("user.roles", after={"a": 1})

    lines = export()

    assert [line["action"] for line in lines] == ["user.create", "user.roles"]
    assert lines[1]["after"] == {"a": 1}
    since = f"{now - timedelta(days=1):%Y-%m-%d}"
    assert [line["action"] for line in export("--since", since)] == ["user.roles"]
    assert [line["action"] for line in export("--until", since)] == ["user.create"]
    assert [line["action"] for line in export("--action", "user.create")] == ["user.create"]
    with pytest.raises(CommandError, match="neither a day nor a time"):
        export("--since", "yesterday")
    assert export("--action", "user.erase") == []
    with pytest.raises(CommandError, match=r"--action: invalid choice: 'nope'.*user.create"):
        export("--action", "nope")


def test_every_recorded_action_is_known() -> None:
    files = [path for name in PACKAGES for path in (PROJECT / name).rglob("*.py")]
    call = re.compile(r"\b(?:record|record_all|_note)\(\s*\"([\w.]+)\"")
    recorded = {action for path in files for action in call.findall(path.read_text())}

    assert "user.erase" in recorded
    assert recorded <= ACTIONS


def test_admin_shows_and_exports_entries_and_cannot_change_them() -> None:
    client = browser_of(make_user("auditor"))
    entry = note()
    page = f"/admin/audit/entry/{entry.pk}/change/"

    listed = client.get("/admin/audit/entry/").content.decode()
    assert all(label in listed for label in ("Time", "Actor", "Target", "By time"))
    assert b'name="_save"' not in client.get(page).content
    assert browser_of(make_user("owner")).post(page, {"action": "x"}).status_code == 403
    answer: Any = client.post(
        "/admin/audit/entry/", {"action": "export", "_selected_action": [entry.pk]}
    )
    assert json.loads(b"".join(answer.streaming_content))["action"] == "thing.done"


def test_admin_filters_entries_by_person_and_action(owner: APIClient) -> None:
    user, other = make_user(username="ada"), make_user(username="eve")
    for one in (user, other):
        send(owner, "PUT", f"/users/{one.id}/roles", {"roles": ["auditor"]})
    user.refresh_from_db()
    send(APIClient(token=make_key(user).token), "POST", "/users/me/keys/tokens", {})
    # The token and the policy of Ada are the targets of these actions, not Ada.
    send(owner, "DELETE", f"/users/{user.id}/keys/{make_key(user, token_name='ci').key.id}")
    run("token_policy", "set", "--user", "ada", "--max-live-tokens", "3")
    client = browser_of(make_user("auditor"))

    def found(**chosen: Any) -> list[str]:
        listed = client.get("/admin/audit/entry/", chosen)
        assert listed.status_code == 200
        return sorted(str(entry) for entry in listed.context["cl"].result_list)

    boss, about_ada = owner.user.username, f"{owner.user.username} user.roles ada"
    assert found(action="api_key.unknown") == []
    assert found(person="ada") == found(person=str(user.id))
    lines = [line.split()[:2] for line in found(person="ada")]
    assert sorted({tuple(line) for line in lines}) == sorted(
        {
            ("ada", "api_key.create"),
            ("system", "api_key.create"),
            ("system", "token_config.set"),
            (boss, "api_key.delete"),
            (boss, "user.roles"),
        }
    )
    assert found(person=boss, action="user.roles") == [about_ada, f"{boss} user.roles eve"]
    assert found(person="ada", action="user.roles", q="ada") == [about_ada]
    assert found(action="api_key.create", person="eve") == found(person="\0") == []


def test_an_entry_shows_its_changes_and_links_to_actor_and_target(owner: APIClient) -> None:
    user = make_user()
    send(owner, "PUT", f"/users/{user.id}/roles", {"roles": ["auditor", "owner"]})
    send(owner, "DELETE", f"/users/{user.id}")
    client, entry = browser_of(make_user("auditor")), Entry.objects.get(action="user.roles")

    shown = client.get(f"/admin/audit/entry/{entry.pk}/change/")
    assert "roles none owner, auditor" in text_in(shown)
    assert f"?person={owner.user.pk}" in shown.content.decode()
    page = f"/admin/users/user/{user.pk}/change/"
    assert page in shown.content.decode()
    # A deleted user has no page.
    assert "Perhaps it was deleted?" in text_in(client.get(page, follow=True))


def test_no_secret_is_in_the_trail(owner: APIClient) -> None:
    user = make_user()
    token = make_key(user).token
    send(owner, "PUT", f"/users/{user.id}/password", {"password": "marker-for-a-secret"})
    send(owner, "POST", "/users/me/keys/tokens", {})

    text = str(list(Entry.objects.values()))

    assert "marker-for-a-secret" not in text
    assert token.partition("-")[2] not in text
    assert "argon2" not in text
