"""Counts rejected requests with reports, by day, ingest key, reason and origin.

A request adds to a count in memory, which a thread writes (see `counting`). Anyone can send
requests, so the number of different rows of a day and key is limited. But the origins of existing
keys always get their rows. So a visitor who invents origins does not hide the requests of a site,
even if its key is mistyped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import NamedTuple

import orjson
from django.utils import timezone

from csp import metrics
from csp.access import keys
from csp.access.origins import MAX_ORIGIN
from csp.counting.counts import Counts
from csp.models import Rejection
from csp.scrubbing.address import address_of
from kernel.db.connections import fetch
from kernel.http.errors import NOT_VALID, APIError
from kernel.http.results import Results

# The maximum numbers of rows for each key: in memory, and on a day in the database. Further origins
# are counted as "other".
MAX_WAITING, MAX_ROWS = 20, 100
KEPT = timedelta(days=30)
OTHER = "other"
# Each reason is logged at most once in this time.
LOG_SECONDS = 60.0

WRITE = """
INSERT INTO csp_rejection (day, ingest_key, reason, origin, requests, last_seen)
SELECT day, ingest_key, reason, origin, sum(requests), max(last_seen) FROM (
    SELECT day, ingest_key, reason, requests, last_seen,
        CASE WHEN origin IN (SELECT unnest(origins) FROM csp_ingestkey) OR (
            SELECT count(*) FROM csp_rejection AS stored
            WHERE stored.day = new.day AND stored.ingest_key = new.ingest_key
        ) < %s THEN origin ELSE %s END AS origin
    FROM json_to_recordset(%s::json) AS new (
        day date, ingest_key text, reason text, origin text, requests bigint, last_seen timestamptz
    )
) AS bounded GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
ON CONFLICT (day, ingest_key, reason, origin) DO UPDATE SET
    requests = csp_rejection.requests + EXCLUDED.requests, last_seen = EXCLUDED.last_seen
RETURNING id
"""

log = logging.getLogger(__name__)


class _Subject(NamedTuple):
    day: date
    ingest_key: str
    reason: str
    origin: str


def _count(
    subject: _Subject, waiting: dict[_Subject, int], *, max_waiting: int = MAX_WAITING
) -> None:
    if subject not in waiting and subject.origin not in keys.recalled_origins():
        of_key = sum(each.ingest_key == subject.ingest_key for each in waiting)
        subject = subject if of_key < max_waiting else subject._replace(origin=OTHER)
    waiting[subject] = waiting.get(subject, 0) + 1


def write(counted: Mapping[_Subject, int], *, max_rows: int = MAX_ROWS) -> None:
    now = timezone.now()
    rows = [{**each._asdict(), "requests": n, "last_seen": now} for each, n in counted.items()]
    fetch(WRITE, [max_rows, OTHER, orjson.dumps(rows).decode()], commits=True)


COUNTS: Counts[_Subject, int] = Counts("rejected requests", write)
# When each reason was logged.
_logged: dict[str, float] = {}


def add(subject: _Subject) -> None:
    COUNTS.update(partial(_count, subject))
    if time.monotonic() - _logged.get(subject.reason, -LOG_SECONDS) >= LOG_SECONDS:
        _logged[subject.reason] = time.monotonic()
        origin, key = subject.origin or "none", subject.ingest_key or "none"
        log.info("CSP report rejected: %s Origin: %s; key: %s", subject.reason, origin, key)


def note(results: Results, error: APIError, *, now: datetime) -> None:
    """Counts a request that was rejected with this error, unless the service has failed."""
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return
    # Not the detail of other errors, because it contains numbers.
    reason = error.detail if error.status == HTTPStatus.FORBIDDEN else error.message
    if error.message == NOT_VALID:
        reason = " ".join(map(str, error.validations))
    metrics.REJECTED_REQUESTS.labels(reason).inc()
    name = keys.name_of(results.call.parameters.get(keys.PARAMETER))
    add(_Subject(now.date(), name, reason[:64], _origin(results)))


def _origin(results: Results) -> str:
    """Returns the origin of the page without private data, "" without one, or `other`."""
    text = results.call.headers.get("origin", "")
    origin = address_of(text).origin
    is_valid = origin.startswith("http") and len(origin) <= MAX_ORIGIN
    return origin if is_valid else OTHER if text else ""


def forget_old(now: datetime) -> None:
    """Deletes old counts."""
    Rejection.objects.filter(day__lt=(now - KEPT).date()).delete()
