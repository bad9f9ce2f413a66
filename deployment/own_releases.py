"""Reads a feed of coderapi's own releases, if the operator has configured one.

A feed is a JSON document: `{"releases": [{"version", "url", "is_security", "summary"}]}`, where
`is_security` is true if the release fixes a vulnerability. The order does not matter.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from pathlib import Path

import orjson
import semver
from django.conf import settings

from deployment.models import NewCoderapiRelease
from deployment.updatecheck import DEADLINE_SECONDS, check_storable, fetch
from kernel.outgoing import MAX_BODY_BYTES, OutgoingError

SUMMARY_CHARACTERS = 200
_VERSION = attrgetter("version")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OwnRelease:
    version: semver.Version
    url: str
    is_security: bool
    summary: str


def newer_release() -> NewCoderapiRelease | None:
    """Returns the newest known release if it is newer than this one."""
    known = NewCoderapiRelease.objects.first() if settings.RELEASE_FEED else None
    if known is None or not known.version or not _is_upgrade(semver.Version.parse(known.version)):
        return None
    return known


def check_for_own_release(now: datetime) -> int:
    """Reads the feed. Stores the newest release that is newer than this one, and returns 1 for it.

    The stored release counts as a security release if any newer release is one. If the feed cannot
    be read, stores the error, keeps the known release, and logs a warning.
    """
    known = NewCoderapiRelease.objects.get_or_create(is_only_row=True)[0]
    try:
        releases = [*parse_feed(_read(settings.RELEASE_FEED))]
    except OutgoingError as error:
        logger.warning("The feed of CODERAPI_RELEASE_FEED cannot be used: %s.", error)
        NewCoderapiRelease.objects.update(error=str(error)[:512])
        return 0
    known.error, known.succeeded_at = "", now
    newer = [each for each in releases if _is_upgrade(each.version)]
    if not newer:
        # A release may have been withdrawn.
        known.version = ""
    else:
        # A later security release matters more than a newer one without a fix.
        newest = max(newer, key=_VERSION)
        fix = max((each for each in newer if each.is_security), key=_VERSION, default=newest)
        if known.version != str(newest.version):
            known.found_at = now
        known.version, known.url = str(newest.version), newest.url
        known.is_security, known.summary = fix.is_security, fix.summary
    known.save()
    return len(newer[:1])


def parse_feed(body: bytes) -> Iterator[OwnRelease]:
    """Yields the releases of a feed. Raises: OutgoingError if it is not valid."""
    try:
        for entry in orjson.loads(body)["releases"]:
            version, url, summary = entry["version"], entry["url"], entry.get("summary", "")
            check_storable(version, url, summary)
            yield OwnRelease(
                version=semver.Version.parse(version),
                url=url,
                is_security=entry["is_security"] is True,
                summary=summary[:SUMMARY_CHARACTERS],
            )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OutgoingError("it is not a feed of releases") from None


def _read(feed: str) -> bytes:
    if "://" not in feed:
        return _content(Path(feed))
    headers = {"Accept": "application/json"}
    return fetch(feed, headers, seconds=DEADLINE_SECONDS).body


def _content(path: Path) -> bytes:
    # Opening a named pipe could block the job forever.
    if path.exists() and not path.is_file():
        raise OutgoingError(f"{path} is not a file")
    try:
        with path.open("rb") as file:
            return file.read(MAX_BODY_BYTES)
    except OSError as error:
        raise OutgoingError(f"{path}: {error.strerror}") from None


def _is_upgrade(version: semver.Version) -> bool:
    """Returns whether the version is newer. Only a pre-release is upgraded to a pre-release."""
    running = semver.Version.parse(settings.VERSION)
    return version > running and (bool(running.prerelease) or not version.prerelease)
