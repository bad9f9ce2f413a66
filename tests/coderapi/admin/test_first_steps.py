"""The first owner's file, and the checklist on the admin's home page."""

from __future__ import annotations

import logging
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.test import Client
from django.utils import timezone

from audit.services import SYSTEM
from coderapi.pages.first_steps import (
    FIRST_OWNER_FILE,
    first_steps,
    log_first_task,
    make_first_owner,
)
from csp.models import IngestKey
from options.values.urls import parse_url
from stats.models import WorkspaceState
from tests.support.api.client import browser_of
from tests.support.factories import make_user
from users.models import User
from users.services import set_password

pytestmark = pytest.mark.django_db

PASSWORD = "another-horse-battery-staple"


@pytest.fixture
def first_owner(settings: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> User:
    """The owner of a first start without a terminal."""
    settings.FIRST_OWNER_USERNAME, settings.DATA_DIR = "Root", tmp_path
    make_first_owner(data_dir=tmp_path, now=timezone.now())
    return User.objects.get(username="root")


def undone() -> list[str]:
    return [step.title for step in first_steps() if not step.done]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_theirs", [True, False])
def test_first_owner_file_goes_when_its_password_changes(
    first_owner: User, tmp_path: Path, is_theirs: bool
) -> None:
    # The API's sign-in needs the e-mail address.
    assert "root@localhost.localdomain" in (tmp_path / FIRST_OWNER_FILE).read_text()
    user = first_owner if is_theirs else make_user("owner")
    set_password(user, PASSWORD, actor=SYSTEM, now=timezone.now())
    assert (tmp_path / FIRST_OWNER_FILE).exists() is not is_theirs


def test_each_step_is_done_by_its_state(first_owner: User, settings: Any) -> None:
    # A later start may lack the variable of the first one.
    settings.FIRST_OWNER_USERNAME = ""
    titles = [step.title for step in first_steps()]
    assert undone() == titles
    set_password(first_owner, PASSWORD, actor=SYSTEM, now=timezone.now())
    assert undone() == titles[1:]
    url = parse_url("https://coder.example.com")
    settings.OPTIONS = settings.OPTIONS.replace({"access_url": url})
    assert undone() == titles[2:]
    IngestKey.objects.create(name="site", value="cik_example", origins=["https://a.example.com"])
    assert undone() == titles[3:]
    WorkspaceState.objects.create(workspace_id=uuid.uuid4(), transition="start")
    assert undone() == []
    assert "First steps" not in browser_of(first_owner).get("/admin/").content.decode()


def test_users_of_coder_need_no_first_owner(settings: Any, tmp_path: Path) -> None:
    settings.USER_SOURCE, settings.FIRST_OWNER_USERNAME = "coder", "root"
    settings.CODER_DATABASE_URL = "postgresql://reader@127.0.0.1/coder"
    make_first_owner(data_dir=tmp_path, now=timezone.now())
    assert (User.objects.exists(), undone()) == (False, ["Set the access URL"])


def test_chosen_password_need_not_be_changed(settings: Any, tmp_path: Path) -> None:
    settings.FIRST_OWNER_USERNAME, settings.FIRST_OWNER_PASSWORD = "root", PASSWORD
    make_first_owner(data_dir=tmp_path, now=timezone.now())
    settings.FIRST_OWNER_PASSWORD = ""
    assert "Change the first owner's password" not in undone()
    written = (tmp_path / "first-owner.txt").read_text()
    assert PASSWORD not in written
    assert {"as in CODERAPI_FIRST_OWNER_PASSWORD", "session token"} <= set(
        re.findall(r"as in \w+|session token", written)
    )


@pytest.mark.parametrize(
    ("name", "value"), [("USERNAME", "No name"), ("EMAIL", "nobody"), ("PASSWORD", "short")]
)
def test_unusable_setting_of_the_first_owner_is_named(
    settings: Any, tmp_path: Path, name: str, value: str
) -> None:
    settings.FIRST_OWNER_USERNAME = "root"
    setattr(settings, f"FIRST_OWNER_{name}", value)
    with pytest.raises(CommandError, match=f"^CODERAPI_FIRST_OWNER_{name}: "):
        make_first_owner(data_dir=tmp_path, now=timezone.now())
    assert not User.objects.exists()


def home(browser: Client | None = None) -> str:
    """Returns the home page of the admin, by default of a new owner."""
    found = (browser or browser_of(make_user("owner"))).get("/admin/")
    return str(found.content.decode())


def add_key(number: int, *origins: str) -> None:
    IngestKey.objects.create(name=f"{number}", value=f"cik_{number}", origins=list(origins))


def test_home_shows_the_steps_with_headers_to_copy_until_dismissed(settings: Any) -> None:
    settings.ACCESS_URL = "https://coder.example.com"
    add_key(1, "https://a.example.com")
    browser = browser_of(make_user("owner"))
    page = home(browser)
    address = "https://coder.example.com/api/v2/csp/reports?key=cik_1"
    assert f"Reporting-Endpoints: csp=&quot;{address}&quot;" in page
    assert f"report-to csp; report-uri {address}" in page
    browser.get("/admin/first-steps/dismiss/")
    assert "First steps" in home(browser)
    assert browser.post("/admin/first-steps/dismiss/").headers["Location"] == "/admin/"
    assert "First steps" not in home(browser)
    auditor = home(browser_of(make_user("auditor")))
    assert "First steps" not in auditor
    assert 'href="/admin/stats/snapshot/timelines/"' in auditor


def test_headers_of_the_steps_fit_the_scheme_of_the_pages(settings: Any) -> None:
    settings.ACCESS_URL = "https://coder.example.com"
    add_key(1, "http://a.example.com", "https://b.example.com")
    page = home()
    http = page.partition("# http://a.example.com")[2]
    assert "report-to csp" in page
    assert "report-to csp" not in http.partition("</pre>")[0]
    assert "Browsers use report-to only if" in page


def test_headers_of_the_newest_keys_are_shown() -> None:
    for number in range(7):
        add_key(number, f"https://s{number}.example.com")
    page = home()
    for number in range(7):
        shown = [text in page for text in (f"# https://s{number}.", f"?key=cik_{number}")]
        assert shown == [number >= 2] * 2
    assert "These are the newest 5 keys." in page


def test_log_names_the_first_step_and_its_page(
    first_owner: User, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        log_first_task("http://127.0.0.1:3000")
        set_password(first_owner, PASSWORD, actor=SYSTEM, now=timezone.now())
        log_first_task("http://127.0.0.1:3000")
    change, access = (line for line in caplog.messages if line.startswith("Next step: "))
    answer = browser_of(first_owner).get("/admin/password_change/")
    assert answer.headers["Location"] == "/account#password"
    assert "http://127.0.0.1:3000/admin/password_change/" in change
    assert "CODER_ACCESS_URL" in access
