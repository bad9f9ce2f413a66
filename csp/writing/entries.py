"""Prepares reports for writing: scrubs them, groups them, and hashes pages and clients."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import connection

from csp.models import ReachMember
from csp.noise.rules import Facts
from csp.parsing.formats import MAX_SAMPLE, MAX_WORD, Violation, shortened
from csp.parsing.tolerant_json import cleaned_text
from csp.scrubbing.free_text import scrubbed_text
from csp.scrubbing.reports import scrubbed
from csp.scrubbing.uris import page_of
from csp.writing.grouping import browser_of, group_columns, group_key
from kernel.memory import Memory, Remembered

# Browsers send a report within two days or drop it, so a higher age is wrong.
MAX_AGE = timedelta(days=2)
# The columns whose values come from the report. Other columns come from the request or the group.
COLUMNS = tuple(member.name for member in fields(Violation) if member.name != "age_ms")
KEY_BYTES = 32
Kind = ReachMember.Kind

# The id of a group, a kind (page, browser, day or client), and a keyed hash of the page, browser,
# day or client.
type Member = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A scrubbed report without its time and sender, so that it can be cached for equal bodies.

    `page` is not scrubbed, because only a hash of it is stored.
    """

    group_id: str
    page: str
    user_agent: str
    age: timedelta
    columns: Mapping[str, Any]


@dataclass(slots=True)
class Entry:
    """One report, ready to be written. `row` has all columns except the noise rule."""

    received_at: datetime
    caller: bytes
    facts: Facts
    reach: tuple[Member, ...]
    row: dict[str, Any]


def prepare(raw: Violation) -> Prepared:
    """Scrubs a report and computes its group."""
    violation = scrubbed(raw)
    group = group_key(violation)
    return Prepared(
        group_id=group.id,
        page=page_of(raw.document_uri),
        user_agent=violation.user_agent,
        age=min(timedelta(milliseconds=raw.age_ms), MAX_AGE),
        columns={
            **{name: getattr(violation, name) for name in COLUMNS},
            **group_columns(group),
        },
    )


def entries_of(
    reports: Iterable[Prepared],
    *,
    address: str,
    user_agent: str,
    now: datetime,
    caller: str = "",
    coder_version: str | None = None,
) -> list[Entry]:
    """Creates an entry for each report of one request.

    `caller` is the ingest key, user or IP address to which the limit of new groups applies. If it
    is "", there is no limit. If `coder_version` is None, the entries have the configured version.
    """
    version = settings.CODER_VERSION if coder_version is None else coder_version
    day = now.date()
    client = client_of(address, day)
    hashed = client_hash(caller, key_of(day)) if caller else b""
    return [
        _entry(report, client, hashed, header=user_agent, now=now, version=version[:MAX_WORD])
        for report in reports
    ]


def _entry(
    report: Prepared, client: bytes, caller: bytes, *, header: str, now: datetime, version: str
) -> Entry:
    group_id, columns = report.group_id, report.columns
    agent = report.user_agent or _agent(header)
    browser = browser_of(agent)
    return Entry(
        received_at=now,
        caller=caller,
        facts=Facts(columns["blocked_uri"], columns["source_file"], columns["document_uri"], agent),
        reach=_reach(settings.SECRET_KEY, group_id, report.page, browser, now.date(), client),
        row={
            **columns,
            "received_at": now,
            "occurred_at": now - report.age,
            "group_id": group_id,
            "browser": browser,
            "user_agent": agent,
            "client": client.hex(),
            "coder_version": version,
        },
    )


def _agent(header: str) -> str:
    return scrubbed_text(cleaned_text(shortened(header, MAX_SAMPLE)))[:MAX_SAMPLE]


@lru_cache(maxsize=4096)
def _reach(
    secret: str, group_id: str, page: str, browser: str, day: date, client: bytes
) -> tuple[Member, ...]:
    return (
        (group_id, Kind.PAGE.value, _member(secret, "page", page.encode())),
        (group_id, Kind.BROWSER.value, _member(secret, "browser", browser.encode())),
        (group_id, Kind.DAY.value, _member(secret, "day", day.isoformat().encode())),
        (group_id, Kind.CLIENT_DAY.value, _member(secret, "client", client)),
    )


@lru_cache(maxsize=2048)
def _member(secret: str, kind: str, value: bytes) -> int:
    """Returns a keyed hash of the value. The hash fits a PostgreSQL bigint.

    Only the hashes are stored and counted, and the values are not stored.
    """
    digest = hmac.digest(secret.encode(), kind.encode() + b"\0" + value, hashlib.sha256)
    return int.from_bytes(digest[:8], "big", signed=True)


# --- Hashes of clients. Each day has a key, which is deleted a day later --------------------------

# Two keys are cached, because reports of two days arrive around midnight.
DAY_KEYS: Memory[date, bytes] = Memory("client keys", capacity=2)

_KEEP = "INSERT INTO csp_clientkey (day, key) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_READ = "SELECT key FROM csp_clientkey WHERE day = %s"


def client_of(address: str, day: date) -> bytes:
    """Returns the hash of an IP address with the key of the UTC day, in 16 bytes.

    Imported reports have no IP address. For them, the result is the date. Raises: DatabaseError.
    """
    return client_hash(address, key_of(day)) if address else day.isoformat().encode()


def client_hash(address: str, key: bytes) -> bytes:
    return hmac.digest(key, address.encode(), hashlib.sha256)[:16]


def key_of(day: date) -> bytes:
    """Returns the key that all processes use on this day. Generates a missing key."""
    return DAY_KEYS.get(day) or DAY_KEYS.load(day, lambda: _read(day))


def _read(day: date) -> Remembered[bytes]:
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, [day, secrets.token_bytes(KEY_BYTES)])
        cursor.execute(_READ, [day])
        return Remembered(bytes(cursor.fetchone()[0]))
