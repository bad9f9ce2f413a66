"""Prepares reports for writing: scrubs them, groups them, and hashes pages and clients.

This module needs no database, so the processes of an import can use it too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings

from csp.noise.rules import Rule, Rules
from csp.parsing.formats import Violation
from csp.parsing.tolerant_json import cleaned_text
from csp.scrubbing.address import without_query
from csp.scrubbing.free_text import scrubbed_agent
from csp.scrubbing.reports import Scrubbed, scrubbed
from csp.writing.grouping import Sites, browser_of, cause_of, group_columns

# Browsers send a report within two days or drop it, so a higher age is wrong.
MAX_AGE = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A scrubbed report without its time and sender, so that it can be cached for equal bodies.

    `page` is not scrubbed, because only a hash of it is stored.
    """

    report: Scrubbed
    cause: tuple[str, str]
    page: str
    age: timedelta


class Caller(NamedTuple):
    """The caller to which the limits of new groups and versions apply (see `group_limit`).

    `name` and `network` are hashes. `share` multiplies the limits.
    """

    name: bytes
    network: bytes
    share: int = 1


@dataclass(frozen=True, slots=True)
class Sender:
    """The values that all reports of one request share.

    `client` is the hash of the client. If `caller` is None, the limits of callers do not apply.
    `version` is the version in the URL of the request. If it is empty, pages of the `coder_sites`
    have the version of Coder.
    """

    received_at: datetime
    client: bytes
    caller: Caller | None = None
    user_agent: str = ""
    version: str = ""
    coder_version: str = ""
    coder_sites: Sites = frozenset()


@dataclass(slots=True)
class Entry:
    """One report, ready to be written. `row` has the values that the statement in `batch` reads."""

    caller: Caller | None
    rule: Rule | None
    row: dict[str, Any]


def prepare(raw: Violation) -> Prepared:
    """Scrubs a report, and finds its cause."""
    report = scrubbed(raw)
    return Prepared(
        report=report,
        cause=cause_of(report),
        page=without_query(raw.document_uri),
        age=min(timedelta(milliseconds=raw.age_ms), MAX_AGE),
    )


def entries_of(
    reports: Iterable[Prepared], sender: Sender, *, sites: Sites, rules: Rules
) -> list[Entry]:
    """Creates an entry for each report of one request."""
    secret = settings.SECRET_KEY
    header = scrubbed_agent(cleaned_text(sender.user_agent))
    client = keyed_hash("client", sender.client, secret)
    entries = []
    for prepared in reports:
        report = prepared.report
        agent, site = report.user_agent or header, report.document.site(sites)
        rule = rules.match(
            blocked=report.blocked,
            source=report.source,
            document=report.document,
            user_agent=agent,
            site=site,
        )
        of_coder = sender.coder_version if site in sender.coder_sites else ""
        row = {
            **report.columns,
            **group_columns(site, *prepared.cause),
            "noise_rule": rule.id if rule else 0,
            "received_at": sender.received_at,
            "occurred_at": sender.received_at - prepared.age,
            "browser": browser_of(agent),
            "user_agent": agent,
            "client_address_hash": f"\\x{sender.client.hex()}",
            "version_name": sender.version or of_coder,
            "page": keyed_hash("page", prepared.page.encode(), secret),
            "client_day": client,
        }
        entries.append(Entry(sender.caller, rule, row))
    return entries


@lru_cache(maxsize=2048)
def keyed_hash(kind: str, value: bytes, secret: str) -> int:
    """Returns a keyed hash of a page or a client, which is stored instead of the value.

    The hash fits a PostgreSQL bigint.
    """
    digest = hashlib.blake2b(value, digest_size=8, key=_key(secret), person=kind.encode()).digest()
    return int.from_bytes(digest, "big", signed=True)


@lru_cache(maxsize=1)
def _key(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
