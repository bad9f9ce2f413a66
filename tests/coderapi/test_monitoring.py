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
COMMITS = 'coderapi_csp_commit_seconds_bucket{instance="a",'
FIRES_ON: dict[str, dict[str, str]] = {
    "CoderapiDown": {'up{job="coderapi"}': "0x99"},
    "CoderapiNoWebProcess": {
        "coderapi_build_info": "1x99",
        'process_resident_memory_bytes{role="jobs"}': "1x99",
    },
    "CoderapiDatabaseUnreachable": {"coderapi_database_up": "0x99"},
    "CoderapiListenerDisconnected": {"coderapi_listener_hearing": "0x99"},
    "CoderapiServerErrors": {
        f'{REQUESTS}status="200"}}': "0+90x99",
        f'{REQUESTS}status="503"}}': "0+10x99",
    },
    "CoderapiRateLimited": {
        f'{REQUESTS}status="200"}}': "0+90x99",
        f'{REQUESTS}status="429"}}': "0+10x99",
    },
    "CoderapiReportCommitsSlow": {
        f'{COMMITS}le="0.5"}}': "0x99",
        f'{COMMITS}le="1"}}': "0+9x99",
        f'{COMMITS}le="+Inf"}}': "0+9x99",
    },
    "CoderapiReportsFailing": {
        f'{REQUESTS}operation="report-csp-violations",status="503"}}': "0+1x99"
    },
    "CoderapiJobFailing": {'coderapi_job_failing{job_name="j"}': "1x99"},
    "CoderapiJobLate": {'coderapi_job_late{job_name="j"}': "1x99"},
    "CoderapiStatsAlarm": {'coderapi_stats_alarm{alarm="latency_high"}': "1x99"},
}


def panels() -> list[dict[str, Any]]:
    return [each for each in json.loads(DASHBOARD.read_text())["panels"] if "targets" in each]


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


def test_every_metric_has_a_panel() -> None:
    shown = {panel["title"] for panel in panels()}
    assert shown <= documented()
    assert {name for name in documented() - shown if not name.startswith("process_")} == set()


def test_alerts_use_metrics_that_exist() -> None:
    expressions = " ".join(rule["expr"] for rule in rules())
    used = set(re.findall(r"\b(?:coderapi|process)_\w+", expressions))
    assert {name.removesuffix("_bucket") for name in used} <= documented()
    assert used


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


@needs_promtool
def test_every_alert_fires(tmp_path: Path) -> None:
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in given.items()],
            # Counts alerts, because their labels vary.
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                    "eval_time": "90m",
                    "exp_samples": [{"labels": "{}", "value": 1}],
                }
            ],
        }
        for alert, given in FIRES_ON.items()
    ]
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": tests}))
    assert FIRES_ON.keys() == {rule["alert"] for rule in rules()}
    promtool("test", "rules", file)
