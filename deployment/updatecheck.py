"""Looking once a day for Coder's newest release, and saying whether ours is current."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import orjson
import semver
import urllib3
from django.conf import settings
from django.db import transaction

from deployment.buildinfo import external_url
from deployment.models import UpdateCheck
from jobs.registry import JobFailedError
from kernel.db import listener

TOPIC = "update-check"
TIMEOUT = urllib3.Timeout(connect=5, read=10)
MAX_ANSWER_BYTES = 1024 * 1024


class UpdateCheckError(JobFailedError):
    """The newest release could not be learnt; the text says why, for the log."""


@dataclass(frozen=True, slots=True)
class Update:
    current: bool
    url: str
    version: str


def update() -> Update:
    """What `GET /updatecheck` answers: our own version while nothing newer is known."""
    known = UpdateCheck.objects.first() if settings.UPDATE_CHECK else None
    if known is None or not known.version:
        return Update(current=True, url=external_url(), version=settings.BUILD_VERSION)
    return Update(
        current=is_current(settings.CODER_VERSION, known.version),
        url=known.url,
        version=known.version,
    )


def is_current(own: str, newest: str) -> bool:
    """Whether `own`, cut at its first - or +, is at least `newest`, by semantic version."""
    return semver.Version.parse(_release(own)) >= semver.Version.parse(newest.removeprefix("v"))


def _release(version: str) -> str:
    return version.removeprefix("v").partition("-")[0].partition("+")[0]


def check_for_update(now: datetime) -> int:
    """Asks the release source and keeps its answer; 1 when a new release was learnt, else 0.

    Raises: UpdateCheckError, after noting it: what was known before stays.
    """
    known = UpdateCheck.objects.get_or_create(only=True)[0]
    try:
        return _keep(known, _ask(settings.UPDATE_CHECK_URL, known), now)
    except UpdateCheckError as error:
        UpdateCheck.objects.update(failed_at=now, error=str(error)[:512])
        raise


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    etag: str
    body: bytes


def _ask(url: str, known: UpdateCheck) -> _Answer:
    headers = {
        "Accept": "application/vnd.github+json, application/json",
        "User-Agent": f"coderapi/{settings.VERSION}",
    }
    if known.etag and known.source == url:
        headers["If-None-Match"] = known.etag
    try:
        with urllib3.PoolManager(timeout=TIMEOUT, retries=urllib3.Retry(3, redirect=3)) as http:
            answer = http.request("GET", url, headers=headers, preload_content=False)
            body = answer.read(MAX_ANSWER_BYTES)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise UpdateCheckError(f"{url} cannot be reached: {type(error).__name__}") from error
    if answer.status not in {200, 304}:
        raise UpdateCheckError(f"{url} answered {answer.status}")
    return _Answer(answer.status, answer.headers.get("ETag", "")[:256], body)


def _keep(known: UpdateCheck, answer: _Answer, now: datetime) -> int:
    before = known.version
    if answer.status == 200:
        known.version, known.url = parse_release(answer.body)
        known.etag, known.source = answer.etag, settings.UPDATE_CHECK_URL
    known.succeeded_at, known.failed_at, known.error = now, None, ""
    with transaction.atomic():
        known.save()
        listener.announce(TOPIC)
    return int(known.version != before)


def parse_release(body: bytes) -> tuple[str, str]:
    """The version and page of a release, from GitHub's answer for the latest one.

    Raises: UpdateCheckError for anything else.
    """
    try:
        release = orjson.loads(body)
        version, url = release["tag_name"], release["html_url"]
        semver.Version.parse(version.removeprefix("v"))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UpdateCheckError("the answer does not describe a release") from None
    if not isinstance(url, str) or not url.startswith(("https://", "http://")) or len(url) > 512:
        raise UpdateCheckError("the answer's html_url is not a web address")
    return version, url
