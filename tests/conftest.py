"""Roles as clients: each fixture is somebody who sends requests with a real session token."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, settings
from pytest_django.plugin import DjangoDbBlocker
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]

from audit.models import PARTITIONS
from csp.writing import writer
from kernel import memory
from kernel.db import listener
from kernel.db.connections import connect_directly
from kernel.http.rate_limit import private_directory, shared_counter
from tests.support.client import APIClient
from tests.support.factories import make_key, make_user
from users.passwords import BoundedArgon2

# Of a process that a test has killed, the session may still be at work.
END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


# A module that imports one of these starts programs, and all its tests are slow.
STARTERS = {"subprocess", "Program", "Server", "browsing", "manage", "obeying", "rehearsed"}
# How long an example takes depends on what else the machine does.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("patient"), max_examples=20)
settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as slow what starts programs; other slow tests carry the mark themselves."""
    for item in items:
        module = item.getparent(pytest.Module)
        starts = module is not None and not STARTERS.isdisjoint(vars(module.obj))
        if starts or "live_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Makes the test database, with today's partition of the audit trail, and drops it at the end.

    Without that partition each test makes it again, for its first entry.
    """
    with django_db_blocker.unblock():
        PARTITIONS.ensure(timezone.now(), timezone.now())
    yield
    writer.stop()
    listener.stop()
    shutil.rmtree(private_directory())
    connection.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's wrapper has it
    with connect_directly() as own:
        own.execute(END_OTHERS)


@pytest.fixture(scope="session", autouse=True)
def _cheap_hashes() -> Iterator[None]:
    """Passwords are hashed at the least cost; `test_hashing` and started servers pay the real."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BoundedArgon2, "time_cost", 1)
        patch.setattr(BoundedArgon2, "memory_cost", 8)
        # Each test client loads the middlewares again, and finding the files takes 30 ms.
        files = WhiteNoiseMiddleware().files
        patch.setattr(
            WhiteNoiseMiddleware, "add_files_from_finders", lambda self: self.files.update(files)
        )
        yield


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """No test sees the documents, keys or request counts of the one before it."""
    memory.clear_all()
    yield
    shared_counter().clear()


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that PostgreSQL's own account may enter, too; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="coderapi-tests-") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory)


@pytest.fixture
def anonymous() -> APIClient:
    return APIClient()


def _signed_in(*roles: str) -> APIClient:
    user = make_user(*roles)
    return APIClient(user=user, token=make_key(user).token)


@pytest.fixture
def owner(db: None) -> APIClient:
    return _signed_in("owner")


@pytest.fixture
def auditor(db: None) -> APIClient:
    return _signed_in("auditor")


@pytest.fixture
def user_admin(db: None) -> APIClient:
    return _signed_in("user-admin")


@pytest.fixture
def template_admin(db: None) -> APIClient:
    return _signed_in("template-admin")


@pytest.fixture
def member(db: None) -> APIClient:
    return _signed_in()
