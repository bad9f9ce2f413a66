"""Declares gauges: sampled by each process, or read from the database."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal

from django.db import Error as DatabaseError
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import autodiscover_modules
from prometheus_client import Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kernel.db.connections import deadline, first_line
from kernel.loops import repeat
from kernel.telemetry import DIRECTORY_VARIABLE
from kernel.telemetry.logs import REPEATS

SAMPLE_SECONDS = 2.0
# The time for which database gauges are cached.
GAUGES_KEPT_SECONDS = 5.0
# A scrape must get a response within two seconds. If the database gauges take longer, they are left
# out.
GAUGES_SECONDS = 1.2

log = logging.getLogger(__name__)
log.addFilter(REPEATS)

# Maps label values to values. The key of a metric without labels is ().
type Values = Mapping[tuple[str, ...], float]
type Mode = Literal["livesum", "livemin", "livemax"]


@dataclass(frozen=True, slots=True)
class DatabaseGauge:
    """A gauge that is read from the database during a scrape."""

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[datetime], Values]


_samples: list[Callable[[], None]] = []
DATABASE_GAUGES: list[DatabaseGauge] = []


def sampled_gauge(
    name: str,
    help: str,
    read: Callable[[], Values],
    *,
    mode: Mode,
    labels: Sequence[str] = (),
) -> None:
    """Declares a gauge that every process samples.

    `mode` determines how the values of the running processes are combined.
    """
    gauge = Gauge(name, help, labels, multiprocess_mode=mode)

    def sample() -> None:
        for label_values, value in read().items():
            (gauge.labels(*label_values) if label_values else gauge).set(value)

    _samples.append(sample)


def database_gauge(
    name: str, help: str, read: Callable[[datetime], Values], *, labels: Sequence[str] = ()
) -> None:
    """Declares a database gauge. Its query must be fast for tables of any size."""
    DATABASE_GAUGES.append(DatabaseGauge(name, help, tuple(labels), read))


def discover() -> None:
    """Imports each app's module `metrics`."""
    autodiscover_modules("metrics")


def enabled() -> bool:
    """Returns whether the server that started this process serves metrics."""
    return DIRECTORY_VARIABLE in os.environ


def start_sampling() -> None:
    """Starts a thread that samples gauges, if metrics are served."""
    if enabled():
        discover()
        run = partial(repeat, sample_all, every=SAMPLE_SECONDS, stop=threading.Event())
        threading.Thread(target=run, name="metrics", daemon=True).start()


def sample_all() -> None:
    for sample in _samples:
        try:
            sample()
        except Exception:
            log.exception("A metric cannot be sampled")


class DatabaseGauges(Collector):
    """Collects the database gauges, and a gauge that shows whether they could be read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._last: list[Metric] = []

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
            families = [_family(one, now) for one in DATABASE_GAUGES]
    except DatabaseError as error:
        log.warning("The database gauges cannot be read: %s", first_line(error))
    reachable = GaugeMetricFamily("coderapi_database_up", DATABASE_UP_HELP, float(bool(families)))
    return [reachable, *families]


DATABASE_UP_HELP = "1 if the metrics of the database could be read for this scrape, else 0."


def _family(one: DatabaseGauge, now: datetime) -> Metric:
    family = GaugeMetricFamily(one.name, one.help, labels=one.labels)
    for labels, value in one.read(now).items():
        family.add_metric(labels, value)
    return family
