"""Groups of reports: their numbers, the clients of a day, and the rows that a flood stores."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from csp import services
from csp.models import ClientKey, DistinctHash, Group, GroupHour, Report
from csp.parsing.formats import Format, parse
from csp.scrubbing.reports import scrubbed
from csp.writing import distinct, writer
from csp.writing.batch import WEIGHT
from csp.writing.entries import browser_of, client_address_hash
from csp.writing.terms import TERMS, terms_of
from kernel.http import asking
from tests.support.api.client import APIClient
from tests.support.browsers import browser_reports
from tests.support.commands import run, write_lines
from tests.support.csp.reports import CHROME, FIREFOX, NOW, entries, legacy, send

KEPT = f"""
SELECT count(*), sum(weight)
FROM generate_series(%s::bigint, %s) AS place, LATERAL (SELECT {WEIGHT} AS weight) AS weighed
WHERE place %% weight = 0
"""  # noqa: S608 - only constants


def cause(**members: Any) -> tuple[str, str]:
    return scrubbed(parse(legacy(**members)).violations[0]).cause


@pytest.mark.parametrize(
    ("blocked", "source"),
    [
        ("https://CDN.example.net/a.js?x", "cdn.example.net"),
        ("https://cdn.example.net:443/", "cdn.example.net"),
        ("http://cdn.example.net:8080/", "cdn.example.net:8080"),
        ("https://8080--main--dev--alice.apps.example.com/", None),
        ("data:image/png;base64,AAAA", "data"),
        ("data", "data"),
        ("chrome-extension://abc/x.js", "chrome-extension"),
        ("inline", "inline"),
        ("self", "inline"),
        ("", "unknown"),
        ("eval", "eval"),
        ("trusted-types-sink", "trusted-types-sink"),
        ("//cdn.example.net/a.js", "cdn.example.net"),
    ],
)
def test_blocked_source_is_host_scheme_or_keyword(blocked: str, source: str | None) -> None:
    expected = source or "{port}--{agent}--{workspace}--{user}.apps.example.com"
    assert cause(blocked_uri=blocked)[1] == expected


@pytest.mark.parametrize(
    ("effective", "violated", "blocked", "expected"),
    [
        ("script-src-elem", "script-src", "https://a.test/", ("script-src", "a.test")),
        ("style-src-elem", "style-src", "https://a.test/", ("style-src", "a.test")),
        ("", "script-src 'self' https://b.test", "https://a.test/", ("script-src", "a.test")),
        ("", "IMG-SRC", "https://a.test/", ("img-src", "a.test")),
        ("script-src https://u:p@h.test/?k=1", "", "https://a.test/", ("script-src", "a.test")),
        ("https://u:p@h.test/?k=1", "", "https://a.test/", ("{secret}", "a.test")),
        ("", "", "https://a.test/", ("", "a.test")),
        # Inline elements, attributes and eval are different causes.
        ("script-src-elem", "", "inline", ("script-src-elem", "inline")),
        ("script-src-attr", "", "inline", ("script-src-attr", "inline")),
        ("script-src", "", "eval", ("script-src", "eval")),
    ],
)
def test_directive_is_the_effective_one(
    effective: str, violated: str, blocked: str, expected: tuple[str, str]
) -> None:
    members = {"effective_directive": effective, "violated_directive": violated}
    assert cause(blocked_uri=blocked, **members) == expected


@pytest.mark.parametrize(
    ("agent", "browser"),
    [
        (FIREFOX, "Firefox 149"),
        (CHROME, "Chrome 142"),
        (f"{CHROME} Edg/142.0.0.0", "Edge 142"),
        ("Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 Version/18.1 Safari/605.1.15", "Safari 18"),
        ("curl/8", ""),
        ("", ""),
    ],
)
def test_browser_is_name_and_major_version(agent: str, browser: str) -> None:
    assert browser_of(agent) == browser


@pytest.mark.django_db
def test_flood_stores_a_thousand_rows_and_then_a_hundred_per_doubling() -> None:
    def kept(first: int, last: int) -> tuple[int, int]:
        """Returns the number of stored rows for these reports, and how many they represent."""
        with connection.cursor() as cursor:
            cursor.execute(KEPT, [first, last])
            rows, reports = cursor.fetchone()
            return int(rows), int(reports)

    assert kept(1, 1000) == (1000, 1000)
    for start in (1000, 2000, 4000, 64_000):
        assert kept(start + 1, 2 * start) == (100, start)
    assert kept(9_000_000, 9_200_000)[0] < 5


@pytest.mark.usefixtures("collecting")
def test_reports_of_all_browsers_make_one_group_per_cause(tmp_path: Path) -> None:
    sent = browser_reports.reports(2_100)
    message = run("import_csp_reports", write_lines(tmp_path / "a.jsonl", *sent))
    assert message.startswith("2,100 lines")
    assert set(Report.objects.values_list("format", flat=True)) == set(Format)
    groups = Group.objects.values_list("directive", F("reports") + F("noise_reports"))
    directives = sorted(groups)
    assert directives == sorted((cause.directive, 140) for cause in browser_reports.CAUSES)
    hidden = Group.objects.exclude(noise_rule=None).filter(reports=0)
    sources = set(hidden.values_list("blocked_source", flat=True))
    assert sources == {"chrome-extension", "moz-extension"}


def flood(clients: int, *, each: int = 1) -> None:
    for start in range(0, clients, 500):
        batch = range(start, min(start + 500, clients))
        found = [entries(legacy(), times=each, address=f"10.0.{number}") for number in batch]
        asking.run(writer.write(list(chain.from_iterable(found))))


@pytest.mark.usefixtures("collecting")
def test_flood_has_exact_counts_and_few_rows() -> None:
    flood(1_000, each=3)
    assert Group.objects.get().reports == GroupHour.objects.get().reports == 3_000
    assert 1_000 < Report.objects.count() < 1_250


@pytest.mark.usefixtures("collecting")
def test_reach_is_exact_up_to_the_limit_and_then_close() -> None:
    flood(distinct.EXACT)
    assert Group.objects.get().client_days == distinct.EXACT
    flood(4_000)
    assert Group.objects.get().client_days == pytest.approx(4_000, rel=0.12)
    assert Group.objects.get().pages == 1
    members = DistinctHash.objects.filter(kind=DistinctHash.Kind.CLIENT_DAY)
    assert members.count() > distinct.EXACT
    services.prune_reports(NOW)
    assert members.count() == pytest.approx(distinct.EXACT, rel=0.12)
    flood(4_000)
    assert Group.objects.get().client_days == pytest.approx(4_000, rel=0.12)


FIRST, SECOND = date(2026, 1, 1), date(2026, 1, 2)
ADDRESS = "203.0.113.7"


@pytest.mark.django_db(transaction=True)
def test_client_has_another_hash_the_next_day_by_a_key_of_all_processes() -> None:
    TERMS.clear()
    drawn, others = (terms_of(day).client_key for day in (FIRST, SECOND))
    one = client_address_hash(ADDRESS, drawn)
    assert len(one) == 16
    assert one == client_address_hash(ADDRESS, terms_of(FIRST).client_key)
    assert one != client_address_hash(ADDRESS, others)
    assert one != client_address_hash("203.0.113.8", drawn)
    TERMS.clear()
    assert terms_of(FIRST).client_key == drawn == bytes(ClientKey.objects.get(day=FIRST).secret)


@pytest.mark.usefixtures("collecting")
def test_keys_of_past_days_are_deleted_and_hashes_stay(member: APIClient) -> None:
    TERMS.clear()
    assert send(member, legacy()).status_code == 200
    today = datetime.now(tz=UTC)
    services.prune_reports(today)
    assert ClientKey.objects.count() == 1
    services.prune_reports(today + timedelta(days=2))
    assert not ClientKey.objects.exists()
    assert len(Report.objects.get().client_address_hash) == 16
