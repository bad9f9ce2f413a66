from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from csp.importing import import_reports
from kernel.commands.line_imports import (
    BadLines,
    ImportResult,
    LinesCommand,
    LinesError,
    Progress,
    Source,
    records,
)

PAGE = "https://coder.example.com/workspaces"
SCRIPT = "https://cdn.example.net/lib.js"
TIME = "2026-01-31T12:00:00Z"
OLD = {"effective-directive": "script-src-elem", "blocked-uri": SCRIPT}
NEW = {"effectiveDirective": "script-src-elem", "blockedURL": SCRIPT}
# One example for each format in `csp.parsing.formats`.
EXAMPLES: dict[str, Any] = {
    "report-uri": {
        "csp-report": {"document-uri": PAGE, **OLD, "disposition": "enforce"},
        "received_at": TIME,
        "version": "2.34.1",
    },
    "report-to, the Reporting API": [
        {
            "type": "csp-violation",
            "age": 1500,
            "url": PAGE,
            "body": {"documentURL": PAGE, **NEW, "disposition": "report"},
            "received_at": TIME,
        }
    ],
    "WebKit, for report-to": {"type": "csp-violation", "url": PAGE, "body": NEW},
    "WebKit, for report-uri": {"type": "csp-violation", "url": PAGE, "csp-report": OLD},
}
FORMATS = """\
Each line of the file is the JSON body of one request, as a browser sends it. Here is one example
for each format:

{examples}

A line may have two more members: received_at, the time when the report arrived (default: now), and
version, the version of the page. The first two examples contain them."""


class Command(LinesCommand):
    help = (
        "Imports CSP reports from a file of JSON lines. If you import the same file again, the "
        "lines that were already imported are skipped."
    )
    formats = FORMATS.format(
        examples="\n\n".join(
            f"{format}:\n{json.dumps(example)}" for format, example in EXAMPLES.items()
        )
    )
    examples = "reports.jsonl\n- <reports.jsonl"
    adds_bad_lines = True

    def ingest(self, source: Source, *, bad: BadLines, progress: Progress) -> ImportResult:
        if ".csv" in Path(source.name).suffixes:
            raise LinesError("CSP reports cannot be imported from CSV. Use a file of JSON lines.")
        run = import_reports(records(source), advance=progress.advance, set_aside=bad.add)
        return ImportResult(str(run), good=run.reports + run.known)
