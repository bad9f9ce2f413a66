"""Generates a Grafana dashboard.

The dashboard has a panel for each metric that the code declares, so a new metric needs no change in
this module.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
        for gauge in metrics.DATABASE_GAUGES
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
