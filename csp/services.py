"""Writes partitions, noise rules and ingest keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain, count

from django.conf import settings
from django.db import transaction

from audit.services import Actor, Target, record
from csp.access.keys import MEMORY, new_key
from csp.access.origins import normalised
from csp.models import REPORTS, Batch, ClientKey, IngestKey, NoiseRule
from csp.noise import history
from csp.noise.history import Hidden

AHEAD = timedelta(days=3)
# A batch is looked up within seconds of its commit, or never.
BATCHES_KEPT = timedelta(days=1)
MAX_KEY_NAME = 64


def make_partitions(now: datetime) -> int:
    """Makes the partitions of today and the days ahead. Returns how many were missing."""
    return REPORTS.ensure(now, now + AHEAD)


def prune_reports(now: datetime) -> list[str]:
    """Drops the partitions whose reports are all past retention. Returns their names."""
    Batch.objects.filter(imported=False, committed_at__lt=now - BATCHES_KEPT).delete()
    # A process whose clock is a little behind may still be at yesterday.
    ClientKey.objects.filter(day__lt=(now - timedelta(days=1)).date()).delete()
    # A retention of 0 means for ever.
    if not settings.CSP_RETENTION:
        return []
    return REPORTS.drop_before(now - settings.CSP_RETENTION)


def save_noise_rule(rule: NoiseRule, *, actor: Actor, now: datetime) -> None:
    """Writes a new or changed rule. What it has marked is hidden while it is enabled."""
    before = _rule_facts(NoiseRule.objects.filter(pk=rule.pk).first())
    with history.rules_held():
        rule.save()
        history.count_noise(rule.id)
        record(
            "csp.noise_rule.save",
            actor=actor,
            target=Target("noise_rule", str(rule.pk), rule.name),
            now=now,
            before=before,
            after=_rule_facts(rule),
        )


def delete_noise_rule(rule: NoiseRule, *, actor: Actor, now: datetime) -> None:
    """Deletes the rule; what it had marked is no longer hidden."""
    before, target = _rule_facts(rule), Target("noise_rule", str(rule.pk), rule.name)
    rule.enabled = False
    with history.rules_held():
        rule.save()
        history.count_noise(rule.id)
        rule.delete()
        record("csp.noise_rule.delete", actor=actor, target=target, now=now, before=before)


def hide_stored_noise(rule: NoiseRule, *, actor: Actor, now: datetime) -> Hidden:
    """Hides the stored reports that the rule matches. Returns how many."""
    hidden = history.hide(rule)
    record(
        "csp.noise_rule.hide_stored",
        actor=actor,
        target=Target("noise_rule", str(rule.pk), rule.name),
        now=now,
        after={"reports": hidden.reports, "groups": hidden.groups},
    )
    return hidden


def _rule_facts(rule: NoiseRule | None) -> dict[str, object] | None:
    if rule is None:
        return None
    return {"target": rule.target, "pattern": rule.pattern, "enabled": rule.enabled}


def create_ingest_key(
    *, name: str | None = None, origins: Sequence[str], actor: Actor, now: datetime
) -> IngestKey:
    """Makes a key for reports of these origins, named after the first one if no name is given.

    Raises: ValueError for a text that is no origin, and for a name that is too long.
    """
    allowed = normalised(origins)
    if name and len(name) > MAX_KEY_NAME:
        raise ValueError(f"The name is longer than {MAX_KEY_NAME} characters.")
    key = IngestKey(name=name or _free_name(allowed[0]), origins=allowed)
    save_ingest_key(key, actor=actor, now=now)
    return key


def _free_name(origin: str) -> str:
    """Returns the origin's host, with the first number that no key has."""
    host = origin.rpartition("//")[2][: MAX_KEY_NAME - len(" 9999")]
    taken = set(IngestKey.objects.filter(name__startswith=host).values_list("name", flat=True))
    names = chain([host], (f"{host} {number}" for number in count(2)))
    return next(name for name in names if name not in taken)


def retire_ingest_key(key: IngestKey, *, at: datetime, actor: Actor, now: datetime) -> None:
    """Sets from when on the key tells browsers to stop.

    Raises: ValueError if it has told them already: they do not come back for a later date.
    """
    if key.retired_at is not None and key.retired_at <= now:
        raise ValueError(f"The ingest key {key.name!r} is retired already.")
    key.retired_at = at
    save_ingest_key(key, actor=actor, now=now)


def save_ingest_key(key: IngestKey, *, actor: Actor, now: datetime) -> None:
    """Writes a new or changed key; a new one is given its text here."""
    with transaction.atomic():
        key.key = key.key or new_key()
        key.save()
        record(
            "csp.ingest_key.save",
            actor=actor,
            target=Target("ingest_key", str(key.pk), key.name),
            now=now,
            after={"origins": key.origins, "retired": key.retired_at is not None},
        )
    MEMORY.clear()
