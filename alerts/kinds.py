"""The table of the kinds of alerts.

A new kind is one row here, and a source in the module `alerts` of its app.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models


class Severity(models.IntegerChoices):
    LOW = 1, "low"
    MEDIUM = 2, "medium"
    HIGH = 3, "high"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of alert. `word` is what has happened, for the subject of a message.

    `about` describes when the alert is sent.
    """

    name: str
    word: str
    severity: Severity
    about: str


NEW_GROUP = "csp_group.new"
REGRESSED_GROUP = "csp_group.regressed"
GROUP_LIMIT = "csp_group.limit_reached"
GROWING_OTHER = "csp_group.other_growing"
NEW_HOST = "csp_site.new_host"
CHANGED_POLICY = "csp_site.policy_changed"
STATS_ALARM = "stats.alarm"
JOB_FAILING = "job.failing"
BACKUP_OLD = "backup.old"
TOKEN_EXPIRING = "token.expiring"  # noqa: S105 - the name of an alert
CODER_UNAVAILABLE = "coder.unavailable"
CONFIG_CHANGED = "config.changed"
SECURITY_RELEASE = "coderapi.security_release"
WEEKLY_DIGEST = "weekly_digest"

_LOW, _MEDIUM, _HIGH = Severity
_TABLE = (
    Kind(NEW_GROUP, "new", _MEDIUM, "A new violation group reaches the channel's clients."),
    Kind(REGRESSED_GROUP, "regressed", _HIGH, "Several clients report a resolved group again."),
    Kind(GROUP_LIMIT, "limit reached", _MEDIUM, "An ignored group reaches its date or clients."),
    Kind(
        GROWING_OTHER,
        "other growing",
        _HIGH,
        "Many more clients report causes that got no group of their own.",
    ),
    Kind(NEW_HOST, "new host", _HIGH, "A new host of a script, form, frame or connection."),
    Kind(
        CHANGED_POLICY, "policy", _MEDIUM, "The policy that browsers report for a site has changed."
    ),
    Kind(STATS_ALARM, "stats", _MEDIUM, "An alarm of the deployment stats is on."),
    Kind(JOB_FAILING, "job", _MEDIUM, "A job is late, or has failed three times in a row."),
    Kind(
        BACKUP_OLD,
        "backup",
        _HIGH,
        "The newest backup by coderapi backup is older than a week.",
    ),
    Kind(
        TOKEN_EXPIRING,
        "token expires",
        _LOW,
        "A token that is in use expires within a week.",
    ),
    Kind(CODER_UNAVAILABLE, "Coder", _HIGH, "Three requests to Coder in a row got no response."),
    Kind(CONFIG_CHANGED, "configuration", _LOW, "The value of an option has changed."),
    Kind(SECURITY_RELEASE, "coderapi", _HIGH, "A new release of coderapi fixes a vulnerability."),
    Kind(WEEKLY_DIGEST, "weekly digest", _LOW, "A summary of the week, on Mondays at 07:00 UTC."),
)
KINDS = {kind.name: kind for kind in _TABLE}
