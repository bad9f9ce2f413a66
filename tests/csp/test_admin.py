from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.services import SYSTEM
from csp.models import Group, NoiseRule, Report
from csp.services import create_ingest_key
from kernel import memory
from tests.support.api.client import APIClient
from tests.support.browsers.markup import text_in
from tests.support.commands import run
from tests.support.csp.reports import in_admin, legacy, modern, send

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("collecting")]


@pytest.fixture
def pages() -> Client:
    """Returns the client of an owner in the admin."""
    return in_admin("owner")


def text_of(answer: Any) -> str:
    assert answer.status_code == 200, answer
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return str(content.decode())


def act(pages: Client, model: str, action: str, *rows: Any) -> Any:
    url = reverse(f"admin:csp_{model}_changelist")
    data = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    return pages.post(url, data, follow=True)


def rule_form(pages: Client, group: Group) -> tuple[str, Any]:
    """Returns the address of the form for a noise rule of the group, and the form."""
    page = text_of(pages.get(reverse("admin:csp_group_change", args=[group.pk])))
    [found] = re.findall(r'href="([^"]+)">Make a noise rule', page)
    return unescape(found), pages.get(unescape(found))


def test_reports_are_listed_found_and_shown(pages: Client, member: APIClient) -> None:
    """A filter or a search reads the reports once, also if it finds few or none."""
    send(member, legacy(blocked_uri="https://one.example.net/x.js"))
    send(member, legacy(blocked_uri="https://two.example.net/x.js", disposition="report"))
    url = reverse("admin:csp_report_changelist")
    assert "one.example.net" in text_of(pages.get(url))
    for query, found in (
        ({"q": "two.example"}, ["two"]),
        ({"disposition": "report"}, ["two"]),
        ({"disposition": "enforce"}, ["one"]),
        ({"q": "example.net/x"}, ["one", "two"]),
        ({"q": "no-such-word"}, []),
        ({"q": "one.example", "disposition": "report"}, []),
    ):
        with CaptureQueriesContext(connection) as queries:
            page = pages.get(url, query)
        assert [host for host in ("one", "two") if f"{host}.example.net" in text_of(page)] == found
        assert len(page.context["cl"].result_list) == len(found)
        reading = [each["sql"] for each in queries if 'FROM "csp_report"' in each["sql"]]
        assert sum('"csp_report"."id" IN' not in sql for sql in reading) == 1
    report = Report.objects.all()[0]
    shown = text_of(pages.get(f"{url}{report.pk}/change/"))
    assert "two.example.net" in shown
    assert f"{report.received_at:%Y-%m-%d %H:%M:%S} UTC" in shown


def test_list_of_reports_never_reads_all_of_them(pages: Client, member: APIClient) -> None:
    """Counts have a limit, and only the column with an index sorts the list."""
    send(member, legacy())
    url = reverse("admin:csp_report_changelist")
    today = f"{timezone.now():%Y-%m-%d}"
    with CaptureQueriesContext(connection) as queries:
        assert f"day={today}" in text_of(pages.get(url, {"_facets": "True"}))
    reading = [query["sql"] for query in queries if '"csp_report"' in query["sql"]]
    assert not any("DISTINCT" in sql for sql in reading)
    assert ["LIMIT" in sql for sql in reading if "COUNT" in sql] == [True]
    for day, shown in ((today, True), ("2020-01-01", False), ("never", True)):
        assert ("cdn.example.net" in text_of(pages.get(url, {"day": day}))) is shown
    assert re.findall(r'class="sortable column-(\w+)', text_of(pages.get(url))) == ["received_at"]
    assert pages.get(url, {"o": "3"}).context["cl"].queryset.query.order_by == ("-pk",)


def test_reports_cannot_be_changed(pages: Client, member: APIClient) -> None:
    send(member, legacy())
    url = reverse("admin:csp_report_change", args=[Report.objects.get().pk])
    assert pages.post(url, {"blocked_uri": "x"}).status_code == 403
    assert pages.post(url.replace("change", "delete"), {"post": "yes"}).status_code == 403


def test_groups_are_ordered_by_client_days_without_noise(pages: Client, member: APIClient) -> None:
    for _ in range(3):
        send(member, legacy(blocked_uri="https://narrow.example.net/"))
    for last in range(2):
        send(
            member,
            legacy(blocked_uri="https://wide.example.net/"),
            REMOTE_ADDR=f"203.0.113.{last}",
        )
    send(member, legacy(blocked_uri="moz-extension"))
    url = reverse("admin:csp_group_changelist")
    shown = text_of(pages.get(url))
    assert 0 < shown.index("wide.example.net") < shown.index("narrow.example.net")
    table = shown[shown.index('id="result_list"') :]
    assert "moz-extension" not in table[: table.index("</table>")]
    assert "moz-extension" in text_of(pages.get(url, {"noise": "only"}))
    assert "wide" in text_of(pages.get(url, {"blocked_source": "wide.example.net"}))


def test_made_up_directives_do_not_flood_the_filters(pages: Client, member: APIClient) -> None:
    for start in range(0, 2_000, 100):
        send(member, [modern(effectiveDirective=f"x{start + n}-src") for n in range(100)])
    url = reverse("admin:csp_group_changelist")
    page = text_of(pages.get(url, {"_facets": "True"}))
    assert page.count("?_facets=True&amp;directive=") <= 20
    assert "x77-src" in text_of(pages.get(url, {"directive": "x77-src"}))


def test_group_page_has_chart_breakdown_and_samples(pages: Client, member: APIClient) -> None:
    send(member, legacy(script_sample="<script>alert(1)</script>", blocked_uri="<b>bold</b>"))
    page = "https://coder.example.com/@alice/dev"
    send(member, legacy(document_uri=page, blocked_uri="<b>bold</b>"))
    shown = text_of(pages.get(reverse("admin:csp_group_change", args=[Group.objects.get().pk])))
    assert "<rect" in shown
    for facet in ("coder.example.com/workspaces", "@{user}/{workspace}", "enforce"):
        assert f"{facet}</td><td>" in shown
    assert "<b>bold" not in shown
    assert "style=" not in shown[shown.index("<svg") : shown.index("</svg>")]


def test_csv_and_command_list_groups_by_their_cause(pages: Client, member: APIClient) -> None:
    for source in ("https://cdn.example.net/a.js", "moz-extension"):
        send(member, legacy(blocked_uri=source))
    chosen = [str(group.pk) for group in Group.objects.all()]
    url = reverse("admin:csp_group_changelist", query={"noise": "all"})
    answer = pages.post(url, {"action": "export_csv", "_selected_action": chosen})
    rows = csv.DictReader(io.StringIO(text_of(answer)))
    assert {(row["title"], row["next_step"]) for row in rows} == {
        ("Script from cdn.example.net", "Check it (risk: high)"),
        ("Script of a browser extension", "None (noise: extensions)"),
    }
    listed = run("list_csp_groups")
    assert "  new           Script from cdn.example.net" in listed
    assert "1 of 1 group." in listed
    assert "Script of a browser extension" in run("list_csp_groups", include_noise=True)


@pytest.mark.parametrize(
    ("cell", "is_formula"),
    [
        ("=cmd|' /C calc'!A0", True),
        ("\uff1dSUM(1)", True),
        ("\uff20A1", True),
        ("a;=HYPERLINK(1)", False),
        ('"quoted"', False),
    ],
)
def test_no_cell_is_a_formula_with_any_separator(
    pages: Client, member: APIClient, cell: str, is_formula: bool
) -> None:
    send(member, legacy())
    Report.objects.update(blocked_uri=cell)
    exported = text_of(act(pages, "report", "export_csv", *Report.objects.all()))
    for line in exported.splitlines():
        assert line.startswith('"')
        assert line.endswith('"')
    [row] = csv.DictReader(io.StringIO(exported))
    assert row["blocked_uri"] == (f"'{cell}" if is_formula else cell)
    assert "client_address_hash" not in row


def test_export_has_every_row_with_large_numbers(pages: Client, member: APIClient) -> None:
    send(member, [modern(), modern()])
    Report.objects.update(other_members={"a": 2**63})
    exported = text_of(act(pages, "report", "export_json_lines", *Report.objects.all()))
    rows = [json.loads(line) for line in exported.splitlines()]
    assert [row["other_members"] for row in rows] == [{"a": 2**63}] * 2
    assert datetime.fromisoformat(rows[0]["received_at"]).tzinfo is not None
    group = text_of(act(pages, "group", "export_json_lines", *Group.objects.all()))
    assert json.loads(group)["blocked_source"] == "cdn.example.net"


def test_rule_is_made_from_a_group_labels_groups_and_is_deleted(
    pages: Client, member: APIClient
) -> None:
    for number in range(2):
        send(member, legacy(blocked_uri="https://ads.example.net/", line_number=number))
        send(member, legacy(blocked_uri="https://good.example.org/"))
    add, form = rule_form(pages, Group.objects.get(blocked_source="ads.example.net"))
    # Without the tick, the rule labels only new reports.
    values = form.context["adminform"].form.initial | {"is_enabled": "on", "label_stored": ""}
    shown = text_of(pages.post(add, values, follow=True))
    rule = NoiseRule.objects.get(target="host", pattern="ads.example.net")
    assert re.search(
        f"all stored reports match {rule.name}: <a href=.*To hide them now, ", shown, re.DOTALL
    )
    assert Group.objects.visible().count() == 2
    assert f"all stored reports match {rule.name}" in text_of(
        act(pages, "noiserule", "dry_run", rule)
    )
    act(pages, "noiserule", "label_groups", rule)
    assert [group.blocked_source for group in Group.objects.visible()] == ["good.example.org"]
    send(member, legacy(blocked_uri="https://ads.example.net/"))
    page = text_of(pages.get(reverse("admin:csp_noiserule_change", args=[rule.pk])))
    assert f"{timezone.now():%Y-%m-%d}: 1" in page
    assert "blocked https://ads.example.net/" in page
    [hidden] = re.findall(r'href="([^"]+)">Show all groups', page)
    assert "ads.example.net" in text_of(pages.get(unescape(hidden)))
    act(pages, "noiserule", "disable", rule)
    act(pages, "noiserule", "enable", rule)
    assert Group.objects.visible().count() == 1
    pages.post(reverse("admin:csp_noiserule_delete", args=[rule.pk]), {"post": "yes"})
    assert Group.objects.visible().count() == 2


def test_dry_run_is_only_for_people_who_may_add_rules(pages: Client, member: APIClient) -> None:
    send(member, legacy(blocked_uri="https://ads.example.net/"))
    form = f"{reverse('admin:csp_noiserule_add')}?pattern=ads.example.net&target="
    assert "In 1 visible group with 1 report" in text_in(pages.get(f"{form}host"))
    assert pages.get(f"{form}x").status_code == 200
    # Messages would also appear on the page that refuses.
    refused = in_admin("user-admin").get(f"{form}host")
    assert (refused.status_code, "visible group" in refused.text) == (403, False)


def test_rule_made_from_a_group_hides_its_stored_reports_on_its_site_only(
    pages: Client, member: APIClient
) -> None:
    """In one step: the form says how many, and saving it hides them."""
    portal, shop = "https://portal.example", "https://shop.example:8443"
    create_ingest_key(origins=[portal, shop], actor=SYSTEM, now=timezone.now())
    for site in (portal, shop):
        for _ in range(3):
            send(member, legacy(blocked_uri="https://ads.example.net/", document_uri=f"{site}/"))
    memory.clear_all()
    add, asked = rule_form(pages, Group.objects.get(site=shop))
    assert "In 1 visible group with 3 reports" in text_in(asked)
    values = asked.context["adminform"].form.initial | {"is_enabled": "on"}
    assert (values["site"], values["label_stored"]) == (shop, "on")
    long = {"site": "", "reason": "long " * 10_000, "_dry_run": "1"}
    everywhere = pages.post(add, values | long)
    assert everywhere.context["adminform"].form.initial["reason"] == long["reason"]
    assert "In 2 visible groups with 6 reports" in text_in(everywhere)
    assert not NoiseRule.objects.filter(is_built_in=False).exists()
    saved = pages.post(add, values, follow=True)
    assert "Groups with the new label host-ads-example-net-shop-example-8443: 1." in text_in(saved)
    assert [group.site for group in Group.objects.visible()] == [portal]
    for site in (portal, shop):
        send(member, legacy(blocked_uri="https://ads.example.net/a", document_uri=f"{site}/"))
    assert list(Group.objects.visible().values_list("site", "reports")) == [(portal, 4)]
    assert shop in text_of(pages.get(reverse("admin:csp_noiserule_changelist")))


def test_saving_a_rule_shows_which_stored_reports_match(pages: Client, member: APIClient) -> None:
    send(member, legacy(source_file="https://ads.example.net/x.js"))
    send(member, legacy())
    add = reverse("admin:csp_noiserule_add")
    rule = {"category": "own", "reason": "none", "target": "host"}
    for name, host, message in (
        ("one", "ads.example.net", "only some stored reports match one"),
        ("other", "ads.example.org", "No visible stored report matches other."),
    ):
        shown = text_of(pages.post(add, rule | {"name": name, "pattern": host}, follow=True))
        assert message in shown


def test_pattern_that_can_never_match_is_refused_with_a_hint(pages: Client) -> None:
    rule = {"name": "own", "category": "own", "reason": "none"}
    for target, pattern, instead in (
        ("host", "https://foo.example", "Write only a host, without scheme"),
        ("host", "*", "Write only a host"),
        ("host", "*.", "Write only a host"),
        ("host", "foo.example:8080", "Write only a host"),
        ("host", "foo.*.example", "Write only a host"),
        ("host", "dev.localhost", "Write another host"),
        ("scheme", "inline", "Write the scheme or host of the source file"),
        ("scheme", "https", "write a host"),
        ("document-scheme", "https://", "write a host"),
        ("scheme", "moz-extension://abc", "Write only a scheme"),
        ("path", "/", "Write the start of a path"),
        ("path", "https://foo.example/a", "Write the start of a path"),
        ("path", "/a?b", "Write the start of a path"),
    ):
        form = rule | {"target": target, "pattern": pattern}
        page = pages.post(reverse("admin:csp_noiserule_add"), form)
        assert instead in str(page.context["errors"]), pattern
    assert not NoiseRule.objects.filter(name="own").exists()


@pytest.mark.parametrize(("most", "shown"), [(3, "2 violation groups"), (2, "2 or more viol")])
def test_number_of_rows_is_exact_or_says_that_it_is_not(
    pages: Client, owner: APIClient, monkeypatch: pytest.MonkeyPatch, most: int, shown: str
) -> None:
    monkeypatch.setattr("kernel.admin.MAX_COUNTED", most)
    for host in ("one.test", "two.test"):
        send(owner, legacy(blocked_uri=f"https://{host}/a.js"))
    assert shown in " ".join(text_of(pages.get("/admin/csp/group/")).split())
