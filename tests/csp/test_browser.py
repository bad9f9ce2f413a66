"""Real browsers, over http and https, whose violations are found in the admin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db.models import F
from django.urls import reverse

from csp.models import Group, GroupHour, NoiseRule, Report
from tests.support.api.client import APIClient
from tests.support.browsers.both import Browsing, chromium, firefox
from tests.support.browsers.firefox import browsing_firefox, make_extension, needs_firefox
from tests.support.browsers.reporting_site import POLICY as HEADER
from tests.support.browsers.reporting_site import (
    Site,
    by_report_to,
    by_report_uri,
    forwarding,
    serving,
)
from tests.support.commands import run
from tests.support.csp.reports import PATH, fresh_writer, in_admin
from tests.support.processes import wait_for
from tests.support.servers.certificates import Authority

VISITS = 5

pytestmark = pytest.mark.django_db(transaction=True)


SCRIPTS = b"""<!doctype html><title>page</title>
<script src="https://blocked.example.net/lib.js"></script>
<script>document.title = "inline code ran"</script>"""

ONLY = f"{HEADER}-Report-Only"
SCRIPT_PAGES = {
    "/by-report-uri": by_report_uri("script-src 'none'"),
    "/by-report-uri-only": by_report_uri("script-src 'none'", header=ONLY),
    "/by-report-to": by_report_to("script-src 'none'"),
    "/by-report-to-only": by_report_to("script-src 'none'", header=ONLY),
}

# The newer version forbids inline code.
VERSION_PAGES = {
    f"/{version}": by_report_to(f"script-src {sources}", url=f"{PATH}?v={version}")
    for version, sources in (("1.9.0", "'unsafe-inline'"), ("1.29.0-rc.1", "'none'"))
}


@pytest.fixture
def site(
    live_server: Any, owner: APIClient, tmp_path: Path, settings: Any, transactional_db: None
) -> Iterator[str]:
    """The https address of a site whose reader is signed in."""
    members = {"pages": SCRIPT_PAGES | VERSION_PAGES, "page": SCRIPTS, "token": owner.token}
    with fresh_writer(), forwarding(tmp_path, live_server, **members) as address:
        # The cookie counts only in reports from the service's own pages.
        settings.ACCESS_URL = address
        yield address


REPORT_URI, REPORT_TO = "report-uri", "reporting-api"


# Firefox sends no cookies with reports to `report-uri`, so it needs an ingest key for them.
@pytest.mark.parametrize(
    ("browser", "path", "format", "disposition"),
    [
        chromium("/by-report-uri", REPORT_URI, "enforce"),
        chromium("/by-report-uri-only", REPORT_URI, "report"),
        chromium("/by-report-to", REPORT_TO, "enforce"),
        chromium("/by-report-to-only", REPORT_TO, "report"),
        firefox("/by-report-to", REPORT_TO, "enforce"),
        firefox("/by-report-to-only", REPORT_TO, "report"),
    ],
)
def test_reports_of_browsers_are_shown_in_the_admin(
    site: str, tmp_path: Path, path: str, format: str, disposition: str, browser: Browsing
) -> None:
    with browser(tmp_path / "profile") as window:
        window.open(f"{site}{path}")
        wait_for(lambda: Report.objects.count() >= 2)
    reports = {report.blocked_uri: report for report in Report.objects.all()}
    assert set(reports) == {"https://blocked.example.net/lib.js", "inline"}
    for report in reports.values():
        assert (report.format, report.disposition) == (format, disposition)
        assert report.document_uri == f"{site}{path}"
        assert report.effective_directive == "script-src-elem"
        assert report.browser.startswith("Firefox " if browser is browsing_firefox else "Chrome ")
    shown = in_admin("owner").get(reverse("admin:csp_report_changelist")).content.decode()
    assert "blocked.example.net" in shown


@pytest.mark.parametrize("browser", [chromium(), firefox()])
def test_gate_compares_the_versions_in_the_urls_of_reports(
    site: str, owner: APIClient, tmp_path: Path, browser: Browsing
) -> None:
    with browser(tmp_path / "profile") as window:
        for reports, page in zip((1, 3), VERSION_PAGES, strict=True):
            window.open(f"{site}{page}")
            wait_for(Report.objects.all()[reports - 1 :].exists)
    query = {"old_version": "1.9.0", "new_version": "1.29.0-rc.1"}
    [group] = owner.get("/api/coderapi/v1/csp/gate", query).json()["groups"]
    assert (group["title"], group["new_in"]) == ("Inline script", "1.29.0-rc.1")


# Most kinds of violations, with the causes as both browsers report them.
PAGE = b"""<!doctype html><title>page</title>
<script src="https://blocked.example.net/lib.js"></script>
<script>document.title = "inline code ran"</script>
<img src="https://images.example.net/a.png">
<b style="color: blue" onclick="never()">text</b>
<iframe src="https://frames.example.net/"></iframe>
<script src="/code.js"></script>"""
CODE = b"""
try { eval("1") } catch { }
fetch("https://api.example.net/").catch(() => {})
"""
CAUSES = {
    ("script-src", "blocked.example.net"),
    ("script-src-elem", "inline"),
    ("img-src", "images.example.net"),
    ("style-src-attr", "inline"),
    ("script-src-attr", "inline"),
    ("frame-src", "frames.example.net"),
    ("script-src", "eval"),
    ("connect-src", "api.example.net"),
}
# Security software and extensions add such scripts to pages. The policy blocks them. Chromium and
# Firefox do not report a missing file of their own kind of extension.
INJECTION = """
const urls = [
    "https://gc.kis.v2.scr.kaspersky-labs.com/x.js", "safari-web-extension://abcd/x.js"
];
for (const url of urls) {
    const script = document.createElement("script");
    script.src = url;
    document.head.append(script);
}
"""
NOISE = {
    ("script-src", "gc.kis.v2.scr.kaspersky-labs.com"),
    ("script-src", "safari-web-extension"),
}
# Firefox, other than a headless Chromium, loads the icon of the site.
POLICY = "default-src 'none'; script-src 'self'; img-src 'self'"
PAGES = {"/by-report-uri": by_report_uri(POLICY), "/by-report-to": by_report_to(POLICY)}


def has_reports(number: int) -> bool:
    return sum(GroupHour.objects.values_list("reports", flat=True)) >= number


@pytest.mark.parametrize("browser", [chromium(), firefox()])
def test_each_site_has_its_own_groups(
    live_server: Any, tmp_path: Path, settings: Any, transactional_db: None, browser: Browsing
) -> None:
    """Three sites: two over https with both ways of reporting, and one over http."""
    pair = Authority(tmp_path).pair("site")
    members = {"pages": PAGES, "page": PAGE, "code": CODE}
    members["behind"] = live_server.url.removeprefix("http://")
    handlers: list[Any] = [type("KeyedSite", (Site,), members) for _ in range(3)]
    with ExitStack() as stack:
        stack.enter_context(fresh_writer())
        portal, shop, old = (
            stack.enter_context(serving(handler, kind))
            for handler, kind in zip(handlers, (pair, pair, None), strict=True)
        )
        settings.ACCESS_URL = portal
        origins = [text for site in (portal, shop, old) for text in ("--origin", site)]
        key = run("create_ingest_key", *origins).split()[0]
        for handler in handlers:
            handler.key = key
        pages = {portal: "/by-report-to", shop: "/by-report-uri", old: "/by-report-uri"}
        expected = {(site, *cause): VISITS for site in pages for cause in CAUSES | NOISE}
        assert sum(expected.values()) == 150
        window = stack.enter_context(browser(tmp_path / "profile"))
        for visit in range(VISITS * len(pages)):
            site, path = list(pages.items())[visit % len(pages)]
            window.open(f"{site}{path}")
            window.run(INJECTION)
            # Firefox drops the reports that it has not sent when the page is left.
            wait_for(partial(has_reports, (visit + 1) * len(CAUSES | NOISE)))
    reports = F("reports") + F("noise_reports")
    groups = Group.objects.values_list("site", "directive", "blocked_source", reports)
    assert {tuple(cause): count for *cause, count in groups} == expected
    noise = Group.objects.filter(noise_rule__isnull=False)
    assert set(noise.values_list("directive", "blocked_source")) == NOISE


# Both browsers know Trusted Types, and put the sink or the name of a policy into the sample.
TEXT_CODE = b"""
const attempts = [
    () => { document.createElement("div").innerHTML = "<i>text</i>" },
    () => document.body.insertAdjacentHTML("beforeend", "<i>text</i>"),
    () => { document.createElement("script").src = "https://cdn.example.net/a.js" },
    () => new Worker("data:text/javascript,1"),
    () => eval("1"),
    () => trustedTypes.createPolicy("angular#bundler", {}),
    () => { for (const _ of [1, 2]) trustedTypes.createPolicy("known", {}) },
]
for (const attempt of attempts) try { attempt() } catch { }
"""
TEXT_CAUSES = {
    *(
        ("require-trusted-types-for", f"trusted-types-sink {sink}")
        for sink in (
            *("Element innerHTML", "Element insertAdjacentHTML", "HTMLScriptElement src"),
            *("Worker constructor", "eval"),
        )
    ),
    ("trusted-types", "trusted-types-policy angular#bundler"),
    ("trusted-types", "trusted-types-policy known"),
}
TEXT_POLICY = "require-trusted-types-for 'script'; trusted-types known"


@pytest.mark.parametrize("browser", [chromium(), firefox()])
def test_each_sink_and_each_trusted_types_policy_is_a_group(
    live_server: Any, tmp_path: Path, owner: APIClient, settings: Any, browser: Browsing
) -> None:
    members = {"pages": {"/": by_report_to(TEXT_POLICY)}, "code": TEXT_CODE, "token": owner.token}
    page = b'<!doctype html><title>page</title><body><script src="/code.js"></script>'
    with (
        fresh_writer(),
        forwarding(tmp_path, live_server, page=page, **members) as site,
        browser(tmp_path / "profile") as window,
    ):
        settings.ACCESS_URL = site
        window.open(f"{site}/")
        wait_for(partial(has_reports, len(TEXT_CAUSES)))
    assert set(Group.objects.values_list("directive", "blocked_source")) == TEXT_CAUSES


# The extension adds inline code and a file of its own to the page. Firefox reports the inline code,
# and what the file does, with the source file `moz-extension`.
CONTENT_SCRIPT = """
const inline = document.createElement("script");
inline.textContent = "document.title = 'inline'";
const file = document.createElement("script");
file.src = browser.runtime.getURL("page.js");
document.documentElement.append(inline, file);
"""


@needs_firefox
def test_reports_that_an_extension_causes_are_noise(site: str, tmp_path: Path) -> None:
    files = {"content.js": CONTENT_SCRIPT, "page.js": "eval('1')"}
    with browsing_firefox(tmp_path / "profile") as window:
        window.add_extension(make_extension(tmp_path / "test.xpi", files))
        window.open(f"{site}/by-report-to")
        wait_for(partial(has_reports, 4))
    rules = {0: None, **dict(NoiseRule.objects.values_list("pk", "name"))}
    names = ("group__directive", "group__blocked_source", "noise_rule_id")
    reports = Report.objects.values_list(*names)
    assert {(*cause, rules[rule]) for *cause, rule in reports} == {
        ("script-src", "blocked.example.net", None),
        ("script-src-elem", "inline", None),
        ("script-src-elem", "inline", "scheme-moz-extension"),
        ("script-src", "eval", "scheme-moz-extension"),
    }
