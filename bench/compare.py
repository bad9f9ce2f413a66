"""`python -m bench.compare A B`: prints the rows that clearly differ.

A row clearly differs if every round of one result has a higher value than every round of the other.
With five rounds each, this is hardly a coincidence. The
figures of two machines differ, but their ratios can be compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench.harness import Row
from bench.report import rows_of


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    arguments.add_argument("a", type=Path, metavar="A")
    arguments.add_argument("b", type=Path, metavar="B")
    chosen = arguments.parse_args()
    try:
        before, after = (_read(path) for path in (chosen.a, chosen.b))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"bench.compare: {error}\n")
        return 1
    lines = differences(rows_of(before), rows_of(after))
    sys.stdout.write("".join(lines) or "The rounds of every common row overlap.\n")
    return 0


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "rows" not in found:
        raise ValueError(f"{path} is not a result of `make bench`, or an old one.")
    return found


def differences(before: list[Row], after: list[Row]) -> list[str]:
    """Returns a line for each row that differs, or that is in one result only."""
    old, new = ({row.name: row for row in rows} for rows in (before, after))
    found = [line for name in old if name in new and (line := difference(old[name], new[name]))]
    found += [f"only in A: {name}\n" for name in old if name not in new]
    return found + [f"only in B: {name}\n" for name in new if name not in old]


def difference(a: Row, b: Row) -> str:
    """Returns a sentence if the rounds of the two rows do not overlap, else an empty string."""
    if a.value is None or b.value is None:
        return "" if a.value is b.value else f"{a.name}: failed in {'B' if a.value else 'A'}\n"
    if max(a.rounds) >= min(b.rounds) and max(b.rounds) >= min(a.rounds):
        return ""
    is_smaller_better = a.at_most is not None
    word = "better" if (b.value < a.value) == is_smaller_better else "worse"
    return f"{a.name}: {a.value:.3g} → {b.value:.3g} ({b.value / a.value - 1:+.0%}), {word}\n"


if __name__ == "__main__":
    sys.exit(main())
