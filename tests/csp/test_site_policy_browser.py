"""The whole policy of a site, served to real browsers."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from typing import Any

import pytest

from csp.models import Group
from tests.support.browsers.both import Browsing, chromium, firefox
from tests.support.browsers.reporting_site import POLICY, forwarding
from tests.support.commands import run
from tests.support.csp.reports import fresh_writer, in_admin
from tests.support.processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

# The first script of the page notes what the browser blocks.
PAGE = b"""<!doctype html><title>shop</title><script src="/code.js"></script>
<script src="https://cdn.example.net/lib.js"></script>
<link rel="stylesheet" href="https://fonts.example.net/a.css">
<img src="https://img.example.net:8443/a.png">
<iframe src="https://video.example.net/"></iframe>
<script>document.title = "inline code ran"</script>
<style>b { color: red }</style>
<b style="color: blue">text</b>
<button onclick="never()">Buy</button>
"""
CODE = b"""
window.seen = [];
const EVENT = "securitypolicyviolation";
document.addEventListener(EVENT, event => seen.push(event.blockedURI));
addEventListener("load", () => {
    try { eval("1") } catch { }
    WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])).catch(() => {});
    fetch("https://api.example.net/").catch(() => {});
});
"""
HOSTS = {*("cdn.example.net", "fonts.example.net", "img.example.net:8443", "video.example.net")}
ACCEPTED = {*HOSTS, "api.example.net", "wasm-eval"}
# The causes without a URL: a script, a style, an attribute of each, and eval.
NOT_ACCEPTED = 5
SEEN = "return window.seen"


def headers_in(text: str) -> dict[str, str]:
    lines = (line.partition(": ") for line in text.splitlines())
    wanted = {"Reporting-Endpoints", POLICY, f"{POLICY}-Report-Only"}
    return {name: value for name, _, value in lines if name in wanted}


@pytest.mark.parametrize("browser", [chromium(), firefox()])
def test_policy_to_copy_blocks_what_the_page_lists_and_nothing_else(
    live_server: Any, tmp_path: Path, settings: Any, transactional_db: None, browser: Browsing
) -> None:
    """Begins with the headers of a new ingest key, accepts the hosts, and serves the copy."""
    pages: dict[str, dict[str, str]] = {}
    with (
        fresh_writer(),
        forwarding(tmp_path, live_server, pages=pages, page=PAGE, code=CODE) as shop,
        browser(tmp_path / "profile") as window,
    ):
        settings.ACCESS_URL = shop
        pages["/"] = headers_in(run("create_ingest_key", "--origin", shop))
        window.open(f"{shop}/")
        wait_for(lambda: len(counts()) == len(ACCEPTED) + NOT_ACCEPTED)
        found = Group.objects.values_list("blocked_source", flat=True)
        assert set(found) == {*ACCEPTED, "inline", "eval"}
        client = in_admin("owner")
        for group in Group.objects.filter(blocked_source__in=ACCEPTED):
            client.post(f"/admin/csp/group/{group.pk}/decide/", {"state": "resolved"})

        shown = client.get("/admin/csp/group/site-policy/", {"site": shop})
        rest = shown.context["found"]["rest"]
        copied = {name: lines for name, _, lines in shown.context["found"]["copies"]}["header"]
        assert copied in unescape(shown.text)
        before = counts()
        pages["/"] = headers_in(copied)
        window.open(f"{shop}/")
        expected = {each.pk for each in rest}
        assert len(expected) == NOT_ACCEPTED
        wait_for(lambda: expected <= {*changed(before)})
        assert set(window.run(SEEN)) == {"inline", "eval"}
        assert changed(before) == expected


def counts() -> dict[Any, int]:
    return dict(Group.objects.values_list("pk", "reports"))


def changed(before: dict[Any, int]) -> set[Any]:
    return {key for key, count in counts().items() if count != before.get(key)}
