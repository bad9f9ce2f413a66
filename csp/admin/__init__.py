"""The pages of CSP reports in the admin, and their card on its home page."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db.models import Q, Sum
from django.urls import reverse

from audit.admin import register_target
from csp.admin import groups, keys, noise, reports
from csp.models import Group, GroupHour, IngestKey, NoiseRule, midnight
from csp.writing.disk import stored_bytes
from kernel.admin import Line, register
from kernel.text.humanize import size

__all__ = ["groups", "keys", "noise", "reports"]

register_target("noise_rule", NoiseRule)
register_target("ingest_key", IngestKey)
register_target("csp_group", Group)


def _lines(now: datetime) -> list[Line]:
    today_began = midnight(now)
    # Sum the hourly counts, because they are far fewer than the reports.
    is_noise = ~Q(noise_rule_id=0) | Q(group__noise_rule__isnull=False)
    today = GroupHour.objects.filter(hour__gte=today_began).aggregate(
        all=Sum("reports"), noise=Sum("reports", filter=is_noise)
    )
    groups = Group.objects.visible()
    limit = f" of {size(settings.CSP_MAX_DISK)}" if settings.CSP_MAX_DISK else ""
    return [
        Line(
            "reports today (UTC)",
            str(today["all"] or 0),
            link=reverse("admin:csp_report_changelist"),
        ),
        Line("hidden as noise today", str(today["noise"] or 0)),
        Line("violation groups", str(groups.count()), link=reverse("admin:csp_group_changelist")),
        Line("new groups today", str(groups.filter(first_seen__gte=today_began).count())),
        Line("stored reports", f"{size(stored_bytes())}{limit}"),
    ]


register("CSP reports", _lines, order=70)
