"""The groups of scenarios.

A group is a generator. It starts what its scenarios need, and yields lists of scenarios that are
measured in alternating rounds.
"""

from __future__ import annotations

from bench.scenarios.api import lists, minting
from bench.scenarios.base import Bench, Group
from bench.scenarios.coder import coder
from bench.scenarios.csp import csp
from bench.scenarios.documents import documents, keys
from bench.scenarios.growth import growth
from bench.scenarios.imports import history, imports
from bench.scenarios.processes import starting, telemetry, wear
from bench.scenarios.triage import triage

# Groups that add many rows come after the groups that they could slow down.
GROUPS: dict[str, Group] = {
    group.__name__: group
    for group in (
        documents, keys, coder, lists, telemetry, minting, csp, history, imports, starting, wear,
        triage, growth,
    )
}  # fmt: skip

__all__ = ["GROUPS", "Bench", "Group"]
