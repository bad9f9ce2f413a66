from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from csp.models import Group, GroupHour, Report
from tests.support.api.client import APIClient
from tests.support.csp.reports import FIREFOX, PATH, legacy, modern, send

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("collecting")]


def test_report_is_stored_and_answered_ok(member: APIClient) -> None:
    answer = send(member, legacy(), HTTP_USER_AGENT=FIREFOX)
    assert (answer.status_code, answer.json()) == (200, "ok")
    assert answer["Content-Type"] == "application/json; charset=utf-8"
    report = Report.objects.get()
    assert report.blocked_uri == "https://cdn.example.net/lib.js"
    found = (report.disposition, report.status_code, report.browser)
    assert found == ("enforce", 200, "Firefox 149")
    assert abs(timezone.now() - report.received_at) < timedelta(minutes=1)


def test_every_report_of_an_array_is_stored(member: APIClient) -> None:
    assert send(member, [modern(), modern(lineNumber=13)]).json() == "ok"
    assert set(Report.objects.values_list("line_number", flat=True)) == {12, 13}
    assert send(member, [modern(originalPolicy="x" * 7_000)] * 100).status_code == 200
    assert Report.objects.count() == 102


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://testserver", "Host": "testserver"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://evil.example"}, 401),
        ({"Sec-Fetch-Site": "same-site"}, 401),
        # Another site cannot send this header.
        ({"Origin": "https://evil.example", "Coder-Session-Token": "token"}, 200),
    ],
)
def test_cookie_counts_only_for_pages_of_this_service(
    member: APIClient, settings: Any, headers: dict[str, str], status: int
) -> None:
    settings.CSP_ALLOWED_SENDERS = "authenticated"
    browser = APIClient()
    browser.cookies["coder_session_token"] = member.token
    headers = {name: member.token if value == "token" else value for name, value in headers.items()}
    answer = send(browser, legacy(), headers=headers)
    assert answer.status_code == status
    # Without a user, the limit of the address applies.
    before = int(answer["X-RateLimit-Remaining"])
    mine = send(member, legacy())
    assert (int(mine["X-RateLimit-Remaining"]) == before - 1) == (status == 200)


@pytest.mark.parametrize("unit", ["a@b.c,", "token=x;", "/@a/b/", "https://a--b--c.d/ ", "x"])
def test_texts_that_grow_by_masking_fit_their_columns(member: APIClient, unit: str) -> None:
    texts = [name for name, value in modern()["body"].items() if isinstance(value, str)]
    long = [modern(**{name: unit * 500}) for name in texts]
    short = [modern(**{name: (unit * 10)[:64]}) for name in texts]
    assert send(member, [modern(lineNumber=99), *long, *short]).status_code == 200
    assert Report.objects.count() == 1 + 2 * len(texts)


def test_unknown_members_beside_the_report_are_kept(member: APIClient) -> None:
    send(member, [modern(own=1) | {"beside": 2, "big": ["x" * 9000]}])
    assert Report.objects.get().other_members == {"beside": 2, "own": 1, "(left out)": 1}


@pytest.mark.parametrize(
    ("age", "days"), [(10**9, 2), (2**31, 2), (1e300, 2), (86_400_000, 1), (1500, 1 / 57_600)]
)
def test_age_is_subtracted_up_to_two_days(member: APIClient, age: float, days: float) -> None:
    send(member, [modern() | {"age": age}])
    report = Report.objects.get()
    assert report.received_at - report.occurred_at == timedelta(days=days)


def test_values_that_postgresql_rejects_are_cleaned(member: APIClient) -> None:
    body = (
        b'{"csp-report": {"blocked-uri": "a\\u0000b", "source-file": "\\ud800x", "big": '
        + b"9" * 5000
        + b', "inf": 1e400, "script-sample": "\xff\xfe", "line-number": "17"}}'
    )
    assert member.post_json(PATH, body).status_code == 200
    report = Report.objects.get()
    assert (report.blocked_uri, report.source_file) == ("a\ufffdb", "\ufffdx")
    assert report.other_members == {"big": None, "inf": None}
    assert report.line_number == 17
    # A number beyond 64 bits beside a raw tab, which only the tolerant parser reads.
    odd = json.dumps(modern(n=17, sample="a\tb", lineNumber=17)).replace("17", "9" * 20)
    body = f"[{json.dumps(modern())}, {odd}]".replace("\\t", "\t").encode()
    assert member.post_json(PATH, body).json() == "ok"
    found = Report.objects.exclude(pk=report.pk).order_by("line_number")
    names = ("line_number", "other_members", "sample")
    assert list(found.values_list(*names)) == [(12, {}, ""), (None, {"n": None}, "a\tb")]


def test_similar_reports_are_one_group(member: APIClient) -> None:
    # These are one page.
    for number, page in enumerate(("c.example/a", "u:p@c.example/a#1", "c.example/a?x#2")):
        url = f"https://cdn.example.net/{number}.js?v={number}"
        send(member, legacy(blocked_uri=url, document_uri=f"https://{page}"))
    other = {"effective_directive": "script-src", "disposition": "report"}
    send(member, legacy(document_uri="https://c.example/a", **other))
    send(member, legacy(blocked_uri="https://elsewhere.example.net/"))
    group = Group.objects.get(blocked_source="cdn.example.net")
    assert (group.reports, group.directive) == (4, "script-src")
    assert (group.pages, group.client_days) == (1, 1)
    assert sum(GroupHour.objects.filter(group=group).values_list("reports", flat=True)) == 4
    assert Group.objects.count() == 2


def test_nothing_private_is_stored(member: APIClient) -> None:
    secret = member.token
    report = legacy(
        document_uri=f"https://u:p@coder.example.com/@alice/dev?coder_session_token={secret}",
        referrer=f"https://coder.example.com/path?token={secret}",
        original_policy=f"script-src 'self'; report-uri /api?coder_session_token={secret}",
        blocked_uri=f"https://cdn.example.net/{secret}/x.js#frag",
        source_file=f"https://coder.example.com/a.js?key={secret}",
        script_sample=f"token={secret}",
        unknown={"deep": [f"https://x.example.com/?q={secret}"]},
    )
    send(member, report, REMOTE_ADDR="203.0.113.7")
    stored = json.dumps(list(Report.objects.values()) + list(Group.objects.values()), default=repr)
    for private in (secret, secret[11:], "alice", "203.0.113.7", "u:p@", "#frag"):
        assert private not in stored
