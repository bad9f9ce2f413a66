from __future__ import annotations

import pytest

from audit.services import SYSTEM
from csp import services
from csp.models import Group, HourCount, NoiseRule, Report
from csp.noise import history
from csp.noise.built_in import BUILT_IN, BuiltInRule, add_built_in
from csp.noise.history import Hidden, Match
from csp.noise.rules import Facts, Rule, Rules, checked_pattern, compiled, is_localhost
from csp.writing import writer
from tests.support.csp_reports import NOW, entries, legacy

FACEBOOK = "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 [FBAN/FBIOS;FBAV/500.0]"
PAGE = "https://coder.example.com/workspaces"


@pytest.fixture(scope="module")
def built_in() -> Rules:
    on = [rule for rule in BUILT_IN if rule.enabled]
    return compiled(Rule(n, rule.name, rule.target, rule.pattern) for n, rule in enumerate(on))


def facts(blocked: str = "", source: str = "", document: str = PAGE, agent: str = "") -> Facts:
    return Facts(blocked, source, document, agent)


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
        (
            facts("https://www.gstatic.com/_/translate_http/x.js"),
            "www.gstatic.com/_/translate_http/",
        ),
        (facts("data:text/html,chromewebdata"), "data:text/html,chromewebdata"),
        (facts("https://a.example/", document="chrome-error"), "chrome-error"),
        (facts("https://coder.example.com/netdefender/hb.js"), "/netdefender/"),
        (facts("https://example.net/", agent=FACEBOOK), "FBAN/"),
    ],
)
def test_built_in_rules_match_noise(built_in: Rules, reported: Facts, pattern: str) -> None:
    rule = built_in.match(reported)
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
    assert built_in.match(reported) is None


@pytest.mark.parametrize("pattern", ["moz-extension", "moz-extension:", "MOZ-extension://"])
@pytest.mark.parametrize("sent", ["moz-extension", "moz-extension:", "moz-extension://id/x"])
def test_scheme_matches_with_and_without_colon(pattern: str, sent: str) -> None:
    assert compiled([Rule(1, "r", "scheme", pattern)]).match(facts(sent))


@pytest.mark.django_db
def test_adding_built_in_rules_again_keeps_changes() -> None:
    add_built_in(NoiseRule)
    changed = NoiseRule.objects.get(target="scheme", pattern="moz-extension")
    NoiseRule.objects.filter(pk=changed.pk).update(pattern="mine", enabled=False)
    count = NoiseRule.objects.count()
    add_built_in(NoiseRule)
    assert NoiseRule.objects.count() == count
    assert NoiseRule.objects.get(pk=changed.pk).pattern == "mine"


def test_built_in_rules_have_reason_source_and_unique_name() -> None:
    assert all(rule.reason and rule.source.startswith("https://") for rule in BUILT_IN)
    assert len({rule.name for rule in BUILT_IN}) == len(BUILT_IN)


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
    ("target", "pattern", "instead"),
    [
        ("host", "https://foo.example", "Write only a host"),
        ("host", "*", "Write only a host"),
        ("host", "*.", "Write only a host"),
        ("host", "foo.example:8080", "Write only a host"),
        ("host", "foo.*.example", "Write only a host"),
        ("host", "dev.localhost", "Write another host"),
        ("scheme", "inline", "of the source file"),
        ("scheme", "https", "write a host"),
        ("document-scheme", "https://", "write a host"),
        ("scheme", "moz-extension://abc", "Write only a scheme"),
        ("path", "/", "Write the start of a path"),
        ("path", "https://foo.example/a", "Write the start of a path"),
        ("path", "/a?b", "Write the start of a path"),
    ],
)
def test_pattern_that_can_never_match_is_refused(target: str, pattern: str, instead: str) -> None:
    with pytest.raises(ValueError, match=instead):
        checked_pattern(target, pattern)


@pytest.fixture
def rule(collecting: None) -> NoiseRule:
    """A disabled rule for scripts below /ads/."""
    rule = NoiseRule(name="ads", category="own", target="path", pattern="/ads/", reason="ads")
    services.save_noise_rule(rule, actor=SYSTEM, now=NOW)
    set_enabled(rule, on=False)
    return rule


def set_enabled(rule: NoiseRule, *, on: bool) -> None:
    rule.enabled = on
    services.save_noise_rule(rule, actor=SYSTEM, now=NOW)


def store(path: str, times: int) -> None:
    writer.write(entries(legacy(blocked_uri=f"https://cdn.example.net{path}"), times=times))


def test_dry_run_counts_the_reports_that_applying_hides(rule: NoiseRule) -> None:
    store("/ads/x.js", 3)
    store("/lib/x.js", 2)
    assert history.would_hide(rule) == Hidden(reports=3, groups=1)
    assert services.hide_stored_noise(rule, actor=SYSTEM, now=NOW) == Hidden(3, 1)
    set_enabled(rule, on=True)
    group = Group.objects.get()
    assert (group.count, group.noise_count) == (5, 3)
    hours = HourCount.objects.values_list("rule_id", "count")
    assert set(hours) == {(0, 2), (rule.pk, 3)}
    assert Report.objects.filter(rule_id=rule.pk).count() == 3
    assert history.would_hide(rule) == Hidden(0, 0)
    set_enabled(rule, on=False)
    assert Group.objects.get().noise_count == 0


def test_sampled_hour_is_hidden_in_proportion(rule: NoiseRule) -> None:
    for _ in range(8):
        store("/ads/x.js", 125)
        store("/lib/x.js", 375)
    assert Report.objects.count() < 1_300
    hidden = services.hide_stored_noise(rule, actor=SYSTEM, now=NOW)
    assert hidden.reports == pytest.approx(1_000, rel=0.1)
    set_enabled(rule, on=True)
    group = Group.objects.get()
    assert (group.count, group.noise_count) == (4_000, hidden.reports)


def test_early_rows_of_a_sampled_hour_count_once(rule: NoiseRule) -> None:
    for path, reports in (("/ads/x.js", 1_000), ("/lib/x.js", 9_000)):
        for _ in range(reports // 500):
            store(path, 500)
    assert Report.objects.count() < 1_500
    assert history.would_hide(rule) == Hidden(reports=1_000, groups=1)


def test_hidden_report_belongs_to_one_rule(rule: NoiseRule) -> None:
    store("/ads/x.js", 2)
    services.hide_stored_noise(rule, actor=SYSTEM, now=NOW)
    other = NoiseRule(
        name="cdn", category="own", target="host", pattern="cdn.example.net", reason="cdn"
    )
    services.save_noise_rule(other, actor=SYSTEM, now=NOW)
    services.hide_stored_noise(other, actor=SYSTEM, now=NOW)
    set_enabled(rule, on=True)
    assert Group.objects.get().noise_count == 2
    set_enabled(rule, on=False)
    assert Group.objects.get().noise_count == 2
    services.delete_noise_rule(other, actor=SYSTEM, now=NOW)
    assert Group.objects.get().noise_count == 0


@pytest.mark.parametrize(
    ("kept", "matched", "count", "reports"),
    [(4, 1, 4, 1), (4, 4, 400, 400), (1000, 250, 4000, 1000), (3, 2, 1, 1), (1, 1, 0, 0)],
)
def test_sampled_rows_count_in_proportion(
    kept: int, matched: int, count: int, reports: int
) -> None:
    assert Match(kept=kept, matched=matched).reports(count) == reports
