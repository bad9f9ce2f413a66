"""`python -m bench.loading`: how long each process takes to read Coder's options.

The sources are 60 variables and a YAML file of 300 lines.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench.load import now
from options.catalogue import CATALOGUE
from options.configuration import load
from options.option import Option
from options.values import Bool, Duration, Integer
from options.written_config import yaml_document

VARIABLES = 60
LINES = 300
ROUNDS = 50
MAX_MILLISECONDS = 30.0
TEXTS = {Bool: "true", Duration: "90m", Integer: "7"}


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "coder.yaml"
        file.write_text(yaml_text(), encoding="utf-8")
        environ = {**variables(), "CODER_CONFIG_PATH": str(file)}
        milliseconds = [timed(environ) for _ in range(ROUNDS)]
    found = statistics.median(milliseconds)
    met = found < MAX_MILLISECONDS
    report = {
        "at": now(),
        "sources": {"variables": VARIABLES, "lines": LINES},
        "milliseconds": {"median": round(found, 2), "maximum": round(max(milliseconds), 2)},
        "at_most": MAX_MILLISECONDS,
        "met": met,
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 0 if met else 1


def yaml_text() -> str:
    flags = [(option.flag, TEXTS[type(option.type)]) for option in plain_options()]
    written = yaml_document(load({}, flags=flags)).splitlines()
    # An operator's file lacks the comments about each option.
    lines = [line for line in written if not line.lstrip().startswith("#")]
    return "\n".join([*lines, *(LINES - len(lines)) * ["# nothing"]]) + "\n"


def variables() -> dict[str, str]:
    plain = [option for option in plain_options() if option.env]
    return {option.env: TEXTS[type(option.type)] for option in plain[:VARIABLES]}


def plain_options() -> list[Option]:
    return [
        option
        for option in CATALOGUE
        if type(option.type) in TEXTS and not option.use_instead and option.name != "Write Config"
    ]


def timed(environ: dict[str, str]) -> float:
    begun = time.perf_counter()
    load(environ)
    return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    sys.exit(main())
