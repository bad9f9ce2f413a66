"""Metrics, traces, profiles and health."""

from __future__ import annotations

from options.catalogue.groups import (
    INTROSPECTION_HEALTH_CHECK,
    INTROSPECTION_PPROF,
    INTROSPECTION_PROMETHEUS,
    INTROSPECTION_STATS_COLLECTION_USAGE_STATS,
    INTROSPECTION_TRACING,
)
from options.option import Option
from options.values import Address, Bool, Duration, Text, TextList
from options.values.rules import one_of

INTROSPECTION_OPTIONS = (
    Option(
        name="Stats Collection Usage Stats Enable",
        description=(
            "Collect how workspaces are used: sessions, traffic and latency. Switched off, the "
            "deployment's statistics keep zeros and no latency."
        ),
        type=Bool(),
        json_path="stats_collection.usage_stats.enable",
        env="CODER_STATS_COLLECTION_USAGE_STATS_ENABLE",
        flag="stats-collection-usage-stats-enable",
        yaml="enable",
        default="true",
        group=INTROSPECTION_STATS_COLLECTION_USAGE_STATS,
        obeyed=True,
    ),
    Option(
        name="Prometheus Enable",
        description=(
            "Serve metrics for Prometheus on an address of their own. Switch it on when something "
            "scrapes this server."
        ),
        type=Bool(),
        json_path="prometheus.enable",
        env="CODER_PROMETHEUS_ENABLE",
        flag="prometheus-enable",
        yaml="enable",
        group=INTROSPECTION_PROMETHEUS,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="Prometheus Address",
        description=(
            "The address and port on which metrics are served. Keep it away from public networks, "
            "since there is no sign-in."
        ),
        type=Address(),
        json_path="prometheus.address",
        env="CODER_PROMETHEUS_ADDRESS",
        flag="prometheus-address",
        yaml="address",
        default="127.0.0.1:2112",
        group=INTROSPECTION_PROMETHEUS,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="Prometheus Collect Agent Stats",
        description=(
            "Add figures of each workspace agent to the metrics. They multiply with the number of "
            "workspaces."
        ),
        type=Bool(),
        json_path="prometheus.collect_agent_stats",
        env="CODER_PROMETHEUS_COLLECT_AGENT_STATS",
        flag="prometheus-collect-agent-stats",
        yaml="collect_agent_stats",
        group=INTROSPECTION_PROMETHEUS,
    ),
    Option(
        name="Prometheus Aggregate Agent Stats By",
        description=(
            "The labels by which agent figures are added up. Fewer labels mean fewer series to "
            "store."
        ),
        type=TextList(one_of("agent_name", "template_name", "username", "workspace_name")),
        json_path="prometheus.aggregate_agent_stats_by",
        env="CODER_PROMETHEUS_AGGREGATE_AGENT_STATS_BY",
        flag="prometheus-aggregate-agent-stats-by",
        yaml="aggregate_agent_stats_by",
        default="agent_name,template_name,username,workspace_name",
        group=INTROSPECTION_PROMETHEUS,
    ),
    Option(
        name="Prometheus Collect Database Metrics",
        description=(
            "Add the timings of database queries to the metrics. Worth its many series while you "
            "look into a slow database."
        ),
        type=Bool(),
        json_path="prometheus.collect_db_metrics",
        env="CODER_PROMETHEUS_COLLECT_DB_METRICS",
        flag="prometheus-collect-db-metrics",
        yaml="collect_db_metrics",
        default="false",
        group=INTROSPECTION_PROMETHEUS,
    ),
    Option(
        name="pprof Enable",
        description=(
            "Serve Go's profiling data on an address of its own. Switch it on while you look into "
            "the performance of Coder's server."
        ),
        type=Bool(),
        json_path="pprof.enable",
        env="CODER_PPROF_ENABLE",
        flag="pprof-enable",
        yaml="enable",
        group=INTROSPECTION_PPROF,
        external_workspace_proxies=True,
        remark="This service is not written in Go and has no such profiles.",
    ),
    Option(
        name="pprof Address",
        description="The address and port on which profiling data is served.",
        type=Address(),
        json_path="pprof.address",
        env="CODER_PPROF_ADDRESS",
        flag="pprof-address",
        yaml="address",
        default="127.0.0.1:6060",
        group=INTROSPECTION_PPROF,
        external_workspace_proxies=True,
        remark="This service is not written in Go and has no such profiles.",
    ),
    Option(
        name="Trace Enable",
        description=(
            "Collect traces of requests and hand them to the collector that OpenTelemetry's own "
            "variables name. Switch it on while you look for slow requests."
        ),
        type=Bool(),
        json_path="trace.enable",
        env="CODER_TRACE_ENABLE",
        flag="trace",
        yaml="enable",
        group=INTROSPECTION_TRACING,
        external_workspace_proxies=True,
        remark="This service records no traces.",
    ),
    Option(
        name="Trace Honeycomb API Key",
        description="The key with which traces are sent to Honeycomb.",
        type=Text(),
        json_path="trace.honeycomb_api_key",
        env="CODER_TRACE_HONEYCOMB_API_KEY",
        flag="trace-honeycomb-api-key",
        group=INTROSPECTION_TRACING,
        secret=True,
        external_workspace_proxies=True,
        remark="This service records no traces.",
    ),
    Option(
        name="Capture Logs in Traces",
        description=(
            "Attach log lines to the traces in which they were written. It makes traces much "
            "larger."
        ),
        type=Bool(),
        json_path="trace.capture_logs",
        env="CODER_TRACE_LOGS",
        flag="trace-logs",
        yaml="captureLogs",
        group=INTROSPECTION_TRACING,
        external_workspace_proxies=True,
        remark="This service records no traces.",
    ),
    Option(
        name="Send Go runtime traces to DataDog",
        description=(
            "Send execution traces of Go's runtime to a Datadog agent on the same machine."
        ),
        type=Bool(),
        json_path="trace.data_dog",
        env="CODER_TRACE_DATADOG",
        flag="trace-datadog",
        yaml="dataDog",
        default="false",
        group=INTROSPECTION_TRACING,
        hidden=True,
        external_workspace_proxies=True,
        remark="This service records no traces.",
    ),
    Option(
        name="Health Check Refresh",
        description="How often Coder's server runs its checks of itself anew.",
        type=Duration(),
        json_path="healthcheck.refresh",
        env="CODER_HEALTH_CHECK_REFRESH",
        flag="health-check-refresh",
        yaml="refresh",
        default="10m0s",
        group=INTROSPECTION_HEALTH_CHECK,
        remark="This service checks itself when /readyz is asked, and keeps no result.",
    ),
    Option(
        name="Health Check Threshold: Database",
        description="How slow the database may answer before Coder's health page calls it slow.",
        type=Duration(),
        json_path="healthcheck.threshold_database",
        env="CODER_HEALTH_CHECK_THRESHOLD_DATABASE",
        flag="health-check-threshold-database",
        yaml="thresholdDatabase",
        default="15ms",
        group=INTROSPECTION_HEALTH_CHECK,
        remark="This service has no health page with thresholds.",
    ),
)
