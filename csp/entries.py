"""A report on its way into the database: scrubbed, grouped, and free of what must not be kept."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from csp.clients import client_of
from csp.free_text import scrubbed_text
from csp.grouping import GroupKey, browser_of, group_key
from csp.models import ReachMember
from csp.noise import Facts
from csp.parsers import LONGEST_SAMPLE, LONGEST_WORD, Violation, shortened
from csp.scrub import scrubbed
from csp.tolerant_json import cleaned_text
from csp.uris import page_of

# Browsers keep a report for two days at most; a greater age is a mistake or a lie.
OLDEST = timedelta(days=2)
Kind = ReachMember.Kind


# A group's id, a kind, and a keyed hash: one distinct page, browser, day or client of a day.
type Member = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What of a report depends neither on when nor from whom it came, scrubbed but for its page."""

    key: GroupKey
    page: str
    user_agent: str
    age: timedelta
    columns: Mapping[str, Any]


@dataclass(slots=True)
class Entry:
    """One report as it is written. `row` has the columns that it alone decides, by their names."""

    key: GroupKey
    group_id: str
    received_at: datetime
    hour: datetime
    coder_version: str
    facts: Facts
    reach: tuple[Member, ...]
    row: dict[str, Any]


def prepare(raw: Violation) -> Prepared:
    """A report as it was sent, without what must not be kept."""
    violation = scrubbed(raw)
    return Prepared(
        key=group_key(violation),
        page=page_of(raw.document_uri),
        user_agent=violation.user_agent,
        age=min(timedelta(milliseconds=raw.age_ms), OLDEST),
        columns={
            "shape": violation.shape.value,
            "document_uri": violation.document_uri,
            "referrer": violation.referrer,
            "blocked_uri": violation.blocked_uri,
            "effective_directive": violation.effective_directive,
            "violated_directive": violation.violated_directive,
            "original_policy": violation.original_policy,
            "disposition": violation.disposition,
            "status_code": violation.status_code,
            "sample": violation.sample,
            "source_file": violation.source_file,
            "line_number": violation.line_number,
            "column_number": violation.column_number,
            "extra": violation.extra,
        },
    )


def make_entry(
    report: Prepared,
    *,
    address: str,
    user_agent: str,
    now: datetime,
    secret: str,
    coder_version: str,
) -> Entry:
    """The entry for a report that came at `now`, with only keyed hashes of whom it came from."""
    group_id, columns = report.key.id, report.columns
    coder_version = coder_version[:LONGEST_WORD]
    agent = report.user_agent or _agent(user_agent)
    browser = browser_of(agent)
    client = client_of(address, now.date())
    return Entry(
        key=report.key,
        group_id=group_id,
        received_at=now,
        hour=now.replace(minute=0, second=0, microsecond=0),
        coder_version=coder_version,
        facts=Facts(columns["blocked_uri"], columns["source_file"], columns["document_uri"], agent),
        reach=_reach(secret, group_id, report.page, browser, now.date(), client),
        row={
            **columns,
            "received_at": now,
            "occurred_at": now - report.age,
            "group_id": group_id,
            "browser": browser,
            "user_agent": agent,
            "client": client.hex(),
            "coder_version": coder_version,
        },
    )


def _agent(header: str) -> str:
    return scrubbed_text(cleaned_text(shortened(header, LONGEST_SAMPLE)))[:LONGEST_SAMPLE]


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
    """A keyed hash as a PostgreSQL bigint: pages and clients can be counted, and not told."""
    digest = hmac.digest(secret.encode(), kind.encode() + b"\0" + value, hashlib.sha256)
    return int.from_bytes(digest[:8], "big", signed=True)
