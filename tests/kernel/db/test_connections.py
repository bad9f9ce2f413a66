"""Connections to PostgreSQL: their parameters, and the pool that gives them to threads."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone

from beside.identity import CoderIdentity
from coderapi.readiness import readiness
from kernel.db.backend.base import connections
from kernel.db.connections import (
    LIVENESS,
    connect_as_requests_do,
    connect_directly,
    databases,
    fetch,
    leave_pool,
)
from kernel.telemetry.metrics import read_database_gauges
from tests.support.coder.stand_in import Key, Person, StandInCoder
from tests.support.concurrency import at_once
from tests.support.factories import PASSWORD, make_key, make_user
from tests.support.processes import wait_for
from tests.support.servers.live import own_server
from tokens.verification import providers
from users.models import User


def of_django(*, leaves: bool = False) -> psycopg.Connection[Any]:
    if leaves:
        leave_pool()
    connection.ensure_connection()
    return connection.connection  # type: ignore[no-any-return]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "opened",
    [of_django, partial(of_django, leaves=True), connect_directly, connect_as_requests_do],
)
def test_each_end_of_a_connection_notices_that_the_other_is_dead(
    opened: Callable[[], psycopg.Connection[Any]],
) -> None:
    def parameters() -> tuple[dict[str, str], Any]:
        try:
            with opened() as found:
                row = found.execute("SHOW idle_in_transaction_session_timeout").fetchone()
                return found.info.get_parameters(), row
        finally:
            connection.close()

    # Runs in another thread, so that this thread keeps its own Django connection.
    with ThreadPoolExecutor(1) as thread:
        found, row = thread.submit(parameters).result()
    assert {name: str(value) for name, value in LIVENESS.items()}.items() <= found.items()
    assert found["application_name"].startswith("coderapi@")
    assert row == ("1min",)


def test_parameters_of_the_url_win() -> None:
    url = "postgresql://me:word@h1,h2/d?connect_timeout=7&target_session_attrs=read-write"
    made = databases(url, pool_size=9, idle="auto", workers=2)["default"]
    assert (made["HOST"], made["USER"], made["NAME"]) == ("h1,h2", "me", "d")
    options = made["OPTIONS"]
    assert (options["connect_timeout"], options["keepalives_count"]) == ("7", 2)
    assert options["target_session_attrs"] == "read-write"
    assert (options["pool"]["min_size"], options["pool"]["max_size"]) == (1, 4)


def test_error_of_a_malformed_url_hides_the_password() -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        databases("postgresql://me:hunter2@h:port:port/d?no", pool_size=9, idle="1", workers=1)
    assert "hunter2" not in str(refused.value)


pytestmark = pytest.mark.django_db(transaction=True)

API = "/api/v2"
REPORT = {"csp-report": {"effective-directive": "img-src", "blocked-uri": "https://a.example/"}}
SSH = f"{API}/deployment/ssh"


def ask(path: str, token: str = "", body: Any = None) -> int:
    """Sends a request. The test client of Django does not close connections after it."""
    client = Client(raise_request_exception=False)
    headers = {"Coder-Session-Token": token} if token else {}
    if body is None:
        return client.get(path, headers=headers).status_code
    sent = client.post(path, body, content_type="application/json", headers=headers)
    return sent.status_code


def held_after(action: Callable[[], object]) -> int:
    """Returns the number of pooled connections in use while a thread of the server waits."""

    def run() -> int:
        action()
        assert connection.connection is None
        return connections()._all.taken

    # A thread of its own, as in the server.
    return at_once([run])[0]


@pytest.fixture
def coder(settings: Any) -> Iterator[StandInCoder]:
    with StandInCoder() as stand_in:
        settings.CODER_URL = stand_in.url
        providers.register(CoderIdentity())
        yield stand_in
        providers.register(None)


def token_of(*roles: str) -> str:
    return str(make_key(make_user(*roles)).token)


def wrong_token() -> str:
    return f"{uuid.uuid4().hex[:10]}-{'b' * 22}"


def sign_in(password: str) -> int:
    body = {"email": make_user().email, "password": password}
    return ask(f"{API}/users/login", body=body)


def crash(action: Callable[[], object]) -> None:
    """Runs an action that fails in a transaction, or after its commit."""
    with suppress(ZeroDivisionError), transaction.atomic():
        User.objects.count()
        action()


def failing_statement() -> None:
    with suppress(DatabaseError):
        User.objects.extra(where=["no_such_column"]).count()


def rows_read_halfway() -> None:
    make_user()
    rows = User.objects.iterator(chunk_size=1)
    next(rows)
    # While a cursor on the server is open, its connection is used.
    assert connection.connection is not None
    list(rows)


KINDS: dict[str, Callable[[], object]] = {
    "health": lambda: ask("/healthz"),
    "readiness": lambda: (ask("/readyz"), readiness()),
    "public document": lambda: ask(f"{API}/buildinfo"),
    "document": lambda: ask(SSH, token_of()),
    "user": lambda: ask(f"{API}/users/me", token_of()),
    "list": lambda: ask(f"{API}/users", token_of("owner")),
    "page of the admin": lambda: ask("/admin/users/user/", token_of("owner")),
    "no token": lambda: ask(SSH),
    "rejected token": lambda: ask(SSH, wrong_token()),
    "report": lambda: ask(f"{API}/csp/reports", token_of(), REPORT),
    "invalid report": lambda: ask(f"{API}/csp/reports", token_of(), [1]),
    "report with a rejected token": lambda: ask(f"{API}/csp/reports", wrong_token(), REPORT),
    "new token": lambda: ask(f"{API}/users/me/keys/tokens", token_of(), {}),
    "sign-in": lambda: sign_in(PASSWORD),
    "wrong password": lambda: sign_in("wrong"),
    "not found": lambda: ask(f"{API}/users/nobody", token_of("owner")),
    "metrics": lambda: read_database_gauges(timezone.now()),
    "statement planned once": lambda: fetch("SELECT 1", []),
    "error in a transaction": lambda: crash(lambda: 1 // 0),
    "failing statement": failing_statement,
    "failing hook after a commit": lambda: crash(
        lambda: transaction.on_commit(lambda: 1 // User.objects.filter(username="-").count())
    ),
    "rows read one by one": rows_read_halfway,
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_connection_is_held_after(kind: str) -> None:
    assert held_after(KINDS[kind]) == 0


@pytest.mark.parametrize("fault", ["", "hang", "html"])
@pytest.mark.slow
def test_no_connection_is_held_after_a_new_person_of_coder(coder: StandInCoder, fault: str) -> None:
    token = coder.add(Key(Person("ada"))).token
    coder.fault = fault
    assert held_after(lambda: ask(SSH, token)) == 0
    assert User.objects.filter(username="ada").exists() == (not fault)


def test_connection_stays_during_a_transaction() -> None:
    def run() -> None:
        with transaction.atomic():
            first = User.objects.count()
            assert connections()._all.taken == 1
            assert first == 0

    assert held_after(run) == 0


def test_new_people_at_once_leave_connections_for_others(tmp_path: Path) -> None:
    with StandInCoder() as coder:
        tokens = [coder.add(Key(Person(f"new-{number}"))).token for number in range(24)]
        owner = coder.add(Key(Person("owner", ("owner",)))).token
        names = {"CODERAPI_USER_SOURCE": "coder", "CODERAPI_CODER_URL": coder.url}
        names |= {"CODER_PG_CONN_MAX_OPEN": "4"}
        with own_server("--web-only", log=tmp_path / "log", **names) as server:
            asked = [lambda token=token: server.ask(SSH, token=token).status for token in tokens]
            # On a busy machine, some wait too long for a connection at first.
            wait_for(lambda: at_once(asked) == [200] * len(tokens))
            assert server.get("/readyz") == 200
            assert server.ask(f"{API}/users/me/keys/tokens/tokenconfig", token=owner).status == 200
