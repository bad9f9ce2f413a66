"""The admin in a browser: a list of choices opens, and violations of the policy are reported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.models import Report
from tests.support.browsers.browser import Browser, browsing, needs_browser
from tests.support.csp.reports import fresh_writer
from tests.support.factories import PASSWORD, make_user
from tests.support.processes import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), needs_browser]


@pytest.fixture
def browser(live_server: Any, tmp_path: Path) -> Iterator[Browser]:
    """A browser in which an owner has signed in to the admin."""
    owner = make_user("owner")
    with fresh_writer(), browsing(tmp_path / "profile") as window:
        window.open(f"{live_server.url}/admin/")
        window.sign_in(owner.username, PASSWORD, next_page=f"{live_server.url}/admin/")
        yield window


def test_list_of_choices_opens_under_the_policy(browser: Browser, live_server: Any) -> None:
    browser.open(f"{live_server.url}/admin/tokens/tokenconfig/add/")
    browser.click(".select2-selection")
    shown = "return document.querySelectorAll('.select2-results__option--highlighted').length"
    wait_for(lambda: browser.run(shown))
    assert browser.violations() == []


def test_violation_is_reported_with_the_users_session(browser: Browser, live_server: Any) -> None:
    browser.run("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">')")
    assert browser.violations()
    reports = Report.objects.filter(document_uri__startswith=live_server.url)
    report = wait_for(reports.first)
    assert report is not None
    assert (report.blocked_uri, report.effective_directive) == ("inline", "style-src-attr")
