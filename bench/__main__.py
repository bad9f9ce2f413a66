"""`make bench`: measures all groups of scenarios, or only the given ones."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from contextlib import ExitStack, closing
from typing import Any

from bench import report
from bench.harness import Row, measured
from bench.load import now
from bench.scenarios import GROUPS, Bench
from bench.service import THREADS, WORKERS

# Fewer rounds are a trial, which is not recorded.
MIN_ROUNDS = 5
IDLE_SECONDS = 0.5


def main() -> int:
    chosen = _arguments()
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    is_recorded = chosen.rounds >= MIN_ROUNDS
    if is_recorded and load > cores:
        sys.stderr.write(
            f"bench: the load average is {load:.1f} on {cores} cores. Wait until the machine is "
            "quiet, or measure without recording: --rounds 1 --seconds 1\n"
        )
        return 1
    begun = time.monotonic()
    result = _run(chosen, load=load)
    result["minutes"] = round((time.monotonic() - begun) / 60, 1)
    sys.stdout.write(report.table(result))
    if is_recorded:
        path = report.record(result)
        sys.stdout.write(f"\nRecorded in {path}.\n")
    if is_recorded and set(result["groups"]) == set(GROUPS):
        report.write_document(result)
    return 1 if result["failed"] else 0


def _arguments() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    arguments.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    arguments.add_argument(
        "--rounds", type=int, default=MIN_ROUNDS, help=f"less than {MIN_ROUNDS} records nothing"
    )
    arguments.add_argument("--seconds", type=int, default=1, help="the duration of each load")
    arguments.add_argument(
        "--full", action="store_true", help="up to 10 million rows, without limits of time"
    )
    chosen = arguments.parse_args()
    unknown = [name for name in chosen.groups if name not in GROUPS]
    if unknown:
        arguments.error(f"{unknown[0]} is not a group. The groups are {', '.join(GROUPS)}.")
    chosen.groups = [name for name in GROUPS if name in chosen.groups or not chosen.groups]
    return chosen


def _run(chosen: argparse.Namespace, *, load: float) -> dict[str, Any]:
    rows: list[Row] = []
    failed: dict[str, str] = {}
    busy = [report.busy_share(IDLE_SECONDS)]
    with ExitStack() as stack:
        bench = Bench(stack, is_full=chosen.full)
        for name in chosen.groups:
            begun = time.monotonic()
            try:
                with closing(GROUPS[name](bench)) as batches:
                    rounds = measured(name, batches, rounds=chosen.rounds, seconds=chosen.seconds)
                    rows.extend(rounds)
            except Exception as error:  # noqa: BLE001 - the other groups continue
                failed[name] = repr(error)
                traceback.print_exc()
            sys.stderr.write(f"{name}: {time.monotonic() - begun:.0f} s\n")
            busy.append(report.busy_share(IDLE_SECONDS))
    return {
        "at": now(),
        "machine": report.machine() | {"workers": WORKERS, "threads": THREADS},
        "load": {"average_at_start": round(load, 2), "busy_between_groups": busy},
        "rounds": chosen.rounds,
        "seconds": chosen.seconds,
        "groups": chosen.groups,
        "failed": failed,
        "rows": [row.as_json() for row in rows],
    }


if __name__ == "__main__":
    sys.exit(main())
