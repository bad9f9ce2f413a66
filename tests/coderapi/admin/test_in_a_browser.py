"""The pages and Swagger UI in a browser: accessible, not too wide, and true to their policy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from csp.models import Report
from tests.support.browsers.admin_pages import addresses, make_rows
from tests.support.browsers.browser import (
    OVERFLOW,
    Browser,
    browsing,
    inaccessible,
    nameless,
    needs_browser,
)
from tests.support.csp.reports import fresh_writer
from tests.support.factories import PASSWORD, make_key, make_user
from tests.support.processes import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), needs_browser]

BEFORE = ("/templates", "/login?next=/account", "/login")
PERSONAL = (
    "/account",
    "/account/tokens/{token}/rename",
    "/account/tokens/{token}/revoke",
    "/cli-auth",
    "/logout",
)


# The color scheme and the width of the window.
LOOKS = (("light", 1280), ("dark", 400))


def mistakes(browser: Browser, address: str) -> list[str]:
    browser.open(address)
    for look in LOOKS:
        show(browser, *look)
        wait_for(lambda: nameless(browser) == [])  # A script names the searchable lists.
        assert browser.run(OVERFLOW) <= 0, (address, look)
    found = browser.violations()
    for look in LOOKS[::-1]:
        show(browser, *look)
        found += inaccessible(browser)
    # Drops the messages that axe-core caused: its own styles violate the Content-Security-Policy.
    browser.console()
    return found


def show(browser: Browser, scheme: str, width: int) -> None:
    browser.resize(width, 800)
    browser.prefer(scheme)
    # Colors change in steps. Canceling them shows the last one.
    browser.run("for (const each of document.getAnimations()) each.cancel()")


def test_no_page_is_inaccessible_too_wide_or_violates_its_policy(
    live_server: Any, tmp_path: Path
) -> None:
    owner = make_user("owner")
    make_rows(owner, now=timezone.now())
    token = make_key(owner, token_name="laptop").key.id
    with fresh_writer(), browsing(tmp_path / "profile") as browser:

        def found(paths: Iterable[str]) -> dict[str, list[str]]:
            wrong = {path: mistakes(browser, f"{live_server.url}{path}") for path in paths}
            return {path: rules for path, rules in wrong.items() if rules}

        assert found(BEFORE) == {}
        browser.sign_in(owner.username, PASSWORD, next_page=f"{live_server.url}/admin/")
        assert found(addresses(owner)) == {}
        assert found(path.format(token=token) for path in PERSONAL) == {}


def test_list_of_choices_opens_and_a_violation_is_reported_with_the_users_session(
    live_server: Any, tmp_path: Path
) -> None:
    owner, url = make_user("owner"), live_server.url
    with fresh_writer(), browsing(tmp_path / "profile") as browser:
        browser.open(f"{url}/admin/")
        browser.sign_in(owner.username, PASSWORD, next_page=f"{url}/admin/")
        browser.open(f"{url}/admin/tokens/tokenconfig/add/")
        browser.click(".select2-selection")
        shown = "return document.querySelectorAll('.select2-results__option--highlighted').length"
        wait_for(lambda: browser.run(shown))
        assert browser.violations() == []
        browser.run("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">')")
        assert browser.violations()
        report = wait_for(Report.objects.filter(document_uri__startswith=url).first)
        assert report is not None
    assert (report.blocked_uri, report.effective_directive) == ("inline", "style-src-attr")


HEADINGS = (
    "return [...document.querySelectorAll('.opblock-summary-description')].map(e => e.innerText)"
)
ANSWER = "return document.querySelector('.live-responses-table')?.innerText ?? ''"


def test_page_shows_every_operation_without_violations(
    live_server: LiveServer, settings: Any, tmp_path: Path
) -> None:
    settings.SWAGGER_ENABLE = True
    with browsing(tmp_path) as browser:
        browser.open(f"{live_server.url}/swagger")
        # The page fills in step by step, so wait for what is expected.
        expected = {"Build info", "Get deployment config", "Get token config"}
        wait_for(lambda: expected <= set(browser.run(HEADINGS)))
        browser.click("#operations-General-build-info .opblock-summary-control")
        browser.click(".try-out__btn")
        browser.click(".execute")
        wait_for(lambda: "deployment_id" in browser.run(ANSWER))
        assert browser.violations() == []
