"""The admin in a browser: it complies with its policy, and reports violations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from csp.models import Report
from tests.support.admin_pages import addresses, make_rows
from tests.support.browser import Browser, browsing, nameless, needs_browser
from tests.support.csp_reports import fresh_writer
from tests.support.factories import PASSWORD, make_user
from tests.support.processes import wait_for
from users.models import User

pytestmark = [pytest.mark.django_db(transaction=True), needs_browser]

NARROW = 400
OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def owner(transactional_db: None) -> User:
    user = make_user("owner")
    make_rows(user, now=timezone.now())
    Report.objects.update(document_uri="https://before.example.com/")
    return user


@pytest.fixture
def browser(live_server: Any, owner: User, tmp_path: Path) -> Iterator[Browser]:
    """A browser in which the owner has signed in to the admin."""
    with fresh_writer(), browsing(tmp_path / "profile") as window:
        window.open(f"{live_server.url}/admin/")
        window.type_into("#id_name", owner.username)
        window.type_into("#id_password", PASSWORD)
        window.click("#content [type=submit]")
        wait_for(lambda: window.address == f"{live_server.url}/admin/")
        yield window


def violations(browser: Browser) -> list[str]:
    return [text for text in browser.console() if "Content Security Policy" in text]


def test_no_page_violates_the_policy_is_too_wide_or_has_unlabeled_fields(
    browser: Browser, live_server: Any, owner: User
) -> None:
    browser.resize(NARROW, 800)
    for address in addresses(owner):
        browser.open(f"{live_server.url}{address}")
        assert violations(browser) == [], address
        assert browser.run(OVERFLOW) <= 0, address
        wait_for(lambda: nameless(browser) == [])  # A script names the searchable lists.
    assert not Report.objects.exclude(document_uri="https://before.example.com/").exists()


def test_list_of_choices_opens_under_the_policy(browser: Browser, live_server: Any) -> None:
    browser.open(f"{live_server.url}/admin/tokens/tokenconfig/add/")
    browser.click(".select2-selection")
    shown = "return document.querySelectorAll('.select2-results__option--highlighted').length"
    wait_for(lambda: browser.run(shown))
    assert violations(browser) == []


def test_violation_is_reported_with_the_users_session(browser: Browser, live_server: Any) -> None:
    browser.run("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">')")
    assert violations(browser)
    reports = Report.objects.filter(document_uri__startswith=live_server.url)
    report = wait_for(reports.first)
    assert report is not None
    assert (report.blocked_uri, report.effective_directive) == ("inline", "style-src-attr")
