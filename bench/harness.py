"""Measures scenarios in rounds, each scenario beside its reference.

Figures depend on the machine and its load. Only a ratio of two figures of the same round is
compared with a target.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg

from bench.load import BenchError, Figures

# A scenario that fails for one of these reasons does not end the run.
FAILURES = (BenchError, OSError, subprocess.SubprocessError, psycopg.Error)


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """A function that returns figures. `run` takes the duration of a load in seconds.

    Scenarios with the same measure share its figures in each round.
    """

    name: str
    run: Callable[[int], Figures]
    needs_warm_up: bool = True


@dataclass(frozen=True, slots=True)
class Scenario:
    """A figure of this service, its reference, and the target.

    The target applies to the ratio of the two figures, or to our figure if there is no reference.
    `series` and `size` place the scenario in the table of growth. `note` takes our figures, and
    returns a remark for the table.
    """

    name: str
    ours: Measure
    reference: Measure | None = None
    at_least: float | None = None
    at_most: float | None = None
    figure: str = "rate"
    series: str = ""
    size: int = 0
    note: Callable[[Figures], str] = lambda _: ""


@dataclass(slots=True)
class Row:
    """The figures of all rounds of one scenario."""

    group: str
    name: str
    figure: str
    reference: str
    at_least: float | None
    at_most: float | None
    series: str = ""
    size: int = 0
    ours: list[float] = field(default_factory=list)
    references: list[float] = field(default_factory=list)
    errors: float = 0
    failed: str = ""
    note: str = ""

    @classmethod
    def of(cls, scenario: Scenario, *, group: str) -> Row:
        reference = scenario.reference.name if scenario.reference else ""
        same = ("name", "figure", "at_least", "at_most", "series", "size")
        return cls(group, reference=reference, **{name: getattr(scenario, name) for name in same})

    @property
    def rounds(self) -> list[float]:
        """Returns the ratio of each round, or our figure if there is no reference."""
        if not self.reference:
            return self.ours
        return [ours / other for ours, other in zip(self.ours, self.references, strict=True)]

    @property
    def value(self) -> float | None:
        return statistics.median(self.rounds) if self.rounds and not self.failed else None

    @property
    def spread(self) -> float:
        """Returns the difference between the highest and the lowest round, over the median."""
        return (max(self.rounds) - min(self.rounds)) / self.value if self.value else 0.0

    @property
    def met(self) -> bool | None:
        """Returns whether the target is met, or None without a target."""
        if self.at_least is None and self.at_most is None:
            return None
        if self.value is None or self.errors:
            return False
        enough = self.at_least is None or self.value >= self.at_least
        return enough and (self.at_most is None or self.value <= self.at_most)

    def as_json(self) -> dict[str, Any]:
        derived = {"value": self.value, "spread": self.spread, "met": self.met}
        return asdict(self) | derived

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Row:
        return cls(**{name: found[name] for name in cls.__dataclass_fields__})


def measured(
    group: str, batches: Iterable[list[Scenario]], *, rounds: int, seconds: int
) -> Iterator[Row]:
    """Measures each batch of scenarios before the group prepares the next batch."""
    for scenarios in batches:
        rows = {scenario.name: Row.of(scenario, group=group) for scenario in scenarios}
        _warm_up(scenarios)
        broken: dict[Measure, str] = {}
        for number in range(rounds):
            _play(scenarios, rows, broken, seconds=seconds, is_odd=number % 2 == 1)
        yield from rows.values()


def _measures(scenario: Scenario) -> list[Measure]:
    return [scenario.ours, *([scenario.reference] if scenario.reference else [])]


def _warm_up(scenarios: Iterable[Scenario]) -> None:
    """Fills caches and connection pools, because the first requests may fail or be slow."""
    measures = dict.fromkeys(each for scenario in scenarios for each in _measures(scenario))
    for measure in measures:
        if measure.needs_warm_up:
            _run(measure, 1)


def _run(measure: Measure, seconds: int) -> Figures | str:
    try:
        return measure.run(seconds)
    except FAILURES as error:
        return f"{measure.name}: {error}"


def _play(
    scenarios: Iterable[Scenario],
    rows: dict[str, Row],
    broken: dict[Measure, str],
    *,
    seconds: int,
    is_odd: bool,
) -> None:
    """Measures each scenario once. A measure that has failed is not repeated."""
    known: dict[Measure, Figures] = {}
    for scenario in scenarios:
        row = rows[scenario.name]
        measures = _measures(scenario)
        # The order alternates, so that a change of the machine's speed favors neither side.
        for measure in measures if is_odd else reversed(measures):
            if measure not in known and measure not in broken:
                result = _run(measure, seconds)
                if isinstance(result, str):
                    broken[measure] = result
                else:
                    known[measure] = result
        row.failed = next((broken[each] for each in measures if each in broken), "")
        if not row.failed:
            _note(row, scenario, known)


def _note(row: Row, scenario: Scenario, known: dict[Measure, Figures]) -> None:
    figures = known[scenario.ours]
    row.note = scenario.note(figures)
    row.ours.append(figures[scenario.figure])
    # The errors of a reference count too, because they would make our figure look better.
    row.errors += sum(known[each].get("errors", 0) for each in _measures(scenario))
    if scenario.reference:
        row.references.append(known[scenario.reference][scenario.figure])
    shown = f"{row.ours[-1]:,.1f}" + (f" / {row.references[-1]:,.1f}" if row.references else "")
    sys.stderr.write(f"{row.group}: {row.name}: {shown}\n")
