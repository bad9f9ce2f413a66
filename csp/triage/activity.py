"""Lists what has happened to a violation group: decisions, alerts and reports."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from operator import itemgetter
from typing import Any

from django.urls import reverse

from alerts.kinds import KINDS
from alerts.models import Alert
from audit.models import Entry
from csp.models import Group
from csp.triage.states import REGRESSED

MAX_ROWS = 50


# A time, a text, the user, command or channel that caused it, and the URL of a page, or "".
type Activity = tuple[datetime, str, str, str]


def activity(group: Any) -> list[Activity]:
    """Returns the newest lines, newest first. Takes two queries.

    `group` comes from `groups_at`, which annotates it with its current state.
    """
    found = [*_reports(group), *_decisions(group), *_alerts(group)]
    return sorted(found, key=itemgetter(0), reverse=True)[:MAX_ROWS]


def _reports(group: Any) -> Iterator[Activity]:
    yield group.first_seen, "first report", "", ""
    if group.last_seen > group.first_seen:
        prefix = "regressed: " if group.current == REGRESSED else ""
        yield group.last_seen, f"{prefix}newest report", "", ""
    if group.noise_rule is not None:
        page = reverse("admin:csp_noiserule_change", args=[group.noise_rule_id])
        text = f"labelled by the noise rule {group.noise_rule}"
        yield group.created_at, text, "", page


def _decisions(group: Group) -> Iterator[Activity]:
    entries = Entry.objects.filter(target_type="csp_group", target_id=str(group.pk))
    for entry in entries.order_by("-created_at", "-id")[:MAX_ROWS]:
        page = reverse("admin:audit_entry_change", args=[entry.pk])
        text = _changes(entry.before or {}, entry.after or {})
        yield entry.created_at, text, entry.actor_name, page


def _changes(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Returns the members that differ, in words."""
    found = [
        f"{_NAMES[name]}: {after[name] or 'none'}"
        for name in _NAMES
        if name in after and after[name] != before.get(name, "")
    ]
    return "; ".join(found) or "no change"


_NAMES = {
    "state": "state",
    "ignored_until": "ignored until",
    "ignored_client_days": "ignored for client days",
    "assigned_to": "assigned to",
    "note": "note",
}


def _alerts(group: Group) -> Iterator[Activity]:
    sent = Alert.objects.filter(subject_key=str(group.pk), kind__startswith="csp_", status="sent")
    for alert in sent.select_related("channel", "delivery").order_by("-created_at")[:MAX_ROWS]:
        at = alert.delivery.sent_at if alert.delivery else None
        page = reverse("admin:alerts_delivery_change", args=[alert.delivery_id]) if at else ""
        text = f"alert: {KINDS[alert.kind].word}"
        yield at or alert.created_at, text, alert.channel.name, page
