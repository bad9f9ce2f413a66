"""Prepares scrubbed reports for writing: finds their groups, and hashes senders and pages.

Reports of one site with the same directive and blocked source are in one group.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from csp.directives import KNOWN
from csp.models import NoiseRule
from csp.noise.rules import Rules
from csp.scrubbing.encodings import MAX_WORD
from csp.scrubbing.free_text import scrubbed_agent
from csp.scrubbing.reports import Scrubbed
from csp.writing.terms import Sites, coder_sites
from kernel.coder.running import running
from kernel.http.steps.hosts import client_of, network_of
from kernel.settings import settings

OTHER = "other"
# The first bytes of a client's hash, which all clients of its network share.
NETWORK_BYTES = 8


class Caller(NamedTuple):
    """The caller to which the limits of new groups and versions apply (see `group_limit`).

    `name` and `network` are hashes. `share` multiplies the limits.
    """

    name: bytes
    network: bytes
    share: int = 1


class Sender(NamedTuple):
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
    rule: NoiseRule | None
    row: dict[str, Any]


def sender_of(
    *,
    address: str,
    user_agent: str,
    caller: str,
    key: bytes,
    now: datetime,
    share: int = 1,
    version: str = "",
) -> Sender:
    """Returns the sender of a request with reports.

    `caller` is the name of the caller to which limits apply, or "", and `share` multiplies them.
    `key` is the key for the hashes of the day.
    """
    client = client_address_hash(address, key)
    limited = Caller(_hashed(caller, key, size=16), client[:NETWORK_BYTES], share)
    return Sender(
        received_at=now,
        client=client,
        caller=limited if caller else None,
        user_agent=user_agent,
        version=version,
        coder_version=running()[:MAX_WORD],
        coder_sites=coder_sites(),
    )


@lru_cache(maxsize=1024)
def client_address_hash(address: str, key: bytes) -> bytes:
    """Returns the hash of a client with the key of a UTC day, in 16 bytes.

    The first half is the hash of the client's network. So the networks of clients can be counted
    (see `kernel.http.steps.hosts.network_of`).
    """
    network = _hashed(network_of(address), key, size=NETWORK_BYTES)
    return network + _hashed(client_of(address), key, size=8)


def _hashed(text: str, key: bytes, *, size: int) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=size, key=key).digest()


def entries_of(
    reports: Iterable[Scrubbed], sender: Sender, *, sites: Sites, rules: Rules
) -> list[Entry]:
    """Creates an entry for each report of one request."""
    secret = settings.SECRET_KEY
    header = scrubbed_agent(sender.user_agent)
    client = keyed_hash("client", sender.client, secret)
    entries = []
    for report in reports:
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
            **group_columns(site, *report.cause),
            "noise_rule": rule.id if rule else 0,
            "received_at": sender.received_at,
            "occurred_at": sender.received_at - report.age,
            "browser": browser_of(agent),
            "user_agent": agent,
            "client_address_hash": f"\\x{sender.client.hex()}",
            "version_name": sender.version or of_coder,
            "page": keyed_hash("page", report.page.encode(), secret),
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


def group_columns(site: str, directive: str, blocked_source: str) -> dict[str, object]:
    """Returns the columns of the group with these values."""
    return {
        "group_id": uuid_of(site, directive, blocked_source),
        "group_site": site,
        "group_directive": directive,
        "group_blocked_source": blocked_source,
    }


@lru_cache(maxsize=2048)
def uuid_of(*values: object) -> str:
    """Returns the UUID of a row as a string. The UUID is a hash of the values."""
    text = "\0".join([str(value or "") for value in values])
    return str(uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16]))


def other_group(site: str, directive: str) -> dict[str, object]:
    """Returns the columns of the group "other", for callers that have opened too many groups.

    Each known directive of a site has one. All unknown directives share one, so that invented
    directives cannot open groups.
    """
    return group_columns(site, directive if directive in KNOWN else "", OTHER)


@lru_cache(maxsize=512)
def browser_of(user_agent: str) -> str:
    """Returns the browser's name and major version, such as `Firefox 149`; "" if unknown."""
    for token, name in _BROWSERS:
        _, found, rest = user_agent.partition(token)
        if found:
            version = rest.split(".", 1)[0].split(" ", 1)[0][:4]
            return f"{name} {version}" if version.isascii() and version.isdecimal() else name
    return ""


# The order matters, because the user agents of Edge and Opera also contain `Chrome/`.
_BROWSERS = (
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
)
