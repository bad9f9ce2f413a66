"""Remembers the policies of the sites, to notice a change.

A policy is known from the reports of browsers, which anyone can forge. So a policy is settled if

* several networks have reported it in the last day, over at least an hour, and
* at least a quarter as many networks have reported it as the most common policy with the same
  disposition on the site.

A site may have several policies at the same time. A policy is new if the site has not had it
before, or if the site has had only others for a day. A site has at most `MAX_CHANGES` new policies
in a day. The first settled policies of a site do not count as a change.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from csp.models import Group, SitePolicy, start_of_retention
from csp.scrubbing.address import OTHER_SITE
from csp.triage.policies.comparison import normalized
from csp.triage.sites import sites_of_groups
from csp.writing.client_hashes import NETWORK_BYTES
from csp.writing.group_limit import SEVERAL

SETTLING, DAY = timedelta(hours=1), timedelta(days=1)
MAX_CHANGES = 3
# The policy is read from the groups with the most clients.
_MAX_GROUPS = 200
_MAX_READ = 5_000
_MAX_POLICIES = 50
# Nonces differ in each response, and hashes on each page.
_POLICIES = f"""
SELECT disposition, min(policy),
    array_agg(DISTINCT substr(client_address_hash, 1, {NETWORK_BYTES})),
    min(received_at), max(received_at)
FROM unnest(%s::uuid[]) AS wanted (id), LATERAL (
    SELECT disposition, client_address_hash, received_at, regexp_replace(
        original_policy, '''(nonce|sha256|sha384|sha512)-[^'']*''', '''\\1-*''', 'g') AS policy
    FROM csp_report
    WHERE group_id = wanted.id AND noise_rule_id = 0 AND received_at > %s
        AND original_policy <> ''
    ORDER BY received_at DESC LIMIT %s
) AS newest
GROUP BY disposition, md5(policy)
ORDER BY cardinality(array_agg(DISTINCT client_address_hash)) DESC LIMIT %s
"""  # noqa: S608 - only constants

# The disposition of a policy, and the digest of its form that is equal in all browsers.
type _Key = tuple[str, str]


@dataclass(slots=True)
class _Reported:
    """A policy in all its forms. `policy` is the longest one, because Firefox omits parts."""

    policy: str = ""
    networks: set[bytes] = field(default_factory=set)
    times: list[datetime] = field(default_factory=list)


def settle_policies(now: datetime) -> int:
    """Stores the settled policies of all sites. Returns the number of new ones."""
    SitePolicy.objects.filter(last_seen__lt=start_of_retention(now)).delete()
    return sum(_settle(site, now) for site in sites_of_groups() if site != OTHER_SITE)


def _settle(site: str, now: datetime) -> int:
    rows = list(SitePolicy.objects.filter(site=site))
    known = {(row.disposition, row.digest): row for row in rows}
    room = MAX_CHANGES - sum(row.last_new_at > now - DAY for row in rows)
    new = 0
    for (disposition, digest), found in _settled(site, now).items():
        row = known.get((disposition, digest))
        same = [each.last_seen for each in rows if each.disposition == disposition]
        if row is None or max(same) - row.last_seen > DAY:
            if rows and new >= room:
                continue
            new += 1
            row = row or SitePolicy(site=site, disposition=disposition, digest=digest)
            row.last_new_at = now
        row.policy, row.last_seen = found.policy, max(found.times)
        row.save()
    return new


def _settled(site: str, now: datetime) -> dict[_Key, _Reported]:
    reported = _reported(site, now)
    most: dict[str, int] = defaultdict(int)
    for (disposition, _), each in reported.items():
        most[disposition] = max(most[disposition], len(each.networks))
    return {
        (disposition, digest): each
        for (disposition, digest), each in reported.items()
        if len(each.networks) >= max(SEVERAL, most[disposition] / 4)
        and max(each.times) - min(each.times) >= SETTLING
    }


def _reported(site: str, now: datetime) -> dict[_Key, _Reported]:
    """Returns the policies in the newest reports of the last day, the same number of each group."""
    recent = Group.objects.filter(site=site, last_seen__gt=now - DAY)
    groups = list(recent.values_list("pk", flat=True)[:_MAX_GROUPS])
    found: dict[_Key, _Reported] = defaultdict(_Reported)
    if not groups:
        return found
    with connection.cursor() as cursor:
        each = _MAX_READ // len(groups)
        cursor.execute(_POLICIES, [groups, now - DAY, each, _MAX_POLICIES])
        for disposition, policy, networks, *times in cursor.fetchall():
            form = "\n".join(sorted(normalized(policy, site)))
            key = disposition, hashlib.sha256(form.encode()).hexdigest()
            found[key].policy = max(found[key].policy, policy, key=len)
            found[key].networks.update(map(bytes, networks))
            found[key].times += times
    return found


# --- Changes ----------------------------------------------------------------------------------


def policy_changes(since: datetime, until: datetime) -> QuerySet[SitePolicy]:
    """Returns the policies that were new in this period, without the first ones of each site."""
    earlier = SitePolicy.objects.filter(
        site=OuterRef("site"), last_new_at__lt=OuterRef("last_new_at")
    )
    new = SitePolicy.objects.filter(last_new_at__gte=since, last_new_at__lt=until)
    return new.filter(Exists(earlier)).order_by("last_new_at")


def policy_before(policy: SitePolicy) -> SitePolicy | None:
    """Returns the policy that the site had before, with the same disposition if there is one."""
    earlier = SitePolicy.objects.filter(site=policy.site, last_new_at__lt=policy.last_new_at)
    return max(
        earlier,
        key=lambda each: (each.disposition == policy.disposition, each.last_seen),
        default=None,
    )


def difference(before: SitePolicy | None, policy: SitePolicy) -> tuple[list[str], list[str]]:
    """Returns the directives that the new policy lacks, and those that it adds."""
    old, new = (
        normalized(each.policy, each.site) if each else frozenset[str]()
        for each in (before, policy)
    )
    return sorted(old - new), sorted(new - old)
