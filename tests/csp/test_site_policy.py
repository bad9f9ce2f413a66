"""The whole policy of a site: its weaknesses, and the policy with the accepted entries."""

from __future__ import annotations

from html import unescape
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from csp.advice import composition
from csp.advice.composition import weaknesses
from csp.advice.policy import parse
from csp.advice.refusals import Risk
from csp.models import Group, IngestKey
from csp.scrubbing.address import OTHER_SITE
from csp.services import create_ingest_key
from csp.triage.newest import Seen, policies_in
from csp.triage.policies.comparison import normalized
from kernel import memory
from tests.support.api.client import APIClient
from tests.support.browsers.markup import text_in
from tests.support.channels import ACTOR
from tests.support.csp.groups import NOW, make_group
from tests.support.csp.reports import PATH, in_admin, legacy, send

PAGE = "/admin/csp/group/site-policy/"
HIGH, MEDIUM, LOW = Risk.HIGH, Risk.MEDIUM, Risk.LOW
REST = "object-src 'none'; base-uri 'none'; frame-ancestors 'self'; form-action 'self'"


@pytest.mark.parametrize(
    ("policy", "risk", "words"),
    [
        ("img-src 'self'", HIGH, "neither script-src nor default-src"),
        (f"script-src 'self' 'unsafe-inline'; {REST}", HIGH, "'unsafe-inline'"),
        (f"script-src https:; {REST}", HIGH, "scripts of any host"),
        (f"script-src 'self' https://unpkg.com; {REST}", HIGH, "unpkg.com"),
        (f"script-src 'self' *.google-analytics.com; {REST}", LOW, "every host below"),
        (f"script-src 'self' https://*.github.io; {REST}", HIGH, "anyone can get one"),
        (f"script-src 'self' *.b-cdn.net; {REST}", HIGH, "anyone can get one"),
        (f"script-src 'self' *.co.uk; {REST}", HIGH, "anyone can get one"),
        (f"script-src 'self' *.corp; {REST}", LOW, "every host below corp"),
        (f"script-src 'self' *.googleapis.com; {REST}", LOW, "every host below"),
        (f"script-src 'self' https://www.google.com; {REST}", HIGH, "www.google.com"),
        (f"script-src 'self' 'unsafe-eval'; {REST}", MEDIUM, "'unsafe-eval'"),
        (f"script-src 'self' http://cdn.example.com; {REST}", MEDIUM, "on the network"),
        (f"script-src 'self' https://*:443; {REST}", HIGH, "scripts of any host"),
        (f"script-src *; {REST}", HIGH, "scripts of any host"),
        (
            f"script-src 'self'; script-src-elem data:; {REST}",
            Risk.HIGH,
            "script-src-elem contains",
        ),
        (
            f"script-src 'self'; script-src-attr 'unsafe-inline'; {REST}",
            Risk.HIGH,
            "inline code runs",
        ),
        ("default-src 'self'", LOW, "base-uri is missing"),
        (f"script-src 'self'; {REST}", None, ""),
        (f"script-src 'nonce-a' 'unsafe-inline'; {REST}", None, ""),
        (f"script-src 'nonce-a' 'strict-dynamic' https: 'unsafe-inline'; {REST}", None, ""),
    ],
)
def test_weaknesses_of_a_policy_are_named(policy: str, risk: Risk | None, words: str) -> None:
    found = weaknesses(parse(policy))
    assert (found[0][0] if found else None) == risk
    assert words in " ".join(reason for _, reason in found)


@given(st.text(max_size=200), st.text(max_size=40))
def test_any_policy_is_searched_for_weaknesses_and_compared(policy: str, page: str) -> None:
    assert {risk for risk, _ in weaknesses(parse(policy))} <= set(Risk)
    assert normalized(policy, page) == normalized(f"{policy};", page)


# What Chromium 156 and Firefox 153 report of one policy.
CHROMIUM_FORM = (
    "default-src 'none'; SCRIPT-SRC 'SELF' 'report-sample' 'report-sha256' "
    "'inline-speculation-rules' 'wasm-unsafe-eval' 'sha256-i1FXsRbFto5y0dIx5ZOoGP4YvUW3YNGVsUH+=' "
    "https://A.example.net/X/ https://b.example.net:443 *.C.example.net data: coder.example.com; "
    "prefetch-src 'self'; webrtc 'block'; sandbox; object-src; trusted-types; foo bar; "
    "require-trusted-types-for 'script'; report-uri /r"
)
FIREFOX_FORM = (
    "default-src 'none'; script-src 'self' 'report-sample' 'wasm-unsafe-eval' "
    "'sha256-i1FXsRbFto5y0dIx5ZOoGP4YvUW3YNGVsUH+=' https://a.example.net/X/ "
    "https://b.example.net:443 https://*.c.example.net data: https://coder.example.com; sandbox; "
    "object-src 'none'; trusted-types 'none'; require-trusted-types-for 'script'; "
    "report-uri https://coder.example.com/r"
)
SITE = "https://coder.example.com"


def test_policy_is_equal_in_the_forms_of_all_browsers() -> None:
    assert normalized(CHROMIUM_FORM, SITE) == normalized(FIREFOX_FORM, SITE)
    assert "object-src 'none'" in normalized(CHROMIUM_FORM, SITE)


@pytest.mark.parametrize(
    "change",
    [
        ("'self'", "'unsafe-inline'"),
        ("/X/", "/x/"),
        (":443", ":444"),
        ("https://a.", "http://a."),
        ("UH+=", "UI+="),
        ("data:", "blob:"),
        ("sandbox;", "sandbox allow-forms;"),
        ("trusted-types 'none'", "trusted-types one"),
    ],
)
def test_change_of_a_policy_is_seen_in_any_form(change: tuple[str, str]) -> None:
    changed = FIREFOX_FORM.replace(*change)
    assert changed != FIREFOX_FORM
    assert normalized(changed, SITE) != normalized(CHROMIUM_FORM, SITE)


def test_clients_with_different_browsers_reported_one_policy() -> None:
    sent = ["script-src 'self'"] * 6 + [FIREFOX_FORM] * 5 + [CHROMIUM_FORM] * 4
    reports = [
        Seen(UUID(int=0), n, NOW, 1, b"%d" % n, "", "", SITE, policy, "", "", "", "")
        for n, policy in enumerate(sent)
    ]
    found = policies_in(reports, {policy: policy for policy in sent})
    assert {each.text: len(each.clients) for each in found} == {sent[0]: 6, CHROMIUM_FORM: 9}
    assert policies_in([], {}) == []


PORTAL = "https://portal.example"
HOSTS = {"script-src": ("cdn.example.net", "pay.example.net"), "img-src": ("img.example.net",)}
OLD = "default-src 'self'; script-src 'self' 'nonce-abc'; report-uri /reports; report-to csp"


def report(client: APIClient, directive: str, source: str, policy: str, address: int = 1) -> None:
    members = {"effective-directive": directive, "violated-directive": directive}
    url = f"https://{source}/a" if "." in source else source
    members |= {"blocked-uri": url, "original-policy": policy, "document-uri": f"{PORTAL}/"}
    assert send(client, legacy(**members), REMOTE_ADDR=f"192.0.2.{address}").status_code == 200


def shown_policy(**query: str) -> Any:
    """Returns the page of the whole policy, as an auditor sees it, and what it shows."""
    page = in_admin("auditor").get(PAGE, {"site": PORTAL, **query})
    return page, SimpleNamespace(**page.context["found"])


@pytest.fixture
def shop(collecting: None, owner: APIClient) -> APIClient:
    """A site with an ingest key, whose policy blocks three hosts and inline code."""
    create_ingest_key(origins=[PORTAL], actor=ACTOR, now=timezone.now())
    for directive, hosts in HOSTS.items():
        for host in hosts:
            for address in (1, 2, 3):
                report(owner, directive, host, OLD, address)
    for _ in range(4):
        report(owner, "script-src-attr", "inline", OLD)
    report(owner, "script-src", "eval", OLD)
    memory.clear_all()
    return owner


def resolve_hosts() -> None:
    client = in_admin("owner")
    for group in Group.objects.filter(blocked_source__contains="."):
        client.post(f"/admin/csp/group/{group.pk}/decide/", {"state": "resolved"})


def test_copy_of_a_shop_whose_groups_were_resolved_keeps_its_hosts(shop: APIClient) -> None:
    resolve_hosts()
    page, found = shown_policy()
    # Images were covered by default-src, so img-src also has its sources.
    assert {name: set(sources) for name, sources in parse(found.policy).items()} == {
        "default-src": {"'self'"},
        "script-src": {"'self'", "https://cdn.example.net", "https://pay.example.net"},
        "img-src": {"'self'", "https://img.example.net"},
    }
    assert found.policy.count("'self'") == 3
    key = IngestKey.objects.get().value
    url = f"http://127.0.0.1:3000{PATH}?key={key}"
    assert f"Content-Security-Policy: {found.policy}; report-uri {url}" in unescape(page.text)
    assert [(str(each), each.blocked) for each in found.rest] == [
        ("Event handler", 4),
        ("Text run as code (eval)", 1),
    ]
    text = text_in(page)
    assert "It would still block 5 of the 14 tested reports" in text
    assert "script-src has a nonce" in text
    assert "base-uri is missing" in text


def test_newest_policy_counts_and_not_the_one_of_most_clients(shop: APIClient) -> None:
    resolve_hosts()
    new = "default-src 'self'; script-src 'self' https://cdn.example.net; base-uri 'none'"
    report(shop, "script-src-elem", "inline", new, 9)
    found = shown_policy()[1]
    assert found.policy == (
        "default-src 'self'; script-src 'self' https://cdn.example.net https://pay.example.net; "
        "base-uri 'none'; img-src 'self' https://img.example.net"
    )
    assert [each.is_sent for each in found.entries].count(True) == 1
    # An old browser tab does not bring the old policy back, but it can be chosen.
    report(shop, "script-src-elem", "inline", OLD, 1)
    [old] = shown_policy()[1].others
    assert shown_policy()[1].sent.text == new
    assert "base-uri" not in shown_policy(policy=old.digest)[1].policy


def test_policy_of_one_client_is_not_the_policy_of_the_site(shop: APIClient) -> None:
    """A proxy or an extension may change the policy of one client, and anyone can forge one."""
    report(shop, "font-src", "fonts.example.net", "font-src 'none'", 7)
    for address in (1, 2):
        report(shop, "font-src", "fonts.example.net", OLD, address)
    assert "default-src 'self'" in shown_policy()[1].policy


def test_acknowledged_group_is_accepted_and_a_new_one_is_not(shop: APIClient) -> None:
    Group.objects.filter(blocked_source="img.example.net").update(state="acknowledged")
    found = shown_policy()[1]
    assert [each.advice.policy_entry for each in found.entries] == [
        "img-src 'self' https://img.example.net"
    ]
    assert {each.blocked_source for each in found.rest} >= {*HOSTS["script-src"]}


def test_policy_of_a_site_without_a_key_names_the_missing_directives(shop: APIClient) -> None:
    IngestKey.objects.update(retired_at=timezone.now())
    page, found = shown_policy()
    assert "report-uri" not in "".join(lines for *_, lines in found.copies)
    assert "Add those of your server" in text_in(page)


@pytest.mark.django_db
def test_policy_of_the_site_with_the_largest_group_is_shown_first() -> None:
    make_group(site="https://a.example", client_days=2)
    make_group(site="https://b.example", client_days=3)
    make_group(site=OTHER_SITE, client_days=4)
    assert "Policy of https://b.example" in in_admin("owner").get(PAGE).text


@pytest.mark.parametrize(
    ("reported", "written"),
    [
        ('script-src \'self\' "$x" a{b} \\\\n; x"; y z', "script-src 'self'; y z"),
        # Without the nonce, 'unsafe-inline' would have an effect.
        ("script-src 'nonce-{nonce}' 'unsafe-inline' https:", "script-src https:"),
        ("style-src 'unsafe-inline'; report-uri /x", "style-src 'unsafe-inline'"),
    ],
)
def test_copy_contains_only_what_is_safe(reported: str, written: str) -> None:
    assert composition.written(composition.copy_of(reported)[0]) == written


@pytest.mark.django_db
def test_page_without_reports() -> None:
    assert "No stored report" in text_in(in_admin("owner").get(PAGE))
