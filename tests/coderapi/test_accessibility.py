"""Every page passes axe-core, complies with its policy and fits a narrow screen, in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from tests.support.admin_pages import addresses, make_rows
from tests.support.browser import OVERFLOW, browsing, inaccessible, nameless, needs_browser
from tests.support.csp_reports import fresh_writer
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


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
def test_no_page_is_inaccessible_too_wide_or_violates_its_policy(
    live_server: Any, tmp_path: Path, scheme: str, width: int
) -> None:
    owner = make_user("owner")
    make_rows(owner, now=timezone.now())
    token = make_key(owner, token_name="laptop").key.id
    with fresh_writer(), browsing(tmp_path / "profile") as browser:
        browser.resize(width, 800)
        browser.prefer(scheme)

        def found(paths: Any) -> dict[str, list[str]]:
            wrong = {}
            for path in paths:
                browser.open(f"{live_server.url}{path}")
                wait_for(lambda: nameless(browser) == [])  # A script names the searchable lists.
                assert browser.run(OVERFLOW) <= 0, path
                wrong[path] = browser.violations() + inaccessible(browser)
                # Drops the messages that axe-core caused: its own styles violate the
                # Content-Security-Policy.
                browser.console()
            return {path: rules for path, rules in wrong.items() if rules}

        assert found(BEFORE) == {}
        browser.sign_in(owner.username, PASSWORD, next_page=f"{live_server.url}/admin/")
        assert found(addresses(owner)) == {}
        assert found(path.format(token=token) for path in PERSONAL) == {}
