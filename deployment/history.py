"""The history of the configuration: its revisions, their differences, and who runs which now."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction

from deployment.models import ConfigRevision
from kernel.db.connections import transaction_lock
from kernel.db.replicas import Replica, replicas
from options.catalogue import CATALOGUE
from options.redaction import SECRET
from options.snapshot import ConfigSnapshot

logger = logging.getLogger(__name__)

_NAMES = {option.json_path: option.name for option in CATALOGUE if not option.use_instead}


def warn_of_options() -> None:
    """Logs the warnings about options, once a start and not in every process."""
    for warning in settings.OPTIONS.warnings:
        logger.warning("%s", warning)


def record_start(found: ConfigSnapshot, *, now: datetime) -> ConfigRevision | None:
    """Keeps the options of a start. Returns None where the newest revision says the same."""
    with transaction.atomic(), transaction_lock("config-history"):
        newest = ConfigRevision.objects.newest()
        if newest is not None and newest.digest == found.digest:
            return None
        return ConfigRevision.objects.create(
            digest=found.digest,
            host=socket.gethostname()[:255],
            version=settings.VERSION,
            recorded_at=now,
            values=found.values,
            sources=found.sources,
            secrets=found.secrets,
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """One option that differs between two revisions; of a secret only that it differs."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name}: {self.before or '(empty)'} → {self.after or '(empty)'}"


@dataclass(frozen=True, slots=True)
class Setting:
    """One option of a revision; its source is empty where nobody set it."""

    name: str
    value: str
    source: str


def settings_of(revision: ConfigRevision) -> list[Setting]:
    """Returns the options that were set, and then the defaults, both in the options' order."""
    found = [
        Setting(_NAMES.get(path, path), _shown(revision, path), revision.sources.get(path, ""))
        for path in _paths(revision)
        if path in revision.values or path in revision.secrets
    ]
    return sorted(found, key=lambda setting: not setting.source)


def differences(before: ConfigRevision, after: ConfigRevision) -> list[Difference]:
    """Returns the differences in the options' order; options unknown to this release come last."""
    return [found for path in _paths(before, after) for found in _difference(path, before, after)]


def _paths(*revisions: ConfigRevision) -> list[str]:
    """Returns the paths of all options, this release's first."""
    others = {path for revision in revisions for path in revision.values} - set(_NAMES)
    return [*_NAMES, *sorted(others)]


def _difference(path: str, before: ConfigRevision, after: ConfigRevision) -> Iterator[Difference]:
    old, new = _shown(before, path), _shown(after, path)
    if old != new:
        yield Difference(_NAMES.get(path, path), old, new)
    elif before.secrets.get(path) != after.secrets.get(path):
        yield Difference(_NAMES.get(path, path), old, f"{new}, changed")


def _shown(revision: ConfigRevision, path: str) -> str:
    if path in revision.values:
        return str(revision.values[path])
    return SECRET if path in revision.secrets else ""


def running() -> dict[str, list[str]]:
    """Returns the hosts by the short digest of the configuration that they run.

    Only processes that listen for changes count, which are servers and workers. A command that
    somebody runs beside them with other settings is no drift.
    """
    return hosts_by_configuration(replicas())


def hosts_by_configuration(found: Iterable[Replica]) -> dict[str, list[str]]:
    hosts: dict[str, set[str]] = {}
    for replica in found:
        if replica.listens and replica.configuration:
            hosts.setdefault(replica.configuration, set()).add(replica.host)
    return {short: sorted(names) for short, names in sorted(hosts.items())}


def has_drifted(hosts: dict[str, list[str]]) -> bool:
    """Tells whether servers run with different configurations at the same time."""
    return len(hosts) > 1
