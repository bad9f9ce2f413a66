"""Clients that do not read large answers take no threads from other clients."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from select import select
from socket import socket
from types import SimpleNamespace
from typing import Any

import django.db
import pytest
from django.db import connection, transaction
from django.db.models import Q
from django.urls import reverse

from audit.models import Entry
from kernel.db.backend import base
from kernel.db.paging import in_pages
from kernel.http.views.base import StreamedResponse
from tests.support.csp.reports import in_admin
from tests.support.databases.tables import query
from tests.support.processes import DEADLINE_SECONDS, wait_for
from tests.support.servers.live import Server, server_fixture
from tests.support.servers.serving import unread
from tests.support.token_lists import LONG_LIST, TOKENS, make_tokens
from tokens.models import APIKey
from users.models import User

SIDECAR = "/static/drf_spectacular_sidecar"
BUNDLE = f"{SIDECAR}/swagger-ui-dist/swagger-ui-bundle.js"
# The least that the setting allows.
THREADS = 4


server = server_fixture(
    "--web-only",
    CODERAPI_WEB_THREADS=str(THREADS),
    CODERAPI_FIRST_OWNER_USERNAME="owner",
    CODER_SWAGGER_ENABLE="true",
)


def ask(server: Server, path: str, token: str = "", *, times: int = 1) -> socket:
    """Sends a request `times` times."""
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nCoder-Session-Token: {token}\r\n\r\n"
    return unread(server.port, head.encode() * times)


def all_answered(clients: list[socket]) -> bool:
    return len(select(clients, [], [], 0)[0]) == len(clients)


def test_unread_static_files_take_no_thread(server: Server) -> None:
    with ExitStack() as attack:
        # The operating system buffers some megabytes for a client that does not read.
        asked = (ask(server, BUNDLE, times=6) for _ in range(12 * THREADS))
        clients = [attack.enter_context(closing(client)) for client in asked]
        wait_for(lambda: all_answered(clients))
        assert {server.ask("/api/v2/buildinfo").status for _ in range(20)} == {200}


def test_static_file_is_whole(server: Server) -> None:
    answer = server.ask(BUNDLE)
    assert answer.status == 200
    assert len(answer.body) == int(answer.headers["Content-Length"]) > 1_000_000
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert server.ask(BUNDLE, Range="bytes=2-5").body == answer.body[2:6]
    again = server.ask(BUNDLE, If_None_Match=answer.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    head = server.ask(BUNDLE, method="HEAD")
    assert head.headers["Content-Length"] == answer.headers["Content-Length"]


def test_files_that_no_page_asks_for_are_not_served(server: Server) -> None:
    redoc = f"{SIDECAR}/redoc/bundles/redoc.standalone.js.map"
    for path in (redoc, f"{BUNDLE}.map", "/static/rest_framework/css/bootstrap.min.css"):
        assert server.ask(path).status == 404


def test_unread_lists_take_no_thread_and_a_caller_has_few(server: Server) -> None:
    query(server.database, LONG_LIST)
    token = server.owner_token
    with ExitStack() as attack:
        clients = []
        # Sequentially, so that no request waits for a database connection.
        for _ in range(8 * THREADS):
            clients.append(attack.enter_context(closing(ask(server, TOKENS, token))))
            wait_for(lambda: all_answered(clients[-1:]))
        assert {server.ask("/api/v2/buildinfo").status for _ in range(20)} == {200}
        refused = server.ask(TOKENS, token=token)
        beginnings = Counter(client.recv(64).split()[1] for client in clients)
    assert beginnings == {b"200": 2, b"429": 8 * THREADS - 2}
    assert (refused.status, refused.headers["Retry-After"]) == (429, "5")
    assert refused.json["message"] == "Too many requests."
    wait_for(lambda: server.ask(TOKENS, token=token).status == 200)
    assert len(server.ask(TOKENS, token=token).json) >= 60_000


@pytest.mark.django_db(transaction=True)
def test_exports_of_the_admin_are_bounded_too() -> None:
    pages = in_admin("owner")

    def export() -> Any:
        chosen = {"action": "export", "_selected_action": [str(Entry.objects.earliest("id").pk)]}
        return pages.post(reverse("admin:audit_entry_changelist"), chosen)

    unread = [export(), export()]
    assert [answer.status_code for answer in unread] == [200, 200]
    assert export().status_code == 429
    for answer in unread:
        answer.close()
    assert json.loads(export().getvalue())["action"]


@pytest.mark.django_db(transaction=True)
def test_list_goes_on_when_all_connections_were_busy_for_a_while(
    member: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "BUSY_SECONDS", 0.01)
    make_tokens(member.user, 2_500)
    rows = APIKey.objects.filter(user=User.objects.get(pk=member.user.pk)).order_by("id")
    pages = in_pages(rows, after=lambda row: Q(id__gt=row.id))
    begun = list(next(pages))
    connection.close()
    busy = [threading.Event() for _ in range(connection.pool.max_size)]  # type: ignore[attr-defined]
    free = threading.Event()

    def work(holds: threading.Event) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            holds.set()
            free.wait(DEADLINE_SECONDS)
        connection.close()

    workers = [threading.Thread(target=work, args=(holds,)) for holds in busy]
    for worker in workers:
        worker.start()
    assert all(holds.wait(DEADLINE_SECONDS) for holds in busy)
    # In this test, a request waits for a connection for a shorter time than this.
    threading.Timer(0.2, free.set).start()
    rest = [row for page in pages for row in page]
    assert free.is_set()
    assert len(begun) + len(rest) == rows.count()
    for worker in workers:
        worker.join()


def test_list_that_breaks_off_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"[1"
        raise django.db.OperationalError("gone")

    results = SimpleNamespace(request_id="the-id")
    request = SimpleNamespace(user=SimpleNamespace(pk=1), results=results)
    answer = StreamedResponse(request, pieces())
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.getvalue())
    # Threads of earlier tests may log, too.
    [record] = [record for record in caplog.records if "the-id" in record.getMessage()]
    assert record.getMessage() == "The response to request the-id is incomplete: OperationalError"
    assert record.exc_info is None
