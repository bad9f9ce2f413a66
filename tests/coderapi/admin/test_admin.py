"""The admin: access, permissions, and the session token of a sign-in."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Any

import pytest
from django.contrib import admin
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import Entry
from coderapi.pages.content_policy import content_policy
from kernel.admin import cards
from tests.support.api.client import signed_in
from tests.support.browsers.admin_pages import addresses, make_rows
from tests.support.browsers.markup import forbidden_in
from tests.support.factories import PASSWORD, make_key, make_user
from tokens.models import APIKey
from users.models import User

pytestmark = pytest.mark.django_db

LOGIN = "/login"
REPORTS = "/api/v2/csp/reports"
COOKIE = "coder_session_token"
ME = "/api/v2/users/me/keys/tokens/tokenconfig"


@pytest.mark.parametrize("role", ["owner", pytest.param("auditor", marks=pytest.mark.slow)])
def test_every_page_opens_and_complies_with_its_policy(role: str) -> None:
    page = Client().get(LOGIN)
    assert (forbidden_in(page), "If you have lost your password" in page.text) == ([], True)
    user = make_user(role)
    make_rows(make_user("owner"), now=timezone.now())
    browser = signed_in(user)
    for address in addresses(user):
        answer = browser.get(address, follow=True)
        assert (answer.status_code, forbidden_in(answer)) == (200, []), address


def test_auditor_cannot_change_anything() -> None:
    make_rows(make_user("owner"), now=timezone.now())
    browser = signed_in(make_user("auditor"))
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        assert browser.get(reverse(f"{name}_add")).status_code == 403, name
        for row in model._default_manager.all()[:1]:
            for form in ("change", "delete"):
                answer = browser.post(reverse(f"{name}_{form}", args=[row.pk]), {"post": "yes"})
                assert answer.status_code == 403, (name, form)


def test_others_have_no_access() -> None:
    browser = signed_in(make_user("user-admin"))
    for page in ("/admin/csp/", "/admin/csp/group/"):
        answer = browser.get(page)
        assert answer.status_code == 403
        assert "You do not have permission to open the page" in answer.text
    user = make_user()
    form = {"name": user.username, "password": PASSWORD, "next": "/admin/users/user/"}
    member, anonymous = Client(), Client()
    entered = member.post(LOGIN, form, follow=True)
    assert entered.redirect_chain[-1][0] == "/account"
    text = "The admin is for owners, auditors and user admins. You are signed in as "
    assert f"{text}{user.username}." in entered.content.decode()
    for path in ("/admin", "/admin/", "/admin/users/user/"):
        assert member.get(path, follow=True).redirect_chain[-1][0] == "/account", path
        target = "/admin/" if path == "/admin" else path
        last, _ = anonymous.get(path, follow=True).redirect_chain[-1]
        assert last == f"{LOGIN}?next={target}", path
    # The address of the admin needs no slash, and the page to sign in has none.
    assert anonymous.get("/admin").headers["Location"] == "/admin/"
    assert anonymous.get("/login/").status_code == 404


def test_sign_in_creates_a_key_that_the_sign_out_deletes() -> None:
    owner = make_user("owner")
    browser = signed_in(owner)
    caller = Client(headers={"Coder-Session-Token": browser.cookies[COOKIE].value})
    assert caller.get(ME).status_code == 200
    key = APIKey.objects.get(user=owner)
    answer = browser.post("/admin/logout/")
    assert answer.headers["Location"] == LOGIN
    assert answer.cookies[COOKIE]["max-age"] == 0
    assert not APIKey.objects.filter(user=owner).exists()
    assert caller.get(ME).status_code == 401
    trail = Entry.objects.filter(target_id=key.id, actor_id=owner.id).order_by("id")
    assert [entry.action for entry in trail] == ["api_key.create", "api_key.delete"]


def test_suspension_ends_session_and_key() -> None:
    owner = make_user("owner")
    browser = signed_in(owner)
    for status, found in ((User.Status.ACTIVE, (200, 200)), (User.Status.SUSPENDED, (302, 401))):
        User.objects.filter(pk=owner.pk).update(status=status)
        assert (browser.get("/admin/").status_code, browser.get(ME).status_code) == found


def test_owner_with_a_session_of_the_api_alone_signs_in_to_the_admin() -> None:
    owner, browser = make_user("owner"), Client()
    browser.cookies[COOKIE] = make_key(owner).token
    form = browser.get("/admin/", follow=True)
    assert (form.redirect_chain[-1][0], form.status_code) == ("/login?next=/admin/", 200)
    entered = {"name": owner.username, "password": PASSWORD, "next": "/admin/"}
    assert browser.post(LOGIN, entered, follow=True).redirect_chain == [("/admin/", 302)]


def test_home_shows_the_state() -> None:
    owner = make_user("owner")
    make_rows(owner, now=timezone.now())
    page = signed_in(owner).get("/admin/").content.decode()
    for absent in ("Django", "cannot be read", "<b>bold"):
        assert absent not in page
    for title, _ in cards(make_user("owner"), timezone.now()):
        assert f">{title}</h2>" in page
    assert "all applied" in page
    assert re.search(r"failed <time [^>]+>(just now|\d+ s ago)</time>", page)


@pytest.mark.parametrize("on", [True, False])
def test_swagger_is_linked_where_it_is_on(settings: Any, on: bool) -> None:
    settings.SWAGGER_ENABLE = on
    browser = signed_in(make_user("auditor"))
    assert (b'href="/swagger"' in browser.get("/admin/users/user/").content) is on
    assert (browser.get("/swagger").status_code == 200) is on


def test_report_to_has_its_endpoint_and_only_html_has_a_policy(settings: Any) -> None:
    settings.SECURE_CSP = content_policy([], reports_path=REPORTS, https=True)
    answer = Client().get(LOGIN)
    assert answer.headers["Reporting-Endpoints"] == 'csp="/api/v2/csp/reports"'
    assert "report-to csp" in answer.headers["Content-Security-Policy"]
    assert "Content-Security-Policy" not in Client().get("/api/v2/buildinfo").headers
    # Browsers that support report-to ignore report-uri, and do not use report-to on plain HTTP.
    assert "report-to" not in content_policy([], reports_path=REPORTS, https=False)


@pytest.mark.parametrize(
    ("additional", "directive", "sources"),
    [
        ([], "default-src", ["'none'"]),
        ([], "report-to", ["csp"]),
        (["frame-src https://a.example"], "frame-src", ["https://a.example"]),
        (["img-src https://a.example 'self'"], "img-src", ["'self'", "https://a.example"]),
        (["default-src https://a.example"], "default-src", ["https://a.example"]),
        (["img-src a:; font-src b:"], "font-src", ["'self'", "b:"]),
        (["upgrade-insecure-requests", " "], "upgrade-insecure-requests", []),
    ],
)
def test_additional_directives_are_added(
    additional: list[str], directive: str, sources: list[str]
) -> None:
    assert content_policy(additional, reports_path=REPORTS, https=True)[directive] == sources


def test_pages_pass_djangos_checks() -> None:
    """`coderapi check` may look at the pages before it imports them."""
    call_command("check", tags=["admin"], fail_level="WARNING")


@pytest.mark.parametrize("name", ["coderapi/admin.css", "admin/css/base.css"])
def test_static_files_are_served_without_being_collected(name: str) -> None:
    with closing(Client().get(f"/static/{name}")) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/css")


@pytest.mark.slow
def test_collected_static_files_have_hashed_names(settings: Any, tmp_path: Any) -> None:
    place = {"OPTIONS": {"location": tmp_path, "base_url": "/static/"}}
    # A new dictionary, because the old one is restored after the test.
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": settings.STORAGES["staticfiles"] | place
    }
    call_command("collectstatic", interactive=False, verbosity=0)
    page = Client().get(LOGIN).content.decode()
    found = re.search(r"/static/(coderapi/admin\.[0-9a-f]{12}\.css)", page)
    assert found
    assert (tmp_path / found[1]).is_file()
