"""The pages of a user in a real browser, from `coder login` to signing out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api.client import APIClient
from tests.support.browsers.browser import OVERFLOW, Browser, browsing, needs_browser
from tests.support.csp.reports import fresh_writer
from tests.support.factories import PASSWORD, make_key, make_user
from tests.support.processes import wait_for
from users.models import User

pytestmark = [pytest.mark.django_db(transaction=True), needs_browser]

NARROW = 400
# Whether the buttons of all tokens are within the window.
BUTTONS = """
return [...document.querySelectorAll(".card-actions a")].map(link => {
    const box = link.getBoundingClientRect();
    return box.width > 0 && box.left >= 0 && box.right <= innerWidth;
});
"""
FOCUSED = "return document.activeElement.id"
COPIED = "return document.getElementById('copied').textContent"


@pytest.fixture
def member(transactional_db: None) -> User:
    return make_user()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with fresh_writer(), browsing(tmp_path / "profile") as window:
        window.resize(NARROW, 800)
        yield window


def test_user_signs_in_creates_tokens_and_signs_out(
    browser: Browser, live_server: Any, member: User
) -> None:
    browser.open(f"{live_server.url}/cli-auth")
    assert browser.run(FOCUSED) == "id_name"
    browser.sign_in(member.email, PASSWORD, next_page=f"{live_server.url}/cli-auth")
    browser.click("#content [type=submit]")

    wait_for(lambda: browser.run("return document.getElementById('token') !== null"))
    token = browser.run("return document.getElementById('token').value")
    assert APIClient(token=token).get("/api/v2/users/me").json()["username"] == member.username
    browser.click("[data-copies]")
    wait_for(lambda: browser.run(COPIED) == "Copied.")

    browser.click("#logout-form button")
    wait_for(lambda: browser.address == f"{live_server.url}/login")
    assert browser.violations() == []


def test_buttons_of_tokens_are_visible_on_a_narrow_screen(
    browser: Browser, live_server: Any, member: User
) -> None:
    make_key(member, token_name="ci")
    browser.open(f"{live_server.url}/login?next=/account")
    browser.sign_in(member.email, PASSWORD, next_page=f"{live_server.url}/account")

    for scheme in ("light", "dark"):
        browser.prefer(scheme)
        assert browser.run(OVERFLOW) <= 0
        assert browser.run(BUTTONS) == [True, True]  # Rename and Revoke.
    browser.click("[aria-label^='Revoke ci']")
    wait_for(lambda: "Revoke the token ci?" in browser.run("return document.body.textContent"))
    browser.click("#content [type=submit]")
    wait_for(lambda: browser.address == f"{live_server.url}/account")
    assert "You have revoked the token ci." in browser.run("return document.body.textContent")
