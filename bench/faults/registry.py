"""All faults in the order in which they are played. Faults of one stage follow each other."""

from __future__ import annotations

from typing import Any

from bench.faults import (
    commands,
    connections,
    disk,
    hosts,
    job_hosts,
    killing,
    newcomers,
    operators,
    starting,
    stopping,
)
from bench.faults.rounds import Fault

FAULTS: tuple[Fault[Any], ...] = (
    *killing.FAULTS,
    *connections.FAULTS,
    *hosts.FAULTS,
    *stopping.FAULTS,
    *starting.FAULTS,
    *commands.FAULTS,
    *operators.FAULTS,
    *operators.BEHIND_PROXY,
    *newcomers.FAULTS,
    *job_hosts.FAULTS,
    *hosts.PAIR_FAULTS,
    *killing.PRIVATE_FAULTS,
    *disk.FAULTS,
)
