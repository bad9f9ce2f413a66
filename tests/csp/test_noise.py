from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.services import SYSTEM
from csp import services
from csp.directives import EXTENSIONS
from csp.migrations._built_in_rules import BUILT_IN, BuiltInRule, add_built_in
from csp.models import Group, GroupHour, NoiseRule, Report
from csp.noise.rules import Rules, checked_pattern, compiled, is_localhost, pattern_for
from csp.noise.stored import dry_run
from csp.scrubbing.address import address_of
from csp.writing import writer
from csp.writing.terms import TERMS
from kernel.http.asking import run
from tests.support.api.client import APIClient
from tests.support.csp.groups import GROUPS, patch
from tests.support.csp.reports import NOW, entries, legacy, send

FACEBOOK = "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 [FBAN/FBIOS;FBAV/500.0]"
PAGE = "https://coder.example.com/workspaces"
TRANSLATE = "www.gstatic.com/_/translate_http/"


@pytest.fixture(scope="module")
def built_in() -> Rules:
    return compiled(
        NoiseRule(id=n, target=rule.target, pattern=rule.pattern) for n, rule in enumerate(BUILT_IN)
    )


class Facts(NamedTuple):
    """The values of a report that noise rules are compared with."""

    blocked: str = ""
    source: str = ""
    document: str = PAGE
    agent: str = ""

    def addresses(self) -> dict[str, Any]:
        return {name: address_of(getattr(self, name)) for name in ("blocked", "source", "document")}


facts = Facts


def matching(rules: Rules, reported: Facts) -> NoiseRule | None:
    return rules.match(**reported.addresses(), user_agent=reported.agent, site="")


@pytest.mark.parametrize(
    ("reported", "pattern"),
    [
        (facts("chrome-extension"), "chrome-extension"),
        (facts("moz-extension://abc/inject.js"), "moz-extension"),
        (facts("safari-web-extension:x"), "safari-web-extension"),
        (facts("webkit-masked-url://hidden/"), "webkit-masked-url"),
        (facts("https://cdn.example.net/", "chrome-extension://abc"), "chrome-extension"),
        (facts("inline", "moz-extension"), "moz-extension"),
        (facts("eval", "https://gc.kis.v2.scr.kaspersky-labs.com/x.js"), "*.kaspersky-labs.com"),
        (facts("about"), "about"),
        (facts("https://example.net/", document="about"), "about"),
        (facts("https://translate.googleapis.com/x.css"), "translate.googleapis.com"),
        (facts("https://a.b.translate.goog/x"), "*.translate.goog"),
        (facts(f"https://{TRANSLATE}x.js"), TRANSLATE),
        (facts("data:text/html,chromewebdata"), "data:text/html,chromewebdata"),
        (facts("https://a.example/", document="chrome-error"), "chrome-error"),
        (facts("https://coder.example.com/netdefender/hb.js"), "/netdefender/"),
        (facts("https://example.net/", agent=FACEBOOK), "FBAN/"),
    ],
)
def test_built_in_rules_match_noise(built_in: Rules, reported: Facts, pattern: str) -> None:
    rule = matching(built_in, reported)
    assert rule is not None
    assert rule.pattern == pattern


@pytest.mark.parametrize(
    "reported",
    [
        facts("https://cdn.example.net/lib.js"),
        facts("http://localhost:3000/x", "chrome-extension"),
        facts("ws://127.0.0.1:8080/"),
        facts("http://[::1]:9/"),
        facts("http://127.0.0.2/", "chrome-extension"),
        facts("http://dev.localhost:3000/", "chrome-extension"),
        facts("https://www.gstatic.com/charts/loader.js"),
        facts("data", "data"),
        facts("inline"),
        facts("eval", f"{PAGE}/app.js", agent=FACEBOOK),
        facts("", agent=FACEBOOK),
        facts("inline", "https://coder.example.com/a.js"),
        facts("https://nottranslate.google.com/"),
        facts("https://kaspersky-labs.com.example.net/"),
        facts("data"),
        facts("blob"),
        facts(),
    ],
)
def test_built_in_rules_match_nothing_else(built_in: Rules, reported: Facts) -> None:
    assert matching(built_in, reported) is None


@pytest.mark.parametrize("pattern", ["moz-extension", "moz-extension:", "MOZ-extension://"])
@pytest.mark.parametrize("sent", ["moz-extension", "moz-extension:", "moz-extension://id/x"])
def test_scheme_matches_with_and_without_colon(pattern: str, sent: str) -> None:
    assert matching(compiled([NoiseRule(target="scheme", pattern=pattern)]), facts(sent))


def test_rule_of_a_site_matches_only_there_and_before_others() -> None:
    own, other = (
        NoiseRule(id=n, target="host", pattern="a.example", site=f"{n}.test") for n in (1, 2)
    )
    everywhere = NoiseRule(id=3, target="host", pattern="*.example")
    rules = compiled([everywhere, own, other])
    addresses = facts("https://a.example/x").addresses()
    sites = ("1.test", "2.test", "3.test")
    found = [rules.match(**addresses, user_agent="", site=site) for site in sites]
    assert found == [own, other, everywhere]


@pytest.mark.django_db
def test_adding_built_in_rules_again_keeps_changes() -> None:
    add_built_in(NoiseRule)
    changed = NoiseRule.objects.get(target="scheme", pattern="moz-extension")
    NoiseRule.objects.filter(pk=changed.pk).update(pattern="mine", is_enabled=False)
    count = NoiseRule.objects.count()
    add_built_in(NoiseRule)
    assert NoiseRule.objects.count() == count
    assert NoiseRule.objects.get(pk=changed.pk).pattern == "mine"


def test_built_in_rules_have_reason_reference_and_unique_name() -> None:
    assert all(rule.reason and rule.reference_url.startswith("https://") for rule in BUILT_IN)
    assert len({rule.name for rule in BUILT_IN}) == len(BUILT_IN)
    assert {rule.pattern for rule in BUILT_IN if rule.category == "extensions"} == EXTENSIONS


@pytest.mark.parametrize("host", ["127.0.0.1.example", "notlocalhost", "1127.0.0.1", "::2"])
def test_other_hosts_are_not_localhost(host: str) -> None:
    assert not is_localhost(host)


@pytest.mark.parametrize(
    ("target", "pattern", "kept"),
    [
        ("scheme", "MOZ-extension://", "moz-extension"),
        ("document-scheme", "about:", "about"),
        ("scheme", "data:text/html,chromewebdata", "data:text/html,chromewebdata"),
        ("host", " *.Foo.example", "*.foo.example"),
        ("path", "/inject/", "/inject/"),
        ("path", "Foo.example/A", "foo.example/A"),
        ("user-agent", "FBAN/", "FBAN/"),
    ],
)
def test_pattern_is_normalized(target: str, pattern: str, kept: str) -> None:
    assert checked_pattern(target, pattern) == kept


@pytest.mark.parametrize("rule", BUILT_IN, ids=lambda rule: rule.name)
def test_built_in_patterns_are_normalized(rule: BuiltInRule) -> None:
    assert checked_pattern(rule.target, rule.pattern) == rule.pattern


@pytest.mark.parametrize(
    ("reported", "prefilled"),
    [
        (facts("https://ads.example.net:8080/x.js"), ("host", "ads.example.net")),
        (facts("weird-app"), ("scheme", "weird-app")),
        (facts("inline", "https://tool.example.org/x.js"), ("host", "tool.example.org")),
        (facts("inline", "https://coder.example.com/x.js"), None),
        (facts("http://localhost:3000/"), None),
        (facts("data"), ("scheme", "data")),
        (facts("/relative"), None),
    ],
)
def test_rule_for_a_group_is_prefilled(reported: Facts, prefilled: Any) -> None:
    assert pattern_for(**reported.addresses()) == prefilled


FACTS = {"name": "ads", "category": "own", "target": "path", "pattern": "/ads/", "reason": "ads"}


@pytest.fixture
def rule(collecting: None) -> NoiseRule:
    """A rule for scripts below /ads/ that is not saved. No stored report matches it yet."""
    return NoiseRule(**FACTS)


def later() -> datetime:
    return timezone.now() + timedelta(minutes=1)


def save(rule: NoiseRule, *, enabled: bool) -> None:
    rule.is_enabled = enabled
    services.save_noise_rule(rule, actor=SYSTEM, now=NOW)


def store(host: str, path: str, times: int = 1) -> None:
    body = legacy(blocked_uri=f"https://{host}.example.net{path}")
    run(writer.write(entries(body, times=times)))


def visible() -> dict[str, int]:
    return dict(Group.objects.visible().values_list("blocked_source", "reports"))


def numbers() -> Any:
    """Returns the numbers of the only group: (reports, noise reports, client days, is hidden)."""
    found = Group.objects.get()
    return found.reports, found.noise_reports, found.client_days, found.noise_rule_id is not None


def test_one_cause_is_one_group_whatever_happens_to_the_rule(rule: NoiseRule) -> None:
    steps = (
        (lambda: save(rule, enabled=True), (0, 2, 0, True)),
        (lambda: save(rule, enabled=False), (2, 2, 1, False)),
        (lambda: save(rule, enabled=True), (2, 4, 1, False)),
        (lambda: services.label_groups(rule, actor=SYSTEM, now=later()), (2, 6, 1, True)),
        (lambda: services.delete_noise_rule(rule, actor=SYSTEM, now=NOW), (4, 6, 1, False)),
        (lambda: save(NoiseRule(**FACTS), enabled=True), (4, 8, 1, False)),
    )
    for change, after in steps:
        change()
        store("cdn", "/ads/x.js", 2)
        assert numbers() == after
    assert set(GroupHour.objects.values_list("group")) == {(Group.objects.get().pk,)}
    assert sum(GroupHour.objects.filter(noise_rule_id=0).values_list("reports", flat=True)) == 4


def test_group_with_noise_has_the_times_and_the_state_of_its_other_reports(
    rule: NoiseRule, owner: APIClient
) -> None:
    def report(path: str) -> None:
        send(owner, legacy(blocked_uri=f"https://cdn.example.net{path}"))

    save(rule, enabled=True)
    for path in ("/ads/x.js", "/ads/x.js", "/lib/x.js", "/ads/x.js"):
        report(path)
    group = Group.objects.get()
    at = Report.objects.get(noise_rule_id=0).received_at
    assert (group.first_seen, group.last_seen) == (at, at)
    page = f"{GROUPS}/{group.pk}"
    assert patch(owner, page, {"state": "resolved"}).status_code == 200
    report("/ads/x.js")
    found = owner.get(page).json()
    assert (found["state"], found["reports"], found["noise_reports"]) == ("resolved", 1, 4)
    # Neither the facets nor the advice contain noise.
    assert [each["reports"] for each in found["facets"]["page_kind"]] == [1]
    assert found["advice"]["tested_reports"] == 1
    report("/lib/x.js")
    assert owner.get(page).json()["state"] == "regressed"


@given(
    st.lists(
        st.sampled_from(["noise", "other", "enable", "disable", "delete", "label"]), max_size=12
    )
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_report_counts_once_in_one_group(collecting: None, steps: list[str]) -> None:
    rule, sent = NoiseRule(**FACTS), Counter[str]()
    Group.objects.all().delete()
    for step in steps:
        if step in {"noise", "other"}:
            store("cdn", "/ads/x.js" if step == "noise" else "/lib/x.js")
            is_noise = step == "noise" and NoiseRule.objects.filter(name="ads", is_enabled=True)
            sent["noise_reports" if is_noise else "reports"] += 1
        elif step == "delete":
            NoiseRule.objects.filter(name="ads").delete()
            rule = NoiseRule(**FACTS)
        elif step == "label":
            if rule.pk:
                services.label_groups(rule, actor=SYSTEM, now=later())
        else:
            save(rule, enabled=step == "enable")
    TERMS.clear()
    assert Group.objects.count() == min(1, sent.total())
    for group in Group.objects.all():
        assert (group.reports, group.noise_reports) == (sent["reports"], sent["noise_reports"])
        is_enabled = NoiseRule.objects.filter(name="ads", is_enabled=True).exists()
        assert group.noise_rule is None or is_enabled
        of_rules = Counter[bool]()
        for noise, number in GroupHour.objects.values_list("noise_rule_id", "reports"):
            of_rules[noise > 0] += number
        assert (of_rules[False], of_rules[True]) == (group.reports, group.noise_reports)
        assert (group.client_days, group.pages) == ((1, 1) if group.reports else (0, 0))
    NoiseRule.objects.filter(name="ads").delete()


def test_labelled_group_is_hidden_until_a_report_does_not_match(rule: NoiseRule) -> None:
    store("wholly", "/ads/x.js", 3)
    store("partly", "/ads/x.js", 2)
    store("partly", "/lib/x.js", 2)
    store("never", "/lib/x.js")
    found = [[group.blocked_source for group in groups] for groups in dry_run(rule)]
    assert found == [["wholly.example.net"], ["partly.example.net"]]
    others = {"partly.example.net": 4, "never.example.net": 1}
    assert visible() == others | {"wholly.example.net": 3}
    save(rule, enabled=True)
    assert services.label_groups(rule, actor=SYSTEM, now=later()) == 1
    assert visible() == others
    store("wholly", "/ads/x.js")
    assert visible() == others
    store("wholly", "/lib/x.js")
    assert visible() == others | {"wholly.example.net": 4}


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("pattern", "/inject/", {"cdn.example.net": 0}),
        ("site", "https://shop.test", {"cdn.example.net": 0}),
        ("name", "renamed", {}),
    ],
)
def test_groups_of_a_rule_that_matches_something_else_are_visible_again(
    rule: NoiseRule, column: str, value: str, shown: dict[str, int]
) -> None:
    save(rule, enabled=True)
    store("cdn", "/ads/x.js")
    assert visible() == {}
    setattr(rule, column, value)
    save(rule, enabled=True)
    assert visible() == shown


def test_dry_run_ignores_hidden_groups_and_reports_of_earlier_rules(rule: NoiseRule) -> None:
    store("cdn", "/ads/x.js")
    other = NoiseRule(**FACTS | {"name": "cdn", "target": "host", "pattern": "cdn.example.net"})
    save(other, enabled=True)
    # For new reports, the host comes before the path.
    assert not dry_run(rule)[0]
    assert dry_run(other)[0]
    services.label_groups(other, actor=SYSTEM, now=later())
    assert not dry_run(other)[0]
