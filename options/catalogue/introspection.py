"""Options for usage stats, Prometheus metrics and profiling."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import PPROF, PROMETHEUS, USAGE_STATS
from options.option import Option
from options.values.addresses import Address
from options.values.lists import TextList
from options.values.rules import one_of
from options.values.scalars import Bool

_prometheus_option = partial(Option, group=PROMETHEUS)

INTROSPECTION_OPTIONS = (
    Option(
        "Stats Collection Usage Stats Enable",
        "Collect usage data of workspaces: sessions, traffic and latency. If it is disabled, the "
        "deployment's stats contain zeros and no latency.",
        Bool(),
        env="CODER_STATS_COLLECTION_USAGE_STATS_ENABLE",
        default="true",
        group=USAGE_STATS,
        obeyed=True,
    ),
    _prometheus_option(
        "Prometheus Enable",
        "Serve metrics for Prometheus on a separate address and port.",
        Bool(),
        env="CODER_PROMETHEUS_ENABLE",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _prometheus_option(
        "Prometheus Address",
        "The address and port for metrics. Do not make it public, because anyone who can connect "
        "can read the metrics.",
        Address(),
        env="CODER_PROMETHEUS_ADDRESS",
        default="127.0.0.1:2112",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _prometheus_option(
        "Prometheus Collect Agent Stats",
        "Add metrics for each workspace agent. The number of time series grows with the number of "
        "workspaces.",
        Bool(),
        env="CODER_PROMETHEUS_COLLECT_AGENT_STATS",
        yaml="collect_agent_stats",
    ),
    _prometheus_option(
        "Prometheus Aggregate Agent Stats By",
        "The labels by which the metrics of agents are aggregated. With fewer labels there are "
        "fewer time series.",
        TextList(one_of("agent_name", "template_name", "username", "workspace_name")),
        env="CODER_PROMETHEUS_AGGREGATE_AGENT_STATS_BY",
        yaml="aggregate_agent_stats_by",
        default="agent_name,template_name,username,workspace_name",
    ),
    _prometheus_option(
        "Prometheus Collect Database Metrics",
        "Add metrics about the duration of database queries. Enable it only while you investigate "
        "a slow database, because it adds many time series.",
        Bool(),
        env="CODER_PROMETHEUS_COLLECT_DB_METRICS",
        yaml="collect_db_metrics",
        default="false",
    ),
    Option(
        "pprof Enable",
        "Serve profiling data of the Go runtime on a separate address and port. Enable it while "
        "you investigate the performance of Coder's server.",
        Bool(),
        env="CODER_PPROF_ENABLE",
        group=PPROF,
        external_workspace_proxies=True,
    ),
    Option(
        "pprof Address",
        "The address and port for profiling data.",
        Address(),
        env="CODER_PPROF_ADDRESS",
        default="127.0.0.1:6060",
        group=PPROF,
        external_workspace_proxies=True,
    ),
)
