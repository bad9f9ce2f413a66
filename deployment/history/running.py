"""Which configuration the processes run that serve this database now."""

from __future__ import annotations

from collections.abc import Iterable

from kernel.db.replicas import Replica, replicas


def running() -> dict[str, list[str]]:
    """The hosts by the short digest of what they run.

    Only processes that listen for changes count, so servers: a command that somebody runs beside
    them with other settings is no drift.
    """
    return hosts_by_configuration(replicas())


def hosts_by_configuration(found: Iterable[Replica]) -> dict[str, list[str]]:
    hosts: dict[str, set[str]] = {}
    for replica in found:
        if replica.listens and replica.configuration:
            hosts.setdefault(replica.configuration, set()).add(replica.host)
    return {short: sorted(names) for short, names in sorted(hosts.items())}


def has_drifted(hosts: dict[str, list[str]]) -> bool:
    """Whether servers run with different configurations at the same time."""
    return len(hosts) > 1
