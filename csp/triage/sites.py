"""The sites of violation groups. Pages and commands show them only if there is more than one."""

from __future__ import annotations

from csp.models import Group
from csp.scrubbing.address import OTHER_SITE
from csp.writing.terms import coder_sites
from kernel.db.sql import fetch_rows
from kernel.memory import CachedValue, Memory

# Reads one entry of the index for each site, so it takes the same time for any number of groups.
_READ = """
WITH RECURSIVE found AS (
    (SELECT site FROM csp_group ORDER BY site LIMIT 1)
    UNION ALL
    SELECT (SELECT site FROM csp_group WHERE site > found.site ORDER BY site LIMIT 1)
    FROM found WHERE found.site IS NOT NULL
)
SELECT site FROM found WHERE site IS NOT NULL
"""
_SITES: Memory[str, list[str]] = Memory("sites of groups", capacity=1, max_age=1.0)


def sites_of_groups() -> list[str]:
    """Returns the sites that have groups, `other` last. The list is at most a second old."""
    return _SITES.load("", _read)


def _read() -> CachedValue[list[str]]:
    found = [site for (site,) in fetch_rows(_READ)]
    return CachedValue(sorted(found, key=lambda site: (site == OTHER_SITE, site)))


def several_sites() -> list[str]:
    """Returns the sites that have groups, or none if they all have the same site."""
    sites = sites_of_groups()
    return sites if len(sites) > 1 else []


def where(group: Group) -> str:
    """Returns ` on` and the site of the group, or "" if all groups have the same site."""
    return f" on {group.site}" if several_sites() else ""


def is_coders(group: Group) -> bool:
    """Returns whether the group's pages are those of Coder, whose setting changes their policy.

    They are those of the access URL and of the Coder deployment that this service runs beside. If
    all groups have the same site, it is Coder's.
    """
    return not several_sites() or group.site in coder_sites() - {OTHER_SITE}
