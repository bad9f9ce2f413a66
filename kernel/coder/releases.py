"""The releases of Coder, and what differs between them.

`RULES` has one row for each difference that matters here. This is the only module that compares
versions. Other modules call `Rule.applies_to`, or detect the difference themselves, for example by
the columns of a table.

A build from source has the version `0.0.0-devel+<commit>`, whatever its age. It counts as the
newest release. `kernel.coder.running` returns the release that is running.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import semver

from kernel.text.values import parse_time

OLDEST, NEWEST = "2.25.0", "2.38.0"
# The release whose options the catalogue has.
CATALOGUE = "2.34.1"


@dataclass(frozen=True, slots=True)
class Release:
    """A release of Coder, or a build from source."""

    version: semver.Version

    @classmethod
    def parse(cls, text: str) -> Release:
        """Parses a version with or without a leading v. Raises: ValueError."""
        return cls(semver.Version.parse(text.removeprefix("v")))

    def __str__(self) -> str:
        """Returns the version without its commit. A build from source has no other name."""
        return str(self.version if self.is_from_source else self.version.replace(build=None))

    @property
    def is_from_source(self) -> bool:
        is_zero = self.version.finalize_version() == semver.Version(0)
        return is_zero or "devel" in (self.version.prerelease or "").split(".")

    def is_at_least(self, version: str) -> bool:
        return self.is_from_source or self.version >= semver.Version.parse(version)

    def is_newer_than(self, version: str) -> bool:
        """Returns whether the minor release is newer than that of `version`."""
        other = semver.Version.parse(version)
        return (self.version.major, self.version.minor) > (other.major, other.minor)


@dataclass(frozen=True, slots=True)
class Rule:
    """A difference between releases of Coder.

    Coder has the behavior `now` since the release `since`, and had the behavior `before` earlier.
    `used_in` is the file that needs to know it.
    """

    since: str
    now: str
    before: str
    used_in: str

    def applies_to(self, version: str) -> bool:
        """Returns whether a Coder with this version has the behavior `now`.

        A version that is unknown or not valid counts as the newest release.
        """
        try:
            return Release.parse(version).is_at_least(self.since)
        except ValueError:
            return True


EXPIRES_TOKENS = Rule(
    since="2.29.0",
    now="`PUT /users/{user}/keys/{id}/expire` expires a token.",
    before="A token can only be deleted.",
    used_in="beside/token_policy.py",
)
ENFORCES_SCOPES = Rule(
    since="2.29.0",
    now="The members `scopes` and `allow_list` limit a token.",
    before="Only the member `scope` limits a token. The other two are accepted and ignored.",
    used_in="beside/token_policy.py",
)
NEVER_IS_1970 = Rule(
    since="2.29.0",
    now="The `last_used` of a token that was never used is in the year 1970.",
    before="It is in the year 1.",
    used_in="kernel/coder/releases.py",
)
COUNTS_BY_APPLICATION = Rule(
    since="2.38.0",
    now="An agent row has the column `session_counts`, with a number for each application.",
    before="An agent row has four columns with numbers of sessions. The columns show which it is.",
    used_in="beside/checks/database.py",
)
SUMS_ALL_BYTES = Rule(
    since="2.34.0",
    now="Bytes are summed over all rows, unless the experiment `workspace-usage` is enabled.",
    before="Bytes are summed over rows with a latency.",
    used_in="stats/statistics.py",
)
OPTIONS = Rule(
    since=CATALOGUE,
    now="The configuration has the options of the catalogue.",
    before="The configuration has fewer options.",
    used_in="options/catalogue.py",
)
RULES = (
    *(EXPIRES_TOKENS, ENFORCES_SCOPES, NEVER_IS_1970),
    *(COUNTS_BY_APPLICATION, SUMS_ALL_BYTES, OPTIONS),
)

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def last_use(text: object) -> datetime | None:
    """Returns the time of the last use, or None for "never" in any release. Raises: ValueError."""
    time = parse_time(text)
    return time if time > _NEVER else None


def is_from_source(version: str) -> bool:
    """Returns whether the version is that of a build from source. Accepts any text."""
    try:
        return Release.parse(version).is_from_source
    except ValueError:
        return False


def is_current(own: str, newest: str) -> bool:
    """Returns whether the version `own` is equal to or newer than `newest`.

    Ignores the part of `own` after the first - or +.
    """
    release = semver.Version.parse(own).finalize_version()
    return release >= semver.Version.parse(newest.removeprefix("v"))
