"""`python -m bench.faults`: plays all faults, or the named ones, and writes the result."""

from __future__ import annotations

import argparse
import json
import random
import secrets
import signal
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from bench.faults import (
    connections,
    disk,
    hosts,
    imports,
    job_hosts,
    killing,
    newcomers,
    starting,
    stopping,
)
from bench.faults.report import report, table, write_json, write_table
from bench.faults.rounds import Fault, Round, play, settle_round
from bench.faults.stages import Stage, UnfitError
from bench.load import BenchError

# In the order in which they are played. Faults of one stage follow each other.
FAULTS: tuple[Fault[Any], ...] = (
    *killing.FAULTS,
    *connections.FAULTS,
    *hosts.FAULTS,
    *stopping.FAULTS,
    *starting.FAULTS,
    *imports.FAULTS,
    *hosts.BEHIND_PROXY,
    *newcomers.FAULTS,
    *job_hosts.FAULTS,
    *hosts.PAIR_FAULTS,
    *killing.PRIVATE_FAULTS,
    *disk.FAULTS,
)


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    arguments.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="the faults to play (default: all); the result of named faults is only printed",
    )
    arguments.add_argument("--rounds", type=int, help="of each fault, instead of its own number")
    arguments.add_argument("--seed", type=int, help="of the random moments")
    arguments.add_argument("--list", action="store_true", help="only list the faults")
    chosen = arguments.parse_args()
    if unknown := set(chosen.names) - {fault.name for fault in FAULTS}:
        arguments.error(f"no such fault: {', '.join(sorted(unknown))}")
    faults = [fault for fault in FAULTS if not chosen.names or fault.name in chosen.names]
    if chosen.list:
        sys.stdout.writelines(f"{fault.name}: {fault.__doc__}\n" for fault in faults)
        return 0
    # A shell's background jobs ignore Ctrl-C, and the commands of faults would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    seed = secrets.randbelow(1 << 16) if chosen.seed is None else chosen.seed
    rounds, starts, skipped = played(faults, rounds=chosen.rounds, seed=seed)
    made = report(rounds, starts=starts, skipped=skipped, seed=seed)
    if chosen.names:
        sys.stdout.write(json.dumps(made, indent=1) + "\n")
    else:
        file, text = write_json(made), table(made, rounds)
        write_table(text)
        sys.stdout.write(f"{text}\nwritten to {file} and docs/reliability.md\n")
    return 0 if made["held"] else 1


def played(
    faults: Sequence[Fault[Any]], *, rounds: int | None, seed: int
) -> tuple[list[Round], list[float], dict[str, str]]:
    """Plays the faults, stage by stage.

    Returns the rounds, the seconds of each stage's first start, and why faults were skipped.
    """
    found: list[Round] = []
    starts: list[float] = []
    skipped: dict[str, str] = {}
    for kind, together in groupby(faults, key=lambda fault: fault.stage):
        these = list(together)
        stage = kind()
        try:
            stage.open()
            found += _on_stage(these, stage, rounds=rounds, seed=seed)
            starts.append(stage.start_seconds)
        except UnfitError as error:
            skipped |= {fault.name: str(error) for fault in these}
        finally:
            stage.close()
    return found, starts, skipped


def _on_stage(
    faults: Sequence[Fault[Any]], stage: Stage, *, rounds: int | None, seed: int
) -> list[Round]:
    found: list[Round] = []
    for fault in faults:
        chance = random.Random(f"{seed} {fault.name}")  # noqa: S311 - not a secret
        found += [
            play(fault, stage, number, chance) for number in range(1, (rounds or fault.rounds) + 1)
        ]
    for one in found:
        settle_round(one, stage)
    return found


if __name__ == "__main__":
    # Started processes must end with this one.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        sys.exit(main())
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        sys.exit(1)
