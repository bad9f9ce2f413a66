"""Usage stats, Prometheus and profiling."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import PPROF, PROMETHEUS, USAGE_STATS
from options.option import Option
from options.values import Address, Bool, TextList
from options.values.rules import one_of

_prometheus_option = partial(Option, group=PROMETHEUS)

INTROSPECTION_OPTIONS = (
    Option(
        "Stats Collection Usage Stats Enable",
        "Collect usage of workspaces: sessions, traffic and latency. Without it the deployment's "
        "stats show zeros and no latency.",
        Bool(),
        env="CODER_STATS_COLLECTION_USAGE_STATS_ENABLE",
        default="true",
        group=USAGE_STATS,
        obeyed=True,
    ),
    _prometheus_option(
        "Prometheus Enable",
        "Serve metrics for Prometheus on a separate address. Enable it if Prometheus scrapes this "
        "server.",
        Bool(),
        env="CODER_PROMETHEUS_ENABLE",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _prometheus_option(
        "Prometheus Address",
        "The address and port of the metrics. Keep it away from public networks, because the "
        "metrics need no sign-in.",
        Address(),
        env="CODER_PROMETHEUS_ADDRESS",
        default="127.0.0.1:2112",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _prometheus_option(
        "Prometheus Collect Agent Stats",
        "Add metrics of each workspace agent. Their number grows with the number of workspaces.",
        Bool(),
        env="CODER_PROMETHEUS_COLLECT_AGENT_STATS",
        yaml="collect_agent_stats",
    ),
    _prometheus_option(
        "Prometheus Aggregate Agent Stats By",
        "The labels by which agents' metrics are aggregated. Fewer labels make fewer time series.",
        TextList(one_of("agent_name", "template_name", "username", "workspace_name")),
        env="CODER_PROMETHEUS_AGGREGATE_AGENT_STATS_BY",
        yaml="aggregate_agent_stats_by",
        default="agent_name,template_name,username,workspace_name",
    ),
    _prometheus_option(
        "Prometheus Collect Database Metrics",
        "Add timings of database queries to the metrics. They are many, so enable them while you "
        "examine a slow database.",
        Bool(),
        env="CODER_PROMETHEUS_COLLECT_DB_METRICS",
        yaml="collect_db_metrics",
        default="false",
    ),
    Option(
        "pprof Enable",
        "Serve Go's profiling data on a separate address. Enable it while you examine the "
        "performance of Coder's server.",
        Bool(),
        env="CODER_PPROF_ENABLE",
        group=PPROF,
        external_workspace_proxies=True,
    ),
    Option(
        "pprof Address",
        "The address and port of the profiling data.",
        Address(),
        env="CODER_PPROF_ADDRESS",
        default="127.0.0.1:6060",
        group=PPROF,
        external_workspace_proxies=True,
    ),
)
