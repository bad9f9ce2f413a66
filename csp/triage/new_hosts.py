"""Finds the hosts that a site uses for the first time, for something that can do harm.

A host is new if the site has no earlier group with it for a script, a frame, a form or a
connection. Hosts of images and fonts change too often.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, F, OuterRef, Subquery
from django.db.models.functions import Substr

from csp.models import Group, Report, State
from csp.scrubbing.address import OTHER_SITE
from csp.triage.policies.settled import DAY
from csp.writing.entries import NETWORK_BYTES, OTHER
from csp.writing.group_limit import SEVERAL

# With these directives, a new host can read the page or get its forms.
DANGEROUS = ("script-src", "script-src-elem", "worker-src", "form-action")
HOST_DIRECTIVES = (*DANGEROUS, "frame-src", "child-src", "fenced-frame-src", "connect-src")
# All hosts are new in the first days of a site.
LEARNING = timedelta(days=7)


def new_hosts(visible: Any, now: datetime) -> Any:
    """Returns the first uses of a host that several networks have reported in the last day."""
    reports = Report.objects.filter(
        group=OuterRef("pk"), noise_rule_id=0, received_at__gt=now - DAY
    )
    # The group may have the name of a scheme or a keyword instead of a host.
    of_hosts = reports.filter(blocked_uri__regex="^(https?|wss?)://").order_by()
    networks = of_hosts.values(network=Substr("client_address_hash", 1, NETWORK_BYTES)).distinct()
    several = Exists(networks[SEVERAL - 1 : SEVERAL])
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
