"""The newest snapshot as gauges, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from deployment.stats.alarms import alarms
from deployment.stats.cells import STATES
from deployment.stats.models import Snapshot
from deployment.stats.selectors import folding_lag


class StatsCollector(Collector):
    """Reads the newest snapshot each time that it is asked, so every replica says the same."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        now = timezone.now()
        snapshot = Snapshot.objects.order_by("-collected_at").first()
        if snapshot is not None:
            yield from _figures(snapshot)
            yield _gauge(
                "snapshot_age_seconds",
                "How old the newest snapshot is.",
                (now - snapshot.collected_at).total_seconds(),
            )
        yield _gauge(
            "folding_lag_seconds", "How old the newest folded minute is.", folding_lag(now)
        )
        yield _labelled(
            "alarm",
            "Whether an alarm is on.",
            "alarm",
            {alarm.name: float(alarm.on) for alarm in alarms(now)},
        )


def _figures(snapshot: Snapshot) -> Iterator[GaugeMetricFamily]:
    states = {state: getattr(snapshot, state) for state in STATES}
    yield _labelled("workspaces", "Workspaces by state.", "state", states)
    yield _labelled("sessions", "Sessions by kind.", "kind", snapshot.session_counts)
    yield _gauge("rx_bytes", "Bytes received in the window.", snapshot.rx_bytes)
    yield _gauge("tx_bytes", "Bytes sent in the window.", snapshot.tx_bytes)
    latency = {"0.5": snapshot.latency_p50, "0.95": snapshot.latency_p95}
    help_text = "Latency in the window; -1 where none was measured."
    yield _labelled("latency_milliseconds", help_text, "quantile", latency)
    yield _gauge("window_rows", "Agent rows in the window.", snapshot.row_count)
    yield _gauge("snapshot_duration_ms", "How long taking it took.", snapshot.duration_ms)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"coderapi_stats_{name}", text, value=value)


def _labelled(name: str, text: str, label: str, values: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"coderapi_stats_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
