"""Requests Coder's newest release once a day, and compares it with the configured version.

Some deployments cannot reach the internet, so the job does not fail if the request fails. The check
is then called offline. It is retried every hour, and the error is logged once a day.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from django.conf import settings
from django.db import transaction

from deployment.models import CoderUpdateCheck, NewCoderapiRelease
from deployment.selectors import external_url
from kernel.coder.releases import Release, is_current
from kernel.coder.running import running
from kernel.db import listener
from kernel.outgoing import Outgoing, OutgoingError, Reply, redacted, send

TOPIC = "update-check"
DEADLINE_SECONDS = 10.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Update:
    current: bool
    url: str
    version: str


def update() -> Update:
    """Returns the response of `GET /updatecheck`.

    If no release is known, it contains the server's own version.
    """
    known = CoderUpdateCheck.objects.first() if settings.UPDATE_CHECK else None
    if known is None or not known.version:
        return Update(current=True, url=external_url(), version=settings.BUILD_VERSION)
    current = is_current(running() or settings.CODER_VERSION, known.version)
    return Update(current=current, url=known.url, version=known.version)


def check_interval(checks: type[CoderUpdateCheck | NewCoderapiRelease]) -> timedelta:
    """Returns the interval between checks: a day, or an hour if the last check failed."""
    has_failed = checks.objects.exclude(error="").exists()
    return timedelta(hours=1) if has_failed else timedelta(days=1)


def check_for_update(now: datetime, *, seconds: float = DEADLINE_SECONDS) -> int:
    """Requests the newest release and stores it. Returns 1 for a new release, else 0.

    If the request fails, stores the error, keeps the known release, and logs once a day.
    """
    known = CoderUpdateCheck.objects.get_or_create()[0]
    headers = {"Accept": "application/vnd.github+json, application/json"}
    try:
        reply = fetch(settings.UPDATE_CHECK_URL, headers, seconds=seconds)
        return _store(known, *parse_release(reply.body), now)
    except OutgoingError as error:
        if known.failed_at is None or known.failed_at.date() < now.date():
            logger.warning(
                "The update check is offline: %s. If this server has no access to the internet, "
                "set CODER_UPDATE_CHECK=false.",
                error,
            )
        CoderUpdateCheck.objects.update(failed_at=now, error=str(error)[:512])
        return 0


def fetch(url: str, headers: Mapping[str, str], *, seconds: float) -> Reply:
    """Sends a request to the internet and returns the response.

    Raises: OutgoingError for errors and timeouts, and for another status than 200.
    """
    headers = {**headers, "User-Agent": settings.USER_AGENT}
    reply = send(Outgoing(url, headers, networks=None, may_leave=True), seconds=seconds)
    if reply.status != 200:
        raise OutgoingError(f"{redacted(url)} returned status {reply.status}")
    return reply


def _store(known: CoderUpdateCheck, version: str, url: str, now: datetime) -> int:
    before = known.version
    known.version, known.url, known.succeeded_at, known.error = version, url, now, ""
    with transaction.atomic():
        known.save()
        listener.announce(TOPIC)
    return int(known.version != before)


def parse_release(body: bytes) -> tuple[str, str]:
    """Returns the version and the URL of the release from GitHub's response.

    Raises: OutgoingError if the response is not a release.
    """
    try:
        release = orjson.loads(body)
        version, url = release["tag_name"], release["html_url"]
        Release.parse(version)
        check_storable(version, url)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OutgoingError("the response does not describe a release") from None
    return version, url


def check_storable(version: str, url: str, summary: str = "") -> None:
    """Raises: ValueError or TypeError if the release cannot be stored and shown."""
    # `join` raises TypeError for a value that is not text. PostgreSQL cannot store NUL.
    if "\0" in "".join((version, url, summary)) or len(version) > 64 or len(url) > 512:
        raise ValueError(version)
    if not url.startswith(("https://", "http://")):
        raise ValueError(url)
