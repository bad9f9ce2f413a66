"""Finds out whether another distribution has packages with the names of ours.

Some names are common, such as `users`. In one environment, other packages with such names would
replace ours, or be mixed with them. This module imports only the standard library, because our
packages may be damaged.
"""

from __future__ import annotations

import re
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    *("alerts", "audit", "beside", "coderapi", "csp", "deployment", "experiments", "jobs"),
    *("kernel", "options", "stats", "tokens", "users"),
)
ADVICE = (
    "Install coderapi into an environment of its own, for example with `uv tool install`, pipx, or "
    "`python3 -m venv`."
)


def conflict() -> str:
    """Returns why our packages cannot be used in this environment, with advice, or ""."""
    for name in PACKAGES:
        spec = find_spec(name)
        origin = Path(spec.origin or "").resolve() if spec else ROOT
        if ROOT not in (origin, *origin.parents):
            return f"Python would import {name} from {origin}, not from {ROOT}. {ADVICE}"
    wanted = re.compile(rf"^({'|'.join(PACKAGES)})(?:/|\.py,)", re.MULTILINE)
    for record in sorted(ROOT.glob("*.dist-info/RECORD")):
        distribution = record.parent.name.partition("-")[0]
        if distribution.lower() == "coderapi":
            continue
        # A list that is damaged or cannot be read does not prevent the start.
        text = ""
        with suppress(OSError):
            text = record.read_text(encoding="utf-8", errors="replace")
        if found := {*wanted.findall(text)}:
            names = ", ".join(sorted(found))
            return (
                f"The distribution {distribution} has installed packages with the same names as "
                f"those of coderapi into {ROOT}: {names}. {ADVICE}"
            )
    return ""
