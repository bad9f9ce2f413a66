"""Generates Prometheus alert rules and a Grafana dashboard.

The dashboard has a panel for each metric that the code declares, so a new metric needs no change in
this module. It is an error if an alert uses a metric that does not exist.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from prometheus_client import REGISTRY

import kernel.http.metrics  # noqa: F401  # The import declares the HTTP metrics.
from kernel.telemetry import metrics

# --- The metrics ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeclaredMetric:
    """A metric with the name that Prometheus scrapes.

    `aggregation` is the PromQL function that combines the series of several servers.
    """

    name: str
    type: str
    labels: tuple[str, ...]
    help: str
    aggregation: str = "sum"


# `coderapi.server.prometheus` collects these metrics at each scrape. The metrics of processes exist
# on Linux only.
SYSTEM_METRICS = (
    DeclaredMetric(
        "coderapi_build_info",
        "gauge",
        ("version", "coder_version", "python_version"),
        "Always 1; the labels name the running build.",
        "count",
    ),
    DeclaredMetric(
        "process_cpu_seconds_total", "counter", ("role",), "CPU time in user and system mode."
    ),
    DeclaredMetric(
        "process_resident_memory_bytes",
        "gauge",
        ("role",),
        "Resident memory, including shared pages.",
    ),
    DeclaredMetric("process_open_fds", "gauge", ("role",), "Open file descriptors."),
)
# Every server reads the same values from the database, so the values must not be added.
_DATABASE_AGGREGATION = "max"
_AGGREGATIONS = {"livesum": "sum", "livemin": "min", "livemax": "max"}


def declared_metrics() -> list[DeclaredMetric]:
    """Returns all metrics of this service, sorted by name."""
    metrics.discover()
    read = [
        DeclaredMetric(gauge.name, "gauge", gauge.labels, gauge.help, _DATABASE_AGGREGATION)
        for gauge in metrics.database_gauges()
    ]
    up = DeclaredMetric("coderapi_database_up", "gauge", (), metrics.DATABASE_UP_HELP, "min")
    declared = (*SYSTEM_METRICS, *_registered(), up, *read)
    return sorted(declared, key=lambda metric: metric.name)


def _registered() -> Iterator[DeclaredMetric]:
    for collector in dict.fromkeys(REGISTRY._names_to_collectors.values()):
        names = getattr(collector, "_labelnames", ())
        mode = getattr(collector, "_multiprocess_mode", "livesum")
        for family in collector.describe() if hasattr(collector, "describe") else ():
            if family.name.startswith("coderapi_"):
                name = f"{family.name}_total" if family.type == "counter" else family.name
                yield DeclaredMetric(
                    name, family.type, tuple(names), family.documentation, _AGGREGATIONS[mode]
                )


# --- Alert rules ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Alert:
    name: str
    expression: str
    lasts: str
    severity: str
    summary: str
    action: str


_REQUESTS = "coderapi_http_requests_total"
_REPORTS_REFUSED = f'{_REQUESTS}{{operation="report-csp-violations",status=~"5.."}}'


def _share(selector: str) -> str:
    answers = "sum by (instance) (rate({}[5m]))"
    return f"{answers.format(f'{_REQUESTS}{{{selector}}}')} / {answers.format(_REQUESTS)}"


ALERTS = (
    Alert(
        "CoderapiDown",
        'up{job="coderapi"} == 0',
        "1m",
        "critical",
        "{{ $labels.instance }} cannot be scraped",
        "Check that the server runs, and that Prometheus can connect to CODER_PROMETHEUS_ADDRESS.",
    ),
    Alert(
        "CoderapiNoWebProcess",
        "count by (instance) (coderapi_build_info)"
        ' unless count by (instance) (process_resident_memory_bytes{role="web"})',
        "1m",
        "critical",
        "{{ $labels.instance }} serves metrics, but no web process runs",
        "The server's log contains the reason why the web processes ended.",
    ),
    Alert(
        "CoderapiDatabaseUnreachable",
        "coderapi_database_up == 0",
        "1m",
        "critical",
        "{{ $labels.instance }} cannot read from the database",
        "The response to GET /readyz may contain the reason. Check PostgreSQL and the network "
        "connection to the database.",
    ),
    Alert(
        "CoderapiListenerDisconnected",
        "coderapi_listener_hearing == 0",
        "1m",
        "warning",
        "A web process of {{ $labels.instance }} receives no notifications",
        "Without notifications, caches are disabled and requests are slower. LISTEN requires a "
        "direct connection. If you use PgBouncer, set CODERAPI_PG_DIRECT_URL.",
    ),
    Alert(
        "CoderapiServerErrors",
        f"{_share('status=~"5.."')} > 0.01",
        "5m",
        "critical",
        "More than 1 % of the responses of {{ $labels.instance }} are server errors",
        "Search the log for the request ids of responses with status 5xx.",
    ),
    Alert(
        "CoderapiRateLimited",
        f"{_share('status="429"')} > 0.05",
        "10m",
        "warning",
        "Rate limits reject more than 5 % of the requests to {{ $labels.instance }}",
        "Find the client in the access log. If the server is behind a proxy, check that"
        " CODER_PROXY_TRUSTED_ORIGINS is set. Otherwise all clients share the proxy's address.",
    ),
    Alert(
        "CoderapiReportCommitsSlow",
        "histogram_quantile(0.95, sum by (instance, le)"
        " (rate(coderapi_csp_commit_seconds_bucket[5m]))) > 0.5",
        "10m",
        "warning",
        "The 95th percentile of commit times of CSP reports on {{ $labels.instance }} is over 0.5 "
        "s",
        "Check the disk and the locks of the database.",
    ),
    Alert(
        "CoderapiReportsFailing",
        f"sum by (instance) (rate({_REPORTS_REFUSED}[5m])) > 0",
        "5m",
        "warning",
        "{{ $labels.instance }} cannot store CSP reports",
        "Search the log for failed commits. Browsers do not retry rejected reports.",
    ),
    Alert(
        "CoderapiJobFailing",
        "max by (job_name) (coderapi_job_failing) == 1",
        "1h",
        "warning",
        "The job {{ $labels.job_name }} fails",
        "The list of job runs in the admin shows the error.",
    ),
    Alert(
        "CoderapiJobLate",
        "max by (job_name) (coderapi_job_late) == 1",
        "10m",
        "warning",
        "The job {{ $labels.job_name }} is late",
        "Check that jobs run: start `manage.py server` without --web-only, or `manage.py worker`.",
    ),
    Alert(
        "CoderapiStatsAlarm",
        "max by (alarm) (coderapi_stats_alarm) == 1",
        "5m",
        "warning",
        "The stats alarm {{ $labels.alarm }} is active",
        "The admin's home page shows the details. snapshot_missing means that the stats are stale.",
    ),
)


def alert_rules() -> str:
    """Returns the content of the file with alert rules.

    Raises: KeyError if an alert uses a metric that does not exist.
    """
    known = {metric.name for metric in declared_metrics()}
    for name in itertools.chain.from_iterable(map(metrics_in, ALERTS)):
        if name not in known:
            raise KeyError(name)
    groups = [{"name": "coderapi", "rules": [_rule(alert) for alert in ALERTS]}]
    return "# Generated by `make docs`. See README.md.\n" + yaml.safe_dump(
        {"groups": groups}, sort_keys=False, width=98
    )


def metrics_in(alert: Alert) -> list[str]:
    """Returns the names of coderapi's metrics that the alert's expression uses."""
    names = re.findall(r"\b(?:coderapi|process)_\w+", alert.expression)
    return [name.removesuffix("_bucket") for name in names]


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.lasts,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "description": alert.action},
    }


# --- The dashboard ----------------------------------------------------------------------------

# The rows of the dashboard in their order. A metric is in the row of the first prefix that matches
# its name. The last prefix matches all other metrics.
ROWS = {
    "coderapi_http_": "Requests",
    "coderapi_csp_": "CSP reports",
    "coderapi_stats_": "Deployment stats",
    "coderapi_snapshot_": "Deployment stats",
    "coderapi_job_": "Jobs",
    "process_": "Processes",
    "": "Service",
}
_UNITS = {"_milliseconds": "ms", "_seconds": "s", "_bytes": "bytes"}
_COLUMNS, _WIDTH, _HEIGHT = 3, 8, 7
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> str:
    """Returns the dashboard as JSON. Grafana can import or provision it."""
    by_row: dict[str, list[DeclaredMetric]] = {title: [] for title in ROWS.values()}
    for metric in declared_metrics():
        start = next(start for start in ROWS if metric.name.startswith(start))
        by_row[ROWS[start]].append(metric)
    document = {
        "uid": "coderapi",
        "title": "coderapi",
        "tags": ["coderapi"],
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "1m",
        "templating": {"list": _variables()},
        "panels": list(_panels(by_row)),
    }
    return json.dumps(document, indent=2) + "\n"


def _variables() -> list[dict[str, Any]]:
    instances = {
        "name": "instance",
        "type": "query",
        "datasource": _SOURCE,
        "query": "label_values(coderapi_build_info, instance)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
    }
    return [{"name": "datasource", "type": "datasource", "query": "prometheus"}, instances]


def _panels(by_row: Mapping[str, Sequence[DeclaredMetric]]) -> Iterator[dict[str, Any]]:
    ids, top = itertools.count(1), 0
    for title, members in by_row.items():
        place = {"h": 1, "w": _COLUMNS * _WIDTH, "x": 0, "y": top}
        yield {"id": next(ids), "type": "row", "title": title, "gridPos": place, "panels": []}
        for position, metric in enumerate(members):
            line, column = divmod(position, _COLUMNS)
            x, y = column * _WIDTH, top + 1 + line * _HEIGHT
            place = {"h": _HEIGHT, "w": _WIDTH, "x": x, "y": y}
            yield {"id": next(ids), **_panel(metric), "gridPos": place}
        top += 1 + -(-len(members) // _COLUMNS) * _HEIGHT


def _panel(metric: DeclaredMetric) -> dict[str, Any]:
    legend = " ".join(f"{{{{{label}}}}}" for label in metric.labels)
    targets = [
        {"refId": ref, "expr": expression, "legendFormat": f"{name} {legend}".strip()}
        for ref, (name, expression) in zip("AB", _queries(metric).items(), strict=False)
    ]
    return {
        "type": "timeseries",
        "title": metric.name,
        "description": metric.help,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": _unit(metric)}, "overrides": []},
        "targets": targets,
    }


def _unit(metric: DeclaredMetric) -> str:
    if metric.type == "counter":
        return "ops" if "_seconds" not in metric.name else "percentunit"
    return next((unit for end, unit in _UNITS.items() if metric.name.endswith(end)), "short")


def _queries(metric: DeclaredMetric) -> dict[str, str]:
    """Returns a mapping from names in the panel's legend to PromQL expressions."""
    selected = f'{metric.name}{{instance=~"$instance"}}'
    by = f" by ({', '.join(metric.labels)})" if metric.labels else ""
    if metric.type == "counter":
        return {"": f"sum{by} (rate({selected}[$__rate_interval]))"}
    if metric.type == "gauge":
        return {"": f"{metric.aggregation}{by} ({selected})"}
    buckets = selected.replace("{", "_bucket{", 1)
    by = f"by ({', '.join(['le', *metric.labels])})"
    rate = f"sum {by} (rate({buckets}[$__rate_interval]))"
    return {f"p{p}": f"histogram_quantile(0.{p}, {rate})" for p in (50, 95)}
