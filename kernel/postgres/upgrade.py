"""Upgrades a cluster to a newer major version of PostgreSQL with a dump and a restore."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from kernel.postgres import cluster as life
from kernel.postgres.account import PostgresError
from kernel.postgres.binaries import Binaries, newest_programs, within_reach
from kernel.postgres.files import DATABASE, Cluster, url, variables_of
from kernel.postgres.sharing import alone, fitting, inhabited


def upgrade(data_dir: Path, *, now: datetime) -> Path | None:
    """Upgrades the data to the newest installed version. Returns the directory of the old data.

    Returns None if the data already has the newest version.

    Raises: PostgresError if the cluster is in use, or if the programs of either version are
    missing.
    """
    cluster = inhabited(data_dir)
    with alone(cluster) as lock:
        cluster.clear_away()
        old, new = fitting(cluster), newest_programs(data_dir)
        if new.major <= old.major:
            return None
        new = within_reach(new, account=cluster.account, data_dir=cluster.home.parent)
        _build(cluster, old=old, new=new, lock=lock)
        aside = cluster.home.with_name(f"postgres-{old.major}-{now:%Y%m%dT%H%M%SZ}")
        cluster.home.rename(aside)
        # If the process is killed here, the next start renames the new cluster.
        cluster.clear_away()
        return aside


def _build(cluster: Cluster, *, old: Binaries, new: Binaries, lock: int) -> None:
    with cluster.draft() as draft:
        dump = draft.home / "dump"
        _while_running(cluster, old, "pg_dump", "--format=custom", f"--file={dump}")
        life.create(draft, binaries=new, durable=True, lock=lock)
        target = f"--dbname={DATABASE}"
        _while_running(draft, new, "pg_restore", "--exit-on-error", target, str(dump))
        dump.unlink()
        draft.home.rename(cluster.upgraded.home)


def _while_running(cluster: Cluster, binaries: Binaries, program: str, *options: str) -> None:
    server = life.start(cluster, binaries=binaries)
    try:
        result = cluster.account.run(
            [binaries.program(program), *options],
            environment=variables_of(url(cluster, server.sockets)),
        )
    finally:
        life.stop(cluster, binaries=binaries)
    if result.returncode != 0:
        raise PostgresError(f"Nothing is changed: {program} failed.\n{result.stderr.strip()}")
