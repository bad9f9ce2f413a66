"""The result as dated JSON, and as a table in docs/reliability.md."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.faults.ledger import KINDS, Account
from bench.faults.rounds import MAX_ANSWER_SECONDS, MAX_HEALTH_SECONDS, Fault, Round
from bench.load import now
from bench.report import RESULTS, machine, replace_part
from bench.service import PROJECT, THREADS, WORKERS

DOCUMENT = PROJECT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
HEAD = (
    "| fault | rounds | acknowledged | found | lost | doubled | 503 but there | seconds away | "
    "slowest /healthz | slowest answer | by hand | held |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n"
)


def report(
    rounds: Sequence[Round], *, starts: list[float], skipped: dict[str, str], seed: int
) -> dict[str, Any]:
    """Returns the results of all rounds. Units: seconds."""
    total = sum((found.total for found in rounds), Account())
    return {
        "at": now(),
        "seed": seed,
        "machine": machine()
        | {
            "load_average": round(os.getloadavg()[2], 2),
            "start_seconds": starts,
            "workers": WORKERS,
            "threads": THREADS,
        },
        "held": all(found.met for found in rounds),
        "rounds": len(rounds),
        "seconds": round(sum(found.seconds for found in rounds)),
        "total": asdict(total),
        "skipped": skipped,
        "faults": [
            {"fault": fault.name, "rounds": [_of_round(found) for found in these]}
            for fault, these in _by_fault(rounds).items()
        ],
    }


def _by_fault(rounds: Sequence[Round]) -> dict[Fault[Any], list[Round]]:
    found = defaultdict(list)
    for one in rounds:
        found[one.fault].append(one)
    return found


def _of_round(found: Round) -> dict[str, Any]:
    return {
        "held": found.met,
        **asdict(found.total),
        "kinds": {kind: asdict(account) for kind, account in found.accounts.items()},
        "away": None if found.away is None else round(found.away, 2),
        "by_hand": found.by_hand,
        "slowest": found.slowest,
        "failed": found.failed,
        "statuses": found.statuses,
        "problems": found.problems,
        "resets": found.resets,
        # The log matters only if something failed.
        "log": {} if found.met else found.log,
        "log_lines": found.log_lines,
        "seconds": found.seconds,
    }


def write_json(made: dict[str, Any]) -> Path:
    path = RESULTS / f"{made['at'][:10]}-faults.json"
    path.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return path


def write_table(text: str) -> None:
    """Replaces the table between its marks in the document."""
    replace_part(DOCUMENT, BEGIN, END, text)


def table(made: dict[str, Any], rounds: Sequence[Round]) -> str:
    about = made["machine"]
    lines = "".join(_cells(_title(fault), these) for fault, these in _by_fault(rounds).items())
    return (
        f"Measured on {made['at'][:10]}, {about['cores']} cores, load average "
        f"{about['load_average']}, {made['rounds']} rounds in {made['seconds'] // 60} minutes, "
        f"seed {made['seed']}. A first start of the service took at most "
        f"{max(about['start_seconds'], default=0):.0f} s."
        f"\n\n{HEAD}{lines}{_cells('**all**', rounds)}"
        f"{_wrong(rounds)}{_skipped(made['skipped'])}"
    )


def _cells(title: str, rounds: Sequence[Round]) -> str:
    total = sum((found.total for found in rounds), Account())
    held = sum(found.met for found in rounds)
    cells = (
        title,
        len(rounds),
        total.acknowledged,
        total.found,
        total.lost,
        total.doubled,
        f"{total.refused_there} of {total.refused}",
        _away(rounds),
        f"{max((found.healthz for found in rounds), default=0):.1f}",
        f"{max((found.slowest_answer for found in rounds), default=0):.1f}",
        sum(found.by_hand for found in rounds),
        "yes" if held == len(rounds) else f"{held} of {len(rounds)}",
    )
    return f"| {' | '.join(map(str, cells))} |\n"


def _away(rounds: Sequence[Round]) -> str:
    """Returns the longest recovery, or "never"."""
    times = [found.away for found in rounds]
    known = [away for away in times if away is not None]
    return f"{max(known):.1f}" if len(known) == len(times) else "never"


def _title(fault: Fault[Any]) -> str:
    return f"{(fault.__doc__ or '').rstrip('.')} (`{fault.name}`)"


def _wrong(rounds: Sequence[Round]) -> str:
    """Returns a list of the problems, with a line for each fault and reason."""
    lines = [
        f"* `{fault.name}`: {reason}\n"
        for fault, these in _by_fault(rounds).items()
        for reason in _reasons(these)
    ]
    return "\nWhat did not hold:\n\n" + "".join(lines) if lines else ""


def _reasons(rounds: Sequence[Round]) -> list[str]:
    """Returns the problems of a fault's rounds, each with the worst figure."""
    reasons = [*_untruths(rounds)]
    aways = [found.away for found in rounds if found.away and found.away > found.fault.max_away]
    if aways:
        reasons.append(f"away for {max(aways):.0f} s")
    if (healthz := max(found.healthz for found in rounds)) > MAX_HEALTH_SECONDS:
        reasons.append(f"/healthz took {healthz:.1f} s")
    slowest = max(rounds, key=lambda found: found.slowest_answer)
    if slowest.slowest_answer > MAX_ANSWER_SECONDS:
        kind = max(slowest.slowest, key=lambda kind: slowest.slowest[kind])
        reasons.append(f"an answer ({kind}) took {slowest.slowest_answer:.0f} s")
    texts = [" ".join(text.split())[:240] for found in rounds for text in found.problems]
    # Texts that differ only in their numbers count as one problem.
    return [*reasons, *{re.sub(r"\d+", "", text): text for text in texts}.values()]


def _untruths(rounds: Sequence[Round]) -> list[str]:
    """Returns the marks that were lost, doubled, or written despite a 503, for each kind."""
    reasons: list[str] = []
    for kind in KINDS:
        these = [found.accounts[kind] for found in rounds if kind in found.accounts]
        total = sum(these, Account())
        for count, what in (
            (total.lost, "lost"),
            (total.doubled, "doubled"),
            (total.refused_there, f"of {total.refused} answered 503 and there"),
        ):
            if count:
                reasons.append(f"{count} {what} ({kind})")
    return reasons


def _skipped(skipped: dict[str, str]) -> str:
    return "".join(f"\nNot played: `{name}`, because {why}.\n" for name, why in skipped.items())
