"""Every page passes axe-core, complies with its policy and fits a narrow screen, in a browser."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

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
