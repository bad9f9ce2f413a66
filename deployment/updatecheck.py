"""The update check: looks once a day for Coder's newest release, and compares it with ours.

All of it has one deadline: name resolution, connecting, redirects and the answer's body. The URL's
user, password and query may be secret, so neither log, database nor error message has them.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue
from urllib.parse import unquote, urljoin, urlsplit

import orjson
import semver
import urllib3
from django.conf import settings
from django.db import transaction
from django.utils.crypto import salted_hmac

from deployment.models import UpdateCheck
from deployment.selectors import external_url
from jobs.registry import JobFailedError
from kernel.db import listener

TOPIC = "update-check"
DEADLINE_SECONDS = 10.0
MAX_REDIRECTS = 3
MAX_ANSWER_BYTES = 1024 * 1024

# Its debug lines have the whole URL.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)


class UpdateCheckError(JobFailedError):
    """The newest release could not be learnt; the text says why, for the log."""


@dataclass(frozen=True, slots=True)
class Update:
    current: bool
    url: str
    version: str


def update() -> Update:
    """Returns the answer of `GET /updatecheck`: our own version while nothing newer is known."""
    known = UpdateCheck.objects.first() if settings.UPDATE_CHECK else None
    if known is None or not known.version:
        return Update(current=True, url=external_url(), version=settings.BUILD_VERSION)
    return Update(
        current=is_current(settings.CODER_VERSION, known.version),
        url=known.url,
        version=known.version,
    )


def is_current(own: str, newest: str) -> bool:
    """Tells whether `own`, cut at its first - or +, is at least `newest`, by semantic version."""
    return semver.Version.parse(_release(own)) >= semver.Version.parse(newest.removeprefix("v"))


def _release(version: str) -> str:
    return version.removeprefix("v").partition("-")[0].partition("+")[0]


def check_for_update(now: datetime, *, seconds: float = DEADLINE_SECONDS) -> int:
    """Asks the release source and keeps its answer. Returns 1 for a new release, else 0.

    Raises: UpdateCheckError, after noting it: the release that was known before stays.
    """
    known = UpdateCheck.objects.get_or_create(only=True)[0]
    url = settings.UPDATE_CHECK_URL
    source = salted_hmac("update-check", url, algorithm="sha256").hexdigest()
    try:
        answer = _ask(url, etag=known.etag if known.source == source else "", seconds=seconds)
        return _keep(known, answer, source, now)
    except UpdateCheckError as error:
        UpdateCheck.objects.update(failed_at=now, error=str(error)[:512])
        raise


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    etag: str
    body: bytes


def _ask(url: str, *, etag: str, seconds: float) -> _Answer:
    """Returns the answer of the source, or raises UpdateCheckError once the time is over.

    The request runs in a thread of its own, because a resolver, or a source that sends its headers
    byte by byte, would hold up the caller for as long as it likes.
    """
    headers = {
        "Accept": "application/vnd.github+json, application/json",
        "User-Agent": f"coderapi/{settings.VERSION}",
    }
    if etag:
        headers["If-None-Match"] = etag
    answers: SimpleQueue[_Answer | str] = SimpleQueue()
    request = threading.Thread(
        target=lambda: answers.put(_request(url, headers, seconds)), daemon=True
    )
    request.start()
    try:
        found = answers.get(timeout=seconds)
    except Empty:
        found = _too_late(seconds)
    if isinstance(found, str):
        raise UpdateCheckError(f"{_shown(url)} {found}")
    if found.status not in {200, 304}:
        raise UpdateCheckError(f"{_shown(url)} answered {found.status}")
    return found


def _too_late(seconds: float) -> str:
    return f"did not answer within {seconds:g} seconds"


def _request(url: str, headers: dict[str, str], seconds: float) -> _Answer | str:
    """Returns the answer at the end of all redirects, or a problem."""
    deadline = time.monotonic() + seconds
    try:
        with urllib3.PoolManager(retries=False) as http:
            for _ in range(1 + MAX_REDIRECTS):
                answer = http.request(
                    "GET",
                    url,
                    headers={**headers, **_credentials(url)},
                    timeout=max(deadline - time.monotonic(), 0.001),
                    redirect=False,
                    preload_content=False,
                )
                location = answer.get_redirect_location()
                if not location:
                    etag = answer.headers.get("ETag", "")[:256]
                    return _Answer(answer.status, etag, _body(answer, deadline))
                answer.close()
                url = urljoin(url, location)
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        if time.monotonic() >= deadline:
            return _too_late(seconds)
        return f"cannot be reached: {type(error).__name__}"
    return f"redirects more than {MAX_REDIRECTS} times"


def _credentials(url: str) -> dict[str, str]:
    """Returns the header for the user and password of the URL, which urllib3 does not send."""
    userinfo, at, _ = urlsplit(url).netloc.rpartition("@")
    return dict(urllib3.make_headers(basic_auth=unquote(userinfo))) if at else {}


def _body(answer: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    body = b""
    while len(body) < MAX_ANSWER_BYTES and (part := answer.read1(MAX_ANSWER_BYTES)):
        body += part
        if time.monotonic() > deadline:
            raise TimeoutError
    return body


def _shown(url: str) -> str:
    """Returns the URL without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _keep(known: UpdateCheck, answer: _Answer, source: str, now: datetime) -> int:
    before = known.version
    if answer.status == 200:
        known.version, known.url = parse_release(answer.body)
        known.etag, known.source = answer.etag, source
    known.succeeded_at, known.failed_at, known.error = now, None, ""
    with transaction.atomic():
        known.save()
        listener.announce(TOPIC)
    return int(known.version != before)


def parse_release(body: bytes) -> tuple[str, str]:
    """Returns the version and page of a release, from GitHub's answer for the latest one.

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
