"""Reports as browsers send them, and a writer for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.test import Client

from csp.access import keys
from csp.migrations._built_in_rules import add_built_in
from csp.models import NoiseRule
from csp.parsing.formats import parse
from csp.scrubbing.reports import scrubbed
from csp.writing import writer
from csp.writing.entries import Entry, entries_of, sender_of
from csp.writing.terms import TERMS, terms_of
from tests.support.api.client import signed_in
from tests.support.factories import make_user

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
PATH = "/api/v2/csp/reports"
POLICY = "default-src 'none'; script-src 'self'; report-uri /api/v2/csp/reports"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:149.0) Gecko/20100101 Firefox/149.0"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36"


def legacy(**members: Any) -> dict[str, Any]:
    """Returns a report that Chromium and Firefox send to `report-uri`."""
    body = {
        "document-uri": "https://coder.example.com/workspaces",
        "referrer": "",
        "violated-directive": "script-src-elem",
        "effective-directive": "script-src-elem",
        "original-policy": POLICY,
        "disposition": "enforce",
        "blocked-uri": "https://cdn.example.net/lib.js",
        "status-code": 200,
        "script-sample": "",
    }
    return {"csp-report": body | {k.replace("_", "-"): v for k, v in members.items()}}


def modern(**members: Any) -> dict[str, Any]:
    """Returns one item of an array of the Reporting API."""
    body = {
        "documentURL": "https://coder.example.com/workspaces",
        "referrer": "",
        "blockedURL": "https://cdn.example.net/lib.js",
        "effectiveDirective": "script-src-elem",
        "originalPolicy": POLICY,
        "sourceFile": "https://coder.example.com/assets/index.js",
        "sample": "",
        "disposition": "report",
        "statusCode": 200,
        "lineNumber": 12,
        "columnNumber": 7,
    }
    return {
        "age": 1500,
        "type": "csp-violation",
        "url": "https://coder.example.com/workspaces",
        "user_agent": CHROME,
        "body": body | members,
    }


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def send(client: Any, value: Any, **more: Any) -> Any:
    return client.post(PATH, as_bytes(value), content_type="application/csp-report", **more)


def in_admin(*roles: str) -> Client:
    """Returns the client of a user with these roles who has signed in to the admin."""
    return signed_in(make_user(*roles))


def entries(
    value: Any,
    *,
    times: int = 1,
    address: str = "::1",
    caller: str = "",
    share: int = 1,
    now: datetime = NOW,
) -> list[Entry]:
    """Returns `times` copies of the reports of a body, in the form that the writer gets."""
    reports = [scrubbed(violation) for violation in parse(value).violations] * times
    terms = terms_of(now.date())
    fixed: Any = {"user_agent": CHROME, "key": terms.client_key, "now": now}
    sender = sender_of(address=address, caller=caller, share=share, **fixed)
    return entries_of(reports, sender, sites=terms.sites, rules=terms.rules)


@contextmanager
def fresh_writer() -> Iterator[None]:
    """Stops the writer, which has its own connection, before the rows of the test are deleted."""
    # A writer of an earlier test may still hold a connection.
    writer.stop()
    add_built_in(NoiseRule)
    keys.MEMORY.clear()
    TERMS.clear()
    try:
        yield
    finally:
        writer.stop()


@contextmanager
def writer_without_database(settings: Any, directory: Path) -> Iterator[None]:
    """Gives the writer a URL at which no server listens until the end of the block."""
    direct = settings.DIRECT_DATABASE_URL
    settings.DIRECT_DATABASE_URL = f"postgresql://nobody@/none?host={directory}"
    # A late report of an earlier test's browser may have opened a connection.
    writer.stop()
    yield
    settings.DIRECT_DATABASE_URL = direct
