"""The history of the configuration: its revisions, and the servers that run each revision."""

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
from kernel.db.replicas import Replica
from options.catalogue import CATALOGUE
from options.redaction import SECRET, ConfigSnapshot

logger = logging.getLogger(__name__)

_NAMES = {option.json_path: option.name for option in CATALOGUE if not option.use_instead}


def warn_of_options() -> None:
    """Logs the warnings about options. Call it once at startup, not in every process."""
    for warning in settings.OPTIONS.warnings:
        logger.warning("%s", warning)


def record(
    options: ConfigSnapshot, *, now: datetime, version: str = "", coder_url: str = ""
) -> ConfigRevision | None:
    """Records the options of this service, or of a Coder deployment, as a new revision.

    Returns None if the newest revision of the same server has the same options.
    """
    with transaction.atomic(), transaction_lock("config-history"):
        newest = ConfigRevision.objects.filter(coder_url=coder_url).first()
        if newest is not None and newest.digest == options.digest:
            return None
        return ConfigRevision.objects.create(
            digest=options.digest,
            host=socket.gethostname()[:255],
            server_version=version or settings.VERSION,
            coder_url=coder_url,
            recorded_at=now,
            values=options.values,
            sources=options.sources,
            secret_digests=options.secrets,
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """An option that differs between two revisions. Values of secrets are redacted."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name}: {self.before or '(empty)'} → {self.after or '(empty)'}"


def settings_of(revision: ConfigRevision) -> list[tuple[str, str, str]]:
    """Returns the name, value and source of each option.

    Options that have their default value come last.
    """
    options = [
        (_NAMES.get(path, path), _value(revision, path), revision.sources.get(path, ""))
        for path in _paths(revision)
        if path in revision.values or path in revision.secret_digests
    ]
    return sorted(options, key=lambda option: not option[2])


def differences(before: ConfigRevision, after: ConfigRevision) -> list[Difference]:
    """Returns the differences, ordered as in the catalogue. Unknown options come last.

    Ignores an option that only one of the two releases has, if it has its default value.
    """
    return [each for path in _paths(before, after) for each in _difference(path, before, after)]


def _paths(*revisions: ConfigRevision) -> list[str]:
    """Returns the JSON paths of all options. Options that this release does not know come last."""
    stored = {path for each in revisions for path in (*each.values, *each.secret_digests)}
    others = stored - set(_NAMES)
    return [*_NAMES, *sorted(others)]


def _difference(path: str, before: ConfigRevision, after: ConfigRevision) -> Iterator[Difference]:
    old, new = _value(before, path), _value(after, path)
    known = [each for each in (before, after) if path in each.values or path in each.secret_digests]
    if len(known) == 1 and not known[0].sources.get(path):
        return
    if old != new:
        yield Difference(_NAMES.get(path, path), old, new)
    elif before.secret_digests.get(path) != after.secret_digests.get(path):
        yield Difference(_NAMES.get(path, path), old, f"{new}, changed")


def _value(revision: ConfigRevision, path: str) -> str:
    if path in revision.values:
        return str(revision.values[path])
    return SECRET if path in revision.secret_digests else ""


def hosts_by_configuration(running: Iterable[Replica]) -> dict[str, list[str]]:
    """Returns the hosts that run each configuration. The keys are short digests of configurations.

    Includes only servers and workers. Commands are ignored, because an operator may run a command
    with other settings on purpose.
    """
    hosts: dict[str, set[str]] = {}
    for replica in running:
        if replica.listens and replica.configuration:
            hosts.setdefault(replica.configuration, set()).add(replica.host)
    return {short: sorted(names) for short, names in sorted(hosts.items())}


def has_drifted(hosts: dict[str, list[str]]) -> bool:
    """Returns whether servers run different configurations at the same time."""
    return len(hosts) > 1
