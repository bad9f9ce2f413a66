"""The releases of Coder, and what differs between them.

This is the only module that compares versions. Other modules call `Rule.applies_to`, or detect the
difference themselves:

* Since 2.38.0, an agent row has the column `session_counts`. Before, it has four columns with
  numbers of sessions. `beside.checks.database` looks at the columns.
* Since 2.34.0, bytes are summed over all rows, unless the experiment `workspace-usage` is enabled.
  Before, they are summed over rows with a latency (`stats.statistics`).

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
    """A difference between releases of Coder: a behavior that Coder has since a release."""

    since: str

    def applies_to(self, version: str) -> bool:
        """Returns whether a Coder with this version has the behavior.

        A version that is unknown or not valid counts as the newest release.
        """
        try:
            return Release.parse(version).is_at_least(self.since)
        except ValueError:
            return True


# `PUT /users/{user}/keys/{id}/expire` expires a token. Before, a token can only be deleted.
EXPIRES_TOKENS = Rule("2.29.0")
# The members `scopes` and `allow_list` limit a token. Before, they are accepted and ignored, and
# only the member `scope` limits a token.
ENFORCES_SCOPES = Rule("2.29.0")

# The `last_used` of a token that was never used. Before 2.29.0, it is in the year 1.
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
