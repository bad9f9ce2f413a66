"""Creates and drops partitions, and saves noise rules and ingest keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain, count
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction

from audit.services import Actor, Change, Target, delete_recorded, record_all, save_recorded
from csp.access.keys import MEMORY, new_key
from csp.access.origins import normalized
from csp.counting import rejections
from csp.models import (
    REPORTS,
    ClientKey,
    CommittedBatch,
    Group,
    IngestKey,
    LimitUse,
    NoiseRule,
    Report,
    Version,
    start_of_retention,
)
from csp.noise.stored import RULE_TOPIC, dry_run
from csp.writing.distinct import DELETE_FORGOTTEN, DELETE_LARGE
from csp.writing.terms import TERMS
from kernel.db.listener import announce
from kernel.db.sql import execute
from kernel.text.humanize import plural

AHEAD = timedelta(days=3)
# The writer looks up a batch only within seconds of its commit.
BATCHES_KEPT = timedelta(days=1)
MAX_KEY_NAME = 64
GROUPS_AT_ONCE = 1_000
HOURS_AT_ONCE = 10_000
_DELETE_HOURS = """
DELETE FROM csp_grouphour WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM csp_grouphour WHERE hour < %s LIMIT %s FOR UPDATE SKIP LOCKED
))
"""


def make_partitions(now: datetime) -> int:
    """Creates the missing partitions of today and the next days. Returns their number."""
    return REPORTS.ensure(now, now + AHEAD)


class Pruned(NamedTuple):
    """The partitions, reports and groups that pruning deletes."""

    partitions: list[str] = []
    reports: int = 0
    groups: int = 0

    def __str__(self) -> str:
        reports, groups = plural(self.reports, "report"), plural(self.groups, "group")
        return f"{reports} in {plural(len(self.partitions), 'partition')}, and {groups}"


def to_prune(now: datetime) -> Pruned:
    """Returns the numbers that `prune_reports` would delete."""
    start = start_of_retention(now)
    reports = Report.objects.filter(received_at__lt=start).count()
    return Pruned(REPORTS.older_than(start), reports, Group.objects.expired(now).count())


def prune_reports(now: datetime) -> Pruned:
    """Drops the partitions of expired days, and deletes the groups without a newer report.

    Also deletes large hashes, and expired rows: hourly counts, versions, batch ids, client
    keys, and counts of new groups and of reports of other types.
    """
    start = start_of_retention(now)
    Version.objects.filter(last_seen__lt=start).delete()
    execute(DELETE_LARGE)
    execute(DELETE_FORGOTTEN)
    CommittedBatch.objects.filter(is_imported=False, committed_at__lt=now - BATCHES_KEPT).delete()
    # Keep yesterday's key, because a process whose clock is behind may still use it.
    ClientKey.objects.filter(day__lt=(now - timedelta(days=1)).date()).delete()
    LimitUse.objects.filter(hour__lt=now - timedelta(days=1)).delete()
    rejections.forget_old(now)
    # 0.1.0 still adds rows to this table, which is not used any more.
    execute("DELETE FROM csp_otherreport WHERE last_seen < %s", [start])
    expired = Report.objects.filter(received_at__lt=start)
    reports = expired.count()
    days = REPORTS.drop_before(start)
    reports -= expired.count()
    _delete_hours(start)
    return Pruned(days, reports, _delete_groups(now))


def _delete_hours(moment: datetime) -> None:
    """Deletes the hourly counts before that time. Each transaction deletes up to HOURS_AT_ONCE."""
    while execute(_DELETE_HOURS, [moment, HOURS_AT_ONCE]) == HOURS_AT_ONCE:
        pass


def _delete_groups(now: datetime) -> int:
    """Deletes expired groups with their hourly counts and hashes. Returns their number.

    Each transaction deletes up to GROUPS_AT_ONCE groups. It skips locked groups, because the writer
    is adding new reports to them.
    """
    expired = Group.objects.expired(now).order_by("pk").values_list("pk", flat=True)
    deleted, ids = 0, [UUID(int=0)]
    while ids:
        with transaction.atomic():
            rest = expired.filter(pk__gt=ids[-1]).select_for_update(skip_locked=True)
            ids = list(rest[:GROUPS_AT_ONCE])
            Group.objects.filter(pk__in=ids).delete()
        deleted += len(ids)
    return deleted


def save_noise_rule(rule: NoiseRule, *, actor: Actor, now: datetime) -> None:
    """Saves a rule. If it is disabled or matches something else, its groups are visible again."""
    with transaction.atomic():
        before = NoiseRule.objects.filter(pk=rule.pk).first()
        save_recorded("csp.noise_rule", rule, _rule_facts, actor=actor, now=now)
        if before and _rule_facts(before) != _rule_facts(rule):
            rule.groups.update(noise_rule=None)
    TERMS.clear()


def delete_noise_rule(rule: NoiseRule, *, actor: Actor, now: datetime) -> None:
    """Deletes the rule. The groups that it hides are visible again."""
    delete_recorded("csp.noise_rule", rule, _rule_facts, actor=actor, now=now)
    TERMS.clear()


def label_groups(rule: NoiseRule, *, actor: Actor, now: datetime) -> int:
    """Hides the groups in which all stored reports match the rule. Returns their number."""
    groups = [group.pk for group in dry_run(rule)[0]] if rule.is_enabled else []
    with transaction.atomic():
        # Skips groups with newer reports, because those may not match the rule.
        unchanged = Group.objects.filter(pk__in=groups, last_seen__lte=now)
        labelled = unchanged.update(noise_rule=rule)
        if labelled:
            target, after = Target("noise_rule", str(rule.pk), rule.name), {"groups": labelled}
            change = Change(target, after=after)
            record_all("csp.noise_rule.label_groups", [change], actor=actor, now=now)
            announce(RULE_TOPIC)
    return labelled


def _rule_facts(rule: NoiseRule) -> dict[str, Any]:
    names = ("target", "pattern", "site", "is_enabled")
    return {name: getattr(rule, name) for name in names}


def create_ingest_key(
    *, name: str | None = None, origins: Sequence[str], actor: Actor, now: datetime
) -> IngestKey:
    """Creates an ingest key for these origins. The default name is the host of the first origin.

    Raises: ValueError if an origin is invalid or the name is too long.
    """
    allowed = normalized(origins)
    if name and len(name) > MAX_KEY_NAME:
        raise ValueError(f"The name must have at most {MAX_KEY_NAME} characters.")
    key = IngestKey(name=name or _free_name(allowed[0]), origins=allowed)
    save_ingest_key(key, actor=actor, now=now)
    return key


def _free_name(origin: str) -> str:
    """Returns the host of the origin. If that name is in use, adds the first unused number."""
    host = origin.rpartition("//")[2][: MAX_KEY_NAME - len(" 9999")]
    used = set(IngestKey.objects.filter(name__startswith=host).values_list("name", flat=True))
    names = chain([host], (f"{host} {number}" for number in count(2)))
    return next(name for name in names if name not in used)


def retire_ingest_key(key: IngestKey, *, at: datetime, actor: Actor, now: datetime) -> None:
    """Sets the time when the key is retired. Does nothing if it is retired by then already.

    Raises: ValueError if a retired key would be used again. Browsers that reported with it received
    a 410 response and have stopped reporting.
    """
    if key.retired_at is not None and key.retired_at <= now:
        if at > now:
            raise ValueError(f"The ingest key {key.name!r} is already retired.")
        return
    key.retired_at = at
    save_ingest_key(key, actor=actor, now=now)


def save_ingest_key(key: IngestKey, *, actor: Actor, now: datetime) -> None:
    """Saves an ingest key. Generates the value of a new key."""
    key.value = key.value or new_key()
    save_recorded(
        "csp.ingest_key",
        key,
        lambda key: {"origins": key.origins, "retired": key.retired_at is not None},
        actor=actor,
        now=now,
    )
    MEMORY.clear()
    TERMS.clear()
