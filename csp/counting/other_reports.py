"""Counts the reports of other types, such as `deprecation`, `coep` or `csp-hash`.

A row counts the reports with one type, subject, url, ingest key, site and kind of page. Reports
themselves are not stored. The clients are estimated from a sketch: the smallest hashes of the
clients of each day. Up to `SKETCH` - 1 clients, the number is exact; a larger number has an error
of about 9 %.

Anyone can invent reports. So a key can add `MAX_NEW` rows a day. After that, only its type, key and
site are counted. Pruning keeps the `MAX_ROWS` rows with the most clients.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import NamedTuple

import orjson
from django.conf import settings
from django.db.models import Max, Q
from django.utils import timezone

from csp import metrics
from csp.counting.counts import Counts
from csp.models import Group, OtherReport, midnight, start_of_retention
from csp.parsing.formats import HASH, is_hash
from csp.parsing.formats import OtherReport as Parsed
from csp.scrubbing.address import address_of
from csp.scrubbing.encodings import shortened
from csp.scrubbing.masking import MASK, masked
from csp.writing.entries import Sender, keyed_hash, uuid_of
from csp.writing.terms import Sites
from kernel.db.connections import fetch

SKETCH = 128
MAX_NEW, MAX_ROWS = 1_000, 10_000
# The number of different subjects in memory, until they are written.
MAX_WAITING = 1_000
MAX_URL = 1024
MAX_HASHES = 20
OTHER = "other"
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")

_NEW = "SELECT ingest_key, count(*) FROM csp_otherreport WHERE created_at >= %s GROUP BY 1"
_KNOWN = "SELECT id::text FROM csp_otherreport WHERE id = ANY(%s::uuid[])"
# The hashes are spread evenly over 64 bits. So if the smallest SKETCH hashes fill one part in N of
# this range, there are N * SKETCH.
_ESTIMATE = f"""CASE WHEN cardinality(m) < {SKETCH} THEN cardinality(m) ELSE
    round({SKETCH - 1} * 2::float ^ 64 / (m[{SKETCH}]::float + 2::float ^ 63 + 1))::bigint END"""
_WRITE = f"""
INSERT INTO csp_otherreport AS stored (id, type, subject, cause_url, ingest_key, site, page_kind,
    first_seen, last_seen, reports, client_sketch, client_days)
SELECT id, type, subject, cause_url, ingest_key, site, page_kind, first_seen, last_seen, reports, m,
    {_ESTIMATE}
FROM json_to_recordset(%s::json) AS new (
    id uuid, type text, subject text, cause_url text, ingest_key text, site text, page_kind text,
    first_seen timestamptz, last_seen timestamptz, reports bigint, m bigint[]
) ORDER BY id
ON CONFLICT (id) DO UPDATE SET
    reports = stored.reports + excluded.reports,
    first_seen = least(stored.first_seen, excluded.first_seen),
    last_seen = greatest(stored.last_seen, excluded.last_seen),
    (client_sketch, client_days) = (
        SELECT m, {_ESTIMATE} FROM (SELECT ARRAY(
            SELECT DISTINCT unnest(stored.client_sketch || excluded.client_sketch)
            ORDER BY 1 LIMIT {SKETCH}
        ) AS m) AS merged
    )
RETURNING id
"""  # noqa: S608 - only constants


class Subject(NamedTuple):
    """The values that identify a row. `ingest_key` is the name of the key."""

    type: str
    subject: str
    cause_url: str
    ingest_key: str
    site: str
    page_kind: str

    @property
    def id(self) -> str:
        return uuid_of(*self)

    def without_details(self) -> Subject:
        """Returns the row that counts what no longer gets a row of its own."""
        return self._replace(subject=OTHER, cause_url="", page_kind=OTHER)


@dataclass(slots=True)
class Tally:
    """The counts of one subject that are not written yet. `clients` has hashes."""

    first: datetime
    last: datetime
    reports: int = 0
    clients: set[int] = field(default_factory=set)

    def add(self, other: Tally) -> None:
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.reports += other.reports
        self.clients |= other.clients
        if len(self.clients) > 2 * SKETCH:
            self.clients = set(sorted(self.clients)[:SKETCH])


type Tallies = dict[Subject, Tally]


def prepare(raw: Parsed) -> Parsed:
    """Scrubs a report. A subject that is neither a word nor a hash becomes a placeholder."""
    subject = raw.subject
    is_word = _WORD.fullmatch(subject) and masked(subject) == subject
    if subject and not is_word and not (raw.type == HASH and is_hash(subject)):
        subject = MASK
    url = shortened(address_of(raw.cause_url).text, MAX_URL)
    return Parsed(raw.type, subject, url, address_of(raw.page).text)


def tally(
    counted: Tallies,
    reports: Iterable[Parsed],
    sender: Sender,
    *,
    key: str,
    sites: Sites,
    max_waiting: int = MAX_WAITING,
) -> None:
    """Adds the reports of one request to the counts. `key` is the name of the ingest key.

    Without room for another subject, counts it without details.
    """
    client, at = keyed_hash("client", sender.client, settings.SECRET_KEY), sender.received_at
    for each in reports:
        page = address_of(each.page)
        subject = Subject(each.type, each.subject, each.cause_url, key, page.site(sites), page.page)
        if len(counted) >= max_waiting and subject not in counted:
            subject = subject.without_details()
        counted.setdefault(subject, Tally(at, at)).add(Tally(at, at, 1, {client}))


def write(tallies: Tallies, *, max_new: int = MAX_NEW) -> None:
    """Adds the counts to the table. Raises: DatabaseError."""
    if not tallies:
        return
    bounded: Tallies = {}
    for subject, tally in zip(_bounded(tuple(tallies), max_new), tallies.values(), strict=True):
        bounded.setdefault(subject, Tally(tally.first, tally.last)).add(tally)
    rows = [
        {
            **subject._asdict(),
            "id": subject.id,
            "first_seen": tally.first,
            "last_seen": tally.last,
            "reports": tally.reports,
            "m": sorted(tally.clients)[:SKETCH],
        }
        for subject, tally in bounded.items()
    ]
    fetch(_WRITE, [orjson.dumps(rows).decode()], commits=True)


def _bounded(subjects: Sequence[Subject], max_new: int) -> Iterable[Subject]:
    """Yields each subject, without details if its key has added too many rows today."""
    known = {row[0] for row in fetch(_KNOWN, [[subject.id for subject in subjects]])}
    is_new = any(subject.id not in known for subject in subjects)
    added = Counter(dict(fetch(_NEW, [midnight(timezone.now())]))) if is_new else Counter[str]()
    for subject in subjects:
        if subject.id in known:
            yield subject
        elif added[subject.ingest_key] < max_new:
            added[subject.ingest_key] += 1
            yield subject
        else:
            yield subject.without_details()


COUNTS: Counts[Subject, Tally] = Counts("other reports", write)


def count(reports: Sequence[Parsed], sender: Sender, *, key: str, sites: Sites) -> None:
    """Counts the reports of one request. They are written a few seconds later."""
    metrics.RECEIVED_REPORTS.labels("other").inc(len(reports))
    for report in reports:
        metrics.OTHER_REPORTS.labels(report.type).inc()
    COUNTS.update(partial(tally, reports=reports, sender=sender, key=key, sites=sites))


def prune(now: datetime, *, max_rows: int = MAX_ROWS) -> None:
    """Deletes expired rows, and all but the `max_rows` rows with the most clients."""
    OtherReport.objects.filter(last_seen__lt=start_of_retention(now)).delete()
    ordered = OtherReport.objects.order_by("-client_days", "-last_seen", "pk")
    OtherReport.objects.filter(pk__in=ordered.values("pk")[max_rows:]).delete()


def script_file_hashes(group: Group) -> list[Mapping[str, object]]:
    """Returns the hashes of the scripts that a group blocks, from reports of the type csp-hash.

    Shape: [coderapi.CSPScriptFileHash], most clients first.
    """
    if not group.directive.startswith("script-src") or "." not in group.blocked_source:
        return []
    found = OtherReport.objects.filter(type=HASH, site=group.site).exclude(subject__in=["", MASK])
    https, http = (f"{scheme}://{group.blocked_source}/" for scheme in ("https", "http"))
    same_host = Q(cause_url__startswith=https) | Q(cause_url__startswith=http)
    # A client may load one script on several kinds of pages. So the clients are not added up.
    rows = (
        found.filter(same_host)
        .values_list("cause_url", "subject")
        .annotate(clients=Max("client_days"))
        .order_by("-clients", "cause_url", "subject")
    )
    names = ("url", "hash", "client_days")
    return [dict(zip(names, row, strict=True)) for row in rows[:MAX_HASHES]]
