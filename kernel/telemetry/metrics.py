"""Metrics that are read and not counted: samples of a process, and figures from the database."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from django.db import Error as DatabaseError
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import autodiscover_modules
from prometheus_client import Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kernel.db.connections import deadline
from kernel.loops import repeat
from kernel.telemetry import DIRECTORY_VARIABLE

SAMPLE_SECONDS = 2.0
# Scrapers that come more often than this are shown the same figures again.
GAUGES_KEPT_SECONDS = 5.0
# A scrape is answered within two seconds, without these figures if need be.
GAUGES_SECONDS = 1.2

log = logging.getLogger(__name__)

# Values by the values of the metric's labels; () stands for a metric without labels.
type Values = Mapping[tuple[str, ...], float]
type Mode = Literal["livesum", "livemin", "livemax"]


@dataclass(frozen=True, slots=True)
class DatabaseGauge:
    """A gauge that is read from the database for a scrape."""

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[datetime], Values]


_samples: list[Callable[[], None]] = []
_gauges: list[DatabaseGauge] = []


def sampled_gauge(
    name: str,
    help: str,
    read: Callable[[], Values],
    *,
    mode: Mode,
    labels: Sequence[str] = (),
) -> Gauge:
    """Makes a gauge that every process samples; `mode` puts the living processes together."""
    gauge = Gauge(name, help, labels, multiprocess_mode=mode)

    def sample() -> None:
        for of, value in read().items():
            (gauge.labels(*of) if of else gauge).set(value)

    _samples.append(sample)
    return gauge


def sampled_counter(name: str, help: str, read: Callable[[], float]) -> Counter:
    """Makes a counter that follows a number of the process, which only grows."""
    counter = Counter(name, help)
    seen = read()

    def sample() -> None:
        nonlocal seen
        now = read()
        counter.inc(max(0.0, now - seen))
        seen = now

    _samples.append(sample)
    return counter


def database_gauge(
    name: str, help: str, read: Callable[[datetime], Values], *, labels: Sequence[str] = ()
) -> DatabaseGauge:
    """Makes a figure. Its query must stay cheap however large the tables are."""
    made = DatabaseGauge(name, help, tuple(labels), read)
    _gauges.append(made)
    return made


def database_gauges() -> list[DatabaseGauge]:
    return list(_gauges)


def discover() -> None:
    """Imports each app's module `metrics`."""
    autodiscover_modules("metrics")


def enabled() -> bool:
    """Tells whether this process's supervisor serves metrics."""
    return DIRECTORY_VARIABLE in os.environ


def start_sampling() -> None:
    """Starts to sample in a thread of its own, where metrics are served at all."""
    if enabled():
        discover()
        threading.Thread(
            target=repeat,
            args=(sample_all,),
            kwargs={"every": SAMPLE_SECONDS, "stop": threading.Event()},
            name="metrics",
            daemon=True,
        ).start()


def sample_all() -> None:
    for sample in _samples:
        try:
            sample()
        except Exception:
            log.exception("a metric could not be sampled")


class DatabaseGauges(Collector):
    """The figures for a scrape, remembered for a moment. They tell if the database is away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._last: list[Metric] = []

    def describe(self) -> Iterable[Metric]:
        """Describes nothing, so that registering asks for no figures yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            if time.monotonic() >= self._read_at + GAUGES_KEPT_SECONDS:
                self._last = read_database_gauges(timezone.now())
                self._read_at = time.monotonic()
            return self._last


def read_database_gauges(now: datetime) -> list[Metric]:
    families: list[Metric] = []
    try:
        with deadline(GAUGES_SECONDS), transaction.atomic():
            families = [_family(one, now) for one in _gauges]
    except DatabaseError as error:
        log.warning("figures cannot be read: %s", type(error).__name__)
    reachable = GaugeMetricFamily("coderapi_database_up", DATABASE_UP_HELP, float(bool(families)))
    return [reachable, *families]


DATABASE_UP_HELP = "1 if the figures from the database could be read for this scrape, else 0."


def _family(one: DatabaseGauge, now: datetime) -> Metric:
    family = GaugeMetricFamily(one.name, one.help, labels=one.labels)
    for labels, value in one.read(now).items():
        family.add_metric(labels, value)
    return family
