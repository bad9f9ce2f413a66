"""Alerts about violation groups and policies, and their section of the weekly digest.

The time `occurred_at` of an event must not change later, so it is never the time of a report:

| kind | when | `occurred_at` |
| --- | --- | --- |
| new | a group that no operator has decided about reaches the channel's number of clients | when the group was created |
| limit_reached | an ignored group is new again | when it was ignored |
| regressed | several clients have reported a resolved group again | when it was resolved |
| new_host | several networks report on one day a script, frame, form or connection of a host that the site has not used | when the group was created |
| other_growing | a group "other" has many more clients than at its last alert | the hour |
"""  # noqa: E501 - a table

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import CharField, Exists, F, OuterRef, Subquery, Value
from django.db.models.functions import Cast, Coalesce, Greatest
from django.urls import reverse

from alerts.kinds import (
    CHANGED_POLICY,
    GROUP_LIMIT,
    GROWING_OTHER,
    NEW_GROUP,
    NEW_HOST,
    REGRESSED_GROUP,
    Severity,
)
from alerts.models import Alert, Channel
from alerts.sources import Details, Event, Source, register
from alerts.weekly import register_section
from audit.models import Entry
from csp.advice.suggestion import Advice
from csp.models import WINDOW_DAYS, Group, Report, SitePolicy, State, whole_hour, window_start
from csp.triage.changes import (
    DANGEROUS,
    difference,
    first_uses,
    new_hosts,
    policy_before,
    policy_changes,
)
from csp.triage.details import details
from csp.triage.releases.versions import mark_new
from csp.triage.selectors import attention_lists, groups_at, most_urgent
from csp.triage.serializers import GroupSerializer
from csp.triage.sites import several_sites, where
from csp.triage.states import OPEN, REGRESSED
from csp.writing.entries import OTHER
from kernel.text.humanize import ago, plural

# If more groups are due, the others are recorded in the next run.
MAX_EVENTS = 10_000
# A regression is alerted if this number of clients reports it, or the channel's number if it is
# lower. Anyone can forge a single report.
REGRESSED_CLIENTS = 3
# Older changes of a policy cause no alert.
NEWEST = timedelta(days=7)
MAX_DIRECTIVES = 10
_SETTLED = (State.IGNORED, State.RESOLVED)


def described(group: Any, *more: str) -> str:
    """Returns the cause, the site, and in parentheses the number of clients and further facts."""
    facts = ", ".join([plural(group.client_days, "client"), *more])
    site = where(group).replace("https://", "")
    return f"{group}{site} ({facts})"


@register
class GroupSource(Source):
    kinds = (NEW_HOST, NEW_GROUP, REGRESSED_GROUP, GROUP_LIMIT, GROWING_OTHER)

    def due(self, channel: Channel, now: datetime) -> Iterator[Event]:
        """Yields the events that are not recorded yet."""
        visible = groups_at(now).visible()
        decided_at = Coalesce("state_set_at", "created_at")
        new = visible.filter(state=State.NEW, client_days__gte=channel.min_client_days)
        over = visible.filter(state=State.IGNORED, current=State.NEW)
        sources: tuple[tuple[str, Any], ...] = (
            (NEW_HOST, new_hosts(visible, now).annotate(occurred_at=F("created_at"))),
            (NEW_GROUP, new.annotate(occurred_at=F("created_at"))),
            (GROUP_LIMIT, over.annotate(occurred_at=decided_at)),
            (REGRESSED_GROUP, _regressed(channel, visible).annotate(occurred_at=decided_at)),
            (GROWING_OTHER, _growing(channel, visible, now)),
        )
        # A group with a new host is not a new group, too.
        announced: set[Any] = set()
        for kind, groups in sources:
            if not channel.chooses(kind):
                continue
            unrecorded = _unrecorded(channel, kind, groups).order_by("-client_days")
            for group in unrecorded[:MAX_EVENTS]:
                if group.pk not in announced:
                    announced.add(group.pk)
                    is_lower = kind == NEW_HOST and group.directive not in DANGEROUS
                    yield Event(
                        kind=kind,
                        subject_key=str(group.pk),
                        title=described(group),
                        occurred_at=group.occurred_at,
                        site=group.site,
                        severity=Severity.MEDIUM if is_lower else None,
                        weight=group.client_days,
                    )

    def still_due(self, alerts: Sequence[Alert], now: datetime) -> Iterable[Alert]:
        """Drops an alert if an operator has decided about the group while the alert waited."""
        groups = groups_at(now).filter(pk__in=[alert.subject_key for alert in alerts])
        states = {str(key): state for key, state in groups.values_list("pk", "current")}
        for alert in alerts:
            state = states.get(alert.subject_key)
            if alert.kind == GROWING_OTHER:
                if state is not None and state not in _SETTLED:
                    yield alert
            elif state in OPEN:
                yield alert

    def remembered(self, alerts: Sequence[Alert]) -> Iterable[Alert]:
        """Keeps the alerts of groups that exist."""
        groups = Group.objects.filter(pk__in=[alert.subject_key for alert in alerts])
        keys = {str(key) for key in groups.values_list("pk", flat=True)}
        return [alert for alert in alerts if alert.subject_key in keys]

    def details(self, alert: Alert, now: datetime) -> Details:
        [group] = mark_new([groups_at(now).get(pk=alert.subject_key)])
        facets, advice, _ = details(group, now=now)
        page = reverse("admin:csp_group_change", args=[group.pk])
        return Details(
            title=described(group, f"risk {advice.risk}"),
            facts=list(_facts(group, facets, advice, now)),
            links=[
                ("Decide about the group", page),
                ("Acknowledge it", f"{page}?state=acknowledged"),
                ("Ignore it", f"{page}?state=ignored"),
            ],
            group=dict(GroupSerializer(group).data),
        )


def _regressed(channel: Channel, visible: Any) -> Any:
    """Returns the regressed groups that enough clients have reported since the decision."""
    reports = Report.objects.filter(group=OuterRef("pk"), noise_rule_id=0)
    clients = reports.filter(received_at__gt=OuterRef("state_set_at"))
    last = min(channel.min_client_days, REGRESSED_CLIENTS)
    enough = clients.order_by().values("client_address_hash").distinct()[last - 1 : last]
    return visible.filter(Exists(enough), current=REGRESSED)


def _unrecorded(channel: Channel, kind: str, rows: Any) -> Any:
    """Returns the rows without an alert of this kind. Each row has a column `occurred_at`."""
    kinds = (NEW_GROUP, NEW_HOST) if kind == NEW_GROUP else (kind,)
    same = channel.alerts.filter(
        kind__in=kinds, occurred_at=OuterRef("occurred_at"), subject_key=_key()
    )
    return rows.exclude(Exists(same))


def _key() -> Cast:
    return Cast(OuterRef("pk"), CharField())


def _growing(channel: Channel, visible: Any, now: datetime) -> Any:
    """Returns the groups "other" with `min_client_days` more clients than at their last alert.

    Such a group collects the causes that got no group of their own. One cause of many may affect a
    lot of visitors.
    """
    recent = Greatest(OuterRef("created_at"), Value(window_start(now)))
    alerts = channel.alerts.filter(subject_key=_key(), created_at__gte=recent)
    # An event of this run, for example that the group is new, is not recorded yet.
    is_new = {"state": State.NEW, "client_days__gte": channel.min_client_days}
    most = Subquery(alerts.order_by("-weight").values("weight")[:1])
    recorded = alerts.filter(kind__in=(NEW_GROUP, GROWING_OTHER))
    return (
        visible.filter(blocked_source=OTHER)
        .exclude(current__in=_SETTLED)
        .annotate(is_recorded=Exists(recorded))
        .exclude(is_recorded=False, **is_new)
        .filter(client_days__gte=Coalesce(most, 0) + channel.min_client_days)
        .annotate(occurred_at=Value(whole_hour(now)))
    )


def _facts(
    group: Any, facets: dict[str, Any], advice: Advice, now: datetime
) -> Iterator[tuple[str, str]]:
    yield "Cause", str(group)
    if several_sites():
        yield "Site", group.site
    if pages := facets["page_kind"]:
        yield "Page", pages[0]["value"] or "(unknown)"
    days = f"in the last {WINDOW_DAYS} days"
    yield "Clients", f"{group.client_days:,} {days} (each counts once on each day)"
    yield "Reports", f"{group.reports:,} on {plural(group.pages, 'page')} {days}"
    yield "First seen", f"{group.first_seen:%Y-%m-%d %H:%M} UTC, {ago(group.first_seen, now=now)}"
    yield "Suggested entry", advice.policy_entry or "none"
    for reason in advice.reasons[:3]:
        yield "Reason", reason


@register
class PolicySource(Source):
    kinds = (CHANGED_POLICY,)

    def due(self, channel: Channel, now: datetime) -> Iterator[Event]:
        """Yields the events that are not recorded yet."""
        changes = policy_changes(now - NEWEST, now + NEWEST).annotate(occurred_at=F("last_new_at"))
        for policy in _unrecorded(channel, CHANGED_POLICY, changes):
            key, since, site = str(policy.pk), policy.last_new_at, policy.site
            what = _changed(policy, policy_before(policy))
            yield Event(
                kind=CHANGED_POLICY, subject_key=key, title=what, occurred_at=since, site=site
            )

    def still_due(self, alerts: Sequence[Alert], now: datetime) -> Iterable[Alert]:
        """Drops the alerts about policies that have expired."""
        policies = SitePolicy.objects.in_bulk([int(alert.subject_key) for alert in alerts])
        return [alert for alert in alerts if int(alert.subject_key) in policies]

    def details(self, alert: Alert, now: datetime) -> Details:
        policy = SitePolicy.objects.get(pk=alert.subject_key)
        before = policy_before(policy)
        removed, added = difference(before, policy)
        facts = [("Site", policy.site), ("Disposition", policy.disposition)]
        facts += [("Removed", line) for line in removed[:MAX_DIRECTIVES]]
        facts += [("Added", line) for line in added[:MAX_DIRECTIVES]]
        query = urlencode({"site": policy.site})
        page = f"{reverse('admin:csp_group_site_policy')}?{query}"
        return Details(
            title=_changed(policy, before),
            facts=facts,
            links=[("Open the policy of the site", page)],
            data={
                "policy": policy.policy,
                "removed_directives": removed,
                "added_directives": added,
            },
        )


def _changed(policy: SitePolicy, before: SitePolicy | None) -> str:
    """Returns the site, and what has changed: the disposition, or some directives."""
    site = policy.site.replace("https://", "")
    if before and before.disposition != policy.disposition:
        return f"{site} now has a policy with the disposition {policy.disposition}"
    lines = [line for part in difference(before, policy) for line in part]
    names = ", ".join(dict.fromkeys(line.partition(" ")[0] for line in lines))
    return f"{names or 'the policy'} of {site} changed"


def _week(since: datetime, until: datetime) -> Iterator[tuple[str, str]]:
    visible = groups_at(until).visible()
    new = visible.filter(created_at__gte=since, created_at__lt=until)
    yield "new groups", f"{new.count():,}"
    yield "new hosts", f"{first_uses(new).count():,}"
    for policy in policy_changes(since, until)[:5]:
        yield (
            f"policy, {policy.last_new_at:%Y-%m-%d %H:%M} UTC",
            _changed(policy, policy_before(policy)),
        )
    yield "open groups", f"{sum(groups.count() for groups in attention_lists(until)):,}"
    decided = Entry.objects.filter(
        action="csp.group.decide", created_at__gte=since, created_at__lt=until
    )
    yield "decisions", f"{decided.count():,}"
    for group in most_urgent(until, limit=5):
        yield "open", described(group)


register_section("CSP", _week)
