"""Repeating a change is safe: the second one writes no row, no audit entry and no alert."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from alerts.models import Channel
from csp.models import IngestKey, NoiseRule
from tests.support.api.client import APIClient
from tests.support.csp.groups import GROUPS, NOW, make_group, patch
from tests.support.csp.reports import in_admin
from tests.support.factories import make_key, make_user
from tokens.models import TokenConfig

pytestmark = pytest.mark.django_db

TABLES = (
    *("csp_group", "csp_noiserule", "csp_ingestkey", "tokens_tokenconfig", "tokens_apikey"),
    *("users_user", "alerts_channel", "alerts_alert", "audit_entry"),
)


def stored() -> list[Any]:
    """Returns all rows of the tables, without the times of the last use."""
    with connection.cursor() as cursor:
        rows = []
        for table in TABLES:
            columns = "to_jsonb(each) - 'last_used' - 'last_login'"
            cursor.execute(f"SELECT {columns} FROM {table} AS each ORDER BY 1")  # noqa: S608
            rows.append((table, cursor.fetchall()))
    return rows


@pytest.mark.parametrize(
    "body",
    [
        {"state": "acknowledged"},
        {"state": "resolved", "note": "Fixed."},
        {"state": "new"},
        {"state": "ignored"},
        {"state": "ignored", "ignored_until": "2999-01-01T00:00:00Z", "ignored_client_days": 50},
        {"note": "Known."},
        {"assigned_to": "boss"},
        {"assigned_to": None},
        {},
    ],
)
def test_decision_about_a_group_can_be_repeated(owner: APIClient, body: dict[str, Any]) -> None:
    make_user("owner", username="boss")
    path = f"{GROUPS}/{make_group().pk}"
    first = patch(owner, path, body)
    before = stored()
    second = patch(owner, path, body)
    assert (second.status_code, second.json()) == (200, first.json())
    # The state alone does not remove the limits.
    assert patch(owner, path, {"state": first.json()["state"]}).json() == first.json()
    assert stored() == before


def test_group_that_is_new_again_can_be_set_to_new(owner: APIClient) -> None:
    group, before = make_group(state="ignored", state_set_at=NOW, ignored_until=NOW), stored()
    assert patch(owner, f"{GROUPS}/{group.pk}", {"state": "new"}).json()["state"] == "new"
    before[0] = stored()[0]
    assert stored() == before


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("status/suspend", None),
        ("status/activate", None),
        ("roles", {"roles": ["auditor"]}),
        ("roles", {"roles": ["member", "user-admin", "auditor"]}),
        ("keys/{key}/expire", None),
    ],
)
def test_change_of_a_user_can_be_repeated(owner: APIClient, operation: str, body: Any) -> None:
    user = make_user()
    path = f"/api/v2/users/{user.username}/{operation.format(key=make_key(user).key.pk)}"
    first = owner.put(path, body, content_type="application/json").status_code
    before = stored()
    assert owner.put(path, body, content_type="application/json").status_code == first
    assert (first, stored() == before) == (204 if "keys" in operation else 200, True)


def make_rows() -> list[Any]:
    address = "https://hooks.example/x"
    return [
        NoiseRule.objects.create(name="c", target="host", pattern="c.test", category="own"),
        IngestKey.objects.create(name="site", value="k", origins=["https://a.example"]),
        TokenConfig.objects.create(role="auditor", max_live_tokens=3),
        Channel.objects.create(name="team", type="slack", address=address, accepted_at=NOW),
        make_user("auditor", username="ada"),
    ]


def values_of(form: Any) -> dict[str, Any]:
    values = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in values.items() if value not in (None, False)}


def test_form_of_the_admin_can_be_saved_twice() -> None:
    client = in_admin("owner")
    for row in make_rows():
        meta = row._meta
        page = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
        values = values_of(client.get(page).context["adminform"].form)
        for name in ("note", "reason"):
            if name in values:
                values[name] = "Changed."
        client.post(page, values)
        before = stored()
        answer = client.post(page, values)
        assert answer.status_code == 302, answer.context["errors"]
        assert stored() == before, meta.model_name


@pytest.mark.parametrize(
    ("page", "action"),
    [
        *(("noiserule", action) for action in ("enable", "disable", "label_groups")),
        *(("group", action) for action in ("acknowledge", "ignore", "resolve", "reopen")),
    ],
)
def test_action_can_be_repeated(page: str, action: str) -> None:
    row = make_rows()[0] if page == "noiserule" else make_group(last_seen=timezone.now())
    client, chosen = in_admin("owner"), {"action": action, "_selected_action": [str(row.pk)]}
    client.post(f"/admin/csp/{page}/", chosen)
    before = stored()
    answer = client.post(f"/admin/csp/{page}/", chosen, follow=True)
    assert answer.redirect_chain[0][1] == 302
    assert page == "noiserule" or "Changed groups: 0." in answer.text
    assert stored() == before
