"""The results: dated JSON, a table, and the generated part of docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from bench.harness import Row
from bench.service import PROJECT

RESULTS = PROJECT / "bench" / "results"
DOCUMENT = PROJECT / "docs" / "performance.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
# How much slower than with the least rows an operation may become.
MAX_SLOWDOWN = 1.3
HEAD = (
    "| what | this service | reference | ratio | spread | target | met |\n"
    "|---|--:|--:|--:|--:|--:|---|\n"
)
GROWTH_HEAD = (
    "| what | rows | ratio | spread | relative to the fewest rows | met |\n"
    "|---|--:|--:|--:|--:|---|\n"
)
UNITS = {
    "rate": "/s",
    "pss_mib": " MiB",
    "seconds": " s",
    "stop_seconds": " s",
    "lookups": "",
    "ms_a_second": " ms/s",
}


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def busy_share(seconds: float) -> float:
    """Returns the share of the processors that is busy while the bench only waits."""
    before = _processor_times()
    time.sleep(seconds)
    return share_of(before, _processor_times())


def _processor_times() -> list[int]:
    return [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]


def share_of(before: list[int], after: list[int]) -> float:
    """Returns the busy share between two readings. The fields 3 and 4 are idle time."""
    passed = [new - old for old, new in zip(before, after, strict=True)][:8]
    idle = passed[3] + passed[4]
    return round(1 - idle / sum(passed), 3) if sum(passed) else 0.0


def record(result: dict[str, Any], directory: Path = RESULTS) -> Path:
    """Writes the result to a new file, whose name is the time. Raises: FileExistsError."""
    path = directory / f"{result['at'][:19].replace(':', '')}.json"
    with path.open("x", encoding="utf-8") as file:
        file.write(json.dumps(result, indent=1) + "\n")
    return path


def rows_of(result: dict[str, Any]) -> list[Row]:
    return [Row.from_json(row) for row in result["rows"]]


def write_document(result: dict[str, Any]) -> None:
    """Replaces the part between the marks of the document."""
    replace_part(DOCUMENT, BEGIN, END, table(result))


def replace_part(document: Path, begin: str, end: str, text: str) -> None:
    """Replaces the text between two marks of a document."""
    before, _, rest = document.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    document.write_text(f"{before}{begin}\n{text}{end}{after}", encoding="utf-8")


def table(result: dict[str, Any]) -> str:
    """Returns the tables as Markdown, with a sentence about the run."""
    rows = rows_of(result)
    lines = [_line(row) for row in rows if not row.series]
    grown = [line for series in _series(rows).values() for line in _growth_lines(series)]
    parts = [_about(result), HEAD + "".join(lines) if lines else ""]
    parts.append(GROWTH_HEAD + "".join(grown) if grown else "")
    parts += [f"The group `{name}` failed: {why}\n" for name, why in result["failed"].items()]
    return "\n".join(part for part in parts if part)


def _about(result: dict[str, Any]) -> str:
    found, load = result["machine"], result["load"]
    return (
        f"Measured on {result['at'][:16].replace('T', ' ')} UTC in {result['minutes']:.0f} "
        f"minutes: {result['rounds']} rounds, {result['seconds']} s for each load, "
        f"{found['cores']} cores, Python {found['python']}, {found['workers']} workers with "
        f"{found['threads']} threads each. The load average at the start was "
        f"{load['average_at_start']}. Between the groups, at most "
        f"{max(load['busy_between_groups']):.0%} of the processors was busy.\n"
    )


def _line(row: Row) -> str:
    name = f"{row.name} ({row.note})" if row.note else row.name
    ours, other = _median(row.ours, row.figure), _median(row.references, row.figure)
    reference = f"{other} ({row.reference})" if row.reference else ""
    ratio = _number(row.value) if row.reference else ""
    return _cells(name, ours, reference, ratio, f"{row.spread:.0%}", _target(row), verdict(row))


def verdict(row: Row) -> str:
    """Returns `yes` or `no` with the reason, if the reason is known."""
    if row.failed:
        return f"failed: {' '.join(row.failed.split())[:600]}"
    if row.errors:
        return f"no: {row.errors:,.0f} failed requests"
    return {True: "yes", False: "no", None: ""}[row.met]


def _median(figures: list[float], figure: str) -> str:
    if not figures:
        return ""
    middle = sorted(figures)[len(figures) // 2]
    digits = 0 if middle >= 100 else 1 if middle >= 10 else 2
    return f"{middle:,.{digits}f}{UNITS.get(figure, ' ms')}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _target(row: Row) -> str:
    unit = "" if row.reference else UNITS.get(row.figure, " ms")
    if row.at_least is not None:
        return f"≥ {row.at_least:g}{unit}"
    return "" if row.at_most is None else f"≤ {row.at_most:g}{unit}"


def _series(rows: list[Row]) -> dict[str, list[Row]]:
    """Returns the rows of each series that has a figure for every size."""
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.series:
            found[row.series].append(row)
    return {name: sorted(rows, key=lambda row: row.size) for name, rows in found.items()}


def _growth_lines(rows: list[Row]) -> list[str]:
    known = [(row.size, row.value) for row in rows if row.value]
    relative = {size: value / known[0][1] for size, value in known}
    return [
        _cells(
            f"{row.series}, over {row.reference}",
            f"{row.size:,}",
            _number(row.value),
            f"{row.spread:.0%}",
            _number(relative.get(row.size)),
            _growth_verdict(row, relative.get(row.size)),
        )
        for row in rows
    ]


def _growth_verdict(row: Row, relative: float | None) -> str:
    if row.failed or row.errors or relative is None:
        return verdict(row)
    return "yes" if relative >= 1 / MAX_SLOWDOWN else "no"


def _cells(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"
