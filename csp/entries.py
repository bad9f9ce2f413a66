"""A report on its way into the database: scrubbed, grouped, and free of what must not be kept."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from csp.grouping import GroupKey, browser_of, group_key
from csp.masking import masked
from csp.models import ReachMember
from csp.parsers import LONGEST_SAMPLE, Violation
from csp.scrub import client_hash, scrubbed
from csp.tolerant_json import cleaned_text

# Browsers keep a report for two days at most; a greater age is a mistake or a lie.
OLDEST = timedelta(days=2)
Kind = ReachMember.Kind


@dataclass(frozen=True, slots=True)
class Entry:
    """One report with all that is derived from it."""

    violation: Violation
    key: GroupKey
    group_id: uuid.UUID
    received_at: datetime
    occurred_at: datetime
    browser: str
    user_agent: str
    client: bytes
    coder_version: str
    reach: tuple[tuple[int, int], ...]

    @property
    def hour(self) -> datetime:
        return self.received_at.replace(minute=0, second=0, microsecond=0)


def make_entry(
    raw: Violation,
    *,
    address: str,
    user_agent: str,
    now: datetime,
    secret: str,
    coder_version: str,
) -> Entry:
    """The entry for a report as it was sent, with only keyed hashes of whom it came from."""
    violation = scrubbed(raw)
    key = group_key(violation)
    agent = violation.user_agent or masked(cleaned_text(user_agent[:LONGEST_SAMPLE]))
    browser = browser_of(agent)
    client = client_hash(address, secret=secret, day=now)
    reach = (
        (Kind.PAGE, _member(secret, "page", raw.document_uri.partition("?")[0].encode())),
        (Kind.BROWSER, _member(secret, "browser", browser.encode())),
        (Kind.DAY, _member(secret, "day", now.date().isoformat().encode())),
        (Kind.CLIENT_DAY, _member(secret, "client", client)),
    )
    return Entry(
        violation=violation,
        key=key,
        group_id=key.id,
        received_at=now,
        occurred_at=now - min(timedelta(milliseconds=raw.age_ms), OLDEST),
        browser=browser,
        user_agent=agent,
        client=client,
        coder_version=coder_version,
        reach=reach,
    )


@lru_cache(maxsize=2048)
def _member(secret: str, kind: str, value: bytes) -> int:
    """A keyed hash as a PostgreSQL bigint: pages and clients can be counted, and not told."""
    digest = hmac.digest(secret.encode(), kind.encode() + b"\0" + value, hashlib.sha256)
    return int.from_bytes(digest[:8], "big", signed=True)
