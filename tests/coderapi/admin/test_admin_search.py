"""Searches of the admin: their limits, and the message for each limit."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.test import Client
from django.urls import reverse

from kernel import admin
from kernel.db.connections import connect_directly, lock_number
from tests.support.api.client import signed_in
from tests.support.concurrency import WAITING
from tests.support.databases.tables import query
from tests.support.factories import make_user
from tests.support.processes import wait_for
from tests.support.servers.live import Server, obeying

USERS = "/admin/users/user/"


@pytest.fixture
def browser() -> Client:
    return signed_in(make_user("owner", username="zoe"))


def page(browser: Client, **query: str) -> str:
    """Returns the page of the search, or the page to which the search redirects."""
    answer = browser.get(USERS, query, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("search", "message"),
    [
        (" ".join(map(str, range(21))), "A search can have at most 20 words."),
        ("x" * 201, "A search can have at most 200 characters."),
        ("zoe " * 50, ""),
        ("zoe", ""),
    ],
)
def test_long_searches_are_refused_and_repeated_words_count_once(
    browser: Client, search: str, message: str
) -> None:
    text = page(browser, q=search, status__exact="active")
    assert message in text
    assert ("A search can have at most" in text) == bool(message)
    assert "zoe" in text


@pytest.mark.django_db
def test_the_list_after_a_refusal_keeps_its_filters(browser: Client) -> None:
    answer = browser.get(USERS, {"q": "x" * 201, "status__exact": "suspended"})
    assert answer.headers["Location"] == f"{USERS}?status__exact=suspended"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("page", "query", "status"),
    [
        ("tokens_apikey", "hashed_secret__gte=a", 400),
        ("alerts_channel", "address__gte=https", 400),
        ("alerts_channel", "secret__gte=whsec", 400),
        ("alerts_channel", "secret=whsec_", 400),
        ("users_user", "password__gte=argon2", 400),
        *(
            ("csp_report", f"sample__{lookup}=a", 400)
            for lookup in ("regex", "iregex", "contains", "icontains", "startswith", "search")
        ),
        ("users_user", "username__regex=(a*)*b", 400),
        ("csp_group", "noise=all&noise_rule__id__exact=1", 200),
        ("tokens_apikey", "expires_at__gte=2026-01-01T00:00Z&login_type__exact=token", 200),
    ],
)
def test_filters_help_neither_to_search_nor_to_guess_secrets(
    page: str, query: str, status: int
) -> None:
    auditor = signed_in(make_user("auditor"))
    assert auditor.get(f"{reverse(f'admin:{page}_changelist')}?{query}").status_code == status


@contextmanager
def held_here(user: str) -> Iterator[None]:
    with admin.SEARCHES.hold(uuid.UUID(user)):
        yield


@contextmanager
def held_by_another_host(user: str) -> Iterator[None]:
    with connect_directly() as host:
        host.execute("SELECT pg_advisory_lock(%s)", [lock_number(f"search:{user}")])
        yield


@pytest.mark.django_db
@pytest.mark.parametrize("held", [held_here, held_by_another_host])
def test_one_search_a_person_runs_at_a_time(
    browser: Client, monkeypatch: pytest.MonkeyPatch, held: Any
) -> None:
    monkeypatch.setattr(admin.SEARCHES, "timeout", 0.0)
    with held(browser.session["_auth_user_id"]):
        assert "Your previous search is still running." in page(browser, q="zoe")
        assert "Your previous search" not in page(browser)
    wait_for(lambda: "Your previous search" not in page(browser, q="zoe"))


def test_a_person_has_one_search_at_a_time_on_two_servers(tmp_path: Path) -> None:
    key = {"CODERAPI_SECRET_KEY": "only-for-tests-" + "0123456789" * 4}
    with (
        obeying("--web-only", **key) as first,
        Server("--web-only", log=tmp_path / "log", DATABASE_URL=first.database, **key) as second,
        psycopg.connect(first.database) as locker,
    ):
        cookie, path = first.admin_cookies(), "/admin/csp/noiserule/"
        locker.execute("LOCK TABLE csp_noiserule")
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(first.ask, f"{path}?q=zoe", Cookie=cookie)
            wait_for(lambda: query(first.database, WAITING) != [(0,)])
            assert second.ask(f"{path}?q=zoe", Cookie=cookie).status == 302
            assert "Your previous search is still running." in message(second, cookie)
            assert running.result().status == 302
        assert "seconds and was stopped." in message(first, cookie)


def message(server: Server, cookie: str) -> str:
    """Returns a page with the messages that other pages have left."""
    return server.ask("/account", Cookie=cookie).body.decode()


@pytest.mark.django_db(transaction=True)
def test_search_that_takes_too_long_is_stopped_without_a_traceback(
    browser: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(admin, "SEARCH_SECONDS", 0.2)
    search: Any = {"q": "zoe"}
    with connect_directly() as other, other.transaction():
        other.execute("LOCK TABLE csp_noiserule")
        answer = browser.get("/admin/csp/noiserule/", search)
    assert answer.status_code == 302
    shown = browser.get(answer.headers["Location"]).content.decode()
    assert "seconds and was stopped. Use a filter, or longer words." in shown
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.django_db
def test_autocomplete_is_bounded_as_searches_are(browser: Client) -> None:
    query = {"app_label": "tokens", "model_name": "tokenconfig", "field_name": "user"}
    path = "/admin/autocomplete/"
    found = browser.get(path, {**query, "term": "zoe"}).json()["results"]
    assert [each["text"] for each in found]
    assert browser.get(path, {**query, "term": "z" * 201}).json()["results"] == []
