"""Noise rules over what is stored: counts and rows tell the same before, during and after."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from audit.services import SYSTEM
from csp import services
from csp.models import Group, HourCount, NoiseRule, Report
from csp.noise import history
from csp.noise.history import Hidden, Match
from csp.parsing.formats import parse
from csp.writing import writer
from csp.writing.entries import entries_of, prepare
from tests.support.csp_reports import FIREFOX, fresh_writer, legacy

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


@pytest.fixture
def rule(transactional_db: None) -> Iterator[NoiseRule]:
    """A rule that hides what scripts under /ads/ do."""
    with fresh_writer():
        rule = NoiseRule(name="ads", category="own", target="path", pattern="/ads/", reason="ads")
        services.save_noise_rule(rule, actor=SYSTEM, now=NOW)
        switch(rule, on=False)
        yield rule


def switch(rule: NoiseRule, *, on: bool) -> None:
    rule.enabled = on
    services.save_noise_rule(rule, actor=SYSTEM, now=NOW)


def store(path: str, times: int) -> None:
    [violation] = parse(legacy(blocked_uri=f"https://cdn.example.net{path}")).violations
    writer.write(
        entries_of([prepare(violation)] * times, address="::1", user_agent=FIREFOX, now=NOW)
    )


def test_dry_run_says_what_hiding_then_hides(rule: NoiseRule) -> None:
    store("/ads/x.js", 3)
    store("/lib/x.js", 2)
    assert history.would_hide(rule) == Hidden(reports=3, groups=1)
    assert services.hide_stored_noise(rule, actor=SYSTEM, now=NOW) == Hidden(3, 1)
    switch(rule, on=True)
    group = Group.objects.get()
    assert (group.count, group.noise_count) == (5, 3)
    hours = HourCount.objects.values_list("rule_id", "count")
    assert set(hours) == {(0, 2), (rule.pk, 3)}
    assert Report.objects.filter(rule_id=rule.pk).count() == 3
    assert history.would_hide(rule) == Hidden(0, 0)
    switch(rule, on=False)
    assert Group.objects.get().noise_count == 0


def test_part_of_a_sampled_hour_is_hidden_in_proportion(rule: NoiseRule) -> None:
    for _ in range(8):
        store("/ads/x.js", 125)
        store("/lib/x.js", 375)
    assert Report.objects.count() < 1_300
    hidden = services.hide_stored_noise(rule, actor=SYSTEM, now=NOW)
    assert hidden.reports == pytest.approx(1_000, rel=0.1)
    switch(rule, on=True)
    group = Group.objects.get()
    assert (group.count, group.noise_count) == (4_000, hidden.reports)


def test_early_rows_of_a_sampled_hour_stand_for_no_more_than_they_are(rule: NoiseRule) -> None:
    for path, reports in (("/ads/x.js", 1_000), ("/lib/x.js", 9_000)):
        for _ in range(reports // 500):
            store(path, 500)
    assert Report.objects.count() < 1_500
    assert history.would_hide(rule) == Hidden(reports=1_000, groups=1)


def test_hidden_reports_belong_to_one_rule_at_a_time(rule: NoiseRule) -> None:
    store("/ads/x.js", 2)
    services.hide_stored_noise(rule, actor=SYSTEM, now=NOW)
    other = NoiseRule(
        name="cdn", category="own", target="host", pattern="cdn.example.net", reason="cdn"
    )
    services.save_noise_rule(other, actor=SYSTEM, now=NOW)
    services.hide_stored_noise(other, actor=SYSTEM, now=NOW)
    switch(rule, on=True)
    assert Group.objects.get().noise_count == 2
    switch(rule, on=False)
    assert Group.objects.get().noise_count == 2
    services.delete_noise_rule(other, actor=SYSTEM, now=NOW)
    assert Group.objects.get().noise_count == 0


@pytest.mark.parametrize(
    ("kept", "matched", "count", "reports"),
    [(4, 1, 4, 1), (4, 4, 400, 400), (1000, 250, 4000, 1000), (3, 2, 1, 1), (1, 1, 0, 0)],
)
def test_sampled_rows_stand_for_their_part(
    kept: int, matched: int, count: int, reports: int
) -> None:
    assert Match(kept=kept, matched=matched).reports(count) == reports
