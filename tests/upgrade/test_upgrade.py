"""The data of earlier releases is restored, upgraded to this one, and served.

This folder has a backup of each release, with rows in every table. Until 0.1.0 is released, run
bin/keep_release after a change of a migration.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from coderapi import postgres
from coderapi.database.migrating import known_migrations
from coderapi.postgres import backup
from coderapi.postgres.binaries import Source
from kernel.db.schema_number import SCHEMA
from tests.support.commands import succeed
from tests.support.databases.clusters import directory_for_postgres, programs_of
from tests.support.databases.tables import empty_tables
from tests.support.processes import PACKAGES, PROJECT
from tests.support.servers.live import Server
from tests.upgrade.test_keep import SITE

KEPT = sorted(Path(__file__).parent.glob("*.backup"))
KEY = "the-key-of-the-upgraded-service-which-is-long-enough-1234567890"
every_release = pytest.mark.parametrize("kept", KEPT, ids=[file.stem for file in KEPT])
every_postgresql = pytest.mark.parametrize("source", ["wheel", "system"])


@contextmanager
def empty_database(source: Source) -> Iterator[str]:
    with directory_for_postgres() as directory:
        handle = postgres.acquire(directory, programs=programs_of(source), durable=False)
        try:
            yield handle.url
        finally:
            handle.release()


@every_postgresql
@every_release
def test_backup_of_a_release_is_restored_upgraded_and_served(
    kept: Path, source: Source, tmp_path: Path
) -> None:
    with empty_database(source) as url:
        environ = {"DATABASE_URL": url, "CODERAPI_SECRET_KEY": KEY}
        succeed("restore", str(kept), "--yes", **environ)
        succeed("migrate", **environ)
        # Changes by the admin are in the audit trail.
        assert set(empty_tables(url)) <= {"django_admin_log"}
        with Server("--web-only", log=tmp_path / "log", **environ) as server:
            walk(server)


def walk(server: Server) -> None:
    """Reads every operation that has a GET, as the owner of the kept release."""
    token = server.sign_in().json["session_token"]
    made = {"token_name": "new", "lifetime": 3_600 * 10**9}
    path = "/api/v2/users/me/keys/tokens"
    assert server.ask(path, token=token, method="POST", body=made).status == 201
    groups = server.ask("/api/coderapi/v1/csp/groups", token=token).json["groups"]
    values = {
        "{user}": "me",
        "{organization}": "default",
        "{name}": "new",
        "{key_id}": token.partition("-")[0],
        "{group}": groups[0]["id"],
        "/csp/gate": f"/csp/gate?site={SITE}&old_version=2.29.0&new_version=2.30.0",
    }
    for path in paths():
        for name, value in values.items():
            path = path.replace(name, value)
        answer = server.ask(path, token=token)
        assert answer.status == 200, (path, answer.body)


def paths() -> list[str]:
    document = yaml.safe_load((PROJECT / "docs/openapi.yml").read_text())
    return [path for path, methods in document["paths"].items() if "get" in methods]


def test_new_migrations_increase_the_number_of_the_schema() -> None:
    with backup.opened(KEPT[-1]) as contents:
        about = contents.about
    own = {f"{app}.{name}" for app, name in known_migrations() if app in PACKAGES}
    assert about.schema < SCHEMA or own <= set(about.migrations)
