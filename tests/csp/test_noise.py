from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from audit.services import SYSTEM
from csp import services
from csp.causes import EXTENSIONS
from csp.migrations._built_in_rules import BUILT_IN, BuiltInRule, add_built_in
from csp.models import Group, NoiseRule
from csp.noise.rules import Rule, Rules, checked_pattern, compiled, is_localhost, pattern_for
from csp.noise.stored import dry_run
from csp.scrubbing.address import address_of
from csp.writing import writer
from kernel.http.asking import run
from tests.support.csp_reports import NOW, entries, legacy

FACEBOOK = "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 [FBAN/FBIOS;FBAV/500.0]"
PAGE = "https://coder.example.com/workspaces"


@pytest.fixture(scope="module")
def built_in() -> Rules:
    return compiled(
        Rule(n, rule.name, rule.target, rule.pattern) for n, rule in enumerate(BUILT_IN)
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


def matching(rules: Rules, reported: Facts) -> Rule | None:
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
    assert matching(compiled([Rule(1, "r", "scheme", pattern)]), facts(sent))


def test_rule_of_a_site_matches_only_there_and_before_others() -> None:
    own, other = (Rule(n, "r", "host", "a.example", site=f"{n}.test") for n in (1, 2))
    everywhere = Rule(3, "r", "host", "*.example")
    rules = compiled([everywhere, own, other])
    addresses = facts("https://a.example/x").addresses()
    found = [
        rules.match(**addresses, user_agent="", site=site)
        for site in ("1.test", "2.test", "3.test")
    ]
    assert found == [own, other, everywhere]


@pytest.mark.django_db
def test_adding_built_in_rules_again_keeps_changes() -> None:
    add_built_in(NoiseRule)
    changed = NoiseRule.objects.get(target="scheme", pattern="moz-extension")
    NoiseRule.objects.filter(pk=changed.pk).update(pattern="mine", enabled=False)
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


@pytest.fixture
def rule(collecting: None) -> NoiseRule:
    """A disabled rule for scripts below /ads/. No stored report matches it yet."""
    return NoiseRule(
        name="ads", category="own", target="path", pattern="/ads/", reason="ads", enabled=False
    )


def save(rule: NoiseRule, *, enabled: bool) -> None:
    rule.enabled = enabled
    services.save_noise_rule(rule, actor=SYSTEM, now=NOW)


def store(host: str, path: str, times: int = 1) -> None:
    body = legacy(blocked_uri=f"https://{host}.example.net{path}")
    run(writer.write(entries(body, times=times)))


def visible() -> dict[str, int]:
    return dict(Group.objects.visible().values_list("blocked_source", "reports"))


def test_rule_labels_reports_on_arrival_and_hides_while_it_is_enabled(rule: NoiseRule) -> None:
    save(rule, enabled=False)
    store("cdn", "/ads/x.js", 2)
    store("cdn", "/lib/x.js")
    assert set(Group.objects.values_list("noise_rule", "reports")) == {(rule.pk, 2), (None, 1)}
    for enabled, counts in ((False, [1, 2]), (True, [1]), (False, [1, 2])):
        save(rule, enabled=enabled)
        assert sorted(Group.objects.visible().values_list("reports", flat=True)) == counts
    save(rule, enabled=True)
    services.delete_noise_rule(rule, actor=SYSTEM, now=NOW)
    assert Group.objects.visible().count() == 2
    store("cdn", "/ads/x.js")
    assert Group.objects.filter(noise_rule=None).count() == 2


def test_dry_run_separates_full_and_partial_matches(rule: NoiseRule) -> None:
    store("wholly", "/ads/x.js", 3)
    store("partly", "/ads/x.js", 2)
    store("partly", "/lib/x.js", 2)
    store("never", "/lib/x.js")
    found = dry_run(rule)
    assert [group.blocked_source for group in found[0]] == ["wholly.example.net"]
    assert [group.blocked_source for group in found[1]] == ["partly.example.net"]
    assert Group.objects.visible().count() == 3


def test_labelled_group_is_hidden_until_a_report_does_not_match(rule: NoiseRule) -> None:
    store("wholly", "/ads/x.js", 3)
    store("partly", "/ads/x.js")
    store("partly", "/lib/x.js")
    save(rule, enabled=True)
    assert services.label_groups(rule, actor=SYSTEM, now=NOW) == 1
    assert visible() == {"partly.example.net": 2}
    store("wholly", "/ads/x.js")
    assert visible() == {"partly.example.net": 2}
    store("wholly", "/lib/x.js")
    assert visible() == {"partly.example.net": 2, "wholly.example.net": 4}


def test_dry_run_ignores_hidden_groups_and_reports_of_earlier_rules(rule: NoiseRule) -> None:
    store("cdn", "/ads/x.js")
    other = NoiseRule(
        name="cdn", category="own", target="host", pattern="cdn.example.net", reason="cdn"
    )
    save(other, enabled=False)
    # For new reports, the host comes before the path.
    assert not dry_run(rule)[0]
    assert dry_run(other)[0]
    services.label_groups(other, actor=SYSTEM, now=NOW)
    save(other, enabled=True)
    assert not dry_run(other)[0]
