"""Stores the state and the note that an operator gives to a violation group."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypedDict

from django.db import transaction
from django.db.models import Q, QuerySet

from audit.services import Actor, Change, Target, record_all
from csp.models import Group, State
from csp.triage.states import current_state
from users.models import User
from users.roles import AUDITOR, OWNER

MAX_NOTE = 2_000
# The columns that a decision changes.
_COLUMNS = (
    "state",
    "state_set_at",
    "ignored_until",
    "ignored_client_days",
    "note",
    "assigned_to_id",
)


class Decision(TypedDict, total=False):
    """The members of a group to change: the state, its limits, the note, and the assigned user.

    An ignored group is new again at the time `ignored_until`, or when it has had the number
    `ignored_client_days` of client days since it was ignored. If both are None, it is ignored for
    good. Without them, an ignored group keeps its limits. `assigned_to` is a username, or "" for no
    user.
    """

    state: str
    note: str
    ignored_until: datetime | None
    ignored_client_days: int | None
    assigned_to: str


def checked(decision: Decision, *, now: datetime) -> dict[str, str]:
    """Returns the problems of a decision by the name of its member."""
    problems = {}
    until, limit = decision.get("ignored_until"), decision.get("ignored_client_days")
    if until and until <= now:
        problems["ignored_until"] = "Must be in the future."
    if decision.get("state") != State.IGNORED:
        limits = {"ignored_until": until, "ignored_client_days": limit}
        problem = "Only an ignored group has this limit."
        problems |= {name: problem for name, value in limits.items() if value is not None}
    assignee = decision.get("assigned_to")
    if assignee and _assignee(assignee) is None:
        problems["assigned_to"] = "Must be the username of an active owner or auditor."
    return problems


def assignable_users() -> QuerySet[User]:
    """Returns the users that a group can be assigned to: those who may see groups in the admin."""
    may_see = Q(roles__overlap=[OWNER, AUDITOR])
    return User.objects.filter(may_see).exclude(status=User.Status.SUSPENDED)


def _assignee(name: str) -> User | None:
    return assignable_users().filter(username=name[:256].replace("\0", "").lower()).first()


def decide(
    groups: Iterable[uuid.UUID], decision: Decision, *, actor: Actor, now: datetime
) -> list[Any]:
    """Stores the decision for each group, with an audit entry. Returns the changed groups.

    Each has a member `undo` with the arguments of `undo`. A group that the decision describes
    already does not change.
    """
    with transaction.atomic():
        # The writer updates groups in the same order, so neither waits for the other forever.
        chosen: Any = (
            Group.objects.select_related("assigned_to")
            .annotate(current=current_state(now))
            .filter(pk__in=list(groups))
        )
        found = list(chosen.order_by("pk").select_for_update(of=("self",)))
        name = decision.get("assigned_to")
        assignee = _assignee(name) if name else None
        changed, changes = [], []
        for group in found:
            before, client_days = _columns(group), group.client_days_since_state_set
            change = _decide(group, decision, assignee, now)
            if _columns(group) != before:
                group.undo = {
                    "key": str(group.pk),
                    "before": before,
                    "after": _columns(group),
                    "client_days": client_days - group.client_days_since_state_set,
                }
                changed.append(group)
                changes.append(change)
        _save(changed)
        record_all("csp.group.decide", changes, actor=actor, now=now)
    return changed


def _save(groups: Iterable[Group]) -> None:
    columns = [name.removesuffix("_id") for name in _COLUMNS]
    Group.objects.bulk_update(groups, [*columns, "client_days_since_state_set"])


def _columns(group: Group) -> dict[str, str | int | None]:
    """Returns the columns of a decision as values for JSON."""
    values = ((name, getattr(group, name)) for name in _COLUMNS)
    return {name: v if v is None or isinstance(v, int) else str(v) for name, v in values}


def undo(
    key: str,
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    client_days: int,
    actor: Actor,
    now: datetime,
) -> Any:
    """Takes a decision back. Returns the group, or None if the group has changed since then.

    `client_days` is the number of client days between the earlier decision and this one.
    """
    with transaction.atomic():
        groups: Any = Group.objects.annotate(current=current_state(now)).filter(pk=key)
        group = groups.select_for_update(of=("self",)).first()
        if group is None or _columns(group) != after:
            return None
        was = _facts(group)
        # The user may have been deleted since then.
        assignee = User.objects.filter(pk=before["assigned_to_id"]).first()
        for name, value in {**before, "assigned_to_id": assignee and assignee.pk}.items():
            column: Any = Group._meta.get_field(name)
            setattr(group, name, column.to_python(value))
        group.client_days_since_state_set += client_days
        _save([group])
        found = groups.get()
        change = Change(Target("csp_group", key, str(group)), before=was, after=_facts(found))
        record_all("csp.group.undo", [change], actor=actor, now=now)
    return found


def same_cause(group: Group, now: datetime) -> Any:
    """Returns the groups with the same cause on other sites, with their current states."""
    groups = Group.objects.annotate(current=current_state(now)).exclude(pk=group.pk)
    return groups.filter(directive=group.directive, blocked_source=group.blocked_source)


def copy_decision(group: Group, *, actor: Actor, now: datetime) -> list[Group]:
    """Gives the group's state, limits and note to the same cause on other sites.

    Returns the changed groups.
    """
    others = same_cause(group, now)
    decision = Decision(
        state=group.state,
        note=group.note,
        ignored_until=group.ignored_until,
        ignored_client_days=group.ignored_client_days,
    )
    return decide(others.values_list("pk", flat=True), decision, actor=actor, now=now)


def _decide(group: Any, decision: Decision, assignee: User | None, now: datetime) -> Change:
    """Changes the group. Returns the change for the audit trail."""
    before = {"state": group.current, "note": group.note}
    after: dict[str, Any] = {"state": decision.get("state", group.current)}
    if "state" in decision:
        _set_state(group, decision, now)
    group.note = after["note"] = decision.get("note", group.note)
    if "assigned_to" in decision:
        before["assigned_to"], after["assigned_to"] = _name(group.assigned_to), _name(assignee)
        group.assigned_to = assignee
    target = Target("csp_group", str(group.pk), str(group))
    return Change(target, before=before, after={**after, **_limits(group)})


def _set_state(group: Any, decision: Decision, now: datetime) -> None:
    """Sets the state and the limits, unless the group has them already."""
    state = decision["state"]
    stays_ignored = state == group.current == State.IGNORED
    old = (group.ignored_until, group.ignored_client_days) if stays_ignored else (None, None)
    until = decision.get("ignored_until", old[0])
    limit = decision.get("ignored_client_days", old[1])
    if state == group.current and (until, limit) == old:
        return
    group.state, group.state_set_at = state, now
    group.ignored_until, group.ignored_client_days = until, limit
    group.client_days_since_state_set = 0


def _name(user: User | None) -> str:
    return user.username if user else ""


def _facts(group: Any) -> dict[str, Any]:
    facts = {"state": group.current, "note": group.note, "assigned_to": _name(group.assigned_to)}
    return facts | _limits(group)


def _limits(group: Group) -> dict[str, Any]:
    until = group.ignored_until.isoformat() if group.ignored_until else None
    limits = {"ignored_until": until, "ignored_client_days": group.ignored_client_days}
    return {name: limit for name, limit in limits.items() if limit is not None}
