"""The whole policy of a site: its grade, and the policy with the accepted entries."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from csp.advice.grading import grade
from csp.advice.policy import parse
from csp.models import Group
from csp.triage import site_policy
from csp.triage.policies import most_reported, normalized
from tests.support.client import APIClient
from tests.support.csp_reports import in_admin, legacy, send
from tests.support.markup import text_in

PAGE = "/admin/csp/group/site-policy/"
REST = "object-src 'none'; base-uri 'none'; frame-ancestors 'self'; form-action 'self'"


@pytest.mark.parametrize(
    ("policy", "letter", "words"),
    [
        ("img-src 'self'", "F", "neither script-src nor default-src"),
        (f"script-src 'self' 'unsafe-inline'; {REST}", "D", "'unsafe-inline'"),
        (f"script-src https:; {REST}", "D", "scripts of any host"),
        (f"script-src 'self' https://unpkg.com; {REST}", "D", "unpkg.com"),
        (f"script-src 'self' *.google-analytics.com; {REST}", "B", "every host below"),
        (f"script-src 'self' https://www.google.com; {REST}", "D", "www.google.com"),
        (f"script-src 'self' 'unsafe-eval'; {REST}", "C", "'unsafe-eval'"),
        (f"script-src 'self' http://cdn.example.com; {REST}", "C", "on the network"),
        ("default-src 'self'", "B", "base-uri is missing"),
        (f"script-src 'self'; {REST}", "A", ""),
        (f"script-src 'nonce-a' 'unsafe-inline'; {REST}", "A", ""),
        (f"script-src 'nonce-a' 'strict-dynamic' https: 'unsafe-inline'; {REST}", "A", ""),
    ],
)
def test_policy_is_graded(policy: str, letter: str, words: str) -> None:
    found = grade(parse(policy))
    assert found.letter == letter
    assert words in " ".join(each.reason for each in found.weaknesses)


@given(st.text(max_size=200))
def test_any_policy_has_a_grade(text: str) -> None:
    assert grade(parse(text)).letter in set("ABCDF")


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


@given(st.text(max_size=200), st.text(max_size=40))
def test_any_policy_is_compared(policy: str, page: str) -> None:
    assert normalized(policy, page) == normalized(f"{policy};", page)


def test_clients_with_different_browsers_reported_one_policy() -> None:
    counted = [("script-src 'self'", 6), (FIREFOX_FORM, 5), (CHROMIUM_FORM, 4)]
    assert most_reported(counted, SITE) == (CHROMIUM_FORM, 9)
    assert most_reported([], SITE) == ("", 0)


@pytest.mark.django_db(transaction=True)
def test_page_adds_the_accepted_entries(collecting: None, owner: APIClient) -> None:
    policy = "script-src 'self' 'nonce-abc'; img-src 'self'; report-uri /reports; report-to csp"
    for host in ("img.example.net", "other.example.net"):
        report = {"effective-directive": "img-src", "violated-directive": "img-src"}
        blocked = {"blocked-uri": f"https://{host}/a.png", "original-policy": policy}
        send(owner, legacy(**report, **blocked))
    Group.objects.filter(blocked="img.example.net").update(state="acknowledged")

    page = in_admin("auditor").get(PAGE)

    shown = page.content.decode()
    assert "img-src https://img.example.net &#x27;self&#x27;" in shown
    assert "https://other.example.net" not in shown
    assert page.context["found"].proposed == (
        "script-src 'self'; img-src https://img.example.net 'self'"
    )
    assert "Grade of the reported policy: B" in text_in(page)
    assert "1 of 1" in text_in(page)
    assert "add_header Content-Security-Policy" in shown


@pytest.mark.django_db(transaction=True)
def test_forged_policy_cannot_end_the_line_of_nginx(collecting: None, owner: APIClient) -> None:
    send(owner, legacy(**{"original-policy": 'script-src \'self\' "$x" a{b} \\n; x"; y z'}))
    shown = text_in(in_admin("owner").get(PAGE))
    assert "Grade" in shown
    line = in_admin("owner").get(PAGE).context["found"].nginx
    assert line == "add_header Content-Security-Policy \"script-src 'self'; y z\" always;"


@pytest.mark.django_db(transaction=True)
def test_group_with_many_new_reports_does_not_outvote_the_others(
    collecting: None, owner: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_policy, "MAX_READ", 4)
    usual, other = {"original-policy": "img-src 'none'"}, {"original-policy": "font-src 'none'"}
    for n in range(3):
        report = legacy(**usual, **{"blocked-uri": f"https://h{n}.test/a.js"})
        send(owner, report, REMOTE_ADDR=f"192.0.2.{n}")
    for n in range(3, 8):
        report = legacy(**other, **{"blocked-uri": "https://cdn.test/a.js"})
        send(owner, report, REMOTE_ADDR=f"192.0.2.{n}")

    found = in_admin("owner").get(PAGE).context["found"]

    assert (found.reported, found.clients) == ("img-src 'none'", 3)


@pytest.mark.django_db(transaction=True)
def test_policy_of_another_site_and_of_an_old_week_does_not_count(
    collecting: None, owner: APIClient
) -> None:
    send(owner, legacy(**{"original-policy": "img-src 'none'"}))
    Group.objects.update(site="https://portal.test")
    assert in_admin("owner").get(PAGE).context["found"].reported == "img-src 'none'"
    Group.objects.update(last_seen=timezone.now() - timedelta(days=8))
    assert in_admin("owner").get(PAGE).context["found"].reported == ""


@pytest.mark.django_db
def test_page_without_reports() -> None:
    assert "No stored report" in text_in(in_admin("owner").get(PAGE))
