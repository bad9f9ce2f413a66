"""Upgrades a cluster to a newer major version of PostgreSQL with a dump and a restore."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from kernel.postgres import binaries as programs
from kernel.postgres import cluster as life
from kernel.postgres.account import PostgresError
from kernel.postgres.binaries import Binaries
from kernel.postgres.place import (
    DATABASE,
    Cluster,
    Place,
    url,
    variables_of,
)
from kernel.postgres.sharing import alone, clear_away, fitting, inhabited


def upgrade(data_dir: Path, *, now: datetime) -> Path | None:
    """Upgrades the data to the newest installed version. Returns the directory of the old data.

    Returns None if the data already has the newest version.

    Raises: PostgresError if the cluster is in use, or if the programs of either version are
    missing.
    """
    place = inhabited(data_dir)
    with alone(place) as lock:
        clear_away(place)
        old = fitting(place)
        new = _newest(place)
        if new.major <= old.major:
            return None
        _build(place, old=old, new=new, lock=lock)
        return _swap(place, major=old.major, now=now)


def _newest(place: Place) -> Binaries:
    newest = max(programs.found(), key=lambda binaries: binaries.version)
    return programs.within_reach(newest, account=place.account, data_dir=place.data_dir)


def _build(place: Place, *, old: Binaries, new: Binaries, lock: int) -> None:
    draft = place.draft()
    dump = draft.home / "dump"
    try:
        _while_running(place, place.cluster, old, "pg_dump", "--format=custom", f"--file={dump}")
        life.create(place, draft, binaries=new, durable=True, lock=lock)
        _while_running(
            place, draft, new, "pg_restore", "--exit-on-error", f"--dbname={DATABASE}", str(dump)
        )
        dump.unlink()
        draft.home.rename(place.upgraded.home)
    except BaseException:
        shutil.rmtree(draft.home, ignore_errors=True)
        raise


def _while_running(
    place: Place, cluster: Cluster, binaries: Binaries, program: str, *options: str
) -> None:
    server = life.start(place, cluster, binaries=binaries)
    try:
        result = place.account.run(
            [binaries.program(program), *options],
            environment=variables_of(url(cluster, server.sockets)),
        )
    finally:
        life.stop(place, cluster, binaries=binaries)
    if result.returncode != 0:
        raise PostgresError(f"Nothing is changed: {program} failed.\n{result.stderr.strip()}")


def _swap(place: Place, *, major: int, now: datetime) -> Path:
    aside = place.data_dir / f"postgres-{major}-{now:%Y%m%dT%H%M%SZ}"
    place.cluster.home.rename(aside)
    # If the process is killed here, the next start renames the new cluster.
    clear_away(place)
    return aside
