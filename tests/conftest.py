"""Fixtures for all tests, above all a client for each role, with a real session token."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from pathlib import Path
from socketserver import StreamRequestHandler
from typing import Any

import pytest
from django.conf import settings as of_django
from django.core import mail
from django.core.mail import EmailMessage
from django.db import connection
from django.test import TransactionTestCase
from django.test.utils import setup_databases, teardown_databases
from django.utils import timezone
from hypothesis import HealthCheck, settings
from pytest_django.plugin import DjangoDbBlocker
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]

from audit.models import PARTITIONS
from beside import alerts, client
from coderapi import urls  # noqa: F401 - it reads settings, which tests change
from csp.counting import rejections
from csp.counting.counts import Counts
from csp.writing import writer
from kernel import memory
from kernel.db import failures, listener
from kernel.db.connections import connect_directly
from kernel.http.steps.rate_limit import private_directory
from kernel.telemetry import logs
from tests.support import starting
from tests.support.api.client import APIClient
from tests.support.api.sending import forget_counts
from tests.support.browsers import template_names
from tests.support.csp.reports import fresh_writer
from tests.support.databases import clusters
from tests.support.databases.tables import END_OTHERS
from tests.support.factories import make_key, make_user
from tests.support.processes import DEADLINE_SECONDS, in_database, migrated, own_database, wait_for
from tests.support.servers.certificates import Authority
from tests.support.stats_rows import NOW
from tokens.verification import batches
from users.passwords import BoundedArgon2

# Deletes rows in any order, because foreign keys are not checked meanwhile. The lock waits for
# transactions of other threads. TRUNCATE takes six times as long for a small table, because it
# makes new files. The rows of the excluded tables never change after the migrations.
EMPTY_WRITTEN_TABLES = """
DO $$
DECLARE
    name regclass;
    size bigint;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR name, size IN
        SELECT oid, pg_relation_size(oid) FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0
        AND relname NOT IN (
            'auth_permission', 'coderapi_schema', 'django_content_type', 'django_migrations',
            'tokens_policyversion'
        )
    LOOP
        IF size > 256 * 1024 THEN
            EXECUTE format('TRUNCATE %s CASCADE', name);
        ELSE
            EXECUTE format('LOCK TABLE %1$s IN SHARE ROW EXCLUSIVE MODE; DELETE FROM %1$s', name);
        END IF;
    END LOOP;
END $$
"""

# A background job of a shell ignores Ctrl-C, and one of nohup ignores SIGHUP. The programs that
# tests start would ignore them, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The modules with tests that copy the migrated database.
COPYING: set[Path] = set()
# These modules take longest. A worker that began one of them last would end long after the others.
LONGEST = {
    *("test_backup", "test_examples", "test_in_a_browser", "test_keep", "test_killed"),
    *("test_other_releases", "test_schemathesis"),
}
# The duration of an example depends on the load of the machine.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("patient"), max_examples=20)
settings.load_profile("patient")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    """Marks the tests as slow whose code leads to a program. Others carry the mark themselves.

    Those that take longest run first and quick ones last, so that all workers end at the same time.
    """
    for item in items:
        if starting.leads_to_programs(item):
            item.add_marker(pytest.mark.slow)
        if starting.copies_a_database(item):
            COPYING.add(item.path)
    yield
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Lets a test fail that starts a program without being marked as slow."""
    with starting.no_programs() if item.get_closest_marker("slow") is None else nullcontext():
        return (yield)


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None,
    django_db_modify_db_settings: None,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[None]:
    """Makes the test database and the one that `own_database` copies, and drops both at the end.

    pytest-django's own fixture makes none if all tests of a run start programs. The test database
    has partitions of the audit trail. Without them each test makes one again, for its first entry.
    """
    usual = connection.settings_dict
    name = usual["TEST"]["NAME"] or f"test_{usual['NAME']}"
    # Connections outside Django's pool use the test database, too.
    of_django.DATABASE_URL = in_database(os.environ["DATABASE_URL"], name)
    of_django.DIRECT_DATABASE_URL = of_django.DATABASE_URL
    with django_db_blocker.unblock():
        # A test without a database may have made a pool. Its connections use another database.
        close_connections()
        made = setup_databases(verbosity=0, interactive=False, serialized_aliases=set())
        close_connections()
    with own_database(like=connection.settings_dict["NAME"], name=migrated()):
        with django_db_blocker.unblock():
            for moment in (timezone.now(), NOW):
                PARTITIONS.ensure(moment, moment)
        yield
    writer.stop()
    listener.stop()
    shutil.rmtree(private_directory())
    close_connections()
    # A session may still run a statement of a process that a test has killed.
    with connect_directly() as own:
        own.execute(END_OTHERS)
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


def close_connections() -> None:
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's wrapper has it


def discard_counts() -> None:
    """Discards what reports have counted in memory and is not written yet."""
    rejections.COUNTS.discard()


def empty_written_tables(case: TransactionTestCase) -> None:
    """Empties the tables with rows. Django's flush empties all, and takes far longer."""
    # A thread may write them while the tables are emptied, and the next test would find the rows.
    discard_counts()
    with connection.cursor() as cursor:
        cursor.execute(EMPTY_WRITTEN_TABLES)


@pytest.fixture(scope="module", autouse=True)
def _database_to_copy(request: pytest.FixtureRequest) -> None:
    """Makes the database that `own_database` copies, for modules whose tests copy it."""
    if request.path in COPYING:
        request.getfixturevalue("django_db_setup")


@pytest.fixture(scope="session", autouse=True)
def _cheap_set_up() -> Iterator[None]:
    """Makes hashing, files, responses and the end of a test cheap. Started servers do not."""
    with pytest.MonkeyPatch.context() as patch:
        # The servers of the standard library send a response in parts. Without this, each part
        # waits 40 ms until the client acknowledges the last one.
        patch.setattr(StreamRequestHandler, "disable_nagle_algorithm", True)
        # On a busy machine, looking a key up took too long, and the answer was 503.
        patch.setattr(batches, "LOOK_UP_SECONDS", DEADLINE_SECONDS)
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty_written_tables)
        # Tests wait for counts that are written after this pause.
        patch.setattr(Counts, "pause_seconds", 0.05)
        for name, cost in (("time_cost", 1), ("memory_cost", 8)):
            patch.setattr(BoundedArgon2, name, cost)
        # Each test client loads the middlewares again, and finding the files takes 30 ms.
        files = WhiteNoiseMiddleware().files
        patch.setattr(
            WhiteNoiseMiddleware, "add_files_from_finders", lambda self: self.files.update(files)
        )
        yield


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """Clears documents, keys, failures and counts of earlier tests, and watches templates again."""
    template_names.watch()
    memory.clear_all()
    failures.forget()
    logs.REPEATS.forget()
    client.forget_failures()
    alerts.BREAKER.record("")
    yield
    discard_counts()
    forget_counts()


@pytest.fixture
def same_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops the clock of the rate limits, so that no minute ends during the test."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    with clusters.directory_for_postgres() as directory:
        yield directory


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def migrated_cluster() -> Iterator[Path]:
    with clusters.migrated_cluster() as directory:
        yield directory


@pytest.fixture
def collecting(transactional_db: None) -> Iterator[None]:
    """Collects reports, and stops the writer before the rows of the test are deleted."""
    with fresh_writer():
        yield


@pytest.fixture
def outbox(settings: Any) -> list[EmailMessage]:
    """Returns the mails that the test sends, which are kept in memory."""
    settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
    settings.DEFAULT_FROM_EMAIL = "coder@example.com"
    mail.outbox = []
    return mail.outbox


@pytest.fixture
def connected(transactional_db: None) -> Iterator[None]:
    """Runs the listener of a process that serves requests. Late heartbeats evict nothing."""
    listener.start(deaf_after=DEADLINE_SECONDS)
    wait_for(listener.is_connected)
    yield
    listener.stop()


@pytest.fixture
def anonymous() -> APIClient:
    return APIClient()


def _role(*roles: str) -> Callable[[None], APIClient]:
    """Makes a fixture: the client of a user with these roles."""

    @pytest.fixture
    def client(db: None) -> APIClient:
        user = make_user(*roles)
        return APIClient(user=user, token=make_key(user).token)

    return client


owner = _role("owner")
auditor = _role("auditor")
user_admin = _role("user-admin")
member = _role()
