"""The alert rules and the dashboard of docs/monitoring."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from kernel.release import ROOT
from tests.support.commands import execute

PROMTOOL = shutil.which("promtool")
RULES = ROOT / "docs/monitoring/alerts.yml"
DASHBOARD = ROOT / "docs/monitoring/dashboard.json"
METRICS = ROOT / "docs/metrics.md"
needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed")

# The series that make each alert fire, in promtool's notation.
REQUESTS = 'coderapi_http_requests_total{instance="a",'
COMMITS = 'coderapi_csp_commit_duration_seconds_bucket{instance="a",'

LAG = 'coderapi_event_loop_lag_seconds_bucket{instance="a",'


def buckets(name: str, values: dict[str, str]) -> dict[str, str]:
    return {f'{name}le="{bound}"}}': each for bound, each in values.items()}


def answered(counts: dict[str, int]) -> dict[str, str]:
    return {f'{REQUESTS}status="{status}"}}': f"0+{each}x99" for status, each in counts.items()}


FIRES_ON: dict[str, dict[str, str]] = {
    "CoderapiDown": {'up{job="coderapi"}': "0x99"},
    "CoderapiNoWebProcess": {
        "coderapi_build_info": "1x99",
        'process_resident_memory_bytes{role="jobs"}': "1x99",
    },
    "CoderapiVanished": {},
    "CoderapiDatabaseUnreachable": {"coderapi_database_up": "0x99"},
    "CoderapiConnectionsWaiting": {'coderapi_database_waiting_requests{instance="a"}': "3x99"},
    "CoderapiConnectionsFew": {"coderapi_database_free_connections": "4x99"},
    "CoderapiEventLoopLate": buckets(
        LAG, {"0.1": "0+98x99", "0.2": "0+100x99", "+Inf": "0+100x99"}
    ),
    "CoderapiRedisUnavailable": {"coderapi_redis_unavailable": "1x99"},
    "CoderapiCoderUnavailable": {"coderapi_coder_unavailable": "1x99"},
    "CoderapiListenerDisconnected": {"coderapi_listener_connected": "0x99"},
    "CoderapiServerErrors": answered({"200": 90, "503": 10}),
    "CoderapiRateLimited": answered({"200": 90, "429": 10}),
    "CoderapiReportCommitsSlow": buckets(COMMITS, {"0.5": "0x99", "1": "0+9x99", "+Inf": "0+9x99"}),
    "CoderapiReportsFailing": {
        f'{REQUESTS}operation="report-csp-violations",status="503"}}': "0+1x99"
    },
    "CoderapiReportsDiskNearlyFull": {
        "coderapi_csp_disk_bytes": "91x99",
        "coderapi_csp_disk_limit_bytes": "100x99",
    },
    "CoderapiJobFailing": {'coderapi_job_failing{job_name="j"}': "1x99"},
    "CoderapiJobLate": {'coderapi_job_late{job_name="j"}': "1x99"},
    "CoderapiStatsAlarm": {'coderapi_stats_alarm{alarm="latency_high"}': "1x99"},
}


PANELS: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]


def panels() -> list[dict[str, Any]]:
    return [each for each in PANELS if "targets" in each]


def documented() -> set[str]:
    """Returns the names of all metrics. Another test compares the document with the code."""
    return set(re.findall(r"^\| `(\w+)` \|", METRICS.read_text(), re.MULTILINE))


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def promtool(*arguments: str | Path) -> None:
    done = execute([str(PROMTOOL), *arguments])
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_has_a_panel_and_alerts_use_metrics_that_exist() -> None:
    shown = {panel["title"] for panel in panels()}
    assert shown <= documented()
    assert {name for name in documented() - shown if not name.startswith("process_")} == set()
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    expressions = " ".join(rule["expr"] for rule in rules())
    used = set(re.findall(r"\b(?:coderapi|process)_\w+", expressions))
    assert used
    assert {name.removesuffix("_bucket") for name in used} <= documented()


@needs_promtool
def test_promtool_accepts_every_query_of_the_dashboard(tmp_path: Path) -> None:
    queries = [target["expr"] for panel in panels() for target in panel["targets"]]
    recorded = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$__rate_interval", "5m", query)}
        for number, query in enumerate(queries)
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    promtool("check", "rules", file)


# A server without problems.
RUNS = {
    'up{job="coderapi",instance="a"}': "1x99",
    'coderapi_build_info{instance="a"}': "1x99",
    'process_resident_memory_bytes{instance="a",role="web"}': "1x99",
}
HEALTHY = {
    **RUNS,
    **buckets(LAG, {"0.1": "0+100x99", "+Inf": "0+100x99"}),
    **buckets(COMMITS, {"0.5": "0+9x99", "+Inf": "0+9x99"}),
    'coderapi_database_up{instance="a"}': "1x99",
    'coderapi_database_waiting_requests{instance="a"}': "0x99",
    'coderapi_database_free_connections{instance="a"}': "60x99",
    'coderapi_redis_unavailable{instance="a"}': "0x99",
    'coderapi_coder_unavailable{instance="a"}': "0x99",
    'coderapi_listener_connected{instance="a"}': "1x99",
    f'{REQUESTS}operation="report-csp-violations",status="200"}}': "0+100x99",
    'coderapi_csp_disk_bytes{instance="a"}': "5x99",
    'coderapi_csp_disk_limit_bytes{instance="a"}': "100x99",
    'coderapi_job_failing{instance="a",job_name="j"}': "0x99",
    'coderapi_job_late{instance="a",job_name="j"}': "0x99",
    'coderapi_stats_alarm{instance="a",alarm="latency_high"}': "0x99",
}
# The gauges that are read from the database are absent.
WITHOUT_DATABASE = {
    **RUNS,
    **buckets(COMMITS, {"0.5": "0x99", "1": "0+9x99", "+Inf": "0+9x99"}),
    'coderapi_database_up{instance="a"}': "0x99",
    'coderapi_database_waiting_requests{instance="a"}': "7x99",
    'coderapi_listener_connected{instance="a"}': "0x99",
    f'{REQUESTS}operation="report-csp-violations",status="503"}}': "0+100x99",
}


def played(given: dict[str, str], *, query: str, found: dict[str, int]) -> dict[str, Any]:
    """Returns a test for promtool: the query finds these numbers after 90 minutes."""
    samples = [{"labels": labels, "value": value} for labels, value in found.items()]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in given.items()],
        "promql_expr_test": [{"expr": query, "eval_time": "90m", "exp_samples": samples}],
    }


def play(directory: Path, *tests: dict[str, Any]) -> None:
    file = directory / "tests.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": list(tests)}))
    promtool("test", "rules", file)


@needs_promtool
def test_every_alert_fires(tmp_path: Path) -> None:
    # Counts alerts, because their labels vary.
    query = 'count(ALERTS{{alertname="{}",alertstate="firing"}})'
    tests = [
        played(given, query=query.format(alert), found={"{}": 1})
        for alert, given in FIRES_ON.items()
    ]
    assert FIRES_ON.keys() == {rule["alert"] for rule in rules()}
    play(tmp_path, *tests, played(HEALTHY, query="count by (alertname) (ALERTS)", found={}))


@needs_promtool
def test_dead_database_is_one_notification(tmp_path: Path) -> None:
    """Alertmanager, as the document configures it, drops the alerts that only follow."""
    document = (RULES.parent / "README.md").read_text()
    (example,) = re.findall(r"# alertmanager.yml\n(.*?)```", document, re.DOTALL)
    (rule,) = yaml.safe_load(example)["inhibit_rules"]
    assert rule["source_matchers"] == ['alertname="CoderapiDatabaseUnreachable"']
    assert rule["equal"] == ["instance"]
    (target,) = rule["target_matchers"]
    names = target.removeprefix('alertname=~"').removesuffix('"')
    known = "|".join(each["alert"] for each in rules())
    for name in re.sub(r"Coderapi\((.*)\)", r"\1", names).split("|"):
        assert f"Coderapi{name}" in known
    firing = 'count by (alertname, instance) (ALERTS{{alertstate="firing",{}}})'
    remaining = '{alertname="CoderapiDatabaseUnreachable",instance="a"}'
    query = firing.format(f'alertname!~"{names}"')
    play(
        tmp_path,
        played(WITHOUT_DATABASE, query=query, found={remaining: 1}),
        # Without inhibition, these alerts fire, too.
        played(
            WITHOUT_DATABASE,
            query=f"count({firing.format(target)})",
            found={"{}": len(names.split("|"))},
        ),
    )
