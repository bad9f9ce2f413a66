"""Notices what changes on a site: its policies, and the hosts that it uses.

A policy is known from the reports of browsers, which anyone can forge. So a policy is settled if

* several networks have reported it on one day (UTC), over at least an hour, and
* at least a quarter as many networks have reported it as the most common policy with the same
  disposition on the site.

A site may have several policies at the same time. A policy is new if the site has not had it
before, or if the site has had only others for a day. A site has at most `MAX_CHANGES` new policies
in a day. The first settled policies of a site do not count as a change.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Substr, TruncDate

from csp.models import Group, Report, SitePolicy, State, start_of_retention
from csp.scrubbing.address import OTHER_SITE
from csp.triage.newest import SentPolicy, newest_reports, policies_in, texts_of
from csp.triage.policies.comparison import normalized
from csp.triage.sites import sites_of_groups
from csp.writing.entries import NETWORK_BYTES, OTHER
from csp.writing.group_limit import SEVERAL

SETTLING, DAY = timedelta(hours=1), timedelta(days=1)
MAX_CHANGES = 3
# The policy is read from the groups with the most clients.
_MAX_GROUPS = 200
_MAX_POLICIES = 500
# Nonces and hashes differ on each page.
_HASH = re.compile(r"'(nonce|sha256|sha384|sha512)-[^']*'")


def settle_policies(now: datetime) -> int:
    """Stores the settled policies of all sites. Returns the number of new ones."""
    SitePolicy.objects.filter(last_seen__lt=start_of_retention(now)).delete()
    return sum(_settle(site, now) for site in sites_of_groups() if site != OTHER_SITE)


def _settle(site: str, now: datetime) -> int:
    rows = list(SitePolicy.objects.filter(site=site))
    known = {(row.disposition, row.digest): row for row in rows}
    room = MAX_CHANGES - sum(row.last_new_at > now - DAY for row in rows)
    new = 0
    for disposition, found in _settled(site, now):
        digest = found.digest
        row = known.get((disposition, digest))
        same = [each.last_seen for each in rows if each.disposition == disposition]
        if row is None or max(same) - row.last_seen > DAY:
            if rows and new >= room:
                continue
            new += 1
            row = row or SitePolicy(site=site, disposition=disposition, digest=digest)
            row.last_new_at = now
        row.policy, row.last_seen = found.text, found.last
        row.save()
    return new


def _settled(site: str, now: datetime) -> Iterator[tuple[str, SentPolicy]]:
    """Yields the settled policies of a site, each with its disposition."""
    recent = Group.objects.filter(site=site, last_seen__gt=now - DAY)
    groups = recent.values_list("pk", flat=True)[:_MAX_GROUPS]
    reports = newest_reports(dict.fromkeys(groups, now - DAY))
    texts = texts_of(reports, limit=_MAX_POLICIES)
    texts = {digest: _HASH.sub(r"'\1-*'", text) for digest, text in texts.items()}
    for disposition in {seen.disposition for seen in reports}:
        some = [seen for seen in reports if seen.disposition == disposition]
        policies = sorted(policies_in(some, texts), key=lambda each: -len(each.clients))
        networks = [_networks(policy) for policy in policies]
        for policy, number in zip(policies, networks, strict=True):
            is_common = number >= max(SEVERAL, max(networks) / 4)
            if is_common and policy.last - policy.first >= SETTLING:
                yield disposition, policy


def _networks(policy: SentPolicy) -> int:
    """Returns the number of networks of the day with the most.

    On each day, a network has another hash. Two networks around midnight are not four.
    """
    of_day = {(at.date(), client[:NETWORK_BYTES]) for client, at in policy.clients.items()}
    return max(Counter(day for day, _ in of_day).values())


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


# --- Hosts that a site uses for the first time ----------------------------------------------------
#
# A host is new if the site has no earlier group with it for a script, a frame, a form or a
# connection. Hosts of images and fonts change too often.

# With these directives, a new host can read the page or get its forms.
DANGEROUS = ("script-src", "script-src-elem", "worker-src", "form-action")
HOST_DIRECTIVES = (*DANGEROUS, "frame-src", "child-src", "fenced-frame-src", "connect-src")
# All hosts are new in the first days of a site.
LEARNING = timedelta(days=7)


def new_hosts(visible: Any, now: datetime) -> Any:
    """Returns the first uses of a host that several networks have reported on one day (UTC)."""
    reports = Report.objects.filter(
        group=OuterRef("pk"), noise_rule_id=0, received_at__gt=now - DAY
    )
    # The group may have the name of a scheme or a keyword instead of a host.
    of_hosts = reports.filter(blocked_uri__regex="^(https?|wss?)://").order_by()
    # On each day, a network has another hash.
    networks = Count(Substr("client_address_hash", 1, NETWORK_BYTES), distinct=True)
    days = of_hosts.values(day=TruncDate("received_at")).alias(networks=networks)
    several = Exists(days.filter(networks__gte=SEVERAL))
    return first_uses(visible.filter(state=State.NEW, last_seen__gt=now - DAY)).filter(several)


def first_uses(groups: Any) -> Any:
    """Returns the groups with the first use of a host on their site that several clients report."""
    opened = OuterRef("created_at")
    of_site = Group.objects.filter(site=OuterRef("site"))
    same = of_site.filter(
        blocked_source=OuterRef("blocked_source"), directive__in=HOST_DIRECTIVES
    ).order_by()
    return (
        groups.filter(directive__in=HOST_DIRECTIVES, client_days__gte=SEVERAL)
        .exclude(site=OTHER_SITE)
        .exclude(blocked_source=OTHER)
        .alias(start=Subquery(of_site.order_by("created_at").values("created_at")[:1]))
        .filter(created_at__gt=F("start") + LEARNING)
        .exclude(Exists(same.filter(created_at__lt=opened)))
    )
