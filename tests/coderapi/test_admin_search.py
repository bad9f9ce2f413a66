"""Searches of the admin: their limits, and the message for each limit."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.test import Client

from kernel import admin
from kernel.db.connections import connect_directly
from tests.coderapi.test_admin import signed_in
from tests.support.factories import make_user

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
def test_one_search_a_person_runs_at_a_time(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin.SEARCHES, "timeout", 0.0)
    user = browser.session["_auth_user_id"]
    with admin.SEARCHES.hold(uuid.UUID(user)):
        assert "Your previous search is still running." in page(browser, q="zoe")
        assert "Your previous search" not in page(browser)
    assert "Your previous search" not in page(browser, q="zoe")


@pytest.mark.django_db
def test_a_search_in_another_process_counts_too(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin.SEARCHES, "timeout", 0.0)
    person = uuid.UUID(browser.session["_auth_user_id"])
    # Another process holds the lock on the same file, through its own file descriptor.
    with admin._turn_of(person):
        assert "Your previous search is still running." in page(browser, q="zoe")
    assert "Your previous search" not in page(browser, q="zoe")


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
