"""Triage by keyboard, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from csp.models import Group
from kernel import memory
from tests.support.browsers.browser import OVERFLOW, Browser, browsing, needs_browser
from tests.support.csp.groups import make_group
from tests.support.csp.reports import fresh_writer
from tests.support.factories import PASSWORD, make_user
from tests.support.processes import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), needs_browser]
FOCUSED = "return document.activeElement.textContent"


@pytest.fixture
def browser(live_server: Any, tmp_path: Path) -> Iterator[Browser]:
    """A browser with the front page of triage."""
    owner = make_user("owner")
    with fresh_writer(), browsing(tmp_path / "profile") as window:
        window.open(f"{live_server.url}/admin/csp/")
        window.sign_in(owner.username, PASSWORD, next_page=f"{live_server.url}/admin/csp/")
        yield window


def is_shown(browser: Browser, group: Group) -> bool:
    return str(group.pk) in browser.address


def press(browser: Browser, key: str) -> None:
    browser.type_into("body", key)


def test_ten_strokes_triage_ten_groups(browser: Browser, live_server: Any) -> None:
    groups = [make_group(blocked_source=f"{n}.example.net", client_days=20 - n) for n in range(10)]
    browser.open(f"{live_server.url}/admin/csp/")
    press(browser, "j")
    assert browser.run(FOCUSED) == "Image from 0.example.net"
    browser.run("document.activeElement.click()")
    for index, key in enumerate("iraiiraiia"):
        wait_for(partial(is_shown, browser, groups[index]))
        press(browser, key)
    wait_for(lambda: browser.address == f"{live_server.url}/admin/csp/")
    words = {"i": "ignored", "r": "resolved", "a": "acknowledged"}
    stored = Group.objects.order_by("-client_days").values_list("state", flat=True)
    assert list(stored) == [words[key] for key in "iraiiraiia"]
    assert browser.violations() == []


def test_keys_ignore_with_a_limit_undo_move_and_are_listed(
    browser: Browser, live_server: Any
) -> None:
    first, second = make_group(client_days=9), make_group(client_days=5)
    browser.open(f"{live_server.url}/admin/csp/group/{first.pk}/change/")
    press(browser, "i")
    wait_for(partial(is_shown, browser, second))
    ignored = Group.objects.get(pk=first.pk)
    assert ignored.state == "ignored"
    assert ignored.ignored_until
    press(browser, "u")
    wait_for(partial(is_shown, browser, first))
    assert not Group.objects.exclude(state="new").exists()
    press(browser, "n")
    wait_for(partial(is_shown, browser, second))
    press(browser, "p")
    wait_for(partial(is_shown, browser, first))
    # A key in a field is text.
    browser.type_into("#note", "irna")
    assert Group.objects.filter(state="new").count() == 2
    press(browser, "?")
    listed = browser.run("return document.querySelector('dialog[open]').innerText")
    assert "Resolve, and open the next group" in listed
    assert "Next row" not in listed
    assert browser.violations() == []


# The cause, the site and the next step of a group.
SHOWN = ("Style sheet from fonts.googleapis.com", "http://old.acme.test:8080", "Check it")


# The right edges of the next steps in the first table.
EDGES = """
const rows = [...document.querySelector(".csp-front table").tBodies[0].rows];
return rows.map(row => row.lastElementChild.getBoundingClientRect().right);
"""


# The width of the list that is not visible without scrolling.
HIDDEN = """
const table = document.getElementById("result_list").parentElement;
return table.scrollWidth - table.clientWidth;
"""


@pytest.mark.parametrize("width", [400, 1280])
def test_lists_show_cause_site_and_next_step_without_scrolling(
    browser: Browser, live_server: Any, width: int
) -> None:
    for site in ("https://portal.acme.test:8443", "http://old.acme.test:8080"):
        make_group(directive="style-src", blocked_source="fonts.googleapis.com", site=site)
    memory.clear_all()
    browser.resize(width, 800)

    browser.open(f"{live_server.url}/admin/csp/")
    edges = browser.run(EDGES)
    assert len(edges) == 2
    assert max(edges) <= width
    front = browser.run("return document.querySelector('.csp-front table').innerText")
    assert browser.run(OVERFLOW) <= 0

    browser.open(f"{live_server.url}/admin/csp/group/")
    assert browser.run(HIDDEN) <= 0
    assert browser.run(OVERFLOW) <= 0
    listed = browser.run("return document.getElementById('result_list').innerText")
    assert ("days ago" in listed) is (width > 600)
    for text in SHOWN:
        assert text in front
        assert text in listed
